//! Statements over `mapping`, `profile` and `storage`: what classification reads.

use rusqlite::Connection;

use super::{Error, text};

/// One rule with the names and settings of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Its name.
    pub name: String,
    /// The attribute and the values that match; none: any user.
    pub condition: Option<(String, Vec<String>)>,
    /// Row of `profile`.
    pub profile: i64,
    /// Row of `storage`.
    pub storage: i64,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
    /// Whether the local product shall send an activation mail.
    pub activation_email: bool,
}

/// All mappings, the top first.
pub fn all(connection: &Connection) -> Result<Vec<Mapping>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT name, attribute, \"values\", profile, storage, quota_gb, activation_email FROM mapping
         ORDER BY position",
    )?;
    let rows = statement.query_map([], |row| {
        let condition = match row.get::<_, Option<String>>(1)? {
            None => None,
            Some(attribute) => {
                let values = serde_json::from_str(row.get_ref(2)?.as_str()?)
                    .map_err(|error| text::unreadable(2, error))?;
                Some((attribute, values))
            }
        };
        Ok(Mapping {
            name: row.get(0)?,
            condition,
            profile: row.get(3)?,
            storage: row.get(4)?,
            quota_gb: row.get(5)?,
            activation_email: row.get(6)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// A profile with its places.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Profile {
    /// Its name.
    pub name: String,
    /// Active accounts that it may have; none: any number.
    pub max_users: Option<i64>,
    /// Active accounts that it has.
    pub active_accounts: i64,
}

/// The profile in row `id`.
pub fn profile(connection: &Connection, id: i64) -> Result<Profile, Error> {
    let mut statement = connection
        .prepare_cached("SELECT name, max_users, active_accounts FROM profile WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| {
        Ok(Profile {
            name: row.get(0)?,
            max_users: row.get(1)?,
            active_accounts: row.get(2)?,
        })
    })?)
}

/// Name of the storage in row `id`, and whether it is enabled.
pub fn storage(connection: &Connection, id: i64) -> Result<(String, bool), Error> {
    let mut statement =
        connection.prepare_cached("SELECT name, enabled FROM storage WHERE id = ?1")?;
    Ok(statement.query_row([id], |row| Ok((row.get(0)?, row.get(1)?)))?)
}

/// The rows that a new appliance starts with: a profile, a storage and a last mapping for any user, each called
/// `Default`.
pub fn insert_defaults(connection: &Connection) -> Result<(), Error> {
    connection.execute_batch(
        "INSERT INTO profile (id, name) VALUES (1, 'Default');
         INSERT INTO storage (id, name, enabled) VALUES (1, 'Default', 1);
         INSERT INTO mapping (position, name, profile, storage, activation_email)
             VALUES (1, 'Default', 1, 1, 0);",
    )?;
    Ok(())
}

//! Statements over `mapping`.

use rusqlite::{Connection, Row, named_params};

use super::{Error, text};

/// Whom a mapping takes.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Condition {
    /// Any user.
    Any,
    /// Who has one of the values under the attribute's name.
    Attribute {
        /// The name.
        name: String,
        /// The values.
        values: Vec<String>,
    },
    /// Whom a SCIM filter matches.
    Filter(String),
}

/// One rule with the names of its target.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mapping {
    /// Row number; 0 until it is stored.
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whom it takes.
    pub condition: Condition,
    /// Row of `profile`.
    pub profile: i64,
    /// Row of `storage`.
    pub storage: i64,
    /// Name of the profile.
    pub profile_name: String,
    /// Name of the storage.
    pub storage_name: String,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
    /// Whether the local product shall send an activation mail.
    pub activation_email: bool,
}

fn read(row: &Row<'_>) -> Result<Mapping, rusqlite::Error> {
    let condition = match (row.get(2)?, row.get(4)?) {
        (Some(name), _) => Condition::Attribute {
            name,
            values: serde_json::from_str(row.get_ref(3)?.as_str()?)
                .map_err(|error| text::unreadable(3, error))?,
        },
        (None, Some(filter)) => Condition::Filter(filter),
        (None, None) => Condition::Any,
    };
    Ok(Mapping {
        id: row.get(0)?,
        name: row.get(1)?,
        condition,
        profile: row.get(5)?,
        storage: row.get(6)?,
        profile_name: row.get(7)?,
        storage_name: row.get(8)?,
        quota_gb: row.get(9)?,
        activation_email: row.get(10)?,
    })
}

/// All mappings, the top first.
pub fn all(connection: &Connection) -> Result<Vec<Mapping>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT mapping.id, mapping.name, attribute, \"values\", filter, profile, storage, profile.name, storage.name,
             mapping.quota_gb, activation_email
         FROM mapping JOIN profile ON profile.id = mapping.profile JOIN storage ON storage.id = mapping.storage
         ORDER BY position",
    )?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a mapping in the last place and tells its row number.
pub fn insert(connection: &Connection, mapping: &Mapping) -> Result<i64, Error> {
    let (attribute, values, filter) = match &mapping.condition {
        Condition::Any => (None, None, None),
        Condition::Attribute { name, values } => {
            let values = serde_json::Value::from(values.as_slice()).to_string();
            (Some(name), Some(values), None)
        }
        Condition::Filter(filter) => (None, None, Some(filter)),
    };
    Ok(connection.query_row(
        "INSERT INTO mapping (position, name, attribute, \"values\", filter, profile, storage, quota_gb, activation_email)
         VALUES ((SELECT coalesce(max(position), 0) + 1 FROM mapping), :name, :attribute, :values, :filter, :profile,
             :storage, :quota_gb, :activation_email)
         RETURNING id",
        named_params! {
            ":name": mapping.name,
            ":attribute": attribute,
            ":values": values,
            ":filter": filter,
            ":profile": mapping.profile,
            ":storage": mapping.storage,
            ":quota_gb": mapping.quota_gb,
            ":activation_email": mapping.activation_email,
        },
        |row| row.get(0),
    )?)
}

/// Writes a mapping's name and target; whom it takes never changes.
pub fn update(connection: &Connection, mapping: &Mapping) -> Result<(), Error> {
    connection.execute(
        "UPDATE mapping SET name = ?2, profile = ?3, storage = ?4, quota_gb = ?5 WHERE id = ?1",
        (
            mapping.id,
            &mapping.name,
            mapping.profile,
            mapping.storage,
            mapping.quota_gb,
        ),
    )?;
    Ok(())
}

/// Removes a mapping.
pub fn remove(connection: &Connection, id: i64) -> Result<(), Error> {
    connection.execute("DELETE FROM mapping WHERE id = ?1", [id])?;
    Ok(())
}

/// Gives the mappings the places in which `mappings` has them: 1, 2, 3 and so on.
pub fn reorder(connection: &Connection, mappings: &[Mapping]) -> Result<(), Error> {
    // Out of the way first: a place is taken by one mapping at any moment.
    connection.execute("UPDATE mapping SET position = -position", [])?;
    for (mapping, position) in mappings.iter().zip(1_i64..) {
        connection.execute(
            "UPDATE mapping SET position = ?2 WHERE id = ?1",
            (mapping.id, position),
        )?;
    }
    Ok(())
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

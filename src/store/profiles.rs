//! Statements over `profile`.

use rusqlite::{Connection, Row, named_params};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, open::optional};

/// One row of `profile`, its fields the keys that scripts see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Profile {
    /// Row number; 0 until it is stored.
    #[serde(skip)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Active accounts that it may have; none: any number.
    pub max_users: Option<i64>,
    /// Quota of its accounts in GB; 0 and none are unlimited.
    pub quota_gb: Option<i64>,
    /// Days after which a preserved account is deleted; none: never.
    pub delete_after_days: Option<i64>,
    /// Accounts that it has.
    #[serde(flatten)]
    pub accounts: Counts,
}

/// How many accounts there are of each status.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Counts {
    /// In use.
    #[serde(rename = "active_accounts")]
    pub active: i64,
    /// Stopped, with everything kept.
    #[serde(rename = "preserved_accounts")]
    pub preserved: i64,
}

const COLUMNS: &str =
    "id, name, max_users, quota_gb, delete_after_days, active_accounts, preserved_accounts";

fn read(row: &Row<'_>) -> Result<Profile, rusqlite::Error> {
    Ok(Profile {
        id: row.get(0)?,
        name: row.get(1)?,
        max_users: row.get(2)?,
        quota_gb: row.get(3)?,
        delete_after_days: row.get(4)?,
        accounts: read_counts(row, 5)?,
    })
}

/// Reads two columns from `first` on.
pub(super) fn read_counts(row: &Row<'_>, first: usize) -> Result<Counts, rusqlite::Error> {
    Ok(Counts {
        active: row.get(first)?,
        preserved: row.get(first + 1)?,
    })
}

/// The accounts of all profiles.
pub fn counts(connection: &Connection) -> Result<Counts, Error> {
    let sql = "SELECT coalesce(sum(active_accounts), 0), coalesce(sum(preserved_accounts), 0) FROM profile";
    let mut statement = connection.prepare_cached(sql)?;
    Ok(statement.query_row([], |row| read_counts(row, 0))?)
}

/// The profile in row `id`.
pub fn get(connection: &Connection, id: i64) -> Result<Profile, Error> {
    let sql = format!("SELECT {COLUMNS} FROM profile WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read)?)
}

/// The profile of this name.
pub fn named(connection: &Connection, name: &str) -> Result<Option<Profile>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM profile WHERE name = ?1");
    optional(connection.prepare_cached(&sql)?.query_row([name], read))
}

/// All profiles, by name.
pub fn all(connection: &Connection) -> Result<Vec<Profile>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM profile ORDER BY name");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a profile, or writes it over the row with its id.
pub fn write(connection: &Connection, profile: &Profile) -> Result<(), Error> {
    let id = (profile.id != 0).then_some(profile.id);
    connection
        .prepare_cached(
            "INSERT INTO profile (id, name, max_users, quota_gb, delete_after_days)
             VALUES (:id, :name, :max_users, :quota_gb, :delete_after_days)
             ON CONFLICT (id) DO UPDATE SET name = :name, max_users = :max_users, quota_gb = :quota_gb,
                 delete_after_days = :delete_after_days",
        )?
        .execute(named_params! {
            ":id": id,
            ":name": profile.name,
            ":max_users": profile.max_users,
            ":quota_gb": profile.quota_gb,
            ":delete_after_days": profile.delete_after_days,
        })?;
    Ok(())
}

/// Removes a profile that nothing uses.
pub fn remove(connection: &Connection, id: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM profile WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// How many accounts and how many mappings have the profile in row `id`.
pub fn uses(connection: &Connection, id: i64) -> Result<(i64, i64), Error> {
    Ok(connection.query_row(
        "SELECT (SELECT count(*) FROM user WHERE profile = ?1),
                (SELECT count(*) FROM mapping WHERE profile = ?1)",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

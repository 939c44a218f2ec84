//! Statements over `storage`.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::Serialize;

use super::{Error, open::optional};

/// One row of `storage`, its fields the keys that scripts see.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Storage {
    /// Row number; 0 until it is stored.
    #[serde(skip)]
    pub id: i64,
    /// Its name.
    pub name: String,
    /// Whether it takes new accounts.
    pub enabled: bool,
}

fn read(row: &Row<'_>) -> Result<Storage, rusqlite::Error> {
    Ok(Storage {
        id: row.get(0)?,
        name: row.get(1)?,
        enabled: row.get(2)?,
    })
}

/// The storage in row `id`.
pub fn get(connection: &Connection, id: i64) -> Result<Storage, Error> {
    let sql = "SELECT id, name, enabled FROM storage WHERE id = ?1";
    Ok(connection.prepare_cached(sql)?.query_row([id], read)?)
}

/// The storage of this name.
pub fn named(connection: &Connection, name: &str) -> Result<Option<Storage>, Error> {
    let sql = "SELECT id, name, enabled FROM storage WHERE name = ?1";
    optional(connection.prepare_cached(sql)?.query_row([name], read))
}

/// A storage in the list of all.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "StorageListed")]
pub struct Listed {
    /// The storage.
    #[serde(flatten)]
    pub storage: Storage,
    /// The accounts that it has, preserved ones among them.
    pub accounts: i64,
}

/// All storages, by name, each with the accounts that it has.
pub fn all(connection: &Connection) -> Result<Vec<Listed>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT storage.id, storage.name, storage.enabled, count(user.seq) FROM storage LEFT JOIN user ON user.storage = storage.id
         GROUP BY storage.id ORDER BY storage.name",
    )?;
    let rows = statement.query_map([], |row| {
        Ok(Listed {
            storage: read(row)?,
            accounts: row.get(3)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a storage, or writes it over the row with its id.
pub fn write(connection: &Connection, storage: &Storage) -> Result<(), Error> {
    let id = (storage.id != 0).then_some(storage.id);
    connection
        .prepare_cached(
            "INSERT INTO storage (id, name, enabled) VALUES (?1, ?2, ?3)
             ON CONFLICT (id) DO UPDATE SET name = ?2, enabled = ?3",
        )?
        .execute((id, &storage.name, storage.enabled))?;
    Ok(())
}

/// Removes a storage that nothing uses.
pub fn remove(connection: &Connection, id: i64) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM storage WHERE id = ?1")?
        .execute([id])?;
    Ok(())
}

/// How many accounts and how many mappings have the storage in row `id`.
pub fn uses(connection: &Connection, id: i64) -> Result<(i64, i64), Error> {
    Ok(connection.query_row(
        "SELECT (SELECT count(*) FROM user WHERE storage = ?1),
                (SELECT count(*) FROM mapping WHERE storage = ?1)",
        [id],
        |row| Ok((row.get(0)?, row.get(1)?)),
    )?)
}

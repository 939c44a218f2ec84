//! Statements over `storage`.

use rusqlite::{Connection, Row};
use schemars::JsonSchema;
use serde::Serialize;

use super::profiles::{Counts, read_counts};
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
    /// Accounts that it has.
    #[serde(flatten)]
    pub accounts: Counts,
}

const COLUMNS: &str = "id, name, enabled, active_accounts, preserved_accounts";

fn read(row: &Row<'_>) -> Result<Storage, rusqlite::Error> {
    Ok(Storage {
        id: row.get(0)?,
        name: row.get(1)?,
        enabled: row.get(2)?,
        accounts: read_counts(row, 3)?,
    })
}

/// The storage in row `id`.
pub fn get(connection: &Connection, id: i64) -> Result<Storage, Error> {
    let sql = format!("SELECT {COLUMNS} FROM storage WHERE id = ?1");
    Ok(connection.prepare_cached(&sql)?.query_row([id], read)?)
}

/// The storage of this name.
pub fn named(connection: &Connection, name: &str) -> Result<Option<Storage>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM storage WHERE name = ?1");
    optional(connection.prepare_cached(&sql)?.query_row([name], read))
}

/// All storages, by name.
pub fn all(connection: &Connection) -> Result<Vec<Storage>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM storage ORDER BY name");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
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

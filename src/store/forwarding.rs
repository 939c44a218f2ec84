//! Statements over `forwarding`: how far each receiver of the audit has come.

use rusqlite::Connection;

use super::{Error, open::optional};

/// The last audit row that `destination` has; 0 for none.
pub fn received(connection: &Connection, destination: &str) -> Result<i64, Error> {
    let seq = connection
        .prepare_cached("SELECT seq FROM forwarding WHERE destination = ?1")?
        .query_row([destination], |row| row.get(0));
    Ok(optional(seq)?.unwrap_or_default())
}

/// Notes that `destination` has every audit row up to `seq`.
pub fn note(connection: &Connection, destination: &str, seq: i64) -> Result<(), Error> {
    connection
        .prepare_cached("INSERT OR REPLACE INTO forwarding VALUES (?1, ?2)")?
        .execute((destination, seq))?;
    Ok(())
}

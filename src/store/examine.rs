//! A look through the whole database file, for an operator who wants to know that it is sound.

use std::path::Path;

use super::{Error, open};

/// Opens the database at `path` as a server would, schema included, and has SQLite look through every page. Takes as long
/// as reading the file.
pub fn examine(path: &Path) -> Result<(), Error> {
    let connection = open::writable(path)?;
    let found: String = connection.query_row("PRAGMA quick_check(1)", [], |row| row.get(0))?;
    match found.as_str() {
        "ok" => Ok(()),
        found => Err(Error::Sqlite(format!(
            "{}: {found}; restore a backup",
            path.display()
        ))),
    }
}

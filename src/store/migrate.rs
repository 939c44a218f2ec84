//! From the schema of an earlier version to the present one: ordered steps of SQL, all in one transaction, after which
//! the tables have to be those of schema.sql. No step is ever changed once it is released.

use std::path::Path;

use rusqlite::Connection;

use super::{Error, open};

/// How older files become present ones: the steps, and where they have to lead.
#[derive(Debug, Clone, Copy)]
pub struct Plan<'a> {
    /// The first leads from version 1 to 2, the next from there to 3. Foreign keys are not enforced while they run, so
    /// that tables can be rebuilt, and are checked afterwards.
    pub steps: &'a [&'a str],
    /// The schema at their end.
    pub schema: &'a str,
}

/// The plan of this program.
pub const PRESENT: Plan<'static> = Plan {
    steps: &[],
    schema: open::SCHEMA,
};

impl Plan<'_> {
    /// Version of the schema at the end of the steps.
    pub fn version(&self) -> i64 {
        i64::try_from(self.steps.len()).map_or(i64::MAX, |steps| steps.saturating_add(1))
    }

    /// Brings the tables behind `connection` to the present schema; `record` is told the version they had and writes
    /// into the same transaction. Gives that version, none if there was nothing to do. On an error, all is as it was.
    pub fn apply(
        &self,
        path: &Path,
        connection: &Connection,
        record: impl FnOnce(&Connection, i64) -> Result<(), Error>,
    ) -> Result<Option<i64>, Error> {
        let found = open::identify(path, connection, self)?;
        if found == self.version() {
            return Ok(None);
        }
        // The first has no effect within a transaction. With the second, SQLite takes a table that is renamed for what it
        // is called, and does not look for it in triggers and views meanwhile.
        let rebuilding = |on: bool| {
            connection.pragma_update(None, "foreign_keys", !on)?;
            connection.pragma_update(None, "legacy_alter_table", on)
        };
        rebuilding(true)?;
        let applied = self.transaction(path, connection, found, record);
        rebuilding(false)?;
        applied.map(|()| Some(found))
    }

    fn transaction(
        &self,
        path: &Path,
        connection: &Connection,
        found: i64,
        record: impl FnOnce(&Connection, i64) -> Result<(), Error>,
    ) -> Result<(), Error> {
        let failed = |what: String| Error::NotMigrated {
            path: path.display().to_string(),
            found,
            what,
        };
        // Dropped before its commit, it rolls back.
        let transaction = connection.unchecked_transaction()?;
        self.run(&transaction, found).map_err(failed)?;
        record(&transaction, found)?;
        transaction
            .commit()
            .map_err(|error| failed(error.to_string()))
    }

    /// Runs the steps that follow `found` and looks at what they made.
    fn run(&self, connection: &Connection, found: i64) -> Result<(), String> {
        let said = |error: rusqlite::Error| error.to_string();
        let done = usize::try_from(found.saturating_sub(1)).map_err(|error| error.to_string())?;
        for step in self.steps.iter().skip(done) {
            connection.execute_batch(step).map_err(said)?;
        }
        connection
            .pragma_update(None, "user_version", self.version())
            .map_err(said)?;
        let unresolved = connection
            .prepare("PRAGMA foreign_key_check")
            .and_then(|mut check| check.exists([]))
            .map_err(said)?;
        if unresolved {
            return Err("it leaves a row that refers to none".to_owned());
        }
        match open::difference(self.schema, connection).map_err(|error| error.to_string())? {
            Some(object) => Err(format!("{object} would differ from this program's schema")),
            None => Ok(()),
        }
    }
}

#[cfg(test)]
mod tests;

//! A look through the whole database file: that SQLite finds every page as it should be, that every row refers to one that
//! is there, and that the counts are right.

use std::path::Path;

use rusqlite::Connection;

use super::migrate::Plan;
use super::{Error, open};

/// How thoroughly SQLite looks at the pages.
#[derive(Debug, Clone, Copy)]
pub enum Pages {
    /// At each by itself.
    Quick,
    /// Also whether the indexes hold what the tables hold.
    Whole,
}

/// What of the counts that triggers keep is wrong: of accounts by profile and storage, in one pass over the users, and of
/// what SCIM sees.
const MISCOUNTED: &str = "
    WITH counted AS (
        SELECT profile, storage, sum(status = 'active') AS active, sum(status = 'preserved') AS preserved
        FROM user GROUP BY profile, storage
    ), place AS (
        SELECT 'profile' AS kind, id, name, active_accounts AS active, preserved_accounts AS preserved FROM profile
        UNION ALL SELECT 'storage', id, name, active_accounts, preserved_accounts FROM storage
    )
    SELECT kind || ' ' || name || ' counts other accounts than it has' FROM place
    WHERE active <> (SELECT ifnull(sum(counted.active), 0) FROM counted
                     WHERE place.id = iif(kind = 'profile', counted.profile, counted.storage))
       OR preserved <> (SELECT ifnull(sum(counted.preserved), 0) FROM counted
                        WHERE place.id = iif(kind = 'profile', counted.profile, counted.storage))
    UNION ALL SELECT 'the appliance counts other users or groups than it has' FROM appliance
    WHERE users <> (SELECT count(*) FROM user WHERE scim_visible = 1) OR groups <> (SELECT count(*) FROM \"group\")
    LIMIT 1";

/// Opens the database at `path` as a server would, schema included, and looks through all of it. Takes as long as reading
/// the file. A file that `plan` would migrate is refused with [`Error::Older`] only if nothing else is wrong with it.
pub fn examine(path: &Path, plan: &Plan<'_>) -> Result<(), Error> {
    let connection = open::unverified(path)?;
    let known = open::verify(path, &connection, plan);
    if !matches!(known, Err(Error::Older { .. })) {
        known.clone()?;
    }
    match fault(&connection, Pages::Quick)? {
        None => known,
        Some(what) => Err(Error::Broken {
            path: path.display().to_string(),
            what,
        }),
    }
}

/// What is wrong first with the database behind `connection`, in words.
pub fn fault(connection: &Connection, pages: Pages) -> Result<Option<String>, Error> {
    let check = match pages {
        Pages::Quick => "PRAGMA quick_check(1)",
        Pages::Whole => "PRAGMA integrity_check(1)",
    };
    let found: String = connection.query_row(check, [], |row| row.get(0))?;
    if found != "ok" {
        return Ok(Some(found));
    }
    let mut keys = connection.prepare("PRAGMA foreign_key_check")?;
    let dangling = keys.query_row([], |row| Ok((row.get(0)?, row.get(2)?)));
    if let Some((table, other)) = open::optional::<(String, String)>(dangling)? {
        let what = format!("a row of {table} refers to none of {other}");
        return Ok(Some(what));
    }
    // What an earlier version counted, only that version knows.
    if open::difference(open::SCHEMA, connection)?.is_some() {
        return Ok(None);
    }
    let miscounted = connection.query_row(MISCOUNTED, [], |row| row.get(0));
    open::optional(miscounted)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::migrate::PRESENT;
    use crate::store::{audit, mappings};

    #[test]
    fn an_older_schema_is_told_of_a_sound_file_only() {
        let root = tempfile::TempDir::new().unwrap();
        let path = root.path().join("a.db");
        open::create(&path, |connection| -> Result<(), Error> {
            audit::insert_genesis(connection, "2026-03-01T12:00:00Z".parse().unwrap())?;
            mappings::insert_defaults(connection)
        })
        .unwrap();
        let later = Plan {
            steps: &["CREATE TABLE more (x TEXT) STRICT"],
            schema: &format!("{} CREATE TABLE more (x TEXT) STRICT;", open::SCHEMA),
        };
        examine(&path, &PRESENT).unwrap();
        let older = examine(&path, &later).unwrap_err();
        assert!(matches!(older, Error::Older { .. }), "{older}");
        let connection = open::unverified(&path).unwrap();
        for (harm, said) in [
            (
                "UPDATE storage SET active_accounts = 1",
                "storage Default counts",
            ),
            (
                "UPDATE storage SET active_accounts = 0; UPDATE appliance SET groups = 1",
                "other users or groups",
            ),
            (
                "PRAGMA foreign_keys = OFF; DELETE FROM profile",
                "mapping refers to none of profile",
            ),
        ] {
            connection.execute_batch(harm).unwrap();
            for plan in [&PRESENT, &later] {
                let broken = examine(&path, plan).unwrap_err().to_string();
                assert!(broken.contains(said), "{broken}");
            }
        }
    }
}

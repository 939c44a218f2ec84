//! An upgrade as the server makes it at its start: the copy before, the change, its audit row, and who keeps it back.

use std::path::PathBuf;
use std::sync::Arc;

use tempfile::TempDir;

use super::*;
use crate::directory::{setup, system_clock};
use crate::store::{lock, migrate};

/// A database of this version, and what leads on from it.
fn place() -> (TempDir, PathBuf, String) {
    let root = TempDir::new().unwrap();
    let database = root.path().join("scimlite.db");
    setup::create_database(&database, &Origin::server(), &system_clock(), Some(365)).unwrap();
    let schema = format!("{} CREATE TABLE more (x TEXT) STRICT;", open::SCHEMA);
    (root, database, schema)
}

fn upgraded(
    root: &TempDir,
    database: &Path,
    step: &str,
    schema: &str,
) -> Result<Option<PathBuf>, Error> {
    let plan = Plan {
        steps: &[step],
        schema,
    };
    upgrade(
        database,
        &plan,
        &root.path().join("copies"),
        &Origin::server(),
        &system_clock(),
    )
}

const STEP: &str = "CREATE TABLE more (x TEXT) STRICT";

#[test]
fn an_upgrade_leaves_a_copy_from_before_that_restores() {
    let (root, database, schema) = place();
    let copy = upgraded(&root, &database, STEP, &schema).unwrap().unwrap();
    let connection = open::unverified(&database).unwrap();
    let (action, actor): (String, String) = connection
        .query_row(
            "SELECT action, actor FROM audit ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!((&*action, &*actor), ("appliance.migrate", "server"));
    assert!(audit::chain::verify(&connection, &[]).unwrap().is_ok());
    drop(connection);
    assert!(matches!(store_open(&database), Err(Error::Newer { .. })));
    assert!(upgraded(&root, &database, STEP, &schema).unwrap().is_none());

    // The way back is that of the earlier version: this program.
    let watch: Watch = Arc::new(|_| true);
    let (origin, clock) = (Origin::server(), system_clock());
    restore_backup(&database, &copy, &migrate::PRESENT, &origin, &clock, &watch).unwrap();
    store_open(&database).unwrap();
}

#[test]
fn an_older_backup_is_migrated_when_it_is_restored() {
    let (root, database, schema) = place();
    let plan = Plan {
        steps: &[STEP],
        schema: &schema,
    };
    let connection = open::readable(&database).unwrap();
    let refused = open::verify(&database, &connection, &plan).unwrap_err();
    assert!(refused.to_string().contains("older"), "{refused}");
    drop(connection);
    let watch: Watch = Arc::new(|_| true);
    let file = root.path().join("older.db");
    backup::make(&database, &file, false, &watch).unwrap();
    let before = std::fs::read(&file).unwrap();
    let (origin, clock) = (Origin::server(), system_clock());
    let (exchange, kept) =
        restore_backup(&database, &file, &plan, &origin, &clock, &watch).unwrap();
    assert_eq!(exchange.migrated_from, Some(1));
    let connection = open::unverified(&database).unwrap();
    open::verify(&database, &connection, &plan).unwrap();
    assert!(audit::chain::verify(&connection, &[]).unwrap().is_ok());
    let last: String = connection
        .query_row(
            "SELECT group_concat(action) FROM (SELECT action FROM audit WHERE seq > 3 ORDER BY seq)",
            [],
            |row| row.get(0),
        )
        .unwrap();
    assert_eq!(last, "appliance.migrate,appliance.restore");
    store_open(&kept.unwrap()).unwrap();
    assert!(std::fs::read(&file).unwrap() == before);
}

#[test]
fn an_upgrade_that_fails_changes_nothing() {
    let (root, database, schema) = place();
    let before = std::fs::read(&database).unwrap();
    let error = upgraded(&root, &database, "DROP TABLE profile", &schema).unwrap_err();
    assert!(
        matches!(error, Error::NotMigrated { found: 1, .. }),
        "{error}"
    );
    assert!(std::fs::read(&database).unwrap() == before);
    store_open(&database).unwrap();
}

#[test]
fn nothing_is_upgraded_that_somebody_has_open() {
    let (root, database, schema) = place();
    let held = lock::shared(&database).unwrap();
    let error = upgraded(&root, &database, STEP, &schema).unwrap_err();
    assert!(matches!(error, Error::InUse { .. }), "{error}");
    assert!(!root.path().join("copies").exists());
    drop(held);
    assert!(upgraded(&root, &database, STEP, &schema).unwrap().is_some());
}

fn store_open(database: &Path) -> Result<(), Error> {
    let connection = open::unverified(database)?;
    assert_eq!(migrate::PRESENT.version(), 1);
    open::verify(database, &connection, &migrate::PRESENT)
}

//! The machinery over a file of this version and plans that lead on from it: what steps make, and what is left when
//! they fail.

use std::path::PathBuf;
use std::sync::LazyLock;

use rusqlite::Connection;
use tempfile::TempDir;

use super::*;
use crate::store::{audit, mappings};

/// The text of the schema between the name of a table and its end.
fn columns_of(table: &str) -> &'static str {
    let start = format!("CREATE TABLE {table} (");
    let (_, rest) = open::SCHEMA.split_once(&start).unwrap();
    rest.split_once("\n) STRICT;").unwrap().0
}

/// The columns of `profile` with a stricter check.
fn stricter() -> String {
    let unique = "TEXT NOT NULL UNIQUE,";
    let stricter = "TEXT NOT NULL UNIQUE CHECK (name <> ''),";
    columns_of("profile").replace(unique, stricter)
}

/// A step as they will be: a column, and a table rebuilt for a stricter check, with its rows and its index.
static STEP: LazyLock<String> = LazyLock::new(|| {
    format!(
        "ALTER TABLE storage ADD COLUMN note TEXT;
         UPDATE storage SET note = 'from ' || name;
         CREATE TABLE new_profile ({}\n) STRICT;
         INSERT INTO new_profile SELECT * FROM profile;
         DROP VIEW accounts;
         DROP TABLE profile;
         ALTER TABLE new_profile RENAME TO profile;
         CREATE VIEW accounts AS SELECT 1 AS one;",
        stricter()
    )
});

/// Where it leads, written as schema.sql writes it.
fn next_schema() -> String {
    let (before_view, _) = open::SCHEMA.split_once("CREATE VIEW").unwrap();
    let storage = columns_of("storage");
    let noted = format!("{storage}, -- a comment, with a \" in it\n    note    TEXT");
    before_view
        .replace(storage, &noted)
        .replace(columns_of("profile"), &stricter())
        + "CREATE VIEW accounts AS\nSELECT 1 AS one;"
}

fn file() -> (TempDir, PathBuf, Connection) {
    let root = TempDir::new().unwrap();
    let path = root.path().join("a.db");
    open::create(&path, |connection| {
        audit::insert_genesis(connection, jiff::Timestamp::UNIX_EPOCH)?;
        mappings::insert_defaults(connection)
    })
    .unwrap();
    let connection = open::writable(&path).unwrap();
    (root, path, connection)
}

fn text(connection: &Connection, query: &str) -> String {
    connection.query_row(query, [], |row| row.get(0)).unwrap()
}

fn schema(connection: &Connection) -> String {
    text(
        connection,
        "SELECT group_concat(sql, ';') FROM sqlite_schema",
    )
}

#[test]
fn steps_lead_to_the_schema_and_keep_the_rows() {
    let (_root, path, connection) = file();
    let schema = next_schema();
    let plan = Plan {
        steps: &[&STEP],
        schema: &schema,
    };
    let record = |connection: &Connection, found| {
        connection.execute(
            "INSERT INTO storage (id, name, enabled, note) VALUES (7, 'told ' || ?1, 1, 'x')",
            [found],
        )?;
        Ok(())
    };
    assert_eq!(plan.apply(&path, &connection, record).unwrap(), Some(1));
    assert_eq!(
        text(&connection, "SELECT note FROM storage WHERE id = 1"),
        "from Default"
    );
    assert_eq!(
        text(&connection, "SELECT name FROM storage WHERE id = 7"),
        "told 1"
    );
    assert_eq!(text(&connection, "SELECT name FROM profile"), "Default");
    let enforced: i64 = connection
        .query_row("PRAGMA foreign_keys", [], |row| row.get(0))
        .unwrap();
    assert_eq!(enforced, 1);
    // Now it is of that version, and too new for this program.
    assert_eq!(
        plan.apply(&path, &connection, |_, _| Err(Error::Closed))
            .unwrap(),
        None
    );
    assert!(matches!(
        open::verify(&path, &connection, &PRESENT),
        Err(Error::Newer {
            found: 2,
            known: 1,
            ..
        })
    ));
}

#[test]
fn each_step_runs_once_from_where_the_file_is() {
    let (_root, path, connection) = file();
    let schema = format!(
        "{} CREATE TABLE b (x) STRICT; CREATE TABLE c (x) STRICT;",
        open::SCHEMA
    )
    .replace("(x)", "(x TEXT)");
    let steps = [
        "CREATE TABLE b (x TEXT) STRICT",
        "CREATE TABLE c (x TEXT) STRICT",
    ];
    let first = format!("{} CREATE TABLE b (x TEXT) STRICT;", open::SCHEMA);
    let plan = Plan {
        steps: &steps[..1],
        schema: &first,
    };
    assert_eq!(
        plan.apply(&path, &connection, |_, _| Ok(())).unwrap(),
        Some(1)
    );
    let plan = Plan {
        steps: &steps,
        schema: &schema,
    };
    assert_eq!(
        plan.apply(&path, &connection, |_, _| Ok(())).unwrap(),
        Some(2)
    );
}

#[test]
fn what_does_not_lead_there_changes_nothing() {
    let good = next_schema();
    let dangling = "INSERT INTO mapping (position, name, profile, storage, activation_email) VALUES (9, 'x', 99, 1, 0)";
    for (steps, schema, said) in [
        (&["CREATE TABLE (", ""][..1], open::SCHEMA, "syntax"),
        (
            &["CREATE TABLE stray (x TEXT) STRICT"],
            open::SCHEMA,
            "table stray",
        ),
        (
            &["DROP INDEX user_status"],
            open::SCHEMA,
            "index user_status",
        ),
        (&[&STEP], open::SCHEMA, "would differ"),
        (&[""], &good, "would differ"),
        (&[dangling], open::SCHEMA, "refers to none"),
    ] {
        let (_root, path, connection) = file();
        let before = schema_and_version(&connection);
        let plan = Plan { steps, schema };
        let error = plan
            .apply(&path, &connection, |_, _| Ok(()))
            .unwrap_err()
            .to_string();
        assert!(error.contains(said), "{said}: {error}");
        assert!(error.contains("nothing was changed"), "{error}");
        assert_eq!(schema_and_version(&connection), before);
        open::verify(&path, &connection, &PRESENT).unwrap();
    }
}

#[test]
fn a_row_that_cannot_be_written_undoes_the_steps() {
    let (_root, path, connection) = file();
    let schema = next_schema();
    let plan = Plan {
        steps: &[&STEP],
        schema: &schema,
    };
    let before = schema_and_version(&connection);
    let refused = plan.apply(&path, &connection, |_, _| Err(Error::Closed));
    assert!(matches!(refused, Err(Error::Closed)));
    assert_eq!(schema_and_version(&connection), before);
}

fn schema_and_version(connection: &Connection) -> (String, i64) {
    let version = connection.query_row("PRAGMA user_version", [], |row| row.get(0));
    (schema(connection), version.unwrap())
}

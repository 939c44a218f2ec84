//! Statements over `audit_about`: under which words a row of the audit is found, beside the id of what it is about.

use rusqlite::{Connection, Row as Found};
use serde_json::Value;

use crate::scim::Object;
use crate::scim::fold::fold;
use crate::store::{Error, text};

/// The words of a row: each with its kind.
pub(super) type Words = Vec<(&'static str, String)>;

/// The words of a row with this name and these changes: names, also those that something lost or got, and the ids of
/// members who came or went and of what was replaced.
pub(super) fn words(target_name: Option<&str>, changes: Option<&Object>) -> Words {
    let mut words: Words = Vec::new();
    let name = |name: &str| ("name", fold(name).into_owned());
    words.extend(target_name.map(name));
    words.extend(texts(changes, "name").map(name));
    for changed in ["members", "replaces"] {
        words.extend(texts(changes, changed).map(|id| ("member", id.to_owned())));
    }
    words
}

/// The texts on both sides of a change, by themselves or in lists.
fn texts<'a>(changes: Option<&'a Object>, name: &str) -> impl Iterator<Item = &'a str> {
    let sides = changes.and_then(|changes| changes.get(name)?.as_object());
    let values = sides.into_iter().flat_map(Object::values);
    values.flat_map(|value| match value {
        Value::Array(values) => values.iter().filter_map(Value::as_str).collect(),
        value => Vec::from_iter(value.as_str()),
    })
}

/// Notes under which words row `seq` is found.
pub(super) fn note(connection: &Connection, seq: i64, words: &Words) -> Result<(), Error> {
    let mut insert =
        connection.prepare_cached("INSERT OR IGNORE INTO audit_about VALUES (?1, ?2, ?3)")?;
    for (kind, key) in words {
        insert.execute((kind, key, seq))?;
    }
    Ok(())
}

/// Forgets the words of a row of `audit` that is pruned.
pub(super) fn forget(connection: &Connection, row: &Found<'_>) -> Result<(), Error> {
    let (seq, target_name): (i64, Option<String>) = (row.get(0)?, row.get(8)?);
    let changes: Option<String> = row.get(13)?;
    let changes = changes.map(|changes| text::parse_object(13, &changes));
    let mut delete = connection
        .prepare_cached("DELETE FROM audit_about WHERE kind = ?1 AND key = ?2 AND seq = ?3")?;
    for (kind, key) in words(target_name.as_deref(), changes.transpose()?.as_ref()) {
        delete.execute((kind, key, seq))?;
    }
    Ok(())
}

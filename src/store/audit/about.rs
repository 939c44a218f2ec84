//! Statements over `audit_about`: under which words a row of the audit is found, beside the id of what it is about.

use rusqlite::{Connection, Row as Found};

use crate::scim::Object;
use crate::scim::fold::fold;
use crate::store::{Error, text};

/// The words of a row: each with its kind.
pub(super) type Words = Vec<(&'static str, String)>;

/// The words of a row with this name and these changes.
pub(super) fn words(target_name: Option<&str>, changes: Option<&Object>) -> Words {
    let mut words = Vec::new();
    if let Some(name) = target_name {
        words.push(("name", fold(name).into_owned()));
    }
    let members = changes.and_then(|changes| changes.get("members"));
    let sides = members
        .into_iter()
        .filter_map(|members| members.as_object());
    let ids = sides
        .flat_map(|sides| sides.values())
        .filter_map(|ids| ids.as_array());
    let ids = ids.flatten().filter_map(|id| id.as_str());
    words.extend(ids.map(|id| ("member", id.to_owned())));
    words
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

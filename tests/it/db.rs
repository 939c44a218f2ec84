//! The database as another process on the machine meets it: rows read, statements of an administrator's hand, and the
//! audit chain computed again from its description in ARCHITECTURE.md.

use std::path::Path;
use std::time::Duration;

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Params};
use serde_json::{Map, Value};

use crate::home::Home;

/// How long a statement waits for the server's lock.
const BUSY: Duration = Duration::from_secs(60);

impl Home {
    /// Runs statements beside the server, or without one.
    #[track_caller]
    pub fn sql(&self, statements: &str) {
        let db = Connection::open(self.database()).unwrap();
        db.busy_timeout(BUSY).unwrap();
        db.execute_batch(statements).unwrap();
    }

    /// The rows that a query finds, as objects; the columns `changes` and `mapping` of the audit as the JSON in them.
    #[track_caller]
    pub fn rows(&self, query: &str, parameters: impl Params) -> Vec<Value> {
        let db = self.db();
        let mut query = db.prepare(query).unwrap();
        let names: Vec<String> = query.column_names().map(Into::into).collect();
        let rows = query.query_map(parameters, |row| {
            let values = names.iter().enumerate().map(|(index, name)| {
                let value = match row.get_ref(index)? {
                    ValueRef::Null => Value::Null,
                    ValueRef::Integer(number) => number.into(),
                    ValueRef::Text(text) => {
                        let text = std::str::from_utf8(text).unwrap();
                        match name.as_str() {
                            "changes" | "decision" | "account" => {
                                serde_json::from_str(text).unwrap()
                            }
                            _ => text.into(),
                        }
                    }
                    other => panic!("{name} is {other:?}"),
                };
                Ok((name.clone(), value))
            });
            values.collect::<Result<Map<_, _>, _>>().map(Value::Object)
        });
        rows.unwrap().map(Result::unwrap).collect()
    }

    /// The one row that a query finds.
    #[track_caller]
    pub fn row(&self, query: &str, parameters: impl Params) -> Value {
        let mut rows = self.rows(query, parameters);
        assert_eq!(rows.len(), 1, "{query}: {rows:?}");
        rows.remove(0)
    }

    /// The account with this id, as the local product reads it.
    #[track_caller]
    pub fn account(&self, id: &str) -> Value {
        self.row("SELECT * FROM accounts WHERE id = ?1", [id])
    }

    /// The audit row of a request.
    #[track_caller]
    pub fn audited(&self, request_id: &str) -> Value {
        self.row(
            "SELECT seq, at, request_id, actor, source, action, target_type, target_id, target_name, verdict, status,
                 scim_type, reason, changes, mapping AS decision
             FROM audit WHERE request_id = ?1",
            [request_id],
        )
    }
}

/// Asserts that the audit is whole.
#[track_caller]
pub fn unbroken(database: &Path) {
    assert_eq!(break_in(database), None);
}

/// Makes every row of the audit as much older as SQLite's `modifier` says, and the chain anew. Gives the number of the
/// last row.
#[track_caller]
pub fn age(database: &Path, modifier: &str) -> i64 {
    let db = Connection::open(database).unwrap();
    db.busy_timeout(BUSY).unwrap();
    let older = "UPDATE audit SET at = strftime('%Y-%m-%dT%H:%M:%fZ', at, ?1)";
    db.execute(older, [modifier]).unwrap();
    rechained(database)
}

/// Makes the chain anew over the rows as they are: what somebody does who knows how it is made. Gives the number of the
/// last row.
#[track_caller]
pub fn rechained(database: &Path) -> i64 {
    let db = Connection::open(database).unwrap();
    db.busy_timeout(BUSY).unwrap();
    let query = "SELECT pruned_seq, pruned_hash, audit_seq FROM appliance";
    let (mut seq, mut head, last): (i64, String, i64) = db
        .query_row(query, [], |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .unwrap();
    while seq < last {
        seq += 1;
        let hash = db
            .query_row("SELECT * FROM audit WHERE seq = ?1", [seq], |row| {
                Ok(chained(&head, row, row.as_ref().column_count() - 2))
            })
            .unwrap();
        let update = "UPDATE audit SET prev_hash = ?2, hash = ?3 WHERE seq = ?1";
        db.execute(update, (seq, &head, &hash)).unwrap();
        head = hash;
    }
    db.execute("UPDATE appliance SET audit_hash = ?1", [head])
        .unwrap();
    last
}

/// The hash of a row by the hash of the row before it and its first `columns` columns.
fn chained(before: &str, row: &rusqlite::Row<'_>, columns: usize) -> String {
    let mut text = format!("{}:{before}", before.len()).into_bytes();
    for column in 0..columns {
        let value = match row.get_ref(column).unwrap() {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string().into_bytes()),
            value => Some(value.as_bytes().unwrap().to_owned()),
        };
        match value {
            None => text.push(b'-'),
            Some(value) => {
                text.extend(format!("{}:", value.len()).bytes());
                text.extend(value);
            }
        }
    }
    hex(digest(&SHA256, &text).as_ref())
}

/// Where the audit is not whole: its numbers have a gap, a hash is not the one that its row and the row before it give,
/// or the head in `appliance` is not that of the last row.
fn break_in(database: &Path) -> Option<String> {
    let db = Connection::open(database).unwrap();
    let mut query = db.prepare("SELECT * FROM audit ORDER BY seq").unwrap();
    let names: Vec<String> = query.column_names().map(Into::into).collect();
    let columns = names.len() - 2;
    assert_eq!(names[columns..], ["prev_hash", "hash"]);
    let places = "SELECT pruned_seq, pruned_hash, audit_seq, audit_hash FROM appliance";
    let link =
        |row: &rusqlite::Row<'_>, at| Ok::<_, rusqlite::Error>((row.get(at)?, row.get(at + 1)?));
    let (pruned, stored): ((i64, String), (i64, String)) = db
        .query_row(places, [], |row| Ok((link(row, 0)?, link(row, 2)?)))
        .unwrap();
    let (mut seq, mut head) = pruned.clone();
    let mut vouched = None;
    let mut rows = query.query([]).unwrap();
    while let Some(row) = rows.next().unwrap() {
        seq += 1;
        let hash = chained(&head, row, columns);
        let before = std::mem::replace(&mut head, hash);
        let text = |column| row.get::<_, String>(column).unwrap();
        if row.get::<_, i64>(0).unwrap() != seq {
            return Some(format!("there is no row {seq}"));
        }
        if text(columns) != before || text(columns + 1) != head {
            return Some(format!("row {seq} or the one before it"));
        }
        let named = |name| names.iter().position(|column| *column == name).unwrap();
        if (&*text(named("action")), &*text(named("verdict"))) == ("audit.prune", "applied") {
            let changes: Value = serde_json::from_str(&text(named("changes"))).unwrap();
            let [old, new] = ["old", "new"].map(|side| {
                let hash = changes["pruned_hash"][side].as_str().unwrap();
                (
                    changes["pruned_seq"][side].as_i64().unwrap(),
                    hash.to_owned(),
                )
            });
            if vouched.replace(new).is_some_and(|before| before != old) {
                return Some(format!("no pruning up to row {}", old.0));
            }
        }
        if text(named("reason")).is_empty() {
            return Some(format!("row {seq} has no reason"));
        }
    }
    if vouched.unwrap_or_else(|| (0, "0".repeat(64))) != pruned {
        return Some(format!("no pruning up to row {}", pruned.0));
    }
    (stored != (seq, head)).then(|| format!("the head is not that of row {seq}"))
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn the_chain_shows_what_was_done_to_it() {
    let home = Home::new();
    let database = home.database();
    let whole = std::fs::read(&database).unwrap();
    for (harm, shown) in [
        (
            "UPDATE audit SET reason = reason || '.' WHERE seq = 2",
            "row 2",
        ),
        ("UPDATE audit SET target_type = NULL WHERE seq = 2", "row 2"),
        ("UPDATE audit SET prev_hash = hash WHERE seq = 1", "row 1"),
        ("DELETE FROM audit WHERE seq = 1", "no row 1"),
        ("DELETE FROM audit WHERE seq = 3", "head"),
        ("UPDATE appliance SET audit_seq = 2", "head"),
    ] {
        std::fs::write(&database, &whole).unwrap();
        unbroken(&database);
        home.sql(harm);
        let found = break_in(&database).expect(harm);
        assert!(found.contains(shown), "{harm}: {found}");
    }
}

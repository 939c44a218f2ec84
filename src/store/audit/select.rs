//! Which rows of `audit` somebody wants to see, and how they are read: one at a time, in the order of their numbers.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::{Recorded, Verdict};
use crate::scim::Object;
use crate::store::{Error, text};

/// Which rows to read: those that everything here agrees with.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Who.
    pub who: Option<String>,
    /// On whom: what is about one of these ids, or called by the last of them.
    pub whom: Vec<String>,
    /// What came of it.
    pub verdict: Option<Verdict>,
    /// What.
    pub action: Option<String>,
    /// Not before.
    pub since: Option<Timestamp>,
    /// Before.
    pub until: Option<Timestamp>,
    /// Id of the request.
    pub request_id: Option<String>,
    /// Only rows with higher numbers.
    pub after: Option<i64>,
    /// Only rows with this number or lower ones.
    pub up_to: Option<i64>,
    /// So many: the first ones if `after` says where to begin, else the last ones.
    pub limit: Option<u32>,
}

impl Selection {
    /// The statement that reads it, and its parameters.
    fn statement(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["1".to_owned()];
        let mut parameters = Vec::new();
        let mut add = |condition: &str, parameter: Value| {
            conditions.push(condition.to_owned());
            parameters.push(parameter);
        };
        if let Some(who) = &self.who {
            add("actor = ?", who.clone().into());
        }
        if let Some(action) = &self.action {
            add("action = ?", action.clone().into());
        }
        if let Some(request_id) = &self.request_id {
            add("request_id = ?", request_id.clone().into());
        }
        if let Some(after) = self.after {
            add("seq > ?", after.into());
        }
        if let Some(up_to) = self.up_to {
            add("seq <= ?", up_to.into());
        }
        // The index over `at`, not the numbers (+seq), finds where to begin and to end. Between them the rows come in the order of their numbers,
        // and a clock that was set back is seen to row by row.
        if let Some(since) = self.since {
            let since = text::instant(since);
            add(
                "seq >= (SELECT min(+seq) FROM audit WHERE at >= ?)",
                since.clone().into(),
            );
            add("+at >= ?", since.into());
        }
        if let Some(until) = self.until {
            let until = text::instant(until);
            add(
                "seq <= (SELECT max(+seq) FROM audit WHERE at < ?)",
                until.clone().into(),
            );
            add("+at < ?", until.into());
        }
        if let Some(verdict) = self.verdict {
            // A word of the program, not a parameter: only so the index over those not applied is used.
            conditions.push(format!("verdict = '{}'", verdict.as_str()));
            if verdict != Verdict::Applied {
                conditions.push("verdict <> 'applied'".to_owned());
            }
        }
        if let Some(name) = self.whom.last() {
            let ids = vec!["?"; self.whom.len()].join(", ");
            conditions.push(format!(
                "seq IN (SELECT seq FROM audit WHERE target_id IN ({ids})
                     UNION ALL SELECT seq FROM audit WHERE target_name = ? COLLATE NOCASE)"
            ));
            parameters.extend(self.whom.iter().cloned().map(Value::from));
            parameters.push(name.clone().into());
        }
        let conditions = conditions.join(" AND ");
        let sql = match (self.limit, self.after) {
            (None, _) => format!("SELECT * FROM audit WHERE {conditions} ORDER BY seq"),
            (Some(limit), Some(_)) => {
                format!("SELECT * FROM audit WHERE {conditions} ORDER BY seq LIMIT {limit}")
            }
            (Some(limit), None) => format!(
                "SELECT * FROM audit WHERE seq IN
                     (SELECT seq FROM audit WHERE {conditions} ORDER BY seq DESC LIMIT {limit}) ORDER BY seq"
            ),
        };
        (sql, parameters)
    }
}

/// What is read of a row.
pub trait Read: Sized {
    /// Reads it.
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error>;

    /// Its number.
    fn seq(&self) -> i64;
}

impl Read for Recorded {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        read(row)
    }

    fn seq(&self) -> i64 {
        self.seq
    }
}

/// A row and what it says of an account.
impl Read for (Recorded, Option<Object>) {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok((read(row)?, object(row, 15)?))
    }

    fn seq(&self) -> i64 {
        self.0.seq
    }
}

/// Gives the rows of a selection to `each`, in the order of their numbers, until it has enough.
pub fn each<T: Read, E: From<Error>>(
    connection: &Connection,
    selection: &Selection,
    mut each: impl FnMut(T) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let (sql, parameters) = selection.statement();
    let mut statement = connection.prepare(&sql).map_err(Error::from)?;
    let rows = statement
        .query_map(params_from_iter(parameters), T::read)
        .map_err(Error::from)?;
    for row in rows {
        if each(row.map_err(Error::from)?)?.is_break() {
            break;
        }
    }
    Ok(())
}

/// Gives the rows about the user with this id to `each`, the last first, until it has enough.
pub fn about_user(
    connection: &Connection,
    id: &str,
    mut each: impl FnMut(Recorded) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM audit WHERE target_id = ?1 AND target_type = 'User' ORDER BY seq DESC",
    )?;
    for row in statement.query_map([id], read)? {
        if each(row?).is_break() {
            break;
        }
    }
    Ok(())
}

/// At most `most` rows behind number `after`, in their order.
pub fn after(connection: &Connection, after: i64, most: usize) -> Result<Vec<Recorded>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map((after, most), read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn object(row: &Row<'_>, column: usize) -> Result<Option<Object>, rusqlite::Error> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text::parse_object(column, &text))
        .transpose()
}

fn read(row: &Row<'_>) -> Result<Recorded, rusqlite::Error> {
    Ok(Recorded {
        seq: row.get(0)?,
        at: row.get(1)?,
        request_id: row.get(2)?,
        actor: row.get(3)?,
        source: row.get(4)?,
        action: row.get(5)?,
        target_type: row.get(6)?,
        target_id: row.get(7)?,
        target_name: row.get(8)?,
        verdict: row.get(9)?,
        status: row.get(10)?,
        scim_type: row.get(11)?,
        reason: row.get(12)?,
        changes: object(row, 13)?,
        mapping: object(row, 14)?,
        prev_hash: row.get(16)?,
        hash: row.get(17)?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::open::SCHEMA;

    #[test]
    fn no_filter_that_finds_few_rows_walks_over_all() {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let one = |text: &str| Some(text.to_owned());
        let now = Some(Timestamp::UNIX_EPOCH);
        let none = Selection::default();
        for (selection, wanted) in [
            (
                Selection {
                    whom: vec!["a".into(), "b".into()],
                    ..none.clone()
                },
                "audit_target_name",
            ),
            (
                Selection {
                    whom: vec!["a".into(), "b".into()],
                    ..none.clone()
                },
                "audit_target (",
            ),
            (
                Selection {
                    request_id: one("r"),
                    ..none.clone()
                },
                "audit_request (",
            ),
            (
                Selection {
                    verdict: Some(Verdict::Refused),
                    ..none.clone()
                },
                "audit_not_applied",
            ),
            (
                Selection {
                    since: now,
                    ..none.clone()
                },
                "INTEGER PRIMARY KEY (rowid>",
            ),
            (
                Selection {
                    since: now,
                    ..none.clone()
                },
                "audit_at (at>",
            ),
            (
                Selection {
                    until: now,
                    ..none.clone()
                },
                "audit_at (at<",
            ),
            (
                Selection {
                    after: Some(1),
                    ..none.clone()
                },
                "INTEGER PRIMARY KEY (rowid>",
            ),
            (
                Selection {
                    after: Some(1),
                    limit: Some(9),
                    who: one("w"),
                    ..none.clone()
                },
                "(rowid>",
            ),
            (
                Selection {
                    limit: Some(9),
                    verdict: Some(Verdict::Failed),
                    ..none.clone()
                },
                "audit_not_applied",
            ),
        ] {
            let (sql, parameters) = selection.statement();
            let mut plan = connection
                .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
                .unwrap();
            let steps: Vec<String> = plan
                .query_map(params_from_iter(parameters), |row| row.get(3))
                .unwrap()
                .collect::<Result<_, _>>()
                .unwrap();
            let steps = steps.join("\n");
            assert!(steps.contains(wanted), "{selection:?}\n{steps}");
            assert!(!steps.contains("SCAN audit"), "{selection:?}\n{steps}");
            assert!(
                !steps.contains("B-TREE FOR ORDER BY"),
                "{selection:?}\n{steps}"
            );
        }
    }
}

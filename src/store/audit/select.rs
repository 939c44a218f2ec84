//! Which rows of `audit` somebody wants to see, and how they are read: one at a time, in the order of their numbers.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::{Value, ValueRef};
use rusqlite::{Connection, Row, params_from_iter};

use super::{Json, Recorded, Verdict};
use crate::scim::Object;
use crate::scim::fold::fold;
use crate::store::{Error, text};

/// On whom: what is about one thing, or whatever bore one name.
#[derive(Debug, Clone, Default)]
pub struct Whom {
    /// Ids: rows about what has one of them, and about groups that gained or lost such a member.
    pub ids: Vec<String>,
    /// Folded names: rows about what was called so.
    pub names: Vec<String>,
    /// Folded names under which rows count that are about nothing with an id: what was refused before it was made.
    pub refused_as: Vec<String>,
    /// Only rows about this kind of thing, those on memberships apart.
    pub target_type: Option<&'static str>,
}

impl Whom {
    /// What a text means, an id or a name, together with `ids` that are known to have that name: whatever bore it, under
    /// each of its names.
    pub fn of(connection: &Connection, text: &str, mut ids: Vec<String>) -> Result<Self, Error> {
        let key = fold(text).into_owned();
        let mut bearers = connection.prepare_cached(
            "SELECT DISTINCT target_id FROM audit_about JOIN audit USING (seq)
             WHERE kind = 'name' AND key = ?1 AND target_id IS NOT NULL",
        )?;
        let rows = bearers.query_map([&key], |row| row.get(0))?;
        ids.extend(rows.collect::<Result<Vec<String>, _>>()?);
        ids.push(text.to_owned());
        ids.sort_unstable();
        ids.dedup();
        Ok(Self {
            refused_as: names(connection, &ids)?,
            names: vec![key],
            ids,
            target_type: None,
        })
    }

    /// The user with this id, which is now called `name`, if it is there.
    pub fn user(connection: &Connection, id: &str, name: Option<&str>) -> Result<Self, Error> {
        let ids = vec![id.to_owned()];
        let mut refused_as = names(connection, &ids)?;
        refused_as.extend(name.map(|name| fold(name).into_owned()));
        Ok(Self {
            ids,
            names: Vec::new(),
            refused_as,
            target_type: Some("User"),
        })
    }

    /// A condition over `audit`, and its parameters.
    fn condition(&self) -> (&'static str, [Value; 4]) {
        let list = |texts: &[String]| Value::from(serde_json::Value::from(texts).to_string());
        let sql = "seq IN (
            SELECT seq FROM audit WHERE target_id IN (SELECT value FROM json_each(?1)) AND (?4 IS NULL OR target_type = ?4)
            UNION ALL SELECT seq FROM audit_about
                WHERE kind = 'member' AND key IN (SELECT value FROM json_each(?1))
            UNION ALL SELECT seq FROM audit_about JOIN audit USING (seq)
                WHERE kind = 'name' AND key IN (SELECT value FROM json_each(?2))
                AND (?4 IS NULL OR target_type = ?4)
            UNION ALL SELECT seq FROM audit_about JOIN audit USING (seq)
                WHERE kind = 'name' AND key IN (SELECT value FROM json_each(?3)) AND target_id IS NULL
                AND (?4 IS NULL OR target_type = ?4))";
        let target_type = self.target_type.map(str::to_owned).into();
        let lists = [&self.ids, &self.names, &self.refused_as].map(|texts| list(texts));
        let [ids, names, refused_as] = lists;
        (sql, [ids, names, refused_as, target_type])
    }
}

/// The folded names that what has one of these ids had, as far as the audit goes.
fn names(connection: &Connection, ids: &[String]) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT DISTINCT target_name FROM audit WHERE target_id = ?1 AND target_name IS NOT NULL",
    )?;
    let mut names = Vec::new();
    for id in ids {
        for name in statement.query_map([id], |row| row.get::<_, String>(0))? {
            names.push(fold(&name?).into_owned());
        }
    }
    names.sort_unstable();
    names.dedup();
    Ok(names)
}

/// Which rows to read: those that everything here agrees with.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Who.
    pub who: Option<String>,
    /// On whom.
    pub whom: Option<Whom>,
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
    /// The condition over `audit` that it is, without its limit, and its parameters.
    fn condition(&self) -> (String, Vec<Value>) {
        let mut conditions = vec!["1".to_owned()];
        let mut parameters = Vec::new();
        if let Some(whom) = &self.whom {
            let (condition, lists) = whom.condition();
            conditions.push(condition.to_owned());
            parameters.extend(lists);
        }
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
        (conditions.join(" AND "), parameters)
    }

    /// The statement that reads it from its beginning on, and its parameters.
    fn statement(&self) -> (String, Vec<Value>) {
        let (condition, parameters) = self.condition();
        let sql = format!("SELECT * FROM audit WHERE {condition} ORDER BY seq");
        (sql, parameters)
    }

    /// The statement that finds the first of its last rows, `limit` in number, and its parameters.
    fn last(&self, limit: u32) -> (String, Vec<Value>) {
        let (condition, parameters) = self.condition();
        let sql = format!(
            "SELECT min(seq) FROM (SELECT seq FROM audit WHERE {condition} ORDER BY seq DESC LIMIT {limit})"
        );
        (sql, parameters)
    }
}

/// Number of the first of the last rows of a selection, `limit` in number; none if it has no rows.
pub fn first_of_last(
    connection: &Connection,
    selection: &Selection,
    limit: u32,
) -> Result<Option<i64>, Error> {
    let (sql, parameters) = selection.last(limit);
    let mut statement = connection.prepare(&sql)?;
    Ok(statement.query_row(params_from_iter(parameters), |row| row.get(0))?)
}

/// Gives the rows of a selection, whatever its limit, to `each`, in the order of their numbers, until it has enough.
pub fn each(
    connection: &Connection,
    selection: &Selection,
    each: impl FnMut(Recorded) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (sql, parameters) = selection.statement();
    let mut statement = connection.prepare(&sql)?;
    visit(
        statement.query_map(params_from_iter(parameters), read)?,
        each,
    )
}

/// Gives the rows on somebody to `each`, the last first, until it has enough.
pub fn about(
    connection: &Connection,
    whom: &Whom,
    each: impl FnMut(Recorded) -> ControlFlow<()>,
) -> Result<(), Error> {
    let (condition, parameters) = whom.condition();
    let sql = format!("SELECT * FROM audit WHERE {condition} ORDER BY seq DESC");
    let mut statement = connection.prepare_cached(&sql)?;
    visit(
        statement.query_map(params_from_iter(parameters), read)?,
        each,
    )
}

/// Gives the rows behind row `after` to `each`, the first of them first, until it has enough.
pub fn behind(
    connection: &Connection,
    after: i64,
    each: impl FnMut(Recorded) -> ControlFlow<()>,
) -> Result<(), Error> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM audit WHERE seq > ?1 ORDER BY seq")?;
    visit(statement.query_map([after], read)?, each)
}

fn visit(
    rows: impl Iterator<Item = Result<Recorded, rusqlite::Error>>,
    mut each: impl FnMut(Recorded) -> ControlFlow<()>,
) -> Result<(), Error> {
    for row in rows {
        if each(row?).is_break() {
            break;
        }
    }
    Ok(())
}

/// At most `most` rows of applied changes behind number `after`, in their order, each with what it says of an account.
pub fn applied(
    connection: &Connection,
    after: i64,
    most: u32,
) -> Result<Vec<(Recorded, Option<Object>)>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT * FROM audit WHERE seq > ?1 AND +verdict = 'applied' ORDER BY seq LIMIT ?2",
    )?;
    let rows = statement.query_map((after, most), |row| Ok((read(row)?, object(row, 15)?)))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

fn object(row: &Row<'_>, column: usize) -> Result<Option<Object>, rusqlite::Error> {
    let text: Option<String> = row.get(column)?;
    text.map(|text| text::parse_object(column, &text))
        .transpose()
}

/// Reads a row whatever was done to it: readers go on behind one that was altered, and `chain` names it.
fn read(row: &Row<'_>) -> Result<Recorded, rusqlite::Error> {
    let optional = |column| {
        Ok::<_, rusqlite::Error>(match row.get_ref(column)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string()),
            ValueRef::Real(number) => Some(number.to_string()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => {
                Some(String::from_utf8_lossy(bytes).into_owned())
            }
        })
    };
    let text = |column| Ok::<_, rusqlite::Error>(optional(column)?.unwrap_or_default());
    let json = |column| {
        let text = optional(column)?;
        Ok::<_, rusqlite::Error>(text.map(|text| {
            let object = text::parse_object(column, &text);
            object.map_or(Json::Text(text), Json::Object)
        }))
    };
    Ok(Recorded {
        seq: row.get(0)?,
        at: text(1)?,
        request_id: text(2)?,
        actor: text(3)?,
        source: text(4)?,
        action: text(5)?,
        target_type: optional(6)?,
        target_id: optional(7)?,
        target_name: optional(8)?,
        verdict: text(9)?.parse().unwrap_or(Verdict::Failed),
        status: row.get(10)?,
        scim_type: optional(11)?,
        reason: text(12)?,
        changes: json(13)?,
        mapping: json(14)?,
        prev_hash: text(16)?,
        hash: text(17)?,
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
        let whom = || Selection {
            whom: Some(Whom::default()),
            ..none.clone()
        };
        for (selection, wanted) in [
            (whom(), "audit_target (target_id=?)"),
            (whom(), "audit_about USING PRIMARY KEY (key=? AND kind=?)"),
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
                    who: one("w"),
                    ..none.clone()
                },
                "INTEGER PRIMARY KEY (rowid>",
            ),
        ] {
            let all = selection.statement();
            let last = selection.last(9);
            for (sql, parameters) in [all, last] {
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
}

//! The chain of `audit` computed again: whether every row is as it was written and in its place. It starts behind the
//! last row that pruning removed, whose number and hash stand in `appliance` and, so that nobody can put others there,
//! in the row of that pruning.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::types::ValueRef;
use rusqlite::{Connection, Row, Rows};
use serde::Serialize;

use super::{Canonical, GENESIS, Link, about};
use crate::store::open::optional;
use crate::store::{Error, text};

/// What the row of a pruning calls the number and the hash of the last row that it removed.
pub const PRUNED: [&str; 2] = ["pruned_seq", "pruned_hash"];
/// The action of such a row.
pub const PRUNE: &str = "audit.prune";

/// The first place where the audit is not as it was written.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// The number of the row.
    pub seq: i64,
    /// What is wrong with it.
    pub what: String,
}

/// What a whole audit consists of.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Proof {
    /// Rows that are there.
    pub rows: u64,
    /// The last of them.
    pub head: Link,
    /// The last row that pruning removed; number 0 if none.
    pub pruned: Link,
}

/// The place before the first row.
fn genesis() -> Link {
    Link {
        seq: 0,
        hash: GENESIS.to_owned(),
    }
}

/// The two places that `appliance` holds: the head, and the last row that was removed. Without that row of `appliance`,
/// the beginning.
fn held(connection: &Connection) -> Result<(Link, Link), Error> {
    let found = connection
        .prepare_cached("SELECT audit_seq, audit_hash, pruned_seq, pruned_hash FROM appliance")?
        .query_row([], |row| {
            let link = |at| Ok::<_, rusqlite::Error>((row.get(at)?, row.get(at + 1)?));
            Ok((link(0)?, link(2)?))
        });
    let link = |(seq, hash)| Link { seq, hash };
    Ok(match optional(found)? {
        Some((head, pruned)) => (link(head), link(pruned)),
        None => (genesis(), genesis()),
    })
}

/// The last row that pruning removed; number 0 if none.
pub fn pruned(connection: &Connection) -> Result<Link, Error> {
    Ok(held(connection)?.1)
}

/// Whether the chain has this row, or had it before it was pruned. Does not compute the chain again.
pub fn has(connection: &Connection, link: &Link) -> Result<bool, Error> {
    let pruned = pruned(connection)?;
    if link.seq <= pruned.seq {
        return Ok(link.seq < pruned.seq || *link == pruned);
    }
    Ok(at(connection, link.seq)?.as_ref() == Some(link))
}

/// The place of the chain with this number; none if there is no such row, or if it was pruned and is not the last that was.
pub fn at(connection: &Connection, seq: i64) -> Result<Option<Link>, Error> {
    let pruned = pruned(connection)?;
    if seq == pruned.seq {
        return Ok(Some(pruned));
    }
    let found = connection
        .prepare_cached("SELECT hash FROM audit WHERE seq = ?1")?
        .query_row([seq], |row| row.get(0));
    Ok(optional(found)?.map(|hash| Link { seq, hash }))
}

/// The columns of a row that its hash covers, as the chain writes them.
fn columns<'r>(row: &'r Row<'_>) -> Result<Vec<Option<Cow<'r, [u8]>>>, rusqlite::Error> {
    let column = |index| {
        Ok(match row.get_ref(index)? {
            ValueRef::Null => None,
            ValueRef::Integer(number) => Some(number.to_string().into_bytes().into()),
            ValueRef::Real(number) => Some(number.to_string().into_bytes().into()),
            ValueRef::Text(bytes) | ValueRef::Blob(bytes) => Some(bytes.into()),
        })
    };
    (0..16).map(column).collect()
}

/// Takes the next row of the chain behind `last`, or says what is wrong with it.
fn next(last: &mut Link, row: &Row<'_>) -> Result<Result<(), Fault>, Error> {
    let seq: i64 = row.get(0)?;
    let expected = last.seq + 1;
    let fault = |seq, what: &str| {
        Ok(Err(Fault {
            seq,
            what: what.to_owned(),
        }))
    };
    if seq < expected {
        return fault(seq, "it was added");
    }
    if seq > expected {
        return fault(expected, "it is missing");
    }
    let columns = columns(row)?;
    let mut canonical = Canonical::new();
    canonical.add(Some(last.hash.as_bytes()));
    for column in &columns {
        canonical.add(column.as_deref());
    }
    let hash = canonical.hash();
    let holds = |index, wanted: &str| {
        Ok::<_, Error>(row.get_ref(index)?.as_bytes().ok() == Some(wanted.as_bytes()))
    };
    if !holds(16, &last.hash)? {
        return fault(
            seq,
            "it does not follow the row before it: one of the two was altered",
        );
    }
    if !holds(17, &hash)? {
        return fault(seq, "it was altered");
    }
    *last = Link { seq, hash };
    Ok(Ok(()))
}

/// What the row of a pruning says: the last row that was removed before, and the last one since.
struct Pruning {
    old: Link,
    new: Link,
}

/// What the row of an applied pruning says, none for another row. One that does not say it is a fault: the appliance
/// writes no such row.
fn pruning(row: &Row<'_>) -> Result<Result<Option<Pruning>, Fault>, Error> {
    let holds = |column, wanted: &[u8]| {
        Ok::<_, Error>(row.get_ref(column)?.as_bytes().ok() == Some(wanted))
    };
    if !holds(5, PRUNE.as_bytes())? || !holds(9, b"applied")? {
        return Ok(Ok(None));
    }
    let changes = row.get_ref(13)?.as_str().ok();
    let changes = changes.and_then(|text| text::parse_object(13, text).ok());
    let link = |side: &str| {
        let [seq, hash] = PRUNED.map(|name| changes.as_ref()?.get(name)?.get(side));
        Some(Link {
            seq: seq?.as_i64()?,
            hash: hash?.as_str()?.to_owned(),
        })
    };
    let said = link("old").zip(link("new"));
    Ok(match said {
        Some((old, new)) => Ok(Some(Pruning { old, new })),
        None => Err(Fault {
            seq: row.get(0)?,
            what: "it is of a pruning and does not say what that removed".to_owned(),
        }),
    })
}

/// What is wrong where rows up to one place are gone, and what vouches for that says another.
fn unvouched(one: &Link, other: &Link) -> Fault {
    Fault {
        seq: one.seq.min(other.seq) + 1,
        what: "it is missing, and no pruning in the audit says that it was removed".to_owned(),
    }
}

/// The places that were noted outside the database, by their numbers. Two of one number may differ: then one of them is
/// not in the chain.
struct Anchors<'a>(BTreeMap<i64, Vec<&'a Link>>);

impl<'a> Anchors<'a> {
    fn new(links: &'a [Link]) -> Self {
        let mut anchors = BTreeMap::<_, Vec<_>>::new();
        for link in links {
            anchors.entry(link.seq).or_default().push(link);
        }
        Self(anchors)
    }

    /// What is wrong if another place of this number was noted.
    fn contradicted(&self, link: &Link) -> Option<Fault> {
        let mut noted = self.0.get(&link.seq)?.iter();
        noted.any(|noted| *noted != link).then(|| Fault {
            seq: link.seq,
            what: format!(
                "it is not the row {} that was noted outside the database: the audit was written anew",
                link.seq
            ),
        })
    }
}

/// Computes the chain again from its beginning to its head. Each of `anchors`, places that were noted outside the
/// database, has to be in it unless it was pruned. Memory does not grow with the rows.
pub fn verify(connection: &Connection, anchors: &[Link]) -> Result<Result<Proof, Fault>, Error> {
    let (head, pruned) = held(connection)?;
    let anchors = Anchors::new(anchors);
    let fault = |seq, what: String| Ok(Err(Fault { seq, what }));
    if let Some(fault) = anchors.contradicted(&pruned) {
        return Ok(Err(fault));
    }
    let (mut last, mut rows, mut vouched) = (pruned.clone(), 0, None);
    let mut statement = connection.prepare("SELECT * FROM audit ORDER BY seq")?;
    let mut found = statement.query([])?;
    while let Some(row) = found.next()? {
        if let Err(fault) = next(&mut last, row)? {
            return Ok(Err(fault));
        }
        if last.seq > head.seq {
            return fault(
                last.seq,
                format!("it stands behind the head, which is row {}", head.seq),
            );
        }
        if let Some(fault) = anchors.contradicted(&last) {
            return Ok(Err(fault));
        }
        match pruning(row)? {
            Ok(None) => {}
            Ok(Some(Pruning { old, new })) => match vouched.replace(new) {
                Some(before) if before != old => return Ok(Err(unvouched(&before, &old))),
                _ => {}
            },
            Err(fault) => return Ok(Err(fault)),
        }
        rows += 1;
    }
    if last.seq < head.seq {
        return fault(
            last.seq + 1,
            format!(
                "it is missing, and all rows behind it; the head is row {}",
                head.seq
            ),
        );
    }
    if last != head {
        return fault(last.seq, "its hash is not the one of the head".to_owned());
    }
    let vouched = vouched.unwrap_or_else(genesis);
    if vouched != pruned {
        return Ok(Err(unvouched(&vouched, &pruned)));
    }
    match anchors.0.last_key_value() {
        Some((seq, _)) if *seq > last.seq => fault(
            last.seq + 1,
            format!("it is missing: row {seq} was noted outside the database"),
        ),
        _ => Ok(Ok(Proof { rows, head, pruned })),
    }
}

/// What a pruning removed.
#[derive(Debug)]
pub struct Removed {
    /// How many rows.
    pub rows: u64,
    /// The last row that was removed before.
    pub before: Link,
    /// The last row that is removed now.
    pub last: Link,
}

/// Whether the first row is older than `before`.
pub fn is_due(connection: &Connection, before: Timestamp) -> Result<bool, Error> {
    let first = connection
        .prepare_cached("SELECT at < ?1 FROM audit ORDER BY seq LIMIT 1")?
        .query_row([text::instant(before)], |row| row.get(0));
    Ok(optional(first)? == Some(true))
}

/// Where the chain begins by the row of the last pruning.
fn vouched(connection: &Connection) -> Result<Result<Link, Fault>, Error> {
    // The words of the program, not parameters: only so the index over the rows of prunings can be used.
    let sql = format!(
        "SELECT * FROM audit INDEXED BY audit_pruning WHERE action = '{PRUNE}' AND verdict = 'applied'
         ORDER BY seq DESC LIMIT 1"
    );
    let mut statement = connection.prepare_cached(&sql)?;
    let mut found = statement.query([])?;
    Ok(match found.next()? {
        Some(row) => pruning(row)?.map(|said| said.map_or_else(genesis, |said| said.new)),
        None => Ok(genesis()),
    })
}

/// Removes the rows at the beginning that are older than `before`, at most `most`, and notes where the chain begins
/// now. They have to be whole, and begin where the last pruning says: pruning does not cover up what was done to them,
/// nor that some were removed without it.
pub fn prune(
    connection: &Connection,
    before: Timestamp,
    most: u32,
) -> Result<Result<Removed, Fault>, Error> {
    let start = pruned(connection)?;
    match vouched(connection)? {
        Ok(vouched) if vouched == start => {}
        Ok(vouched) => return Ok(Err(unvouched(&vouched, &start))),
        Err(fault) => return Ok(Err(fault)),
    }
    let before = text::instant(before);
    let mut statement = connection.prepare_cached("SELECT * FROM audit ORDER BY seq LIMIT ?1")?;
    let forget = |row: &Row<'_>| about::forget(connection, row);
    let walked = walk(start.clone(), &before, statement.query([most])?, forget)?;
    let (last, rows) = match walked {
        Ok(walked) => walked,
        Err(fault) => return Ok(Err(fault)),
    };
    if rows > 0 {
        connection
            .prepare_cached("DELETE FROM audit WHERE seq <= ?1")?
            .execute([last.seq])?;
        connection
            .prepare_cached("UPDATE appliance SET pruned_seq = ?1, pruned_hash = ?2")?
            .execute((last.seq, &last.hash))?;
    }
    Ok(Ok(Removed {
        rows,
        before: start,
        last,
    }))
}

/// Follows the chain as long as its rows are older than `before`, which are given to `each`: the last of them, and how
/// many they are.
fn walk(
    mut last: Link,
    before: &str,
    mut found: Rows<'_>,
    mut each: impl FnMut(&Row<'_>) -> Result<(), Error>,
) -> Result<Result<(Link, u64), Fault>, Error> {
    let mut rows = 0;
    while let Some(row) = found.next()? {
        if row.get_ref(1)?.as_str().is_ok_and(|at| at >= before) {
            break;
        }
        if let Err(fault) = next(&mut last, row)? {
            return Ok(Err(fault));
        }
        each(row)?;
        rows += 1;
    }
    Ok(Ok((last, rows)))
}

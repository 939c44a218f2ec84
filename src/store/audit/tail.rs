//! How rows get into `audit`: each has its number and its hash at once, and stands in the table at the end of its
//! transaction, with all that were made in it. Each job of a batch would touch the last pages of the table and its indexes
//! otherwise, of which SQLite makes a copy for each, in case that job is rolled back.

use std::ops::Range;

use rusqlite::types::{ToSqlOutput, ValueRef};
use rusqlite::{Connection, params_from_iter};

use super::{Canonical, Link, Row, about, head};
use crate::store::{Error, text};

/// Bytes of a row, with 64 for each word under which it is found, above which it is not left to the end.
const LARGE: usize = 64 * 1024;

/// The end of the chain in a transaction under way.
#[derive(Default)]
pub struct Tail {
    /// Where the chain ended before, once that was read.
    head: Option<Link>,
    /// The rows since.
    rows: Vec<Chained>,
    /// How many of them are in the table.
    written: usize,
}

/// How far a tail had come, to go back to.
#[derive(Debug, Clone, Copy)]
pub struct Mark {
    rows: usize,
    written: usize,
}

/// A row in its place in the chain.
struct Chained {
    link: Link,
    canonical: Canonical,
    /// Where in the text the columns are, the hash of the row before first.
    columns: [Option<Range<usize>>; 17],
    /// Under which words the row is found.
    words: about::Words,
}

impl Tail {
    /// The number that the next row will have.
    pub fn next_seq(&mut self, connection: &Connection) -> Result<i64, Error> {
        Ok(self.last(connection)?.seq + 1)
    }

    fn last(&mut self, connection: &Connection) -> Result<&Link, Error> {
        if let Some(row) = self.rows.last() {
            return Ok(&row.link);
        }
        Ok(match &mut self.head {
            Some(head) => head,
            unread => unread.insert(head(connection)?),
        })
    }

    /// Appends `row` to the chain, not yet to the table. Returns its sequence number.
    pub fn append(&mut self, connection: &Connection, row: &Row<'_>) -> Result<i64, Error> {
        let last = self.last(connection)?;
        let seq = last.seq + 1;
        let at = text::instant(row.at);
        let changes = row.changes.map(text::object).transpose()?;
        let mapping = row.mapping.map(text::object).transpose()?;
        let columns = [
            Some(&*last.hash),
            Some(&*seq.to_string()),
            Some(&at),
            Some(row.request_id),
            Some(row.actor),
            Some(row.source),
            Some(row.action),
            row.target_type,
            row.target_id.as_deref(),
            row.target_name.as_deref(),
            Some(row.verdict.as_str()),
            Some(&row.status.to_string()),
            row.scim_type,
            Some(&row.reason),
            changes.as_deref(),
            mapping.as_deref(),
            row.account,
        ];
        let mut canonical = Canonical::new();
        let columns = columns.map(|column| canonical.add(column.map(str::as_bytes)));
        let hash = canonical.hash();
        self.rows.push(Chained {
            link: Link { seq, hash },
            canonical,
            columns,
            words: about::words(row.target_name.as_deref(), row.changes),
        });
        Ok(seq)
    }

    /// Puts the rows that are not there yet into the table and moves the head, which has to happen before the COMMIT.
    pub fn write(&mut self, connection: &Connection) -> Result<(), Error> {
        let rows = self.rows.get(self.written..).unwrap_or_default();
        let Some(Chained { link: head, .. }) = rows.last() else {
            return Ok(());
        };
        // In the order of the canonical text.
        let mut insert = connection.prepare_cached(
            "INSERT INTO audit (prev_hash, seq, at, request_id, actor, source, action, target_type, target_id, target_name,
                 verdict, status, scim_type, reason, changes, mapping, account, hash)
             VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        )?;
        for row in rows {
            if insert.execute(params_from_iter(row.values()))? != 1 {
                return Err(Error::Sqlite("the audit row was not taken".into()));
            }
        }
        for row in rows {
            about::note(connection, row.link.seq, &row.words)?;
        }
        connection
            .prepare_cached("UPDATE appliance SET audit_seq = ?1, audit_hash = ?2")?
            .execute((head.seq, &head.hash))?;
        self.written = self.rows.len();
        Ok(())
    }

    /// Whether the last row is better written now than with all at the end.
    pub fn is_large(&self) -> bool {
        let unwritten = self.rows.get(self.written..).unwrap_or_default();
        let weight = |row: &Chained| row.canonical.0.len() + row.words.len() * 64;
        unwritten.last().is_some_and(|row| weight(row) > LARGE)
    }

    /// How far it has come.
    pub fn mark(&self) -> Mark {
        Mark {
            rows: self.rows.len(),
            written: self.written,
        }
    }

    /// Forgets what came since `mark`, as the database does.
    pub fn back_to(&mut self, mark: Mark) {
        self.rows.truncate(mark.rows);
        self.written = mark.written;
    }
}

impl Chained {
    /// The values of the columns, the hash last. What is a number in the table is one in its text.
    fn values(&self) -> impl Iterator<Item = ToSqlOutput<'_>> {
        let column = |range: &Option<Range<usize>>| {
            let bytes = range.clone().and_then(|range| self.canonical.0.get(range));
            bytes.map_or(ValueRef::Null, ValueRef::Text)
        };
        let hash = ValueRef::Text(self.link.hash.as_bytes());
        let values = self.columns.iter().map(column).chain([hash]);
        values.map(ToSqlOutput::Borrowed)
    }
}

#[cfg(test)]
mod tests;

//! Statements over `audit`, and the chain: the hash of a row covers all its columns and the hash of the row before it,
//! so that no row can be altered or removed without a trace.

use std::fmt::Write;

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::types::{FromSql, FromSqlError, FromSqlResult, ValueRef};
use rusqlite::{Connection, named_params};
use serde::Serialize;

use super::text::{self, words};
use super::users::PreservedBy;
use super::{Error, open::optional};
use crate::scim::Object;

words! {
    /// What the appliance did with a request.
    Verdict {
        /// Something changed.
        Applied = "applied",
        /// It was already so.
        Unchanged = "unchanged",
        /// A rule forbids it.
        Refused = "refused",
        /// The appliance could not.
        Failed = "failed",
    }
}

/// One row of `audit`, before it has its place in the chain.
#[derive(Debug, Clone)]
pub struct Row {
    /// When.
    pub at: jiff::Timestamp,
    /// The id that the answer carries in `X-Request-Id`.
    pub request_id: String,
    /// Who: a token or an administrator.
    pub actor: String,
    /// From where: an address, or `cli`.
    pub source: String,
    /// What: `user.create`, `token.revoke`.
    pub action: String,
    /// On what kind of thing.
    pub target_type: Option<&'static str>,
    /// Its id.
    pub target_id: Option<String>,
    /// Its name at the time.
    pub target_name: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// HTTP status of the answer; 0 where the request did not come over HTTP.
    pub status: u16,
    /// `scimType` of the answer.
    pub scim_type: Option<&'static str>,
    /// Why, in words.
    pub reason: String,
    /// Attribute → `{"old", "new"}`.
    pub changes: Option<Object>,
    /// The decision of the mappings.
    pub mapping: Option<Object>,
}

/// One row of `audit` in the words of the contract for scripts (design §5); its fields are their keys.
#[derive(Debug, Clone, Serialize)]
pub struct Recorded {
    /// Its place.
    pub seq: i64,
    /// When.
    pub at: String,
    /// Id of the request.
    pub request_id: String,
    /// Who.
    pub actor: String,
    /// From where.
    pub source: String,
    /// What.
    pub action: String,
    /// On what kind of thing.
    pub target_type: Option<String>,
    /// Its id.
    pub target_id: Option<String>,
    /// Its name at the time.
    pub target_name: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// HTTP status of the answer.
    pub status: u16,
    /// `scimType` of the answer.
    pub scim_type: Option<String>,
    /// Why.
    pub reason: String,
    /// Attribute → `{"old", "new"}`.
    pub changes: Option<Object>,
    /// The decision of the mappings.
    pub mapping: Option<Object>,
    /// Hash of the row before.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
}

fn recorded(row: &rusqlite::Row<'_>) -> Result<Recorded, rusqlite::Error> {
    let object = |column| {
        let text: Option<String> = row.get(column)?;
        text.map(|text| text::parse_object(column, &text))
            .transpose()
    };
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
        changes: object(13)?,
        mapping: object(14)?,
        prev_hash: row.get(15)?,
        hash: row.get(16)?,
    })
}

/// All rows about the thing with this id, in their order.
pub fn about(connection: &Connection, target_id: &str) -> Result<Vec<Recorded>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM audit WHERE target_id = ?1 ORDER BY seq")?;
    let rows = statement.query_map([target_id], recorded)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The rows after `seq`, `most` of them, in their order.
pub fn after(connection: &Connection, seq: i64, most: usize) -> Result<Vec<Recorded>, Error> {
    let mut statement =
        connection.prepare_cached("SELECT * FROM audit WHERE seq > ?1 ORDER BY seq LIMIT ?2")?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map((seq, most), recorded)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Who preserved an account at `at`, or on top of that as the administrator; none where the rows are gone.
pub fn preserver(
    connection: &Connection,
    target_id: &str,
    by: PreservedBy,
    at: &str,
) -> Result<Option<String>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT actor FROM audit WHERE target_id = ?1 AND verdict = 'applied'
             AND CASE ?2 WHEN 'admin' THEN action = 'account.preserve' ELSE at = ?3 END
         ORDER BY seq DESC LIMIT 1",
    )?;
    optional(statement.query_row((target_id, by, at), |row| row.get(0)))
}

/// When something was done last, as far as the file tells: an audit row, or a request by a token.
pub fn last_sign_of_life(connection: &Connection) -> Result<Option<jiff::Timestamp>, Error> {
    let last: Option<String> = connection.query_row(
        "SELECT max(at) FROM (SELECT at FROM (SELECT at FROM audit ORDER BY seq DESC LIMIT 1)
             UNION ALL SELECT max(last_used) FROM token)",
        [],
        |row| row.get(0),
    )?;
    let parsed = last.map(|last| text::parse_instant(0, &last)).transpose();
    Ok(parsed?)
}

/// When something was changed last. Walks back over what was refused or was already so.
pub fn last_change(connection: &Connection) -> Result<Option<jiff::Timestamp>, Error> {
    let sql = "SELECT at FROM audit WHERE verdict = 'applied' ORDER BY seq DESC LIMIT 1";
    let at: Option<String> = optional(connection.query_row(sql, [], |row| row.get(0)))?;
    let parsed = at.map(|at| text::parse_instant(0, &at)).transpose();
    Ok(parsed?)
}

/// The hash before the first row.
pub const GENESIS: &str = "0000000000000000000000000000000000000000000000000000000000000000";

/// The end of the chain.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Head {
    /// Number of the last row.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// The end of the chain, as it stands apart from the rows.
pub fn head(connection: &Connection) -> Result<Head, Error> {
    let mut statement = connection.prepare_cached("SELECT audit_seq, audit_hash FROM appliance")?;
    Ok(statement.query_row([], |row| {
        let (seq, hash) = (row.get(0)?, row.get(1)?);
        Ok(Head { seq, hash })
    })?)
}

/// Where the chain is broken first: a number is missing, a hash is not the one that its row and the row before it give,
/// or the last row is not the head.
pub fn break_in(connection: &Connection) -> Result<Option<String>, Error> {
    let mut statement = connection.prepare("SELECT * FROM audit ORDER BY seq")?;
    let columns = statement.column_count().saturating_sub(2);
    let mut rows = statement.query([])?;
    let (mut seq, mut hash) = (0, GENESIS.to_owned());
    while let Some(row) = rows.next()? {
        seq += 1;
        if row.get::<_, i64>(0)? != seq {
            return Ok(Some(format!("row {seq} of the audit is missing")));
        }
        let texts: Vec<Option<Hashed>> = (0..columns)
            .map(|column| row.get(column))
            .collect::<Result<_, _>>()?;
        let texts: Vec<_> = texts
            .iter()
            .map(|text| text.as_ref().map(|Hashed(text)| text.as_str()))
            .collect();
        let before = std::mem::take(&mut hash);
        hash = chained(&before, &texts);
        if row.get::<_, String>(columns)? != before || row.get::<_, String>(columns + 1)? != hash {
            return Ok(Some(format!("row {seq} of the audit was changed")));
        }
    }
    let whole = head(connection)? == Head { seq, hash };
    Ok((!whole).then(|| format!("row {seq} of the audit is not the last one that was written")))
}

/// Appends `row` to the chain and moves the head. Returns its sequence number.
pub fn append(connection: &Connection, row: &Row) -> Result<i64, Error> {
    let Head {
        seq: last,
        hash: prev_hash,
    } = head(connection)?;
    let seq = last + 1;
    let at = text::instant(row.at);
    let changes = row.changes.as_ref().map(text::object).transpose()?;
    let mapping = row.mapping.as_ref().map(text::object).transpose()?;
    let hash = chained(
        &prev_hash,
        &[
            Some(&seq.to_string()),
            Some(&at),
            Some(&row.request_id),
            Some(&row.actor),
            Some(&row.source),
            Some(&row.action),
            row.target_type,
            row.target_id.as_deref(),
            row.target_name.as_deref(),
            Some(row.verdict.as_str()),
            Some(&row.status.to_string()),
            row.scim_type,
            Some(&row.reason),
            changes.as_deref(),
            mapping.as_deref(),
        ],
    );
    connection
        .prepare_cached(
            "INSERT INTO audit VALUES (:seq, :at, :request_id, :actor, :source, :action, :target_type, :target_id,
                 :target_name, :verdict, :status, :scim_type, :reason, :changes, :mapping, :prev_hash, :hash)",
        )?
        .execute(named_params! {
            ":seq": seq,
            ":at": at,
            ":request_id": row.request_id,
            ":actor": row.actor,
            ":source": row.source,
            ":action": row.action,
            ":target_type": row.target_type,
            ":target_id": row.target_id,
            ":target_name": row.target_name,
            ":verdict": row.verdict,
            ":status": row.status,
            ":scim_type": row.scim_type,
            ":reason": row.reason,
            ":changes": changes,
            ":mapping": mapping,
            ":prev_hash": prev_hash,
            ":hash": hash,
        })?;
    connection
        .prepare_cached("UPDATE appliance SET audit_seq = ?1, audit_hash = ?2")?
        .execute((seq, &hash))?;
    Ok(seq)
}

/// The hash of a row: SHA-256, in lower-case hex, over the hash of the row before and each column in the table's
/// order. A column is written as its length in bytes in decimal, a colon and its bytes; a null as `-`. The lengths
/// keep two different rows from having the same text.
fn chained(prev_hash: &str, columns: &[Option<&str>]) -> String {
    let mut canonical = String::with_capacity(512);
    for column in std::iter::once(&Some(prev_hash)).chain(columns) {
        // Writing to a String cannot fail.
        let _ = match column {
            Some(column) => write!(canonical, "{}:{column}", column.len()),
            None => write!(canonical, "-"),
        };
    }
    hex(digest(&SHA256, canonical.as_bytes()).as_ref())
}

/// A column as it is hashed: text as it is, a number in decimal.
struct Hashed(String);

impl FromSql for Hashed {
    fn column_result(value: ValueRef<'_>) -> FromSqlResult<Self> {
        match value {
            ValueRef::Integer(number) => Ok(Self(number.to_string())),
            ValueRef::Text(_) => value.as_str().map(|text| Self(text.to_owned())),
            _ => Err(FromSqlError::InvalidType),
        }
    }
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    bytes
        .iter()
        .fold(String::with_capacity(bytes.len() * 2), |mut text, byte| {
            let _ = write!(text, "{byte:02x}");
            text
        })
}

/// The single row of `appliance` in a new file.
pub fn insert_genesis(connection: &Connection, created: jiff::Timestamp) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO appliance VALUES (1, ?1, 0, ?2)",
        (text::instant(created), GENESIS),
    )?;
    Ok(())
}

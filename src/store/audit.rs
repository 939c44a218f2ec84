//! The rows of `audit`, and the chain: the hash of a row covers all its columns and the hash of the row before it, so that
//! no row can be altered or removed without a trace. How rows get there is in `tail`, how they are read in `select`, how
//! the chain is computed again in `chain`.

mod about;
pub mod chain;
pub mod select;
mod tail;

use std::borrow::Cow;
use std::ops::Range;

use aws_lc_rs::digest::{SHA256, digest};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

pub use self::tail::Tail;
use super::text::{self, words};
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
pub struct Row<'a> {
    /// When.
    pub at: jiff::Timestamp,
    /// The id that the answer carries in `X-Request-Id`.
    pub request_id: &'a str,
    /// Who: a token or an administrator.
    pub actor: &'a str,
    /// From where: an address, or `cli`.
    pub source: &'a str,
    /// What: `user.create`, `token.revoke`.
    pub action: &'a str,
    /// On what kind of thing.
    pub target_type: Option<&'static str>,
    /// Its id.
    pub target_id: Option<Cow<'a, str>>,
    /// Its name at the time.
    pub target_name: Option<Cow<'a, str>>,
    /// What came of it.
    pub verdict: Verdict,
    /// HTTP status of the answer; 0 where the request did not come over HTTP.
    pub status: u16,
    /// `scimType` of the answer.
    pub scim_type: Option<&'static str>,
    /// Why, in words.
    pub reason: Cow<'a, str>,
    /// Attribute → `{"old", "new"}`.
    pub changes: Option<&'a Object>,
    /// The decision of the mappings.
    pub mapping: Option<&'a Object>,
    /// The account as it is now, and what of it was different before: JSON.
    pub account: Option<&'a str>,
}

#[cfg(test)]
impl<'a> Row<'a> {
    /// A row for tests, told from others by its `request_id`.
    pub(super) fn sample(request_id: &'a str) -> Self {
        Self {
            at: jiff::Timestamp::UNIX_EPOCH,
            request_id,
            actor: "token:a",
            source: "192.0.2.1",
            action: "user.create",
            target_type: Some("User"),
            target_id: None,
            target_name: Some("Åse: 3".into()),
            verdict: Verdict::Applied,
            status: 201,
            scim_type: None,
            reason: "".into(),
            changes: None,
            mapping: None,
            account: None,
        }
    }
}

/// What a column that is to hold a JSON object does hold.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[serde(untagged)]
#[schemars(inline)]
pub enum Json {
    /// The object.
    Object(Object),
    /// No object: somebody altered it.
    Text(String),
}

/// One row of `audit` in the words of the contract for scripts (design §5); its fields are their keys. A row that a
/// hand with SQL altered can be read too, as it is: what is not UTF-8 lossily, what is no JSON as a text, a verdict that
/// is none as `failed`. Proving that none was altered is the business of `chain`.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "AuditRow")]
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
    pub status: i64,
    /// `scimType` of the answer.
    pub scim_type: Option<String>,
    /// Why.
    pub reason: String,
    /// Attribute → `{"old", "new"}`.
    pub changes: Option<Json>,
    /// The decision of the mappings.
    pub mapping: Option<Json>,
    /// Hash of the row before.
    pub prev_hash: String,
    /// Its own hash.
    pub hash: String,
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

/// A place in the chain.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Link {
    /// Number of the row.
    pub seq: i64,
    /// Its hash.
    pub hash: String,
}

/// The end of the chain, as it stands apart from the rows; within a job of the writer, that before its batch.
pub fn head(connection: &Connection) -> Result<Link, Error> {
    let mut statement = connection.prepare_cached("SELECT audit_seq, audit_hash FROM appliance")?;
    Ok(statement.query_row([], |row| {
        let (seq, hash) = (row.get(0)?, row.get(1)?);
        Ok(Link { seq, hash })
    })?)
}

/// Appends `row` to the chain and to the table. Returns its sequence number.
pub fn append(connection: &Connection, row: &Row<'_>) -> Result<i64, Error> {
    let mut tail = Tail::default();
    let seq = tail.append(connection, row)?;
    tail.write(connection)?;
    Ok(seq)
}

/// The canonical text of a row: the hash of the row before and each column in the table's order. A column is written as
/// its length in bytes in decimal, a colon and its bytes; a null as `-`. The lengths keep two different rows from having
/// the same text.
struct Canonical(Vec<u8>);

impl Canonical {
    fn new() -> Self {
        Self(Vec::with_capacity(2048))
    }

    /// Adds a column, and says where in the text its bytes are.
    fn add(&mut self, column: Option<&[u8]>) -> Option<Range<usize>> {
        let Some(bytes) = column else {
            self.0.push(b'-');
            return None;
        };
        // Into memory: it cannot fail. Quicker than by way of a format.
        let _ = serde_json::to_writer(&mut self.0, &bytes.len());
        self.0.push(b':');
        let begin = self.0.len();
        self.0.extend_from_slice(bytes);
        Some(begin..self.0.len())
    }

    /// The hash of the row: SHA-256 in lower-case hex.
    fn hash(&self) -> String {
        hex(digest(&SHA256, &self.0).as_ref())
    }
}

/// Bytes as lower-case hex.
fn hex(bytes: &[u8]) -> String {
    let digits = bytes.iter().flat_map(|byte| [byte >> 4, byte & 15]);
    let letters = digits.filter_map(|digit| char::from_digit(digit.into(), 16));
    let mut text = String::with_capacity(bytes.len() * 2);
    text.extend(letters);
    text
}

/// The single row of `appliance` in a new file.
pub fn insert_genesis(connection: &Connection, created: jiff::Timestamp) -> Result<(), Error> {
    connection.execute(
        "INSERT INTO appliance (id, created, audit_seq, audit_hash, pruned_seq, pruned_hash)
         VALUES (1, ?1, 0, ?2, 0, ?2)",
        (text::instant(created), GENESIS),
    )?;
    Ok(())
}

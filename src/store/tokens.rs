//! Statements over `token`.

use jiff::Timestamp;
use rusqlite::{Connection, Row, named_params};

use super::text::{self, words};
use super::{Error, open::optional};

words! {
    /// What a token may be used for.
    Scope {
        /// SCIM, reading and writing.
        Provision = "provision",
        /// Reading, at SCIM and at the admin API.
        Read = "read",
        /// Reading at SCIM, everything at the admin API.
        Admin = "admin",
    }
}

/// One row of `token`: everything but the secret.
#[derive(Clone)]
pub struct Token {
    /// The public half, in the token's text.
    pub id: String,
    /// What the administrator calls it.
    pub name: String,
    /// What it may be used for.
    pub scope: Scope,
    /// The secret's argon2id PHC string.
    pub phc: String,
    /// Sixteen bits of a keyed digest of the secret, which tell nearly every wrong one without argon2.
    pub fingerprint: u16,
    /// When it was made.
    pub created: Timestamp,
    /// When it ends.
    pub expires: Timestamp,
    /// When it was revoked.
    pub revoked: Option<Timestamp>,
    /// Id of the token that replaces it.
    pub replaced: Option<String>,
    /// When a request used it last, to the minute.
    pub last_used: Option<Timestamp>,
}

impl Token {
    /// Whether it is neither revoked nor at its end.
    pub fn is_usable(&self, now: Timestamp) -> bool {
        self.revoked.is_none() && self.expires > now
    }
}

const COLUMNS: &str =
    "id, name, scope, phc, fingerprint, created, expires, revoked, replaced, last_used";

fn read(row: &Row<'_>) -> Result<Token, rusqlite::Error> {
    let instant = |column| text::parse_instant(column, row.get_ref(column)?.as_str()?);
    let maybe = |column| -> Result<Option<Timestamp>, rusqlite::Error> {
        let text = row.get_ref(column)?.as_str_or_null()?;
        text.map(|text| text::parse_instant(column, text))
            .transpose()
    };
    Ok(Token {
        id: row.get(0)?,
        name: row.get(1)?,
        scope: row.get(2)?,
        phc: row.get(3)?,
        fingerprint: row.get(4)?,
        created: instant(5)?,
        expires: instant(6)?,
        revoked: maybe(7)?,
        replaced: row.get(8)?,
        last_used: maybe(9)?,
    })
}

/// The token with this id.
pub fn get(connection: &Connection, id: &str) -> Result<Option<Token>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM token WHERE id = ?1");
    optional(connection.prepare_cached(&sql)?.query_row([id], read))
}

/// All tokens, the oldest first.
pub fn all(connection: &Connection) -> Result<Vec<Token>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM token ORDER BY created, id");
    let mut statement = connection.prepare_cached(&sql)?;
    let rows = statement.query_map([], read)?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Adds a token.
pub fn insert(connection: &Connection, token: &Token) -> Result<(), Error> {
    connection
        .prepare_cached(
            "INSERT INTO token (id, name, scope, phc, fingerprint, created, expires)
             VALUES (:id, :name, :scope, :phc, :fingerprint, :created, :expires)",
        )?
        .execute(named_params! {
            ":id": token.id,
            ":name": token.name,
            ":scope": token.scope,
            ":phc": token.phc,
            ":fingerprint": token.fingerprint,
            ":created": text::instant(token.created),
            ":expires": text::instant(token.expires),
        })?;
    Ok(())
}

/// Ends a token at `at`.
pub fn revoke(connection: &Connection, id: &str, at: Timestamp) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE token SET revoked = ?2 WHERE id = ?1")?
        .execute((id, text::instant(at)))?;
    Ok(())
}

/// Notes that token `new` replaces token `id`, which ends at `at`, never at a later instant than it had.
pub fn replace(connection: &Connection, id: &str, new: &str, at: Timestamp) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE token SET expires = min(expires, ?3), replaced = ?2 WHERE id = ?1")?
        .execute((id, new, text::instant(at)))?;
    Ok(())
}

/// Notes that a token was used at `at`, and nothing later: a use beyond it is one of a clock that was ahead.
pub fn used(connection: &Connection, id: &str, at: Timestamp) -> Result<(), Error> {
    connection
        .prepare_cached("UPDATE token SET last_used = ?2 WHERE id = ?1 OR last_used > ?2")?
        .execute((id, text::instant(at)))?;
    Ok(())
}

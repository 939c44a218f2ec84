//! Bearer tokens (design §3.14): how they are made, and how a request's token is checked.
//!
//! Argon2 runs once per token and process, off the async threads and few at a time; afterwards a keyed digest in memory
//! answers. Whether a token is revoked or has ended is read from the database for each request, so that what another
//! process did counts at once.

use std::collections::HashMap;
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};

use argon2::{Argon2, PasswordHasher, PasswordVerifier};
use aws_lc_rs::{hmac, rand};
use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use tokio::sync::{Semaphore, SemaphorePermit};
use zeroize::Zeroizing;

use super::audit::{Entry, Origin};
use super::{Directory, Refusal, names};
use crate::scim::{Error, ScimType};
use crate::store::text::instant;
use crate::store::tokens as table;
pub use crate::store::tokens::{Scope, Token};
use crate::store::{self, writer::Job};

/// What every token starts with, so that secret scanners find it.
const PREFIX: &str = "slt_";
/// Letters of ids and secrets: 32 of them, five bits each, without those that are mistaken for one another.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";
/// Letters of an id: 50 bits, enough that two never meet.
const ID_LETTERS: usize = 10;
/// Letters of a secret: 200 bits.
const SECRET_LETTERS: usize = 40;
/// Argon2 runs at the same time: each takes 19 MiB and a core for some 25 ms.
const ARGON2_RUNS: usize = 2;
/// Days for which a token is valid unless it is told otherwise.
pub const DEFAULT_DAYS: u16 = 365;
/// Days for which a token is valid at the most.
pub const LONGEST_DAYS: u16 = 3650;
/// Hours for which a token may stay valid beside the one that replaces it: a month.
pub const LONGEST_OVERLAP: u16 = 720;

/// A whole token, to be shown once. It cannot be printed by accident and is wiped from memory.
pub struct Secret(Zeroizing<String>);

impl Secret {
    /// The token's text, for the one place that shows it.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("Secret(..)")
    }
}

/// A new token: its text and its row.
pub struct Issued {
    /// The text, shown once.
    pub secret: Secret,
    /// What is stored.
    pub token: Token,
}

impl Issued {
    /// The one time that the token is shown.
    pub fn shown(&self) -> Shown<'_> {
        Shown {
            id: &self.token.id,
            token: self.secret.reveal(),
            name: &self.token.name,
            scope: self.token.scope,
            expires: instant(self.token.expires),
        }
    }
}

/// A new token as scripts see it, this once. No Debug: it holds the secret.
#[derive(Serialize, JsonSchema)]
#[schemars(rename = "NewToken")]
pub struct Shown<'a> {
    /// Its public half.
    pub id: &'a str,
    /// The token itself, which is shown this once.
    pub token: &'a str,
    /// What it is called.
    pub name: &'a str,
    /// What it may be used for.
    pub scope: Scope,
    /// When it ends.
    pub expires: String,
}

/// A token as scripts see it: everything but its secret.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Token")]
pub struct Described {
    /// Its public half.
    pub id: String,
    /// What it is called.
    pub name: String,
    /// What it may be used for.
    pub scope: Scope,
    /// When it was made.
    pub created: String,
    /// When it ends.
    pub expires: String,
    /// When it was revoked.
    pub revoked: Option<String>,
    /// When a request used it last, to the minute.
    pub last_used: Option<String>,
}

impl From<&Token> for Described {
    fn from(token: &Token) -> Self {
        Self {
            id: token.id.clone(),
            name: token.name.clone(),
            scope: token.scope,
            created: instant(token.created),
            expires: instant(token.expires),
            revoked: token.revoked.map(instant),
            last_used: token.last_used.map(instant),
        }
    }
}

/// Refuses a number that is not from `least` to `most`.
fn within(what: &str, number: u16, (least, most): (u16, u16)) -> Result<(), Refusal> {
    match (least..=most).contains(&number) {
        true => Ok(()),
        false => Err(Refusal::Invalid(Error::new(
            ScimType::InvalidValue,
            format!("{what} are {least} to {most}"),
        ))),
    }
}

/// Makes a token that ends `lifetime` after `now`. Takes some 25 ms for argon2.
pub(super) fn make(
    name: &str,
    scope: Scope,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<Issued, Refusal> {
    let failed = |error: &dyn fmt::Display| Refusal::Failed(format!("token: {error}"));
    let id = letters::<ID_LETTERS>()?;
    let secret = letters::<SECRET_LETTERS>()?;
    let phc = Argon2::default()
        .hash_password(secret.as_bytes())
        .map_err(|error| failed(&error))?
        .to_string();
    let expires = now.checked_add(lifetime).map_err(|error| failed(&error))?;
    Ok(Issued {
        secret: Secret(Zeroizing::new(format!("{PREFIX}{}_{}", *id, *secret))),
        token: Token {
            id: id.to_string(),
            name: name.to_owned(),
            scope,
            phc,
            created: now,
            expires,
            revoked: None,
            replaced: None,
            last_used: None,
        },
    })
}

/// Random letters of the alphabet.
fn letters<const N: usize>() -> Result<Zeroizing<String>, Refusal> {
    let mut bytes = Zeroizing::new([0_u8; N]);
    rand::fill(&mut *bytes)
        .map_err(|_| Refusal::Failed("the system gave no random bytes".to_owned()))?;
    let letter = |byte: &u8| ALPHABET.get(usize::from(byte & 31)).copied();
    let letters = bytes.iter().filter_map(letter).map(char::from);
    Ok(Zeroizing::new(letters.collect()))
}

/// Takes a presented token apart: its id and its secret. None if it has not the shape of one.
fn parts(presented: &str) -> Option<(&str, &str)> {
    let (id, secret) = presented.strip_prefix(PREFIX)?.split_once('_')?;
    let made_of = |text: &str, length| {
        text.len() == length && text.bytes().all(|byte| ALPHABET.contains(&byte))
    };
    (made_of(id, ID_LETTERS) && made_of(secret, SECRET_LETTERS)).then_some((id, secret))
}

/// Adds a token, in the caller's transaction.
pub(super) fn add(
    connection: &Connection,
    entry: &mut Entry,
    token: &Token,
) -> Result<(), Refusal> {
    entry.target_id = Some(token.id.clone());
    entry.target_name = Some(token.name.clone());
    entry.because(format!(
        "scope {}, valid until {}",
        token.scope.as_str(),
        instant(token.expires)
    ));
    Ok(table::insert(connection, token)?)
}

impl Directory {
    /// Makes a token, valid for `days`.
    pub async fn create_token(
        &self,
        origin: &Origin,
        name: &str,
        scope: Scope,
        days: u16,
    ) -> Result<Issued, Refusal> {
        let lifetime = SignedDuration::from_hours(24 * i64::from(days));
        let issued = self.issue(name.trim().to_owned(), scope, lifetime).await?;
        let token = issued.token.clone();
        let entry = Entry::new("token.create", 0).about("token", None);
        self.change(origin, entry, move |connection, entry, _| {
            names::checked("token", &token.name)?;
            within("the days of a token", days, (1, LONGEST_DAYS))?;
            add(connection, entry, &token)
        })
        .await?;
        Ok(issued)
    }

    /// Makes a token where argon2 holds up nobody.
    async fn issue(
        &self,
        name: String,
        scope: Scope,
        lifetime: SignedDuration,
    ) -> Result<Issued, Refusal> {
        let now = self.now();
        let _turn = self.verified.turn().await?;
        aside(move || make(&name, scope, now, lifetime)).await?
    }

    /// Replaces a token by a new one of the same name, scope and lifetime. The old one ends in the same transaction,
    /// or so many hours later.
    pub async fn rotate_token(
        &self,
        origin: &Origin,
        id: &str,
        overlap_hours: u16,
    ) -> Result<Issued, Refusal> {
        let entry = Entry::new("token.rotate", 0).about("token", Some(id));
        let old = self
            .store
            .readers
            .short(|connection| usable(connection, id));
        let old = match old {
            Ok(old) => old,
            Err(why) => return self.change(origin, entry, |_, _, _| Err(why)).await,
        };
        let lifetime = old.expires.duration_since(old.created);
        let issued = self.issue(old.name, old.scope, lifetime).await?;
        let token = issued.token.clone();
        self.change(origin, entry, move |connection, entry, now| {
            within("the hours of overlap", overlap_hours, (0, LONGEST_OVERLAP))?;
            usable(connection, &old.id)?;
            let overlap = SignedDuration::from_hours(i64::from(overlap_hours));
            let end = now.saturating_add(overlap).unwrap_or(now);
            table::replace(connection, &old.id, &token.id, end)?;
            entry.because(format!("{} ends at {}", old.id, instant(end)));
            add(connection, entry, &token)
        })
        .await?;
        Ok(issued)
    }

    /// Ends a token; the next request with it is refused.
    pub async fn revoke_token(&self, origin: &Origin, id: &str) -> Result<(), Refusal> {
        let id = id.to_owned();
        let entry = Entry::new("token.revoke", 0).about("token", Some(&id));
        self.change(origin, entry, move |connection, entry, now| {
            let token = present(connection, &id)?;
            entry.target_name = Some(token.name);
            Ok(table::revoke(connection, &id, now)?)
        })
        .await
    }

    /// All tokens, the oldest first.
    pub fn tokens(&self) -> Result<Vec<Token>, Refusal> {
        self.store
            .readers
            .short(|connection| Ok(table::all(connection)?))
    }
}

/// The token with this id, unless it was revoked.
fn present(connection: &Connection, id: &str) -> Result<Token, Refusal> {
    let token = table::get(connection, id)?.ok_or_else(|| Refusal::NotFound {
        what: "token",
        id: id.to_owned(),
    })?;
    match token.revoked {
        None => Ok(token),
        Some(at) => Err(Refusal::Forbidden(format!(
            "token {id} was revoked at {}; `scimlite token create` makes another",
            instant(at)
        ))),
    }
}

/// The token with this id, unless it was revoked or another replaces it.
fn usable(connection: &Connection, id: &str) -> Result<Token, Refusal> {
    let token = present(connection, id)?;
    match &token.replaced {
        None => Ok(token),
        Some(new) => Err(Refusal::Forbidden(format!(
            "token {id} was replaced by {new}; rotate that one"
        ))),
    }
}

/// Who a request comes from: the token that it presented.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The token's id.
    pub token_id: String,
    /// The token's name.
    pub name: String,
    /// What it may be used for.
    pub scope: Scope,
}

/// Why a request's token was not taken. For the log and the audit: the client is told nothing of it.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The id that was presented, if it is one of a token.
    pub token_id: Option<String>,
    /// The sentence.
    pub reason: &'static str,
}

/// The tokens that argon2 has verified in this process.
pub struct Verified {
    key: hmac::Key,
    digests: Mutex<HashMap<String, Digest>>,
    used: Mutex<HashMap<String, Timestamp>>,
    runs: Semaphore,
}

/// Runs argon2 on a thread of its own.
async fn aside<T: Send + 'static>(
    argon2: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    let done = tokio::task::spawn_blocking(argon2).await;
    done.map_err(|error| Refusal::Failed(format!("argon2: {error}")))
}

/// The keyed digest of the secret that fits `phc`.
struct Digest {
    phc: String,
    tag: hmac::Tag,
}

impl Verified {
    /// Nothing verified yet, under a new random key.
    pub(super) fn new() -> Result<Self, Refusal> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .map_err(|_| Refusal::Failed("the system gave no random bytes".to_owned()))?;
        Ok(Self {
            key,
            digests: Mutex::default(),
            used: Mutex::default(),
            runs: Semaphore::new(ARGON2_RUNS),
        })
    }

    /// Whether `secret` is the token's, if that is known without argon2. Takes the same time for each wrong secret.
    fn known(&self, token: &Token, secret: &str) -> Option<bool> {
        let digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
        let digest = digests
            .get(&token.id)
            .filter(|digest| digest.phc == token.phc)?;
        Some(hmac::verify(&self.key, secret.as_bytes(), digest.tag.as_ref()).is_ok())
    }

    /// Whether `secret` is the token's: by the digest, else by argon2.
    async fn verify(&self, token: &Token, secret: &str) -> Result<bool, Refusal> {
        if let Some(known) = self.known(token, secret) {
            return Ok(known);
        }
        let _turn = self.turn().await?;
        if let Some(known) = self.known(token, secret) {
            return Ok(known);
        }
        let phc = token.phc.clone();
        let presented = Zeroizing::new(secret.to_owned());
        let right = aside(move || {
            Argon2::default()
                .verify_password(presented.as_bytes(), phc.as_str())
                .is_ok()
        });
        let right = right.await?;
        if right {
            let digest = Digest {
                phc: token.phc.clone(),
                tag: hmac::sign(&self.key, secret.as_bytes()),
            };
            let mut digests = self.digests.lock().unwrap_or_else(PoisonError::into_inner);
            digests.insert(token.id.clone(), digest);
        }
        Ok(right)
    }

    /// Waits until argon2 may run.
    async fn turn(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let turn = self.runs.acquire().await;
        turn.map_err(|error| Refusal::Failed(format!("argon2: {error}")))
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Timestamp>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn note_use(&self, id: &str, now: Timestamp) {
        let mut used = self.used();
        match used.get_mut(id) {
            Some(at) => *at = now,
            None => {
                used.insert(id.to_owned(), now);
            }
        }
    }
}

impl Directory {
    /// Checks a presented token. `Err` within `Ok` is a refusal for the client's sake, `Err` a failure of ours.
    pub async fn authenticate(
        &self,
        presented: &str,
    ) -> Result<Result<Principal, Denied>, Refusal> {
        let denied = |token_id: Option<&str>, reason| {
            Ok(Err(Denied {
                token_id: token_id.map(str::to_owned),
                reason,
            }))
        };
        let Some((id, secret)) = parts(presented) else {
            return denied(None, "not a token of this appliance");
        };
        let token = self
            .store
            .readers
            .short(|connection| table::get(connection, id))?;
        let Some(token) = token else {
            return denied(None, "no such token");
        };
        let now = self.now();
        if token.revoked.is_some() {
            return denied(Some(id), "the token was revoked");
        }
        if token.expires <= now {
            return denied(Some(id), "the token has expired");
        }
        if !self.verified.verify(&token, secret).await? {
            return denied(Some(id), "the secret is not the token's");
        }
        self.verified.note_use(id, now);
        Ok(Ok(Principal {
            token_id: token.id,
            name: token.name,
            scope: token.scope,
        }))
    }

    /// Writes when tokens were used last. What cannot be written is kept.
    pub(super) async fn flush_used(&self) -> Result<(), Refusal> {
        let used = std::mem::take(&mut *self.verified.used());
        if used.is_empty() {
            return Ok(());
        }
        let written = self.store.writer.submit(Used(used.clone())).await;
        if written.is_err() {
            let mut present = self.verified.used();
            for (id, at) in used {
                present.entry(id).or_insert(at);
            }
        }
        Ok(written?)
    }
}

/// Notes when tokens were used: no change to the directory, so without a row in the audit.
struct Used(HashMap<String, Timestamp>);

impl Job for Used {
    type Done = ();
    type Refused = store::Error;

    fn apply(&mut self, connection: &Connection) -> Result<(), store::Error> {
        self.0
            .iter()
            .try_for_each(|(id, at)| table::used(connection, id, *at))
    }

    fn refused(&mut self, _: &Connection, _: &store::Error) -> Result<(), store::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_token_is_short_and_comes_apart_again() {
        let issued = make(
            "t",
            Scope::Read,
            Timestamp::now(),
            SignedDuration::from_hours(1),
        )
        .unwrap();
        let text = issued.secret.reveal();
        assert!(text.len() <= 64);
        let (id, secret) = parts(text).unwrap();
        assert_eq!(id, issued.token.id);
        assert!(
            Argon2::default()
                .verify_password(secret.as_bytes(), issued.token.phc.as_str())
                .is_ok()
        );
        assert!(!format!("{:?}", issued.secret).contains(secret));
    }

    #[test]
    fn what_is_not_a_token_has_no_parts() {
        let good = format!("slt_{}_{}", "a".repeat(10), "b".repeat(40));
        assert!(parts(&good).is_some());
        for bad in [
            "",
            "slt_",
            "slt__",
            "Bearer",
            &good[1..],
            &good[..54],
            &format!("{good}c"),
            &good.to_uppercase(),
            &good.replace('b', "ü"),
        ] {
            assert!(parts(bad).is_none(), "{bad}");
        }
    }
}

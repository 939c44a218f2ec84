//! Bearer tokens (design §3.14): how they are made, listed, rotated and revoked. Their secrets are in `secret`; how a
//! request's token is checked is in `authentication`.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::audit::{Entry, Origin};
pub use super::authentication::{Denied, Principal};
pub use super::secret::{Secret, masked};
use super::{Directory, Refusal, authentication, names, secret};
use crate::scim::{Error, Object, ScimType};
use crate::store::text::instant;
use crate::store::tokens as table;
pub use crate::store::tokens::{Scope, Token};

/// Days for which a token is valid unless it is told otherwise, and at the most unless the configuration says more:
/// what is to outlive a year is decided by a person.
pub const DEFAULT_DAYS: u16 = 365;
/// Hours for which a token may stay valid beside the one that replaces it: a month.
pub const LONGEST_OVERLAP: u16 = 720;

/// When a token ends.
#[derive(Debug, Clone, Copy)]
pub enum End {
    /// So many days from now.
    Days(u16),
    /// At this instant.
    At(Timestamp),
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

fn days(count: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(count))
}

/// Time for which a token is valid that is not told when it ends.
pub(super) fn default_lifetime(longest_days: u16) -> SignedDuration {
    days(DEFAULT_DAYS.min(longest_days))
}

/// Time from `now` to `end`, refused if that is over already or further away than `longest_days`.
fn lifetime(end: End, now: Timestamp, longest_days: u16) -> Result<SignedDuration, Refusal> {
    let lifetime = match end {
        End::Days(count) => days(count),
        End::At(end) => end.duration_since(now),
    };
    if !lifetime.is_positive() {
        return Err(invalid(
            "a token cannot end in the past; choose a later day",
        ));
    }
    if lifetime > days(longest_days) {
        return Err(invalid(format!(
            "a token is valid for at most {longest_days} days; choose an earlier end, or raise longest_days under \
             [tokens] in scimlite.toml"
        )));
    }
    Ok(lifetime)
}

fn invalid(sentence: impl Into<String>) -> Refusal {
    Refusal::Invalid(Error::new(ScimType::InvalidValue, sentence))
}

/// Makes a token that ends `lifetime` after `now`. Takes some 25 ms for argon2.
pub(super) fn make(
    name: &str,
    scope: Scope,
    now: Timestamp,
    lifetime: SignedDuration,
) -> Result<Issued, Refusal> {
    let made = secret::make()?;
    let expires = now
        .checked_add(lifetime)
        .map_err(|error| Refusal::Failed(format!("token: {error}")))?;
    Ok(Issued {
        secret: made.secret,
        token: Token {
            id: made.id,
            name: name.to_owned(),
            scope,
            phc: made.phc,
            fingerprint: made.fingerprint,
            created: now,
            expires,
            revoked: None,
            replaced: None,
            last_used: None,
        },
    })
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
    /// Makes a token that ends at `end`, or after the usual time.
    pub async fn create_token(
        &self,
        origin: &Origin,
        name: &str,
        scope: Scope,
        end: Option<End>,
    ) -> Result<Issued, Refusal> {
        let (now, entry) = (
            self.now(),
            Entry::new("token.create", 0).about("token", None),
        );
        let longest_days = self.settings.longest_days;
        let planned = names::checked("token", name).and_then(|name| match end {
            Some(end) => Ok((name, lifetime(end, now, longest_days)?)),
            None => Ok((name, default_lifetime(longest_days))),
        });
        let (name, lifetime) = match planned {
            Ok(planned) => planned,
            Err(why) => return self.change(origin, entry, |_, _, _| Err(why)).await,
        };
        let issued = self.issue(name, scope, now, lifetime).await?;
        let token = issued.token.clone();
        self.change(origin, entry, move |connection, entry, _| {
            add(connection, entry, &token)
        })
        .await?;
        Ok(issued)
    }

    /// Makes a token off the async threads, when it is argon2's turn.
    async fn issue(
        &self,
        name: String,
        scope: Scope,
        now: Timestamp,
        lifetime: SignedDuration,
    ) -> Result<Issued, Refusal> {
        let turn = self.verified.turn().await?;
        authentication::run(turn, move || make(&name, scope, now, lifetime)).await?
    }

    /// Replaces a token by a new one of the same name, scope and lifetime, as far as that is still allowed. The old one
    /// ends in the same transaction, or so many hours later.
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
            .short(|connection| usable(connection, id))
            .and_then(|old| match overlap_hours {
                ..=LONGEST_OVERLAP => Ok(old),
                _ => Err(invalid(format!(
                    "the hours of overlap are at most {LONGEST_OVERLAP}"
                ))),
            });
        let old = match old {
            Ok(old) => old,
            Err(why) => return self.change(origin, entry, |_, _, _| Err(why)).await,
        };
        let longest_days = self.settings.longest_days;
        let lifetime = match old.expires.duration_since(old.created) {
            lifetime if lifetime.is_positive() => lifetime.min(days(longest_days)),
            _ => default_lifetime(longest_days),
        };
        let (name, now) = (old.name.clone(), self.now());
        let issued = self.issue(name, old.scope, now, lifetime).await?;
        let token = issued.token.clone();
        self.change(origin, entry, move |connection, entry, now| {
            usable(connection, &old.id)?;
            let overlap = SignedDuration::from_hours(i64::from(overlap_hours));
            let end = now.saturating_add(overlap).unwrap_or(now);
            table::replace(connection, &old.id, &token.id, end)?;
            let end = end.min(old.expires);
            entry.because(format!("{} ends at {}", old.id, instant(end)));
            let replaced = serde_json::json!({"new": old.id});
            entry.changes = Some(Object::from_iter([("replaces".to_owned(), replaced)]));
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
            entry.because("ended at once; what comes with it is refused from now on");
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_lifetime_is_ahead_and_not_longer_than_allowed() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let hours = SignedDuration::from_hours;
        for (end, expected) in [
            (End::Days(1), Some(24)),
            (End::Days(30), Some(30 * 24)),
            (End::Days(31), None),
            (End::At(now + hours(1)), Some(1)),
            (End::At(now + hours(30 * 24)), Some(30 * 24)),
            (
                End::At(now + hours(30 * 24) + SignedDuration::from_millis(1)),
                None,
            ),
            (End::At(now), None),
            (End::At(now - hours(1)), None),
        ] {
            let found = lifetime(end, now, 30).ok();
            assert_eq!(found, expected.map(hours), "{end:?}");
        }
        assert_eq!(default_lifetime(30), days(30));
        assert_eq!(default_lifetime(1000), days(365));
    }
}

//! Bearer tokens (design §3.14): how they are made, listed, rotated and revoked. Their secrets are in `secret`; how a
//! request's token is checked is in `authentication`.

use jiff::{SignedDuration, Timestamp};
use rusqlite::Connection;

use super::audit::{Entry, Origin};
pub use super::authentication::{Denied, Principal};
pub use super::secret::Secret;
use super::{Directory, Refusal, names, secret};
use crate::scim::{Error, ScimType};
use crate::store;
use crate::store::tokens as table;
pub use crate::store::tokens::{Scope, Token};

/// Days for which a token is valid unless it is told otherwise, and at the most unless the configuration says more:
/// what is to outlive a year is decided by a person.
pub const DEFAULT_DAYS: u16 = 365;

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

fn days(count: u16) -> SignedDuration {
    SignedDuration::from_hours(24 * i64::from(count))
}

/// Time for which a token is valid that is not told when it ends.
pub(super) fn default_lifetime(longest_days: u16) -> SignedDuration {
    days(DEFAULT_DAYS.min(longest_days))
}

/// Time from `now` to `end`, refused if that is over already or further away than `longest_days`. The day on which the
/// last of them ends counts as a whole.
fn lifetime(end: End, now: Timestamp, longest_days: u16) -> Result<SignedDuration, Refusal> {
    let lifetime = match end {
        End::Days(count) => days(count),
        End::At(end) => end.duration_since(now),
    };
    let refused = |sentence| {
        Err(Refusal::Invalid(Error::new(
            ScimType::InvalidValue,
            sentence,
        )))
    };
    if !lifetime.is_positive() {
        return refused("a token cannot end in the past; choose a later day".to_owned());
    }
    if lifetime >= days(longest_days.saturating_add(1)) {
        return refused(format!(
            "a token is valid for at most {longest_days} days; choose an earlier end, or raise longest_days under \
             [tokens] in scimlite.toml"
        ));
    }
    Ok(lifetime)
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
        store::text::instant(token.expires)
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
        let (now, longest_days) = (self.now(), self.settings.longest_days);
        let name = names::checked("token", name)?;
        let lifetime = match end {
            Some(end) => lifetime(end, now, longest_days)?,
            None => default_lifetime(longest_days),
        };
        let issued = make(&name, scope, now, lifetime)?;
        let token = issued.token.clone();
        let entry = Entry::new("token.create", 0).about("token", None);
        self.change(origin, entry, move |connection, entry, _| {
            add(connection, entry, &token)
        })
        .await?;
        Ok(issued)
    }

    /// Replaces a token by a new one of the same name, scope and lifetime, as far as that is still allowed. The old one
    /// ends in the same transaction, or after `overlap`.
    pub async fn rotate_token(
        &self,
        origin: &Origin,
        id: &str,
        overlap: SignedDuration,
    ) -> Result<Issued, Refusal> {
        let old = self
            .store
            .readers
            .short(|connection| usable(connection, id))?;
        let longest_days = self.settings.longest_days;
        let lifetime = match old.expires.duration_since(old.created) {
            lifetime if lifetime.is_positive() => lifetime.min(days(longest_days)),
            _ => default_lifetime(longest_days),
        };
        let issued = make(&old.name, old.scope, self.now(), lifetime)?;
        let token = issued.token.clone();
        let entry = Entry::new("token.rotate", 0).about("token", Some(id));
        self.change(origin, entry, move |connection, entry, now| {
            usable(connection, &old.id)?;
            let end = now.saturating_add(overlap).unwrap_or(now);
            table::replace(connection, &old.id, &token.id, end)?;
            entry.because(format!("{} ends at {}", old.id, store::text::instant(end)));
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
            store::text::instant(at)
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
            (End::At(now + hours(30 * 24 + 23)), Some(30 * 24 + 23)),
            (End::At(now + hours(31 * 24)), None),
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

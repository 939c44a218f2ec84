//! Tokens announce their end 30, 14, 7, 3 and 1 days ahead, and when it has come (design §3.14): an identity provider
//! whose token dies stops provisioning without a word. The server's certificate does so by the same means.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Directory, Refusal};
use crate::store::text::instant;
use crate::store::tokens::Token;

/// Days ahead at which a token's end is announced.
const ANNOUNCED: [i64; 5] = [1, 3, 7, 14, 30];
/// How long after its end a token still counts as one that should have been replaced.
const ENDED: SignedDuration = SignedDuration::from_hours(24);

/// A token that ends soon, or has ended within the last day. One that was revoked or replaced is none: its end is meant.
pub struct Expiring {
    /// The token.
    pub token: Token,
    /// The nearest of the announced distances that its end lies within, in days; 0 if it has ended.
    pub within_days: i64,
}

/// What was announced of each thing that ends, so that each is once in a process: a start says again what is to be done.
#[derive(Default)]
pub struct Announced(Mutex<HashMap<String, i64>>);

impl Announced {
    /// `due`, what is to be announced of `what`, unless that was its last announcement.
    pub fn news(&self, what: &str, due: Option<i64>) -> Option<i64> {
        let mut announced = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        match due {
            Some(due) => (announced.insert(what.to_owned(), due) != Some(due)).then_some(due),
            None => {
                announced.remove(what);
                None
            }
        }
    }
}

/// Whether somebody has to see to the end of a token: it is neither meant, nor over for long.
pub(super) fn matters(token: &Token, now: Timestamp) -> bool {
    let meant = token.revoked.is_some() || token.replaced.is_some();
    !meant && token.expires.duration_since(now) > -ENDED
}

/// The announcement that is due for a token: its days ahead, 0 when it has ended.
pub fn due(token: &Token, now: Timestamp) -> Option<i64> {
    match token.expires.duration_since(now) {
        _ if !matters(token, now) => None,
        left if left.is_positive() => distance(token.expires, now),
        _ => Some(0),
    }
}

/// The least of the announced distances, in days, that `ends` lies within.
pub fn distance(ends: Timestamp, now: Timestamp) -> Option<i64> {
    let left = ends.duration_since(now);
    ANNOUNCED
        .into_iter()
        .find(|days| left <= SignedDuration::from_hours(24 * days))
}

impl Directory {
    /// The tokens that end within 30 days or have ended within the last one, the oldest first.
    pub fn tokens_expiring(&self) -> Result<Vec<Expiring>, Refusal> {
        let now = self.now();
        let expiring = |token: Token| {
            let within_days = due(&token, now)?;
            Some(Expiring { token, within_days })
        };
        Ok(self.tokens()?.into_iter().filter_map(expiring).collect())
    }

    /// Warns in the log of each token whose end has come closer than one of the announced distances.
    pub(super) fn announce_expiry(&self) -> Result<(), Refusal> {
        let now = self.now();
        for token in self.tokens()? {
            let Some(days) = self.announced.news(&token.id, due(&token, now)) else {
                continue;
            };
            let when = match days {
                0 => "a token has ended".to_owned(),
                days => format!("a token ends in less than {days} days"),
            };
            tracing::warn!(
                token_id = token.id,
                name = token.name,
                scope = token.scope.as_str(),
                expires = instant(token.expires),
                "{when}; `scimlite token rotate {}` replaces it",
                token.id
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::tokens::Scope;

    #[test]
    fn each_announcement_is_news_once() {
        let announced = Announced::default();
        for (due, news) in [
            (Some(30), Some(30)),
            (Some(30), None),
            (Some(14), Some(14)),
            (None, None),
            (Some(14), Some(14)),
        ] {
            assert_eq!(announced.news("one", due), news);
        }
        assert_eq!(announced.news("other", Some(14)), Some(14));
    }

    #[test]
    fn each_distance_is_due_in_its_time() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let token = |left: SignedDuration| Token {
            id: "t".to_owned(),
            name: "t".to_owned(),
            scope: Scope::Provision,
            phc: String::new(),
            fingerprint: 0,
            created: now,
            expires: now + left,
            revoked: None,
            replaced: None,
            last_used: None,
        };
        let hours = SignedDuration::from_hours;
        for (left, expected) in [
            (hours(24 * 31), None),
            (hours(24 * 30), Some(30)),
            (hours(24 * 14 + 1), Some(30)),
            (hours(24 * 14), Some(14)),
            (hours(24 * 5), Some(7)),
            (hours(25), Some(3)),
            (hours(24), Some(1)),
            (hours(1), Some(1)),
            (hours(0), Some(0)),
            (hours(-23), Some(0)),
            (hours(-24), None),
        ] {
            assert_eq!(due(&token(left), now), expected, "{left}");
        }
        for meant in [
            Token {
                revoked: Some(now),
                ..token(hours(1))
            },
            Token {
                replaced: Some("u".to_owned()),
                ..token(hours(1))
            },
        ] {
            assert_eq!(due(&meant, now), None);
        }
    }
}

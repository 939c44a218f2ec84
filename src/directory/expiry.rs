//! Tokens announce their end 30, 14, 7, 3 and 1 days ahead (design §3.14): an identity provider whose token dies stops
//! provisioning without a word. The server's certificate does so by the same means.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Directory, Refusal};
use crate::store::text::instant;
use crate::store::tokens::{self, Token};

/// Days ahead at which a token's end is announced.
const ANNOUNCED: [i64; 5] = [1, 3, 7, 14, 30];

/// What was announced of each thing that ends, so that each is once in a process.
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

/// The announcement that is due for a token: its days ahead.
fn due(token: &Token, now: Timestamp) -> Option<i64> {
    if token.revoked.is_some() || token.replaced.is_some() || token.expires <= now {
        return None;
    }
    distance(token.expires, now)
}

/// The least of the announced distances, in days, that `ends` lies within.
pub fn distance(ends: Timestamp, now: Timestamp) -> Option<i64> {
    let left = ends.duration_since(now);
    ANNOUNCED
        .into_iter()
        .find(|days| left <= SignedDuration::from_hours(24 * days))
}

impl Directory {
    /// Warns in the log of each token whose end has come closer than one of the announced distances.
    pub(super) fn announce_expiry(&self) -> Result<(), Refusal> {
        let tokens = self.store.readers.short(tokens::all)?;
        let now = self.now();
        for token in tokens {
            if let Some(days) = self.announced.news(&token.id, due(&token, now)) {
                tracing::warn!(
                    token_id = token.id,
                    name = token.name,
                    scope = token.scope.as_str(),
                    expires = instant(token.expires),
                    "a token ends in less than {days} days; `scimlite token rotate {}` replaces it",
                    token.id
                );
            }
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
            (hours(0), None),
            (hours(-1), None),
        ] {
            assert_eq!(due(&token(left), now), expected, "{left}");
        }
        let revoked = Token {
            revoked: Some(now),
            ..token(hours(1))
        };
        assert_eq!(due(&revoked, now), None);
    }
}

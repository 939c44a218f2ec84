//! Tokens announce their end 30, 14, 7, 3 and 1 days ahead (design §3.14): an identity provider whose token dies stops
//! provisioning without a word.

use std::collections::HashMap;
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::{Directory, Refusal};
use crate::store::text::instant;
use crate::store::tokens::{self, Token};

/// Days ahead at which a token's end is announced.
const ANNOUNCED: [i64; 5] = [1, 3, 7, 14, 30];

/// Which end was announced for each token, so that each is once in a process.
#[derive(Default)]
pub struct Announced(Mutex<HashMap<String, i64>>);

/// The announcement that is due for a token: its days ahead.
fn due(token: &Token, now: Timestamp) -> Option<i64> {
    if token.revoked.is_some() || token.replaced.is_some() || token.expires <= now {
        return None;
    }
    let left = token.expires.duration_since(now);
    ANNOUNCED
        .into_iter()
        .find(|days| left <= SignedDuration::from_hours(24 * days))
}

impl Directory {
    /// Warns in the log of each token whose end has come closer than one of the announced distances.
    pub(super) fn announce_expiry(&self) -> Result<(), Refusal> {
        let tokens = self.store.readers.short(tokens::all)?;
        let now = self.now();
        let mut announced = self
            .announced
            .0
            .lock()
            .unwrap_or_else(PoisonError::into_inner);
        for token in tokens {
            let Some(days) = due(&token, now) else {
                continue;
            };
            if announced.insert(token.id.clone(), days) != Some(days) {
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

//! The life of an account: one function owns every transition (design §3.7–3.9, §8 Preserved).

use jiff::Timestamp;

use super::Refusal;
use crate::store::users::{ManagedBy, PreservedBy, Standing};

/// What happens to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Event {
    /// The identity provider creates it, or writes to it with this `active`; a hand-made account is adopted.
    Written {
        /// `active` after the write.
        active: bool,
    },
    /// The identity provider deletes the user: SCIM forgets it, the account is preserved.
    Removed,
    /// The person comes back after a DELETE, with this `active`.
    Returned {
        /// `active` in the new resource.
        active: bool,
    },
}

/// A new account, before the identity provider's first word on it.
pub const NEW: Standing = Standing {
    preserved: None,
    managed_by: ManagedBy::Idp,
    visible: true,
};

/// Where an account stands after `event`. Nothing that the identity provider sends deletes an account, and it cannot
/// undo what an administrator preserved.
pub fn after(standing: Standing, event: Event, now: Timestamp) -> Result<Standing, Refusal> {
    let by_idp = Some((PreservedBy::Idp, now));
    let preserved = match (standing.preserved, event) {
        (
            Some((PreservedBy::Admin, _)),
            Event::Written { active: true } | Event::Returned { active: true },
        ) => {
            return Err(Refusal::Forbidden(
                "an administrator preserved this account; only an administrator can activate it again".to_owned(),
            ));
        }
        (_, Event::Written { active: true } | Event::Returned { active: true }) => None,
        (
            earlier,
            Event::Written { active: false } | Event::Returned { active: false } | Event::Removed,
        ) => earlier.or(by_idp),
    };
    Ok(Standing {
        preserved,
        managed_by: ManagedBy::Idp,
        visible: event != Event::Removed,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: Event = Event::Written { active: true };
    const INACTIVE: Event = Event::Written { active: false };

    fn at(second: i64) -> Timestamp {
        Timestamp::from_second(second).unwrap()
    }

    fn preserved(by: PreservedBy, visible: bool) -> Standing {
        Standing {
            preserved: Some((by, at(1))),
            managed_by: ManagedBy::Idp,
            visible,
        }
    }

    #[test]
    fn the_identity_provider_undoes_what_it_did() {
        let gone = preserved(PreservedBy::Idp, false);
        let off = preserved(PreservedBy::Idp, true);
        let now = at(2);
        for (before, event, expected) in [
            (NEW, ACTIVE, NEW),
            (
                NEW,
                INACTIVE,
                Standing {
                    preserved: Some((PreservedBy::Idp, now)),
                    ..NEW
                },
            ),
            (
                NEW,
                Event::Removed,
                Standing {
                    preserved: Some((PreservedBy::Idp, now)),
                    visible: false,
                    ..NEW
                },
            ),
            (off, INACTIVE, off),
            (off, ACTIVE, NEW),
            (off, Event::Removed, gone),
            (gone, Event::Returned { active: true }, NEW),
            (gone, Event::Returned { active: false }, off),
        ] {
            assert_eq!(
                after(before, event, now).unwrap(),
                expected,
                "{before:?} {event:?}"
            );
        }
    }

    #[test]
    fn what_an_administrator_preserved_stays_so() {
        let now = at(2);
        let off = preserved(PreservedBy::Admin, true);
        let gone = preserved(PreservedBy::Admin, false);
        for (before, event, expected) in [
            (off, INACTIVE, Some(off)),
            (off, ACTIVE, None),
            (off, Event::Removed, Some(gone)),
            (gone, Event::Returned { active: true }, None),
            (gone, Event::Returned { active: false }, Some(off)),
        ] {
            assert_eq!(
                after(before, event, now).ok(),
                expected,
                "{before:?} {event:?}"
            );
        }
    }

    #[test]
    fn a_hand_made_account_is_adopted() {
        let manual = Standing {
            managed_by: ManagedBy::Manual,
            ..NEW
        };
        assert_eq!(after(manual, ACTIVE, at(2)).unwrap(), NEW);
    }
}

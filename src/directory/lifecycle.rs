//! The life of an account: one function owns every transition (design §3.7–3.10, §8 Preserved).

use jiff::Timestamp;

use super::Refusal;
use crate::store::users::{ManagedBy, PreservedBy, Standing, Status};

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
    /// An administrator stops it, whatever the identity provider thinks of it.
    Preserved,
    /// An administrator puts it back in use; one that SCIM does not see is left to the identity provider again.
    Activated,
    /// An administrator puts it under legal hold.
    Held,
    /// An administrator ends the legal hold.
    Released,
}

/// A new account, before the first word on it.
pub const NEW: Standing = Standing {
    preserved: None,
    managed_by: ManagedBy::Idp,
    visible: true,
    legal_hold: false,
};

/// Where an account stands after `event`. Nothing that the identity provider sends deletes an account, and it cannot
/// undo what an administrator preserved.
pub fn after(standing: Standing, event: Event, now: Timestamp) -> Result<Standing, Refusal> {
    let written = |preserved| Standing {
        preserved,
        managed_by: ManagedBy::Idp,
        visible: event != Event::Removed,
        ..standing
    };
    let preserved = |preserved| Standing {
        preserved,
        ..standing
    };
    Ok(match (standing.preserved, event) {
        (
            Some((PreservedBy::Admin, _)),
            Event::Written { active: true } | Event::Returned { active: true },
        ) => {
            return Err(Refusal::Forbidden(
                "an administrator preserved this account; only an administrator can activate it again".to_owned(),
            ));
        }
        (_, Event::Written { active: true } | Event::Returned { active: true }) => written(None),
        (
            earlier,
            Event::Written { active: false } | Event::Returned { active: false } | Event::Removed,
        ) => written(earlier.or(Some((PreservedBy::Idp, now)))),
        // It has been stopped since the earlier instant, from which its profile counts the days.
        (earlier, Event::Preserved) => {
            let since = earlier.map_or(now, |(_, since)| since);
            preserved(Some((PreservedBy::Admin, since)))
        }
        (Some((PreservedBy::Admin, since)), Event::Activated) if !standing.visible => {
            preserved(Some((PreservedBy::Idp, since)))
        }
        (_, Event::Activated) if !standing.visible => {
            return Err(Refusal::Forbidden(
                "the identity provider deleted this user; the account comes back when it sends the person again, \
                 and until then it stays preserved"
                    .to_owned(),
            ));
        }
        (_, Event::Activated) => preserved(None),
        (_, Event::Held | Event::Released) => Standing {
            legal_hold: event == Event::Held,
            ..standing
        },
    })
}

/// Whether an account may be deleted for good: a preserved one that is under no legal hold (design §3.10).
pub fn may_be_deleted(standing: Standing) -> Result<(), Refusal> {
    if standing.legal_hold {
        return Err(Refusal::Forbidden(
            "the account is under legal hold; `scimlite user release ID` ends that".to_owned(),
        ));
    }
    match standing.status() {
        Status::Preserved => Ok(()),
        Status::Active => Err(Refusal::Forbidden(
            "the account is active; `scimlite user preserve ID` first".to_owned(),
        )),
    }
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
            visible,
            ..NEW
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

    #[test]
    fn an_administrator_undoes_what_anybody_did() {
        let now = at(2);
        let by = |by, since| Standing {
            preserved: Some((by, since)),
            ..NEW
        };
        let manual = Standing {
            managed_by: ManagedBy::Manual,
            ..NEW
        };
        for (before, event, expected) in [
            (NEW, Event::Preserved, by(PreservedBy::Admin, now)),
            (
                by(PreservedBy::Idp, at(1)),
                Event::Preserved,
                by(PreservedBy::Admin, at(1)),
            ),
            (
                by(PreservedBy::Admin, at(1)),
                Event::Preserved,
                by(PreservedBy::Admin, at(1)),
            ),
            (by(PreservedBy::Idp, at(1)), Event::Activated, NEW),
            (by(PreservedBy::Admin, at(1)), Event::Activated, NEW),
            (NEW, Event::Activated, NEW),
            (manual, Event::Activated, manual),
        ] {
            let after = after(before, event, now).unwrap();
            assert_eq!(after, expected, "{before:?} {event:?}");
        }
    }

    #[test]
    fn what_scim_does_not_see_is_not_activated() {
        let gone = preserved(PreservedBy::Idp, false);
        assert!(after(gone, Event::Activated, at(2)).is_err());
        let stopped = preserved(PreservedBy::Admin, false);
        assert_eq!(after(gone, Event::Preserved, at(2)).unwrap(), stopped);
        let left_to_idp = after(stopped, Event::Activated, at(2)).unwrap();
        assert_eq!(left_to_idp, gone);
        let returned = after(left_to_idp, Event::Returned { active: true }, at(2));
        assert_eq!(returned.unwrap(), NEW);
    }

    #[test]
    fn a_legal_hold_stays_until_it_is_released() {
        let now = at(2);
        let mut held = after(NEW, Event::Held, now).unwrap();
        assert_eq!(after(held, Event::Released, now).unwrap(), NEW);
        for event in [
            Event::Held,
            INACTIVE,
            ACTIVE,
            Event::Preserved,
            Event::Activated,
            Event::Removed,
            Event::Returned { active: false },
        ] {
            held = after(held, event, now).unwrap();
            assert!(held.legal_hold, "{event:?}");
            assert!(may_be_deleted(held).is_err(), "{event:?}");
        }
        let released = after(held, Event::Released, now).unwrap();
        assert!(may_be_deleted(released).is_ok());
        assert!(may_be_deleted(NEW).is_err());
    }
}

//! The life of an account: one function owns every transition (design §3.7–3.10, §8 Preserved).

use jiff::Timestamp;

use super::Refusal;
use crate::scim::{Error, ScimType};
use crate::store::text::instant;
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
    /// An administrator makes it, as a list may describe one that was elsewhere.
    Made {
        /// Who preserved it, and since when.
        preserved: Option<(PreservedBy, Timestamp)>,
        /// Whether the identity provider deleted the user.
        removed: bool,
        /// Whether it is under legal hold.
        legal_hold: bool,
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

impl Event {
    /// Why an account is preserved after it that was not so before, for whoever answers for it later.
    pub fn reason(self) -> &'static str {
        match self {
            Self::Written { .. } | Self::Returned { .. } => {
                "the identity provider sent active=false"
            }
            Self::Removed => "the identity provider deleted the user",
            Self::Activated => {
                "an administrator left it to the identity provider, which had deleted the user"
            }
            Self::Preserved | Self::Held | Self::Released => "an administrator preserved it",
            Self::Made { .. } => "it was imported as preserved",
        }
    }
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
        (
            _,
            Event::Made {
                preserved,
                removed,
                legal_hold,
            },
        ) => {
            could_have_been(preserved, removed, now)?;
            Standing {
                preserved,
                managed_by: ManagedBy::Manual,
                visible: !removed,
                legal_hold,
            }
        }
        (_, Event::Held | Event::Released) => Standing {
            legal_hold: event == Event::Held,
            ..standing
        },
    })
}

/// Refuses a description of an account that none can have.
fn could_have_been(
    preserved: Option<(PreservedBy, Timestamp)>,
    removed: bool,
    now: Timestamp,
) -> Result<(), Refusal> {
    let why = match preserved {
        Some((_, since)) if since > now => format!(
            "it cannot be preserved since {}, which is yet to come",
            instant(since)
        ),
        None if removed => "the account of a deleted user cannot be active; it comes back when the identity provider \
                            sends the person again"
            .to_owned(),
        _ => return Ok(()),
    };
    Err(Error::new(ScimType::InvalidValue, why).into())
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
mod tests;

//! Room for accounts: the places of a profile and the seats of the appliance (design §3.8, §8 Seats). Whoever makes an
//! account or activates one asks here, in the transaction that does it, so that no two take the same place.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::audit::Entry;
use super::{Directory, Refusal};
use crate::store::profiles::{self, Counts, Profile};
use crate::store::users::{Standing, Status};

/// The seats of the appliance, as it is configured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Seats {
    /// Active accounts at the most; none: any number, and any number of preserved ones.
    pub active: Option<i64>,
    /// Share of preserved accounts on top of them, in percent of `active`.
    pub preserved_percent: i64,
}

impl Default for Seats {
    fn default() -> Self {
        Self {
            active: None,
            preserved_percent: 10,
        }
    }
}

/// The seats, and the accounts that take them.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Seats")]
pub struct Taken {
    /// Active accounts at the most; null: any number, and any number of preserved ones.
    pub seats: Option<i64>,
    /// Preserved accounts on top of them, in percent of the seats.
    pub preserved_percent: i64,
    /// Accounts of all profiles.
    #[serde(flatten)]
    pub accounts: Counts,
}

impl Directory {
    /// The seats of the appliance, and how many of them are taken.
    pub fn seats(&self) -> Result<Taken, Refusal> {
        let Seats {
            active,
            preserved_percent,
        } = self.settings.seats;
        Ok(Taken {
            seats: active,
            preserved_percent,
            accounts: self.store.readers.short(profiles::counts)?,
        })
    }
}

/// What there is room for, and how much of it is taken.
pub(super) struct Room<'a> {
    pub(super) seats: Seats,
    pub(super) profile: &'a Profile,
    /// Accounts of all profiles.
    pub(super) all: Counts,
}

impl Room<'_> {
    /// Refuses a change of an account from standing `before`, none for a new one, to `after` unless there is room for
    /// it. An active account needs a place of its profile and a seat; a new one of any status a place among all that
    /// the appliance may have. To be preserved is never refused, or a leaver could not be stopped; where that exceeds
    /// the share, this says so.
    pub(super) fn admits(
        &self,
        before: Option<Status>,
        after: Status,
    ) -> Result<Option<String>, Refusal> {
        if before == Some(after) {
            return Ok(None);
        }
        if after == Status::Active {
            has_place(self.profile)?;
        }
        let Some(seats) = self.seats.active else {
            return Ok(None);
        };
        if after == Status::Active && self.all.active >= seats {
            return Err(Refusal::Forbidden(format!(
                "all {seats} seats are taken by active accounts; preserve one, or raise `active` under [seats] in the \
                 configuration"
            )));
        }
        let share = seats.saturating_mul(self.seats.preserved_percent) / 100;
        let most = seats.saturating_add(share);
        if before.is_none() && self.all.active + self.all.preserved >= most {
            return Err(Refusal::Forbidden(format!(
                "the appliance has its {most} accounts, active and preserved; delete a preserved one, or raise \
                 `active` under [seats] in the configuration"
            )));
        }
        let preserved = self.all.preserved + 1;
        Ok((after == Status::Preserved && preserved > share).then(|| {
            format!(
                "{preserved} accounts are preserved, more than the {share} that the seats allow"
            )
        }))
    }
}

/// Refuses a profile that has all the active accounts that it may have.
pub(super) fn has_place(profile: &Profile) -> Result<(), Refusal> {
    match profile.max_users {
        Some(max) if profile.accounts.active >= max => Err(Refusal::Forbidden(format!(
            "profile {:?} is full: it has its {max} active accounts; raise its limit or preserve an account",
            profile.name
        ))),
        _ => Ok(()),
    }
}

/// Refuses to bring an account of `profile` from standing `before`, none for a new one, to `after` unless there is room
/// for it.
pub(super) fn claim(
    connection: &Connection,
    entry: &mut Entry,
    seats: Seats,
    profile: i64,
    before: Option<Standing>,
    after: Standing,
) -> Result<(), Refusal> {
    let before = before.map(|before| before.status());
    // What needs no room is not counted.
    if before == Some(after.status()) {
        return Ok(());
    }
    let profile = profiles::get(connection, profile)?;
    let room = Room {
        seats,
        profile: &profile,
        all: profiles::counts(connection)?,
    };
    if let Some(note) = room.admits(before, after.status())? {
        entry.because(note);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    const ACTIVE: Status = Status::Active;
    const PRESERVED: Status = Status::Preserved;

    fn profile(active: i64, max_users: Option<i64>) -> Profile {
        let accounts = Counts {
            active,
            preserved: 0,
        };
        Profile {
            id: 1,
            name: "Sales".to_owned(),
            max_users,
            quota_gb: None,
            delete_after_days: None,
            accounts,
        }
    }

    /// What ten seats say of a change while there are so many accounts.
    fn ten(
        (active, preserved): (i64, i64),
        before: Option<Status>,
        after: Status,
    ) -> Result<Option<String>, Refusal> {
        let seats = Seats {
            active: Some(10),
            preserved_percent: 20,
        };
        let profile = profile(active, None);
        let all = Counts { active, preserved };
        let profile = &profile;
        Room {
            seats,
            profile,
            all,
        }
        .admits(before, after)
    }

    #[test]
    fn an_active_account_needs_a_seat_and_a_new_one_a_place_among_all() {
        for (accounts, before, after, room) in [
            ((9, 0), None, ACTIVE, true),
            ((10, 0), None, ACTIVE, false),
            ((9, 2), None, ACTIVE, true),
            ((9, 3), None, ACTIVE, false),
            ((0, 12), None, ACTIVE, false),
            ((10, 1), None, PRESERVED, true),
            ((10, 2), None, PRESERVED, false),
            ((0, 12), None, PRESERVED, false),
            ((9, 3), Some(PRESERVED), ACTIVE, true),
            ((10, 1), Some(PRESERVED), ACTIVE, false),
            ((12, 9), Some(ACTIVE), PRESERVED, true),
            ((12, 9), Some(ACTIVE), ACTIVE, true),
            ((12, 9), Some(PRESERVED), PRESERVED, true),
        ] {
            let admitted = ten(accounts, before, after);
            assert_eq!(admitted.is_ok(), room, "{accounts:?} {before:?} {after:?}");
        }
    }

    #[test]
    fn what_exceeds_the_share_of_preserved_accounts_is_said() {
        for (accounts, before, said) in [
            ((10, 1), Some(ACTIVE), false),
            ((10, 2), Some(ACTIVE), true),
            ((1, 1), None, false),
            ((1, 2), None, true),
            ((1, 5), Some(PRESERVED), false),
        ] {
            let note = ten(accounts, before, PRESERVED).unwrap();
            assert_eq!(note.is_some(), said, "{accounts:?} {before:?}");
        }
        assert_eq!(ten((1, 9), Some(PRESERVED), ACTIVE).unwrap(), None);
    }

    #[test]
    fn a_profile_has_places_of_its_own_and_without_seats_there_is_no_other_limit() {
        let admits = |active, max_users, before, after| {
            let profile = profile(active, max_users);
            let room = Room {
                seats: Seats::default(),
                profile: &profile,
                all: Counts {
                    active: 1_000_000,
                    preserved: 1_000_000,
                },
            };
            room.admits(before, after).is_ok()
        };
        assert!(admits(5, None, None, ACTIVE));
        assert!(admits(4, Some(5), None, ACTIVE));
        assert!(!admits(5, Some(5), None, ACTIVE));
        assert!(!admits(5, Some(5), Some(PRESERVED), ACTIVE));
        assert!(admits(5, Some(5), None, PRESERVED));
        assert!(admits(6, Some(5), Some(ACTIVE), PRESERVED));
        assert!(admits(6, Some(5), Some(ACTIVE), ACTIVE));
    }
}

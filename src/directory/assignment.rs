//! What an account was given: its profile, storage and quota. A mapping gives them once, when the account is created;
//! afterwards an administrator alone changes them, by hand here or by having the mappings decide again in
//! [`reclassify`](super::reclassify).

use std::collections::HashMap;
use std::fmt;

use jiff::Timestamp;
use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::{Listed, existing, listed};
use super::audit::{Entry, Origin, Verdict};
use super::by_hand::{profile_named, storage_named};
use super::places::has_place;
use super::{Directory, Refusal, changed};
use crate::store::users::{self, Assignment, Author, Status, Touched, User};
use crate::store::{self, profiles, storages};

/// What an account was given, in the words of scripts.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, JsonSchema)]
pub struct Given {
    /// Name of the mapping that decided, at that time; none: it was given by hand.
    pub mapping: Option<String>,
    /// Name of the profile.
    pub profile: String,
    /// Name of the storage.
    pub storage: String,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
}

impl Given {
    pub(super) fn of(
        connection: &Connection,
        assignment: &Assignment,
    ) -> Result<Self, store::Error> {
        Ok(Self {
            mapping: assignment.mapping.clone(),
            profile: profiles::get(connection, assignment.profile)?.name,
            storage: storages::get(connection, assignment.storage)?.name,
            quota_gb: assignment.quota_gb,
        })
    }
}

impl fmt::Display for Given {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mapping = self.mapping.as_deref().unwrap_or("by hand");
        write!(f, "{mapping}: {}, {}", self.profile, self.storage)?;
        match self.quota_gb {
            None => Ok(()),
            Some(0) => f.write_str(", unlimited"),
            Some(gb) => write!(f, ", {gb} GB"),
        }
    }
}

/// What an administrator changes of an account by hand; what is none stays.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Name of another profile.
    pub profile: Option<String>,
    /// Name of another storage.
    pub storage: Option<String>,
    /// Another quota of its own in GB; `Some(None)` follows the profile.
    pub quota_gb: Option<Option<i64>>,
}

impl Directory {
    /// Gives the account with this id another profile, storage or quota. From then on its place counts as given by hand.
    pub async fn edit_account(
        &self,
        origin: &Origin,
        id: &str,
        edit: Edit,
    ) -> Result<Listed, Refusal> {
        let entry = Entry::new("account.edit", 0).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let user = existing(connection, entry, &id)?;
            let mut to = user.assignment.clone();
            if let Some(name) = edit.profile {
                to.profile = profile_named(connection, &name)?.id;
            }
            if let Some(name) = edit.storage {
                to.storage = storage_named(connection, &name)?.id;
            }
            if let Some(quota_gb) = edit.quota_gb {
                to.quota_gb = quota_gb;
            }
            if to != user.assignment {
                to.mapping = None;
            }
            assign(connection, entry, user, to, now)
        })
        .await
    }
}

/// Moves that are only thought of: by how much each profile has more active accounts than the file says.
#[derive(Debug, Default)]
pub(super) struct Shifts(HashMap<i64, i64>);

impl Shifts {
    /// Makes a move in thought after those before it; or refuses what an account cannot be given: a storage that takes
    /// no new accounts or, to an active one, a profile without a free place.
    pub fn admit(
        &mut self,
        connection: &Connection,
        user: &User,
        to: &Assignment,
    ) -> Result<(), Refusal> {
        if to.storage != user.assignment.storage {
            let storage = storages::get(connection, to.storage)?;
            if !storage.enabled {
                return Err(Refusal::Forbidden(format!(
                    "storage {:?} is disabled; enable it or choose another",
                    storage.name
                )));
            }
        }
        if to.profile != user.assignment.profile && user.standing.status() == Status::Active {
            let mut profile = profiles::get(connection, to.profile)?;
            profile.accounts.active += self.0.get(&to.profile).unwrap_or(&0);
            has_place(&profile)?;
            *self.0.entry(user.assignment.profile).or_default() -= 1;
            *self.0.entry(to.profile).or_default() += 1;
        }
        Ok(())
    }
}

/// Gives an account something else, and tells how it is afterwards.
pub(super) fn assign(
    connection: &Connection,
    entry: &mut Entry,
    user: User,
    to: Assignment,
    now: Timestamp,
) -> Result<Listed, Refusal> {
    if to == user.assignment {
        entry.verdict = Verdict::Unchanged;
        entry.because("it was already so");
        return listed(connection, &user.id);
    }
    Shifts::default().admit(connection, &user, &to)?;
    let old = Given::of(connection, &user.assignment)?;
    let before = user.clone();
    let user = User {
        version: user.version + 1,
        modified: now,
        assignment: to,
        ..user
    };
    let author = Author {
        actor: &entry.actor,
        reason: "",
        row: entry.seq,
    };
    let text = store::text::object(&user.resource)?;
    users::update(connection, &user, text, Touched::COLUMNS, author)?;
    let new = Given::of(connection, &user.assignment)?;
    entry.because(format!("from {old} to {new}"));
    entry.changes = Some(changed(&fields(&old)?, &fields(&new)?));
    entry.account(connection, Some(&before), Some(&user))?;
    listed(connection, &user.id)
}

fn fields(given: &Given) -> Result<serde_json::Value, Refusal> {
    serde_json::to_value(given).map_err(|error| Refusal::Failed(error.to_string()))
}

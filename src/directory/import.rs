//! Import of accounts from a list that an administrator has: what would come of it, and making them. Each line goes the
//! way of an account made by hand, in a savepoint and with an audit row of its own; the writer commits many at once.

pub mod columns;

use std::collections::HashMap;
use std::sync::Arc;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::account::text;
use super::audit::{Entry, Origin};
use super::by_hand::{ByHand, Plan, plan, uniqueness};
use super::places::{Room, Seats};
use super::{Directory, Refusal, many};
use crate::scim::fold::fold;
use crate::scim::{Error, ScimType};
use crate::store::profiles::{self, Counts, Profile};
use crate::store::users::{self, Status};

/// One account of a list.
#[derive(Debug, Clone)]
pub struct Line {
    /// Where it stands in the list, for people.
    pub number: u64,
    /// Whose it is; empty where that cannot be read.
    pub email: String,
    /// What it says, or what is wrong with it.
    pub account: Result<ByHand, String>,
}

/// A line of which no account is made.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "RefusedLine")]
pub struct Refused {
    /// Where it stands in the list.
    pub line: u64,
    /// Whose it is; empty where it cannot be read.
    pub email: String,
    /// Why.
    pub reason: String,
}

impl Directory {
    /// The lines of which no account would be made, if the list were imported now. Changes nothing.
    pub async fn foresee_import(&self, lines: &Arc<Vec<Line>>) -> Result<Vec<Refused>, Refusal> {
        let (now, seats, lines) = (self.now(), self.settings.seats, Arc::clone(lines));
        let schemas = Arc::clone(&self.view.schemas);
        let read = move |connection: &Connection| {
            let mut foreseen = Foreseen {
                seats,
                all: profiles::counts(connection)?,
                ..Foreseen::default()
            };
            let mut refused = Vec::new();
            for line in &*lines {
                let account = line.account.as_ref().map_err(|why| spoilt(why));
                let planned = account.and_then(|account| {
                    let plan = plan(connection, account, &schemas, now)?;
                    foreseen.take(connection, line.number, &plan)
                });
                refused.extend(refusal(line.number, line.email.clone(), planned)?);
            }
            Ok(refused)
        };
        self.store.readers.long(read).await
    }

    /// Makes the accounts of a list, in its order, and tells `each` what came of every line. A refused line is no harm
    /// to the others; where the appliance itself fails the import ends, and what was made stays.
    pub async fn import(
        &self,
        origin: &Origin,
        lines: impl Iterator<Item = Line>,
        mut each: impl FnMut(Option<Refused>),
    ) -> Result<(), Refusal> {
        let jobs = lines.map(async |line| {
            let Line { number, email, .. } = line;
            let mut entry = Entry::new("account.import", 0);
            entry.target_name = (!email.is_empty()).then(|| email.clone());
            entry.because(format!("line {number} of the list"));
            let account = line.account.map_err(|why| spoilt(&why));
            let made = self.make_account(origin, entry, account).await;
            refusal(number, email, made.map(drop))
        });
        many::make(jobs, |outcome| {
            each(outcome?);
            Ok(())
        })
        .await
    }
}

/// The refusal of a line that cannot be read.
fn spoilt(why: &str) -> Refusal {
    Error::new(ScimType::InvalidValue, why).into()
}

/// The refusal of a line; `Err` where it is not the line's fault.
fn refusal(
    line: u64,
    email: String,
    outcome: Result<(), Refusal>,
) -> Result<Option<Refused>, Refusal> {
    match outcome {
        Ok(()) => Ok(None),
        Err(why) if why.status() >= 500 => Err(why),
        Err(why) => Ok(Some(Refused {
            line,
            email,
            reason: why.to_string(),
        })),
    }
}

/// What the earlier lines of a list would have taken.
#[derive(Default)]
struct Foreseen {
    seats: Seats,
    all: Counts,
    profiles: HashMap<i64, Profile>,
    /// Lines by the keys that no two visible users share: of the userName, and of the account's name.
    names: HashMap<String, u64>,
    usernames: HashMap<String, u64>,
    /// Lines of deleted users, by the key of the userName and the externalId.
    removed: HashMap<(String, Option<String>), u64>,
}

impl Foreseen {
    /// Takes name and room for a line that could be made if it were alone.
    fn take(&mut self, connection: &Connection, line: u64, plan: &Plan) -> Result<(), Refusal> {
        let user_name = text(&plan.attributes, "userName").unwrap_or_default();
        let external_id = text(&plan.attributes, "externalId").map(str::to_owned);
        let name = fold(user_name).into_owned();
        let username = users::username_key(user_name);
        let removed = (name.clone(), external_id);
        let earlier = match plan.standing.visible {
            true => self.names.get(&name).or(self.usernames.get(&username)),
            false => self.removed.get(&removed),
        };
        if let Some(earlier) = earlier {
            return Err(uniqueness(format!("it is the account of line {earlier}")));
        }
        let id = plan.assignment.profile;
        let profile = match self.profiles.get_mut(&id) {
            Some(profile) => profile,
            None => self
                .profiles
                .entry(id)
                .or_insert(profiles::get(connection, id)?),
        };
        let status = plan.standing.status();
        Room {
            seats: self.seats,
            profile,
            all: self.all,
        }
        .admits(None, status)?;
        for counts in [&mut profile.accounts, &mut self.all] {
            match status {
                Status::Active => counts.active += 1,
                Status::Preserved => counts.preserved += 1,
            }
        }
        if plan.standing.visible {
            self.names.insert(name, line);
            self.usernames.insert(username, line);
        } else {
            self.removed.insert(removed, line);
        }
        Ok(())
    }
}

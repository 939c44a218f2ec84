//! What the mappings, as they are or as they might be, would do to the present users (design §3.6): an administrator
//! sees it before any mapping changes. Nothing is written; the users are read one at a time beside the writer.
//!
//! It looks at what is stored, by the rules of [`reclassify`](super::reclassify): what it counts under the present
//! mappings is what that would do. Groups are not looked at: a new user has none.

use std::collections::HashMap;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::assignment::{Given, Shifts};
use super::mapping::Rules;
use super::mappings::{Plan, warnings};
use super::reclassify::{Outcome, Tally, fate};
use super::{Directory, Refusal};
use crate::scim::schema::ResourceType;
use crate::store::lower;
use crate::store::users::{self, Assignment, User};

/// What the mappings would do to the present users.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Impact {
    /// Users that SCIM sees.
    pub users: u64,
    /// What would become of them.
    #[serde(flatten)]
    pub tally: Tally,
    /// Each mapping, the top first.
    pub mappings: Vec<Takes>,
    /// Who would come from where to where, the most first.
    pub moves: Vec<Moves>,
    /// What an administrator should know about these mappings.
    pub warnings: Vec<String>,
}

/// Whom a mapping would take.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Takes {
    /// Its place, from 1.
    pub position: usize,
    /// Its name.
    pub mapping: String,
    /// Users that it takes.
    pub takes: u64,
    /// Users that it may take, for all that is known.
    pub may_take: u64,
}

/// Users who have one thing and would be given another.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Moves {
    /// What they have.
    pub old: Given,
    /// What they would be given.
    pub new: Given,
    /// How many.
    pub users: u64,
}

impl Directory {
    /// What the mappings would do to the present users if they were as `plan` says. Changes nothing.
    pub async fn impact(&self, plan: Plan) -> Result<Impact, Refusal> {
        let schemas = self.view.schemas.clone();
        let plan = plan.checked(&schemas)?;
        let read = move |connection: &Connection| {
            let mappings = plan.mappings(connection)?;
            let warnings = warnings(&mappings, &schemas);
            let rules = Rules::new(mappings, &schemas);
            let everyone = lower::condition(None, ResourceType::User, &schemas);
            let mut counts = Counts::new(&rules);
            users::each_present(connection, &everyone, 0, None, |user| {
                counts.count(connection, &rules, user)
            })?;
            let mut impact = counts.impact;
            impact.warnings = warnings;
            for ((old, new), users) in counts.moves {
                let old = Given::of(connection, &old)?;
                let new = Given::of(connection, &new)?;
                impact.moves.push(Moves { old, new, users });
            }
            impact.moves.sort_by(|one, other| {
                let most = other.users.cmp(&one.users);
                most.then_with(|| (&one.old, &one.new).cmp(&(&other.old, &other.new)))
            });
            Ok(impact)
        };
        self.store.readers.long(read).await
    }
}

/// What is counted on the way through the users: as much as there are mappings and things given, however many users.
struct Counts {
    impact: Impact,
    moves: HashMap<(Assignment, Assignment), u64>,
    shifts: Shifts,
}

impl Counts {
    fn new(rules: &Rules<'_>) -> Self {
        let takes = rules.mappings().zip(1..).map(|(mapping, position)| Takes {
            position,
            mapping: mapping.name.clone(),
            takes: 0,
            may_take: 0,
        });
        Self {
            impact: Impact {
                users: 0,
                tally: Tally::default(),
                mappings: takes.collect(),
                moves: Vec::new(),
                warnings: Vec::new(),
            },
            moves: HashMap::new(),
            shifts: Shifts::default(),
        }
    }

    fn count(
        &mut self,
        connection: &Connection,
        rules: &Rules<'_>,
        user: User,
    ) -> Result<(), Refusal> {
        let mut fate = fate(rules, &user, false);
        if let Some(new) = fate.assignment {
            match self.shifts.admit(connection, &user, &new) {
                Ok(()) => {
                    // The mail is no part of what is given.
                    let plain = |assignment| Assignment {
                        activation_email: false,
                        ..assignment
                    };
                    let moves = (plain(user.assignment), plain(new));
                    *self.moves.entry(moves).or_default() += 1;
                }
                Err(Refusal::Forbidden(_)) => fate.outcome = Outcome::Refused,
                Err(error) => return Err(error),
            }
        }
        self.impact.users += 1;
        self.impact.tally.count(fate.outcome);
        if let Some(decision) = fate.decision {
            // What was tried is a part of the mappings, from the top.
            for (takes, tried) in self.impact.mappings.iter_mut().zip(&decision.tried) {
                match tried.matched {
                    Some(true) if decision.known => takes.takes += 1,
                    Some(true) | None => takes.may_take += 1,
                    Some(false) => {}
                }
            }
        }
        Ok(())
    }
}

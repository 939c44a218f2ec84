//! Reclassification: the mappings decide once more, over what is stored of present users, because an administrator asks
//! for it. Nothing else ever moves an account (design §3.5, §3.6).
//!
//! What was dropped when a user was made cannot be looked at any more. Where a mapping would have to, the answer is
//! unknown and the account stays as it is. So does one whose place was given by hand, unless it is named.

use std::sync::Arc;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::{existing, found, matches};
use super::assignment::{Given, Shifts, assign};
use super::audit::{Entry, Origin, Verdict};
use super::mapping::{Decision, Rules, Seen};
use super::paging::Span;
use super::view::View;
use super::{Directory, Refusal};
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;
use crate::store::users::{self, Assignment, User};
use crate::store::{self, lower, mappings};

/// Users that are read at once.
const PAGE: usize = 256;

/// Which accounts the mappings shall decide about.
#[derive(Debug)]
pub enum Which {
    /// Those of the users that SCIM sees and this filter matches, all if there is none.
    Present(Option<Filter>),
    /// Those with these ids, also hidden ones and those whose place was given by hand.
    Named(Vec<String>),
}

/// What became of an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Outcome {
    /// It has what the mappings say now, and had something else.
    Moved,
    /// The mappings lead where it cannot go; it stays.
    Refused,
    /// No mapping takes it; it stays.
    Unmatched,
    /// Nobody can know what the mappings say: one looks at what is not kept; it stays.
    Unknown,
    /// It stays because its place was given by hand.
    ByHand,
    /// It is as it should be.
    Unchanged,
}

/// An account that moves, or should and does not.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Reclassified {
    /// Its id.
    pub id: String,
    /// userName.
    pub email: String,
    /// What became of it.
    #[schemars(with = "String")]
    pub outcome: Outcome,
    /// What it had.
    pub old: Given,
    /// What the mappings say.
    pub new: Option<Given>,
    /// Why it does not move.
    pub why: Option<String>,
}

/// How many accounts came out how.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, JsonSchema)]
pub struct Tally {
    /// [`Outcome::Moved`]
    pub moved: u64,
    /// [`Outcome::Refused`]
    pub refused: u64,
    /// [`Outcome::Unmatched`]
    pub unmatched: u64,
    /// [`Outcome::Unknown`]
    pub unknown: u64,
    /// [`Outcome::ByHand`]
    pub by_hand: u64,
    /// [`Outcome::Unchanged`]
    pub unchanged: u64,
}

impl Tally {
    pub(super) fn count(&mut self, outcome: Outcome) {
        *match outcome {
            Outcome::Moved => &mut self.moved,
            Outcome::Refused => &mut self.refused,
            Outcome::Unmatched => &mut self.unmatched,
            Outcome::Unknown => &mut self.unknown,
            Outcome::ByHand => &mut self.by_hand,
            Outcome::Unchanged => &mut self.unchanged,
        } += 1;
    }
}

/// What the mappings say about a present account.
pub(super) struct Fate {
    /// What shall become of it.
    pub outcome: Outcome,
    /// How they decided, if they were asked.
    pub decision: Option<Decision>,
    /// What it shall have, if it moves.
    pub assignment: Option<Assignment>,
}

/// What the mappings say about an account, by what is stored of its user; `named`: also where its place was given by
/// hand. Whether it can go there is not looked at.
pub(super) fn fate(rules: &Rules<'_>, user: &User, named: bool) -> Fate {
    let mut fate = Fate {
        outcome: Outcome::ByHand,
        decision: None,
        assignment: None,
    };
    if user.assignment.mapping.is_none() && !named {
        return fate;
    }
    let decision = rules.decide(Seen::Stored(&user.resource));
    fate.outcome = match &decision.winner {
        None if decision.known => Outcome::Unmatched,
        None => Outcome::Unknown,
        Some(winner) => {
            let assignment = Assignment {
                profile: winner.profile,
                storage: winner.storage,
                quota_gb: winner.quota_gb,
                mapping: Some(winner.name.clone()),
                // The mail is for new accounts.
                activation_email: user.assignment.activation_email,
            };
            match assignment == user.assignment {
                true => Outcome::Unchanged,
                false => {
                    fate.assignment = Some(assignment);
                    Outcome::Moved
                }
            }
        }
    };
    fate.decision = Some(decision);
    fate
}

impl Directory {
    /// Has the mappings decide about present accounts and moves those that belong elsewhere, the oldest first, each in
    /// a transaction and with an audit row of its own. `each` is told of those that move, should and cannot, or are
    /// taken by none; the others are counted. With `dry_run` it tells the same and changes nothing. It stops where
    /// `span` ends, and gives the place to go on from if there may be more.
    pub async fn reclassify<E: From<Refusal>>(
        &self,
        origin: &Origin,
        which: Which,
        dry_run: bool,
        span: Span,
        mut each: impl FnMut(Reclassified) -> Result<(), E>,
    ) -> Result<(Tally, Option<i64>), E> {
        let named = matches!(which, Which::Named(_));
        let which = Arc::new(which);
        let mut tally = Tally::default();
        let mut shifts = dry_run.then(Shifts::default);
        let (mut after, mut left) = (Some(span.after), span.most);
        while let Some(seq) = after.filter(|_| left > 0) {
            let judged;
            let most = left.min(PAGE);
            (judged, after) = self.judge(Arc::clone(&which), seq, most).await?;
            left -= most;
            for (user, mut fate) in judged {
                let mut why = None;
                if let Some(to) = &fate.assignment {
                    let done = match &mut shifts {
                        Some(shifts) => {
                            let admit = |connection: &_| shifts.admit(connection, &user, to);
                            self.store.readers.short(admit).map(|()| fate.outcome)
                        }
                        None => self.move_one(origin, &user.id, named).await,
                    };
                    fate.outcome = match done {
                        Ok(outcome) => outcome,
                        Err(refusal @ (Refusal::Forbidden(_) | Refusal::NotFound { .. })) => {
                            why = Some(refusal.to_string());
                            Outcome::Refused
                        }
                        Err(error) => return Err(error.into()),
                    };
                }
                tally.count(fate.outcome);
                if matches!(
                    fate.outcome,
                    Outcome::Moved | Outcome::Refused | Outcome::Unmatched
                ) {
                    each(self.told(user, &fate, why)?)?;
                }
            }
        }
        Ok((tally, after))
    }

    /// The users of a page of `most` behind row `after` with what the mappings say about each, and the row of its last; none if
    /// there is no page behind it.
    async fn judge(
        &self,
        which: Arc<Which>,
        after: i64,
        most: usize,
    ) -> Result<(Vec<(User, Fate)>, Option<i64>), Refusal> {
        let view = self.view.clone();
        let read = move |connection: &Connection| {
            let rules = Rules::new(mappings::all(connection)?, &view.schemas);
            let (users, last) = match &*which {
                Which::Named(ids) => {
                    let users = ids.iter().map(|id| found(connection, id));
                    let mut users = users.collect::<Result<Vec<_>, _>>()?;
                    users.sort_by_key(|user| user.seq);
                    users.dedup_by_key(|user| user.seq);
                    (users, None)
                }
                Which::Present(filter) => page(connection, &view, filter.as_ref(), after, most)?,
            };
            let named = matches!(*which, Which::Named(_));
            let judged = users.into_iter().map(|user| {
                let fate = fate(&rules, &user, named);
                (user, fate)
            });
            Ok((judged.collect(), last))
        };
        self.store.readers.long(read).await
    }

    /// Moves an account to where the mappings lead, if they still lead elsewhere.
    async fn move_one(&self, origin: &Origin, id: &str, named: bool) -> Result<Outcome, Refusal> {
        let schemas = self.view.schemas.clone();
        let entry = Entry::new("account.reclassify", 0).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let user = existing(connection, entry, &id)?;
            let rules = Rules::new(mappings::all(connection)?, &schemas);
            let fate = fate(&rules, &user, named);
            entry.mapping = fate.decision.as_ref().map(Decision::recorded);
            match fate.assignment {
                Some(to) => {
                    let mapping = to.mapping.as_deref().unwrap_or_default();
                    entry.because(format!("mapping {mapping:?} decided"));
                    assign(connection, entry, user, to, now)?;
                }
                None => {
                    entry.verdict = Verdict::Unchanged;
                    entry.because("somebody was faster; the mappings lead nowhere else any more");
                }
            }
            Ok(fate.outcome)
        })
        .await
    }

    fn told(&self, user: User, fate: &Fate, why: Option<String>) -> Result<Reclassified, Refusal> {
        self.store.readers.short(|connection| {
            let new = fate.assignment.as_ref();
            Ok(Reclassified {
                old: Given::of(connection, &user.assignment)?,
                new: new.map(|to| Given::of(connection, to)).transpose()?,
                id: user.id,
                email: user.account.email,
                outcome: fate.outcome,
                why,
            })
        })
    }
}

/// A page of `most` of the users that SCIM sees and `filter` matches behind row `after`, and the row of the last that was looked
/// at; none if none was.
fn page(
    connection: &Connection,
    view: &View,
    filter: Option<&Filter>,
    after: i64,
    most: usize,
) -> Result<(Vec<User>, Option<i64>), Refusal> {
    let condition = lower::condition(filter, ResourceType::User, &view.schemas);
    let (mut users, mut last) = (Vec::new(), None);
    users::each_present(
        connection,
        &condition,
        after,
        u64::try_from(most).ok(),
        |user| {
            last = Some(user.seq);
            let matches = match filter.filter(|_| !condition.exact) {
                None => true,
                Some(filter) => matches(connection, view, filter, &user)?,
            };
            if matches {
                users.push(user);
            }
            Ok::<_, store::Error>(())
        },
    )?;
    Ok((users, last))
}

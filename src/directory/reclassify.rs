//! Reclassification: the mappings decide once more, over what is stored of present users, because an administrator asks
//! for it. Nothing else ever moves an account (design §3.5, §3.6).
//!
//! What was dropped when a user was made cannot be looked at any more. Where a mapping would have to, the answer is
//! unknown and the account stays as it is. So does one whose place was given by hand, unless it is named.

use std::fmt;
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
use super::{Directory, Refusal, many};
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;
use crate::store::users::{self, Assignment, User};
use crate::store::{self, lower, mappings};

/// What the audit calls it.
const ACTION: &str = "account.reclassify";
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
    /// Nobody can know what the mappings say: one looks at what has no value that is kept; it stays.
    Unknown,
    /// It stays because its place was given by hand.
    ByHand,
    /// It is as it should be.
    Unchanged,
}

impl Outcome {
    /// Whether an administrator is told which account it is; the others are counted.
    fn is_told(self) -> bool {
        matches!(self, Self::Moved | Self::Refused | Self::Unmatched)
    }
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

impl fmt::Display for Tally {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            moved: _,
            refused,
            unmatched,
            unknown,
            by_hand,
            unchanged,
        } = self;
        write!(
            f,
            "{refused} refused, {unmatched} taken by no mapping, {unknown} cannot be known, \
             {by_hand} given their place by hand, {unchanged} as they should be"
        )
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
            // Another name of the mapping is no move. But whose place was given by hand follows the mappings again.
            let given = |it: &Assignment| (it.profile, it.storage, it.quota_gb);
            let same = given(&assignment) == given(&user.assignment);
            match same && user.assignment.mapping.is_some() {
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
    /// a transaction and with an audit row of its own; where there is none, the act has a row. `each` is told of those
    /// that move, should and cannot, or are taken by none; the others are counted. With `dry_run` it tells the same and
    /// changes nothing. It stops where `span` ends, and gives the place to go on from if there may be more.
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
        let mut rows = 0;
        while let Some(seq) = after.filter(|_| left > 0) {
            let most = left.min(PAGE);
            let judged;
            (judged, after) = match self.judge(Arc::clone(&which), seq, most).await {
                Err(refusal) if !dry_run => {
                    return Err(self.not_begun(origin, refusal).await.into());
                }
                judged => judged?,
            };
            left -= most;
            let mut tell = |(outcome, told): (Outcome, Option<Reclassified>)| {
                tally.count(outcome);
                told.map_or(Ok(()), &mut each)
            };
            match &mut shifts {
                Some(shifts) => {
                    for (user, fate) in judged {
                        tell(self.foresee(shifts, &user, fate)?)?;
                    }
                }
                None => {
                    rows += judged
                        .iter()
                        .filter(|(_, fate)| fate.assignment.is_some())
                        .count();
                    let jobs = judged
                        .into_iter()
                        .map(|(user, fate)| self.carry_out(origin, user, fate, named));
                    many::make(jobs, |done| tell(done?)).await?;
                }
            }
        }
        if !dry_run && rows == 0 {
            let mut entry = Entry::new(ACTION, 0);
            entry.verdict = Verdict::Unchanged;
            entry.because(format!("nobody belongs elsewhere: {tally}"));
            self.note(origin, entry).await?;
        }
        Ok((tally, after))
    }

    /// Writes the row of a reclassification that was refused as a whole. Gives the refusal.
    async fn not_begun(&self, origin: &Origin, refusal: Refusal) -> Refusal {
        let refused = self.change(origin, Entry::new(ACTION, 0), |_, _, _| {
            Err::<(), _>(refusal)
        });
        match refused.await {
            Err(refusal) => refusal,
            Ok(()) => Refusal::Failed("a refused act was taken for a change".to_owned()),
        }
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

    /// What would become of an account, after those that were foreseen before it.
    fn foresee(
        &self,
        shifts: &mut Shifts,
        user: &User,
        mut fate: Fate,
    ) -> Result<(Outcome, Option<Reclassified>), Refusal> {
        if !fate.outcome.is_told() {
            return Ok((fate.outcome, None));
        }
        self.store.readers.short(|connection| {
            let mut why = None;
            if let Some(to) = &fate.assignment {
                match shifts.admit(connection, user, to) {
                    Err(refusal @ Refusal::Forbidden(_)) => {
                        fate.outcome = Outcome::Refused;
                        why = Some(refusal.to_string());
                    }
                    admitted => admitted?,
                }
            }
            Ok((fate.outcome, told(connection, user, &fate, why)?))
        })
    }

    /// Moves an account to where the mappings lead, if they lead elsewhere.
    async fn carry_out(
        &self,
        origin: &Origin,
        user: User,
        mut fate: Fate,
        named: bool,
    ) -> Result<(Outcome, Option<Reclassified>), Refusal> {
        if !fate.outcome.is_told() {
            return Ok((fate.outcome, None));
        }
        let mut why = None;
        if fate.assignment.is_some() {
            match self.move_one(origin, &user.id, named).await {
                Err(refusal @ (Refusal::Forbidden(_) | Refusal::NotFound { .. })) => {
                    fate.outcome = Outcome::Refused;
                    why = Some(refusal.to_string());
                }
                done => return done,
            }
        }
        let read = |connection: &Connection| told(connection, &user, &fate, why);
        Ok((fate.outcome, self.store.readers.short(read)?))
    }

    /// Moves an account to where the mappings lead, if they still lead elsewhere. Gives what became of it.
    async fn move_one(
        &self,
        origin: &Origin,
        id: &str,
        named: bool,
    ) -> Result<(Outcome, Option<Reclassified>), Refusal> {
        let schemas = self.view.schemas.clone();
        let entry = Entry::new(ACTION, 0).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let user = existing(connection, entry, &id)?;
            let rules = Rules::new(mappings::all(connection)?, &schemas);
            let fate = fate(&rules, &user, named);
            let told = told(connection, &user, &fate, None)?;
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
            Ok((fate.outcome, told))
        })
        .await
    }
}

/// An account that moves, should and cannot, or is taken by no mapping, as it is told; none for another.
fn told(
    connection: &Connection,
    user: &User,
    fate: &Fate,
    why: Option<String>,
) -> Result<Option<Reclassified>, Refusal> {
    if !fate.outcome.is_told() {
        return Ok(None);
    }
    let new = fate.assignment.as_ref();
    Ok(Some(Reclassified {
        id: user.id.clone(),
        email: user.account.email.clone(),
        outcome: fate.outcome,
        old: Given::of(connection, &user.assignment)?,
        new: new.map(|to| Given::of(connection, to)).transpose()?,
        why,
    }))
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
    let condition = condition.within_bounds(connection, users::sql_of_present);
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

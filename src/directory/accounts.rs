//! Accounts as the administrator sees them, and what an administrator does to them: preserve, activate, hold, release.
//! SCIM shows the effect with the next answer. Deleting for good is in `deletion`.

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::audit::{Entry, Origin, Verdict};
use super::lifecycle::{self, Event};
use super::paging::{Filling, Page, Span};
use super::view::View;
use super::{Directory, Refusal, changed, places};
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;
pub use crate::store::accounts::Listed;
pub use crate::store::audit::Recorded;
use crate::store::audit::select::{self, Whom};
pub use crate::store::users::Status;
use crate::store::users::{self, Author, Standing, Touched, User};
use crate::store::{self, accounts, groups, lower};

/// Accounts that are read at a time where all are wanted.
const PART: usize = 1000;

/// What an administrator does to an account.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Act {
    /// Stop it, also on top of the identity provider, which then cannot undo it.
    Preserve,
    /// Put it back in use, where there is room for it.
    Activate,
    /// Put it under legal hold.
    Hold,
    /// End the legal hold.
    Release,
}

impl Act {
    fn action(self) -> &'static str {
        match self {
            Self::Preserve => "account.preserve",
            Self::Activate => "account.activate",
            Self::Hold => "account.hold",
            Self::Release => "account.release",
        }
    }

    /// What it did, for the audit.
    fn effect(self, after: &Standing) -> &'static str {
        match self {
            Self::Preserve => {
                "an administrator stopped the account; the identity provider cannot undo that"
            }
            Self::Activate if after.visible => "an administrator put the account back in use",
            Self::Activate => {
                "an administrator leaves the account to the identity provider again: it comes back when that sends the \
                 person again"
            }
            Self::Hold => "an administrator put the account under legal hold; nothing deletes it",
            Self::Release => "an administrator ended the legal hold",
        }
    }

    fn event(self) -> Event {
        match self {
            Self::Preserve => Event::Preserved,
            Self::Activate => Event::Activated,
            Self::Hold => Event::Held,
            Self::Release => Event::Released,
        }
    }
}

/// Which accounts to list.
#[derive(Debug, Clone, Default)]
pub struct Selection {
    /// Those of this status.
    pub status: Option<Status>,
    /// Those whose resource this SCIM filter matches.
    pub filter: Option<Filter>,
}

/// An account and what happened to it.
#[derive(Debug)]
pub struct Story {
    /// The account.
    pub account: Listed,
    /// Its audit rows, in order: the last of them, where not all were wanted.
    pub audit: Vec<Recorded>,
    /// Whether there are earlier ones.
    pub earlier: bool,
}

impl Directory {
    /// Gives the accounts of a selection to `each`, the oldest first and hidden ones among them. They are read on the
    /// calling thread and in parts: however long `each` takes, no snapshot keeps the WAL from being reset meanwhile.
    pub fn each_account<E: From<store::Error>>(
        &self,
        selection: &Selection,
        mut each: impl FnMut(Listed) -> Result<(), E>,
    ) -> Result<(), E> {
        let mut after = 0;
        loop {
            let part = self.store.readers.short(|connection| {
                let span = Span::page(after, PART);
                part(connection, &self.view, selection, span)
            })?;
            part.items.into_iter().try_for_each(&mut each)?;
            match part.next {
                Some(next) => after = next,
                None => return Ok(()),
            }
        }
    }

    /// A page of the same accounts in the same order.
    pub async fn accounts(
        &self,
        selection: &Selection,
        span: Span,
    ) -> Result<Page<Listed>, Refusal> {
        let (view, selection) = (self.view.clone(), selection.clone());
        let read = move |connection: &Connection| part(connection, &view, &selection, span);
        Ok(self.store.readers.long(read).await?)
    }

    /// The account with this id, or of this username if only one has it, and as much of its story as `span` lets, the
    /// last first: what was done to it, to its memberships, and what was refused under one of its names.
    pub async fn account(&self, name: &str, span: Span) -> Result<Story, Refusal> {
        let name = name.to_owned();
        let read = move |connection: &Connection| {
            let id = identified(connection, &name)?;
            let mut page = Filling::new(span);
            let account = listed(connection, &id)?;
            let whom = Whom::user(connection, &id, Some(&account.email))?;
            select::about(connection, &whom, |row| page.take(row.seq, row))?;
            let Page { mut items, next } = page.done();
            items.reverse();
            Ok(Story {
                account,
                audit: items,
                earlier: next.is_some(),
            })
        };
        self.store.readers.long(read).await
    }

    /// Does `act` to the account with this id and tells how it is afterwards.
    pub async fn act(&self, origin: &Origin, id: &str, act: Act) -> Result<Listed, Refusal> {
        let entry = Entry::new(act.action(), 0).about("User", Some(id));
        let (id, seats) = (id.to_owned(), self.settings.seats);
        self.change(origin, entry, move |connection, entry, now| {
            let before = existing(connection, entry, &id)?;
            let shown = listed(connection, &id)?;
            let standing = lifecycle::after(before.standing, act.event(), now)?;
            if standing == before.standing {
                entry.verdict = Verdict::Unchanged;
                entry.because("it was already so");
                return Ok(shown);
            }
            let (profile, from) = (before.assignment.profile, Some(before.standing));
            places::claim(connection, entry, seats, profile, from, standing)?;
            let mut user = User {
                version: before.version + 1,
                modified: now,
                standing,
                ..before.clone()
            };
            let active = standing.status() == Status::Active;
            user.resource.insert("active".to_owned(), active.into());
            let author = Author {
                actor: &entry.actor,
                reason: act.event().reason(),
                row: entry.seq,
            };
            let text = store::text::object(&user.resource)?;
            users::update(connection, &user, text, Touched::COLUMNS, author)?;
            let account = listed(connection, &id)?;
            entry.because(act.effect(&user.standing));
            entry.changes = Some(changed(&shown.fields()?, &account.fields()?));
            entry.account(connection, Some(&before), Some(&user))?;
            Ok(account)
        })
        .await
    }
}

/// Those accounts of a selection that `span` lets.
fn part(
    connection: &Connection,
    view: &View,
    selection: &Selection,
    span: Span,
) -> Result<Page<Listed>, store::Error> {
    let mut page = Filling::new(span);
    walk(connection, view, selection, span.after, |account| {
        Ok::<_, store::Error>(page.take(account.seq, account))
    })?;
    Ok(page.done())
}

/// Gives the accounts of a selection behind row `after` to `each`, the oldest first, until it has enough.
pub(super) fn walk<E: From<store::Error>>(
    connection: &Connection,
    view: &View,
    selection: &Selection,
    after: i64,
    mut each: impl FnMut(Listed) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let filter = selection.filter.as_ref();
    let condition = lower::condition_of_accounts(filter, &view.schemas);
    let condition = condition.within_bounds(connection, accounts::sql_of_each);
    let judged = filter.filter(|_| !condition.exact);
    accounts::each(connection, selection.status, &condition, after, |account| {
        let Some(filter) = judged else {
            return each(account);
        };
        match users::get(connection, &account.id)? {
            Some(user) if matches(connection, view, filter, &user)? => each(account),
            _ => Ok(ControlFlow::Continue(())),
        }
    })
}

/// The user with this id, hidden or not, whose name the audit row then has.
pub(super) fn existing(
    connection: &Connection,
    entry: &mut Entry,
    id: &str,
) -> Result<User, Refusal> {
    let user = found(connection, id)?;
    entry.target_name = Some(user.account.email.clone());
    Ok(user)
}

/// The user with this id, hidden or not.
pub(super) fn found(connection: &Connection, id: &str) -> Result<User, Refusal> {
    users::get(connection, id)?.ok_or_else(|| not_found(id))
}

/// The account with this id.
pub(super) fn listed(connection: &Connection, id: &str) -> Result<Listed, Refusal> {
    accounts::get(connection, id)?.ok_or_else(|| not_found(id))
}

fn not_found(id: &str) -> Refusal {
    Refusal::NotFound {
        what: "account",
        id: id.to_owned(),
    }
}

/// The id that is meant: an id itself, the username of the user that SCIM sees, or one that a single hidden one has.
pub(super) fn identified(connection: &Connection, name: &str) -> Result<String, Refusal> {
    if users::get(connection, name)?.is_some() {
        return Ok(name.to_owned());
    }
    if let Some(user) = users::named(connection, name)? {
        return Ok(user.id);
    }
    let mut hidden = users::hidden_ids(connection, name)?;
    match (hidden.pop(), hidden.as_slice()) {
        (None, _) => Err(not_found(name)),
        (Some(id), []) => Ok(id),
        (Some(id), others) => Err(Refusal::Forbidden(format!(
            "several deleted users had the name {name}; name one by its id: {}, {id}",
            others.join(", ")
        ))),
    }
}

/// Whether the resource of a user matches.
pub(super) fn matches(
    connection: &Connection,
    view: &View,
    filter: &Filter,
    user: &User,
) -> Result<bool, store::Error> {
    let groups = groups::groups_of_user(connection, user.seq)?;
    let resource = view.user(user, &groups)?;
    Ok(filter.matches(&resource, ResourceType::User, &view.schemas))
}

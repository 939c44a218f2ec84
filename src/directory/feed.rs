//! The change feed (design §3.12): every applied change once, in the order of the commits, with the account before and
//! after it. The number of a row is the cursor. Rows get their numbers inside the transactions that write them, and there
//! is one writer at a time, so no row becomes visible behind one with a higher number.

use std::time::Duration;

use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, watch};
use tokio::time::{Instant, timeout_at};

use super::accounts::Listed;
use super::{Directory, Refusal};
use crate::scim::Object;
use crate::store;
pub use crate::store::audit::Recorded;
use crate::store::audit::{self, Link, chain, select};

/// Longest wait for a change.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// Changes in one answer at the most.
pub const MOST: u32 = 1000;
/// Who may wait at the same time: each looks at the file now and then.
const WAITERS: usize = 64;
/// Time between two looks at what other processes have committed. This process wakes its waiters itself.
const LOOK: Duration = Duration::from_millis(250);

/// Who waits for changes.
pub struct Feed {
    places: Semaphore,
    ended: watch::Sender<bool>,
}

impl Default for Feed {
    fn default() -> Self {
        Self {
            places: Semaphore::new(WAITERS),
            ended: watch::Sender::new(false),
        }
    }
}

/// An applied change: its audit row, and the account that it is about.
#[derive(Debug, Clone, Serialize)]
pub struct Change {
    /// The row, with the keys of the contract.
    #[serde(flatten)]
    pub row: Recorded,
    /// The account before, with `activation_email`; none where there was none, or the change is about something else.
    pub account_before: Option<Object>,
    /// The account after; none where it is gone, or the change is about something else.
    pub account_after: Option<Object>,
}

/// A part of the feed.
#[derive(Debug, Clone, Serialize)]
pub struct Changes {
    /// The changes, in their order.
    pub changes: Vec<Change>,
    /// The cursor with which the feed goes on.
    pub next: i64,
}

impl Directory {
    /// The applied changes behind number `after`, at most `most` and never more than [`MOST`]. Where there are none it
    /// waits for one, up to `wait` and never longer than [`LONGEST_WAIT`], and not beyond the shutdown. A cursor that
    /// pruning has overtaken, or that is not of this database, is refused: going on would lose changes.
    pub async fn changes(&self, after: i64, most: u32, wait: Duration) -> Result<Changes, Refusal> {
        let deadline = Instant::now() + wait.min(LONGEST_WAIT);
        let most = most.clamp(1, MOST);
        let mut next = after;
        loop {
            let read = move |connection: &rusqlite::Connection| read(connection, next, most);
            let part = self.store.readers.long(read).await?;
            next = part.next;
            // Rows that are no applied changes go on coming: they do not prolong the wait.
            let over = Instant::now() >= deadline || *self.feed.ended.borrow();
            if !part.changes.is_empty() || over || !self.newer(next, deadline).await? {
                return Ok(part);
            }
        }
    }

    /// Waits until the audit has rows behind number `after`; `false` if it has none by `deadline` or the shutdown.
    pub async fn newer(&self, after: i64, deadline: Instant) -> Result<bool, Refusal> {
        // Asked for before the look at the file: what is committed after the look wakes.
        let mut committed = self.store.writer.committed();
        let mut ended = self.feed.ended.subscribe();
        let mut place = None;
        loop {
            if self.head()?.seq > after {
                return Ok(true);
            }
            if *ended.borrow_and_update() || Instant::now() >= deadline {
                return Ok(false);
            }
            if place.is_none() {
                place = Some(self.feed.places.try_acquire().map_err(|_| {
                    Refusal::Busy("too many wait for changes; ask again in a few seconds")
                })?);
            }
            let look = deadline.min(Instant::now() + LOOK);
            // Whatever ends the wait, the file is asked.
            let _ = timeout_at(look, async {
                tokio::select! {
                    _ = committed.changed() => {}
                    _ = ended.changed() => {}
                }
            })
            .await;
        }
    }

    /// The last row of the audit.
    pub fn head(&self) -> Result<Link, Refusal> {
        Ok(self.store.readers.short(audit::head)?)
    }

    /// Has all who wait for changes answered, now and from now on: the server stops.
    pub fn end_feed(&self) {
        self.feed.ended.send_replace(true);
    }
}

fn read(connection: &rusqlite::Connection, after: i64, most: u32) -> Result<Changes, Refusal> {
    let (head, pruned) = (audit::head(connection)?, chain::pruned(connection)?);
    if after < pruned.seq {
        return Err(Refusal::Gone(format!(
            "changes up to {} were pruned; read all accounts, then go on after {}",
            pruned.seq, head.seq
        )));
    }
    if after > head.seq {
        return Err(Refusal::Gone(format!(
            "there is no change {after} yet, so the cursor is of another database or of one before a restore; read all \
             accounts, then go on after {}",
            head.seq
        )));
    }
    let rows = select::applied(connection, after, most)?;
    let full = rows.len() >= most as usize;
    let next = match rows.last() {
        Some((last, _)) if full => last.seq,
        _ => head.seq,
    };
    let changes = rows.into_iter().map(|(row, account)| {
        let (account_before, account_after) = apart(account);
        Change {
            row,
            account_before,
            account_after,
        }
    });
    Ok(Changes {
        changes: changes.collect(),
        next,
    })
}

/// What a row keeps of an account: all of it as it is after the change, and of before only what was different; all of
/// it if it is gone.
pub(super) fn together(
    before: Option<&Listed>,
    after: Option<&Listed>,
) -> Result<Object, store::Error> {
    let before = before.map(Listed::fed).transpose()?;
    let after = after.map(Listed::fed).transpose()?;
    let mut account = Object::new();
    let differing = before.map(|mut before| {
        before.retain(|name, value| {
            after
                .as_ref()
                .is_none_or(|after| after.get(name) != Some(value))
        });
        before
    });
    account.insert(
        "before".to_owned(),
        differing.map_or(Value::Null, Value::Object),
    );
    account.insert("after".to_owned(), after.map_or(Value::Null, Value::Object));
    Ok(account)
}

/// The account before and after, from what a row keeps of it.
fn apart(account: Option<Object>) -> (Option<Object>, Option<Object>) {
    let Some(mut account) = account else {
        return (None, None);
    };
    let mut side = |name: &str| match account.remove(name) {
        Some(Value::Object(side)) => Some(side),
        _ => None,
    };
    let (differing, after) = (side("before"), side("after"));
    let before = differing.map(|differing| {
        let mut before = after.clone().unwrap_or_default();
        before.extend(differing);
        before
    });
    (before, after)
}

#[cfg(test)]
mod tests;

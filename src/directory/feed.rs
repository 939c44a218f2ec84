//! The audit as it goes on, and the change feed (design §3.12): every applied change once, in the order of the commits,
//! with the account before and after it. The number of a row is the cursor. Rows get their numbers inside the
//! transactions that write them, and there is one writer at a time, so no row becomes visible behind one with a higher
//! number.

mod cursor;

use std::time::Duration;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;
use tokio::sync::{Semaphore, SemaphorePermit, watch};
use tokio::time::{Instant, timeout_at};

use super::history::{Selection, Verdict};
use super::paging::{Filling, Span};
use super::{Directory, Refusal};
use crate::scim::Object;
pub use crate::store::audit::Recorded;
use crate::store::audit::{self, Link, chain, select};
pub use cursor::Cursor;

/// Longest wait for a change.
pub const LONGEST_WAIT: Duration = Duration::from_secs(60);
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
#[derive(Debug, Clone, Serialize, JsonSchema)]
pub struct Change {
    /// The row, with the keys of the contract.
    #[serde(flatten)]
    pub row: Recorded,
    /// The account before, with `activation_email`: whether its mapping wants an activation mail to be sent. Null where
    /// there was none, or the change is about something else.
    pub account_before: Option<Object>,
    /// The account after; null where it is gone, or the change is about something else.
    pub account_after: Option<Object>,
}

impl From<(Recorded, Option<Object>)> for Change {
    fn from((row, account): (Recorded, Option<Object>)) -> Self {
        let (account_before, account_after) = apart(account);
        Self {
            row,
            account_before,
            account_after,
        }
    }
}

/// What is wanted of the audit or of the feed.
#[derive(Debug, Clone, Default)]
pub struct Ask {
    /// Behind this place; none for the first row that there is.
    pub after: Option<Cursor>,
    /// So many at the most.
    pub most: usize,
    /// How long to wait where there is nothing; never longer than [`LONGEST_WAIT`].
    pub wait: Duration,
}

/// A part of the audit or of the feed.
#[derive(Debug)]
pub struct Part<T> {
    /// The rows, in their order.
    pub items: Vec<T>,
    /// Where to go on.
    pub next: Cursor,
    /// Whether there is more already.
    pub more: bool,
}

impl Directory {
    /// The applied changes behind a place. Where there are none it waits for one, not beyond the shutdown. A cursor that
    /// pruning has overtaken, or that is not of this database, is refused: going on would lose changes.
    pub async fn changes(&self, ask: Ask) -> Result<Part<Change>, Refusal> {
        let applied = Selection {
            verdict: Some(Verdict::Applied),
            ..Selection::default()
        };
        self.part::<(Recorded, Option<Object>), _>(applied, ask)
            .await
    }

    /// The rows of a selection behind a place, in the same way.
    pub async fn audit(&self, selection: Selection, ask: Ask) -> Result<Part<Recorded>, Refusal> {
        self.part::<Recorded, _>(selection, ask).await
    }

    /// Where the feed is now.
    pub fn now_in_feed(&self) -> Result<Cursor, Refusal> {
        Ok(Cursor::at(&self.head()?))
    }

    async fn part<R, T>(&self, selection: Selection, ask: Ask) -> Result<Part<T>, Refusal>
    where
        R: select::Read + 'static,
        T: From<R> + Serialize + Send + 'static,
    {
        let deadline = Instant::now() + ask.wait.min(LONGEST_WAIT);
        let look = |after: Option<Cursor>| {
            let selection = selection.clone();
            let read =
                move |connection: &Connection| read::<R, T>(connection, selection, after, ask.most);
            self.store.readers.long(read)
        };
        let mut part = look(ask.after).await?;
        if ask.wait.is_zero() || !part.items.is_empty() {
            return Ok(part);
        }
        let _place = self.place_in_feed()?;
        // Rows that are not wanted go on coming: they do not prolong the wait.
        while part.items.is_empty() && !self.over(deadline) {
            if self.newer(part.next.seq(), deadline).await? {
                part = look(Some(part.next)).await?;
                if part.items.is_empty() {
                    self.rest(deadline).await;
                }
            }
        }
        Ok(part)
    }

    fn place_in_feed(&self) -> Result<SemaphorePermit<'_>, Refusal> {
        let place = self.feed.places.try_acquire();
        place.map_err(|_| Refusal::Busy("too many wait for changes; ask again in a few seconds"))
    }

    /// Whether a wait until `deadline` is over.
    fn over(&self, deadline: Instant) -> bool {
        *self.feed.ended.borrow() || Instant::now() >= deadline
    }

    /// Lets what is not wanted gather for a moment, so that a wait costs a few looks a second, however much is written.
    async fn rest(&self, deadline: Instant) {
        let mut ended = self.feed.ended.subscribe();
        let rested = deadline.min(Instant::now() + LOOK);
        // Either end of the moment is as good.
        let _ = timeout_at(rested, ended.wait_for(|ended| *ended)).await;
    }

    /// Waits until the audit has rows behind number `after`; `false` if it has none by `deadline` or the shutdown.
    pub async fn newer(&self, after: i64, deadline: Instant) -> Result<bool, Refusal> {
        // Asked for before the look at the file: what is committed after the look wakes.
        let mut committed = self.store.writer.committed();
        let mut ended = self.feed.ended.subscribe();
        loop {
            if self.head()?.seq > after {
                return Ok(true);
            }
            if *ended.borrow_and_update() || Instant::now() >= deadline {
                return Ok(false);
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

fn read<R: select::Read, T: From<R> + Serialize>(
    connection: &Connection,
    selection: Selection,
    after: Option<Cursor>,
    most: usize,
) -> Result<Part<T>, Refusal> {
    let after = after.map_or(Ok(0), |after| after.place(connection))?;
    let selection = Selection {
        after: Some(after),
        ..selection
    };
    let mut page = Filling::new(Span::page(after, most));
    select::each(connection, &selection, |row: R| {
        page.take(row.seq(), T::from(row))
    })?;
    let page = page.done();
    let last = match page.next {
        Some(seq) => chain::at(connection, seq)?,
        None => None,
    };
    Ok(Part {
        items: page.items,
        next: Cursor::at(&last.map_or_else(|| audit::head(connection), Ok)?),
        more: page.next.is_some(),
    })
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

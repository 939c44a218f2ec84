//! Auto-delete (design §3.10): what its profile does to an account that stays preserved for too long. Daily in the
//! server, and by command; never under legal hold.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::accounts::{Listed, Selection, Status, existing, listed, walk};
use super::audit::{Entry, Origin, request_id};
use super::deletion::remove;
use super::paging::{Filling, Page, Span};
use super::{Directory, Refusal};
use crate::store::{self, accounts, text};

/// Time between two runs in the server.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Accounts that the server deletes before it looks after its other work again.
const AT_ONCE: usize = 1000;

/// When the server's last complete run began.
#[derive(Default)]
pub struct Daily(Mutex<Option<Timestamp>>);

impl Daily {
    fn began(&self) -> MutexGuard<'_, Option<Timestamp>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run is due: the first, and one a day later. A clock that was set back does not put it off.
    fn is_due(&self, now: Timestamp) -> bool {
        self.began()
            .is_none_or(|began| now.duration_since(began).abs() >= DAY)
    }
}

impl Directory {
    /// A page of the accounts that are due to be deleted. Changes nothing.
    pub async fn due_accounts(&self, span: Span) -> Result<Page<Listed>, Refusal> {
        let (view, now) = (self.view.clone(), text::instant(self.now()));
        let preserved = Selection {
            status: Some(Status::Preserved),
            filter: None,
        };
        let read = move |connection: &rusqlite::Connection| {
            let mut page = Filling::new(span);
            walk(connection, &view, &preserved, span.after, |account| {
                let due = account.delete_due.as_ref().is_some_and(|due| *due <= now);
                Ok::<_, Refusal>(match due {
                    true => page.take(account.seq, account),
                    false => ControlFlow::Continue(()),
                })
            })?;
            Ok(page.done())
        };
        self.store.readers.long(read).await
    }

    /// Deletes the accounts that are due, `most` of them, each in a transaction and with an audit row of its own. Gives
    /// those that it deleted, and whether it left none that was due.
    pub async fn auto_delete(
        &self,
        origin: &Origin,
        most: usize,
    ) -> Result<(Vec<Listed>, bool), Refusal> {
        let now = self.now();
        let due: Result<_, store::Error> = self
            .store
            .readers
            .long(move |connection| accounts::due(connection, now, most))
            .await;
        let due = due?;
        let complete = due.len() < most;
        let mut deleted = Vec::new();
        for id in due {
            match self.delete_due(origin, id).await {
                Ok(account) => deleted.push(account),
                // Somebody was faster: it is active again, held or gone. The audit says so.
                Err(Refusal::Forbidden(_) | Refusal::NotFound { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok((deleted, complete))
    }

    async fn delete_due(&self, origin: &Origin, id: String) -> Result<Listed, Refusal> {
        let entry = Entry::new("account.auto_delete", 0).about("User", Some(&id));
        self.change(origin, entry, move |connection, entry, now| {
            let user = existing(connection, entry, &id)?;
            let account = listed(connection, &id)?;
            match (&account.delete_due, &account.preserved_at) {
                (Some(due), Some(since)) if *due <= text::instant(now) => entry.because(format!(
                    "preserved since {since}; profile {:?} deletes such an account from {due} on",
                    account.profile
                )),
                _ => {
                    return Err(Refusal::Forbidden(
                        "the account is not due to be deleted any more".to_owned(),
                    ));
                }
            }
            Ok(remove(connection, entry, &user, now)?.account)
        })
        .await
    }

    /// Deletes what is due, once a day.
    pub(super) async fn auto_delete_daily(&self) -> Result<(), Refusal> {
        let now = self.now();
        if !self.daily.is_due(now) {
            return Ok(());
        }
        let origin = Origin {
            request_id: request_id(),
            actor: "server".to_owned(),
            source: "server".to_owned(),
            status: 0,
        };
        let (deleted, complete) = self.auto_delete(&origin, AT_ONCE).await?;
        if complete {
            *self.daily.began() = Some(now);
        }
        if !deleted.is_empty() {
            tracing::info!(
                request_id = origin.request_id,
                accounts = deleted.len(),
                "deleted accounts that were preserved for longer than their profiles keep them"
            );
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_is_due_at_the_start_and_once_a_day() {
        let daily = Daily::default();
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        assert!(daily.is_due(now));
        *daily.began() = Some(now);
        for (later, due) in [(0, false), (23, false), (24, true), (48, true), (-24, true)] {
            let later = now + SignedDuration::from_hours(later);
            assert_eq!(daily.is_due(later), due, "{later}");
        }
    }
}

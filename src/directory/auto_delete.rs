//! Auto-delete (design §3.10): what its profile does to an account that stays preserved for too long. Daily in the
//! server, and by command; never under legal hold.

use std::ops::ControlFlow;
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};

use super::accounts::{Listed, Selection, Status, existing, listed, walk};
use super::audit::{Entry, Origin, Verdict};
use super::deletion::remove;
use super::paging::{Filling, Page, Span};
use super::{Directory, Refusal, many};
use crate::store::audit::Tail;
use crate::store::life::{self, Signs};
use crate::store::writer::Job;
use crate::store::{self, accounts, text};

/// What the audit calls it.
const ACTION: &str = "account.auto_delete";
/// Time between two runs in the server.
const DAY: SignedDuration = SignedDuration::from_hours(24);
/// Accounts that the server deletes before it looks after its other work again.
const AT_ONCE: usize = 1000;

/// Time without a sign of life after which the clock is not believed at once. One that jumped forward would make
/// accounts due that are not; a person has a day to set it right.
const LEAP: SignedDuration = SignedDuration::from_hours(7 * 24);

/// When the server does what it does once a day, and deletes or prunes by the clock.
#[derive(Default)]
pub struct Daily(Mutex<Times>);

#[derive(Default)]
struct Times {
    /// When the last complete run began, or one was put off.
    began: Option<Timestamp>,
    /// When the server looked last.
    seen: Option<Timestamp>,
}

/// What is to be done now.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Turn {
    Run,
    Wait,
    /// The clock leapt: a day from now.
    PutOff,
}

impl Daily {
    fn times(&self) -> MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether a run is due: the first, and one a day later. A clock that was set back does not put it off, one that
    /// leapt forward does, also over a restart. `signs` are what the file tells; they are asked for at the start only.
    fn turn(
        &self,
        now: Timestamp,
        signs: impl FnOnce() -> Result<Signs, Refusal>,
    ) -> Result<Turn, Refusal> {
        let mut times = self.times();
        let seen = match times.seen {
            Some(seen) => Some(seen),
            None => {
                let signs = signs()?;
                let lately = |leapt: &Timestamp| now.duration_since(*leapt).abs() < DAY;
                times.began = signs.leapt.filter(lately);
                signs.alive
            }
        };
        times.seen = Some(now);
        if seen.is_some_and(|seen| now.duration_since(seen) >= LEAP) {
            times.began = Some(now);
            return Ok(Turn::PutOff);
        }
        let due = times
            .began
            .is_none_or(|began| now.duration_since(began).abs() >= DAY);
        Ok(if due { Turn::Run } else { Turn::Wait })
    }

    /// Notes that the run that began at `now` is complete.
    pub(super) fn done(&self, now: Timestamp) {
        self.times().began = Some(now);
    }
}

/// Notes that the clock leapt: no change to the directory, so without a row in the audit.
struct Leapt(Timestamp);

impl Job for Leapt {
    type Done = ();
    type Refused = store::Error;

    fn apply(
        &mut self,
        connection: &rusqlite::Connection,
        _: &mut Tail,
    ) -> Result<(), store::Error> {
        life::note_leap(connection, self.0)
    }
}

impl Directory {
    /// What `daily` is to do now. Requests that came while the clock was wrong are signs of life: so that a restart does
    /// not believe them, a leap is noted in the file.
    pub(super) async fn turn(&self, daily: &Daily, now: Timestamp) -> Result<Turn, Refusal> {
        let turn = daily.turn(now, || Ok(self.store.readers.short(life::signs)?))?;
        if turn == Turn::PutOff {
            self.store.writer.submit(Leapt(now)).await?;
        }
        Ok(turn)
    }

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

    /// Deletes the accounts that are due, `most` of them, each in a transaction and with an audit row of its own; where
    /// none is, the act has a row. Gives those that it deleted, and whether it left none that was due.
    pub async fn auto_delete(
        &self,
        origin: &Origin,
        most: usize,
    ) -> Result<(Vec<Listed>, bool), Refusal> {
        self.delete_all(origin, most, true).await
    }

    /// `tell`: a row of its own says that none was due.
    async fn delete_all(
        &self,
        origin: &Origin,
        most: usize,
        tell: bool,
    ) -> Result<(Vec<Listed>, bool), Refusal> {
        let now = self.now();
        let due: Result<_, store::Error> = self
            .store
            .readers
            .long(move |connection| accounts::due(connection, now, most))
            .await;
        let due = due?;
        if tell && due.is_empty() {
            let mut entry = Entry::new(ACTION, 0);
            entry.verdict = Verdict::Unchanged;
            entry.because("no account is due to be deleted");
            self.note(origin, entry).await?;
        }
        let complete = due.len() < most;
        let mut deleted = Vec::new();
        let jobs = due.into_iter().map(|id| self.delete_due(origin, id));
        many::make(jobs, |gone| match gone {
            Ok(account) => {
                deleted.push(account);
                Ok(())
            }
            // Somebody was faster: it is active again, held or gone. The audit says so.
            Err(Refusal::Forbidden(_) | Refusal::NotFound { .. }) => Ok(()),
            Err(error) => Err(error),
        })
        .await?;
        Ok((deleted, complete))
    }

    async fn delete_due(&self, origin: &Origin, id: String) -> Result<Listed, Refusal> {
        let entry = Entry::new(ACTION, 0).about("User", Some(&id));
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
        match self.turn(&self.daily, now).await? {
            Turn::Run => {}
            Turn::Wait => return Ok(()),
            Turn::PutOff => {
                tracing::warn!(
                    "nothing was done here for {} days, or the clock leapt forward; accounts that are due by this \
                     clock are deleted a day from now. `scimlite user auto-delete --dry-run` shows them",
                    LEAP.as_hours() / 24
                );
                return Ok(());
            }
        }
        let origin = Origin::server();
        let result = self.delete_all(&origin, AT_ONCE, false).await;
        // What the machine refuses now it may take soon; what fails otherwise fails again, with a row each time.
        let over = match &result {
            Ok((_, complete)) => *complete,
            Err(error) => error.status() != 503,
        };
        if over {
            self.daily.done(now);
        }
        let (deleted, _) = result?;
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

    fn at(hours: i64) -> Timestamp {
        Timestamp::from_second(1_000_000_000 + hours * 3600).unwrap()
    }

    /// What is done at these hours one after another, where the file's last sign of life was at hour `alive`.
    fn turns(alive: Option<i64>, looks: &[(i64, Turn)]) {
        after(alive, None, looks);
    }

    /// The same, where the clock was found to have leapt at hour `leapt`.
    fn after(alive: Option<i64>, leapt: Option<i64>, looks: &[(i64, Turn)]) {
        let daily = Daily::default();
        let signs = Signs {
            alive: alive.map(at),
            leapt: leapt.map(at),
        };
        for (hour, expected) in looks {
            let turn = daily.turn(at(*hour), || Ok(signs)).unwrap();
            assert_eq!(turn, *expected, "hour {hour} of {looks:?}");
            if turn == Turn::Run {
                daily.done(at(*hour));
            }
        }
    }

    #[test]
    fn a_run_is_due_at_the_start_and_once_a_day() {
        use Turn::{Run, Wait};
        turns(
            Some(-1),
            &[
                (0, Run),
                (0, Wait),
                (23, Wait),
                (24, Run),
                (25, Wait),
                (48, Run),
            ],
        );
        turns(None, &[(0, Run)]);
        turns(Some(0), &[(0, Run), (-24, Run), (-1, Wait), (0, Run)]);
    }

    #[test]
    fn a_clock_that_leaps_forward_puts_the_run_off() {
        use Turn::{PutOff, Run, Wait};
        let year = 365 * 24;
        // At the start, and while the server runs.
        turns(
            Some(-year),
            &[(0, PutOff), (1, Wait), (23, Wait), (24, Run)],
        );
        turns(Some(-167), &[(0, Run)]);
        turns(
            Some(0),
            &[
                (0, Run),
                (1, Wait),
                (year, PutOff),
                (year + 1, Wait),
                (2, Run),
                (3, Wait),
            ],
        );
    }

    #[test]
    fn a_leap_puts_the_run_off_over_a_restart_too() {
        use Turn::{Run, Wait};
        let leapt = 365 * 24;
        // The clock is still wrong, and requests came by it.
        after(
            Some(leapt + 1),
            Some(leapt),
            &[(leapt + 2, Wait), (leapt + 23, Wait), (leapt + 24, Run)],
        );
        // It was set right.
        after(Some(leapt + 1), Some(leapt), &[(2, Run), (3, Wait)]);
        after(Some(leapt + 1), Some(leapt), &[(leapt + 2, Wait), (3, Run)]);
    }
}

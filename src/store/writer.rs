//! The writer thread: it owns the connection over which changes are made and commits in groups. It takes every job that
//! waits, runs each in a SAVEPOINT of its own inside one transaction, writes their audit rows behind them, commits once,
//! and only then answers: many durable writes share one fsync, and no answer is sent before its COMMIT.

use std::collections::VecDeque;
use std::fs::File;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Arc, Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use rusqlite::hooks::Wal;
use rusqlite::{CachedStatement, Connection};
use tokio::sync::{self, OwnedSemaphorePermit, Semaphore, oneshot, watch};

use self::mailbox::Mailbox;
use super::Error;
use super::audit::Tail;
use super::wal::{self, Lost, Mover};

/// Jobs that share one transaction at the most: past this the fsync is paid and only latency grows.
const BATCH: usize = 128;
/// Time after which a transaction takes no further job: several times what a batch of usual ones needs. Long jobs, such as
/// a PATCH with ten thousand members, thus do not add up before anybody is answered.
pub const BATCH_TIME: Duration = Duration::from_millis(50);
/// Jobs that wait at the most; further ones wait before the queue, without memory for it.
const QUEUE: usize = 4096;
/// Pages in the WAL from which on it is moved into the file: 16 MB.
const WAL_PAGES: i32 = 4000;
/// How much more the WAL may have while a thread copies it; then jobs wait for that.
const MEANWHILE: i32 = 3 * WAL_PAGES;
/// How long jobs wait for short reads to end, so that the WAL begins anew.
const NEARLY: Duration = Duration::from_millis(2);
/// Pause before a WAL that a reader held back is tried again, at first.
const RETRY: Duration = Duration::from_millis(20);
/// How often that is done at the end.
const LAST_TRIES: usize = 5;
/// Silence after which the WAL is moved into the file, so that a copy of the file is complete.
const QUIET: Duration = Duration::from_secs(3);

/// One unit of work: whole or not at all.
pub trait Job: Send + 'static {
    /// What the caller gets once the change is durable.
    type Done: Send + 'static;
    /// What the caller gets when it was not made.
    type Refused: From<Error> + Send + 'static;

    /// Makes the change; its rows of the audit go to `tail`, and those of the jobs before it may be there alone, until
    /// [`Tail::write`]. On `Err`, all that it wrote is rolled back.
    fn apply(
        &mut self,
        connection: &Connection,
        tail: &mut Tail,
    ) -> Result<Self::Done, Self::Refused>;

    /// Called after that rollback, to write what has to stand even so; it is committed like a change. Nothing, if a job
    /// does not say otherwise.
    fn refused(
        &mut self,
        _connection: &Connection,
        _tail: &mut Tail,
        _why: &Self::Refused,
    ) -> Result<(), Error> {
        Ok(())
    }
}

/// A job with its type erased, on its way through the writer.
trait Pending: Send {
    /// Runs it; an error is one of the whole transaction. Says what kept it from leaving even its refusal.
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<Result<(), Error>, Error>;
    /// Takes where the caller is told.
    fn mailbox(&mut self) -> Option<Mailbox>;
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Waiting<J: Job> {
    job: J,
    outcome: Result<J::Done, J::Refused>,
    caller: oneshot::Sender<Result<J::Done, J::Refused>>,
    mailbox: Option<Mailbox>,
    /// Held until the job is answered, whether or not somebody still waits for that.
    place: Option<OwnedSemaphorePermit>,
}

impl<J: Job> Pending for Waiting<J> {
    fn run(&mut self, transaction: &mut Transaction<'_>) -> Result<Result<(), Error>, Error> {
        let mut left = Ok(());
        let Transaction {
            connection,
            tail,
            savepoint,
            release,
        } = transaction;
        let begun = tail.mark();
        let back = |tail: &mut Tail| {
            tail.back_to(begun);
            connection.prepare_cached("ROLLBACK TO job")?.execute([])
        };
        // A panic is a bug in one job; the others in the batch and the writer go on without it.
        let panicked = || Error::Sqlite("a job panicked".into());
        savepoint.execute([])?;
        let job = &mut self.job;
        self.outcome = catch_unwind(AssertUnwindSafe(|| job.apply(connection, tail)))
            .unwrap_or_else(|_| Err(panicked().into()));
        if let Err(why) = &self.outcome {
            back(tail)?;
            let written = catch_unwind(AssertUnwindSafe(|| job.refused(connection, tail, why)))
                .unwrap_or_else(|_| Err(panicked()));
            if let Err(error) = written {
                back(tail)?;
                left = Err(error.clone());
                self.outcome = Err(error.into());
            }
        }
        release.execute([])?;
        Ok(left)
    }

    fn mailbox(&mut self) -> Option<Mailbox> {
        self.mailbox.take()
    }

    fn answer(self: Box<Self>, committed: Result<(), Error>) {
        let answer = match committed {
            Ok(()) => self.outcome,
            Err(error) => Err(error.into()),
        };
        // A caller that is gone does not need its answer.
        let _ = self.caller.send(answer);
    }
}

/// The transaction of a batch, as its jobs share it.
struct Transaction<'c> {
    connection: &'c Connection,
    tail: Tail,
    savepoint: CachedStatement<'c>,
    release: CachedStatement<'c>,
}

impl<'c> Transaction<'c> {
    fn begin(connection: &'c Connection) -> Result<Self, Error> {
        let transaction = Self {
            connection,
            tail: Tail::default(),
            savepoint: connection.prepare_cached("SAVEPOINT job")?,
            release: connection.prepare_cached("RELEASE job")?,
        };
        connection.prepare_cached("BEGIN IMMEDIATE")?.execute([])?;
        Ok(transaction)
    }

    fn commit(mut self, load: &Load) -> Result<(), Error> {
        self.tail.write(self.connection)?;
        let began = Instant::now();
        self.connection.prepare_cached("COMMIT")?.execute([])?;
        load.commit.observe(began.elapsed().as_secs_f64());
        Ok(())
    }
}

/// How busy the writer is. A clone shares what is counted.
#[derive(Clone)]
pub struct Load {
    /// Jobs that are queued and not yet begun.
    pub queued: Gauge,
    /// Jobs that were committed together.
    pub batch: Histogram,
    /// Seconds that each COMMIT took, its fsync included.
    pub commit: Histogram,
}

impl Default for Load {
    fn default() -> Self {
        Self {
            queued: Gauge::default(),
            // 1 to BATCH.
            batch: Histogram::new(exponential_buckets(1.0, 2.0, 8)),
            // 0.1 ms, a fast disk, to 3 s, a sick one.
            commit: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
        }
    }
}

/// The way to the writer thread.
pub struct Writer {
    /// How busy it is.
    pub load: Load,
    queue: Mutex<Option<Sender<Box<dyn Pending>>>>,
    places: Arc<Semaphore>,
    /// Held from before the wait for a place until the job is queued, so that no job overtakes another on the way.
    turn: sync::Mutex<()>,
    thread: Mutex<Option<JoinHandle<()>>>,
    committed: watch::Sender<()>,
    /// Its sender lives as long as the thread.
    alive: watch::Receiver<()>,
    /// Whether the machine did not let the last change be made.
    unable: Arc<AtomicBool>,
}

impl Writer {
    /// Starts the thread over `connection`; over `other`, one to the same `file`, the WAL is moved into that. A transaction
    /// takes jobs for as long as `batch_time`, one at the least. `outdate` is called before each, and after it, before
    /// anybody is answered.
    pub fn start(
        mut connection: Connection,
        other: Connection,
        file: Arc<File>,
        batch_time: Duration,
        outdate: impl Fn() + Send + 'static,
    ) -> Result<Self, Error> {
        let (sender, receiver) = channel();
        let committed = watch::Sender::new(());
        let unable = Arc::<AtomicBool>::default();
        // SQLite would do it inside of COMMIT, when reads of the moment before still hold it back: it would never come to
        // the end, and the WAL could not begin anew.
        let pages = Arc::<AtomicI32>::default();
        let counted = Arc::clone(&pages);
        let count = move |_: &mut Wal, pages| {
            counted.store(pages, Ordering::Relaxed);
            Ok(())
        };
        connection.wal_hook(Some(count))?;
        let told = Told {
            outdate: Box::new(outdate),
            pages,
            committed: committed.clone(),
            unable: Arc::clone(&unable),
        };
        let mover = Mover::start(other, Arc::clone(&file))?;
        let (living, alive) = watch::channel(());
        let load = Load::default();
        let measured = load.clone();
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || {
                // The file is closed after the connection: that drops the locks that SQLite has on it.
                let (file, connection) = (file, connection);
                let _living = living;
                work(
                    &connection,
                    &file,
                    mover,
                    &receiver,
                    batch_time,
                    &measured,
                    &told,
                );
            })
            .map_err(|error| Error::Sqlite(format!("cannot start the writer: {error}")))?;
        Ok(Self {
            load,
            queue: Mutex::new(Some(sender)),
            places: Arc::new(Semaphore::new(QUEUE)),
            turn: sync::Mutex::new(()),
            thread: Mutex::new(Some(thread)),
            committed,
            alive,
            unable,
        })
    }

    /// Completes when the thread has ended, which it does before [`Writer::close`] only by a bug: then nothing is written
    /// any more.
    pub async fn ended(&self) {
        let mut alive = self.alive.clone();
        while alive.changed().await.is_ok() {}
    }

    /// Has `job` done. Comes back after its COMMIT, or when it was refused or could not be made. Once this was polled
    /// the job may run to its end even if the caller stops waiting. Jobs run in the order in which their submissions were
    /// first polled (by a task that has not used up its budget, or is unconstrained).
    pub fn submit<J: Job>(
        &self,
        job: J,
    ) -> impl Future<Output = Result<J::Done, J::Refused>> + Send {
        let (caller, answer) = oneshot::channel();
        // On the heap at once: what a future holds is moved about with it.
        let waiting = Box::new(Waiting {
            job,
            outcome: Err(Error::Closed.into()),
            caller,
            mailbox: None,
            place: None,
        });
        self.queue_up(waiting, answer)
    }

    async fn queue_up<J: Job>(
        &self,
        mut waiting: Box<Waiting<J>>,
        answer: oneshot::Receiver<Result<J::Done, J::Refused>>,
    ) -> Result<J::Done, J::Refused> {
        let turn = self.turn.lock().await;
        let place = Arc::clone(&self.places).acquire_owned().await;
        waiting.place = Some(place.map_err(|_| Error::Closed)?);
        waiting.mailbox = Mailbox::here();
        match self.queue().as_ref() {
            Some(queue) => {
                // Before the thread can take it, so that the count never falls below none.
                self.load.queued.inc();
                queue.send(waiting).map_err(|_| Error::Closed)?;
            }
            None => return Err(Error::Closed.into()),
        }
        drop(turn);
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Whether the machine lets changes be made: the last one, or one that is made for this question and leaves
    /// everything as it was.
    pub async fn able(&self) -> Result<(), Error> {
        self.submit(Touch(Arc::clone(&self.unable))).await
    }

    /// Sees a change with each commit that changed something, from now on.
    pub fn committed(&self) -> watch::Receiver<()> {
        self.committed.subscribe()
    }

    /// Finishes what is queued, moves the WAL into the file, closes the connection and ends the thread. Answers may still
    /// be on their way to callers then.
    pub fn close(&self) {
        self.queue().take();
        let thread = self
            .thread
            .lock()
            .unwrap_or_else(PoisonError::into_inner)
            .take();
        if let Some(thread) = thread {
            // It catches the panics of jobs; if it died all the same, there is nothing left to wait for.
            let _ = thread.join();
        }
    }

    fn queue(&self) -> std::sync::MutexGuard<'_, Option<Sender<Box<dyn Pending>>>> {
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Writer {
    fn drop(&mut self) {
        self.close();
    }
}

/// Writes a page if the change before could not be made, and changes nothing.
struct Touch(Arc<AtomicBool>);

impl Job for Touch {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, connection: &Connection, _: &mut Tail) -> Result<(), Error> {
        if self.0.load(Ordering::Relaxed) {
            // One that sets what is there already would write nothing.
            connection.execute("UPDATE appliance SET created = created || '.'", [])?;
            connection.execute("UPDATE appliance SET created = rtrim(created, '.')", [])?;
        }
        Ok(())
    }

    fn refused(&mut self, _: &Connection, _: &mut Tail, why: &Error) -> Result<(), Error> {
        Err(why.clone())
    }
}

/// What others are told of the thread.
struct Told {
    /// That what was read before is not to be read again.
    outdate: Box<dyn Fn() + Send>,
    /// Pages that were in the WAL after the last change.
    pages: Arc<AtomicI32>,
    /// That something was changed.
    committed: watch::Sender<()>,
    /// Whether the last change could not be made.
    unable: Arc<AtomicBool>,
}

/// The life of the thread.
fn work(
    connection: &Connection,
    file: &File,
    mut mover: Mover,
    queue: &Receiver<Box<dyn Pending>>,
    batch_time: Duration,
    load: &Load,
    told: &Told,
) {
    // When to look whether the WAL can be emptied: some time after the last change, then now and then, because commands
    // leave something in it too.
    let (mut look, mut pause) = (Instant::now(), RETRY);
    // Pages in the WAL from which on it is moved into the file: more, where a reader held it back.
    let mut full = WAL_PAGES;
    let empty = |outdate| wal::move_all(connection, file, outdate, "TRUNCATE", Duration::ZERO);
    let mut waiting = VecDeque::new();
    loop {
        if mover.has_lost() {
            // It ends, and with it the server.
            return wal::keep(connection);
        }
        if waiting.is_empty() {
            match queue.recv_timeout(look.saturating_duration_since(Instant::now())) {
                Ok(first) => waiting.push_back(first),
                Err(RecvTimeoutError::Timeout) => {
                    // Two would be in each other's way. What it leaves is moved here, in the next round.
                    if mover.has_ended(true) {
                        continue;
                    }
                    let emptied = match wal::is_empty(connection) {
                        true => Ok(true),
                        false => empty(&told.outdate),
                    };
                    match emptied {
                        Ok(true) => {
                            full = WAL_PAGES;
                            (look, pause) = (Instant::now() + QUIET, RETRY);
                        }
                        Ok(false) => {
                            (look, pause) = (Instant::now() + pause, QUIET.min(pause * 2));
                        }
                        Err(Lost) => return wal::keep(connection),
                    }
                    continue;
                }
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        waiting.extend(queue.try_iter().take(BATCH.saturating_sub(waiting.len())));
        told.pages.store(0, Ordering::Relaxed);
        let before = connection.total_changes();
        let left = commit(connection, &mut waiting, batch_time, load, &told.outdate);
        let changed = connection.total_changes() != before;
        match left {
            Err(Error::Unavailable(_)) => told.unable.store(true, Ordering::Relaxed),
            Ok(()) if changed => told.unable.store(false, Ordering::Relaxed),
            _ => {}
        }
        if changed {
            told.committed.send_replace(());
            (look, pause) = (Instant::now() + QUIET, RETRY);
        }
        let pages = told.pages.load(Ordering::Relaxed);
        let wait = pages >= full.saturating_add(MEANWHILE);
        let moved = mover.has_ended(wait);
        if mover.has_lost() {
            continue;
        }
        if moved || pages >= full && !mover.begin() {
            full = match wal::move_all(connection, file, &told.outdate, "RESTART", NEARLY) {
                Ok(true) => WAL_PAGES,
                Ok(false) => pages.max(full).saturating_add(WAL_PAGES / 4),
                Err(Lost) => return wal::keep(connection),
            };
        } else if (1..WAL_PAGES).contains(&pages) {
            // It began anew by itself, or a command emptied it.
            full = WAL_PAGES;
        }
    }
    mover.has_ended(true);
    if mover.has_lost() {
        return wal::keep(connection);
    }
    drop(mover);
    for _ in 0..LAST_TRIES {
        match empty(&told.outdate) {
            Ok(true) => return,
            Ok(false) => {}
            Err(Lost) => return wal::keep(connection),
        }
        std::thread::sleep(RETRY);
    }
    tracing::warn!(
        "another program has the file; until it lets go, the -wal beside it belongs to it"
    );
}

/// Runs a batch of the jobs that wait in one transaction and answers each job of it. Says what kept the batch, or a job of
/// it, from leaving anything in the file.
fn commit(
    connection: &Connection,
    waiting: &mut VecDeque<Box<dyn Pending>>,
    batch_time: Duration,
    load: &Load,
    outdate: &dyn Fn(),
) -> Result<(), Error> {
    let mut batch = Vec::new();
    outdate();
    let left = transaction(connection, waiting, batch_time, &mut batch, load);
    outdate();
    let result = left.as_ref().map(|_| ()).map_err(Error::clone);
    if let Err(error) = &result {
        // Whoever gave the jobs is told, and tells.
        tracing::debug!(%error, jobs = batch.len(), "nothing of the batch was committed");
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
    }
    mailbox::deliver(batch, &result);
    left.and_then(|left| left)
}

/// Takes jobs into `batch` and runs them, until none waits or the time for it is over, and commits. Without a transaction
/// all that wait fail: each by itself would wait for the same lock as long. Of a transaction that was committed, says what
/// kept a job from leaving anything.
fn transaction(
    connection: &Connection,
    waiting: &mut VecDeque<Box<dyn Pending>>,
    batch_time: Duration,
    batch: &mut Vec<Box<dyn Pending>>,
    load: &Load,
) -> Result<Result<(), Error>, Error> {
    let mut transaction = match Transaction::begin(connection) {
        Ok(transaction) => transaction,
        Err(error) => {
            load.queued
                .dec_by(i64::try_from(waiting.len()).unwrap_or(i64::MAX));
            batch.extend(waiting.drain(..));
            return Err(error);
        }
    };
    let mut left = Ok(());
    let began = Instant::now();
    while (batch.is_empty() || began.elapsed() < batch_time)
        && let Some(mut job) = waiting.pop_front()
    {
        load.queued.dec();
        let ran = job.run(&mut transaction);
        batch.push(job);
        // Some failures (disk full, I/O) make SQLite roll the whole transaction back by itself.
        if connection.is_autocommit() {
            let what = "SQLite rolled the transaction back: the disk is full or fails";
            return Err(Error::Unavailable(what.into()));
        }
        left = left.and(ran?);
        // The time that large rows take is this transaction's, too.
        if transaction.tail.is_large() {
            transaction.tail.write(connection)?;
        }
    }
    transaction.commit(load)?;
    // No more than BATCH: exact.
    load.batch.observe(batch.len() as f64);
    Ok(left)
}

mod mailbox;
#[cfg(test)]
mod order;
#[cfg(test)]
mod tests;

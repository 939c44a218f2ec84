//! The writer thread: it owns the only read-write connection and commits in groups. It takes every job that waits, runs
//! each in a SAVEPOINT of its own inside one transaction, commits once, and only then answers: many durable writes
//! share one fsync, and no answer is sent before its COMMIT.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::sync::{Mutex, PoisonError};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::{Semaphore, oneshot};

use super::{Error, open::BUSY};

/// Jobs that share one transaction at the most: past this the fsync is paid and only latency grows.
const BATCH: usize = 128;
/// Jobs that wait at the most; further ones wait before the queue, without memory for it.
const QUEUE: usize = 4096;
/// Silence after which the WAL is moved into the file, so that a copy of the file is complete.
const QUIET: Duration = Duration::from_secs(3);

/// One unit of work: whole or not at all.
pub trait Job: Send + 'static {
    /// What the caller gets once the change is durable.
    type Done: Send + 'static;
    /// What the caller gets when it was not made.
    type Refused: From<Error> + Send + 'static;

    /// Makes the change. On `Err`, all that it wrote is rolled back.
    fn apply(&mut self, connection: &Connection) -> Result<Self::Done, Self::Refused>;

    /// Called after that rollback, to write what has to stand even so; it is committed like a change.
    fn refused(&mut self, connection: &Connection, why: &Self::Refused) -> Result<(), Error>;
}

/// A job with its type erased, on its way through the writer.
trait Pending: Send {
    fn run(&mut self, connection: &Connection) -> Result<(), Error>;
    fn answer(self: Box<Self>, committed: Result<(), Error>);
}

struct Waiting<J: Job> {
    job: J,
    outcome: Result<J::Done, J::Refused>,
    caller: oneshot::Sender<Result<J::Done, J::Refused>>,
}

impl<J: Job> Pending for Waiting<J> {
    fn run(&mut self, connection: &Connection) -> Result<(), Error> {
        let statement = |sql| connection.prepare_cached(sql)?.execute([]);
        statement("SAVEPOINT job")?;
        // A panic is a bug in one job; the others in the batch and the writer go on without it.
        self.outcome = catch_unwind(AssertUnwindSafe(|| self.job.apply(connection)))
            .unwrap_or_else(|_| Err(Error::Sqlite("a job panicked".into()).into()));
        if let Err(why) = &self.outcome {
            statement("ROLLBACK TO job")?;
            if let Err(error) = self.job.refused(connection, why) {
                statement("ROLLBACK TO job")?;
                self.outcome = Err(error.into());
            }
        }
        statement("RELEASE job")?;
        Ok(())
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

/// The way to the writer thread.
pub struct Writer {
    queue: Mutex<Option<Sender<Box<dyn Pending>>>>,
    places: Semaphore,
    thread: Mutex<Option<JoinHandle<()>>>,
}

impl Writer {
    /// Starts the thread over `connection`.
    pub fn start(connection: Connection) -> Result<Self, Error> {
        let (sender, receiver) = channel();
        let thread = std::thread::Builder::new()
            .name("writer".into())
            .spawn(move || work(&connection, &receiver))
            .map_err(|error| Error::Sqlite(format!("cannot start the writer: {error}")))?;
        Ok(Self {
            queue: Mutex::new(Some(sender)),
            places: Semaphore::new(QUEUE),
            thread: Mutex::new(Some(thread)),
        })
    }

    /// Has `job` done. Comes back after its COMMIT, or when it was refused or could not be made. Once this was polled
    /// the job may run to its end even if the caller stops waiting.
    pub async fn submit<J: Job>(&self, job: J) -> Result<J::Done, J::Refused> {
        let _place = self.places.acquire().await.map_err(|_| Error::Closed)?;
        let (caller, answer) = oneshot::channel();
        let waiting = Box::new(Waiting {
            job,
            outcome: Err(Error::Closed.into()),
            caller,
        });
        match self.queue().as_ref() {
            Some(queue) => queue.send(waiting).map_err(|_| Error::Closed)?,
            None => return Err(Error::Closed.into()),
        }
        answer.await.map_err(|_| Error::Closed)?
    }

    /// Finishes what is queued, moves the WAL into the file, closes the connection and ends the thread.
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

/// The life of the thread.
fn work(connection: &Connection, queue: &Receiver<Box<dyn Pending>>) {
    let mut settled = false;
    loop {
        match queue.recv_timeout(QUIET) {
            Ok(first) => {
                let batch = std::iter::once(first).chain(queue.try_iter()).take(BATCH);
                commit(connection, batch.collect());
                settled = false;
            }
            Err(RecvTimeoutError::Timeout) if settled => {}
            Err(RecvTimeoutError::Timeout) => settled = checkpoint(connection),
            Err(RecvTimeoutError::Disconnected) => break,
        }
    }
    checkpoint(connection);
}

/// Runs a batch in one transaction and answers each job.
fn commit(connection: &Connection, mut batch: Vec<Box<dyn Pending>>) {
    let result = transaction(connection, &mut batch);
    if let Err(error) = &result {
        tracing::error!(%error, jobs = batch.len(), "nothing of the batch was committed");
        if !connection.is_autocommit()
            && let Err(error) = connection.execute_batch("ROLLBACK")
        {
            tracing::error!(%error, "rollback failed");
        }
    }
    for job in batch {
        job.answer(result.clone());
    }
}

fn transaction(connection: &Connection, batch: &mut [Box<dyn Pending>]) -> Result<(), Error> {
    let statement = |sql| connection.prepare_cached(sql)?.execute([]);
    statement("BEGIN IMMEDIATE")?;
    for job in batch {
        job.run(connection)?;
        // Some failures (disk full, I/O) make SQLite roll the whole transaction back by itself.
        if connection.is_autocommit() {
            return Err(Error::Sqlite("the transaction was rolled back".into()));
        }
    }
    statement("COMMIT")?;
    Ok(())
}

/// Moves the WAL into the file. `false` if a reader holds it back: jobs do not wait for that.
fn checkpoint(connection: &Connection) -> bool {
    let busy = connection
        .busy_timeout(Duration::ZERO)
        .and_then(|()| {
            connection.query_row("PRAGMA wal_checkpoint(TRUNCATE)", [], |row| {
                row.get::<_, i64>(0)
            })
        })
        .and_then(|busy| connection.busy_timeout(BUSY).map(|()| busy));
    match busy {
        Ok(busy) => busy == 0,
        Err(error) => {
            tracing::warn!(%error, "checkpoint failed; it is tried again");
            false
        }
    }
}

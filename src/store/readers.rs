//! The read-only connections. A read never waits for the writer: WAL gives each a snapshot. Brief ones that come within
//! a moment share one, over connections of their own.

use std::collections::HashMap;
use std::num::NonZero;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::tokens::{self, Token};
use super::{Error, open};

/// Reads at the same time that walk through a table. Each holds a thread and a snapshot that keeps the WAL from being
/// reset.
const WALKS: usize = 4;
/// Others at the same time that are long all the same, such as that of a group with its 100,000 members. They do not wait
/// for walks.
const LARGE: usize = 2;
/// Steps of SQLite between two looks at a read, whether it takes too long or anybody still waits for it: some ten
/// microseconds.
const STEPS: i32 = 1000;
/// Looks after which a read is long: some hundred rows of a list, a millisecond.
const LOOKS: usize = 8;
/// How long the end of the pool waits for reads that were abandoned.
const LAST_READS: Duration = Duration::from_secs(5);

/// How long a snapshot serves one short read after another. This process ends it with its next change; what another
/// process commits is seen this much later at the most, hardly later than the command has ended that did.
const MOMENT: Duration = Duration::from_micros(500);

/// Time from the first use of a snapshot after which those that nobody uses just then are ended: the WAL, to which other
/// processes write too, can begin anew only where no snapshot needs it.
const SWEEP: Duration = Duration::from_millis(10);

/// Memory for pages, in KiB, of the connections for reads that share snapshots, together: there are as many as threads on
/// which such reads run, one for each processor. With many processors each has no less than the others.
const PAGES: u32 = 16 * 1024;
/// The same of each other connection: long reads hardly meet a page twice, and what administrators ask is little.
const FEW_PAGES: u32 = 1024;

/// Hands out read-only connections.
pub struct Readers {
    /// For reads that share snapshots.
    shared: Arc<Pool>,
    /// For reads that have one of their own.
    own: Arc<Pool>,
    walks: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

struct Pool {
    path: PathBuf,
    /// How many KiB of pages each of its connections keeps.
    pages: u32,
    idle: Mutex<Vec<Reader>>,
    /// Counts the changes of this process.
    changes: AtomicU64,
    /// Whether somebody is about to end the snapshots that nobody uses.
    sweeping: AtomicBool,
    closed: AtomicBool,
}

/// A connection, and what it saw last.
struct Reader {
    connection: Connection,
    stop: Arc<Mutex<Stop>>,
    snapshot: Option<Snapshot>,
    /// What SQLite calls the state of the file that the tokens are of.
    version: i64,
    tokens: HashMap<String, Arc<Token>>,
}

/// An open read transaction: to open one costs as much as what a short read does in it.
struct Snapshot {
    since: Instant,
    changes: u64,
    /// Whether it is known to be of the same state as the tokens.
    compared: bool,
}

/// When a read is to end before it is done. SQLite asks now and then.
enum Stop {
    Never,
    /// After so many more looks.
    After(usize),
    /// It has ended after these.
    Long,
    /// Once this is true: nobody waits for it any more.
    When(Arc<AtomicBool>),
}

impl Stop {
    fn is_now(&mut self) -> bool {
        match self {
            Self::Never => false,
            Self::After(0) | Self::Long => {
                *self = Self::Long;
                true
            }
            Self::After(looks) => {
                *looks -= 1;
                false
            }
            Self::When(gone) => gone.load(Ordering::Relaxed),
        }
    }
}

impl Reader {
    /// One that keeps so many KiB of pages.
    fn open(path: &Path, pages: u32) -> Result<Self, Error> {
        let mut connection = open::readable(path)?;
        // As SQLite takes it: in KiB, below zero.
        connection.pragma_update(None, "cache_size", -i64::from(pages))?;
        let stop = Arc::new(Mutex::new(Stop::Never));
        let asked = Arc::clone(&stop);
        connection.progress_handler(STEPS, Some(move || locked(&asked).is_now()))?;
        Ok(Self {
            connection,
            stop,
            snapshot: None,
            version: 0,
            tokens: HashMap::new(),
        })
    }

    /// Has a snapshot with everything that this process had committed, at the call, and all others a moment before.
    fn begin(&mut self, changes: &AtomicU64) -> Result<(), Error> {
        let (changes, now) = (changes.load(Ordering::SeqCst), Instant::now());
        if let Some(snapshot) = &self.snapshot
            && snapshot.changes == changes
            && now.duration_since(snapshot.since) < MOMENT
        {
            return Ok(());
        }
        self.end()?;
        self.execute("BEGIN")?;
        self.snapshot = Some(Snapshot {
            since: now,
            changes,
            compared: false,
        });
        Ok(())
    }

    fn end(&mut self) -> Result<(), Error> {
        if self.snapshot.is_some() {
            self.execute("COMMIT")?;
            self.snapshot = None;
        }
        Ok(())
    }

    fn execute(&self, sql: &str) -> Result<(), Error> {
        self.connection.prepare_cached(sql)?.execute([])?;
        Ok(())
    }

    /// Runs `read` in one snapshot.
    fn read<T, E: From<Error>>(
        &mut self,
        changes: &AtomicU64,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.begin(changes)?;
        read(&self.connection)
    }

    /// The same, as far as `stop` lets it. Gives that back too, as it is then.
    fn stoppable_read<T, E: From<Error>>(
        &mut self,
        changes: &AtomicU64,
        stop: Stop,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> (Result<T, E>, Stop) {
        *locked(&self.stop) = stop;
        let answer = self.read(changes, read);
        let stop = std::mem::replace(&mut *locked(&self.stop), Stop::Never);
        (answer, stop)
    }

    /// The tokens that were read over this connection and are still as they were.
    fn tokens(&mut self, changes: &AtomicU64) -> Result<&mut HashMap<String, Arc<Token>>, Error> {
        self.begin(changes)?;
        if let Some(snapshot) = self.snapshot.as_mut().filter(|snapshot| !snapshot.compared) {
            let mut statement = self.connection.prepare_cached("PRAGMA data_version")?;
            let version = statement.query_row([], |row| row.get(0))?;
            if self.version != version {
                self.version = version;
                self.tokens.clear();
            }
            snapshot.compared = true;
        }
        Ok(&mut self.tokens)
    }
}

impl Pool {
    fn new(path: &Path, pages: u32) -> Arc<Self> {
        Arc::new(Self {
            path: path.to_owned(),
            pages,
            idle: Mutex::default(),
            changes: AtomicU64::new(0),
            sweeping: AtomicBool::new(false),
            closed: AtomicBool::new(false),
        })
    }

    fn take(&self) -> Result<Reader, Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let idle = locked(&self.idle).pop();
        match idle {
            Some(reader) => Ok(reader),
            None => Reader::open(&self.path, self.pages),
        }
    }

    fn give_back(&self, reader: Reader) {
        let mut idle = locked(&self.idle);
        if !self.closed.load(Ordering::SeqCst) {
            idle.push(reader);
        }
    }

    /// Ends the snapshots that nobody uses at present, and has those in use not be used again: this process is about to
    /// change something, or has done so. The WAL can begin anew only where no snapshot needs it.
    fn outdate(&self) {
        self.changes.fetch_add(1, Ordering::SeqCst);
        self.end_unused();
    }

    fn end_unused(&self) {
        // One whose snapshot cannot be ended would hold the WAL back for ever.
        locked(&self.idle).retain_mut(|reader| reader.end().is_ok());
    }

    /// Runs `run` with a reader, whose snapshot then ends.
    fn alone<T, E: From<Error>>(
        &self,
        run: impl FnOnce(&mut Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = self.take()?;
        let answer = run(&mut reader);
        if reader.end().is_ok() {
            self.give_back(reader);
        }
        answer
    }

    /// The same, in an async context: if it goes well, the snapshot serves further calls.
    fn sharing<T, E: From<Error>>(
        self: &Arc<Self>,
        run: impl FnOnce(&mut Reader) -> Result<T, E>,
    ) -> Result<T, E> {
        let mut reader = self.take()?;
        let answer = run(&mut reader);
        if answer.is_ok() || reader.end().is_ok() {
            self.give_back(reader);
        }
        if !self.sweeping.swap(true, Ordering::SeqCst) {
            let pool = Arc::downgrade(self);
            tokio::spawn(async move {
                tokio::time::sleep(SWEEP).await;
                if let Some(pool) = pool.upgrade() {
                    pool.sweeping.store(false, Ordering::SeqCst);
                    pool.end_unused();
                }
            });
        }
        answer
    }
}

/// A lock whose data no panic can leave half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Tells a long read that its caller stopped waiting.
struct Waiting(Arc<AtomicBool>);

impl Drop for Waiting {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

impl Readers {
    /// Connections to the file at `path`, which open when they are needed.
    pub fn new(path: &Path) -> Self {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let processors = u32::try_from(processors).unwrap_or(u32::MAX);
        Self {
            shared: Pool::new(path, (PAGES / processors).max(FEW_PAGES)),
            own: Pool::new(path, FEW_PAGES),
            walks: Arc::new(Semaphore::new(WALKS)),
            large: Arc::new(Semaphore::new(LARGE)),
        }
    }

    /// Runs a read of a few rows by index on the calling thread: microseconds, less than the hop to another thread.
    pub fn short<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let changes = &self.own.changes;
        self.own.alone(|reader| reader.read(changes, read))
    }

    /// The token with this id, if it was read before and no process has committed anything since.
    pub async fn remembered_token(&self, id: &str) -> Result<Option<Arc<Token>>, Error> {
        let changes = &self.shared.changes;
        let token = |reader: &mut Reader| Ok(reader.tokens(changes)?.get(id).cloned());
        self.shared.sharing(token)
    }

    /// The token with this id, read now and then remembered.
    pub async fn token(&self, id: &str) -> Result<Option<Arc<Token>>, Error> {
        let changes = &self.shared.changes;
        self.shared.sharing(|reader| {
            // Before the row is read, so that what is remembered is never older than it is taken for.
            reader.tokens(changes)?;
            let token = tokens::get(&reader.connection, id)?.map(Arc::new);
            if let Some(token) = &token {
                reader.tokens.insert(id.to_owned(), Arc::clone(token));
            }
            Ok(token)
        })
    }

    /// What the writer calls before and after each of its transactions.
    pub fn outdate(&self) -> impl Fn() + Send + use<> {
        // The others hold no snapshot beyond their read.
        let pool = Arc::clone(&self.shared);
        move || pool.outdate()
    }

    /// Runs a read that finds its rows by index: on the calling thread or, once they turn out to be many, a second time
    /// on a thread of its own.
    pub async fn indexed<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        read: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        match self.brief(&read) {
            Some(answer) => answer,
            None => Box::pin(self.on_a_thread(&self.large, read)).await,
        }
    }

    /// What `read` comes to, unless it takes too many steps for the thread that it was called on.
    fn brief<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let changes = &self.shared.changes;
        let mut long = false;
        let answer = self.shared.sharing(|reader| {
            let (answer, stop) = reader.stoppable_read(changes, Stop::After(LOOKS), read);
            long = matches!(stop, Stop::Long);
            answer
        });
        (!long).then_some(answer)
    }

    /// Runs a read that may walk many rows on a thread of its own, few at a time. It ends when the caller stops waiting.
    pub async fn long<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        self.on_a_thread(&self.walks, read).await
    }

    async fn on_a_thread<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        places: &Arc<Semaphore>,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let place = Arc::clone(places).acquire_owned();
        let place = place.await.map_err(|_| Error::Closed)?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&abandoned));
        let pool = Arc::clone(&self.own);
        let reading = tokio::task::spawn_blocking(move || {
            // Asked again and again: an interrupt that comes between two statements would be lost.
            let stop = Stop::When(abandoned);
            let answer = pool.alone(|reader| reader.stoppable_read(&pool.changes, stop, read).0);
            drop(place);
            answer
        });
        reading.await.map_err(|_| Error::Closed)?
    }

    /// Closes the connections. Waits a while for those of long reads: the last connection of all removes the WAL, and it
    /// has to be the writer's.
    pub async fn close(&self) {
        let all = async {
            tokio::join!(
                self.walks.acquire_many(WALKS as u32),
                self.large.acquire_many(LARGE as u32)
            )
        };
        if tokio::time::timeout(LAST_READS, all).await.is_err() {
            tracing::warn!("a read goes on; the WAL stays beside the file");
        }
        self.walks.close();
        self.large.close();
        for pool in [&self.shared, &self.own] {
            pool.closed.store(true, Ordering::SeqCst);
            locked(&pool.idle).clear();
        }
    }
}

#[cfg(test)]
mod tests;

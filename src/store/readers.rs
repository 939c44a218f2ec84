//! The pool of read-only connections. A read never waits for the writer: WAL gives each its own snapshot.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use rusqlite::Connection;
use tokio::sync::Semaphore;

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

/// Hands out read-only connections.
pub struct Readers {
    pool: Arc<Pool>,
    walks: Arc<Semaphore>,
    large: Arc<Semaphore>,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
    closed: AtomicBool,
}

impl Pool {
    fn take(&self) -> Result<Connection, Error> {
        if self.closed.load(Ordering::SeqCst) {
            return Err(Error::Closed);
        }
        let idle = locked(&self.idle).pop();
        match idle {
            Some(connection) => Ok(connection),
            None => open::readable(&self.path),
        }
    }

    fn give_back(&self, connection: Connection) {
        let mut idle = locked(&self.idle);
        // One whose snapshot could not be ended would hold the WAL back for ever.
        if connection.is_autocommit() && !self.closed.load(Ordering::SeqCst) {
            idle.push(connection);
        }
    }
}

/// Runs `read` in one snapshot.
fn snapshot<T, E: From<Error>>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let statement = |sql| -> Result<usize, Error> {
        let mut statement = connection.prepare_cached(sql)?;
        Ok(statement.execute([])?)
    };
    statement("BEGIN")?;
    let answer = read(connection);
    statement("COMMIT")?;
    answer
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
    /// A pool over the file at `path`; connections open when they are needed.
    pub fn new(path: &Path) -> Self {
        Self {
            pool: Arc::new(Pool {
                path: path.to_owned(),
                idle: Mutex::default(),
                closed: AtomicBool::new(false),
            }),
            walks: Arc::new(Semaphore::new(WALKS)),
            large: Arc::new(Semaphore::new(LARGE)),
        }
    }

    /// Runs a read of a few rows by index on the calling thread: microseconds, less than the hop to another thread.
    pub fn short<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.pool.take()?;
        let answer = snapshot(&connection, read);
        self.pool.give_back(connection);
        answer
    }

    /// Runs a read of one statement, which is a snapshot by itself.
    pub fn single<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let connection = self.pool.take()?;
        let answer = read(&connection);
        self.pool.give_back(connection);
        answer
    }

    /// Runs a read that finds its rows by index: on the calling thread or, once they turn out to be many, a second time
    /// on a thread of its own.
    pub async fn indexed<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        read: impl Fn(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        match self.brief(&read) {
            Some(answer) => answer,
            None => self.on_a_thread(&self.large, read).await,
        }
    }

    /// What `read` comes to, unless it takes too many steps for the thread that it was called on.
    fn brief<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Option<Result<T, E>> {
        let mut connection = match self.pool.take() {
            Ok(connection) => connection,
            Err(error) => return Some(Err(error.into())),
        };
        let looks = Arc::new(AtomicUsize::new(0));
        let looked = Arc::clone(&looks);
        let long = move || looked.fetch_add(1, Ordering::Relaxed) >= LOOKS;
        let answer = connection
            .progress_handler(STEPS, Some(long))
            .map_err(|error| Error::from(error).into())
            .and_then(|()| snapshot(&connection, read));
        if connection.progress_handler(0, None::<fn() -> bool>).is_ok() {
            self.pool.give_back(connection);
        }
        (looks.load(Ordering::Relaxed) <= LOOKS).then_some(answer)
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
        let mut connection = self.pool.take()?;
        let abandoned = Arc::new(AtomicBool::new(false));
        let _waiting = Waiting(Arc::clone(&abandoned));
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            // Asked again and again: an interrupt that comes between two statements would be lost.
            let gone = move || abandoned.load(Ordering::Relaxed);
            let asked = connection.progress_handler(STEPS, Some(gone));
            let answer = asked
                .map_err(|error| Error::from(error).into())
                .and_then(|()| snapshot(&connection, read));
            if connection.progress_handler(0, None::<fn() -> bool>).is_ok() {
                pool.give_back(connection);
            }
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
        self.pool.closed.store(true, Ordering::SeqCst);
        locked(&self.pool.idle).clear();
    }
}

#[cfg(test)]
mod tests;

//! The pool of read-only connections. A read never waits for the writer: WAL gives each its own snapshot.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use rusqlite::{Connection, InterruptHandle};
use tokio::sync::Semaphore;

use super::{Error, open};

/// Long reads at the same time. Each holds a thread and a snapshot that keeps the WAL from being reset.
const LONG_READS: usize = 4;

/// Hands out read-only connections.
pub struct Readers {
    pool: Arc<Pool>,
    long: Arc<Semaphore>,
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
        if !self.closed.load(Ordering::SeqCst) {
            idle.push(connection);
        }
    }
}

/// Runs `read` in one snapshot.
fn snapshot<T, E: From<Error>>(
    connection: &Connection,
    read: impl FnOnce(&Connection) -> Result<T, E>,
) -> Result<T, E> {
    let snapshot = connection.unchecked_transaction().map_err(Error::from)?;
    let answer = read(&snapshot);
    snapshot.finish().map_err(Error::from)?;
    answer
}

/// A lock whose data no panic can leave half-changed.
fn locked<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

/// Ends a long read whose caller stopped waiting. Holds the handle as long as the read has its connection.
struct Abandoned(Arc<Mutex<Option<InterruptHandle>>>);

impl Drop for Abandoned {
    fn drop(&mut self) {
        if let Some(handle) = locked(&self.0).take() {
            handle.interrupt();
        }
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
            long: Arc::new(Semaphore::new(LONG_READS)),
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

    /// Runs a read that may walk many rows on a thread of its own, few at a time. It ends when the caller stops waiting.
    pub async fn long<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let long = Arc::clone(&self.long);
        let place = long.acquire_owned().await.map_err(|_| Error::Closed)?;
        let connection = self.pool.take()?;
        let handle = Arc::new(Mutex::new(Some(connection.get_interrupt_handle())));
        let _abandoned = Abandoned(Arc::clone(&handle));
        let pool = Arc::clone(&self.pool);
        let reading = tokio::task::spawn_blocking(move || {
            let answer = snapshot(&connection, read);
            // From here on the connection may be another's, which no interrupt must meet.
            locked(&handle).take();
            pool.give_back(connection);
            drop(place);
            answer
        });
        reading.await.map_err(|_| Error::Closed)?
    }

    /// Closes the connections; one in use closes when its read ends.
    pub fn close(&self) {
        self.long.close();
        self.pool.closed.store(true, Ordering::SeqCst);
        locked(&self.pool.idle).clear();
    }
}

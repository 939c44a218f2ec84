//! The pool of read-only connections. A read never waits for the writer: WAL gives each its own snapshot.

use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex, PoisonError};

use rusqlite::Connection;
use tokio::sync::Semaphore;

use super::{Error, open};

/// Long reads at the same time. Each holds a thread and a snapshot that keeps the WAL from being reset.
const LONG_READS: usize = 4;

/// Hands out read-only connections.
pub struct Readers {
    pool: Arc<Pool>,
    long: Semaphore,
}

struct Pool {
    path: PathBuf,
    idle: Mutex<Vec<Connection>>,
}

impl Pool {
    /// Runs `read` in one snapshot.
    fn run<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        let idle = self.idle().pop();
        let connection = match idle {
            Some(connection) => connection,
            None => open::readable(&self.path)?,
        };
        let snapshot = connection.unchecked_transaction().map_err(Error::from)?;
        let answer = read(&snapshot);
        snapshot.finish().map_err(Error::from)?;
        self.idle().push(connection);
        answer
    }

    fn idle(&self) -> std::sync::MutexGuard<'_, Vec<Connection>> {
        // A panic elsewhere cannot leave a list of connections half-changed.
        self.idle.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Readers {
    /// A pool over the file at `path`; connections open when they are needed.
    pub fn new(path: &Path) -> Self {
        Self {
            pool: Arc::new(Pool {
                path: path.to_owned(),
                idle: Mutex::default(),
            }),
            long: Semaphore::new(LONG_READS),
        }
    }

    /// Runs a read of a few rows by index on the calling thread: microseconds, less than the hop to another thread.
    pub fn short<T, E: From<Error>>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E>,
    ) -> Result<T, E> {
        self.pool.run(read)
    }

    /// Runs a read that may walk many rows on a thread of its own, few at a time.
    pub async fn long<T: Send + 'static, E: From<Error> + Send + 'static>(
        &self,
        read: impl FnOnce(&Connection) -> Result<T, E> + Send + 'static,
    ) -> Result<T, E> {
        let _permit = self.long.acquire().await.map_err(|_| Error::Closed)?;
        let pool = Arc::clone(&self.pool);
        tokio::task::spawn_blocking(move || pool.run(read))
            .await
            .map_err(|_| Error::Closed)?
    }

    /// Closes the idle connections.
    pub fn close(&self) {
        self.long.close();
        self.pool.idle().clear();
    }
}

//! SQLite: how the file is made, opened, written and read. One file of statements per table; no rule of the directory
//! and no word of HTTP.
//!
//! All changes go over the connection of the writer thread; reads take a read-only connection from a pool.

pub mod accounts;
pub mod audit;
pub mod backup;
pub mod disk;
pub mod examine;
pub mod forwarding;
pub mod groups;
pub mod id;
pub mod life;
pub mod list;
pub mod lock;
pub mod lower;
pub mod mappings;
pub mod migrate;
pub mod open;
pub mod profiles;
pub mod readers;
pub mod restore;
pub mod snapshots;
pub mod storages;
pub mod text;
pub mod tokens;
pub mod users;
mod wal;
pub mod whole;
pub mod writer;

use std::fs::File;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use readers::Readers;
use writer::Writer;

/// What can go wrong with the file.
#[derive(Debug, Clone, thiserror::Error)]
pub enum Error {
    /// There is no database at this path.
    #[error("{0}: no database here; `scimlite init --data DIR` makes one")]
    Missing(String),
    /// The file is not a Scimlite database.
    #[error(
        "{0}: not a Scimlite database; choose another directory, or restore a backup into this one"
    )]
    Foreign(String),
    /// The file was written by a later version.
    #[error(
        "{path}: schema version {found} is newer than this program's {known}; install the later version, or go \
         back by `scimlite restore` of the copy from before the migration, scimlite-schema-{known}-….db"
    )]
    Newer {
        /// The file.
        path: String,
        /// Version in the file.
        found: i64,
        /// Version of this program.
        known: i64,
    },
    /// The file was written by an earlier version.
    #[error(
        "{path}: schema version {found} is older than this program's {known}; `scimlite serve` migrates it"
    )]
    Older {
        /// The file.
        path: String,
        /// Version in the file.
        found: i64,
        /// Version of this program.
        known: i64,
    },
    /// The steps to the present schema do not lead there from this file; it is as it was.
    #[error(
        "{path}: cannot be migrated from schema version {found}: {what}; nothing was changed, so the earlier version \
         of this program still works with it"
    )]
    NotMigrated {
        /// The file.
        path: String,
        /// Version in the file.
        found: i64,
        /// What went wrong.
        what: String,
    },
    /// The tables are not those of schema.sql.
    #[error(
        "{path}: {object} differs from this program's schema; restore a backup, or undo the change to it"
    )]
    Drift {
        /// The file.
        path: String,
        /// The first table, index, trigger or view that differs.
        object: String,
    },
    /// The file is damaged.
    #[error("{path}: broken: {what}; `scimlite restore` takes a backup that is whole")]
    Broken {
        /// The file.
        path: String,
        /// What is wrong first.
        what: String,
    },
    /// Somebody has the file who must not have it now.
    #[error("{path}: {what}")]
    InUse {
        /// The file.
        path: String,
        /// Who it is, and what to do.
        what: &'static str,
    },
    /// A file could not be made or read.
    #[error("{path}: {what}")]
    File {
        /// The file.
        path: String,
        /// Why.
        what: String,
    },
    /// Whoever asked for a copy wants it no more.
    #[error("stopped before it was complete")]
    Stopped,
    /// SQLite or the operating system refused.
    #[error("database: {0}")]
    Sqlite(String),
    /// The machine does not let SQLite work at present: the disk is full or fails, the file cannot be written, another
    /// program has it. Later the same may succeed.
    #[error("database: {0}; look at the disk's space, its health and who may write there")]
    Unavailable(String),
    /// The writer is gone or going; nothing was written.
    #[error("the database is closing")]
    Closed,
}

impl From<rusqlite::Error> for Error {
    fn from(error: rusqlite::Error) -> Self {
        use rusqlite::ErrorCode::{
            CannotOpen, DatabaseBusy, DiskFull, OutOfMemory, ReadOnly, SystemIoFailure,
        };
        let what = error.to_string();
        match error.sqlite_error_code() {
            Some(
                CannotOpen | DatabaseBusy | DiskFull | OutOfMemory | ReadOnly | SystemIoFailure,
            ) => Self::Unavailable(what),
            _ => Self::Sqlite(what),
        }
    }
}

impl Error {
    /// What is wrong with the file at `path`.
    fn file(path: &Path, what: impl ToString) -> Self {
        Self::File {
            path: path.display().to_string(),
            what: what.to_string(),
        }
    }
}

/// An open database.
pub struct Store {
    /// Where every change goes through.
    pub writer: Arc<Writer>,
    /// Where every read goes through.
    pub readers: Readers,
    /// Where it is.
    pub path: PathBuf,
    /// The file, for syncs beside SQLite's. To close it drops the locks that SQLite has on it, so it stands behind the
    /// writer and the readers. A read that outlives them has those on `-shm`, which keep others from taking the WAL.
    _file: Arc<File>,
    /// Keeps the file from being swapped as long as it is open.
    _shared: File,
}

impl Store {
    /// Opens the database at `path`, which has to exist and to be of this program's schema.
    pub fn open(path: &Path) -> Result<Self, Error> {
        let shared = lock::shared(path)?;
        let connection = open::writable(path)?;
        let readers = Readers::new(path);
        let other = open::unverified(path)?;
        // As SQLite opens it, so that it can be synced wherever SQLite's can.
        let file = File::options().read(true).write(true).open(path);
        let file = Arc::new(file.map_err(|error| Error::file(path, error))?);
        let (synced, outdate) = (Arc::clone(&file), readers.outdate());
        let writer = Writer::start(connection, other, synced, writer::BATCH_TIME, outdate)?;
        Ok(Self {
            writer: Arc::new(writer),
            readers,
            path: path.to_owned(),
            _file: file,
            _shared: shared,
        })
    }

    /// Bytes of the database and of the WAL beside it.
    pub fn sizes(&self) -> [u64; 2] {
        // The WAL comes and goes.
        let size = |path: &Path| path.metadata().map_or(0, |found| found.len());
        [
            size(&self.path),
            size(&whole::with_suffix(&self.path, "-wal")),
        ]
    }

    /// Finishes what is queued, moves the WAL into the file and closes it; the file is then complete by itself.
    /// Readers close first, because only the last connection removes the WAL.
    pub async fn close(&self) {
        self.readers.close().await;
        self.writer.close();
    }
}

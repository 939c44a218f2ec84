//! The way of the WAL into the file. What is in a full WAL a thread of its own copies, and syncs, while the writer goes on;
//! what is left then the writer moves itself, between two transactions: SQLite syncs the file, and the WAL begins anew.
//!
//! SQLite counts pages as copied before the file is synced, and does not copy them again in this run, even if the sync says
//! that the disk has lost them. So after such a sync nothing is moved any more, and the WAL stays, which is synced: the next
//! start copies all of it.
//!
//! Checkpoints beside a writer need SQLite 3.51.3, which mended that one of them could let the WAL begin anew too early
//! (<https://sqlite.org/wal.html>, "The WAL-Reset Bug"). The one that is built in is newer.

use std::fs::File;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, TryRecvError, channel};
use std::thread::JoinHandle;
use std::time::Duration;

use rusqlite::config::DbConfig;
use rusqlite::{Connection, Row};

use super::{Error, open::BUSY};

/// Pages that the writer copies in hardly any time: 1 MB.
const LITTLE: i64 = 256;

/// The thread that copies.
pub(super) struct Mover {
    /// None once it shall end.
    begin: Option<Sender<()>>,
    /// Whether what it copied is synced.
    ended: Receiver<bool>,
    at_work: bool,
    lost: bool,
    thread: Option<JoinHandle<()>>,
}

impl Mover {
    /// Starts the thread over a connection of its own; `file` is the database.
    pub(super) fn start(connection: Connection, file: Arc<File>) -> Result<Self, Error> {
        let (begin, begun) = channel();
        let (end, ended) = channel();
        let thread = std::thread::Builder::new()
            .name("wal".into())
            .spawn(move || {
                for () in begun {
                    let synced = copy(&connection, &file);
                    if !synced {
                        keep(&connection);
                    }
                    if end.send(synced).is_err() {
                        break;
                    }
                }
            })
            .map_err(|error| Error::Sqlite(format!("cannot start a thread: {error}")))?;
        Ok(Self {
            begin: Some(begin),
            ended,
            at_work: false,
            lost: false,
            thread: Some(thread),
        })
    }

    /// Has it copy, if it is not at it. `false` if it cannot: it has ended, by a bug.
    pub(super) fn begin(&mut self) -> bool {
        let begun = |begin: &Sender<()>| begin.send(()).is_ok();
        self.at_work = self.at_work || self.begin.as_ref().is_some_and(begun);
        self.at_work
    }

    /// Whether it has copied what it could since it began; it is waited for if `wait`. Says so once.
    pub(super) fn has_ended(&mut self, wait: bool) -> bool {
        let synced = match (self.at_work, wait) {
            (false, _) => Err(TryRecvError::Empty),
            (true, true) => self.ended.recv().map_err(|_| TryRecvError::Disconnected),
            (true, false) => self.ended.try_recv(),
        };
        // That nobody is there to tell means that it has ended, too.
        let ended = synced != Err(TryRecvError::Empty);
        self.lost |= synced == Ok(false);
        self.at_work &= !ended;
        ended
    }

    /// Whether the disk may have lost what it copied: nothing may be moved any more.
    pub(super) fn has_lost(&self) -> bool {
        self.lost
    }
}

impl Drop for Mover {
    /// Waits for its end and closes its connection.
    fn drop(&mut self) {
        self.begin.take();
        if let Some(thread) = self.thread.take() {
            // Whatever it left, the writer moves.
            let _ = thread.join();
        }
    }
}

/// Copies what is in the WAL, then what came meanwhile, and so on until that is little, or not half of what it was before.
/// SQLite syncs the file only where it comes to the end of the WAL, which grows: without a sync after each part all would
/// be left to the writer. `false` if a sync failed.
fn copy(connection: &Connection, file: &File) -> bool {
    let (mut last, mut most) = (0, i64::MAX);
    while let Some(Moved { pages, .. }) = checkpoint(connection, "PASSIVE", Duration::ZERO) {
        if let Err(error) = file.sync_all() {
            tracing::error!(%error, "the disk may have lost what was moved into the database; the next start moves it again");
            return false;
        }
        let copied = pages - last;
        if copied <= LITTLE || copied > most {
            break;
        }
        (last, most) = (pages, copied / 2);
    }
    true
}

/// Has the WAL stay where it is when this connection closes.
pub(super) fn keep(connection: &Connection) {
    if let Err(error) = connection.set_db_config(DbConfig::SQLITE_DBCONFIG_NO_CKPT_ON_CLOSE, true) {
        tracing::error!(%error, "the WAL cannot be kept");
    }
}

/// Moves the WAL into the file; it then begins anew with the next change (RESTART) or is empty (TRUNCATE). `false` if a
/// reader holds it back for longer than `patience`. `outdate` ends the reads that nobody waits for.
pub(super) fn move_all(
    connection: &Connection,
    outdate: &dyn Fn(),
    mode: &str,
    patience: Duration,
) -> bool {
    // In two steps: who reads from then on needs nothing that is in the WAL, and does not hold it back.
    if checkpoint(connection, "PASSIVE", Duration::ZERO).is_none() {
        return false;
    }
    outdate();
    checkpoint(connection, mode, patience).is_some_and(|moved| moved.all)
}

/// Whether there is nothing in the WAL.
pub(super) fn is_empty(connection: &Connection) -> bool {
    let wal = connection.path().map(|path| format!("{path}-wal"));
    let found = wal.and_then(|wal| std::fs::metadata(wal).ok());
    found.is_none_or(|found| found.len() == 0)
}

/// What a checkpoint has come to.
struct Moved {
    /// Whether the WAL can begin anew. PASSIVE does not tell.
    all: bool,
    /// Pages at the beginning of the WAL that are in the file.
    pages: i64,
}

/// Moves what no reader holds back, with PASSIVE, or all. Waits for readers and other writers not longer than `patience`.
fn checkpoint(connection: &Connection, mode: &str, patience: Duration) -> Option<Moved> {
    let statement = format!("PRAGMA wal_checkpoint({mode})");
    let moved = |row: &Row<'_>| {
        Ok(Moved {
            all: row.get::<_, i64>(0)? == 0,
            pages: row.get(2)?,
        })
    };
    let moved = connection
        .busy_timeout(patience)
        .and_then(|()| connection.query_row(&statement, [], moved));
    // Whatever came of it: the next transaction has to wait for a lock that a command holds.
    let restored = connection.busy_timeout(BUSY);
    moved
        .and_then(|moved| restored.map(|()| moved))
        .inspect_err(|error| tracing::warn!(%error, "checkpoint failed; it is tried again"))
        .ok()
}

//! The way of the WAL into the file. What is in a full WAL a thread of its own copies, and syncs, while the writer goes on;
//! what is left then the writer moves itself, between two transactions: SQLite syncs the file, and the WAL begins anew.
//!
//! SQLite syncs the file where it comes to the end of the WAL. What it copies up to where a reader holds it, or the WAL has
//! grown, it counts as copied and does not copy again in this run, so that is synced here. If such a sync says that the disk
//! has lost pages, nothing is moved any more, and the WAL stays, which is synced: the next start copies all of it.
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

/// The disk may have lost what was moved: nothing may be moved any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Lost;

/// The thread that copies.
pub(super) struct Mover {
    /// None once it shall end.
    begin: Option<Sender<()>>,
    /// What came of it.
    ended: Receiver<Result<(), Lost>>,
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
                    let copied = copy(&connection, &file);
                    if copied == Err(Lost) {
                        keep(&connection);
                    }
                    if end.send(copied).is_err() {
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
        let copied = match (self.at_work, wait) {
            (false, _) => Err(TryRecvError::Empty),
            (true, true) => self.ended.recv().map_err(|_| TryRecvError::Disconnected),
            (true, false) => self.ended.try_recv(),
        };
        // That nobody is there to tell means that it has ended, too.
        let ended = copied != Err(TryRecvError::Empty);
        self.lost |= copied == Ok(Err(Lost));
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
/// Without a sync after each part all would be left to the writer.
fn copy(connection: &Connection, file: &File) -> Result<(), Lost> {
    let (mut last, mut most) = (0, i64::MAX);
    while let Some(Moved { pages, .. }) = checkpoint(connection, "PASSIVE", Duration::ZERO) {
        sync(file)?;
        let copied = pages - last;
        if copied <= LITTLE || copied > most {
            break;
        }
        (last, most) = (pages, copied / 2);
    }
    Ok(())
}

/// Syncs what was moved into `file`.
fn sync(file: &File) -> Result<(), Lost> {
    file.sync_all().map_err(|error| {
        tracing::error!(%error, "the disk may have lost what was moved into the database; the next start moves it again");
        Lost
    })
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
    file: &File,
    outdate: &dyn Fn(),
    mode: &str,
    patience: Duration,
) -> Result<bool, Lost> {
    // In two steps: who reads from then on needs nothing that is in the WAL, and does not hold it back.
    if checkpoint(connection, "PASSIVE", Duration::ZERO).is_none() {
        return Ok(false);
    }
    sync(file)?;
    outdate();
    let Some(moved) = checkpoint(connection, mode, patience) else {
        return Ok(false);
    };
    if moved.pages < moved.of {
        sync(file)?;
    }
    Ok(moved.all)
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
    /// Pages in the WAL.
    of: i64,
}

/// Moves what no reader holds back, with PASSIVE, or all. Waits for readers and other writers not longer than `patience`.
fn checkpoint(connection: &Connection, mode: &str, patience: Duration) -> Option<Moved> {
    let statement = format!("PRAGMA wal_checkpoint({mode})");
    let moved = |row: &Row<'_>| {
        Ok(Moved {
            all: row.get::<_, i64>(0)? == 0,
            pages: row.get(2)?,
            of: row.get(1)?,
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

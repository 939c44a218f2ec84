//! A copy of the database that is whole, made while others write it: SQLite's own copying within one read transaction,
//! which no writer waits for and which no write makes begin again. The copy is verified before it gets its name.

use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::backup::{Backup, StepResult};
use rusqlite::{Connection, OpenFlags};

use super::audit::{Link, chain};
use super::disk::{self, RESERVE};
use super::migrate::{PRESENT, Plan};
use super::whole::{self, Unfinished};
use super::{Error, open};

/// Pages copied at a time, 4 MiB of the usual size: between two of them it is asked whether to go on.
const PAGES: i32 = 1024;
/// Steps of SQLite between two such questions while a copy is verified.
const STEPS: i32 = 100_000;
/// The file access of SQLite without locks: nobody else knows the file, and network file systems have none that work.
const WITHOUT_LOCKS: &str = "unix-none";

/// How far a copy is.
#[derive(Debug, Clone, Copy)]
pub enum Step {
    /// It is being made.
    Copied {
        /// Bytes that are there.
        bytes: u64,
        /// Bytes that it will have.
        of: u64,
    },
    /// It is being verified.
    Verifying,
}

/// Is told how far a copy is, and says whether to go on.
pub type Watch = Arc<dyn Fn(Step) -> bool + Send + Sync>;

/// A copy that was made.
#[derive(Debug, Clone)]
pub struct Copied {
    /// Its size.
    pub bytes: u64,
    /// The end of its audit.
    pub head: Link,
}

/// Copies `database` to `file`: verified, complete by itself, for its owner alone, and under its name only then. Takes
/// the place of a file that is there only if `replace`.
pub fn make(database: &Path, file: &Path, replace: bool, watch: &Watch) -> Result<Copied, Error> {
    if same(database, file) {
        return Err(Error::file(
            file,
            "this is the database itself; name another file",
        ));
    }
    if !replace && file.exists() {
        return Err(Error::file(
            file,
            "is there already; name another file, or replace it with --force",
        ));
    }
    publish(database, file, replace, watch, |path, connection| {
        open::verify(path, connection, &PRESENT)
    })
}

/// Copies a database of the older schema `version` into the directory `copies`, under a name that says so.
pub fn before_migration(
    database: &Path,
    plan: &Plan<'_>,
    copies: &Path,
    version: i64,
    at: Timestamp,
) -> Result<PathBuf, Error> {
    whole::make_directory(copies).map_err(|error| Error::file(copies, error))?;
    let name = format!("scimlite-schema-{version}-{}.db", whole::stamp(at));
    let file = copies.join(name);
    let watch: Watch = Arc::new(|_| true);
    publish(database, &file, false, &watch, |path, connection| {
        open::identify(path, connection, plan).map(drop)
    })?;
    Ok(file)
}

fn publish(
    database: &Path,
    file: &Path,
    replace: bool,
    watch: &Watch,
    schema: impl Fn(&Path, &Connection) -> Result<(), Error>,
) -> Result<Copied, Error> {
    let source = open::readable(database)?;
    schema(database, &source)?;
    let copy = copy(&source, Some(database), file, watch)?;
    drop(source);
    let head = verified(copy.path(), database, watch, |connection| {
        schema(file, connection)
    })?;
    let failed = |error| Error::file(file, error);
    let bytes = copy.path().metadata().map_err(failed)?.len();
    copy.publish(replace).map_err(failed)?;
    Ok(Copied { bytes, head })
}

/// Copies what `source` sees at this moment to a file that is to become `target`. On the disk of `beside`, some room is
/// left free.
pub fn copy(
    source: &Connection,
    beside: Option<&Path>,
    target: &Path,
    watch: &Watch,
) -> Result<Unfinished, Error> {
    let failed = |error: &dyn std::fmt::Display| Error::file(target, error);
    // One transaction around it all: between two steps of a copy outside of one, each write begins it anew.
    let snapshot = source.unchecked_transaction()?;
    let bytes: i64 = snapshot.query_row(
        "SELECT page_count * page_size FROM pragma_page_count, pragma_page_size",
        [],
        |row| row.get(0),
    )?;
    let bytes = bytes.unsigned_abs();
    room(bytes, beside, target)?;
    let copy = Unfinished::beside(target).map_err(|error| failed(&error))?;
    let mut connection = private(copy.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA journal_mode = OFF; PRAGMA synchronous = OFF;")?;
    let steps = Backup::new(&snapshot, &mut connection)?;
    loop {
        let step = steps.step(PAGES).map_err(|error| failed(&error))?;
        let progress = steps.progress();
        let left = u64::try_from(progress.remaining).unwrap_or(0);
        let pages = u64::try_from(progress.pagecount).unwrap_or(0).max(1);
        let there = bytes.saturating_sub(bytes / pages * left);
        if !watch(Step::Copied {
            bytes: there,
            of: bytes,
        }) {
            return Err(Error::Stopped);
        }
        match step {
            StepResult::Done => break,
            StepResult::More => {}
            _ => return Err(failed(&"the file is locked by another program")),
        }
    }
    drop(steps);
    snapshot.finish()?;
    // A database in WAL mode says so of itself; a copy does without the files that this takes.
    connection.execute_batch("PRAGMA journal_mode = DELETE;")?;
    connection.close().map_err(|(_, error)| failed(&error))?;
    Ok(copy)
}

/// Looks at every page and every audit row of the copy at `path`, and at its schema by `schema`. Gives the end of its
/// audit. What is broken was so in the file `of` which it is a copy.
pub fn verified(
    path: &Path,
    of: &Path,
    watch: &Watch,
    schema: impl FnOnce(&Connection) -> Result<(), Error>,
) -> Result<Link, Error> {
    let broken = |what: String| Error::Broken {
        path: of.display().to_string(),
        what,
    };
    let mut connection = private(path, OpenFlags::SQLITE_OPEN_READ_ONLY)?;
    let asked = Arc::clone(watch);
    connection.progress_handler(STEPS, Some(move || !asked(Step::Verifying)))?;
    let stopped = |error: Error| match watch(Step::Verifying) {
        true => error,
        false => Error::Stopped,
    };
    schema(&connection).map_err(stopped)?;
    let integrity = connection.query_row("PRAGMA integrity_check(1)", [], |row| row.get(0));
    let integrity: String = integrity.map_err(|error| stopped(broken(error.to_string())))?;
    if integrity != "ok" {
        return Err(stopped(broken(integrity)));
    }
    match chain::verify(&connection, &[]).map_err(stopped)? {
        Ok(proof) => Ok(proof.head),
        Err(fault) => Err(broken(format!(
            "row {} of the audit is not as it was written: {}",
            fault.seq, fault.what
        ))),
    }
}

/// Opens a file that no other process knows.
pub fn private(path: &Path, flags: OpenFlags) -> Result<Connection, Error> {
    let connection = Connection::open_with_flags_and_vfs(
        path,
        flags | OpenFlags::SQLITE_OPEN_NO_MUTEX,
        WITHOUT_LOCKS,
    )?;
    // Without locks there is no shared memory, which WAL mode needs unless the file is one's own.
    connection.execute_batch(
        "PRAGMA locking_mode = EXCLUSIVE; PRAGMA trusted_schema = OFF; PRAGMA temp_store = MEMORY;",
    )?;
    Ok(connection)
}

/// Refuses a copy for which the disk has no room.
fn room(bytes: u64, beside: Option<&Path>, target: &Path) -> Result<(), Error> {
    let directory = whole::directory(target);
    let device = |path: &Path| path.metadata().map(|file| file.dev()).ok();
    let reserve = match beside {
        Some(beside) if device(beside) == device(directory) => RESERVE,
        _ => 0,
    };
    let needed = bytes.saturating_add(reserve);
    if disk::free(directory)?.is_some_and(|free| free < needed) {
        return Err(Error::file(
            target,
            format!("needs {needed} bytes free on its disk; make room or choose another disk"),
        ));
    }
    Ok(())
}

/// Whether two names are of one file.
pub fn same(one: &Path, other: &Path) -> bool {
    let identity = |path: &Path| path.metadata().map(|file| (file.dev(), file.ino())).ok();
    identity(one).is_some_and(|one| identity(other) == Some(one))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_copy_leaves_the_database_its_room() {
        let root = tempfile::TempDir::new().unwrap();
        let target = root.path().join("copy.db");
        let disk = rustix::fs::statvfs(root.path()).unwrap();
        let all = disk.f_blocks * disk.f_frsize;
        room(1, Some(root.path()), &target).unwrap();
        for bytes in [all - RESERVE / 2, all, u64::MAX] {
            let refused = room(bytes, Some(root.path()), &target).unwrap_err();
            assert!(refused.to_string().contains("make room"), "{refused}");
        }
    }
}

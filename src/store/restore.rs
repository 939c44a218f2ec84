//! A backup in the place of the database. At every moment there is one whole database under its name, the old one or
//! the new one, and beside it nothing of the other that SQLite would play into it.

use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;
use rusqlite::{Connection, ErrorCode, OpenFlags};

use super::audit::{self, Link};
use super::backup::{self, Watch};
use super::migrate::Plan;
use super::whole::{self, Unfinished};
use super::{Error, lock, open, snapshots};

/// How long another program may still hold the old file.
const WAIT: Duration = Duration::from_secs(2);

/// When a database was replaced, in the name under which it is kept: a second try may follow at once.
const KEPT: &str = "%Y%m%dT%H%M%S%.3fZ";

/// What is known when the audit of the restored database is written.
#[derive(Debug, Clone)]
pub struct Exchange {
    /// The end of the old database's audit; none if there was no database that can be read.
    pub before: Option<Link>,
    /// The appliance of which the old database was, the mark of its snapshots; likewise.
    pub replaced: Option<String>,
    /// The end of the backup's audit.
    pub after: Link,
    /// Version of the backup's schema, if that was migrated.
    pub migrated_from: Option<i64>,
}

/// Puts a copy of `backup`, verified and migrated by `plan`, in the place of `database`. `record` writes into the copy before it
/// takes that place. Gives the name under which the old database is kept, if there was one.
pub fn restore(
    database: &Path,
    backup: &Path,
    plan: &Plan<'_>,
    at: Timestamp,
    watch: &Watch,
    record: impl FnOnce(&Connection, &Exchange) -> Result<(), Error>,
) -> Result<(Exchange, Option<PathBuf>), Error> {
    let _alone = lock::alone(database)?;
    if backup::same(database, backup) {
        return Err(Error::file(
            backup,
            "this is the database itself; name a backup",
        ));
    }
    let (connection, copy, after, migrated_from) =
        prepared(database, backup, plan, watch).map_err(|error| about(backup, error))?;
    let old = Old::take(database)?;
    let exchange = Exchange {
        before: old.head(),
        replaced: old.appliance(),
        after,
        migrated_from,
    };
    let transaction = connection.unchecked_transaction()?;
    record(&transaction, &exchange)?;
    transaction.commit()?;
    connection.close().map_err(|(_, error)| error)?;
    let failed = |error| Error::file(database, error);
    let model = match database.exists() {
        true => database,
        false => whole::directory(database),
    };
    whole::give_to_owner(copy.path(), model).map_err(failed)?;
    let kept = old.keep(database, at).map_err(failed)?;
    copy.publish(true).map_err(failed)?;
    Ok((exchange, kept))
}

/// What a backup becomes before it takes the place of `database`: copied to beside it, verified and migrated. With the
/// end of its audit, and the version of its schema if that was an older one.
fn prepared(
    database: &Path,
    backup: &Path,
    plan: &Plan<'_>,
    watch: &Watch,
) -> Result<(Connection, Unfinished, Link, Option<i64>), Error> {
    let source = open::lone(backup)
        .and_then(|source| open::identify(backup, &source, plan).map(|_| source))
        // Nothing but this file was touched yet.
        .map_err(|error| match error {
            Error::Unavailable(what) => Error::Sqlite(what),
            error => error,
        })?;
    let copy = backup::copy(&source, None, database, watch)?;
    let head = backup::verified(copy.path(), backup, watch, |_| Ok(()))?;
    let connection = backup::private(copy.path(), OpenFlags::SQLITE_OPEN_READ_WRITE)?;
    connection.execute_batch("PRAGMA synchronous = FULL;")?;
    let found = plan.apply(backup, &connection, |_, _| Ok(()))?;
    open::verify(backup, &connection, plan)?;
    // The file is this process's own, but its header can say so too.
    if connection.is_readonly("main")? {
        return Err(Error::Sqlite("its header lets nobody write".to_owned()));
    }
    Ok((connection, copy, head, found))
}

/// What SQLite says of a backup that it cannot read, with the name of the file.
fn about(backup: &Path, error: Error) -> Error {
    match error {
        Error::Sqlite(what) => Error::Broken {
            path: backup.display().to_string(),
            what,
        },
        error => error,
    }
}

/// The database that is to be replaced.
enum Old {
    /// There is none.
    Missing,
    /// SQLite cannot read it.
    Unreadable,
    /// One file, all of it, which nobody else can read or write until this is dropped.
    Whole {
        head: Option<Link>,
        appliance: Option<String>,
        _connection: Connection,
    },
}

impl Old {
    /// Moves the WAL into the file and takes both from everybody else.
    fn take(database: &Path) -> Result<Self, Error> {
        if !database.exists() {
            return Ok(Self::Missing);
        }
        let connection = Connection::open_with_flags(database, OpenFlags::SQLITE_OPEN_READ_WRITE)?;
        connection.busy_timeout(WAIT)?;
        // Out of WAL mode comes only who has the file alone. What SQLite keeps then locks it without a change to it.
        let taken = connection
            .query_row("PRAGMA journal_mode = DELETE", [], |row| row.get(0))
            .and_then(|mode: String| {
                connection.execute_batch("BEGIN EXCLUSIVE")?;
                Ok(mode)
            });
        match taken.map_err(|error| (error.sqlite_error_code(), error)) {
            Ok(mode) if mode == "delete" => Ok(Self::Whole {
                head: audit::head(&connection).ok(),
                appliance: snapshots::appliance(&connection).ok(),
                _connection: connection,
            }),
            Ok(_) | Err((Some(ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked), _)) => {
                Err(Error::InUse {
                    path: database.display().to_string(),
                    what: "another program has it open; let it close the file, then restore",
                })
            }
            Err((Some(ErrorCode::NotADatabase | ErrorCode::DatabaseCorrupt), _)) => {
                Ok(Self::Unreadable)
            }
            Err((_, error)) => Err(error.into()),
        }
    }

    fn head(&self) -> Option<Link> {
        match self {
            Self::Whole { head, .. } => head.clone(),
            Self::Missing | Self::Unreadable => None,
        }
    }

    fn appliance(&self) -> Option<String> {
        match self {
            Self::Whole { appliance, .. } => appliance.clone(),
            Self::Missing | Self::Unreadable => None,
        }
    }

    /// Gives the old database a second name, and takes from beside the first whatever SQLite would play into the file
    /// that comes there. Durable before it comes back: the new file must not meet the old WAL, whatever happens.
    fn keep(&self, database: &Path, at: Timestamp) -> std::io::Result<Option<PathBuf>> {
        let kept = whole::with_suffix(database, &format!(".before-{}", at.strftime(KEPT)));
        let old = database.exists();
        if old {
            std::fs::hard_link(database, &kept)?;
        }
        for (companion, suffix) in whole::companions(database).zip(whole::COMPANIONS) {
            if companion.exists() {
                std::fs::rename(companion, whole::with_suffix(&kept, suffix))?;
            }
        }
        whole::sync(whole::directory(database))?;
        Ok(old.then_some(kept))
    }
}

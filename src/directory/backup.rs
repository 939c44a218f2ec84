//! Copies of the database, the way back, and the way on: backup and snapshots while the directory serves; restoring a
//! copy and migrating an older file while nobody has it (design §3.15).
//!
//! A copy changes nothing and leaves no audit row. What puts other content under the database's name does.

use std::path::{Path, PathBuf};

use rusqlite::Connection;
use serde_json::json;

use super::audit::{Entry, Origin};
use super::{Clock, Directory, changed};
use crate::store::backup::{self, Copied, Watch};
use crate::store::migrate::Plan;
use crate::store::restore::Exchange;
use crate::store::snapshots::{self, Maintained};
use crate::store::{Error, audit, lock, open, restore};

impl Directory {
    /// Makes a verified copy at `file`, in the place of one that is there only if `replace`.
    pub async fn backup(&self, file: &Path, replace: bool, watch: &Watch) -> Result<Copied, Error> {
        let (database, file) = (self.store.path.clone(), file.to_owned());
        let watch = Watch::clone(watch);
        on_a_thread(move || backup::make(&database, &file, replace, &watch)).await
    }

    /// Makes the snapshot that is due, if one is, and removes those that are too many.
    pub async fn maintain_snapshots(
        &self,
        plan: &snapshots::Plan,
        watch: &Watch,
    ) -> Result<Maintained, Error> {
        let (database, plan, now) = (self.store.path.clone(), plan.clone(), self.now());
        let watch = Watch::clone(watch);
        on_a_thread(move || plan.maintain(&database, now, &watch)).await
    }
}

/// Runs what waits for the disk on a thread of its own.
async fn on_a_thread<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or(Err(Error::Closed))
}

/// Puts a copy of `file`, migrated by `plan`, in the place of `database`, and says so in the audit of what is then the database. Gives the
/// ends of the audit before and after, and the name under which the old database is kept.
pub fn restore_backup(
    database: &Path,
    file: &Path,
    plan: &Plan<'_>,
    origin: &Origin,
    clock: &Clock,
    watch: &Watch,
) -> Result<(Exchange, Option<PathBuf>), Error> {
    let now = clock();
    restore::restore(database, file, plan, now, watch, |connection, exchange| {
        if let Some(version) = exchange.migrated_from {
            let entry = migrated(version, file);
            audit::append(connection, &entry.row(now, origin))?;
        }
        let mut entry = Entry::new("appliance.restore", 0);
        entry.because(format!("restored from {}", file.display()));
        let ends = |head: &audit::Link| json!({"audit_seq": head.seq, "audit_hash": head.hash});
        let before = exchange.before.as_ref().map_or(json!({}), ends);
        entry.changes = Some(changed(&before, &ends(&exchange.after)));
        audit::append(connection, &entry.row(now, origin)).map(drop)
    })
}

/// Migrates `database` by `plan` if its schema is an older one, after a verified copy into the directory `copies`. Gives
/// the copy.
pub fn upgrade(
    database: &Path,
    plan: &Plan<'_>,
    copies: &Path,
    origin: &Origin,
    clock: &Clock,
) -> Result<Option<PathBuf>, Error> {
    let identify = |connection: &Connection| open::identify(database, connection, plan);
    if identify(&open::readable(database)?)? == plan.version() {
        return Ok(None);
    }
    let _alone = lock::alone(database)?;
    // Only now it cannot be swapped any more.
    let connection = open::unverified(database)?;
    let found = identify(&connection)?;
    let now = clock();
    let copy = backup::before_migration(database, plan, copies, found, now)?;
    plan.apply(database, &connection, |connection, found| {
        audit::append(connection, &migrated(found, &copy).row(now, origin)).map(drop)
    })?;
    Ok(Some(copy))
}

/// The entry of a migration from schema `version` of a file that `copy` holds as it was.
fn migrated(version: i64, copy: &Path) -> Entry {
    let mut entry = Entry::new("appliance.migrate", 0);
    entry.because(format!(
        "schema version {version} migrated; {} holds it as it was",
        copy.display()
    ));
    entry
}

#[cfg(test)]
mod tests;

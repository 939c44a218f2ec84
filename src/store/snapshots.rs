//! Snapshots: copies in a directory of their own, named by their instant, of which the last few are kept. Their files
//! appear whole and never change. A mark in that directory says whose they are: another appliance keeps away, which would
//! take them for its own and remove them. No other file there is touched.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use rusqlite::Connection;

use super::backup::{self, Copied, Watch};
use super::{Error, open, whole};

/// Which snapshots there are to be.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// Where they are.
    pub directory: PathBuf,
    /// Time from one to the next.
    pub every: Duration,
    /// How many are kept; with 0 none are made.
    pub keep: usize,
}

/// What a look at the snapshots did.
pub struct Maintained {
    /// The one that was due and was made.
    pub made: Option<(PathBuf, Copied)>,
    /// Time until the next is due.
    pub next: Duration,
    /// Keeps others away, also a copy of this appliance, as long as it is held.
    pub place: File,
}

const PREFIX: &str = "scimlite-";
const SUFFIX: &str = ".db";
/// The mark. It is locked by the server that makes the snapshots.
const MARK: &str = "scimlite.appliance";
const ANOTHERS: &str = "another appliance makes its snapshots here; choose another `dir` under [backup]. If that one is gone for \
                        good, or this one was made anew in its place, remove scimlite.appliance there";

impl Plan {
    /// Makes a snapshot of `database` if one is due, and removes those that are too many. When one is due, the newest
    /// that is there says, so that a restart makes none too many. What an earlier look gave as the place has to be dropped
    /// before.
    pub fn maintain(
        &self,
        database: &Path,
        now: Timestamp,
        watch: &Watch,
    ) -> Result<Maintained, Error> {
        let failed = |error| Error::file(&self.directory, error);
        whole::make_directory(&self.directory).map_err(failed)?;
        let place = self.take(&appliance(&open::readable(database)?)?)?;
        whole::sweep(&self.directory, |name| taken_at(name).is_some()).map_err(failed)?;
        let newest = newest(&self.present().map_err(failed)?, now);
        let age = newest.map(|at| now.duration_since(at).unsigned_abs());
        let (made, next) = match age.and_then(|age| self.every.checked_sub(age)) {
            Some(left) if !left.is_zero() => (None, left),
            _ => {
                let file = self.directory.join(name(now));
                let copied = backup::make(database, &file, false, watch)?;
                (Some((file, copied)), self.every)
            }
        };
        self.prune(now).map_err(failed)?;
        Ok(Maintained { made, next, place })
    }

    /// Refuses a directory in which another appliance than `appliance` makes its snapshots.
    pub fn allowed(&self, appliance: &str) -> Result<(), Error> {
        let mark = self.directory.join(MARK);
        match std::fs::read_to_string(&mark) {
            Ok(owner) => self.judge(&owner, appliance),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(()),
            // For those to say who make the directory.
            Err(error) if error.kind() == ErrorKind::NotADirectory => Ok(()),
            Err(error) => Err(Error::file(&mark, error)),
        }
    }

    /// Lets the directory go that is marked for `appliance`, whose database another one replaces.
    pub fn release(&self, appliance: &str) -> Result<(), Error> {
        let mark = self.directory.join(MARK);
        match std::fs::read_to_string(&mark) {
            Ok(owner) if owner.trim_end() == appliance => {
                std::fs::remove_file(&mark).map_err(|error| Error::file(&mark, error))
            }
            _ => Ok(()),
        }
    }

    /// An empty mark is of nobody: whoever made it was cut off.
    fn judge(&self, owner: &str, appliance: &str) -> Result<(), Error> {
        match owner.trim_end() {
            owner if owner.is_empty() || owner == appliance => Ok(()),
            _ => Err(self.anothers()),
        }
    }

    fn anothers(&self) -> Error {
        Error::InUse {
            path: self.directory.display().to_string(),
            what: ANOTHERS,
        }
    }

    /// Takes the directory for `appliance`, marks it if nobody has, and keeps others away until the file is dropped.
    fn take(&self, appliance: &str) -> Result<File, Error> {
        let path = self.directory.join(MARK);
        let failed = |error| Error::file(&path, error);
        let mut options = OpenOptions::new();
        options.read(true).write(true).create(true).truncate(false);
        let mut mark = options.mode(0o600).open(&path).map_err(failed)?;
        // Some network file systems have no locks; the content decides there alone.
        if let Err(TryLockError::WouldBlock) = mark.try_lock() {
            return Err(self.anothers());
        }
        let mut owner = String::new();
        mark.read_to_string(&mut owner).map_err(failed)?;
        self.judge(&owner, appliance)?;
        if owner.is_empty() {
            writeln!(mark, "{appliance}").map_err(failed)?;
            mark.sync_all().map_err(failed)?;
        }
        Ok(mark)
    }

    /// When the newest snapshot of `appliance` was taken, not counting those of a clock that was ahead of `now`.
    pub fn newest(&self, appliance: &str, now: Timestamp) -> Result<Option<Timestamp>, Error> {
        self.allowed(appliance)?;
        match self.present() {
            Ok(present) => Ok(newest(&present, now)),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(Error::file(&self.directory, error)),
        }
    }

    /// Every snapshot that is there.
    fn present(&self) -> std::io::Result<Vec<(Timestamp, PathBuf)>> {
        let mut present = Vec::new();
        for entry in self.directory.read_dir()? {
            let entry = entry?;
            if let Some(at) = entry.file_name().to_str().and_then(taken_at) {
                present.push((at, entry.path()));
            }
        }
        Ok(present)
    }

    /// Removes all but the last ones. Those from the future count as the oldest: they must not push out the real ones.
    fn prune(&self, now: Timestamp) -> std::io::Result<()> {
        let mut present = self.present()?;
        present.sort_by_key(|(at, _)| (*at <= now, *at));
        let too_many = present.len().saturating_sub(self.keep);
        for (_, path) in present.into_iter().take(too_many) {
            std::fs::remove_file(path)?;
        }
        Ok(())
    }
}

/// What tells the appliance behind `connection` from others: when it was made. A restored backup keeps it.
pub fn appliance(connection: &Connection) -> Result<String, Error> {
    Ok(connection.query_row("SELECT created FROM appliance", [], |row| row.get(0))?)
}

/// The instant of the newest. One from the future is of a clock that was wrong; it puts nothing off.
fn newest(present: &[(Timestamp, PathBuf)], now: Timestamp) -> Option<Timestamp> {
    let instants = present.iter().map(|(at, _)| *at);
    instants.filter(|at| *at <= now).max()
}

/// The name of the snapshot of this instant.
fn name(at: Timestamp) -> String {
    format!("{PREFIX}{}{SUFFIX}", whole::stamp(at))
}

/// The instant of the snapshot with this name; none if it is no name of a snapshot, to the letter.
fn taken_at(file: &str) -> Option<Timestamp> {
    let text = file.strip_prefix(PREFIX)?.strip_suffix(SUFFIX)?;
    let civil = jiff::civil::DateTime::strptime(whole::STAMP, text).ok()?;
    let at = jiff::tz::Offset::UTC.to_timestamp(civil).ok()?;
    (name(at) == file).then_some(at)
}

#[cfg(test)]
mod tests;

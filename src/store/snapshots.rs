//! Snapshots: copies in a directory of their own, named by their instant, of which the last few are kept. Their files
//! appear whole and never change. No other file in that directory is touched.

use std::io::ErrorKind;
use std::path::{Path, PathBuf};
use std::time::Duration;

use jiff::Timestamp;

use super::backup::{self, Copied, Watch};
use super::{Error, whole};

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
}

const PREFIX: &str = "scimlite-";
const SUFFIX: &str = ".db";
impl Plan {
    /// Makes a snapshot of `database` if one is due, and removes those that are too many. When one is due, the newest
    /// that is there says, so that a restart makes none too many.
    pub fn maintain(
        &self,
        database: &Path,
        now: Timestamp,
        watch: &Watch,
    ) -> Result<Maintained, Error> {
        let failed = |error| Error::file(&self.directory, error);
        whole::make_directory(&self.directory).map_err(failed)?;
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
        Ok(Maintained { made, next })
    }

    /// When the newest snapshot was taken, not counting those of a clock that was ahead of `now`.
    pub fn newest(&self, now: Timestamp) -> Result<Option<Timestamp>, Error> {
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

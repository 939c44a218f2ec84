//! Files that appear under their name whole or not at all: a database is made under another name beside it, synced, and
//! then published. What a killed process leaves under such another name, the next one removes.

use std::ffi::OsString;
use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{Error, ErrorKind, Result};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use jiff::Timestamp;

/// What SQLite puts beside a database. Any of it that meets another database under the same name would be played into
/// that one.
pub const COMPANIONS: [&str; 3] = ["-wal", "-shm", JOURNAL];
/// The one of them that undoes a change which was cut off.
pub const JOURNAL: &str = "-journal";
/// Between the name of a file and the process that makes it.
const UNFINISHED: &str = ".new-";

/// A file on its way: an empty one for its owner alone to begin with, removed with what SQLite puts beside it unless it
/// is published.
pub struct Unfinished {
    target: PathBuf,
    path: PathBuf,
}

impl Unfinished {
    /// A new file in the directory of `target`. Removes what earlier processes left there of the same target.
    pub fn beside(target: &Path) -> Result<Self> {
        let name = target
            .file_name()
            .ok_or_else(|| Error::new(ErrorKind::InvalidInput, "the name of a file is needed"))?;
        sweep(directory(target), |left| name == left)?;
        let path = with_suffix(target, &format!("{UNFINISHED}{}", std::process::id()));
        OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        let target = target.to_owned();
        Ok(Self { target, path })
    }

    /// Where it is until it is published. It has to be closed before that.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Makes its content durable and gives it its name; over a file that is there only if `replace`.
    pub fn publish(self, replace: bool) -> Result<()> {
        File::open(&self.path)?.sync_all()?;
        match replace {
            true => std::fs::rename(&self.path, &self.target)?,
            false => self.link()?,
        }
        sync(directory(&self.target))
    }

    /// A link, unlike a rename, fails where another process was faster, instead of replacing its file.
    fn link(&self) -> Result<()> {
        match std::fs::hard_link(&self.path, &self.target) {
            // Some file systems have no links.
            Err(error) if error.kind() != ErrorKind::AlreadyExists && !self.target.exists() => {
                std::fs::rename(&self.path, &self.target)
            }
            linked => linked,
        }
    }
}

impl Drop for Unfinished {
    fn drop(&mut self) {
        // After a rename there is nothing to remove; what cannot be removed, the next process sweeps.
        for path in companions(&self.path).chain([self.path.clone()]) {
            let _ = std::fs::remove_file(path);
        }
    }
}

/// Removes from `directory` what processes that are gone left unfinished of the targets that `of` chooses by name.
pub fn sweep(directory: &Path, of: impl Fn(&str) -> bool) -> Result<()> {
    for entry in directory.read_dir()? {
        let entry = entry?;
        let name = entry.file_name();
        let left = name.to_str().and_then(|name| {
            let (target, process) = name.rsplit_once(UNFINISHED)?;
            let process = COMPANIONS
                .iter()
                .find_map(|companion| process.strip_suffix(companion))
                .unwrap_or(process);
            Some((target, process.parse::<u32>().ok()?))
        });
        if let Some((target, process)) = left
            && of(target)
            && !is_another(process)
        {
            match std::fs::remove_file(entry.path()) {
                Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
                _ => {}
            }
        }
    }
    Ok(())
}

/// Whether this is a living process other than the present one: what has our own number is of an earlier life.
fn is_another(process: u32) -> bool {
    process != std::process::id() && Path::new(&format!("/proc/{process}")).exists()
}

/// The files that SQLite may have put beside the database at `path`.
pub fn companions(path: &Path) -> impl Iterator<Item = PathBuf> {
    COMPANIONS
        .map(|suffix| with_suffix(path, suffix))
        .into_iter()
}

/// `path` with `suffix` behind its last letter.
pub fn with_suffix(path: &Path, suffix: &str) -> PathBuf {
    let mut path = OsString::from(path);
    path.push(suffix);
    path.into()
}

/// An instant in the name of a file: UTC, so that names sort by time.
pub const STAMP: &str = "%Y%m%dT%H%M%SZ";

/// An instant as it stands in the name of a file.
pub fn stamp(at: Timestamp) -> String {
    at.strftime(STAMP).to_string()
}

/// The directory of a file.
pub fn directory(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    }
}

/// Makes new and removed names in a directory durable.
pub fn sync(directory: &Path) -> Result<()> {
    match File::open(directory)?.sync_all() {
        // Network file systems may have no such thing.
        Err(error) if error.kind() == ErrorKind::InvalidInput => Ok(()),
        synced => synced,
    }
}

/// Gives `file` to whom `model` belongs: who makes it may be another user than the one who serves.
pub fn give_to_owner(file: &Path, model: &Path) -> Result<()> {
    let (owner, present) = (model.metadata()?, file.metadata()?);
    if (owner.uid(), owner.gid()) == (present.uid(), present.gid()) {
        return Ok(());
    }
    std::os::unix::fs::chown(file, Some(owner.uid()), Some(owner.gid()))
}

/// Makes a directory, and those above it that are missing, for its owner alone.
pub fn make_directory(path: &Path) -> Result<()> {
    DirBuilder::new().recursive(true).mode(0o700).create(path)
}

//! Who may have the database: all who open it share a lock on its directory, and who puts another file in its place, or
//! other tables into it, has that lock alone. The system gives it back when a process ends, however it ends.
//!
//! The lock is not on the file itself: closing a second handle on a database drops the locks that SQLite has on it.

use std::fs::{File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use super::{Error, whole};

/// The right to open the database at `path`.
pub fn shared(path: &Path) -> Result<File, Error> {
    take(
        path,
        File::try_lock_shared,
        "it is being restored or migrated; try again when that is done",
    )
}

/// The right to put another file in the place of the database at `path`.
pub fn alone(path: &Path) -> Result<File, Error> {
    take(
        path,
        File::try_lock,
        "a server or a command of Scimlite works on it; stop the server, or let the command end",
    )
}

fn take(
    path: &Path,
    lock: fn(&File) -> Result<(), TryLockError>,
    refusal: &'static str,
) -> Result<File, Error> {
    let named = || path.display().to_string();
    let directory = match File::open(whole::directory(path)) {
        Ok(directory) => directory,
        Err(error) if error.kind() == ErrorKind::NotFound => return Err(Error::Missing(named())),
        Err(error) => return Err(Error::file(path, error)),
    };
    match lock(&directory) {
        Ok(()) => Ok(directory),
        Err(TryLockError::WouldBlock) => Err(Error::InUse {
            path: named(),
            what: refusal,
        }),
        Err(TryLockError::Error(error)) => Err(Error::file(path, error)),
    }
}

//! How much room the disk has.

use std::path::Path;

use super::Error;

/// Free bytes below which the database is not to be brought by a copy, and with which the server is not well: the WAL of a
/// busy hour, with room to delete something.
pub const RESERVE: u64 = 64 * 1024 * 1024;

/// Bytes that are free on the disk of `directory`; none of a file system that tells nothing of its size.
pub fn free(directory: &Path) -> Result<Option<u64>, Error> {
    let disk = rustix::fs::statvfs(directory).map_err(|error| Error::file(directory, error))?;
    let free = disk.f_bavail.saturating_mul(disk.f_frsize);
    Ok((disk.f_blocks > 0).then_some(free))
}

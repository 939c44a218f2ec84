//! The lock by which one process alone serves a data directory, and by which others learn where it listens.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use jiff::Timestamp;

/// The right to serve a data directory, until it is dropped or the process ends.
pub struct Lock {
    file: File,
    path: PathBuf,
}

fn path(data: &Path) -> PathBuf {
    data.join("scimlite.lock")
}

impl Lock {
    /// Makes this process the one that serves `data`.
    pub fn take(data: &Path) -> anyhow::Result<Self> {
        let path = path(data);
        let file = OpenOptions::new()
            .write(true)
            .create(true)
            .truncate(false)
            .mode(0o600)
            .open(&path)
            .with_context(|| format!("cannot open {}", path.display()))?;
        match file.try_lock() {
            Ok(()) => Ok(Self { file, path }),
            Err(TryLockError::WouldBlock) => {
                bail!("another server runs on {}; stop it first", data.display())
            }
            Err(TryLockError::Error(error)) => {
                Err(error).with_context(|| format!("cannot lock {}", path.display()))
            }
        }
    }

    /// Notes where this process listens, for SCIM and for the administrator, for [`held`].
    pub fn note(&self, addresses: [SocketAddr; 2]) -> anyhow::Result<()> {
        let [scim, admin] = addresses;
        let mut file = &self.file;
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{scim} {admin}\n").as_bytes()))
            .with_context(|| format!("cannot write {}", self.path.display()))
    }
}

/// Whether a server has `data`.
pub fn is_held(data: &Path) -> bool {
    // Not made where it is missing: it would belong to whoever asks.
    File::open(path(data))
        .is_ok_and(|file| matches!(file.try_lock_shared(), Err(TryLockError::WouldBlock)))
}

/// Since when the server of `data` listens, or when the last one began to.
pub fn since(data: &Path) -> Option<Timestamp> {
    let noted = std::fs::metadata(path(data)).and_then(|found| found.modified());
    Timestamp::try_from(noted.ok()?).ok()
}

/// Where the server of `data` listens, for SCIM and for the administrator; nowhere if no server runs, or not yet.
pub fn held(data: &Path) -> Vec<SocketAddr> {
    // What a server left behind that was killed is there too: only the lock tells that one runs.
    let noted = match is_held(data) {
        true => std::fs::read_to_string(path(data)).unwrap_or_default(),
        false => String::new(),
    };
    let addresses = noted.split_whitespace();
    addresses
        .filter_map(|address| address.parse().ok())
        .collect()
}

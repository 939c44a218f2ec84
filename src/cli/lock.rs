//! The lock by which one process alone serves a data directory, and by which others learn which ports it holds.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use anyhow::{Context, bail};

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

    /// Notes the ports that this process listens on, for [`held_ports`].
    pub fn note_ports(&self, ports: [u16; 2]) -> anyhow::Result<()> {
        let [scim, admin] = ports;
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

/// The ports that the server of `data` listens on; none if no server runs.
pub fn held_ports(data: &Path) -> Vec<u16> {
    // What a server left behind that was killed is there too: only the lock tells that one runs.
    let noted = match is_held(data) {
        true => std::fs::read_to_string(path(data)).unwrap_or_default(),
        false => String::new(),
    };
    let ports = noted.split_whitespace();
    ports.filter_map(|port| port.parse().ok()).collect()
}

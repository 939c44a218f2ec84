//! The lock by which one process alone serves a data directory, and by which others learn where it listens.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::Write;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::{Context, bail};
use jiff::Timestamp;

use crate::store::whole;

/// How long a command waits for its turn: several times what another takes.
const TURN: Duration = Duration::from_secs(10);
/// How often it looks whether it has come.
const LOOK: Duration = Duration::from_millis(20);

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

    /// The same for a command that makes what is missing in `data`, which waits for another that does so.
    pub fn turn(data: &Path) -> anyhow::Result<Self> {
        let deadline = Instant::now() + TURN;
        loop {
            match Self::take(data) {
                Ok(turn) => {
                    // Who makes it may be another user than the one who serves.
                    whole::give_to_owner(&turn.path, data)
                        .with_context(|| format!("cannot give {} away", turn.path.display()))?;
                    return Ok(turn);
                }
                Err(error) if Instant::now() > deadline => return Err(error),
                Err(_) => std::thread::sleep(LOOK),
            }
        }
    }

    /// Notes where this process listens, for SCIM and for the administrator, for [`held`], and where systemd gave it
    /// credentials, for [`credentials`].
    pub fn note(
        &self,
        addresses: [SocketAddr; 2],
        credentials: Option<&Path>,
    ) -> anyhow::Result<()> {
        let [scim, admin] = addresses;
        let credentials = credentials.map_or(String::new(), |path| path.display().to_string());
        let mut file = &self.file;
        file.set_len(0)
            .and_then(|()| file.write_all(format!("{scim} {admin}\n{credentials}\n").as_bytes()))
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
    let addresses = noted(data, 0);
    let addresses = addresses.split_whitespace();
    addresses
        .filter_map(|address| address.parse().ok())
        .collect()
}

/// Where the server of `data` has its credentials, if it runs and has some: what it reads there, others have to read too.
pub fn credentials(data: &Path) -> Option<PathBuf> {
    Some(noted(data, 1))
        .filter(|path| !path.is_empty())
        .map(PathBuf::from)
}

/// A line of what the server of `data` noted.
fn noted(data: &Path, line: usize) -> String {
    // What a server left behind that was killed is there too: only the lock tells that one runs.
    let noted = match is_held(data) {
        true => std::fs::read_to_string(path(data)).unwrap_or_default(),
        false => String::new(),
    };
    noted.lines().nth(line).unwrap_or_default().to_owned()
}

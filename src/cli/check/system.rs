//! What the machine has to give: permissions of the files, free space, ports.

use std::io::ErrorKind;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;

use super::{Finding, Verdict};
use crate::cli::lock;
use crate::config::{Config, FILE_NAME};
use crate::store::disk::{self, RESERVE};

/// Copies of the database that fit into the free space of a sound machine: a backup, and a restore beside it.
const COPIES: u64 = 2;

/// Who else may do what with the files.
pub fn permissions(config: &Config) -> Vec<Finding> {
    let (data, key) = (&config.data_dir, &config.tls.key);
    [
        // Whoever may write there puts another file in the place of any.
        (data.as_path(), 0o022, "be written"),
        (&data.join(FILE_NAME), 0o022, "be written"),
        // Debian gives keys to a group.
        (key, 0o027, "be read or written"),
        // A local product may read the database by its group.
        (&config.database(), 0o007, "be read or written"),
    ]
    .into_iter()
    .filter_map(|(path, forbidden, what)| permission(path, forbidden, what))
    .collect()
}

/// None of a file that is not there: that is for others to say.
fn permission(path: &Path, forbidden: u32, what: &str) -> Option<Finding> {
    let mode = std::fs::metadata(path).ok()?.permissions().mode() & 0o777;
    let path = path.display();
    let (verdict, text) = match mode & forbidden {
        0 => (Verdict::Ok, format!("{path} has mode {mode:03o}")),
        _ => (
            Verdict::Fail,
            format!(
                "{path} has mode {mode:03o} and may {what} by others; run `chmod {:03o} {path}`",
                mode & !forbidden
            ),
        ),
    };
    Some(Finding::new("permissions", verdict, text))
}

/// Whether the data directory's file system has room for the database to grow and be copied.
pub fn space(config: &Config) -> Finding {
    let database = config.database();
    let size = [database.clone(), database.with_extension("db-wal")]
        .iter()
        .filter_map(|file| Some(file.metadata().ok()?.len()))
        .sum::<u64>();
    let data = config.data_dir.display();
    let free = match disk::free(&config.data_dir) {
        Ok(Some(free)) => free,
        Ok(None) => {
            let text = format!("the file system of {data} does not tell how much is free");
            return Finding::new("space", Verdict::Ok, text);
        }
        Err(error) => {
            let text = format!("cannot tell how much is free in {data}: {error}");
            return Finding::new("space", Verdict::Fail, text);
        }
    };
    let verdict = match free {
        free if free < RESERVE => Verdict::Fail,
        free if free < RESERVE + COPIES.saturating_mul(size) => Verdict::Warn,
        _ => Verdict::Ok,
    };
    let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
    let text = format!(
        "{} MiB are free in {data}; the database has {} MiB",
        mebibytes(free),
        mebibytes(size)
    );
    Finding::new("space", verdict, text)
}

/// Whether the server can listen where it is to.
pub fn ports(config: &Config) -> [Finding; 2] {
    let held = lock::held(&config.data_dir);
    [config.listen.scim, config.listen.admin].map(|address| {
        let (verdict, text) = match TcpListener::bind(address) {
            Ok(_) => (Verdict::Ok, format!("{address} can be listened on")),
            Err(error)
                if error.kind() == ErrorKind::AddrInUse && held.iter().any(|held| held.port() == address.port()) =>
            {
                (Verdict::Ok, format!("{address} is held by the server that runs on this directory"))
            }
            Err(error) => (
                Verdict::Fail,
                format!("cannot listen on {address}: {error}; stop what holds it, or choose another in {FILE_NAME}"),
            ),
        };
        Finding::new("ports", verdict, text)
    })
}

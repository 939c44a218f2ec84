//! Anchors: the head of the audit noted outside the database, in the log and in a file. Whoever cuts or rewrites the
//! audit together with its head is found by them (design §3.12).

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Directory, Refusal};
use crate::store::audit::{Link, chain};
use crate::store::text;

/// Time between two anchors in the log.
const LOGGED: SignedDuration = SignedDuration::from_hours(1);

/// What the configuration says about the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Days after which the server prunes rows; 0 keeps them for ever.
    pub keep_days: u32,
    /// Where the head is noted, beside the log.
    pub anchor_file: Option<PathBuf>,
}

/// What was noted last, and when in the log.
#[derive(Default)]
pub struct Noted(Mutex<(Option<Link>, Option<Timestamp>)>);

impl Noted {
    /// Takes `head` as noted, and tells whether the log is to have it too; none if it was noted before.
    fn log(&self, head: &Link, now: Timestamp, always: bool) -> Option<bool> {
        let mut noted = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let (before, logged) = &mut *noted;
        if before.as_ref() == Some(head) && !always {
            return None;
        }
        *before = Some(head.clone());
        let log = always || logged.is_none_or(|at| now.duration_since(at).abs() >= LOGGED);
        if log {
            *logged = Some(now);
        }
        Some(log)
    }
}

/// The anchors in a file: one JSON object with `seq` and `hash` a line.
pub fn read(path: &Path) -> Result<Vec<Link>, Refusal> {
    let named = path.display();
    let text = std::fs::read_to_string(path).map_err(|error| {
        Refusal::Forbidden(format!("cannot read the anchor in {named}: {error}"))
    })?;
    let lines = text.lines().filter(|line| !line.trim().is_empty());
    let anchors: Vec<_> = lines.map(parse).collect::<Option<_>>().unwrap_or_default();
    match anchors.is_empty() {
        true => Err(Refusal::Forbidden(format!(
            "{named} has no anchor, or something else beside it; a line is like {{\"seq\":7,\"hash\":\"…\"}}"
        ))),
        false => Ok(anchors),
    }
}

fn parse(line: &str) -> Option<Link> {
    let line: Value = serde_json::from_str(line).ok()?;
    Some(Link {
        seq: line.get("seq")?.as_i64()?,
        hash: line.get("hash")?.as_str()?.to_owned(),
    })
}

/// Puts a line in the place of the file, whole or not at all.
fn write(path: &Path, line: &str) -> std::io::Result<()> {
    let mut unfinished = path.as_os_str().to_owned();
    unfinished.push(".new");
    let unfinished = PathBuf::from(unfinished);
    let mut file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(true)
        .mode(0o600)
        .open(&unfinished)?;
    writeln!(file, "{line}")?;
    file.sync_all()?;
    std::fs::rename(&unfinished, path)?;
    match path.parent() {
        Some(directory) => File::open(directory)?.sync_all(),
        None => Ok(()),
    }
}

impl Directory {
    /// Notes the head where it has moved: in the file at once, in the log if `always`, else now and then.
    pub(super) async fn anchor(&self, always: bool) {
        if let Err(error) = self.note_head(always).await {
            tracing::error!(%error, "the head of the audit is not noted; it is tried again when it moves");
        }
    }

    async fn note_head(&self, always: bool) -> Result<(), Refusal> {
        let (head, now) = (self.head()?, self.now());
        let Some(log) = self.noted.log(&head, now, always) else {
            return Ok(());
        };
        if log {
            tracing::info!(seq = head.seq, hash = head.hash, "head of the audit");
        }
        let Some(path) = self.settings.audit.anchor_file.clone() else {
            return Ok(());
        };
        if path.try_exists().unwrap_or(true) {
            self.held(&path)?;
        }
        let line =
            json!({"seq": head.seq, "hash": head.hash, "at": text::instant(now)}).to_string();
        let failed = format!("cannot write the anchor to {}", path.display());
        let written = tokio::task::spawn_blocking(move || write(&path, &line)).await;
        written
            .unwrap_or_else(|_| Err(ErrorKind::Other.into()))
            .map_err(|error| Refusal::Forbidden(format!("{failed}: {error}")))
    }

    /// Refuses to go beyond an anchor that the audit does not hold: it is the proof of what was done to it.
    fn held(&self, path: &Path) -> Result<(), Refusal> {
        // The server would wait for who writes into a pipe.
        if !path.is_file() {
            let named = path.display();
            return Err(Refusal::Forbidden(format!(
                "{named} is no regular file; name another as the anchor"
            )));
        }
        for anchor in read(path)? {
            let has = |connection: &rusqlite::Connection| chain::has(connection, &anchor);
            if !self.store.readers.short(has)? {
                return Err(Refusal::Forbidden(format!(
                    "the audit has no row {} as {} notes it, and the file is left as it is; `scimlite audit verify` tells \
                     more. After a restore, move the file away",
                    anchor.seq,
                    path.display()
                )));
            }
        }
        Ok(())
    }
}

//! Anchors: the head of the audit noted outside the database, in the log and in a file. Whoever cuts or rewrites the
//! audit together with its head is found by them (design §3.12).

use std::fs::{File, OpenOptions};
use std::io::{BufRead, BufReader, ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::sync::{Mutex, MutexGuard, PoisonError};

use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::{Directory, Refusal};
use crate::store::audit::{Link, chain};
use crate::store::text;

/// Time between two anchors in the log.
const LOGGED: SignedDuration = SignedDuration::from_hours(1);

/// What the log calls an anchor.
const HEAD: &str = "head of the audit";

/// What the configuration says about the audit.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Policy {
    /// Days after which the server prunes rows; 0 keeps them for ever.
    pub keep_days: u32,
    /// Where the head is noted, beside the log.
    pub anchor_file: Option<PathBuf>,
}

/// What was noted last.
#[derive(Default)]
pub struct Noted(Mutex<Last>);

#[derive(Default)]
struct Last {
    /// The head that stands in the file and, now and then, in the log.
    head: Option<Link>,
    /// When the log had one.
    logged: Option<Timestamp>,
    /// Why it could not be noted, as the log has it.
    failure: Option<String>,
}

impl Noted {
    fn last(&self) -> MutexGuard<'_, Last> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the log is to have a head now.
    fn log(&self, now: Timestamp, always: bool) -> bool {
        let logged = &mut self.last().logged;
        let log = always || logged.is_none_or(|at| now.duration_since(at).abs() >= LOGGED);
        if log {
            *logged = Some(now);
        }
        log
    }

    /// Keeps why the head could not be noted, and tells whether that is news.
    fn fails(&self, why: Option<String>) -> bool {
        let failure = &mut self.last().failure;
        let news = *failure != why;
        *failure = why;
        news
    }
}

/// The anchors in a file, each on a line of its own: an object with `seq` and `hash`, an audit row among them, or what the
/// server wrote into its log in any of its formats. Other lines tell nothing.
pub fn read(path: &Path) -> Result<Vec<Link>, Refusal> {
    let named = path.display();
    let unreadable =
        |error| Refusal::Forbidden(format!("cannot read the anchor in {named}: {error}"));
    let file = BufReader::new(File::open(path).map_err(unreadable)?);
    let mut anchors = Vec::new();
    for line in file.split(b'\n') {
        let line = line.map_err(unreadable)?;
        anchors.extend(parse(&String::from_utf8_lossy(&line)));
    }
    match anchors.is_empty() {
        true => Err(Refusal::Forbidden(format!(
            "{named} has no anchor; a line with one is like {{\"seq\":7,\"hash\":\"…\"}}, or of the server's log"
        ))),
        false => Ok(anchors),
    }
}

/// The anchor in a line, whatever the journal put in front of it.
fn parse(line: &str) -> Option<Link> {
    let (seq, hash) = match line.split_once('{') {
        Some((_, object)) if object.trim_end().ends_with('}') => {
            let object: Value = serde_json::from_str(&format!("{{{object}")).ok()?;
            if object.get("message").is_some_and(|message| message != HEAD) {
                return None;
            }
            (
                object.get("seq")?.as_i64()?,
                object.get("hash")?.as_str()?.to_owned(),
            )
        }
        _ => {
            // At its end alone: what a client sent stands within a line, never there.
            let (_, told) = line.rsplit_once(HEAD)?;
            let mut fields = told.trim_start_matches('"').split_whitespace();
            let seq = fields.next()?.strip_prefix("seq=")?.parse().ok()?;
            let hash = fields.next()?.strip_prefix("hash=")?.trim_matches('"');
            let hexadecimal = hash.len() == 64 && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
            if !hexadecimal || fields.next().is_some() {
                return None;
            }
            (seq, hash.to_owned())
        }
    };
    Some(Link { seq, hash })
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
        let failed = self.note_head(always).await.err();
        let failure = failed.map(|error| error.to_string());
        let news = self.noted.fails(failure.clone());
        match failure {
            Some(error) if news => {
                tracing::error!(
                    error,
                    "the head of the audit is not noted; it is tried again"
                );
            }
            None if news => tracing::info!("the head of the audit is noted again"),
            _ => {}
        }
    }

    async fn note_head(&self, always: bool) -> Result<(), Refusal> {
        let (head, now) = (self.head()?, self.now());
        if !always && self.noted.last().head.as_ref() == Some(&head) {
            return Ok(());
        }
        if self.noted.log(now, always) {
            tracing::info!(seq = head.seq, hash = head.hash, "{HEAD}");
        }
        if let Some(path) = &self.settings.audit.anchor_file {
            self.replace(path, &head, now).await?;
        }
        self.noted.last().head = Some(head);
        Ok(())
    }

    /// Puts the head in the place of the anchor in a file, unless that is one that the audit does not hold.
    async fn replace(&self, path: &Path, head: &Link, now: Timestamp) -> Result<(), Refusal> {
        if path.try_exists().unwrap_or(true) {
            self.held(path)?;
        }
        let line =
            json!({"seq": head.seq, "hash": head.hash, "at": text::instant(now)}).to_string();
        let failed = format!("cannot write the anchor to {}", path.display());
        let path = path.to_owned();
        let written = tokio::task::spawn_blocking(move || write(&path, &line)).await;
        written
            .unwrap_or_else(|_| Err(ErrorKind::Other.into()))
            .map_err(|error| Refusal::Forbidden(format!("{failed}: {error}")))
    }

    /// Refuses to go beyond an anchor that the audit does not hold: it is the proof of what was done to it.
    fn held(&self, path: &Path) -> Result<(), Refusal> {
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::Settings;
    use crate::directory::world::World;

    fn hash() -> String {
        "0a".repeat(32)
    }

    #[test]
    fn a_line_has_an_anchor_or_tells_nothing() {
        let hash = hash();
        for line in [
            format!("{{\"seq\":7,\"hash\":\"{hash}\",\"at\":\"2026-01-31T09:30:00.000Z\"}}"),
            format!("2026-01-31T09:30:00.000000Z  INFO head of the audit seq=7 hash=\"{hash}\""),
            format!(
                "Jan 31 09:30:00 h scimlite[7]: <6>2026-01-31T09:30:00Z  INFO head of the audit seq=7 hash=\"{hash}\""
            ),
            format!(
                "ts=2026-01-31T09:30:00Z level=info msg=\"head of the audit\" seq=7 hash={hash}"
            ),
            format!(
                "h scimlite[7]: {{\"level\":\"INFO\",\"message\":\"head of the audit\",\"seq\":7,\"hash\":\"{hash}\"}}"
            ),
        ] {
            let found = parse(&line).expect(&line);
            assert_eq!((found.seq, &found.hash), (7, &hash), "{line}");
        }
        for line in [
            String::new(),
            "{\"seq\":0}".to_owned(),
            "{".to_owned(),
            format!("{{\"message\":\"request\",\"seq\":7,\"hash\":\"{hash}\"}}"),
            format!(
                "INFO request reason=\"head of the audit seq=7 hash={hash} \" source=192.0.2.1"
            ),
            "INFO head of the audit seq=7 hash=\"x\"".to_owned(),
            format!("INFO head of the audit hash=\"{hash}\""),
        ] {
            assert_eq!(parse(&line), None, "{line}");
        }
    }

    #[tokio::test]
    async fn what_could_not_be_noted_is_noted_later_though_nothing_changes() {
        let world = World::new();
        let place = world.path().with_extension("noted");
        let file = place.join("anchor.json");
        let directory = world.configured(Settings {
            audit: Policy {
                anchor_file: Some(file.clone()),
                ..Policy::default()
            },
            ..Settings::default()
        });
        directory.anchor(false).await;
        directory.anchor(false).await;
        std::fs::create_dir(place).unwrap();
        directory.anchor(false).await;
        assert_eq!(read(&file).unwrap(), [directory.head().unwrap()]);
    }

    #[test]
    fn a_failure_is_news_when_it_comes_changes_and_goes() {
        let noted = Noted::default();
        let why = |text: &str| Some(text.to_owned());
        for (failure, news) in [
            (None, false),
            (why("full"), true),
            (why("full"), false),
            (why("gone"), true),
            (None, true),
            (None, false),
        ] {
            assert_eq!(noted.fails(failure.clone()), news, "{failure:?}");
        }
    }
}

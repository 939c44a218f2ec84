//! `scimlite audit`: what was done, by whom and why; the proof that nobody changed it; and how long it is kept.

use std::fs::OpenOptions;
use std::io::{BufWriter, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use anyhow::{Context, bail};
use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use serde_json::json;
use tokio::time::Instant;

use super::rows::{self, Column, Rows};
use super::{Common, configuration, print, times, with_directory};
use crate::directory::Directory;
use crate::directory::anchor;
use crate::directory::history::{Recorded, Selection, Verdict};
use crate::server::cef;

/// Arguments of `audit`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// List the rows, the oldest first
    List {
        #[command(flatten)]
        filters: Filters,
        /// Go on with what comes from now on, until interrupted; with --json an object a line
        #[arg(long)]
        follow: bool,
    },
    /// Write the rows with all their fields
    Export {
        /// How to write them
        #[arg(long, value_name = "FORMAT", default_value = "json")]
        format: Format,
        #[command(flatten)]
        filters: Filters,
        /// Where to [default: standard output]
        #[arg(value_name = "FILE")]
        file: Option<PathBuf>,
    },
    /// Prove that no row was altered, added or removed
    Verify {
        /// File with places of the chain that were noted outside the database [default: the configured one]
        #[arg(long, value_name = "FILE")]
        anchor: Option<PathBuf>,
    },
    /// Remove old rows for good; the rest stays provable
    Prune {
        /// Days that a row has to be old
        #[arg(long, value_name = "DAYS", value_parser = clap::value_parser!(u32).range(1..=36_500))]
        older_than: u32,
    },
}

/// Which rows.
#[derive(Args)]
struct Filters {
    /// Only by this actor, as the list names it
    #[arg(long, value_name = "ACTOR")]
    who: Option<String>,
    /// Only on what has or had this id or name, under each of its names, with the groups that it entered or left
    #[arg(long, value_name = "ID|NAME")]
    whom: Option<String>,
    /// Only with this verdict: applied, unchanged, refused or failed
    #[arg(long, value_name = "V")]
    verdict: Option<Verdict>,
    /// Only this action, like user.create
    #[arg(long, value_name = "A")]
    action: Option<String>,
    /// Only from then on: RFC 3339, a date for its beginning in UTC, or how long ago, like 24h or 7d
    #[arg(long, value_name = "T", value_parser = times::instant)]
    since: Option<Timestamp>,
    /// Only before then, written likewise
    #[arg(long, value_name = "T", value_parser = times::instant)]
    until: Option<Timestamp>,
    /// Only of the request with this X-Request-Id
    #[arg(long, value_name = "R")]
    request_id: Option<String>,
    /// Only rows behind this number
    #[arg(long, value_name = "SEQ", allow_negative_numbers = true)]
    after: Option<i64>,
    /// So many at the most: with --after the first, else the last
    #[arg(long, value_name = "N")]
    limit: Option<u32>,
}

impl Filters {
    fn selection(self, directory: &Directory) -> anyhow::Result<Selection> {
        let whom = self.whom.map(|whom| directory.whom(&whom)).transpose()?;
        Ok(Selection {
            who: self.who,
            whom,
            verdict: self.verdict,
            action: self.action,
            since: self.since,
            until: self.until,
            request_id: self.request_id,
            after: self.after,
            up_to: None,
            limit: self.limit,
        })
    }
}

/// How an export is written.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    /// One array
    Json,
    /// An object a line
    Jsonl,
    /// A line of keys, then one of values for each row
    Csv,
    /// Common Event Format, for log collectors
    Cef,
}

/// Columns of the table.
const LIST: &[Column] = &[
    ("seq", 8),
    ("at", 24),
    ("actor", 28),
    ("action", 16),
    ("target_name", 28),
    ("verdict", 9),
    ("status", 6),
    ("reason", 0),
];
/// Columns of the export: all fields of a row (design §5).
const EXPORT: &[Column] = &[
    ("seq", 0),
    ("at", 0),
    ("request_id", 0),
    ("actor", 0),
    ("source", 0),
    ("action", 0),
    ("target_type", 0),
    ("target_id", 0),
    ("target_name", 0),
    ("verdict", 0),
    ("status", 0),
    ("scim_type", 0),
    ("reason", 0),
    ("changes", 0),
    ("mapping", 0),
    ("prev_hash", 0),
    ("hash", 0),
];
/// How long one wait for new rows lasts before it is asked for again.
const WAIT: Duration = Duration::from_secs(60);

/// Runs the command.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, common } = arguments;
    let json = common.json;
    with_directory(&common, async |directory, origin| match command {
        Command::List {
            filters,
            follow: false,
        } => {
            let format = rows::Format::of(json);
            let mut rows = Rows::start(format, LIST)?;
            directory.each_row(&filters.selection(directory)?, |row| rows.row(&row))?;
            rows.finish()
        }
        Command::List { filters, .. } => {
            let selection = filters.selection(directory)?;
            tokio::select! {
                followed = follow(directory, selection, json) => followed,
                _ = tokio::signal::ctrl_c() => Ok(()),
            }
        }
        Command::Export {
            format,
            filters,
            file,
        } => {
            let selection = filters.selection(directory)?;
            match file {
                None => export(
                    directory,
                    &selection,
                    format,
                    Box::new(std::io::stdout().lock()),
                ),
                Some(file) => export_to(directory, &selection, format, &file),
            }
        }
        Command::Verify { anchor } => {
            let configured = configuration(&common)?.directory.audit.anchor_file;
            verify(directory, anchor.or(configured), json).await
        }
        Command::Prune { older_than } => {
            let removed = directory.prune_audit(origin, older_than).await?;
            match json {
                true => print(json!({"removed": removed})),
                false => print(format!("{removed} rows are gone.")),
            }
        }
    })
}

/// Prints what is selected, then what comes. It begins behind `after`, at `since`, with the last `limit` rows, or now.
async fn follow(directory: &Directory, mut selection: Selection, json: bool) -> anyhow::Result<()> {
    let format = if json {
        rows::Format::Jsonl
    } else {
        rows::Format::Table
    };
    let mut rows = Rows::start(format, LIST)?;
    let mut head = directory.head()?.seq;
    if selection.after.is_none() && selection.since.is_none() && selection.limit.is_none() {
        selection.after = Some(head);
    }
    if selection.after.is_some() {
        selection.limit = None;
    }
    loop {
        selection.up_to = Some(head);
        directory.each_row(&selection, |row| rows.row(&row))?;
        rows.flush()?;
        (selection.after, selection.limit) = (Some(head), None);
        while !directory.newer(head, Instant::now() + WAIT).await? {}
        head = directory.head()?.seq;
    }
}

fn export(
    directory: &Directory,
    selection: &Selection,
    format: Format,
    output: Box<dyn Write>,
) -> anyhow::Result<()> {
    let format = match format {
        Format::Json => rows::Format::Json,
        Format::Jsonl => rows::Format::Jsonl,
        Format::Csv => rows::Format::Sheet,
        Format::Cef => {
            let mut output = BufWriter::new(output);
            let mut write =
                |row: Recorded| writeln!(output, "{}", cef::line(&row)).context("cannot write");
            directory.each_row(selection, &mut write)?;
            return output.flush().context("cannot write");
        }
    };
    let mut rows = Rows::onto(output, format, EXPORT)?;
    directory.each_row(selection, |row| rows.row(&row))?;
    rows.finish()
}

/// Writes an export into a new file, which is gone again if that fails.
fn export_to(
    directory: &Directory,
    selection: &Selection,
    format: Format,
    path: &Path,
) -> anyhow::Result<()> {
    let named = path.display();
    let file = OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .with_context(|| {
            format!("cannot make {named}; choose another name or remove what is there")
        })?;
    let written = file
        .try_clone()
        .map_err(anyhow::Error::from)
        .and_then(|output| export(directory, selection, format, Box::new(output)))
        .and_then(|()| Ok(file.sync_all()?));
    if written.is_err() {
        // What is there of it is no export; the error says that it failed.
        let _ = std::fs::remove_file(path);
    }
    written.with_context(|| format!("cannot export to {named}"))
}

async fn verify(directory: &Directory, anchor: Option<PathBuf>, json: bool) -> anyhow::Result<()> {
    let anchors = match &anchor {
        None => Vec::new(),
        Some(path) => anchor::read(path)?,
    };
    let noted = anchors.len();
    match directory.verify_audit(anchors).await? {
        Ok(proof) if json => print(json!({
            "ok": true, "rows": proof.rows, "seq": proof.head.seq, "hash": proof.head.hash,
            "pruned_seq": proof.pruned.seq, "anchors": noted,
        })),
        Ok(proof) => {
            let pruned = match proof.pruned.seq {
                0 => String::new(),
                seq => format!("; those up to {seq} were pruned"),
            };
            let anchored = match &anchor {
                None => "; no anchor file is configured".to_owned(),
                Some(path) => format!("; {} agrees", path.display()),
            };
            print(format!(
                "{} rows are whole, up to row {} with hash {}{pruned}{anchored}.",
                proof.rows, proof.head.seq, proof.head.hash
            ))
        }
        Err(fault) => {
            if json {
                print(json!({"ok": false, "bad_seq": fault.seq, "why": fault.what}))?;
            }
            bail!(
                "row {} of the audit is not as it was written: {}; keep a copy of the file and compare it with a backup",
                fault.seq,
                fault.what
            )
        }
    }
}

//! `scimlite user import`: accounts from a list. It shows what would come of it and asks, unless it is told not to; then
//! it makes those that can be made, and reports the lines that were refused.

mod list;

use std::fs::File;
use std::io::{IsTerminal, Write};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use anyhow::{Context, bail};
use clap::Args;
use indicatif::ProgressBar;
use serde_json::{Value, json};
use tokio::signal::unix::{SignalKind, signal};

use super::rows::{Column, Format, Rows};
use super::{files, print};
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::import::{Line, Refused};

/// Lines from which on it takes long enough to show how far it is.
const LONG: usize = 1000;

/// Arguments of `user import`.
#[derive(Args)]
pub struct Arguments {
    /// The list, with the columns of the export; `-` is the standard input
    #[arg(value_name = "FILE|-")]
    file: PathBuf,
    /// What it is [default: as its beginning tells]
    #[arg(long)]
    format: Option<Format>,
    /// Show what would come of it, and change nothing
    #[arg(long)]
    dry_run: bool,
    /// Do not ask
    #[arg(long, conflicts_with = "dry_run")]
    yes: bool,
    /// Write the refused lines to this new file, as CSV
    #[arg(long, value_name = "CSV-FILE")]
    report: Option<PathBuf>,
}

/// Columns of the refused lines.
const REFUSED: &[Column] = &[("line", 7), ("email", 32), ("reason", 0)];

/// What came, or would come, of a list.
struct Outcome {
    dry_run: bool,
    made: usize,
    refused: Vec<Refused>,
    /// Lines that were left when the import was stopped.
    left: usize,
}

/// Runs the command.
pub async fn run(
    directory: &Directory,
    origin: &Origin,
    arguments: Arguments,
    json: bool,
) -> anyhow::Result<()> {
    let Arguments { dry_run, yes, .. } = arguments;
    let from_stdin = arguments.file == Path::new("-");
    let answers = !from_stdin && std::io::stdin().is_terminal() && std::io::stderr().is_terminal();
    if !(dry_run || yes || answers) {
        bail!(
            "nobody can be asked here; add --yes to import, or --dry-run to see what would come of it"
        );
    }
    let lines = match from_stdin {
        true => list::read(std::io::stdin().lock(), arguments.format)?,
        false => {
            let name = arguments.file.display();
            let file =
                File::open(&arguments.file).with_context(|| format!("cannot open {name}"))?;
            list::read(file, arguments.format).with_context(|| name.to_string())?
        }
    };
    let lines = Arc::new(lines);
    // Before anything is done: an import whose report is lost cannot be told from one that went well.
    let report = arguments.report.as_deref().map(create).transpose()?;
    if !yes {
        let refused = directory.foresee_import(&lines).await?;
        let made = lines.len() - refused.len();
        let foreseen = Outcome {
            dry_run: true,
            made,
            refused,
            left: 0,
        };
        if dry_run || made == 0 {
            return foreseen.tell(json, report);
        }
        foreseen.show(false, Box::new(std::io::stderr().lock()))?;
        if !confirmed(made)? {
            if let Some(path) = &arguments.report {
                // It says nothing of an import that there was not.
                std::fs::remove_file(path)?;
            }
            return match json {
                true => print(foreseen.to_json()),
                false => print("Nothing was changed."),
            };
        }
    }
    let lines = Arc::unwrap_or_clone(lines);
    import(directory, origin, lines).await?.tell(json, report)
}

/// Makes the accounts. At the first interrupt it finishes what is on its way and leaves the rest.
async fn import(
    directory: &Directory,
    origin: &Origin,
    lines: Vec<Line>,
) -> anyhow::Result<Outcome> {
    let all = lines.len();
    let progress = match all {
        LONG.. => ProgressBar::new(all as u64),
        _ => ProgressBar::hidden(),
    };
    let stopped = Arc::new(AtomicBool::new(false));
    let stop = Arc::clone(&stopped);
    // From here on, before the first account is made. Where it cannot be listened for, an interrupt ends the process
    // between two transactions.
    if let Ok(mut interrupts) = signal(SignalKind::interrupt()) {
        tokio::spawn(async move {
            interrupts.recv().await;
            stop.store(true, Ordering::Relaxed);
        });
    }
    let lines = lines
        .into_iter()
        .take_while(|_| !stopped.load(Ordering::Relaxed));
    let (mut made, mut refused) = (0, Vec::new());
    let ended = directory
        .import(origin, lines, |outcome| {
            progress.inc(1);
            match outcome {
                None => made += 1,
                Some(line) => refused.push(line),
            }
        })
        .await;
    progress.finish_and_clear();
    ended.with_context(|| {
        format!("at least {made} accounts were made, then the import failed; run it again for the others")
    })?;
    let left = all - made - refused.len();
    Ok(Outcome {
        dry_run: false,
        made,
        refused,
        left,
    })
}

impl Outcome {
    /// Prints it and writes the report; an error where not all lines went well.
    fn tell(self, json: bool, report: Option<csv::Writer<File>>) -> anyhow::Result<()> {
        match json {
            true => print(self.to_json())?,
            false => self.show(report.is_some(), Box::new(std::io::stdout().lock()))?,
        }
        if let Some(mut report) = report {
            for line in &self.refused {
                report.serialize(line)?;
            }
            report.flush().context("cannot write the report")?;
        }
        let Self { refused, left, .. } = self;
        match (refused.len(), left) {
            (0, 0) => Ok(()),
            (0, left) => bail!("stopped; {left} lines are left, import the list again for them"),
            (refused, 0) => bail!("{refused} lines are refused; mend them and import them again"),
            (refused, left) => bail!("stopped; {left} lines are left, and {refused} are refused"),
        }
    }

    fn to_json(&self) -> Value {
        json!({
            "dry_run": self.dry_run,
            "made": self.made,
            "refused": self.refused.len(),
            "left": self.left,
            "refusals": self.refused,
        })
    }

    /// Writes it for people; the refused lines unless they are `reported` elsewhere.
    fn show(&self, reported: bool, mut output: Box<dyn Write>) -> anyhow::Result<()> {
        let (made, refused) = (self.made, self.refused.len());
        let said = match self.dry_run {
            true => {
                format!(
                    "Accounts that would be made: {made}; lines that would be refused: {refused}."
                )
            }
            false => format!("Accounts made: {made}; lines refused: {refused}."),
        };
        writeln!(output, "{said}").context("cannot write")?;
        if reported || self.refused.is_empty() {
            return Ok(());
        }
        let mut rows = Rows::onto(output, Format::Table, REFUSED)?;
        for line in &self.refused {
            rows.row(line)?;
        }
        rows.finish()
    }
}

fn create(path: &Path) -> anyhow::Result<csv::Writer<File>> {
    let cannot = || format!("cannot write {}", path.display());
    let mut report = csv::WriterBuilder::new()
        .has_headers(false)
        .from_writer(files::create_new(path)?);
    let keys = REFUSED.iter().map(|(key, _)| key);
    report.write_record(keys).with_context(cannot)?;
    Ok(report)
}

/// Asks on the terminal.
fn confirmed(made: usize) -> anyhow::Result<bool> {
    let mut stderr = std::io::stderr();
    write!(stderr, "Make {made} accounts? [y/N] ").and_then(|()| stderr.flush())?;
    let mut answer = String::new();
    std::io::stdin().read_line(&mut answer)?;
    Ok(["y", "yes"].contains(&answer.trim().to_lowercase().as_str()))
}

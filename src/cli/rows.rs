//! Many rows on stdout, written as they come: a table for people, CSV for spreadsheets, JSON for scripts.

use std::io::{BufWriter, StdoutLock, Write};

use anyhow::Context;
use clap::ValueEnum;
use serde::Serialize;
use serde_json::Value;

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum Format {
    /// Columns for people.
    #[value(skip)]
    Table,
    /// A line of keys, then one of values for each row
    Csv,
    /// One array
    Json,
}

impl Format {
    /// JSON where it is asked for, else a table.
    pub fn of(json: bool) -> Self {
        match json {
            true => Self::Json,
            false => Self::Table,
        }
    }
}

/// A column: the key of a row's field, and how wide it is in a table.
pub type Column = (&'static str, usize);

/// Rows on their way to stdout.
pub struct Rows {
    columns: &'static [Column],
    sink: Sink,
}

enum Sink {
    Table(Output),
    Csv(Box<csv::Writer<StdoutLock<'static>>>),
    Json { output: Output, first: bool },
}

type Output = BufWriter<StdoutLock<'static>>;

const STDOUT: &str = "cannot write to stdout";

impl Rows {
    /// Starts with what stands before the first row. JSON shows all fields of a row, whatever the columns; only a
    /// table has widths.
    pub fn start(format: Format, columns: &'static [Column]) -> anyhow::Result<Self> {
        let stdout = std::io::stdout().lock();
        let sink = match format {
            Format::Table => {
                let mut output = BufWriter::new(stdout);
                let titles = columns
                    .iter()
                    .map(|(key, _)| key.to_uppercase().replace('_', " "));
                writeln!(output, "{}", line(columns, titles)).context(STDOUT)?;
                Sink::Table(output)
            }
            Format::Csv => {
                let mut output = csv::Writer::from_writer(stdout);
                let keys = columns.iter().map(|(key, _)| key);
                output.write_record(keys).context(STDOUT)?;
                Sink::Csv(Box::new(output))
            }
            Format::Json => {
                let mut output = BufWriter::new(stdout);
                write!(output, "[").context(STDOUT)?;
                let first = true;
                Sink::Json { output, first }
            }
        };
        Ok(Self { columns, sink })
    }

    /// Writes one row.
    pub fn row(&mut self, row: &impl Serialize) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Table(output) => {
                let cells = cells(self.columns, row)?;
                let cells = cells.into_iter().map(|cell| match cell.as_str() {
                    "" => "-".to_owned(),
                    // What a client sent must not steer the terminal.
                    cell => cell.replace(char::is_control, "\u{fffd}"),
                });
                writeln!(output, "{}", line(self.columns, cells)).context(STDOUT)
            }
            Sink::Csv(output) => {
                let cells = cells(self.columns, row)?;
                output.write_record(cells).context(STDOUT)
            }
            Sink::Json { output, first } => {
                let separator = if std::mem::take(first) { "" } else { "," };
                let row = serde_json::to_string(row)?;
                write!(output, "{separator}{row}").context(STDOUT)
            }
        }
    }

    /// Writes what stands behind the last row.
    pub fn finish(self) -> anyhow::Result<()> {
        match self.sink {
            Sink::Table(mut output) => output.flush(),
            Sink::Csv(mut output) => output.flush(),
            Sink::Json { mut output, .. } => writeln!(output, "]").and_then(|()| output.flush()),
        }
        .context(STDOUT)
    }
}

/// The fields of a row under `columns`, as text; empty where there is no value.
fn cells(columns: &[Column], row: &impl Serialize) -> anyhow::Result<Vec<String>> {
    let row = serde_json::to_value(row)?;
    let cell = |(key, _): &Column| match row.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    };
    Ok(columns.iter().map(cell).collect())
}

/// Cells in their columns.
fn line(columns: &[Column], cells: impl Iterator<Item = String>) -> String {
    let padded = columns
        .iter()
        .zip(cells)
        .map(|((_, width), cell)| format!("{cell:width$}"));
    let line = padded.collect::<Vec<_>>().join("  ");
    line.trim_end().to_owned()
}

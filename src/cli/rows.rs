//! Many rows on stdout, written as they come: a table for people, or JSON for scripts.

use std::io::{BufWriter, StdoutLock, Write};

use anyhow::Context;
use serde::Serialize;
use serde_json::{Map, Value};

/// How rows are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Format {
    /// Columns for people.
    Table,
    /// One array.
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
    Json { output: Output, first: bool },
}

type Output = BufWriter<StdoutLock<'static>>;

const STDOUT: &str = "cannot write to stdout";

impl Rows {
    /// Starts with what stands before the first row. JSON shows all fields of a row, whatever the columns.
    pub fn start(format: Format, columns: &'static [Column]) -> anyhow::Result<Self> {
        let mut output = BufWriter::new(std::io::stdout().lock());
        let sink = match format {
            Format::Table => {
                let titles = columns
                    .iter()
                    .map(|(key, _)| key.to_uppercase().replace('_', " "));
                writeln!(output, "{}", line(columns, titles)).context(STDOUT)?;
                Sink::Table(output)
            }
            Format::Json => {
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
                let Value::Object(row) = serde_json::to_value(row)? else {
                    return Ok(());
                };
                let cells = self.columns.iter().map(|(key, _)| match cell(&row, key) {
                    text if text.is_empty() => "-".to_owned(),
                    // What a client sent must not steer the terminal.
                    text => text.replace(char::is_control, "\u{fffd}"),
                });
                writeln!(output, "{}", line(self.columns, cells)).context(STDOUT)
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
            Sink::Json { mut output, .. } => writeln!(output, "]").and_then(|()| output.flush()),
        }
        .context(STDOUT)
    }
}

/// A field as text; empty where it has no value.
fn cell(row: &Map<String, Value>, key: &str) -> String {
    match row.get(key) {
        None | Some(Value::Null) => String::new(),
        Some(Value::String(text)) => text.clone(),
        Some(value) => value.to_string(),
    }
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

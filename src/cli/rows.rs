//! Many rows on stdout or in a file, written as they come: a table for people, CSV for spreadsheets, JSON for scripts.

use std::io::{BufWriter, Write};

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
    /// An object a line
    Jsonl,
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

/// Rows on their way out.
pub struct Rows {
    columns: &'static [Column],
    sink: Sink,
}

enum Sink {
    Table(Output),
    Csv(Box<csv::Writer<Output>>),
    Json { output: Output, first: bool },
    Jsonl(Output),
}

type Output = BufWriter<Box<dyn Write>>;

const FAILED: &str = "cannot write";

impl Rows {
    /// Starts with what stands before the first row. JSON shows all fields of a row, whatever the columns; only a
    /// table has widths.
    pub fn start(format: Format, columns: &'static [Column]) -> anyhow::Result<Self> {
        Self::onto(Box::new(std::io::stdout().lock()), format, columns)
    }

    /// The same onto something else.
    pub fn onto(
        output: Box<dyn Write>,
        format: Format,
        columns: &'static [Column],
    ) -> anyhow::Result<Self> {
        let mut output = BufWriter::new(output);
        let sink = match format {
            Format::Table => {
                let titles = columns
                    .iter()
                    .map(|(key, _)| key.to_uppercase().replace('_', " "));
                writeln!(output, "{}", line(columns, titles)).context(FAILED)?;
                Sink::Table(output)
            }
            Format::Csv => {
                let mut output = csv::Writer::from_writer(output);
                let keys = columns.iter().map(|(key, _)| key);
                output.write_record(keys).context(FAILED)?;
                Sink::Csv(Box::new(output))
            }
            Format::Json => {
                write!(output, "[").context(FAILED)?;
                let first = true;
                Sink::Json { output, first }
            }
            Format::Jsonl => Sink::Jsonl(output),
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
                writeln!(output, "{}", line(self.columns, cells)).context(FAILED)
            }
            Sink::Csv(output) => {
                let cells = cells(self.columns, row)?;
                output.write_record(cells).context(FAILED)
            }
            Sink::Json { output, first } => {
                let separator = if std::mem::take(first) { "" } else { "," };
                let row = serde_json::to_string(row)?;
                write!(output, "{separator}{row}").context(FAILED)
            }
            Sink::Jsonl(output) => {
                let row = serde_json::to_string(row)?;
                writeln!(output, "{row}").context(FAILED)
            }
        }
    }

    /// Writes what stands behind the last row.
    pub fn finish(mut self) -> anyhow::Result<()> {
        if let Sink::Json { output, .. } = &mut self.sink {
            writeln!(output, "]").context(FAILED)?;
        }
        self.flush()
    }

    /// Has everything that was written so far arrive.
    pub fn flush(&mut self) -> anyhow::Result<()> {
        match &mut self.sink {
            Sink::Csv(output) => output.flush(),
            Sink::Table(output) | Sink::Json { output, .. } | Sink::Jsonl(output) => output.flush(),
        }
        .context(FAILED)
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

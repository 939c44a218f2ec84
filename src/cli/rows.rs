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
    /// CSV for spreadsheets alone: none of its cells is taken for a formula.
    #[value(skip)]
    Sheet,
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
    Csv {
        output: Box<csv::Writer<Output>>,
        guarded: bool,
    },
    Json {
        output: Output,
        first: bool,
    },
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
            Format::Csv | Format::Sheet => {
                let mut output = csv::Writer::from_writer(output);
                let keys = columns.iter().map(|(key, _)| key);
                output.write_record(keys).context(FAILED)?;
                Sink::Csv {
                    output: Box::new(output),
                    guarded: format == Format::Sheet,
                }
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
                    cell => cell.replace(steers, "\u{fffd}"),
                });
                writeln!(output, "{}", line(self.columns, cells)).context(FAILED)
            }
            Sink::Csv { output, guarded } => {
                let mut cells = cells(self.columns, row)?;
                if *guarded {
                    cells.iter_mut().for_each(guard);
                }
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
            Sink::Csv { output, .. } => output.flush(),
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

/// Whether a letter is not shown but does something: a control character, or one that turns the direction of the text
/// around it, joins or hides (Unicode's Cf, as far as it means no letter of a script).
fn steers(letter: char) -> bool {
    letter.is_control()
        || matches!(
            letter,
            '\u{ad}'
                | '\u{61c}'
                | '\u{180e}'
                | '\u{200b}'
                | '\u{200e}'..='\u{200f}'
                | '\u{2028}'..='\u{202e}'
                | '\u{2060}'..='\u{206f}'
                | '\u{feff}'
                | '\u{fff9}'..='\u{fffb}'
                | '\u{e0000}'..='\u{e007f}'
        )
}

/// Puts an apostrophe before what a spreadsheet would take for a formula.
fn guard(cell: &mut String) {
    if cell.starts_with(['=', '+', '-', '@', '\t', '\r']) {
        cell.insert(0, '\'');
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_a_spreadsheet_would_compute_is_text() {
        for (cell, guarded) in [
            ("=1+1", "'=1+1"),
            ("+1", "'+1"),
            ("-1", "'-1"),
            ("@x", "'@x"),
            ("\t=1", "'\t=1"),
            ("anna@x.test", "anna@x.test"),
            ("'=1", "'=1"),
            ("", ""),
        ] {
            let mut found = cell.to_owned();
            guard(&mut found);
            assert_eq!(found, guarded);
        }
    }

    #[test]
    fn what_turns_or_hides_text_is_no_letter() {
        let text = "a\u{202e}b\u{2066}c\u{200b}d\u{feff}e\u{1b}f\u{e0041}";
        assert_eq!(text.replace(steers, ""), "abcdef");
        for text in ["ÄNNA müller", "日本語", "עברית", "👩"] {
            assert_eq!(text.replace(steers, ""), text);
        }
    }
}

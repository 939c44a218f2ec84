//! Reading a list of accounts: CSV with a header, a JSON array, or one JSON object after the other. A line that cannot be
//! read is refused alone; what makes the whole list doubtful, such as an unknown column or broken JSON, spoils the list.

use std::fmt;
use std::io::{BufReader, Cursor, Read};

use anyhow::{Context, bail};
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use serde_json::Value;

use crate::cli::rows::Format;
use crate::directory::import::Line;
use crate::directory::import::columns::{Values, column};

/// Lines of a list at the most: it is kept in memory until it is imported.
const LINES: usize = 1_000_000;
/// Bytes in which the kind of the list shows.
const HEAD: u64 = 256;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NOT_JSON: &str = "the list is not JSON";

/// Reads a list to its end. Without a format, its beginning tells.
pub fn read(mut input: impl Read, format: Option<Format>) -> anyhow::Result<Vec<Line>> {
    let mut head = Vec::new();
    input.by_ref().take(HEAD).read_to_end(&mut head)?;
    if head.starts_with(BYTE_ORDER_MARK) {
        head.drain(..BYTE_ORDER_MARK.len());
    }
    let first = head
        .iter()
        .find(|byte| !byte.is_ascii_whitespace())
        .copied();
    let is_json = match format {
        Some(format) => format == Format::Json,
        None => matches!(first, Some(b'[' | b'{')),
    };
    let input = Cursor::new(head).chain(input);
    match (is_json, first) {
        (false, _) => csv(input),
        (true, Some(b'[')) => array(input),
        (true, _) => objects(input),
    }
}

/// CSV: the header says which column is which.
fn csv(input: impl Read) -> anyhow::Result<Vec<Line>> {
    // With an end to its last line too, each record ends where the next line begins.
    let mut reader = csv::ReaderBuilder::new()
        .flexible(true)
        .from_reader(WithoutReturns(input.chain(&b"\n"[..])));
    let header = reader.headers().context("the header cannot be read")?;
    let columns = header.iter().map(|name| column(name.trim()));
    let columns: Vec<_> = columns
        .collect::<Result<_, _>>()
        .map_err(anyhow::Error::msg)?;
    for (place, column) in columns.iter().enumerate() {
        if column.is_some() && columns.iter().take(place).any(|other| other == column) {
            bail!("the header names {} twice", column.unwrap_or_default());
        }
    }
    if !columns.contains(&Some("email")) {
        bail!("the list has no column email; its first line has to name the columns");
    }
    let (mut lines, mut record) = (Vec::new(), csv::ByteRecord::new());
    while reader.read_byte_record(&mut record)? {
        let within = record
            .as_slice()
            .iter()
            .filter(|byte| **byte == b'\n')
            .count();
        let number = reader.position().line() - 1 - within as u64;
        push(&mut lines, line(number, &columns, &record))?;
    }
    Ok(lines)
}

/// One record under the columns of its list.
fn line(number: u64, columns: &[Option<&'static str>], record: &csv::ByteRecord) -> Line {
    let mut values = Values::new();
    let mut wrong = (record.len() != columns.len()).then(|| {
        let (has, wanted) = (record.len(), columns.len());
        format!("it has {has} values, and the header {wanted}")
    });
    for (column, value) in columns.iter().zip(record) {
        match (column, std::str::from_utf8(value).map(str::trim)) {
            (_, Err(_)) => wrong = Some("it is not UTF-8".to_owned()),
            (Some(column), Ok(value)) if !value.is_empty() => {
                values.insert(column, value.to_owned());
            }
            _ => {}
        }
    }
    let line = Line::new(number, &values);
    match wrong {
        None => line,
        Some(why) => Line {
            account: Err(why),
            ..line
        },
    }
}

/// A text whose lines end as they do on Unix: after `\r\n` the reader of CSV is one behind in counting lines.
struct WithoutReturns<R>(R);

impl<R: Read> Read for WithoutReturns<R> {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        let mut bytes = vec![0; buffer.len()];
        loop {
            let count = self.0.read(&mut bytes)?;
            let kept = bytes.iter().take(count).filter(|byte| **byte != b'\r');
            let kept = buffer.iter_mut().zip(kept).map(|(to, from)| *to = *from);
            match kept.count() {
                0 if count > 0 => {}
                kept => return Ok(kept),
            }
        }
    }
}

/// One JSON array.
fn array(input: impl Read) -> anyhow::Result<Vec<Line>> {
    let mut list = serde_json::Deserializer::from_reader(BufReader::new(input));
    let mut doubt = None;
    let lines = list.deserialize_seq(Elements(&mut doubt));
    if let Some(doubt) = doubt {
        return Err(doubt);
    }
    let lines = lines.and_then(|lines| list.end().map(|()| lines));
    lines.context(NOT_JSON)
}

/// Reads the elements of an array one by one, and keeps why the list is doubtful.
struct Elements<'a>(&'a mut Option<anyhow::Error>);

impl<'de> Visitor<'de> for Elements<'_> {
    type Value = Vec<Line>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of accounts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Line>, A::Error> {
        let mut lines = Vec::new();
        while let Some(element) = elements.next_element()? {
            if let Err(doubt) = entry(&mut lines, &element) {
                let told = serde::de::Error::custom(&doubt);
                *self.0 = Some(doubt);
                return Err(told);
            }
        }
        Ok(lines)
    }
}

/// One JSON object after the other.
fn objects(input: impl Read) -> anyhow::Result<Vec<Line>> {
    let mut lines = Vec::new();
    for element in serde_json::Deserializer::from_reader(BufReader::new(input)).into_iter() {
        entry(&mut lines, &element.context(NOT_JSON)?)?;
    }
    Ok(lines)
}

/// An account in JSON. Its number is its place in the list.
fn entry(lines: &mut Vec<Line>, element: &Value) -> anyhow::Result<()> {
    let line = Line::from_json(lines.len() as u64 + 1, element).map_err(anyhow::Error::msg)?;
    push(lines, line)
}

fn push(lines: &mut Vec<Line>, line: Line) -> anyhow::Result<()> {
    if lines.len() >= LINES {
        bail!("the list has more than {LINES} accounts; import it in parts");
    }
    lines.push(line);
    Ok(())
}

#[cfg(test)]
mod tests;

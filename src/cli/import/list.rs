//! Reading a list of accounts: CSV with a header, a JSON array, or one JSON object after the other. The columns are those
//! of the export. A value that cannot be read spoils its line; what makes the whole list doubtful, such as an unknown
//! column or broken JSON, spoils the list.

use std::collections::HashMap;
use std::fmt;
use std::io::{BufReader, Cursor, Read};
use std::str::FromStr;

use anyhow::{Context, bail};
use serde::Deserializer;
use serde::de::{SeqAccess, Visitor};
use serde_json::Value;

use crate::cli::rows::Format;
use crate::directory::accounts::Status;
use crate::directory::by_hand::{ByHand, PreservedBy, Quota};
use crate::directory::import::Line;

/// Lines of a list at the most: it is kept in memory until it is imported.
const LINES: usize = 1_000_000;
/// Bytes in which the kind of the list shows.
const HEAD: u64 = 256;
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
const NOT_JSON: &str = "the list is not JSON";

/// Columns that a new account takes.
const TAKEN: [&str; 12] = [
    "email",
    "name",
    "profile",
    "storage",
    "quota_gb",
    "upn",
    "external_id",
    "status",
    "preserved_by",
    "preserved_at",
    "legal_hold",
    "scim_visible",
];
/// Columns of an export that a new account has by itself.
const OWN: [&str; 6] = [
    "id",
    "username",
    "managed_by",
    "mapping",
    "created",
    "modified",
];

/// The values of a line under the columns that are taken; none is empty.
type Values = HashMap<&'static str, String>;

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
    let mut reader = csv::ReaderBuilder::new()
        .trim(csv::Trim::All)
        .from_reader(WithoutReturns(input));
    let header = reader.headers().context("the header cannot be read")?;
    let columns: Vec<_> = header.iter().map(column).collect::<Result<_, _>>()?;
    for (place, column) in columns.iter().enumerate() {
        if column.is_some() && columns.iter().take(place).any(|other| other == column) {
            bail!("the header names {} twice", column.unwrap_or_default());
        }
    }
    if !columns.contains(&Some("email")) {
        bail!("the list has no column email; its first line has to name the columns");
    }
    let mut lines = Vec::new();
    for record in reader.into_records() {
        let (number, account) = match record {
            Ok(record) => {
                let values = columns.iter().zip(&record).filter_map(|(column, value)| {
                    let value = (!value.is_empty()).then(|| value.to_owned())?;
                    Some(((*column)?, value))
                });
                let number = record.position().map_or(0, csv::Position::line);
                (number, account(&values.collect()))
            }
            Err(error) if error.is_io_error() => return Err(error.into()),
            Err(error) => {
                let number = error.position().map_or(0, csv::Position::line);
                (number, Err(unreadable(&error)))
            }
        };
        push(&mut lines, number, account)?;
    }
    Ok(lines)
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

/// What is wrong with a record, without its place, which stands beside it.
fn unreadable(error: &csv::Error) -> String {
    match error.kind() {
        csv::ErrorKind::UnequalLengths {
            expected_len, len, ..
        } => format!("it has {len} values, and the header {expected_len}"),
        csv::ErrorKind::Utf8 { .. } => "it is not UTF-8".to_owned(),
        _ => error.to_string(),
    }
}

/// One JSON array.
fn array(input: impl Read) -> anyhow::Result<Vec<Line>> {
    let mut list = serde_json::Deserializer::from_reader(BufReader::new(input));
    let lines = list.deserialize_seq(Elements);
    let lines = lines.and_then(|lines| list.end().map(|()| lines));
    lines.context(NOT_JSON)
}

/// Reads the elements of an array one by one.
struct Elements;

impl<'de> Visitor<'de> for Elements {
    type Value = Vec<Line>;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("an array of accounts")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Vec<Line>, A::Error> {
        let mut lines = Vec::new();
        while let Some(element) = elements.next_element()? {
            entry(&mut lines, &element).map_err(serde::de::Error::custom)?;
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
    let number = lines.len() as u64 + 1;
    let Value::Object(object) = element else {
        return push(lines, number, Err("it is not an object".to_owned()));
    };
    let mut values = Values::new();
    let mut wrong = None;
    for (key, value) in object {
        let Some(column) = column(key).with_context(|| format!("account {number}"))? else {
            continue;
        };
        let text = match value {
            Value::Null => continue,
            Value::String(text) => text.trim().to_owned(),
            Value::Bool(_) | Value::Number(_) => value.to_string(),
            Value::Array(_) | Value::Object(_) => {
                wrong = Some(format!("{column} is not a text"));
                continue;
            }
        };
        if !text.is_empty() {
            values.insert(column, text);
        }
    }
    let account = wrong.map_or_else(|| account(&values), Err);
    push(lines, number, account)
}

fn push(lines: &mut Vec<Line>, number: u64, account: Result<ByHand, String>) -> anyhow::Result<()> {
    if lines.len() >= LINES {
        bail!("the list has more than {LINES} accounts; import it in parts");
    }
    lines.push(Line { number, account });
    Ok(())
}

/// The column of this name; none for one that a new account has by itself.
fn column(name: &str) -> anyhow::Result<Option<&'static str>> {
    let same = |known: &&str| known.eq_ignore_ascii_case(name);
    match TAKEN.into_iter().find(|known| same(known)) {
        None if OWN.iter().any(same) => Ok(None),
        None => bail!(
            "there is no column {name:?}; those there are: {}",
            TAKEN.join(", ")
        ),
        found => Ok(found),
    }
}

/// The account that the values of a line describe.
fn account(values: &Values) -> Result<ByHand, String> {
    let text = |column: &str| values.get(column).cloned();
    let preserved = match read_as("status", values)?.unwrap_or(Status::Active) {
        // Without a word on who did it, it is the administrator who imports it so.
        Status::Preserved => Some((
            read_as("preserved_by", values)?.unwrap_or(PreservedBy::Admin),
            read_as("preserved_at", values)?,
        )),
        Status::Active => None,
    };
    if let (None, Some(column)) = (
        preserved,
        ["preserved_by", "preserved_at"]
            .into_iter()
            .find(|column| values.contains_key(column)),
    ) {
        return Err(format!("it has {column}, but its status is not preserved"));
    }
    let flag = |column, default| match values.get(column).map(String::as_str) {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{column} {other:?} is neither true nor false")),
    };
    let quota: Option<u32> = read_as("quota_gb", values)?;
    Ok(ByHand {
        email: text("email").ok_or("it has no email")?,
        name: text("name"),
        upn: text("upn"),
        external_id: text("external_id"),
        profile: text("profile"),
        storage: text("storage"),
        quota: quota.map_or(Quota::OfProfile, |quota| Quota::InForce(quota.into())),
        preserved,
        removed: !flag("scim_visible", true)?,
        legal_hold: flag("legal_hold", false)?,
    })
}

/// The value of a column as what it has to be.
fn read_as<T: FromStr<Err: fmt::Display>>(
    column: &str,
    values: &Values,
) -> Result<Option<T>, String> {
    let read = |text: &String| {
        text.parse()
            .map_err(|error| format!("{column} {text:?}: {error}"))
    };
    values.get(column).map(read).transpose()
}

#[cfg(test)]
mod tests;

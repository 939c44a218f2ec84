//! An audit row as a syslog message: the header and structured data of RFC 5424, then the row as JSON or CEF.

use std::borrow::Cow;
use std::fmt::Write;

use super::Format;
use crate::directory::audit::{Recorded, Verdict};
use crate::server::cef;

/// Facility `log audit` (RFC 5424 §6.2.1), times eight.
const FACILITY: u8 = 13 * 8;
/// Bytes of a message at the most: what fits into a datagram.
const LARGEST: usize = 60_000;
/// Letters of each text of a row whose message would be larger.
const SHORT: usize = 1000;
/// Names the structured data, under the number that stands for no enterprise of its own (RFC 5612).
const SD_ID: &str = "scimlite@32473";

/// The message of a row, by the appliance called `host`. One that would be too large has no changes and short texts; the
/// audit has the whole, under its `seq`.
pub(super) fn of(row: &Recorded, format: Format, host: &str) -> String {
    let message = written(row, format, host);
    if message.len() <= LARGEST {
        return message;
    }
    let mut row = row.clone();
    row.changes = None;
    row.mapping = None;
    for text in [&mut row.target_id, &mut row.target_name]
        .into_iter()
        .flatten()
    {
        shorten(text);
    }
    shorten(&mut row.actor);
    shorten(&mut row.reason);
    written(&row, format, host)
}

fn shorten(text: &mut String) {
    if let Some((end, _)) = text.char_indices().nth(SHORT) {
        text.truncate(end);
        text.push('…');
    }
}

fn written(row: &Recorded, format: Format, host: &str) -> String {
    let severity = match row.verdict {
        Verdict::Failed => 3,
        Verdict::Refused => 4,
        Verdict::Applied => 5,
        Verdict::Unchanged => 6,
    };
    let body = match format {
        // A row is texts, numbers and objects with text keys: it always serialises.
        Format::Json => serde_json::to_string(row).unwrap_or_default(),
        Format::Cef => cef::line(row),
    };
    format!(
        "<{}>1 {} {} scimlite {} {} [{SD_ID}{}] {body}",
        FACILITY + severity,
        row.at,
        header(host, 255),
        std::process::id(),
        header(&row.action, 32),
        structured(row),
    )
}

/// A field of the header: printable ASCII, so long at the most.
fn header(text: &str, letters: usize) -> String {
    let printable = text.chars().filter(char::is_ascii_graphic).take(letters);
    match printable.collect::<String>() {
        empty if empty.is_empty() => "-".to_owned(),
        field => field,
    }
}

fn structured(row: &Recorded) -> String {
    let (seq, status) = (row.seq.to_string(), row.status.to_string());
    let parameters = [
        ("seq", Some(seq.as_str())),
        ("requestId", Some(&row.request_id)),
        ("actor", Some(&row.actor)),
        ("source", Some(&row.source)),
        ("action", Some(&row.action)),
        ("targetType", row.target_type.as_deref()),
        ("targetId", row.target_id.as_deref()),
        ("verdict", Some(row.verdict.as_str())),
        ("status", Some(&status)),
        ("scimType", row.scim_type.as_deref()),
        ("hash", Some(&row.hash)),
    ];
    let mut text = String::new();
    for (name, value) in parameters {
        if let Some(value) = value {
            let value = escaped(value, &['"', '\\', ']']);
            // Writing to a String cannot fail.
            let _ = write!(text, " {name}=\"{value}\"");
        }
    }
    text
}

/// A text with a backslash before each of `special`, and a blank for each control character: no receiver that splits at
/// line ends can be led to see two messages.
fn escaped<'t>(text: &'t str, special: &[char]) -> Cow<'t, str> {
    if !text.contains(|letter: char| letter.is_control() || special.contains(&letter)) {
        return text.into();
    }
    let mut safe = String::with_capacity(text.len() + 8);
    for letter in text.chars() {
        if special.contains(&letter) {
            safe.push('\\');
        }
        safe.push(if letter.is_control() { ' ' } else { letter });
    }
    safe.into()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::history::Json;
    use serde_json::{Value, json};

    fn row() -> Recorded {
        Recorded {
            seq: 7,
            at: "2026-01-31T09:30:00.000Z".to_owned(),
            request_id: "r1".to_owned(),
            actor: "token:a (x]\"\\\n<0>1 forged)".to_owned(),
            source: "192.0.2.1".to_owned(),
            action: "user.create".to_owned(),
            target_type: Some("User".to_owned()),
            target_id: None,
            target_name: Some("a=b|c\u{1b}[31m@x.test".to_owned()),
            verdict: Verdict::Refused,
            status: 409,
            scim_type: Some("uniqueness".to_owned()),
            reason: "taken\r\nby another".to_owned(),
            changes: None,
            mapping: None,
            prev_hash: "0".to_owned(),
            hash: "1".to_owned(),
        }
    }

    #[test]
    fn a_row_is_one_message_of_rfc_5424() {
        let message = of(&row(), Format::Json, "scim.example.test");
        let head = format!(
            "<108>1 2026-01-31T09:30:00.000Z scim.example.test scimlite {} user.create [scimlite@32473 seq=\"7\"",
            std::process::id()
        );
        assert!(message.starts_with(&head), "{message}");
        assert!(
            message.contains(r#"actor="token:a (x\]\"\\ <0>1 forged)" source="#),
            "{message}"
        );
        assert!(!message.contains("targetId"));
        assert!(!message.contains(char::is_control), "{message}");
        let (_, json) = message.split_once("\"] ").unwrap();
        let read: Value = serde_json::from_str(json).unwrap();
        assert_eq!(read["reason"], json!(row().reason));
        assert_eq!(read["actor"], json!(row().actor));
    }

    #[test]
    fn a_row_is_a_cef_event_too() {
        let message = of(&row(), Format::Cef, "a b\n");
        assert!(message.contains(" ab scimlite "), "{message}");
        let (_, event) = message.split_once("\"] ").unwrap();
        let head = format!(
            "CEF:0|Scimlite|Scimlite|{}|user.create|user.create refused|6|rt=",
            env!("CARGO_PKG_VERSION")
        );
        assert!(event.starts_with(&head), "{event}");
        for part in [
            " externalId=7 act=user.create outcome=refused ",
            " src=192.0.2.1 duser=a\\=b|c [31m@x.test reason=taken\\r\\nby another cs1Label=requestId cs1=r1 ",
        ] {
            assert!(event.contains(part), "{event}");
        }
    }

    #[test]
    fn a_message_fits_into_a_datagram() {
        let long = "\u{1F600}\\".repeat(100_000);
        let mut row = row();
        row.changes = Some(Json::Text(long.clone()));
        for text in [&mut row.actor, &mut row.reason] {
            text.clone_from(&long);
        }
        row.target_name = Some(long.clone());
        row.target_id = Some(long);
        for format in [Format::Json, Format::Cef] {
            let message = of(&row, format, "h");
            assert!(message.len() <= LARGEST, "{}", message.len());
            assert!(message.contains("seq=\"7\""));
        }
    }
}

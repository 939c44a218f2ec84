//! An audit row as a line of the Common Event Format, version 0, which log collectors read.

use std::net::IpAddr;

use crate::directory::history::{Json, Recorded, Verdict};

/// The row in one line.
pub fn line(row: &Recorded) -> String {
    let header = [
        "CEF:0".to_owned(),
        "Scimlite".to_owned(),
        "Scimlite".to_owned(),
        env!("CARGO_PKG_VERSION").to_owned(),
        in_header(&row.action),
        in_header(&format!("{} {}", row.action, row.verdict.as_str())),
        severity(row.verdict).to_string(),
    ];
    let extension: Vec<_> = fields(row)
        .into_iter()
        .filter_map(|(key, value)| Some(format!("{key}={}", in_extension(&value?))))
        .collect();
    format!("{}|{}", header.join("|"), extension.join(" "))
}

/// From 0 to 10: what was done is low, what was refused is medium, and what failed is high.
fn severity(verdict: Verdict) -> u8 {
    match verdict {
        Verdict::Unchanged => 1,
        Verdict::Applied => 3,
        Verdict::Refused => 6,
        Verdict::Failed => 8,
    }
}

/// The keys of the format for what a row says, in its order. The custom ones have a label each.
fn fields(row: &Recorded) -> Vec<(&'static str, Option<String>)> {
    let millis = row
        .at
        .parse::<jiff::Timestamp>()
        .ok()
        .map(|at| at.as_millisecond().to_string());
    let json = |told: &Option<Json>| {
        let told = told.as_ref()?;
        serde_json::to_string(told).ok()
    };
    let label = |text: &str, value: &Option<String>| value.as_ref().map(|_| text.to_owned());
    let (v4, v6, service) = match row.source.parse() {
        Ok(IpAddr::V4(_)) => (Some(row.source.clone()), None, None),
        Ok(IpAddr::V6(_)) => (None, Some(row.source.clone()), None),
        Err(_) => (None, None, Some(row.source.clone())),
    };
    let (changes, mapping) = (json(&row.changes), json(&row.mapping));
    let labelled = [
        ("c6a2Label", "c6a2", "Source IPv6 Address", v6),
        ("cs1Label", "cs1", "requestId", Some(row.request_id.clone())),
        ("cs2Label", "cs2", "targetType", row.target_type.clone()),
        ("cs3Label", "cs3", "scimType", row.scim_type.clone()),
        ("cs4Label", "cs4", "changes", changes),
        ("cs5Label", "cs5", "mapping", mapping),
        ("cs6Label", "cs6", "hash", Some(row.hash.clone())),
        ("cn1Label", "cn1", "status", Some(row.status.to_string())),
    ];
    let mut fields = vec![
        ("rt", millis),
        ("externalId", Some(row.seq.to_string())),
        ("act", Some(row.action.clone())),
        ("outcome", Some(row.verdict.as_str().to_owned())),
        ("suser", Some(row.actor.clone())),
        ("src", v4),
        ("sourceServiceName", service),
        ("duid", row.target_id.clone()),
        ("duser", row.target_name.clone()),
        ("reason", Some(row.reason.clone())),
    ];
    for (label_key, key, text, value) in labelled {
        fields.push((label_key, label(text, &value)));
        fields.push((key, value));
    }
    fields
}

/// A field of the header: backslashes and bars are escaped, control characters are blanks.
fn in_header(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('|', "\\|")
        .replace(char::is_control, " ")
}

/// A value of the extension: backslashes, equal signs and line ends are escaped, other control characters are blanks: no
/// receiver that splits at them sees two events.
fn in_extension(text: &str) -> String {
    text.replace('\\', "\\\\")
        .replace('=', "\\=")
        .replace('\n', "\\n")
        .replace('\r', "\\r")
        .replace(char::is_control, " ")
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn row() -> Recorded {
        Recorded {
            seq: 7,
            at: "2026-01-31T09:30:00.123Z".to_owned(),
            request_id: "r".to_owned(),
            actor: "token:entra|x".to_owned(),
            source: "192.0.2.7".to_owned(),
            action: "user|create\\\n".to_owned(),
            target_type: Some("User".to_owned()),
            target_id: None,
            target_name: Some("a|b=c\\d\r\ne".to_owned()),
            verdict: Verdict::Applied,
            status: 201,
            scim_type: None,
            reason: "x = y".to_owned(),
            changes: json!({"title": {"new": "a=b\n"}})
                .as_object()
                .cloned()
                .map(Json::Object),
            mapping: None,
            prev_hash: "p".to_owned(),
            hash: "h".to_owned(),
        }
    }

    #[test]
    fn header_and_extension_are_escaped_each_in_its_way() {
        let version = env!("CARGO_PKG_VERSION");
        let expected = [
            &format!("CEF:0|Scimlite|Scimlite|{version}|"),
            r"user\|create\\ |user\|create\\  applied|3|rt=1769851800123 externalId=7 act=user|create\\\n ",
            r"outcome=applied suser=token:entra|x src=192.0.2.7 duser=a|b\=c\\d\r\ne reason=x \= y ",
            "cs1Label=requestId cs1=r cs2Label=targetType cs2=User ",
            r#"cs4Label=changes cs4={"title":{"new":"a\=b\\n"}} cs6Label=hash cs6=h cn1Label=status cn1=201"#,
        ];
        assert_eq!(line(&row()), expected.concat());
    }

    #[test]
    fn severity_follows_the_verdict_and_addresses_have_their_keys() {
        for (verdict, severity) in [
            (Verdict::Unchanged, "|1|"),
            (Verdict::Applied, "|3|"),
            (Verdict::Refused, "|6|"),
            (Verdict::Failed, "|8|"),
        ] {
            let row = Recorded { verdict, ..row() };
            assert!(line(&row).contains(severity), "{verdict:?}");
        }
        for (source, field) in [
            (
                "2001:db8::7",
                " c6a2Label=Source IPv6 Address c6a2=2001:db8::7 ",
            ),
            ("cli", " sourceServiceName=cli "),
            ("several addresses", " sourceServiceName=several addresses "),
        ] {
            let source = source.to_owned();
            let row = Recorded { source, ..row() };
            assert!(line(&row).contains(field), "{field}");
            assert!(!line(&row).contains(" src="), "{field}");
        }
    }
}

//! Points in time as people write them.

use jiff::{SignedDuration, Timestamp};

/// A point in time: RFC 3339, a date for its beginning in UTC, or how long ago as `90s`, `15m`, `24h` or `7d`.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    before(Timestamp::now(), text).ok_or_else(|| {
        format!("{text}: expected a time like 2026-01-31T09:30:00Z, a date like 2026-01-31, or how long ago, like 24h or 7d")
    })
}

fn before(now: Timestamp, text: &str) -> Option<Timestamp> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Some(at);
    }
    if let Ok(beginning) = format!("{text}T00:00:00Z").parse() {
        return Some(beginning);
    }
    let units = [("s", 1), ("m", 60), ("h", 60 * 60), ("d", 24 * 60 * 60)];
    let seconds = units.iter().find_map(|(unit, seconds)| {
        let count = text.strip_suffix(unit)?;
        let digits = count.bytes().all(|byte| byte.is_ascii_digit());
        digits
            .then(|| count.parse::<i64>().ok())??
            .checked_mul(*seconds)
    })?;
    now.checked_sub(SignedDuration::from_secs(seconds)).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_dates_and_times_back() {
        let now: Timestamp = "2026-03-02T12:00:00Z".parse().unwrap();
        for (text, expected) in [
            ("2026-01-31T09:30:00Z", Some("2026-01-31T09:30:00Z")),
            (
                "2026-01-31T09:30:00.5+01:00",
                Some("2026-01-31T08:30:00.5Z"),
            ),
            ("2026-01-31", Some("2026-01-31T00:00:00Z")),
            ("90s", Some("2026-03-02T11:58:30Z")),
            ("15m", Some("2026-03-02T11:45:00Z")),
            ("24h", Some("2026-03-01T12:00:00Z")),
            ("7d", Some("2026-02-23T12:00:00Z")),
            ("0s", Some("2026-03-02T12:00:00Z")),
            ("", None),
            ("d", None),
            ("7", None),
            ("-7d", None),
            ("+7d", None),
            ("7w", None),
            ("99999999999999999999d", None),
            ("9999999999999d", None),
            ("2026-02-30", None),
            ("yesterday", None),
        ] {
            let expected = expected.map(|at| at.parse().unwrap());
            assert_eq!(before(now, text), expected, "{text}");
        }
    }
}

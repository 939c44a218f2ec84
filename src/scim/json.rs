//! The one place where a body becomes JSON, under a limit on its depth, and how messages find their members.

use serde_json::Value;

use super::{Error, Object, ScimType};

/// Values that any body may hold.
const VALUES: usize = 1024;
/// Bytes for each value beyond, names and punctuation included: those of messages have more, and a value takes ten times
/// that in memory.
const BYTES_A_VALUE: usize = 8;

/// The JSON value in `bytes`, nested at most `depth` deep (C-27: anything else is `invalidSyntax`), and not made of so many
/// tiny values that it would take up much more memory than text.
pub fn parse(bytes: &[u8], depth: usize) -> Result<Value, Error> {
    let found = measure(bytes);
    if found.depth > depth {
        return Err(Error::new(
            ScimType::InvalidSyntax,
            format!("the body is nested deeper than {depth} levels"),
        ));
    }
    if found.values > VALUES.saturating_add(bytes.len() / BYTES_A_VALUE) {
        return Err(Error::new(
            ScimType::InvalidSyntax,
            "the body holds too many values for its size",
        ));
    }
    serde_json::from_slice(bytes).map_err(|error| {
        Error::new(
            ScimType::InvalidSyntax,
            format!("the body is not JSON: {error}"),
        )
    })
}

/// Takes the member of a message called `name`, in any letter case.
pub(super) fn take(message: &mut Object, name: &str) -> Option<Value> {
    let key = message
        .keys()
        .find(|key| key.eq_ignore_ascii_case(name))?
        .clone();
    message.remove(&key)
}

/// What parsing would cost.
#[derive(Debug, PartialEq, Eq)]
struct Measure {
    /// How deep brackets outside of strings are nested.
    depth: usize,
    /// Values, one more or less in each array or object.
    values: usize,
}

/// Looked at before parsing, so that no depth costs stack and no number of values memory.
fn measure(bytes: &[u8]) -> Measure {
    let (mut depth, mut deepest, mut values) = (0_usize, 0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                values += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            b',' if !quoted => values += 1,
            _ => {}
        }
    }
    Measure {
        depth: deepest,
        values,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_and_values_are_counted_outside_strings() {
        for (text, depth, values) in [
            (r#"{"a":[{"b":1}]}"#, 3, 3),
            (r#"{"a":"[[[[","b":",,"}"#, 1, 2),
            (r#"{"a":"\"[["}"#, 1, 1),
            ("[0,0,0]", 1, 3),
            ("1", 0, 0),
        ] {
            let found = measure(text.as_bytes());
            assert_eq!(found, Measure { depth, values }, "{text}");
        }
    }

    #[test]
    fn refuses_more_tiny_values_than_a_message_has() {
        let zeros = |count| format!("[{}0]", "0,".repeat(count));
        assert!(parse(zeros(1000).as_bytes(), 64).is_ok());
        assert!(parse(zeros(2000).as_bytes(), 64).is_err());
        let operation = r#"{"op":"add","path":"title","value":"x"}"#;
        let many = format!("[{}{operation}]", format!("{operation},").repeat(20_000));
        assert!(parse(many.as_bytes(), 64).is_ok());
    }

    #[test]
    fn refuses_what_is_too_deep_and_what_is_no_json() {
        let nested = |depth| format!("{}{}", "[".repeat(depth), "]".repeat(depth));
        assert!(parse(nested(64).as_bytes(), 64).is_ok());
        assert!(parse(nested(65).as_bytes(), 64).is_err());
        assert!(parse(nested(1_000_000).as_bytes(), 64).is_err());
        for text in ["", "{", "{\"a\":}", "\u{feff}{}x"] {
            assert_eq!(
                parse(text.as_bytes(), 64).unwrap_err().kind,
                ScimType::InvalidSyntax,
                "{text}"
            );
        }
    }
}

//! The one place where a body becomes JSON, under a limit on its depth, and how messages find their members.

use serde_json::Value;

use super::{Error, Object, ScimType};

/// The JSON value in `bytes`, nested at most `depth` deep (C-27: anything else is `invalidSyntax`).
pub fn parse(bytes: &[u8], depth: usize) -> Result<Value, Error> {
    if deepest(bytes) > depth {
        return Err(Error::new(
            ScimType::InvalidSyntax,
            format!("the body is nested deeper than {depth} levels"),
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

/// How deep brackets outside of strings are nested. Looked at before parsing, so that no depth costs stack.
fn deepest(bytes: &[u8]) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut quoted, mut escaped) = (false, false);
    for byte in bytes {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if quoted => escaped = true,
            b'"' => quoted = !quoted,
            b'{' | b'[' if !quoted => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !quoted => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn depth_counts_brackets_outside_strings() {
        for (text, depth) in [
            (r#"{"a":[{"b":1}]}"#, 3),
            (r#"{"a":"[[[["}"#, 1),
            (r#"{"a":"\"[["}"#, 1),
            ("1", 0),
        ] {
            assert_eq!(deepest(text.as_bytes()), depth, "{text}");
        }
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

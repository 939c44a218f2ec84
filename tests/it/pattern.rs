//! Partial patterns of JSON, by which the corpus says what it expects.
//!
//! An object matches if every key that it names does; an array in length and order; anything else if it is equal.
//! Strings that start with `$` stand for a kind of value, and `{"$contains": [..]}` for an array in which each of the
//! patterns matches some element.

use serde_json::Value;

/// What differs between a pattern and a value, one line each; empty if they match.
pub fn differences(pattern: &Value, value: &Value) -> Vec<String> {
    let mut found = Vec::new();
    compare(pattern, Some(value), "", &mut found);
    found
}

fn compare(pattern: &Value, value: Option<&Value>, at: &str, found: &mut Vec<String>) {
    if let Some(wildcard) = pattern.as_str().filter(|word| word.starts_with('$')) {
        if !stands_for(wildcard, value) {
            found.push(difference(at, pattern, value));
        }
        return;
    }
    match (pattern, value) {
        (Value::Object(keys), Some(value)) if keys.contains_key("$contains") => {
            contains(&keys["$contains"], value, at, found);
        }
        (Value::Object(keys), Some(Value::Object(map))) => {
            for (key, pattern) in keys {
                compare(pattern, map.get(key), &format!("{at}/{key}"), found);
            }
        }
        (Value::Array(patterns), Some(Value::Array(items))) if patterns.len() == items.len() => {
            for (index, (pattern, item)) in patterns.iter().zip(items).enumerate() {
                compare(pattern, Some(item), &format!("{at}/{index}"), found);
            }
        }
        _ if Some(pattern) == value => {}
        _ => found.push(difference(at, pattern, value)),
    }
}

fn contains(patterns: &Value, value: &Value, at: &str, found: &mut Vec<String>) {
    let items = value.as_array().map_or(&[][..], Vec::as_slice);
    for pattern in patterns.as_array().expect("$contains takes an array") {
        if !items
            .iter()
            .any(|item| differences(pattern, item).is_empty())
        {
            found.push(format!("at {at}: nothing like {pattern} in {value}"));
        }
    }
}

fn stands_for(wildcard: &str, value: Option<&Value>) -> bool {
    let text = value.and_then(Value::as_str);
    match wildcard {
        "$any" => value.is_some(),
        "$absent" => value.is_none(),
        "$string" => text.is_some(),
        "$boolean" => value.is_some_and(Value::is_boolean),
        "$integer" => value.is_some_and(Value::is_u64),
        "$nonempty" => match value {
            Some(Value::String(text)) => !text.is_empty(),
            Some(Value::Array(items)) => !items.is_empty(),
            Some(Value::Object(map)) => !map.is_empty(),
            _ => false,
        },
        "$timestamp" => text.is_some_and(|text| text.parse::<jiff::Timestamp>().is_ok()),
        "$url" => text.is_some_and(|text| text.starts_with("https://")),
        // What RFC 7643 §2.4 lets a `primary` be that is not the preferred one.
        "$untrue" => matches!(value, None | Some(Value::Bool(false))),
        _ => match wildcard.split_once(':') {
            Some(("$not", other)) => text.is_some_and(|text| text != other),
            Some(("$has", part)) => text.is_some_and(|text| text.contains(part)),
            _ => panic!("`{wildcard}` stands for nothing"),
        },
    }
}

fn difference(at: &str, pattern: &Value, value: Option<&Value>) -> String {
    match value {
        Some(value) => format!("at {at}: expected {pattern}, got {value}"),
        None => format!("at {at}: expected {pattern}, got nothing"),
    }
}

#[test]
fn a_pattern_is_partial_in_objects_and_exact_in_arrays() {
    use serde_json::json;
    let value =
        json!({"a": 1, "b": [{"c": "x", "d": true}, {"c": "y"}], "t": "2026-01-01T00:00:00Z"});
    for pattern in [
        json!({}),
        json!({"a": 1, "z": "$absent"}),
        json!({"b": [{"c": "x"}, {"c": "$not:x", "d": "$untrue"}], "t": "$timestamp"}),
        json!({"b": {"$contains": [{"c": "y"}]}}),
        json!({"t": "$has:-01T"}),
    ] {
        assert_eq!(differences(&pattern, &value), [""; 0], "{pattern}");
    }
    for pattern in [
        json!({"a": "$absent"}),
        json!({"a": "1"}),
        json!({"b": [{"c": "x"}]}),
        json!({"b": [{"d": "$untrue"}, {}]}),
        json!({"b": {"$contains": [{"c": "z"}]}}),
        json!({"b": "$string"}),
        json!({"t": "$has:-02T"}),
        json!({"z": "$any"}),
    ] {
        assert_eq!(differences(&pattern, &value).len(), 1, "{pattern}");
    }
}

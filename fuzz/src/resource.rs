//! Bodies of POST and PUT.

use scimlite::scim::filter::Filter;
use scimlite::scim::json;
use scimlite::scim::patch::members_of;
use scimlite::scim::resource::changes;
use scimlite::scim::schema::ResourceType;
use serde_json::Value;

use super::{SCHEMAS, TYPES, assert_discreet, assert_stored_form, read, shown};

/// How deep the server lets a body nest.
const DEPTH: usize = 64;

/// Any bytes as a body.
pub fn check(data: &[u8]) {
    let plain = serde_json::from_slice::<Value>(data).ok();
    let body = match json::parse(data, DEPTH) {
        Ok(body) => body,
        Err(_) => {
            assert!(
                plain.is_none_or(|value| depth(&value) > DEPTH),
                "JSON is refused"
            );
            return;
        }
    };
    assert_eq!(Some(&body), plain.as_ref());
    for resource_type in TYPES {
        match read(body.clone(), resource_type) {
            Err(error) => assert_discreet(&body, [error.detail.as_str()]),
            Ok(mut parsed) => {
                assert_discreet(&body, parsed.skipped.iter().map(String::as_str));
                assert!(
                    parsed.skipped.is_sorted_by(|a, b| a < b),
                    "{:?}",
                    parsed.skipped
                );
                assert_stored_form(&parsed.attributes, resource_type);
                assert!(changes(&parsed.attributes, &parsed.attributes).is_empty());
                if resource_type == ResourceType::Group {
                    members_of(&mut parsed.attributes);
                    assert!(!parsed.attributes.contains_key("members"));
                    assert_stored_form(&parsed.attributes, resource_type);
                }
                let seen = shown(&parsed.attributes, resource_type);
                for name in ["userName", "displayName", "title", "externalId", "active"] {
                    if let Some(value) = parsed.attributes.get(name) {
                        let filter = format!("{name} eq {value}");
                        let filter =
                            Filter::parse(&filter, resource_type, &SCHEMAS).expect("an equation");
                        assert!(
                            filter.matches(&seen, resource_type, &SCHEMAS),
                            "{filter} does not find it"
                        );
                    }
                }
            }
        }
    }
}

fn depth(value: &Value) -> usize {
    match value {
        Value::Array(values) => 1 + values.iter().map(depth).max().unwrap_or(0),
        Value::Object(members) => 1 + members.values().map(depth).max().unwrap_or(0),
        _ => 0,
    }
}

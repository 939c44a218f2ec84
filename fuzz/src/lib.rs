//! What has to hold of the protocol for any input at all: one module a target, one function `check` each. A property
//! that does not hold is a panic. tests/fuzzed.rs runs the same functions over the corpus without a fuzzer.

pub mod config;
pub mod filter;
pub mod http;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
mod world;

use std::sync::LazyLock;

use scimlite::scim::resource::{self as body, Meta};
use scimlite::scim::schema::{CUSTOM_URN, Place, ResourceType, Schemas};
use scimlite::scim::{Error, Object};
use serde_json::{Value, json};

/// Both types of resource.
const TYPES: [ResourceType; 2] = [ResourceType::User, ResourceType::Group];

/// Stands in values that nobody may see in an error or the audit.
const MARK: &str = "v4lue";

/// URN of an extension that is kept whole.
const OPEN_URN: &str = "urn:ietf:params:scim:schemas:extension:Open:2.0:User";

/// The table, with something kept of each kind.
static SCHEMAS: LazyLock<Schemas> =
    LazyLock::new(|| Schemas::new(CUSTOM_URN, &["Company".to_owned(), OPEN_URN.to_owned()]));

/// What is stored of `body`, which lacks nothing that is required.
fn read(mut body: Value, resource_type: ResourceType) -> Result<body::Parsed, Error> {
    if let Value::Object(members) = &mut body {
        for required in ["userName", "displayName"] {
            let there = members.iter().any(|(name, value)| {
                name.eq_ignore_ascii_case(required)
                    && value.as_str().is_some_and(|text| !text.is_empty())
            });
            if !there {
                members.insert(required.to_owned(), "u".into());
            }
        }
    }
    body::parse(body, resource_type, &SCHEMAS)
}

/// A stored resource as a client sees it: as an object, as which it is also written from its text.
fn shown(stored: &Object, resource_type: ResourceType) -> Object {
    let location = format!(
        "https://scim.example.test/scim/{}/1",
        resource_type.endpoint()
    );
    let meta = Meta {
        resource_type: resource_type.name(),
        created: "2026-01-31T12:00:00.000Z",
        last_modified: "2026-01-31T12:00:00.000Z",
        location: &location,
        version: "W/\"1\"",
    };
    let seen = body::render(stored, "1", &meta, resource_type, &SCHEMAS);
    let written = body::render_json(&text(stored), "1", &meta, None, resource_type, &SCHEMAS);
    let written = written.expect("what is stored is written");
    assert_eq!(String::from_utf8_lossy(&written), text(&seen), "written");
    seen
}

/// What is stored is what a body of the same attributes would store, in the same order; and a client that puts back
/// what it sees changes nothing.
fn assert_stored_form(stored: &Object, resource_type: ResourceType) {
    let again = body::parse(stored.clone().into(), resource_type, &SCHEMAS)
        .expect("what is stored is a body");
    assert_eq!(text(&again.attributes), text(stored), "reads otherwise");
    assert!(again.skipped.is_empty(), "skipped {:?}", again.skipped);
    assert!(again.transient.attributes().is_empty());
    for name in ["id", "meta", "schemas", "groups", "password"] {
        assert!(!stored.contains_key(name), "{name} is stored");
    }
    stored.values().for_each(assert_filled);
    // What is kept as it comes has no primary values.
    let known = |name: &str| matches!(SCHEMAS.at_root(resource_type, name), Place::Known { .. });
    let lists = stored.iter().filter(|(name, _)| known(name));
    for list in lists.filter_map(|(_, value)| value.as_array()) {
        let primary = list
            .iter()
            .filter(|element| element.get("primary") == Some(&json!(true)));
        assert!(primary.count() <= 1, "two are primary");
    }
    let seen = shown(stored, resource_type);
    let back =
        body::parse(seen.clone().into(), resource_type, &SCHEMAS).expect("what is seen is a body");
    assert_eq!(
        text(&shown(&back.attributes, resource_type)),
        text(&seen),
        "put back"
    );
}

/// Nothing that is stored means "absent".
fn assert_filled(value: &Value) {
    match value {
        Value::Null => panic!("null is stored"),
        Value::String(text) => assert!(!text.is_empty(), "empty text is stored"),
        Value::Array(values) => {
            assert!(!values.is_empty(), "an empty list is stored");
            values.iter().for_each(assert_filled);
        }
        Value::Object(members) => {
            assert!(!members.is_empty(), "an empty object is stored");
            members.values().for_each(assert_filled);
        }
        Value::Bool(_) | Value::Number(_) => {}
    }
}

/// Names are for the audit, values are not.
fn assert_discreet<'a>(sent: &Value, told: impl IntoIterator<Item = &'a str>) {
    if !names_hold_mark(sent) {
        for told in told {
            assert!(!told.contains(MARK), "a value is told: {told}");
        }
    }
}

/// Whether the mark stands where a name does: in a key, or in a path outside of its filter.
fn names_hold_mark(value: &Value) -> bool {
    match value {
        Value::Array(values) => values.iter().any(names_hold_mark),
        Value::Object(members) => members.iter().any(|(name, value)| {
            let path = name
                .eq_ignore_ascii_case("path")
                .then(|| value.as_str())
                .flatten();
            let outside = |text: &str| {
                let tail = text.rsplit_once(']').map(|(_, tail)| tail);
                let head = text.split_once('[').map_or(text, |(head, _)| head);
                head.contains(MARK) || tail.is_some_and(|tail| tail.contains(MARK))
            };
            outside(name) || path.is_some_and(outside) || names_hold_mark(value)
        }),
        _ => false,
    }
}

fn text(object: &Object) -> String {
    Value::Object(object.clone()).to_string()
}

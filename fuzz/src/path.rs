//! Paths of PATCH operations.

use scimlite::scim::ScimType;
use scimlite::scim::path::{AttrPath, Path};
use scimlite::scim::schema::ResourceType;
use serde_json::{Value, json};

use super::{SCHEMAS, TYPES, patch, world};

/// Any text as a path: it prints as it parses, and whatever is done at it leaves a resource sound.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    if let Ok(attr) = AttrPath::parse(&text) {
        assert_eq!(attr.to_string(), text);
    }
    for resource_type in TYPES {
        match Path::parse(&text, resource_type, &SCHEMAS) {
            Ok(path) => check_path(&path, resource_type),
            Err(error) => assert!(matches!(
                error.kind,
                ScimType::InvalidPath | ScimType::InvalidFilter
            )),
        }
    }
}

fn check_path(path: &Path, resource_type: ResourceType) {
    let printed = path.to_string();
    assert_eq!(
        Path::parse(&printed, resource_type, &SCHEMAS).as_ref(),
        Ok(path),
        "{printed}"
    );
    let stored = match resource_type {
        ResourceType::User => world::person(),
        ResourceType::Group => world::team(),
    };
    for value in [
        json!("v4lue"),
        json!("True"),
        json!({"value": "v4lue", "type": "work", "a": {"b": 1}}),
        json!([{"value": "v4lue", "primary": true}, {"display": "v4lue"}]),
        Value::Null,
    ] {
        for op in ["add", "replace", "remove"] {
            let body = json!({"Operations": [{"op": op, "path": printed, "value": value}]});
            patch::check_body(&stored, &body, resource_type);
        }
    }
}

//! Paths of PATCH operations.

use scimlite::scim::filter::Filter;
use scimlite::scim::patch::{apply, parse};
use scimlite::scim::path::{AttrPath, Path};
use scimlite::scim::schema::ResourceType;
use scimlite::scim::{Object, ScimType};
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
    assert_removes(path, &stored, resource_type);
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

/// After a removal nothing is left that the path names, read as a filter. What is skipped may stay.
fn assert_removes(path: &Path, stored: &Object, resource_type: ResourceType) {
    let body = json!({"Operations": [{"op": "remove", "path": path.to_string()}]});
    let patch = parse(body, resource_type, &SCHEMAS).expect("a path");
    let Ok(patched) = apply(&patch, stored, resource_type, &SCHEMAS) else {
        return;
    };
    let present = |name: &str| {
        Filter::Present(AttrPath {
            urn: None,
            name: name.to_owned(),
            sub: None,
        })
    };
    let left = match path {
        Path::Extension(urn) => present(urn),
        Path::Attribute(attr) => Filter::Present(attr.clone()),
        Path::Element { attr, filter, sub } => {
            let mut terms = vec![filter.clone()];
            terms.extend(sub.as_deref().map(present));
            Filter::Element {
                attr: attr.clone(),
                filter: Box::new(Filter::And(terms)),
            }
        }
    };
    let left = left.matches(&patched.attributes, resource_type, &SCHEMAS);
    assert!(
        !left || !patched.skipped.is_empty(),
        "{path} is still there"
    );
}

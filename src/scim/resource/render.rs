//! A stored resource as its client sees it, and what differs between two states of it.

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use crate::scim::Object;
use crate::scim::schema::{ENTERPRISE_URN, ResourceType, Schemas};

/// What stands unescaped in a path segment (RFC 3986 §2.3).
pub const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the server knows about a resource (RFC 7643 §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Meta {
    /// When it was created, RFC 3339.
    pub created: String,
    /// When it changed last, RFC 3339.
    pub last_modified: String,
    /// Its absolute URL.
    pub location: String,
    /// Its entity tag, as in the ETag header.
    pub version: String,
}

/// The whole resource: `schemas` with the extensions that have values (C-63), the id, what is stored, `meta`. A
/// manager gets a `$ref` unless the client sent one (C-23); it is an object always (T-10).
pub fn render(
    attributes: &Object,
    id: &str,
    meta: &Meta,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Object {
    let mut urns = vec![schemas.core(resource_type).urn.as_ref()];
    urns.extend(
        attributes
            .keys()
            .map(String::as_str)
            .filter(|key| is_urn(key)),
    );
    let mut resource = Object::with_capacity(attributes.len() + 3);
    resource.insert("schemas".into(), urns.into());
    resource.insert("id".into(), id.into());
    resource.extend(
        attributes
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    let manager = resource
        .get_mut(ENTERPRISE_URN)
        .and_then(|extension| extension.get_mut("manager"))
        .and_then(Value::as_object_mut);
    if let Some(manager) = manager
        && !manager.contains_key("$ref")
        && let Some(value) = manager.get("value").and_then(Value::as_str)
    {
        let reference = format!("../Users/{}", utf8_percent_encode(value, SEGMENT));
        manager.insert("$ref".into(), reference.into());
    }
    resource.insert(
        "meta".into(),
        json!({
            "resourceType": resource_type.name(),
            "created": meta.created,
            "lastModified": meta.last_modified,
            "location": meta.location,
            "version": meta.version,
        }),
    );
    resource
}

/// What differs between two states of what is stored: for each attribute `{"old": …, "new": …}`, a side that has no
/// value left out. Attributes of an extension stand as `urn:name`.
pub fn changes(old: &Object, new: &Object) -> Object {
    let mut changes = Object::new();
    for name in union(old, new) {
        match (old.get(name), new.get(name)) {
            (old, new) if old == new => {}
            (old, new) if is_urn(name) => {
                let empty = Object::new();
                let old = old.and_then(Value::as_object).unwrap_or(&empty);
                let new = new.and_then(Value::as_object).unwrap_or(&empty);
                for inner in union(old, new) {
                    note(
                        &mut changes,
                        format!("{name}:{inner}"),
                        old.get(inner),
                        new.get(inner),
                    );
                }
            }
            (old, new) => note(&mut changes, name.to_owned(), old, new),
        }
    }
    changes
}

fn note(changes: &mut Object, name: String, old: Option<&Value>, new: Option<&Value>) {
    if old == new {
        return;
    }
    let sides = [("old", old), ("new", new)]
        .into_iter()
        .filter_map(|(side, value)| Some((side.to_owned(), value?.clone())))
        .collect();
    changes.insert(name, Value::Object(sides));
}

/// The keys of both, those of `old` first.
fn union<'a>(old: &'a Object, new: &'a Object) -> impl Iterator<Item = &'a str> {
    old.keys()
        .chain(new.keys().filter(|name| !old.contains_key(*name)))
        .map(String::as_str)
}

/// Among the keys of what is stored, only an extension's has a colon.
fn is_urn(key: &str) -> bool {
    key.contains(':')
}

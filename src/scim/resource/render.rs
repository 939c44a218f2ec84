//! A stored resource as its client sees it, and what differs between two states of it.

use std::borrow::Cow;
use std::fmt;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::de::{MapAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;

use crate::scim::Object;
use crate::scim::schema::{ENTERPRISE_URN, ResourceType, Schemas};

/// What stands unescaped in a path segment (RFC 3986 §2.3).
pub const SEGMENT: &AsciiSet = &NON_ALPHANUMERIC
    .remove(b'-')
    .remove(b'.')
    .remove(b'_')
    .remove(b'~');

/// What the server knows about a resource (RFC 7643 §3.1).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "camelCase")]
pub struct Meta<'a> {
    /// The name of its type.
    pub resource_type: &'static str,
    /// When it was created, RFC 3339.
    pub created: &'a str,
    /// When it changed last, RFC 3339.
    pub last_modified: &'a str,
    /// Its absolute URL.
    pub location: &'a str,
    /// Its entity tag, as in the ETag header.
    pub version: &'a str,
}

/// The whole resource: `schemas` with the extensions that have values (C-63), the id, what is stored, `meta`. A
/// manager gets a `$ref` unless the client sent one (C-23); it is an object always (T-10).
pub fn render(
    attributes: &Object,
    id: &str,
    meta: &Meta<'_>,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Object {
    let keys = attributes.keys().map(String::as_str);
    let mut resource = Object::with_capacity(attributes.len() + 4);
    resource.insert("schemas".into(), urns(keys, resource_type, schemas).into());
    resource.insert("id".into(), id.into());
    resource.extend(
        attributes
            .iter()
            .map(|(name, value)| (name.clone(), value.clone())),
    );
    if let Some(extension) = resource.get_mut(ENTERPRISE_URN) {
        refer_to_manager(extension);
    }
    // Texts always serialise.
    resource.insert(
        "meta".into(),
        serde_json::to_value(meta).unwrap_or_default(),
    );
    resource
}

/// The same as JSON, from what is stored as text: only the names at the root are looked at, and the manager. `connected`
/// stands behind it: a name and a JSON value. What is never returned is never stored either.
pub fn render_json(
    stored: &str,
    id: &str,
    meta: &Meta<'_>,
    connected: Option<(&str, &str)>,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Result<Vec<u8>, serde_json::Error> {
    /// What is added to what is stored, beside what it is connected to.
    const ADDED: usize = 512;
    let Members(members) = serde_json::from_str(stored)?;
    let keys = members.iter().map(|(name, _)| name.as_ref());
    let urns = urns(keys, resource_type, schemas);
    let others = connected.map_or(0, |(_, value)| value.len());
    let mut json = Writing(Vec::with_capacity(stored.len() + others + ADDED));
    json.0.extend_from_slice(b"{\"schemas\":");
    json.value(&urns)?;
    json.0.extend_from_slice(b",\"id\":");
    json.value(id)?;
    let managed = |(name, value): &(Cow<'_, str>, &RawValue)| {
        name == ENTERPRISE_URN && value.get().contains("\"manager\"")
    };
    if members.iter().any(managed) {
        for member in &members {
            let (name, value) = member;
            json.name(name)?;
            if managed(member) {
                let mut extension = serde_json::from_str(value.get())?;
                refer_to_manager(&mut extension);
                json.value(&extension)?;
            } else {
                json.0.extend_from_slice(value.get().as_bytes());
            }
        }
    } else if !members.is_empty() {
        json.0.push(b',');
        json.0.extend_from_slice(inside(stored)?.as_bytes());
    }
    json.0.extend_from_slice(b",\"meta\":");
    json.value(meta)?;
    if let Some((name, value)) = connected {
        json.name(name)?;
        json.0.extend_from_slice(value.as_bytes());
    }
    json.0.push(b'}');
    Ok(json.0)
}

/// What stands between the braces of an object.
fn inside(object: &str) -> Result<&str, serde_json::Error> {
    let inside = object.trim().strip_prefix('{');
    let inside = inside.and_then(|inside| inside.strip_suffix('}'));
    inside.ok_or_else(|| serde::de::Error::custom("no object"))
}

/// A JSON object on its way.
struct Writing(Vec<u8>);

impl Writing {
    /// The name of a further member.
    fn name(&mut self, name: &str) -> Result<(), serde_json::Error> {
        self.0.push(b',');
        self.value(name)?;
        self.0.push(b':');
        Ok(())
    }

    fn value(&mut self, value: &(impl Serialize + ?Sized)) -> Result<(), serde_json::Error> {
        serde_json::to_writer(&mut self.0, value)
    }
}

/// The core schema and the extensions among the names at the root.
fn urns<'a>(
    names: impl Iterator<Item = &'a str>,
    resource_type: ResourceType,
    schemas: &'a Schemas,
) -> Vec<&'a str> {
    let core = schemas.core(resource_type).urn.as_ref();
    std::iter::once(core)
        .chain(names.filter(|name| is_urn(name)))
        .collect()
}

/// Gives the manager in an enterprise extension a `$ref` if it has none.
fn refer_to_manager(extension: &mut Value) {
    let manager = extension.get_mut("manager").and_then(Value::as_object_mut);
    if let Some(manager) = manager
        && !manager.contains_key("$ref")
        && let Some(value) = manager.get("value").and_then(Value::as_str)
    {
        let reference = format!("../Users/{}", utf8_percent_encode(value, SEGMENT));
        manager.insert("$ref".into(), reference.into());
    }
}

/// The members of a JSON object in their order, their values unread.
struct Members<'a>(Vec<(Cow<'a, str>, &'a RawValue)>);

impl<'de: 'a, 'a> Deserialize<'de> for Members<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Read;

        impl<'de> Visitor<'de> for Read {
            type Value = Vec<(Cow<'de, str>, &'de RawValue)>;

            fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
                formatter.write_str("a JSON object")
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                let mut members = Vec::with_capacity(16);
                while let Some((Name(name), value)) = map.next_entry()? {
                    members.push((name, value));
                }
                Ok(members)
            }
        }

        deserializer.deserialize_map(Read).map(Self)
    }
}

/// A member's name, borrowed where it has no escapes.
#[derive(Deserialize)]
struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

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

//! A stored resource as its client sees it, and what differs between two states of it.

use memchr::memchr2;
use percent_encoding::{AsciiSet, NON_ALPHANUMERIC, utf8_percent_encode};
use serde::Serialize;
use serde_json::Value;

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
    let mut resource = Object::with_capacity(attributes.len() + 4);
    let core = schemas.core(resource_type).urn.as_ref();
    let extensions = attributes
        .keys()
        .map(String::as_str)
        .filter(|name| is_urn(name));
    let urns: Value = std::iter::once(core).chain(extensions).collect();
    resource.insert("schemas".into(), urns);
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
    let others = connected.map_or(0, |(_, value)| value.len());
    let mut json = Writing(Vec::with_capacity(stored.len() + others + ADDED));
    json.raw("{\"schemas\":[");
    json.text(&schemas.core(resource_type).urn)?;
    let members = members(stored).ok_or_else(|| serde::de::Error::custom("no object as stored"))?;
    for (name, _) in members.iter().filter(|(name, _)| is_urn(name)) {
        json.raw(",");
        json.raw(name);
    }
    json.raw("],\"id\":");
    json.text(id)?;
    if stored.contains("\"manager\"") {
        let enterprise = |name: &str| name.trim_matches('"') == ENTERPRISE_URN;
        for (name, value) in members {
            json.raw(",");
            json.raw(name);
            json.raw(":");
            if enterprise(name) {
                let mut extension = serde_json::from_str(value)?;
                refer_to_manager(&mut extension);
                serde_json::to_writer(&mut json.0, &extension)?;
            } else {
                json.raw(value);
            }
        }
    } else if !members.is_empty() {
        let inside = stored
            .strip_prefix('{')
            .and_then(|rest| rest.strip_suffix('}'));
        json.raw(",");
        json.raw(inside.unwrap_or_default());
    }
    let Meta {
        resource_type,
        created,
        last_modified,
        location,
        version,
    } = *meta;
    for (name, value) in [
        (",\"meta\":{\"resourceType\":", resource_type),
        (",\"created\":", created),
        (",\"lastModified\":", last_modified),
        (",\"location\":", location),
        (",\"version\":", version),
    ] {
        json.raw(name);
        json.text(value)?;
    }
    json.raw("}");
    if let Some((name, value)) = connected {
        json.name(name)?;
        json.raw(value);
    }
    json.raw("}");
    Ok(json.0)
}

/// A JSON object on its way.
struct Writing(Vec<u8>);

impl Writing {
    /// What is JSON already.
    fn raw(&mut self, json: &str) {
        self.0.extend_from_slice(json.as_bytes());
    }

    /// The name of a further member.
    fn name(&mut self, name: &str) -> Result<(), serde_json::Error> {
        self.raw(",");
        self.text(name)?;
        self.raw(":");
        Ok(())
    }

    /// A string. Those that need no escapes, nearly all, are copied as they are.
    fn text(&mut self, text: &str) -> Result<(), serde_json::Error> {
        // All bytes are looked at, many at a time: that is faster than to stop at the first.
        let odd = |byte| byte < b' ' || byte == b'"' || byte == b'\\';
        if text.bytes().fold(false, |found, byte| found | odd(byte)) {
            return serde_json::to_writer(&mut self.0, text);
        }
        self.raw("\"");
        self.raw(text);
        self.raw("\"");
        Ok(())
    }
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

/// The members of a stored object in their order: names in their quotes, and values, which nobody looks into. None if it
/// is not an object as this program writes one: without blanks.
fn members(stored: &str) -> Option<Vec<(&str, &str)>> {
    let mut members = Vec::with_capacity(16);
    let mut rest = stored.strip_prefix('{')?;
    while rest != "}" || !members.is_empty() {
        let (name, after) = rest.split_at_checked(end(rest, b':')?)?;
        let after = after.strip_prefix(':')?;
        let (value, after) = after.split_at_checked(end(after, b',')?)?;
        if !name.starts_with('"') || value.is_empty() {
            return None;
        }
        members.push((name, value));
        match after.strip_prefix(',') {
            Some(more) => rest = more,
            None => return (after == "}").then_some(members),
        }
    }
    Some(members)
}

/// Where `json` ends: at the first `mark` that is in no text, array or object, or at the end of what it is in.
fn end(json: &str, mark: u8) -> Option<usize> {
    let (mut depth, mut rest) = (0, json.as_bytes());
    loop {
        let (byte, after) = rest.split_first()?;
        match byte {
            b'}' | b']' if depth == 0 => break,
            byte if *byte == mark && depth == 0 => break,
            b'{' | b'[' => depth += 1,
            b'}' | b']' => depth -= 1,
            b'"' => {
                rest = behind_text(after)?;
                continue;
            }
            _ => {}
        }
        rest = after;
    }
    json.len().checked_sub(rest.len())
}

/// What stands behind the text that ends in `json`.
fn behind_text(mut json: &[u8]) -> Option<&[u8]> {
    loop {
        let at = memchr2(b'"', b'\\', json)?;
        let (found, after) = json.get(at..)?.split_first()?;
        match found {
            b'"' => return Some(after),
            _ => json = after.get(1..)?,
        }
    }
}

/// What differs between two states of what is stored: for each attribute `{"old": …, "new": …}`, a side that has no
/// value left out. Attributes of an extension stand as `urn:name`.
pub fn changes(old: &Object, new: &Object) -> Object {
    let mut changes = Object::new();
    let empty = Object::new();
    for (name, old, new) in differing(old, new) {
        if is_urn(name) {
            let [old, new] =
                [old, new].map(|side| side.and_then(Value::as_object).unwrap_or(&empty));
            for (inner, old, new) in differing(old, new) {
                note(&mut changes, format!("{name}:{inner}"), old, new);
            }
        } else {
            note(&mut changes, name.to_owned(), old, new);
        }
    }
    changes
}

fn note(changes: &mut Object, name: String, old: Option<&Value>, new: Option<&Value>) {
    let sides = [("old", old), ("new", new)]
        .into_iter()
        .filter_map(|(side, value)| Some((side.to_owned(), value?.clone())))
        .collect();
    changes.insert(name, Value::Object(sides));
}

/// The members that differ, with their values on both sides: those of `old` first.
fn differing<'a>(
    old: &'a Object,
    new: &'a Object,
) -> impl Iterator<Item = (&'a str, Option<&'a Value>, Option<&'a Value>)> {
    let kept = beside(old, new).map(|(name, old, new)| (name, Some(old), new));
    let added = beside(new, old).filter(|(_, _, old)| old.is_none());
    kept.chain(added.map(|(name, new, old)| (name, old, Some(new))))
        .filter(|(_, old, new)| old != new)
}

/// Each member of `one` beside what `other` has under its name: mostly in the same place, where nothing is looked up.
fn beside<'a>(
    one: &'a Object,
    other: &'a Object,
) -> impl Iterator<Item = (&'a str, &'a Value, Option<&'a Value>)> {
    let mut places = other.iter();
    one.iter().map(move |(name, value)| {
        let there = match places.next() {
            Some((here, value)) if here == name => Some(value),
            _ => other.get(name),
        };
        (name.as_str(), value, there)
    })
}

/// Among the keys of what is stored, only an extension's has a colon.
fn is_urn(key: &str) -> bool {
    key.contains(':')
}

//! References from one operation of a bulk request to what another creates: `bulkId:` and the name (RFC 7644 §3.7.2).
//!
//! A reference is a whole string (`bulkId:a`), the last segment of a path or URL (`/Users/bulkId:a`), or a quoted value
//! of a filter (`members[value eq "bulkId:a"]`). Elsewhere in a text the letters are only letters.

use std::collections::BTreeMap;

use serde_json::Value;

const PREFIX: &str = "bulkId:";

/// The names to which `text` refers.
pub(super) fn bulk_ids(text: &str) -> Vec<String> {
    let (mut names, mut rest) = (Vec::new(), text);
    while let Some((_, name, after)) = split(rest) {
        names.push(name.to_owned());
        rest = after;
    }
    names
}

/// Puts ids in the place of references.
pub(super) fn replace(text: &mut String, ids: &BTreeMap<&str, &str>) {
    let (mut replaced, mut rest) = (String::new(), text.as_str());
    while let Some((before, name, after)) = split(rest) {
        replaced.push_str(before);
        replaced.push_str(ids.get(name).copied().unwrap_or_default());
        rest = after;
    }
    if !replaced.is_empty() {
        replaced.push_str(rest);
        *text = replaced;
    }
}

/// Calls `visit` with every string value in `value`; keys are no values.
pub(super) fn each_string(value: &mut Value, visit: &mut impl FnMut(&mut String)) {
    match value {
        Value::String(text) => visit(text),
        Value::Array(items) => items.iter_mut().for_each(|item| each_string(item, visit)),
        Value::Object(members) => members
            .values_mut()
            .for_each(|member| each_string(member, visit)),
        Value::Null | Value::Bool(_) | Value::Number(_) => {}
    }
}

/// The first reference in `text`: what stands before it, its name, what comes after.
fn split(text: &str) -> Option<(&str, &str, &str)> {
    text.match_indices(PREFIX).find_map(|(at, _)| {
        let (before, reference) = text.split_at_checked(at)?;
        let name = reference.strip_prefix(PREFIX)?;
        let end = match before.chars().next_back() {
            None | Some('/') => name.len(),
            Some('"') => name.find('"')?,
            Some(_) => return None,
        };
        let (name, after) = name.split_at_checked(end)?;
        Some((before, name, after))
    })
}

//! Classification: the first mapping from the top that matches gives a new account its profile and storage (design
//! §3.5). The decision is kept in words that hold attribute names and never a value that was sent.

use rusqlite::Connection;
use serde_json::{Value, json};

use super::Refusal;
use super::audit::{Entry, listed};
use crate::scim::resource::Parsed;
use crate::scim::schema::{ENTERPRISE_URN, Schemas, USER_URN};
use crate::scim::{Error, Object, ScimType};
use crate::store::mappings::{self, Mapping};
use crate::store::users::Assignment;

/// Chooses for a new user, in the transaction that creates it. `entry` keeps each mapping tried and why.
pub fn classify(
    connection: &Connection,
    parsed: &Parsed,
    schemas: &Schemas,
    entry: &mut Entry,
) -> Result<Assignment, Refusal> {
    let mut tried = Vec::new();
    let mut winner = None;
    for mapping in mappings::all(connection)? {
        let (matched, why) = try_one(&mapping, parsed, schemas);
        tried.push(json!({"mapping": mapping.name, "matched": matched, "why": why}));
        if matched {
            winner = Some(mapping);
            break;
        }
    }
    let mut decision = Object::new();
    let name = winner.as_ref().map(|mapping| mapping.name.as_str());
    decision.insert("mapping".to_owned(), name.into());
    decision.insert("tried".to_owned(), tried.into());
    entry.mapping = Some(decision);
    let Some(mapping) = winner else {
        entry.because(format!("attributes seen: {}", listed(&parsed.names())));
        return Err(Error::new(
            ScimType::InvalidValue,
            "None of the SCIM Mapping matched to create user",
        )
        .into());
    };
    entry.because(format!("mapping {:?} decided", mapping.name));
    let (storage, enabled) = mappings::storage(connection, mapping.storage)?;
    if !enabled {
        return Err(Refusal::Forbidden(format!(
            "mapping {:?} leads to storage {storage:?}, which is disabled; enable it or change the mapping",
            mapping.name
        )));
    }
    Ok(Assignment {
        profile: mapping.profile,
        storage: mapping.storage,
        quota_gb: mapping.quota_gb,
        mapping: Some(mapping.name),
        activation_email: mapping.activation_email,
    })
}

/// Refuses unless the profile has a free place for one more active account.
pub fn claim_place(connection: &Connection, profile: i64) -> Result<(), Refusal> {
    let profile = mappings::profile(connection, profile)?;
    match profile.max_users {
        Some(max) if profile.active_accounts >= max => Err(Refusal::Forbidden(format!(
            "profile {:?} is full: it has its {max} active accounts; raise its limit or preserve an account",
            profile.name
        ))),
        _ => Ok(()),
    }
}

/// Whether a mapping matches, and why or why not.
fn try_one(mapping: &Mapping, parsed: &Parsed, schemas: &Schemas) -> (bool, String) {
    let Some((attribute, values)) = &mapping.condition else {
        return (true, "any user".to_owned());
    };
    let found = lookup(attribute, parsed, schemas);
    if found.is_empty() {
        return (false, format!("no attribute {attribute}"));
    }
    match found.iter().any(|value| matches(value, values)) {
        true => (true, format!("{attribute} has one of the values")),
        false => (false, format!("{attribute} has none of the values")),
    }
}

/// The values under an attribute's name, which compares with regard to case: a bare name is looked up in the custom
/// extension, then the enterprise extension, then the root; a name behind a URN in that schema alone. What is kept
/// and what will be dropped count alike.
fn lookup<'a>(name: &str, parsed: &'a Parsed, schemas: &Schemas) -> Vec<&'a Value> {
    let objects = [&parsed.attributes, parsed.transient.attributes()];
    let under = |urn: &str, name: &str| -> Vec<&'a Value> {
        let extensions = objects.iter().filter_map(|object| object.get(urn));
        extensions
            .filter_map(|extension| extension.get(name))
            .collect()
    };
    let at_root = |name| {
        objects
            .iter()
            .filter_map(|object| object.get(name))
            .collect()
    };
    match name.rsplit_once(':') {
        Some((USER_URN, name)) => return at_root(name),
        Some((urn, name)) => return under(urn, name),
        None => {}
    }
    for urn in [schemas.custom_urn(), ENTERPRISE_URN] {
        let found = under(urn, name);
        if !found.is_empty() {
            return found;
        }
    }
    at_root(name)
}

/// Whether a value, or one within it, is one of `wanted`, with regard to case.
fn matches(value: &Value, wanted: &[String]) -> bool {
    match value {
        Value::String(text) => wanted.contains(text),
        Value::Bool(_) | Value::Number(_) => wanted.contains(&value.to_string()),
        Value::Array(elements) => elements.iter().any(|element| matches(element, wanted)),
        Value::Object(object) => object
            .get("value")
            .is_some_and(|value| matches(value, wanted)),
        Value::Null => false,
    }
}

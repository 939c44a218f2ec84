//! Classification: the first mapping from the top that matches gives a new account its profile and storage (design
//! §3.5). The decision is kept in words that hold attribute names and never a value that was sent.

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Refusal;
use super::audit::{Entry, listed};
use crate::scim::filter::Filter;
use crate::scim::resource::Parsed;
use crate::scim::schema::{ENTERPRISE_URN, ResourceType, Schemas, USER_URN};
use crate::scim::{Error, Object, ScimType};
use crate::store::mappings::{self, Condition, Mapping};
use crate::store::users::Assignment;
use crate::store::{profiles, storages};

/// What the mappings say about a user.
pub struct Decision {
    /// The first from the top that matches.
    pub winner: Option<Mapping>,
    /// Each mapping that was tried, in order.
    pub tried: Vec<Tried>,
}

/// A mapping that was tried.
#[derive(Debug, Clone, Serialize, JsonSchema)]
#[schemars(rename = "MappingTried")]
pub struct Tried {
    /// Its name.
    pub mapping: String,
    /// Whether it matched.
    pub matched: bool,
    /// Why, or why not.
    pub why: String,
}

/// A decision as the audit and `mapping test` show it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "MappingDecision")]
pub struct Shown {
    /// Name of the mapping that takes the user; null: none does, and the user would be refused.
    mapping: Option<String>,
    /// Name of its profile.
    profile: Option<String>,
    /// Name of its storage.
    storage: Option<String>,
    /// The account's own quota in GB; 0 is unlimited; null follows the profile.
    quota_gb: Option<i64>,
    /// The mappings that were tried, from the top.
    tried: Vec<Tried>,
}

impl Decision {
    /// The decision as it is shown.
    pub fn shown(&self) -> Shown {
        let winner = self.winner.as_ref();
        Shown {
            mapping: winner.map(|mapping| mapping.name.clone()),
            profile: winner.map(|mapping| mapping.profile_name.clone()),
            storage: winner.map(|mapping| mapping.storage_name.clone()),
            quota_gb: winner.and_then(|mapping| mapping.quota_gb),
            tried: self.tried.clone(),
        }
    }

    /// The same as JSON.
    pub fn to_json(&self) -> Object {
        // Its fields always serialise, to an object.
        match serde_json::to_value(self.shown()) {
            Ok(Value::Object(decision)) => decision,
            _ => Object::new(),
        }
    }
}

/// Tries the mappings from the top.
pub fn decide(mappings: &[Mapping], parsed: &Parsed, schemas: &Schemas) -> Decision {
    let mut tried = Vec::new();
    for mapping in mappings {
        let (matched, why) = try_one(mapping, parsed, schemas);
        tried.push(Tried {
            mapping: mapping.name.clone(),
            matched,
            why,
        });
        if matched {
            let winner = Some(mapping.clone());
            return Decision { winner, tried };
        }
    }
    let winner = None;
    Decision { winner, tried }
}

/// Chooses for a new user, in the transaction that creates it. `entry` keeps each mapping tried and why.
pub fn classify(
    connection: &Connection,
    parsed: &Parsed,
    schemas: &Schemas,
    entry: &mut Entry,
) -> Result<Assignment, Refusal> {
    let decision = decide(&mappings::all(connection)?, parsed, schemas);
    entry.mapping = Some(decision.to_json());
    let Some(mapping) = decision.winner else {
        entry.because(format!("attributes seen: {}", listed(&parsed.names())));
        return Err(Error::new(
            ScimType::InvalidValue,
            "None of the SCIM Mapping matched to create user",
        )
        .into());
    };
    entry.because(format!("mapping {:?} decided", mapping.name));
    if !storages::get(connection, mapping.storage)?.enabled {
        return Err(Refusal::Forbidden(format!(
            "mapping {:?} leads to storage {:?}, which is disabled; enable it or change the mapping",
            mapping.name, mapping.storage_name
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
    let profile = profiles::get(connection, profile)?;
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
    match &mapping.condition {
        Condition::Any => (true, "any user".to_owned()),
        Condition::Attribute { name, values } => {
            let found = lookup(name, parsed, schemas);
            if found.is_empty() {
                return (false, format!("no attribute {name}"));
            }
            match found.iter().any(|value| matches(value, values)) {
                true => (true, format!("{name} has one of the values")),
                false => (false, format!("{name} has none of the values")),
            }
        }
        Condition::Filter(text) => match Filter::parse(text, ResourceType::User, schemas) {
            Ok(filter) => match filter.matches(&everything(parsed), ResourceType::User, schemas) {
                true => (true, "the filter matches".to_owned()),
                false => (false, "the filter does not match".to_owned()),
            },
            // It was read when it was stored; a later configuration may know other schemas.
            Err(error) => (false, format!("the filter cannot be read: {error}")),
        },
    }
}

/// What is kept and what will be dropped, in one resource.
fn everything(parsed: &Parsed) -> Object {
    let mut all = parsed.attributes.clone();
    for (name, value) in parsed.transient.attributes() {
        match (all.get_mut(name), value) {
            (Some(Value::Object(kept)), Value::Object(dropped)) => {
                for (name, value) in dropped {
                    kept.entry(name.clone()).or_insert_with(|| value.clone());
                }
            }
            _ => {
                all.insert(name.clone(), value.clone());
            }
        }
    }
    all
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

//! Classification: the first mapping from the top that matches gives a new account its profile and storage (design
//! §3.5). The decision is kept in words that hold attribute names and never a value that was sent.

use std::cell::OnceCell;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::Value;

use super::Refusal;
use super::audit::{Entry, listed};
use crate::scim::filter::Filter;
use crate::scim::resource::Parsed;
use crate::scim::schema::{Place, ResourceType, Schemas};
use crate::scim::{Error, Object, ScimType};
use crate::store::mappings::{self, Condition, Mapping};
use crate::store::storages;
use crate::store::users::Assignment;

/// A user as the mappings see it.
#[derive(Clone, Copy)]
pub enum Seen<'a> {
    /// As it was sent, with what will be dropped.
    Sent(&'a Parsed),
    /// As it is stored. What was dropped is gone: a mapping that looks at it is neither matched nor not.
    Stored(&'a Object),
}

/// A mapping that was tried.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "MappingTried")]
pub struct Tried {
    /// Its name.
    pub mapping: String,
    /// Whether it matched; none if that cannot be known.
    pub matched: Option<bool>,
    /// Why, or why not.
    pub why: String,
}

/// What the mappings say about a user.
pub struct Decision {
    /// The first from the top that matches; none if none does, and if nobody can know which.
    pub winner: Option<Mapping>,
    /// Whether the answer is sure: none above it looks at an attribute of which a value may have been dropped.
    pub known: bool,
    /// Those that were tried, in order: the first of all, the last one matched unless none did.
    pub tried: Vec<Tried>,
}

/// A decision as `mapping test` shows it.
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
    /// Whether the answer is sure: none above it looks at an attribute of which a value may have been dropped.
    known: bool,
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
            known: self.known,
        }
    }

    /// The decision as the audit keeps it.
    pub fn recorded(&self) -> Object {
        // Its fields always serialise, to an object.
        match serde_json::to_value(self.shown()) {
            Ok(Value::Object(mut decision)) => {
                decision.shift_remove("known");
                decision
            }
            _ => Object::new(),
        }
    }
}

/// The mappings, ready to decide about any number of users.
pub struct Rules<'a> {
    rules: Vec<Rule>,
    schemas: &'a Schemas,
}

/// A mapping and, if it has one, its filter as it reads under the present configuration.
struct Rule {
    mapping: Mapping,
    filter: Option<Result<Filter, Error>>,
}

/// Whether a mapping matches, and why or why not.
type Answer = (Option<bool>, String);

impl<'a> Rules<'a> {
    /// These mappings, the top first.
    pub fn new(mappings: Vec<Mapping>, schemas: &'a Schemas) -> Self {
        let rule = |mapping: Mapping| {
            let filter = match &mapping.condition {
                Condition::Filter(text) => Some(Filter::parse(text, ResourceType::User, schemas)),
                Condition::Any | Condition::Attribute { .. } => None,
            };
            Rule { mapping, filter }
        };
        Self {
            rules: mappings.into_iter().map(rule).collect(),
            schemas,
        }
    }

    /// The mappings, the top first.
    pub fn mappings(&self) -> impl Iterator<Item = &Mapping> {
        self.rules.iter().map(|rule| &rule.mapping)
    }

    /// Tries the mappings from the top.
    pub fn decide(&self, seen: Seen<'_>) -> Decision {
        let user = User {
            seen,
            all: OnceCell::new(),
        };
        let mut decision = Decision {
            winner: None,
            known: true,
            tried: Vec::new(),
        };
        for rule in &self.rules {
            let (matched, why) = self.try_one(rule, &user);
            decision.tried.push(Tried {
                mapping: rule.mapping.name.clone(),
                matched,
                why,
            });
            decision.known &= matched.is_some();
            if matched == Some(true) {
                decision.winner = decision.known.then(|| rule.mapping.clone());
                break;
            }
        }
        decision
    }

    fn try_one(&self, rule: &Rule, user: &User<'_>) -> Answer {
        match (&rule.mapping.condition, &rule.filter) {
            (Condition::Attribute { name, values }, _) => match self.lookup(name, user) {
                Err(Dropped) => (None, format!("no value of {name} is kept; cannot know")),
                Ok(None) => (Some(false), format!("no attribute {name}")),
                Ok(Some(value)) => match matches(value, values) {
                    true => (Some(true), format!("{name} has one of the values")),
                    false => (Some(false), format!("{name} has none of the values")),
                },
            },
            (_, Some(Ok(filter))) => self.try_filter(filter, user),
            // It was read when it was stored; a later configuration may know other schemas. What it would say nobody
            // knows, and the ones below must not decide in its place.
            (_, Some(Err(error))) => (None, format!("the filter cannot be read: {error}")),
            (_, None) => (Some(true), "any user".to_owned()),
        }
    }

    fn try_filter(&self, filter: &Filter, user: &User<'_>) -> Answer {
        let known = match user.is_stored() {
            false => Ok(filter.takes(user.attributes(), self.schemas)),
            true => filter.took(user.attributes(), self.schemas),
        };
        match known {
            Ok(true) => (Some(true), "the filter matches".to_owned()),
            Ok(false) => (Some(false), "the filter does not match".to_owned()),
            Err(attr) => (
                None,
                format!("the filter looks at {attr}, of which no value is kept; cannot know"),
            ),
        }
    }

    /// The value under an attribute's name, which compares with regard to case, in the first place that has one.
    fn lookup<'s>(&self, name: &str, user: &'s User<'_>) -> Result<Option<&'s Value>, Dropped> {
        let (urn, name) = apart(name);
        let all = user.attributes();
        for urn in self.schemas.lookup(ResourceType::User, urn) {
            let place = self.schemas.at(ResourceType::User, urn, name);
            if user.is_stored() && place == Place::Unknown {
                return Err(Dropped);
            }
            let found = match urn {
                Some(urn) => all.get(urn).and_then(|extension| extension.get(name)),
                None => all.get(name),
            };
            if found.is_some() {
                return Ok(found);
            }
            // What the configuration keeps it may not have kept yet when the user was made.
            if user.is_stored() && !matches!(place, Place::Known { .. }) {
                return Err(Dropped);
            }
        }
        Ok(None)
    }
}

/// A user under way through the mappings.
struct User<'a> {
    seen: Seen<'a>,
    /// All that was sent; made for the first mapping that looks at an attribute.
    all: OnceCell<Object>,
}

impl User<'_> {
    fn is_stored(&self) -> bool {
        matches!(self.seen, Seen::Stored(_))
    }

    /// What there is of it: all that was sent, or what is kept.
    fn attributes(&self) -> &Object {
        match self.seen {
            Seen::Sent(parsed) => self.all.get_or_init(|| everything(parsed)),
            Seen::Stored(kept) => kept,
        }
    }
}

/// That a value may have been dropped.
struct Dropped;

/// The URN before an attribute's name, if there is one, and the name.
pub(super) fn apart(name: &str) -> (Option<&str>, &str) {
    match name.rsplit_once(':') {
        Some((urn, name)) => (Some(urn), name),
        None => (None, name),
    }
}

/// Chooses for a new user, in the transaction that creates it. `entry` keeps each mapping tried and why.
pub fn classify(
    connection: &Connection,
    parsed: &Parsed,
    schemas: &Schemas,
    entry: &mut Entry,
) -> Result<Assignment, Refusal> {
    let decision = Rules::new(mappings::all(connection)?, schemas).decide(Seen::Sent(parsed));
    entry.mapping = Some(decision.recorded());
    // Of what was sent all is known, but not of a filter that cannot be read any more: it may be this user's.
    if let Some(unread) = decision.tried.iter().find(|tried| tried.matched.is_none()) {
        return Err(Refusal::Forbidden(format!(
            "mapping {:?} cannot decide: {}; replace it, or restore the configuration that it was made under",
            unread.mapping, unread.why
        )));
    }
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

#[cfg(test)]
mod properties;

//! Mappings: the administrator's acts on the rules and their order, and what they would do (design §3.6). How they
//! decide is in [`mapping`](super::mapping).

use std::str::FromStr;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use super::audit::{Entry, Origin};
use super::mapping::{Decision, Rules, Seen};
use super::names::{bounded, checked, taken};
pub use super::warnings::warnings;
use super::{Directory, Refusal, accounts, changed, profiles, storages, users};
use crate::scim::filter::Filter;
use crate::scim::resource::Parsed;
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::{Error, ScimType};
use crate::store::mappings as table;
pub use crate::store::mappings::{Condition, Mapping};

/// A mapping that is to be made.
#[derive(Debug, Clone)]
pub struct NewMapping {
    /// Its name.
    pub name: String,
    /// Whom it takes.
    pub condition: Condition,
    /// Name of the profile.
    pub profile: String,
    /// Name of the storage.
    pub storage: String,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
    /// Whether the local product shall send an activation mail.
    pub activation_email: bool,
}

/// What changes of a mapping; what is none stays. Whom it takes never changes.
#[derive(Debug, Clone, Default)]
pub struct Edit {
    /// Another name.
    pub name: Option<String>,
    /// Name of another profile.
    pub profile: Option<String>,
    /// Name of another storage.
    pub storage: Option<String>,
    /// Another quota in GB; `Some(None)` follows the profile.
    pub quota_gb: Option<Option<i64>>,
}

/// Letters in the name of an attribute at the most, the URN before it among them.
const ATTRIBUTE_LETTERS: usize = 400;

impl NewMapping {
    /// The same with its name trimmed; refused if it can take nobody, whatever is sent.
    fn checked(self, schemas: &Schemas) -> Result<Self, Refusal> {
        let condition = match self.condition {
            Condition::Any => Condition::Any,
            Condition::Attribute { name, values } => {
                if values.is_empty() {
                    return Err(wrong(
                        "the list of values is empty; name at least one, or take any user",
                    ));
                }
                let name = bounded("the name of an attribute", &name, ATTRIBUTE_LETTERS)?;
                Condition::Attribute { name, values }
            }
            Condition::Filter(filter) => {
                Filter::parse(&filter, ResourceType::User, schemas)?;
                Condition::Filter(filter)
            }
        };
        let name = checked("mapping", &self.name)?;
        Ok(Self {
            name,
            condition,
            ..self
        })
    }
}

/// The values of a list as an administrator writes it: apart at `;` if there is one, else at `,`, without blanks around
/// them (design §3.5, §8).
pub fn split_values(list: &str) -> Vec<String> {
    let separator = if list.contains(';') { ';' } else { ',' };
    trimmed(list.split(separator))
}

/// Values without blanks around them, and without empty ones.
pub fn trimmed<'a>(values: impl Iterator<Item = &'a str>) -> Vec<String> {
    values
        .map(str::trim)
        .filter(|value| !value.is_empty())
        .map(str::to_owned)
        .collect()
}

/// A mapping as scripts see it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "Mapping")]
pub struct Shown {
    /// Its name.
    name: String,
    /// Whether it takes any user.
    any: bool,
    /// It takes who has one of `values` under this name.
    attribute: Option<String>,
    /// The values.
    values: Option<Vec<String>>,
    /// It takes whom this SCIM filter matches.
    filter: Option<String>,
    /// Name of the profile.
    profile: String,
    /// Name of the storage.
    storage: String,
    /// The account's own quota in GB; 0 is unlimited; null follows the profile.
    quota_gb: Option<i64>,
    /// Whether the local product shall send an activation mail.
    activation_email: bool,
}

impl From<&Mapping> for Shown {
    fn from(mapping: &Mapping) -> Self {
        let (any, attribute, values, filter) = match mapping.condition.clone() {
            Condition::Any => (true, None, None, None),
            Condition::Attribute { name, values } => (false, Some(name), Some(values), None),
            Condition::Filter(filter) => (false, None, None, Some(filter)),
        };
        Self {
            name: mapping.name.clone(),
            any,
            attribute,
            values,
            filter,
            profile: mapping.profile_name.clone(),
            storage: mapping.storage_name.clone(),
            quota_gb: mapping.quota_gb,
            activation_email: mapping.activation_email,
        }
    }
}

/// A mapping as scripts see it, as JSON.
pub fn to_json(mapping: &Mapping) -> Value {
    // Its fields always serialise.
    serde_json::to_value(Shown::from(mapping)).unwrap_or_default()
}

impl Directory {
    /// All mappings, the top first.
    pub fn mappings(&self) -> Result<Vec<Mapping>, Refusal> {
        Ok(self.store.readers.short(table::all)?)
    }

    /// Makes a mapping: in the last place, but above a trailing one for any user. Gives the mappings as they are then,
    /// and its place in them, from 1.
    pub async fn add_mapping(
        &self,
        origin: &Origin,
        new: NewMapping,
    ) -> Result<(Vec<Mapping>, usize), Refusal> {
        let schemas = self.view.schemas.clone();
        let entry = Entry::new("mapping.add", 0).about("mapping", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(new.name.trim().to_owned());
            let new = new.checked(&schemas)?;
            let (mut mappings, place) = with_new(connection, new, None)?;
            if let Some(mapping) = mappings.get_mut(place - 1) {
                mapping.id = table::insert(connection, mapping)?;
                entry.changes = Some(changed(&Value::Null, &to_json(mapping)));
            }
            table::reorder(connection, &mappings)?;
            entry.because(format!("in place {place}"));
            Ok((mappings, place))
        })
        .await
    }

    /// What [`Directory::add_mapping`] would make, or why it would not. Changes nothing.
    pub fn new_mapping(&self, new: NewMapping) -> Result<(Vec<Mapping>, usize), Refusal> {
        let new = new.checked(self.schemas())?;
        self.store
            .readers
            .short(|connection| with_new(connection, new, None))
    }

    /// Changes a mapping's name or target. Later creations follow it; the accounts that it made stay as they are.
    pub async fn edit_mapping(
        &self,
        origin: &Origin,
        name: &str,
        mut edit: Edit,
    ) -> Result<Mapping, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("mapping.edit", 0).about("mapping", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            if let Some(name) = &mut edit.name {
                *name = checked("mapping", name)?;
            }
            let mappings = table::all(connection)?;
            let place = place_of(&mappings, &name)?;
            let before = mappings.get(place).ok_or_else(|| not_found(&name))?;
            let mut after = before.clone();
            if let Some(name) = edit.name {
                let other = mappings
                    .iter()
                    .any(|other| other.name == name && other.id != before.id);
                if other {
                    return Err(taken("mapping", &name));
                }
                after.name = name;
            }
            if let Some(profile) = edit.profile {
                let profile = profiles::existing(connection, &profile)?;
                (after.profile, after.profile_name) = (profile.id, profile.name);
            }
            if let Some(storage) = edit.storage {
                let storage = storages::existing(connection, &storage)?;
                (after.storage, after.storage_name) = (storage.id, storage.name);
            }
            if let Some(quota_gb) = edit.quota_gb {
                after.quota_gb = quota_gb;
            }
            entry.record(changed(&to_json(before), &to_json(&after)));
            table::update(connection, &after)?;
            Ok(after)
        })
        .await
    }

    /// Moves a mapping to another place. Gives the mappings in their new order.
    pub async fn move_mapping(
        &self,
        origin: &Origin,
        name: &str,
        to: To,
    ) -> Result<Vec<Mapping>, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("mapping.move", 0).about("mapping", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            let (mappings, before, after) = moved(table::all(connection)?, &name, to)?;
            entry.record(changed(
                &json!({"position": before}),
                &json!({"position": after}),
            ));
            table::reorder(connection, &mappings)?;
            Ok(mappings)
        })
        .await
    }

    /// Removes a mapping. The accounts that it made stay. Gives the mappings that are left.
    pub async fn remove_mapping(
        &self,
        origin: &Origin,
        name: &str,
    ) -> Result<Vec<Mapping>, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("mapping.remove", 0).about("mapping", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            let mut mappings = table::all(connection)?;
            let mapping = mappings.remove(place_of(&mappings, &name)?);
            entry.changes = Some(changed(&to_json(&mapping), &Value::Null));
            table::remove(connection, mapping.id)?;
            table::reorder(connection, &mappings)?;
            Ok(mappings)
        })
        .await
    }

    /// What the mappings would decide for a new user, without writing anything.
    pub fn test_mappings(&self, mut parsed: Parsed) -> Result<Decision, Refusal> {
        users::active(&mut parsed.attributes);
        Ok(Rules::new(self.mappings()?, self.schemas()).decide(Seen::Sent(&parsed)))
    }

    /// What the mappings would decide for the user with this id or username, by what is stored of it.
    pub fn test_mappings_on(&self, name: &str) -> Result<Decision, Refusal> {
        self.store.readers.short(|connection| {
            let user = accounts::found(connection, &accounts::identified(connection, name)?)?;
            let rules = Rules::new(table::all(connection)?, self.schemas());
            Ok(rules.decide(Seen::Stored(&user.resource)))
        })
    }
}

/// A change of the mappings that is only thought of.
#[derive(Debug, Clone)]
pub enum Plan {
    /// None: the mappings as they stand.
    Present,
    /// A mapping that is not there yet, in this place, from 1, or where it would enter.
    New(NewMapping, Option<usize>),
    /// A mapping of this name in another place.
    Move(String, To),
}

/// Where a mapping goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// To this place, from 1.
    Place(usize),
    /// One place up, unless it is the top.
    Up,
    /// One place down, unless it is the last.
    Down,
}

impl FromStr for To {
    type Err = &'static str;

    fn from_str(word: &str) -> Result<Self, Self::Err> {
        match word {
            "up" => Ok(Self::Up),
            "down" => Ok(Self::Down),
            number => match number.parse() {
                Ok(place) => Ok(Self::Place(place)),
                Err(_) => Err("expected a number from 1, up or down"),
            },
        }
    }
}

impl Plan {
    /// Refuses a new mapping that could not be made.
    pub(super) fn checked(self, schemas: &Schemas) -> Result<Self, Refusal> {
        Ok(match self {
            Self::New(new, at) => Self::New(new.checked(schemas)?, at),
            plan => plan,
        })
    }

    /// The mappings as they would be, the top first.
    pub(super) fn mappings(self, connection: &Connection) -> Result<Vec<Mapping>, Refusal> {
        match self {
            Self::Present => Ok(table::all(connection)?),
            Self::New(new, at) => Ok(with_new(connection, new, at)?.0),
            Self::Move(name, to) => Ok(moved(table::all(connection)?, &name, to)?.0),
        }
    }
}

/// The mappings with a new one among them, which is not stored and has no row number, and its place, from 1. It enters
/// last, but above a trailing mapping for any user (design §8), unless `at` says where.
fn with_new(
    connection: &Connection,
    new: NewMapping,
    at: Option<usize>,
) -> Result<(Vec<Mapping>, usize), Refusal> {
    let mut mappings = table::all(connection)?;
    if mappings.iter().any(|mapping| mapping.name == new.name) {
        return Err(taken("mapping", &new.name));
    }
    let profile = profiles::existing(connection, &new.profile)?;
    let storage = storages::existing(connection, &new.storage)?;
    let last_is_any = mappings
        .last()
        .is_some_and(|last| last.condition == Condition::Any);
    let place = at.unwrap_or(mappings.len() + 1 - usize::from(last_is_any));
    in_range(place, mappings.len() + 1)?;
    let mapping = Mapping {
        id: 0,
        name: new.name,
        condition: new.condition,
        profile: profile.id,
        storage: storage.id,
        profile_name: profile.name,
        storage_name: storage.name,
        quota_gb: new.quota_gb,
        activation_email: new.activation_email,
    };
    mappings.insert(place - 1, mapping);
    Ok((mappings, place))
}

/// The mappings with one of them in another place, where it was and where it is, from 1.
fn moved(
    mut mappings: Vec<Mapping>,
    name: &str,
    to: To,
) -> Result<(Vec<Mapping>, usize, usize), Refusal> {
    let before = place_of(&mappings, name)? + 1;
    let after = match to {
        To::Place(place) => place,
        To::Up => before.saturating_sub(1).max(1),
        To::Down => (before + 1).min(mappings.len()),
    };
    in_range(after, mappings.len())?;
    let mapping = mappings.remove(before - 1);
    mappings.insert(after - 1, mapping);
    Ok((mappings, before, after))
}

/// Refuses a place that is none of these many.
fn in_range(place: usize, places: usize) -> Result<(), Refusal> {
    match (1..=places).contains(&place) {
        true => Ok(()),
        false => Err(wrong(format!("there are {places} places; 1 is the top"))),
    }
}

fn wrong(detail: impl Into<String>) -> Refusal {
    Refusal::Invalid(Error::new(ScimType::InvalidValue, detail))
}

fn not_found(name: &str) -> Refusal {
    Refusal::NotFound {
        what: "mapping",
        id: name.to_owned(),
    }
}

fn place_of(mappings: &[Mapping], name: &str) -> Result<usize, Refusal> {
    mappings
        .iter()
        .position(|mapping| mapping.name == name)
        .ok_or_else(|| not_found(name))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn values_come_apart_at_semicolons_else_at_commas() {
        for (list, values) in [
            ("Sales", &["Sales"][..]),
            ("Sales, Marketing ,IT", &["Sales", "Marketing", "IT"]),
            ("Druva,ind; Druva,usa", &["Druva,ind", "Druva,usa"]),
            ("Druva,ind;", &["Druva,ind"]),
            ("", &[]),
            (" , ;", &[","]),
        ] {
            assert_eq!(split_values(list), values, "{list}");
        }
    }
}

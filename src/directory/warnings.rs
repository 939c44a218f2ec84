//! What an administrator should know about the mappings as they stand: those that are never reached, and conditions that
//! cannot be what was meant.

use super::mapping::apart;
use super::mappings::{Condition, Mapping};
use crate::scim::filter::Filter;
use crate::scim::schema::{Attribute, Place, ResourceType, Schemas, Type};

/// What an administrator should know about these mappings, the top first: sentences.
pub fn warnings(mappings: &[Mapping], schemas: &Schemas) -> Vec<String> {
    let mut warnings = Vec::new();
    let any = mappings
        .iter()
        .position(|mapping| mapping.condition == Condition::Any);
    match any.and_then(|place| Some((mappings.get(place)?, mappings.len() - place - 1))) {
        Some((_, 0)) => {}
        Some((any, below)) => warnings.push(format!(
            "mapping {:?} takes any user, so the {below} below it are never reached",
            any.name
        )),
        None => warnings
            .push("no mapping takes any user: a user that none matches is refused".to_owned()),
    }
    for mapping in mappings {
        let of_condition = of_condition(&mapping.condition, schemas).into_iter();
        warnings
            .extend(of_condition.map(|warning| format!("mapping {:?} {warning}", mapping.name)));
    }
    warnings
}

fn of_condition(condition: &Condition, schemas: &Schemas) -> Vec<String> {
    match condition {
        Condition::Any => Vec::new(),
        Condition::Attribute { values, .. } if values.is_empty() => {
            vec!["has no values and takes nobody".to_owned()]
        }
        Condition::Attribute { name, .. } => {
            let (urn, bare) = apart(name);
            let (first, sub) = bare.split_once('.').unwrap_or((bare, ""));
            if is_never_sent(urn, first, schemas) {
                return vec![never_sent(name)];
            }
            let without_value = |attribute: &Attribute| {
                attribute.ty == Type::Complex && attribute.sub("value").is_none()
            };
            match schemas.resolve(ResourceType::User, urn, first) {
                Place::Known { attribute, .. } if !sub.is_empty() || without_value(attribute) => {
                    vec![format!(
                        "looks for a value of {name}; only a filter looks at sub-attributes"
                    )]
                }
                _ => Vec::new(),
            }
        }
        Condition::Filter(text) => match Filter::parse(text, ResourceType::User, schemas) {
            Err(error) => vec![format!(
                "cannot decide and refuses whoever comes to it: the filter cannot be read: {error}"
            )],
            Ok(filter) => {
                let mut names: Vec<_> = filter
                    .attributes()
                    .into_iter()
                    .filter(|attr| is_never_sent(attr.urn.as_deref(), &attr.name, schemas))
                    .map(ToString::to_string)
                    .collect();
                names.sort_unstable();
                names.dedup();
                names.iter().map(|name| never_sent(name)).collect()
            }
        },
    }
}

fn never_sent(name: &str) -> String {
    format!("looks at {name}, which no new user has at the root")
}

/// Whether a name is that of an attribute at the root which the mappings never see: the server alone writes it, or it is
/// a password. Behind the URN of an extension it may be anything.
fn is_never_sent(urn: Option<&str>, name: &str, schemas: &Schemas) -> bool {
    matches!(
        schemas.resolve(ResourceType::User, urn, name),
        Place::Known { urn: None, attribute } if !attribute.is_stored()
    )
}

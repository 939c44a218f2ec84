//! Filters lowered to SQL: what an index can answer becomes a condition with parameters, and the rest is left to the
//! evaluation in memory. The two agree by construction: a condition never leaves out a user that matches, and only
//! where it is `exact` does it stand alone.

use rusqlite::types::Value;

use super::text;
use super::users::{Status, username_key};
use crate::scim::filter::evaluate::{Collation, Key};
use crate::scim::filter::{CompareOp, Filter, Literal, Scope};
use crate::scim::path::AttrPath;
use crate::scim::schema::{Place, ResourceType, Schemas};

/// The SQL condition for a filter.
#[derive(Debug, Clone)]
pub struct Condition {
    /// The text, to stand behind AND.
    pub sql: String,
    /// Its parameters, in order.
    pub parameters: Vec<Value>,
    /// The users that it selects are those that match, not more.
    pub exact: bool,
    /// It selects few users, by an index.
    pub indexed: bool,
}

impl Condition {
    /// Selects every user; as a lowered filter, one that SQL cannot tell about.
    fn everything(exact: bool) -> Self {
        Self {
            sql: "1".to_owned(),
            parameters: Vec::new(),
            exact,
            indexed: false,
        }
    }

    fn exact(sql: &str, parameters: impl Into<Vec<Value>>, indexed: bool) -> Self {
        Self {
            sql: sql.to_owned(),
            parameters: parameters.into(),
            exact: true,
            indexed,
        }
    }
}

/// The condition for the users that `filter` matches; all users if there is none.
pub fn users(filter: Option<&Filter>, schemas: &Schemas) -> Condition {
    match filter {
        None => Condition::everything(true),
        Some(filter) => lower(filter, schemas),
    }
}

fn lower(filter: &Filter, schemas: &Schemas) -> Condition {
    match filter {
        Filter::And(terms) => join(terms, " AND ", schemas),
        Filter::Or(terms) => join(terms, " OR ", schemas),
        Filter::Not(term) => {
            let term = lower(term, schemas);
            match term.exact {
                // A comparison with a missing value is null in SQL and false in memory.
                true => Condition {
                    sql: format!("NOT coalesce({}, 0)", term.sql),
                    indexed: false,
                    ..term
                },
                false => Condition::everything(false),
            }
        }
        Filter::Compare { attr, op, value } => compare(attr, *op, value, schemas),
        Filter::Element { attr, filter } => element(attr, filter, schemas),
        Filter::Present(_) => Condition::everything(false),
    }
}

fn join(terms: &[Filter], operator: &str, schemas: &Schemas) -> Condition {
    let terms: Vec<_> = terms.iter().map(|term| lower(term, schemas)).collect();
    let all = operator == " OR ";
    let indexed = |condition: &Condition| condition.indexed;
    Condition {
        exact: terms.iter().all(|term| term.exact),
        indexed: match all {
            true => terms.iter().all(indexed),
            false => terms.iter().any(indexed),
        },
        sql: format!(
            "({})",
            terms
                .iter()
                .map(|term| term.sql.as_str())
                .collect::<Vec<_>>()
                .join(operator)
        ),
        parameters: terms.into_iter().flat_map(|term| term.parameters).collect(),
    }
}

/// A comparison of one of the attributes that have a column and an index.
fn compare(attr: &AttrPath, op: CompareOp, literal: &Literal, schemas: &Schemas) -> Condition {
    let unknown = Condition::everything(false);
    let meaning = Scope::Resource(ResourceType::User, schemas).meaning(attr);
    let (
        Place::Known {
            urn: None,
            attribute,
        },
        Some(compared),
    ) = (meaning.place, meaning.compared())
    else {
        return unknown;
    };
    let literal = serde_json::Value::from(literal);
    let Some(key) = Collation::of(compared).and_then(|collation| collation.key(&literal)) else {
        return unknown;
    };
    let equal = op == CompareOp::Equal;
    match (attribute.name, compared.name, key) {
        ("userName", _, Key::Text(key)) if equal => {
            let name = username_key(&key);
            Condition::exact(
                "(username_key = ? AND user_name_key = ?)",
                [name.into(), key.into_owned().into()],
                true,
            )
        }
        ("displayName", _, Key::Text(key)) if equal => {
            Condition::exact("display_name_key = ?", [key.into_owned().into()], true)
        }
        ("externalId", _, Key::Text(key)) if equal => {
            Condition::exact("external_id = ?", [key.into_owned().into()], true)
        }
        ("id", _, Key::Text(key)) if equal => {
            Condition::exact("id = ?", [key.into_owned().into()], true)
        }
        ("emails", "value", Key::Text(key)) if equal => by_email(&key),
        ("active", _, Key::Boolean(active)) if equal => {
            let status = match active {
                true => Status::Active,
                false => Status::Preserved,
            };
            Condition::exact("status = ?", [status.as_str().to_owned().into()], false)
        }
        ("meta", "lastModified", Key::Instant(at)) if at.subsec_nanosecond() % 1_000_000 == 0 => {
            match ordering(op) {
                Some(operator) => Condition::exact(
                    &format!("modified {operator} ?"),
                    [text::instant(at).into()],
                    equal,
                ),
                None => unknown,
            }
        }
        _ => unknown,
    }
}

/// The SQL operator of a comparison that orders.
fn ordering(op: CompareOp) -> Option<&'static str> {
    match op {
        CompareOp::Equal => Some("="),
        CompareOp::NotEqual => Some("<>"),
        CompareOp::Greater => Some(">"),
        CompareOp::GreaterOrEqual => Some(">="),
        CompareOp::Less => Some("<"),
        CompareOp::LessOrEqual => Some("<="),
        CompareOp::Contains | CompareOp::StartsWith | CompareOp::EndsWith => None,
    }
}

/// `emails[type eq "work" and value eq "x"]`: the index finds who has the address, memory looks at its type.
fn element(attr: &AttrPath, filter: &Filter, schemas: &Schemas) -> Condition {
    let meaning = Scope::Resource(ResourceType::User, schemas).meaning(attr);
    let Place::Known {
        urn: None,
        attribute,
    } = meaning.place
    else {
        return Condition::everything(false);
    };
    let terms = match filter {
        Filter::And(terms) => terms.as_slice(),
        term => std::slice::from_ref(term),
    };
    let value = terms.iter().find_map(|term| match term {
        Filter::Compare {
            attr,
            op: CompareOp::Equal,
            value: Literal::String(value),
        } if attr.name.eq_ignore_ascii_case("value") => Some(value),
        _ => None,
    });
    match value {
        Some(value) if attribute.name == "emails" => Condition {
            exact: false,
            ..by_email(&crate::scim::fold::fold(value))
        },
        _ => Condition::everything(false),
    }
}

fn by_email(key: &str) -> Condition {
    Condition::exact(
        "seq IN (SELECT user FROM user_email WHERE value_key = ?)",
        [key.to_owned().into()],
        true,
    )
}

//! Evaluation of filters on values in memory (RFC 7644 §3.4.2.2), and the one definition of how two values compare,
//! to which the lowering to SQL has to keep:
//!
//! - Text of a caseExact=false attribute compares by its [`fold`](fold::fold)ed key, of a caseExact=true attribute as
//!   it is; `eq`, `co`, `sw`, `ew` look at these keys, and `gt`, `ge`, `lt`, `le` order them by their UTF-8 bytes.
//! - Instants compare as points in time, whatever their offset and number of decimals.
//! - Null, empty text, the empty list and the empty object are no value. `ne` holds for an attribute without a value,
//!   and for one that has a value other than the literal; every other comparison needs a value for which it holds.
//!   `eq null` is the absence of a value, `ne null` its presence.
//! - Nothing holds for an attribute that no schema has and that the resource does not hold.

use std::borrow::Cow;
use std::cmp::Ordering;

use jiff::Timestamp;
use serde_json::Value;

use super::{CompareOp, Filter, Literal, Meaning, Scope};
use crate::scim::path::AttrPath;
use crate::scim::schema::{Attribute, Place, ResourceType, Schemas, Type};
use crate::scim::{Object, fold};

/// How the values of an attribute compare.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Collation {
    /// Text without regard to case.
    Folded,
    /// Text as it is.
    Exact,
    /// `true` and `false`, and the strings that stand for them (C-67).
    Boolean,
    /// RFC 3339 instants.
    Instant,
    /// Numbers, as 64-bit floats. Only extensions that are kept whole can hold them.
    Number,
}

/// What is compared of a value.
#[derive(Debug, Clone, PartialEq, PartialOrd)]
pub enum Key<'a> {
    /// Of [`Collation::Folded`] and [`Collation::Exact`].
    Text(Cow<'a, str>),
    /// Of [`Collation::Boolean`].
    Boolean(bool),
    /// Of [`Collation::Instant`].
    Instant(Timestamp),
    /// Of [`Collation::Number`].
    Number(f64),
}

impl Collation {
    /// That of an attribute; a complex one has none.
    pub fn of(attribute: &Attribute) -> Option<Self> {
        match attribute.ty {
            Type::String | Type::Reference | Type::Binary if attribute.case_exact => {
                Some(Self::Exact)
            }
            Type::String | Type::Reference | Type::Binary => Some(Self::Folded),
            Type::Boolean => Some(Self::Boolean),
            Type::DateTime => Some(Self::Instant),
            Type::Complex => None,
        }
    }

    /// That of a value which no schema describes.
    fn of_value(value: &Value) -> Self {
        match value {
            Value::Bool(_) => Self::Boolean,
            Value::Number(_) => Self::Number,
            _ => Self::Folded,
        }
    }

    /// What is compared of `value`, a stored value or a literal; none if it is not of this kind.
    pub fn key(self, value: &Value) -> Option<Key<'_>> {
        let text = match value {
            Value::String(text) => Cow::Borrowed(text.as_str()),
            Value::Number(_) | Value::Bool(_) => Cow::Owned(value.to_string()),
            Value::Null | Value::Array(_) | Value::Object(_) => return None,
        };
        match self {
            Self::Exact => Some(Key::Text(text)),
            Self::Folded => Some(Key::Text(match text {
                Cow::Borrowed(text) => fold::fold(text),
                Cow::Owned(text) => Cow::Owned(fold::fold(&text).into_owned()),
            })),
            Self::Boolean => [true, false]
                .into_iter()
                .find(|boolean| text.eq_ignore_ascii_case(&boolean.to_string()))
                .map(Key::Boolean),
            Self::Instant => text.parse().ok().map(Key::Instant),
            Self::Number => text.parse().ok().map(Key::Number),
        }
    }
}

impl CompareOp {
    /// Whether a stored value compares so with the literal's; both keys are of one collation.
    pub fn holds(self, stored: &Key, literal: &Key) -> bool {
        let order = stored.partial_cmp(literal);
        match self {
            Self::Equal => order == Some(Ordering::Equal),
            Self::NotEqual => order != Some(Ordering::Equal),
            Self::Greater => order == Some(Ordering::Greater),
            Self::GreaterOrEqual => order.is_some_and(Ordering::is_ge),
            Self::Less => order == Some(Ordering::Less),
            Self::LessOrEqual => order.is_some_and(Ordering::is_le),
            Self::Contains | Self::StartsWith | Self::EndsWith => match (stored, literal) {
                (Key::Text(text), Key::Text(part)) => match self {
                    Self::StartsWith => text.starts_with(part.as_ref()),
                    Self::EndsWith => text.ends_with(part.as_ref()),
                    _ => text.contains(part.as_ref()),
                },
                _ => false,
            },
        }
    }

    /// Whether the operator has a meaning for a type (RFC 7644 table 3). `co`, `sw` and `ew` look into text, and an
    /// instant is none.
    fn fits(self, ty: Type) -> bool {
        match self {
            Self::Equal | Self::NotEqual => true,
            Self::Contains | Self::StartsWith | Self::EndsWith => {
                !matches!(ty, Type::Boolean | Type::DateTime)
            }
            Self::Greater | Self::GreaterOrEqual | Self::Less | Self::LessOrEqual => {
                !matches!(ty, Type::Boolean | Type::Binary)
            }
        }
    }
}

/// Whether what `meaning` names can be compared so with `literal`; if not, why.
pub(super) fn check(
    meaning: &Meaning<'_>,
    op: CompareOp,
    literal: &Literal,
) -> Result<(), &'static str> {
    if *literal == Literal::Null {
        return match op {
            CompareOp::Equal | CompareOp::NotEqual => Ok(()),
            _ => Err("compares with null by eq and ne only"),
        };
    }
    if meaning.leaf.is_none() {
        return Ok(());
    }
    let Some(attribute) = meaning.compared() else {
        return Err("is complex: name one of its sub-attributes");
    };
    if !op.fits(attribute.ty) {
        return Err("is of a type that the operator does not fit");
    }
    let literal = Value::from(literal);
    match Collation::of(attribute).and_then(|collation| collation.key(&literal)) {
        Some(_) => Ok(()),
        None if attribute.ty == Type::Boolean => Err("is a boolean: compare it with true or false"),
        None => Err("is a dateTime: compare it with a text such as \"2030-01-31T12:00:00Z\""),
    }
}

impl Filter {
    /// Whether a resource matches: its full JSON, with `id`, `meta` and `schemas`.
    pub fn matches(
        &self,
        resource: &Object,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> bool {
        self.holds(Scope::Resource(resource_type, schemas), resource)
    }

    /// Whether a new user matches the condition of a mapping: all that was sent, what is not kept among it.
    pub fn takes(&self, sent: &Object, schemas: &Schemas) -> bool {
        self.holds(Scope::Mapping(schemas), sent)
    }

    /// Whether an element of `attribute` matches, where the filter is that of a valuePath. Only an object can.
    pub fn matches_element(&self, element: &Value, attribute: &Attribute) -> bool {
        element
            .as_object()
            .is_some_and(|element| self.holds(Scope::Element(Some(attribute)), element))
    }

    /// The element that the filter of a valuePath describes: `{"type":"work"}` for `type eq "work"` (T-03, C-54).
    /// Takes `eq` terms joined by `and`, with names and types from the schema. None if it is no such conjunction, if
    /// it names an unknown sub-attribute, or if what it describes would not match it: building that would add an
    /// element with every repetition.
    pub fn implied(&self, attribute: &Attribute) -> Option<Object> {
        let mut element = Object::new();
        self.imply(attribute, &mut element)?;
        self.holds(Scope::Element(Some(attribute)), &element)
            .then_some(element)
    }

    fn imply(&self, parent: &Attribute, element: &mut Object) -> Option<()> {
        match self {
            Self::And(terms) => terms
                .iter()
                .try_for_each(|term| term.imply(parent, element)),
            Self::Compare {
                attr,
                op: CompareOp::Equal,
                value,
            } => {
                let attribute = parent.sub(&attr.name)?;
                let value = match (Collation::of(attribute)?, Value::from(value)) {
                    (_, Value::Null) => return Some(()),
                    (Collation::Boolean, value) => match Collation::Boolean.key(&value)? {
                        Key::Boolean(boolean) => Value::Bool(boolean),
                        _ => return None,
                    },
                    (_, Value::String(text)) => Value::String(text),
                    (_, other) => Value::String(other.to_string()),
                };
                element.insert(attribute.name.to_owned(), value);
                Some(())
            }
            _ => None,
        }
    }

    /// Whether `node`, a resource or an element as `scope` says, matches.
    pub(super) fn holds(&self, scope: Scope<'_>, node: &Object) -> bool {
        match self {
            Self::And(terms) => terms.iter().all(|term| term.holds(scope, node)),
            Self::Or(terms) => terms.iter().any(|term| term.holds(scope, node)),
            Self::Not(filter) => !filter.holds(scope, node),
            Self::Present(attr) => !held(scope, node, attr).values.is_empty(),
            Self::Compare { attr, op, value } => compare(held(scope, node, attr), *op, value),
            Self::Element { attr, filter } => {
                let Held { meaning, values } = held(scope, node, attr);
                let inner = Scope::Element(meaning.attribute());
                values
                    .into_iter()
                    .filter_map(Value::as_object)
                    .any(|element| filter.holds(inner, element))
            }
        }
    }
}

fn compare(Held { meaning, values }: Held<'_, '_>, op: CompareOp, literal: &Literal) -> bool {
    if values.is_empty() && !meaning.is_known() {
        return false;
    }
    if *literal == Literal::Null {
        return values.is_empty() == (op == CompareOp::Equal);
    }
    // What stands for an element, or for a complex attribute, is its `value`.
    let mut values = values
        .into_iter()
        .filter_map(|value| match value {
            Value::Object(object) => get(object, "value").filter(|value| has_value(value)),
            simple => Some(simple),
        })
        .peekable();
    if values.peek().is_none() {
        return op == CompareOp::NotEqual;
    }
    let literal = Value::from(literal);
    let collation = meaning.compared().and_then(Collation::of);
    values.any(|value| {
        let collation = collation.unwrap_or_else(|| Collation::of_value(value));
        match (collation.key(value), collation.key(&literal)) {
            (Some(stored), Some(literal)) => op.holds(&stored, &literal),
            _ => op == CompareOp::NotEqual,
        }
    })
}

/// What a resource holds of an attribute.
struct Held<'v, 'p> {
    /// What its name stands for there.
    meaning: Meaning<'p>,
    /// Of a multi-valued attribute all, of an absent one none.
    values: Vec<&'v Value>,
}

/// What `node` holds of `attr`, in the first place that holds something.
fn held<'v, 'p>(scope: Scope<'p>, node: &'v Object, attr: &'p AttrPath) -> Held<'v, 'p> {
    let Some((place, value)) = scope.places(attr).into_iter().find_map(|(urn, place)| {
        let name = place.name().unwrap_or(&attr.name);
        let value = under(node, urn, name).filter(|value| has_value(value))?;
        Some((place, value))
    }) else {
        return Held {
            meaning: scope.meaning(attr),
            values: Vec::new(),
        };
    };
    let values = items(value).iter();
    Held {
        meaning: Meaning::new(place, attr),
        values: match &attr.sub {
            None => values.filter(|value| has_value(value)).collect(),
            Some(sub) => values
                .filter_map(|value| get(value.as_object()?, sub))
                .flat_map(items)
                .filter(|value| has_value(value))
                .collect(),
        },
    }
}

/// Whether what `kept` holds of `attr` is what all of the resource held: no place that drops values stands before it, or has
/// dropped them until the configuration came to keep them.
pub(super) fn is_sure(scope: Scope<'_>, kept: &Object, attr: &AttrPath) -> bool {
    for (urn, place) in scope.places(attr) {
        if place == Place::Unknown {
            return false;
        }
        let name = place.name().unwrap_or(&attr.name);
        if under(kept, urn, name).is_some_and(has_value) {
            return true;
        }
        if !matches!(place, Place::Known { .. }) {
            return false;
        }
    }
    true
}

/// The value by which a resource is sorted (RFC 7644 §3.4.2.3): of a multi-valued attribute that of the primary element,
/// else of the first; of what is complex its `value`.
pub(in crate::scim) fn sorted_by<'v>(
    scope: Scope<'_>,
    resource: &'v Object,
    attr: &AttrPath,
) -> Option<&'v Value> {
    let whole = AttrPath {
        sub: None,
        ..attr.clone()
    };
    let elements = held(scope, resource, &whole).values;
    let primary = elements
        .iter()
        .find(|element| element.get("primary") == Some(&Value::Bool(true)));
    let element = *primary.or(elements.first())?;
    let value = match (element, &attr.sub) {
        (Value::Object(object), sub) => get(object, sub.as_deref().unwrap_or("value"))?,
        (simple, None) => simple,
        (_, Some(_)) => return None,
    };
    has_value(value).then_some(value)
}

/// The member `name` of a resource, or of its extension `urn`.
fn under<'v>(node: &'v Object, urn: Option<&str>, name: &str) -> Option<&'v Value> {
    match urn {
        Some(urn) => get(get(node, urn)?.as_object()?, name),
        None => get(node, name),
    }
}

/// The member `name`, in any letter case: what no schema describes is held as it was sent.
fn get<'v>(object: &'v Object, name: &str) -> Option<&'v Value> {
    object.get(name).or_else(|| {
        object
            .iter()
            .find(|(key, _)| key.eq_ignore_ascii_case(name))
            .map(|(_, value)| value)
    })
}

/// The elements of a list, or the one value.
fn items(value: &Value) -> &[Value] {
    match value {
        Value::Array(items) => items,
        single => std::slice::from_ref(single),
    }
}

/// Whether something is there: null, empty text and what is empty are no values (RFC 7643 §2.5).
fn has_value(value: &Value) -> bool {
    match value {
        Value::Null => false,
        Value::String(text) => !text.is_empty(),
        Value::Array(items) => !items.is_empty(),
        Value::Object(members) => !members.is_empty(),
        Value::Bool(_) | Value::Number(_) => true,
    }
}

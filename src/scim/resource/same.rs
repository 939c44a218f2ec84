//! Which values of a list are the same. Indexes never name a value: values are found by what they hold (T-26). Where
//! many are compared with many, each is folded once.

use std::collections::{HashMap, HashSet};

use serde_json::Value;

use crate::scim::schema::Attribute;
use crate::scim::{Object, fold};

/// What an element with a `value` is told by: this, and its `type` where that counts, both [folded](folded).
type Identity = (String, Option<String>);

/// The elements of a list, to find the one that another names.
pub(super) struct Known<'a> {
    attribute: &'a Attribute,
    /// The first places of those with a `value`, by it alone and with their `type`.
    identified: HashMap<Identity, usize>,
    /// Those without, and their places.
    others: Vec<(Object, usize)>,
}

impl<'a> Known<'a> {
    pub fn new(attribute: &'a Attribute, list: &[Value]) -> Self {
        let mut known = Self {
            attribute,
            identified: HashMap::new(),
            others: Vec::new(),
        };
        for (place, element) in list.iter().enumerate() {
            if let Some(element) = element.as_object() {
                known.learn(element, place);
            }
        }
        known
    }

    /// Takes note of an element at the end of the list.
    pub fn learn(&mut self, element: &Object, place: usize) {
        match identity(self.attribute, element) {
            Some((value, kind)) => {
                if kind.is_some() {
                    let typed = (value.clone(), kind);
                    self.identified.entry(typed).or_insert(place);
                }
                self.identified.entry((value, None)).or_insert(place);
            }
            None => self.others.push((key(self.attribute, element), place)),
        }
    }

    /// The place of the first element that `new` names; without a `value` it names none that has one.
    pub fn place(&self, new: &Object) -> Option<usize> {
        match identity(self.attribute, new) {
            Some(identity) => self.identified.get(&identity).copied(),
            None => {
                let new = key(self.attribute, new);
                let mut others = self.others.iter();
                others
                    .find(|(old, _)| includes(old, &new))
                    .map(|(_, place)| *place)
            }
        }
    }
}

/// The elements that a removal lists.
pub(super) struct Listed<'a> {
    attribute: &'a Attribute,
    identified: HashSet<Identity>,
    others: Vec<Object>,
}

impl<'a> Listed<'a> {
    pub fn new(attribute: &'a Attribute, elements: &[Object]) -> Self {
        let (mut identified, mut others) = (HashSet::new(), Vec::new());
        for element in elements {
            match identity(attribute, element) {
                Some(identity) => _ = identified.insert(identity),
                None => others.push(key(attribute, element)),
            }
        }
        Self {
            attribute,
            identified,
            others,
        }
    }

    /// Whether one of them names `old`.
    pub fn names(&self, old: &Object) -> bool {
        if let Some((value, kind)) = identity(self.attribute, old) {
            let typed = (value, kind);
            if self.identified.contains(&typed) || self.identified.contains(&(typed.0, None)) {
                return true;
            }
        }
        !self.others.is_empty() && {
            let old = key(self.attribute, old);
            self.others.iter().any(|new| includes(&old, new))
        }
    }
}

/// Whether `new` names the value that `old` is: the same `value`, and the same `type` if it says one (RFC 7643 §2.4);
/// or else, without a `value`, nothing that `old` does not hold.
pub(super) fn covers(attribute: &Attribute, old: &Object, new: &Object) -> bool {
    match identity(attribute, new) {
        Some((value, kind)) => identity(attribute, old)
            .is_some_and(|old| old.0 == value && (kind.is_none() || old.1 == kind)),
        None => holds(attribute, old, new),
    }
}

/// Whether `old` has all these sub-attributes.
pub(super) fn holds(attribute: &Attribute, old: &Object, new: &Object) -> bool {
    new.iter().all(|(name, value)| {
        attribute
            .sub(name)
            .is_some_and(|sub| same(sub, old.get(name), Some(value)))
    })
}

/// Whether two values of an attribute are the same.
pub(super) fn same(attribute: &Attribute, a: Option<&Value>, b: Option<&Value>) -> bool {
    match (a, b) {
        (Some(Value::String(a)), Some(Value::String(b))) if !attribute.case_exact => {
            fold::same(a, b)
        }
        _ => a == b,
    }
}

fn identity(attribute: &Attribute, element: &Object) -> Option<Identity> {
    let text = |name: &str| Some(folded(attribute, name, element.get(name)?.as_str()?));
    Some((text("value")?, text("type")))
}

/// An element as it compares, all of its text folded.
fn key(attribute: &Attribute, element: &Object) -> Object {
    let members = element.iter().map(|(name, value)| {
        let value = match value {
            Value::String(text) => folded(attribute, name, text).into(),
            other => other.clone(),
        };
        (name.clone(), value)
    });
    members.collect()
}

/// A text of the sub-attribute `name` as it compares.
fn folded(attribute: &Attribute, name: &str, text: &str) -> String {
    match attribute.sub(name) {
        Some(sub) if sub.case_exact => text.to_owned(),
        _ => fold::fold(text).into_owned(),
    }
}

fn includes(old: &Object, new: &Object) -> bool {
    new.iter().all(|(name, value)| old.get(name) == Some(value))
}

//! The one place where an attribute of a resource changes. A body is a series of replacements on an empty resource, a
//! PATCH a series of changes on a stored one; that both come through here is why they agree.

use serde_json::Value;

use super::bag::not_an_object;
use super::list::{change_elements, change_list, change_single};
use super::value::{is_empty, prune};
use super::work::{Work, weight_of};
use crate::scim::filter::Filter;
use crate::scim::path::{AttrPath, Path};
use crate::scim::schema::{Attribute, COMMON, Mutability, Place, ResourceType, Schemas, find};
use crate::scim::{Error, Object, ScimType};

/// The attribute that a stored user always has: without it nobody could say whether the account is in use.
const ACTIVE: &str = "active";

/// Names of an extension that is kept as it comes which are looked through, for one in any letter case, in the time of
/// a step of [`Work`].
const NAMES_A_STEP: usize = 64;

/// What happens to a target. A value that means "absent" takes away what is there (C-47, C-64).
#[derive(Clone)]
pub(in crate::scim) enum Change {
    /// Sets a single value, completes a list.
    Add(Value),
    /// Sets a single value or a whole list.
    Replace(Value),
    /// Takes away everything, or only the values that are listed; of a list nothing, where none is.
    Remove(Option<Value>),
}

/// How the client named the target.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(in crate::scim) enum Naming {
    /// As a key among others: what cannot be written is passed over, and a bare name is one at the root.
    Key,
    /// By a path of its own: what cannot be written is an error, and a bare name may be one of an extension.
    Path,
}

/// A resource that is being changed.
pub(in crate::scim) struct Editor<'a> {
    resource_type: ResourceType,
    schemas: &'a Schemas,
    /// What is stored: canonical names, values of the right type, nothing empty.
    pub attributes: Object,
    /// Values that are not stored, under their names and URNs.
    pub transient: Object,
    /// Names of what was not stored.
    pub skipped: Vec<String>,
    work: Work,
}

/// The part of an attribute that a path means.
struct Part<'p> {
    /// Paths to multi-valued attributes alone have one.
    filter: Option<&'p Filter>,
    sub: Option<&'p str>,
}

impl<'a> Editor<'a> {
    pub fn new(attributes: Object, resource_type: ResourceType, schemas: &'a Schemas) -> Self {
        Self {
            resource_type,
            schemas,
            attributes,
            transient: Object::new(),
            skipped: Vec::new(),
            work: Work::new(),
        }
    }

    /// Makes one change. After an error the editor is of no more use.
    pub fn change(&mut self, path: &Path, change: Change, naming: Naming) -> Result<(), Error> {
        match path {
            Path::Extension(urn) => self.change_extension(urn, change),
            Path::Attribute(attr) => {
                let sub = attr.sub.as_deref();
                self.change_attribute(attr, Part { filter: None, sub }, change, naming)
            }
            Path::Element { attr, filter, sub } => {
                let part = Part {
                    filter: Some(filter),
                    sub: sub.as_deref(),
                };
                self.change_attribute(attr, part, change, naming)
            }
        }
    }

    fn change_extension(&mut self, urn: &str, change: Change) -> Result<(), Error> {
        let removed = match &change {
            Change::Add(value) | Change::Replace(value) => is_empty(value),
            Change::Remove(listed) => listed.as_ref().is_none_or(is_empty),
        };
        if !removed {
            return Err(not_an_object(urn));
        }
        // An empty value adds nothing and therefore takes nothing away.
        if !matches!(change, Change::Add(_)) {
            let urn = self.canonical(urn);
            self.attributes.shift_remove(urn);
        }
        Ok(())
    }

    fn change_attribute(
        &mut self,
        attr: &AttrPath,
        part: Part<'_>,
        change: Change,
        naming: Naming,
    ) -> Result<(), Error> {
        let schemas = self.schemas;
        let place = match (naming, attr.urn.as_deref()) {
            (Naming::Key, None) => schemas.at_root(self.resource_type, &attr.name),
            (_, urn) => schemas.resolve(self.resource_type, urn, &attr.name),
        };
        match place {
            Place::Unknown => self.skip_unknown(attr, &part, change),
            Place::Open { urn } => self.change_loose(Some(urn), &attr.name, &part, change)?,
            Place::Known { urn, attribute } if schemas.kept_at_root().contains(attribute) => {
                self.change_loose(urn, attribute.name, &part, change)?;
            }
            Place::Known { urn, attribute } => {
                if self.is_writable(attribute, &change, naming)? {
                    self.change_known(urn, attribute, &part, change)?;
                }
            }
        }
        Ok(())
    }

    /// Whether the client may write here. What the server writes itself is passed over in a body and an error by a
    /// path (RFC 7644 §3.5.2); `schemas` follows from what is stored, and `password` is never stored.
    fn is_writable(
        &mut self,
        attribute: &Attribute,
        change: &Change,
        naming: Naming,
    ) -> Result<bool, Error> {
        let read_only = attribute.mutability == Mutability::ReadOnly;
        if read_only && naming == Naming::Path {
            return Err(Error::new(
                ScimType::Mutability,
                format!("{} cannot be changed by a client", attribute.name),
            ));
        }
        let common = find(&COMMON, attribute.name).is_some();
        if common {
            return Ok(false);
        }
        if read_only || attribute.mutability == Mutability::WriteOnly {
            if change.has_value() {
                self.skipped.push(attribute.name.to_owned());
            }
            return Ok(false);
        }
        Ok(true)
    }

    fn change_known(
        &mut self,
        urn: Option<&str>,
        attribute: &Attribute,
        part: &Part<'_>,
        change: Change,
    ) -> Result<(), Error> {
        let sub = match part.sub {
            None => None,
            Some(name) => match attribute.sub(name) {
                Some(sub) => Some(sub),
                None => {
                    if change.has_value() {
                        self.skip(urn, format!("{}.{name}", attribute.name));
                    }
                    return Ok(());
                }
            },
        };
        if attribute.multi_valued && part.filter.is_none() && change.removes_none() {
            self.skip(urn, lists_none(attribute));
            return Ok(());
        }
        let old = self.take(urn, attribute.name);
        self.work.spend(old.as_ref().map_or(1, weight_of))?;
        let fixed = (attribute.required || attribute.name == ACTIVE)
            .then(|| old.clone())
            .flatten();
        let mut skipped = Vec::new();
        let new = if attribute.multi_valued {
            let mut list = match old {
                Some(Value::Array(list)) => list,
                _ => vec![],
            };
            match (part.filter, sub) {
                (None, None) => {
                    change_list(attribute, &mut list, change, &mut skipped, &mut self.work)?;
                }
                (filter, sub) => change_elements(
                    attribute,
                    &mut list,
                    filter,
                    sub,
                    change,
                    &mut skipped,
                    &mut self.work,
                )?,
            }
            (!list.is_empty()).then_some(Value::Array(list))
        } else {
            change_single(attribute, old, sub, change, &mut skipped)?
        };
        for name in skipped {
            self.skip(urn, name);
        }
        let new = match (new, fixed) {
            (None, Some(_)) if attribute.required => {
                return Err(Error::new(
                    ScimType::Mutability,
                    format!("{} is required and cannot be removed", attribute.name),
                ));
            }
            (None, Some(old)) => {
                self.skip(urn, attribute.name.to_owned());
                Some(old)
            }
            (new, _) => new,
        };
        self.put(urn, attribute.name, new);
        Ok(())
    }

    /// Changes an attribute that is kept as it comes. Any value replaces the old one: no schema says what it is.
    fn change_loose(
        &mut self,
        urn: Option<&str>,
        name: &str,
        part: &Part<'_>,
        change: Change,
    ) -> Result<(), Error> {
        if part.filter.is_some() {
            self.skip(urn, name.to_owned());
            return Ok(());
        }
        let (names, name) = match self.holder(urn) {
            Some(holder) => (holder.len(), own_name(holder, name).unwrap_or(name)),
            None => (0, name),
        };
        let name = name.to_owned();
        let old = self.take(urn, &name);
        let inner = old.as_ref().and_then(Value::as_object);
        self.work
            .spend((names + inner.map_or(0, Object::len)) / NAMES_A_STEP)?;
        let new = match part.sub {
            None => loose(old, change),
            Some(sub) => loose_sub(old, sub, change),
        };
        self.put(urn, &name, new);
        Ok(())
    }

    /// Names what is not stored, and keeps its value at hand for the mappings.
    fn skip_unknown(&mut self, attr: &AttrPath, part: &Part<'_>, change: Change) {
        let name = match part.sub {
            Some(sub) => format!("{}.{sub}", attr.name),
            None => attr.name.clone(),
        };
        let urn = attr.urn.as_deref().map(|urn| self.canonical(urn));
        if let Change::Add(value) | Change::Replace(value) = change {
            let Some(value) = prune(value) else { return };
            let holder = match urn {
                None => Some(&mut self.transient),
                Some(urn) => object_at(&mut self.transient, urn),
            };
            if let Some(holder) = holder {
                holder.insert(name.clone(), value);
            }
        }
        self.skip(urn, name);
    }

    fn skip(&mut self, urn: Option<&str>, name: String) {
        self.skipped.push(match urn {
            Some(urn) => format!("{urn}:{name}"),
            None => name,
        });
    }

    /// The URN in the letter case of the schema table, if it is there.
    fn canonical<'u>(&self, urn: &'u str) -> &'u str
    where
        'a: 'u,
    {
        self.schemas
            .urns(self.resource_type)
            .into_iter()
            .find(|known| known.eq_ignore_ascii_case(urn))
            .unwrap_or(urn)
    }

    fn holder(&self, urn: Option<&str>) -> Option<&Object> {
        match urn {
            None => Some(&self.attributes),
            Some(urn) => self.attributes.get(urn)?.as_object(),
        }
    }

    /// Takes a value out and leaves its place free, so that the order stays.
    fn take(&mut self, urn: Option<&str>, name: &str) -> Option<Value> {
        let holder = match urn {
            None => Some(&mut self.attributes),
            Some(urn) => self.attributes.get_mut(urn)?.as_object_mut(),
        };
        holder?.get_mut(name).map(Value::take)
    }

    /// Puts a value in its place, or clears the place. An extension left empty goes.
    fn put(&mut self, urn: Option<&str>, name: &str, value: Option<Value>) {
        let holder = match urn {
            None => Some(&mut self.attributes),
            Some(urn) => object_at(&mut self.attributes, urn),
        };
        let Some(holder) = holder else { return };
        match value {
            Some(value) => holder.insert(name.to_owned(), value),
            None => holder.shift_remove(name),
        };
        if let Some(urn) = urn
            && self.holder(Some(urn)).is_some_and(Object::is_empty)
        {
            self.attributes.shift_remove(urn);
        }
    }
}

impl Change {
    /// Whether there is something that would be stored or taken away.
    fn has_value(&self) -> bool {
        match self {
            Self::Add(value) | Self::Replace(value) => !is_empty(value),
            Self::Remove(_) => true,
        }
    }

    /// Whether this removes the values of a list that are named, and names none. Only a removal without a value is one
    /// of all (C-100, C-101, T-05).
    pub fn removes_none(&self) -> bool {
        matches!(self, Self::Remove(Some(listed)) if is_empty(listed))
    }
}

/// What is said of a removal that [removes none](Change::removes_none).
pub(in crate::scim) fn lists_none(attribute: &Attribute) -> String {
    format!("{} (a removal that lists none)", attribute.name)
}

fn loose(old: Option<Value>, change: Change) -> Option<Value> {
    match change {
        Change::Add(value) | Change::Replace(value) => prune(value),
        Change::Remove(listed) => {
            let listed = listed.and_then(prune);
            old.filter(|old| listed.as_ref().is_some_and(|listed| listed != old))
        }
    }
}

/// Changes what `sub` holds in an object. A value that is none has nothing to lose, but gives way to one.
fn loose_sub(old: Option<Value>, sub: &str, change: Change) -> Option<Value> {
    let (mut object, plain) = match old {
        Some(Value::Object(object)) => (object, None),
        other => (Object::new(), other),
    };
    let sub = own_name(&object, sub).unwrap_or(sub).to_owned();
    let inner = object.get_mut(&sub).map(Value::take);
    match loose(inner, change) {
        Some(value) => object.insert(sub, value),
        None => object.shift_remove(&sub),
    };
    if object.is_empty() {
        plain
    } else {
        Some(Value::Object(object))
    }
}

fn object_at<'o>(object: &'o mut Object, urn: &str) -> Option<&'o mut Object> {
    object
        .entry(urn)
        .or_insert_with(|| Value::Object(Object::new()))
        .as_object_mut()
}

/// The key of `object` that is `name` in any letter case.
fn own_name<'o>(object: &'o Object, name: &str) -> Option<&'o str> {
    object
        .keys()
        .map(String::as_str)
        .find(|key| key.eq_ignore_ascii_case(name))
}

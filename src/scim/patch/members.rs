//! The members of a group, apart from its other attributes: a group may have 100,000 of them, and no change of a few
//! may read them all. What is wanted of them is told as a list of changes by id, for the store to carry out in order
//! (C-96..C-105).

use std::collections::HashSet;

use serde_json::Value;

use super::{Operation, Patch};
use crate::scim::filter::{CompareOp, Filter, Literal};
use crate::scim::path::{AttrPath, Path};
use crate::scim::resource::{Change, coerce, distinct, is_empty, lists_none};
use crate::scim::schema::{Attribute, Place, ResourceType, Schemas};
use crate::scim::{Error, Object, ScimType};

/// The attribute that is set apart.
const MEMBERS: &str = "members";

/// A change of a group's members. Adding one that is there and removing one that is not change nothing (C-97, C-99).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum MemberChange {
    /// These as well, by id.
    Add(Vec<String>),
    /// Not these, by id.
    Remove(Vec<String>),
    /// None (C-100).
    Clear,
    /// These and no others (C-102).
    Replace(Vec<String>),
}

/// A group's PATCH, in two parts that do not depend on each other.
#[derive(Debug, Clone)]
pub struct Split {
    /// What happens to the members, in this order (C-105).
    pub members: Vec<MemberChange>,
    /// The other operations, for [`super::apply()`].
    pub rest: Patch,
    /// Names of what was sent about members and is not stored.
    pub skipped: Vec<String>,
}

/// Takes the operations on members out of the PATCH of a group.
pub fn take_members(patch: Patch, schemas: &Schemas) -> Result<Split, Error> {
    let mut split = Split {
        members: Vec::new(),
        rest: Patch {
            operations: Vec::new(),
        },
        skipped: Vec::new(),
    };
    for operation in patch.operations {
        let attribute = match &operation.path {
            Path::Attribute(attr) | Path::Element { attr, .. } => members(attr, schemas),
            Path::Extension(_) => None,
        };
        match attribute {
            None => split.rest.operations.push(operation),
            Some(attribute) => split.take(attribute, operation)?,
        }
    }
    split.skipped = distinct(split.skipped);
    Ok(split)
}

/// Takes the members out of the attributes of a group's POST or PUT: their ids.
pub fn members_of(attributes: &mut Object) -> Vec<String> {
    match attributes.shift_remove(MEMBERS) {
        Some(Value::Array(values)) => values.into_iter().filter_map(id).collect(),
        _ => vec![],
    }
}

impl Split {
    fn take(&mut self, attribute: &Attribute, operation: Operation) -> Result<(), Error> {
        let (filter, sub) = match operation.path {
            Path::Element { filter, sub, .. } => (Some(filter), sub),
            Path::Attribute(attr) => (None, attr.sub),
            Path::Extension(_) => (None, None),
        };
        // Only the id is stored of a member: everything else the server tells by itself.
        if let Some(sub) = sub
            .as_deref()
            .filter(|sub| !sub.eq_ignore_ascii_case("value"))
        {
            self.skipped.push(format!("{MEMBERS}.{sub}"));
            return Ok(());
        }
        match (filter, operation.change) {
            (None, Change::Add(value)) => {
                let added = self.read(attribute, None, value)?;
                self.members.push(MemberChange::Add(added));
            }
            (None, Change::Replace(value)) => {
                let all = self.read(attribute, None, value)?;
                self.members.push(MemberChange::Replace(all));
            }
            (None, Change::Remove(None)) => self.members.push(MemberChange::Clear),
            // A value, also an empty one, never means all (C-101, T-05).
            (None, change) if change.removes_none() => self.skipped.push(lists_none(attribute)),
            (None, Change::Remove(Some(value))) => {
                let listed = self.read(attribute, None, value)?;
                self.members.push(MemberChange::Remove(listed));
            }
            (Some(filter), Change::Remove(value)) => {
                let mut ids = ids(&filter, attribute).ok_or_else(not_by_id)?;
                // T-06. An empty value beside a filter says nothing.
                if let Some(value) = value.filter(|value| !is_empty(value)) {
                    let listed: HashSet<_> =
                        self.read(attribute, None, value)?.into_iter().collect();
                    ids.retain(|id| listed.contains(id));
                }
                self.members.push(MemberChange::Remove(ids));
            }
            (Some(filter), Change::Add(value)) => {
                let added = self.read(attribute, Some(&filter), value)?;
                self.members.push(MemberChange::Add(added));
            }
            (Some(filter), Change::Replace(value)) => {
                let added = self.read(attribute, Some(&filter), value)?;
                match ids(&filter, attribute) {
                    Some(ids) => self.members.push(MemberChange::Remove(ids)),
                    // The members of a kind are not replaced by one: it joins them.
                    None => {
                        let kind = filter.implied(attribute);
                        if kind.is_none_or(|kind| kind.keys().any(|name| name != "type")) {
                            return Err(not_by_id());
                        }
                    }
                }
                self.members.push(MemberChange::Add(added));
            }
        }
        Ok(())
    }

    /// The members that `value` names, in any of its forms (C-96, C-104), with what `filter` says about them.
    fn read(
        &mut self,
        attribute: &Attribute,
        filter: Option<&Filter>,
        value: Value,
    ) -> Result<Vec<String>, Error> {
        let implied = filter
            .and_then(|filter| filter.implied(attribute))
            .unwrap_or_default();
        let Some(Value::Array(values)) = coerce(attribute, value, &mut self.skipped)? else {
            return Ok(vec![]);
        };
        let mut members = Vec::with_capacity(values.len());
        for mut value in values {
            if let Value::Object(given) = &mut value {
                for (name, implied) in &implied {
                    given.entry(name.clone()).or_insert_with(|| implied.clone());
                }
            }
            match id(value) {
                Some(id) => members.push(id),
                None => self.skipped.push(MEMBERS.to_owned()),
            }
        }
        Ok(members)
    }
}

/// The description of `members`, if that is what the path names.
fn members<'s>(attr: &AttrPath, schemas: &'s Schemas) -> Option<&'s Attribute> {
    match schemas.resolve(ResourceType::Group, attr.urn.as_deref(), &attr.name) {
        Place::Known { attribute, .. } if attribute.name == MEMBERS => Some(attribute),
        _ => None,
    }
}

/// The id of a member; what has none is no member.
fn id(member: Value) -> Option<String> {
    Some(member.get("value")?.as_str()?.to_owned())
}

/// The ids that a filter names: `value eq "a"`, alone or joined by `or`. Whether a member is also what other terms ask
/// for, nobody could tell without reading it.
fn ids(filter: &Filter, attribute: &Attribute) -> Option<Vec<String>> {
    match filter {
        Filter::Or(terms) => {
            let ids: Option<Vec<_>> = terms.iter().map(|term| ids(term, attribute)).collect();
            Some(ids?.into_iter().flatten().collect())
        }
        Filter::Compare {
            attr: AttrPath {
                name, sub: None, ..
            },
            op: CompareOp::Equal,
            value: Literal::String(id),
        } => {
            let named = attribute.sub(name)?.name;
            (named == "value").then(|| vec![id.clone()])
        }
        _ => None,
    }
}

/// The refusal of a filter that names no [`ids`].
fn not_by_id() -> Error {
    Error::new(
        ScimType::InvalidFilter,
        "a member is found by its value alone: members[value eq \"id\"]",
    )
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;
    use crate::scim::patch::{apply, parse};
    use crate::scim::schema::{CUSTOM_URN, GROUP_URN};

    fn table() -> Schemas {
        Schemas::new(CUSTOM_URN, &[])
    }

    fn operations(operations: Value) -> Value {
        json!({"Operations": operations})
    }

    #[test]
    fn groups() {
        let stored = json!({"displayName": "g"}).as_object().unwrap().clone();
        let member = |id: &str| id.to_owned();
        let ids = |ids: &[&str]| ids.iter().map(|id| (*id).to_owned()).collect::<Vec<_>>();
        let rows = [
            (
                "C-96 and C-104",
                json!([{"op": "Add", "path": "members", "value": [{"$ref": null, "value": "U1"}, {"value": "U2", "displayName": "n"}]},
                   {"name": "addMember", "op": "add", "path": "members", "value": "string id 1"}]),
                vec![
                    MemberChange::Add(vec![member("U1"), member("U2")]),
                    MemberChange::Add(vec![member("string id 1")]),
                ],
                "g",
                ids(&["members.displayName"]),
            ),
            (
                "C-98 and C-101",
                json!([{"op": "Remove", "path": "members", "value": [{"$ref": null, "value": "U1"}]},
                   {"op": "Remove", "path": "members", "value": []},
                   {"op": "Remove", "path": "members", "value": ""},
                   {"op": "Remove", "path": "members", "value": null}]),
                vec![MemberChange::Remove(ids(&["U1"]))],
                "g",
                ids(&["members (a removal that lists none)"]),
            ),
            (
                "T-06",
                json!([{"op": "remove", "path": "members[value eq \"U1\"]", "value": [{"value": "U2"}]},
                   {"op": "remove", "path": "members[value eq \"U1\" or value eq \"U2\"]", "value": [{"value": "U2"}]},
                   {"op": "remove", "path": "members[value eq \"U3\"]", "value": null}]),
                vec![
                    MemberChange::Remove(vec![]),
                    MemberChange::Remove(ids(&["U2"])),
                    MemberChange::Remove(ids(&["U3"])),
                ],
                "g",
                vec![],
            ),
            (
                "C-53 and C-99",
                json!([{"op": "remove", "path": "members[value eq \"U1\"]"},
                   {"op": "remove", "path": format!("{GROUP_URN}:members[value eq \"U1\" or value eq \"U2\"]")},
                   {"op": "remove", "path": "members[VALUE eq \"U3\"].value"}]),
                vec![
                    MemberChange::Remove(ids(&["U1"])),
                    MemberChange::Remove(ids(&["U1", "U2"])),
                    MemberChange::Remove(ids(&["U3"])),
                ],
                "g",
                vec![],
            ),
            (
                "C-100",
                json!([{"op": "remove", "path": "members"}]),
                vec![MemberChange::Clear],
                "g",
                vec![],
            ),
            (
                "C-102",
                json!([{"op": "replace", "path": "members", "value": [{"value": "U1"}]}]),
                vec![MemberChange::Replace(vec![member("U1")])],
                "g",
                vec![],
            ),
            (
                "C-95, P5, C-105",
                json!([{"op": "add", "path": "members", "value": "U1"},
                   {"op": "replace", "value": {"displayName": "n", "Members": [{"value": "U2"}]}},
                   {"op": "remove", "path": "members[value eq \"U2\"]"}]),
                vec![
                    MemberChange::Add(vec![member("U1")]),
                    MemberChange::Replace(vec![member("U2")]),
                    MemberChange::Remove(ids(&["U2"])),
                ],
                "n",
                vec![],
            ),
            (
                "discovery mode",
                json!([{"op": "add", "path": "members[type eq \"Group\"].value", "value": "G2"},
                   {"op": "add", "path": "members[value eq \"U1\"].display", "value": "n"},
                   {"op": "replace", "path": "members[value eq \"U1\"]", "value": {"value": "U2"}},
                   {"op": "add", "path": "members", "value": [{"display": "n"}]}]),
                vec![
                    MemberChange::Add(vec![member("G2")]),
                    MemberChange::Remove(ids(&["U1"])),
                    MemberChange::Add(vec![member("U2")]),
                    MemberChange::Add(vec![]),
                ],
                "g",
                ids(&["members", "members.display"]),
            ),
        ];
        for (case, sent, members, name, skipped) in rows {
            let patch = parse(operations(sent), ResourceType::Group, &table()).expect(case);
            let split = take_members(patch, &table()).expect(case);
            assert_eq!(split.members, members, "{case}");
            assert_eq!(split.skipped, skipped, "{case}");
            let result = apply(&split.rest, &stored, ResourceType::Group, &table()).expect(case);
            assert_eq!(
                Value::Object(result.attributes),
                json!({"displayName": name}),
                "{case}"
            );
        }
        // Who a member is besides its id is not looked at, so nothing is done by it.
        for (op, filter) in [
            ("remove", "type eq \"secret\""),
            ("remove", "value eq \"U1\" and type eq \"secret\""),
            ("remove", "value eq \"U1\" or display eq \"secret\""),
            ("remove", "not (value eq \"secret\")"),
            ("replace", "value eq \"U1\" and type eq \"secret\""),
            ("replace", "value ne \"secret\""),
            ("replace", "display eq \"secret\""),
        ] {
            let path = format!("members[{filter}]");
            let patch = operations(json!([{"op": op, "path": path, "value": [{"value": "U1"}]}]));
            let patch = parse(patch, ResourceType::Group, &table()).unwrap();
            let error = take_members(patch, &table()).unwrap_err();
            assert_eq!(error.kind, ScimType::InvalidFilter, "{op} {filter}");
            assert!(!error.detail.contains("secret"));
        }

        let mut attributes = json!({"displayName": "g", "members": [{"value": "U1", "type": "User"}, {"display": "n"}]})
        .as_object()
        .unwrap()
        .clone();
        let found = members_of(&mut attributes);
        assert_eq!(found, [member("U1")]);
        assert!(!attributes.contains_key("members"));
    }
}

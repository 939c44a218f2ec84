//! PATCH of stored resources. The input is a PatchOp message with the resource beside it, under `stored`.

use scimlite::scim::patch::{Patch, Patched, apply, parse, take_members};
use scimlite::scim::resource::changes;
use scimlite::scim::schema::ResourceType;
use scimlite::scim::{Error, Object};
use serde_json::{Value, json};

use super::{SCHEMAS, TYPES, assert_discreet, assert_stored_form, read};

/// Any bytes as a resource and its PATCH.
pub fn check(data: &[u8]) {
    let Ok(Value::Object(mut body)) = serde_json::from_slice(data) else {
        return;
    };
    let stored = body.remove("stored").unwrap_or_else(|| json!({}));
    let body = Value::Object(body);
    for resource_type in TYPES {
        if let Ok(stored) = read(stored.clone(), resource_type) {
            check_body(&stored.attributes, &body, resource_type);
        }
    }
}

/// A PATCH that is accepted leaves a resource in the form in which one is stored; one that is refused tells nothing.
pub(super) fn check_body(stored: &Object, body: &Value, resource_type: ResourceType) {
    let patch = match parse(body.clone(), resource_type, &SCHEMAS) {
        Ok(patch) => patch,
        Err(error) => return assert_discreet(body, [error.detail.as_str()]),
    };
    if resource_type == ResourceType::Group {
        check_members(stored, &patch, body);
    }
    match carry_out(&patch, stored, resource_type) {
        Err(error) => assert_discreet(body, [error.detail.as_str()]),
        Ok(patched) => {
            assert_discreet(body, patched.skipped.iter().map(String::as_str));
            check_patched(stored, &patch, &patched, resource_type);
        }
    }
}

fn check_patched(stored: &Object, patch: &Patch, patched: &Patched, resource_type: ResourceType) {
    assert_stored_form(&patched.attributes, resource_type);
    for name in ["userName", "displayName", "active"] {
        let kept = name != "displayName" || resource_type == ResourceType::Group;
        if kept && stored.contains_key(name) {
            assert!(patched.attributes.contains_key(name), "{name} is gone");
        }
    }
    let told = changes(stored, &patched.attributes);
    assert_eq!(
        told.is_empty(),
        *stored == patched.attributes,
        "the audit would tell {told:?}"
    );
    // One operation after the other comes to the same as all at once, and each done twice is done once.
    let mut stepwise = stored.clone();
    for operation in &patch.operations {
        let one = Patch {
            operations: vec![operation.clone()],
        };
        let once = carry_out(&one, &stepwise, resource_type).expect("a part of what was accepted");
        let twice = carry_out(&one, &once.attributes, resource_type).expect("the same again");
        assert_eq!(once, twice, "the same again changes something");
        assert_order(&stepwise, &once.attributes);
        stepwise = once.attributes;
    }
    assert_eq!(
        stepwise, patched.attributes,
        "operations depend on one another"
    );
    let nothing = json!({"Operations": [{"op": "replace", "value": patched.attributes}]});
    let nothing = parse(nothing, resource_type, &SCHEMAS).expect("what is stored is a bag");
    let same = carry_out(&nothing, &patched.attributes, resource_type).expect("what is stored");
    assert_eq!(
        same.attributes, patched.attributes,
        "to replace by itself changes something"
    );
}

/// What is in both has kept its place among the others.
fn assert_order(before: &Object, after: &Object) {
    let kept = before.keys().filter(|name| after.contains_key(*name));
    let found = after.keys().filter(|name| before.contains_key(*name));
    assert!(kept.eq(found), "the order changes");
}

/// Without its members a group is patched alike, and no member comes in by another way.
fn check_members(stored: &Object, patch: &Patch, body: &Value) {
    let mut stored = stored.clone();
    stored.shift_remove("members");
    match take_members(patch.clone(), &SCHEMAS) {
        Err(error) => assert_discreet(body, [error.detail.as_str()]),
        Ok(split) => {
            assert_discreet(body, split.skipped.iter().map(String::as_str));
            if let Ok(rest) = carry_out(&split.rest, &stored, ResourceType::Group) {
                assert!(!rest.attributes.contains_key("members"));
                if let Ok(whole) = carry_out(patch, &stored, ResourceType::Group) {
                    let mut whole = whole.attributes;
                    whole.shift_remove("members");
                    assert_eq!(whole, rest.attributes, "members change the rest");
                }
            }
        }
    }
}

fn carry_out(
    patch: &Patch,
    stored: &Object,
    resource_type: ResourceType,
) -> Result<Patched, Error> {
    apply(patch, stored, resource_type, &SCHEMAS)
}

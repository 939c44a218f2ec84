//! PATCH as Entra, its validator and others send it. Each row names its case: what is stored, the operations, what is
//! stored afterwards, what was skipped.

mod dialects;
mod lists;
mod work;

use serde_json::{Value, json};

use super::parse::MAX_OPERATIONS;
use super::*;
use crate::scim::resource;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, ResourceType, Schemas, USER_URN};
use crate::scim::{Error, Object, ScimType};

const OPEN_URN: &str = "urn:ietf:params:scim:schemas:extension:Open:2.0:User";
const MANAGER: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager";

fn table() -> Schemas {
    Schemas::new(CUSTOM_URN, &["Company".to_owned(), OPEN_URN.to_owned()])
}

fn operations(operations: Value) -> Value {
    json!({"schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"], "Operations": operations})
}

fn patched(stored: &Object, body: Value, resource_type: ResourceType) -> Result<Patched, Error> {
    let patch = parse(body, resource_type, &table())?;
    apply(&patch, stored, resource_type, &table())
}

/// A stored user called `u` who is active, with what `more` adds.
fn user(more: Value) -> Object {
    let mut user = json!({"userName": "u", "active": true})
        .as_object()
        .unwrap()
        .clone();
    user.extend(more.as_object().unwrap().clone());
    user
}

type Row<'a> = (&'a str, Value, Value, Value, &'a [&'a str]);

fn check(rows: &[Row]) {
    for (case, before, sent, after, skipped) in rows {
        let stored = user(before.clone());
        let result = patched(&stored, operations(sent.clone()), ResourceType::User)
            .unwrap_or_else(|error| panic!("{case}: {error}"));
        let wanted = user(after.clone());
        assert_eq!(
            Value::Object(result.attributes.clone()),
            Value::Object(wanted),
            "{case}"
        );
        assert_eq!(result.skipped, *skipped, "{case}");
        let read = resource::parse(
            Value::Object(result.attributes.clone()),
            ResourceType::User,
            &table(),
        );
        assert_eq!(
            read.unwrap().attributes,
            result.attributes,
            "{case}, as a body"
        );
    }
}

#[test]
fn refusals() {
    let one = |op: &str, path: &str, value: Value| {
        operations(json!([{"op": op, "path": path, "value": value}]))
    };
    let many = |count| {
        operations(json!(vec![
            json!({"op": "add", "path": "title", "value": "t"});
            count
        ]))
    };
    let rows = [
        ("no object", json!([]), ScimType::InvalidSyntax),
        ("no operations", json!({}), ScimType::InvalidSyntax),
        (
            "operations no list",
            operations(json!("secret")),
            ScimType::InvalidSyntax,
        ),
        (
            "operation no object",
            operations(json!(["secret"])),
            ScimType::InvalidSyntax,
        ),
        (
            "unknown op",
            one("secret", "title", json!("t")),
            ScimType::InvalidSyntax,
        ),
        (
            "no op",
            operations(json!([{"path": "title", "value": "t"}])),
            ScimType::InvalidSyntax,
        ),
        (
            "no value",
            operations(json!([{"op": "add", "path": "title"}])),
            ScimType::InvalidValue,
        ),
        (
            "no path",
            operations(json!([{"op": "remove"}])),
            ScimType::NoTarget,
        ),
        (
            "bag no object",
            operations(json!([{"op": "add", "value": "secret"}])),
            ScimType::InvalidValue,
        ),
        (
            "path no string",
            operations(json!([{"op": "add", "path": 1, "value": "t"}])),
            ScimType::InvalidPath,
        ),
        (
            "broken path",
            one("add", "na]me", json!("t")),
            ScimType::InvalidPath,
        ),
        (
            "filter on one value",
            one(
                "add",
                "name[givenName eq \"secret\"].familyName",
                json!("t"),
            ),
            ScimType::InvalidPath,
        ),
        ("too many", many(MAX_OPERATIONS + 1), ScimType::TooMany),
        (
            "id",
            one("replace", "id", json!("secret")),
            ScimType::Mutability,
        ),
        (
            "meta",
            one("replace", "meta.version", json!("secret")),
            ScimType::Mutability,
        ),
        (
            "groups",
            one("add", "groups", json!([{"value": "secret"}])),
            ScimType::Mutability,
        ),
        (
            "required removed",
            operations(json!([{"op": "remove", "path": "userName"}])),
            ScimType::Mutability,
        ),
        (
            "required emptied",
            operations(json!([{"op": "replace", "value": {"userName": null}}])),
            ScimType::Mutability,
        ),
        (
            "required made blank",
            one("replace", "userName", json!(" ")),
            ScimType::InvalidValue,
        ),
        (
            "required with a control character",
            operations(json!([{"op": "add", "value": {"userName": "secret\u{0}"}}])),
            ScimType::InvalidValue,
        ),
        (
            "type",
            one("replace", "active", json!("secret")),
            ScimType::InvalidValue,
        ),
        (
            "type within",
            one(
                "add",
                "emails[type eq \"work\"].value",
                json!({"secret": 1}),
            ),
            ScimType::InvalidValue,
        ),
        (
            "extension no object",
            one("add", ENTERPRISE_URN, json!("secret")),
            ScimType::InvalidValue,
        ),
        (
            "too many values",
            one(
                "add",
                "emails",
                json!((0..1_001).map(|n| n.to_string()).collect::<Vec<_>>()),
            ),
            ScimType::TooMany,
        ),
    ];
    for (case, body, kind) in rows {
        let error = patched(&user(json!({})), body, ResourceType::User).expect_err(case);
        assert_eq!(error.kind, kind, "{case}: {error}");
        assert!(!error.detail.contains("secret"), "{case}: {error}");
    }
    let long = one(
        "add",
        &format!("{}.b[c pr]", "a".repeat(10_000)),
        json!("t"),
    );
    let error = patched(&user(json!({})), long, ResourceType::User).unwrap_err();
    assert!(error.detail.len() < 200, "{error}");
    assert!(patched(&user(json!({})), many(MAX_OPERATIONS), ResourceType::User).is_ok());
    let words = json!({"operations": [{"OP": "add", "Path": "title", "Value": "t"}]});
    assert_eq!(
        patched(&user(json!({})), words, ResourceType::User)
            .unwrap()
            .attributes["title"],
        "t"
    );
}

#[test]
fn debug_shows_names_only() {
    let body = operations(
        json!([{"op": "add", "path": format!("{CUSTOM_URN}:a"), "value": "secret"},
                                 {"op": "add", "path": "emails[value eq \"secret\"].display", "value": "secret"}]),
    );
    let shown = format!("{:?}", parse(body, ResourceType::User, &table()).unwrap());
    assert!(
        shown.contains("emails") && !shown.contains("secret"),
        "{shown}"
    );
}

//! What holds for every PATCH and every body, whatever it says.

use proptest::collection::vec;
use proptest::prelude::*;
use serde_json::{Value, json};

use super::{Patched, apply, members_of, parse, take_members};
use crate::scim::resource;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, ResourceType, Schemas};
use crate::scim::{Error, Object};

const OPEN_URN: &str = "urn:ietf:params:scim:schemas:extension:Open:2.0:User";

/// The marker in all text that is made here: values are told by it.
const MARK: &str = "v4lue";

const NAMES: &[&str] = &[
    "userName",
    "displayName",
    "title",
    "active",
    "name",
    "givenName",
    "Formatted",
    "emails",
    "value",
    "type",
    "primary",
    "display",
    "addresses",
    "locality",
    "manager",
    "$ref",
    "roles",
    "groups",
    "id",
    "meta",
    "schemas",
    "password",
    "company",
    "shoeSize",
    "members",
    "a.b",
];

const PATHS: &[&str] = &[
    "userName",
    "displayName",
    "title",
    "active",
    "name",
    "name.givenName",
    "emails",
    "emails.value",
    "emails.primary",
    "emails[type eq \"work\"]",
    "emails[type eq \"work\"].value",
    "emails[type eq \"work\"].primary",
    "emails[primary eq true].value",
    "emails[value co \"v4lue\"].display",
    "emails[not (type eq \"work\")].value",
    "emails[type eq \"home\" or value eq \"v4lue\"]",
    "addresses[type eq \"work\" and primary eq true].locality",
    "addresses",
    "addresses[type eq \"other\"].Formatted",
    "roles",
    "roles[primary eq \"True\"].value",
    "manager",
    "manager.value",
    "company",
    "company.a",
    "shoeSize",
    "shoes[size eq \"v4lue\"].value",
    "members",
    "urn:x:2.0:User:a",
    "externalId",
];

fn table() -> Schemas {
    Schemas::new(CUSTOM_URN, &["Company".to_owned(), OPEN_URN.to_owned()])
}

fn key() -> impl Strategy<Value = String> {
    let urn = prop::sample::select(vec![ENTERPRISE_URN, CUSTOM_URN, OPEN_URN, "urn:x:2.0:User"]);
    let name = prop::sample::select(NAMES);
    prop_oneof![
        8 => name.clone().prop_map(str::to_owned),
        4 => path(),
        2 => urn.clone().prop_map(str::to_owned),
        1 => (urn, name).prop_map(|(urn, name)| format!("{urn}:{name}")),
        1 => "[ -~é]{0,12}",
    ]
}

fn path() -> impl Strategy<Value = String> {
    let urn = prop::sample::select(vec![ENTERPRISE_URN, CUSTOM_URN, OPEN_URN]);
    let name = prop::sample::select(vec![
        "department",
        "manager",
        "manager.value",
        "userPrincipalName",
        "size",
        "size.a",
    ]);
    prop_oneof![
        6 => prop::sample::select(PATHS).prop_map(str::to_owned),
        2 => (urn.clone(), name).prop_map(|(urn, name)| format!("{urn}:{name}")),
        1 => urn.prop_map(str::to_owned),
    ]
}

fn text() -> impl Strategy<Value = Value> {
    prop_oneof![
        Just(json!(MARK)),
        Just(json!("V4LUE")),
        Just(json!("v4lue 2")),
    ]
}

fn leaf() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => text(),
        2 => prop::sample::select(vec![json!("True"), json!("false"), json!(true), json!(false)]),
        2 => prop::sample::select(vec![json!(null), json!(""), json!([]), json!({})]),
        1 => any::<i32>().prop_map(Value::from),
        1 => prop::sample::select(vec![json!("work"), json!("home")]),
    ]
}

/// Any JSON, of names that mean something more often than chance would have it.
fn any_json() -> impl Strategy<Value = Value> {
    leaf().prop_recursive(4, 24, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..4).prop_map(Value::from),
            vec((key(), inner), 0..5).prop_map(object),
        ]
    })
}

fn object(members: Vec<(String, Value)>) -> Value {
    Value::Object(members.into_iter().collect())
}

/// An element of a list as it should be, nearly.
fn element() -> impl Strategy<Value = Value> {
    let member = prop_oneof![
        text().prop_map(|value| ("value", value)),
        text().prop_map(|value| ("display", value)),
        text().prop_map(|value| ("locality", value)),
        prop::sample::select(vec!["work", "home"]).prop_map(|kind| ("type", kind.into())),
        prop::sample::select(vec![json!(true), json!("True"), json!(false)])
            .prop_map(|primary| ("primary", primary)),
        Just(("value", Value::Null)),
    ];
    vec(member, 0..5).prop_map(|members| {
        object(
            members
                .into_iter()
                .map(|(name, value)| (name.to_owned(), value))
                .collect(),
        )
    })
}

fn fitting() -> impl Strategy<Value = Value> {
    prop_oneof![
        4 => leaf(),
        3 => vec(element(), 0..4).prop_map(Value::from),
        2 => element(),
        1 => any_json(),
    ]
}

/// An operation that adds or replaces; without a path, `members` attributes at the most.
fn writing(members: usize) -> impl Strategy<Value = Value> {
    let op = prop::sample::select(vec!["Add", "replace"]);
    let bag = vec((key(), fitting()), 0..=members).prop_map(object);
    prop_oneof![
        4 => (op.clone(), path(), fitting()).prop_map(|(op, path, value)| json!({"op": op, "path": path, "value": value})),
        1 => (op, bag).prop_map(|(op, value)| json!({"op": op, "value": value})),
    ]
}

fn operation() -> impl Strategy<Value = Value> {
    prop_oneof![
        5 => writing(4),
        2 => path().prop_map(|path| json!({"op": "Remove", "path": path})),
        2 => (path(), fitting()).prop_map(|(path, value)| json!({"op": "remove", "path": path, "value": value})),
        1 => any_json(),
    ]
}

/// A stored user: whatever of a bag of attributes is accepted.
fn stored() -> impl Strategy<Value = Object> {
    let list = prop::sample::select(vec!["emails", "addresses", "roles"]);
    let attribute = prop_oneof![
        (list, vec(element(), 0..4)).prop_map(|(name, list)| (name.to_owned(), list.into())),
        (path(), text()).prop_map(|(path, value)| (path, value)),
    ];
    vec(attribute, 0..6).prop_map(|attributes| {
        let mut stored = json!({"userName": "u", "active": true})
            .as_object()
            .unwrap()
            .clone();
        for (name, value) in attributes {
            let mut more = stored.clone();
            more.insert(name, value);
            if let Ok(parsed) = resource::parse(Value::Object(more), ResourceType::User, &table()) {
                stored = parsed.attributes;
            }
        }
        stored
    })
}

fn patched(stored: &Object, operations: &[Value]) -> Result<Patched, Error> {
    let body = json!({"Operations": operations});
    apply(
        &parse(body, ResourceType::User, &table())?,
        stored,
        ResourceType::User,
        &table(),
    )
}

/// What is stored is what a body of the same attributes would store.
fn assert_stored_form(attributes: &Object) {
    let body = Value::Object(attributes.clone());
    let parsed =
        resource::parse(body, ResourceType::User, &table()).expect("a stored user is a body");
    assert_eq!(&parsed.attributes, attributes);
    assert_eq!(parsed.skipped, Vec::<String>::new());
    let lists = ["emails", "addresses", "roles"].map(|name| attributes.get(name));
    for list in lists.into_iter().flatten().filter_map(Value::as_array) {
        let primary = list
            .iter()
            .filter(|element| element.get("primary") == Some(&json!(true)));
        assert!(primary.count() <= 1);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn any_body_is_read_or_refused(body in any_json()) {
        for resource_type in [ResourceType::User, ResourceType::Group] {
            let with_name = match &body {
                Value::Object(members) => {
                    let mut members = members.clone();
                    members.insert("userName".into(), json!("u"));
                    members.insert("displayName".into(), json!("g"));
                    Value::Object(members)
                }
                other => other.clone(),
            };
            match resource::parse(with_name, resource_type, &table()) {
                Ok(mut parsed) if resource_type == ResourceType::Group => {
                    members_of(&mut parsed.attributes);
                }
                Ok(parsed) => assert_stored_form(&parsed.attributes),
                Err(error) => assert!(!error.detail.contains(MARK), "{error}"),
            }
        }
    }

    #[test]
    fn any_patch_keeps_the_stored_form(stored in stored(), operations in vec(operation(), 0..6)) {
        match patched(&stored, &operations) {
            Ok(result) => {
                assert_stored_form(&result.attributes);
                assert!(result.attributes.contains_key("active"));
                let named = result.skipped.join(" ");
                prop_assert!(!named.contains("\"v4lue"), "{}", named);
            }
            Err(error) => prop_assert!(!error.detail.contains(MARK), "{}", error),
        }
    }

    #[test]
    fn any_patch_of_a_group_is_taken_apart(body in any_json(), operations in vec(operation(), 0..6)) {
        let stored = json!({"displayName": "g"}).as_object().unwrap().clone();
        for body in [body, json!({"Operations": operations})] {
            let Ok(patch) = parse(body, ResourceType::Group, &table()) else { continue };
            let Ok(split) = take_members(patch, &table()) else { continue };
            if let Ok(result) = apply(&split.rest, &stored, ResourceType::Group, &table()) {
                prop_assert!(!result.attributes.contains_key("members"));
                prop_assert!(result.attributes.contains_key("displayName"));
            }
        }
    }

    #[test]
    fn writing_twice_is_writing_once(stored in stored(), operation in writing(1)) {
        if let Ok(once) = patched(&stored, std::slice::from_ref(&operation)) {
            let twice = patched(&once.attributes, &[operation]).expect("the same again");
            prop_assert_eq!(once, twice);
        }
    }

    #[test]
    fn replacing_without_a_path_is_a_put_of_what_is_there(stored in stored(), body in stored_body()) {
        let Ok(put) = resource::parse(body.clone(), ResourceType::User, &table()) else { return Ok(()) };
        let result = patched(&stored, &[json!({"op": "replace", "value": body})]).expect("what PUT takes");
        prop_assert!(put.skipped.iter().all(|name| result.skipped.contains(name)));
        assert_holds(&put.attributes, &result.attributes);
    }
}

/// A whole resource as a client would PUT it: no key of it stands for a part of a list.
fn stored_body() -> impl Strategy<Value = Value> {
    (stored(), vec((key(), fitting()), 0..3)).prop_map(|(mut body, more)| {
        let part = |key: &String| key.contains('[') || key.starts_with("emails.");
        body.extend(more.into_iter().filter(|(key, _)| !part(key)));
        body.insert("userName".into(), json!("u"));
        Value::Object(body)
    })
}

/// Every attribute of `part` is in `whole`; of an object, the members are.
fn assert_holds(part: &Object, whole: &Object) {
    for (name, value) in part {
        match (value, &whole[name]) {
            (Value::Object(part), Value::Object(whole)) => assert_holds(part, whole),
            (part, whole) => assert_eq!(part, whole, "{name}"),
        }
    }
}

//! Queries and projections, as data.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::{Page, Projection, Query};
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, GROUP_URN, ResourceType, Schemas, USER_URN};
use crate::scim::{Error, ScimType};

fn schemas() -> Schemas {
    Schemas::new(CUSTOM_URN, &["team".to_owned()])
}

/// The pairs of a URL's query, decoded already.
fn pairs<'a>(text: &'a str) -> impl Iterator<Item = (Cow<'a, str>, Cow<'a, str>)> {
    let pairs = text.split('&').filter(|pair| !pair.is_empty());
    pairs.map(|pair| {
        let (name, value) = pair.split_once('=').unwrap_or((pair, ""));
        (name.into(), value.into())
    })
}

fn query(text: &str) -> Result<Query, Error> {
    Query::from_pairs(pairs(text), ResourceType::User, &schemas())
}

fn index(start: u64, count: Option<u64>) -> Page {
    Page::Index { start, count }
}

fn cursor(cursor: Option<&str>, count: Option<u64>) -> Page {
    Page::Cursor {
        cursor: cursor.map(str::to_owned),
        count,
    }
}

#[test]
fn reads_pages() {
    let most = i64::MAX.unsigned_abs();
    for (text, page) in [
        ("", index(1, None)),
        ("startIndex=6&count=5", index(6, Some(5))),
        ("STARTINDEX=6", index(6, None)),
        ("startIndex=0&count=0", index(1, Some(0))),
        ("startIndex=-3&count=-1", index(1, Some(0))),
        ("startIndex=&count=", index(1, None)),
        (
            "startIndex=99999999999999999999&count=99999999999999999999",
            index(most, Some(most)),
        ),
        ("count=1&count=2", index(1, Some(2))),
        ("cursor", cursor(None, None)),
        ("cursor=&count=10", cursor(None, Some(10))),
        ("cursor=abc&startIndex=7", cursor(Some("abc"), None)),
    ] {
        assert_eq!(query(text).unwrap().page, page, "{text}");
    }
}

#[test]
fn reads_the_other_parameters() {
    let query = query(concat!(
        "aadOptscim062020&filter=id eq U1 and manager eq U2&sortBy=name.familyName&sortOrder=Descending",
        "&attributes=id, userName,,&foo=",
    ))
    .unwrap();
    let filter = query.filter.unwrap().to_string();
    assert_eq!(filter, r#"id eq "U1" and manager eq "U2""#);
    assert_eq!(query.sort_by.unwrap().to_string(), "name.familyName");
    assert!(query.descending);
    assert!(matches!(query.projection, Projection::Only(paths) if paths.len() == 2));
}

#[test]
fn refuses_what_cannot_be_meant() {
    for (text, kind) in [
        ("count=ten", ScimType::InvalidValue),
        ("startIndex=1.5", ScimType::InvalidValue),
        ("cursor&count=0", ScimType::InvalidCount),
        ("cursor&count=-1", ScimType::InvalidCount),
        ("cursor&count=ten", ScimType::InvalidCount),
        ("filter=", ScimType::InvalidFilter),
        (r#"filter=foo xx "x""#, ScimType::InvalidFilter),
        ("filter=title pr&filter=id pr", ScimType::InvalidFilter),
        ("sortOrder=up", ScimType::InvalidValue),
        ("sortBy=a b", ScimType::InvalidPath),
        ("attributes=a b", ScimType::InvalidPath),
        (
            r#"excludedAttributes=emails[type eq "work"]"#,
            ScimType::InvalidPath,
        ),
    ] {
        assert_eq!(query(text).unwrap_err().kind, kind, "{text}");
    }
}

#[test]
fn reads_a_search_request() {
    let search = |body| Query::from_search(body, ResourceType::User, &schemas());
    let body = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:SearchRequest"],
        "attributes": ["displayName", "userName"],
        "excludedAttributes": null,
        "filter": "displayName sw \"smith\"",
        "sortBy": "userName",
        "sortOrder": "ascending",
        "startIndex": 0,
        "count": "10",
        "unknown": {"a": [1]}
    });
    let url =
        "filter=displayName sw \"smith\"&attributes=displayName,userName&sortBy=userName&count=10";
    assert_eq!(search(body), query(url));
    let by_cursor = search(json!({"cursor": "", "count": 10})).unwrap();
    assert_eq!(by_cursor.page, cursor(None, Some(10)));
    for (body, kind) in [
        (json!([]), ScimType::InvalidSyntax),
        (json!({"attributes": [1]}), ScimType::InvalidValue),
        (json!({"filter": true}), ScimType::InvalidValue),
        (json!({"count": {}}), ScimType::InvalidValue),
        (json!({"count": 1.5}), ScimType::InvalidValue),
    ] {
        assert_eq!(search(body).unwrap_err().kind, kind);
    }
}

fn user() -> Value {
    json!({
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": "U1",
        "userName": "anna@example.test",
        "password": "secret",
        "name": {"givenName": "Anna", "familyName": "Lee"},
        "emails": [{"type": "work", "value": "a@example.test"}, {"type": "home"}],
        "team": "Blue",
        ENTERPRISE_URN: {"department": "Sales", "manager": {"value": "U2", "displayName": "Bo"}},
        CUSTOM_URN: {"userPrincipalName": "anna"},
        "meta": {"resourceType": "User", "version": "W/\"1\""}
    })
}

/// What is seen of [`user`], without `schemas` and `id`.
fn seen(text: &str) -> Value {
    let projection = Projection::from_pairs(pairs(text), ResourceType::User, &schemas()).unwrap();
    let Value::Object(user) = user() else {
        unreachable!();
    };
    let mut seen = projection.apply(user, ResourceType::User, &schemas());
    assert!(seen.remove("schemas").is_some() && seen.remove("id").is_some());
    Value::Object(seen)
}

#[test]
fn shows_only_what_is_asked_for() {
    for (names, expected) in [
        ("id", json!({})),
        ("foo", json!({})),
        ("password", json!({})),
        ("USERNAME", json!({"userName": "anna@example.test"})),
        ("name.givenName", json!({"name": {"givenName": "Anna"}})),
        ("name.foo", json!({})),
        (
            "emails.value",
            json!({"emails": [{"value": "a@example.test"}]}),
        ),
        (
            "emails.value,emails",
            json!({"emails": [{"type": "work", "value": "a@example.test"}, {"type": "home"}]}),
        ),
        ("team", json!({"team": "Blue"})),
        ("meta.version", json!({"meta": {"version": "W/\"1\""}})),
        (
            "department",
            json!({ENTERPRISE_URN: {"department": "Sales"}}),
        ),
        (
            &format!("{}:manager.value", ENTERPRISE_URN.to_uppercase()),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
        ),
        (
            CUSTOM_URN,
            json!({CUSTOM_URN: {"userPrincipalName": "anna"}}),
        ),
        (
            &format!("{USER_URN}:userName"),
            json!({"userName": "anna@example.test"}),
        ),
    ] {
        assert_eq!(seen(&format!("attributes={names}")), expected, "{names}");
    }
}

#[test]
fn leaves_out_what_is_excluded() {
    let without = |pointers: &[&str]| {
        let mut user = user();
        for pointer in [&["/id", "/schemas", "/password"], pointers].concat() {
            let (parent, key) = pointer.rsplit_once('/').unwrap();
            let parent = user.pointer_mut(parent).unwrap();
            parent.as_object_mut().unwrap().remove(key).unwrap();
        }
        user
    };
    let department = format!("/{ENTERPRISE_URN}/department");
    for (text, expected) in [
        ("", without(&[])),
        ("excludedAttributes=", without(&[])),
        ("excludedAttributes=id,schemas,foo", without(&[])),
        (
            "excludedAttributes=Emails,meta",
            without(&["/emails", "/meta"]),
        ),
        (
            "excludedAttributes=name.familyName,emails.value",
            without(&["/name/familyName", "/emails/0/value"]),
        ),
        ("excludedAttributes=department", without(&[&department])),
        (
            "excludedAttributes=userPrincipalName",
            without(&[&format!("/{CUSTOM_URN}")]),
        ),
        (
            &format!("excludedAttributes={ENTERPRISE_URN}"),
            without(&[&format!("/{ENTERPRISE_URN}")]),
        ),
        (
            "excludedAttributes=userName&attributes=userName",
            json!({"userName": "anna@example.test"}),
        ),
    ] {
        assert_eq!(seen(text), expected, "{text}");
    }
}

#[test]
fn tells_what_is_worth_reading() {
    let members = format!("{GROUP_URN}:members");
    for (text, wanted) in [
        ("", true),
        ("excludedAttributes=members", false),
        ("excludedAttributes=MEMBERS", false),
        (&format!("excludedAttributes={members}"), false),
        ("excludedAttributes=members.display", true),
        ("excludedAttributes=urn:other:members", true),
        ("excludedAttributes=displayName", true),
        ("attributes=displayName", false),
        ("attributes=members.value", true),
        (&format!("attributes={members}"), true),
    ] {
        let projection = Projection::from_pairs(pairs(text), ResourceType::Group, &schemas());
        assert_eq!(projection.unwrap().wants("members"), wanted, "{text}");
    }
}

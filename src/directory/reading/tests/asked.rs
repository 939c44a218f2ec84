//! Filters over everything that SQL can look for and some that it cannot, and the orders of lists.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use serde_json::Value;

use super::made::{ADDRESSES, G0, G1, G2, OTHER_GROUP, OTHER_USER, TYPES, U0, U1, U2, WORDS};
use crate::scim::schema::ResourceType;

/// What `meta.lastModified` is compared with, also with what no row can hold.
const COMPARED: [&str; 9] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T02:00:00.001000+02:00",
    "2026-01-01T00:00:00.0005Z",
    "2026-01-01T00:00:00.0015Z",
    "2025-12-31T23:59:59.999Z",
    "2026-01-01T00:00:00.002Z",
    "0001-01-01T00:00:00Z",
    "9999-12-30T00:00:00Z",
];

/// A comparison of one of `attributes` as text.
fn comparison(
    attributes: &'static [&'static str],
    values: &'static [&'static str],
) -> impl Strategy<Value = String> {
    let operator = prop_oneof![6 => Just("eq"), 4 => select(&["ne", "co", "sw", "ew", "gt", "ge", "lt", "le"][..])];
    (select(attributes), operator, select(values)).prop_map(|(attribute, operator, value)| {
        format!("{attribute} {operator} {}", Value::from(value))
    })
}

/// What may be compared in either type, and its presence and absence.
fn common(attributes: &'static [&'static str]) -> impl Strategy<Value = String> {
    let order = select(&["eq", "ne", "gt", "ge", "lt", "le"][..]);
    prop_oneof![
        comparison(
            &["id"],
            &[U0, U1, OTHER_USER, OTHER_GROUP, U2, G0, G1, G2, ""]
        ),
        (
            select(&["meta.lastModified", "META.lastmodified"][..]),
            order,
            select(&COMPARED[..])
        )
            .prop_map(|(attribute, operator, at)| format!("{attribute} {operator} \"{at}\"")),
        (
            select(attributes),
            select(&["pr", "eq null", "ne null"][..])
        )
            .prop_map(|(attribute, test)| format!("{attribute} {test}")),
        comparison(
            &["meta.resourceType", "meta.version"],
            &["User", "Group", "W/\"1\""]
        ),
    ]
}

fn user_terms() -> impl Strategy<Value = String> {
    let words = comparison(
        &[
            "userName",
            "displayName",
            "externalId",
            "title",
            "name.givenName",
            "department",
            "groups.display",
            "shoeSize",
        ],
        &WORDS,
    );
    let qualified = comparison(
        &[
            "urn:ietf:params:scim:schemas:core:2.0:User:userName",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:userName",
        ],
        &WORDS,
    );
    let active = (
        select(&["active", "ACTIVE"][..]),
        select(&["eq", "ne"][..]),
        select(&["true", "false", "\"True\""][..]),
    )
        .prop_map(|(attribute, operator, value)| format!("{attribute} {operator} {value}"));
    prop_oneof![
        4 => words,
        1 => qualified,
        2 => comparison(&["emails", "emails.value", "Emails.Value"], &ADDRESSES),
        2 => element("emails", || comparison(&["value"], &ADDRESSES), || comparison(&["type", "comment"], &TYPES)),
        1 => active,
        2 => comparison(&["groups", "groups.value"], &[G0, G1, G2, OTHER_GROUP, U1]),
        1 => comparison(&["groups.type"], &["direct", "Indirect"]),
        1 => element("groups", || comparison(&["value"], &[G0, G1]), || comparison(&["type"], &["direct"])),
        2 => common(&["displayName", "externalId", "emails", "groups", "title", "shoeSize", "userName"]),
    ]
}

fn group_terms() -> impl Strategy<Value = String> {
    prop_oneof![
        4 => comparison(&["displayName", "externalId", "DISPLAYNAME", "members.display", "userName"], &WORDS),
        3 => comparison(&["members", "members.value"], &[U0, U1, U2, G0, G1, OTHER_GROUP]),
        1 => comparison(&["members.type"], &["User", "group"]),
        1 => element("members", || comparison(&["value"], &[U0, G1]), || comparison(&["type"], &["User", "Group"])),
        2 => common(&["externalId", "members", "shoeSize"]),
    ]
}

/// A valuePath, with and without a comparison behind its bracket.
fn element<A: Strategy<Value = String> + 'static, B: Strategy<Value = String> + 'static>(
    attribute: &'static str,
    value: impl Fn() -> A,
    other: impl Fn() -> B,
) -> impl Strategy<Value = String> {
    let inner = trees(prop_oneof![value(), other()], 2);
    let behind = prop_oneof![
        value().prop_map(|text| format!(".{text}")),
        Just(String::new()),
        Just(String::new())
    ];
    (inner, behind).prop_map(move |(inner, behind)| format!("{attribute}[{inner}]{behind}"))
}

fn trees(
    leaf: impl Strategy<Value = String> + 'static,
    depth: u32,
) -> impl Strategy<Value = String> {
    leaf.prop_recursive(depth, 12, 3, |inner| {
        let joined =
            |word: &'static str| move |terms: Vec<String>| format!("({})", terms.join(word));
        prop_oneof![
            vec(inner.clone(), 2..4).prop_map(joined(" and ")),
            vec(inner.clone(), 2..4).prop_map(joined(" or ")),
            inner.prop_map(|term| format!("not ({term})")),
        ]
    })
}

/// A list that is asked for: its type, its filter, and its order.
pub fn asked() -> impl Strategy<Value = (ResourceType, String, &'static str, bool)> {
    let filter = prop_oneof![
        3 => trees(user_terms(), 3).prop_map(|filter| (ResourceType::User, filter)),
        2 => trees(group_terms(), 3).prop_map(|filter| (ResourceType::Group, filter)),
    ];
    let order = select(
        &[
            "",
            "",
            "userName",
            "displayName",
            "emails",
            "title",
            "meta.lastModified",
            "active",
            "groups",
            "members",
            "id",
        ][..],
    );
    (filter, order, any::<bool>())
        .prop_map(|((kind, filter), order, descending)| (kind, filter, order, descending))
}

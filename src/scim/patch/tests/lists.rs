//! Lists and the elements in them (C-54..C-68).

use serde_json::json;

use super::*;

#[test]
fn value_paths() {
    let add = |path: &str, value: &str| json!({"op": "Add", "path": path, "value": value});
    check(&[
        (
            "C-54",
            json!({}),
            json!([add("emails[type eq \"work\"].value", "a@e.test")]),
            json!({"emails": [{"type": "work", "value": "a@e.test"}]}),
            &[],
        ),
        (
            "C-54 replace, T-03",
            json!({}),
            json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": "a"}]),
            json!({"emails": [{"type": "work", "value": "a"}]}),
            &[],
        ),
        (
            "C-55, T-04",
            json!({}),
            json!([
                add("addresses[type eq \"work\"].formatted", "B1 F3"),
                add("addresses[type eq \"work\"].streetAddress", "1 Main St"),
                add("addresses[type eq \"work\"].locality", "Seattle")
            ]),
            json!({"addresses": [{"type": "work", "formatted": "B1 F3", "streetAddress": "1 Main St", "locality": "Seattle"}]}),
            &[],
        ),
        (
            "C-56",
            json!({"emails": [{"type": "home", "value": "h", "primary": true}, {"type": "work", "value": "w"}]}),
            json!([{"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "n"}]),
            json!({"emails": [{"type": "home", "value": "h", "primary": true}, {"type": "work", "value": "n"}]}),
            &[],
        ),
        (
            "C-56 with a value that is there under another type: as when it is sent again",
            json!({"emails": [{"type": "home", "value": "h"}, {"type": "work", "value": "w"}]}),
            json!([{"op": "Replace", "path": "emails[primary eq true]", "value": {"value": "w"}}]),
            json!({"emails": [{"type": "home", "value": "h"}, {"primary": true, "value": "w"}]}),
            &[],
        ),
        (
            "C-57",
            json!({}),
            json!([
                add("phoneNumbers[type eq \"mobile\"].value", "1"),
                add("phoneNumbers[type eq \"fax\"].value", "2"),
                add("ims[type eq \"xmpp\"].value", "3")
            ]),
            json!({"phoneNumbers": [{"type": "mobile", "value": "1"}, {"type": "fax", "value": "2"}],
                   "ims": [{"type": "xmpp", "value": "3"}]}),
            &[],
        ),
        (
            "C-58",
            json!({}),
            json!([
                add("emails[type eq \"other\"].Value", "o"),
                add("addresses[TYPE EQ \"other\"].Formatted", "f")
            ]),
            json!({"emails": [{"type": "other", "value": "o"}], "addresses": [{"type": "other", "formatted": "f"}]}),
            &[],
        ),
        (
            "C-59",
            json!({"emails": [{"type": "home", "value": "h", "primary": true}, {"type": "work", "value": "w"}]}),
            json!([add("emails[type eq \"work\"].primary", "True")]),
            json!({"emails": [{"type": "home", "value": "h", "primary": false}, {"type": "work", "value": "w", "primary": true}]}),
            &[],
        ),
        (
            "C-60",
            json!({"emails": [{"type": "home", "value": "h"}, {"type": "work", "value": "w", "primary": true}]}),
            json!([{"op": "Remove", "path": "emails[type eq \"work\"].value"}]),
            json!({"emails": [{"type": "home", "value": "h"}]}),
            &[],
        ),
        (
            "C-60 with more in it",
            json!({"emails": [{"type": "work", "value": "w", "display": "d"}]}),
            json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": null}]),
            json!({"emails": [{"type": "work", "display": "d"}]}),
            &[],
        ),
        (
            "C-60 none there",
            json!({}),
            json!([{"op": "replace", "path": "emails[type eq \"work\"].value", "value": ""}]),
            json!({}),
            &[],
        ),
        (
            "C-61",
            json!({}),
            json!([
                add(&format!("{MANAGER}.displayName"), "n"),
                add(&format!("{MANAGER}.value"), "U2")
            ]),
            json!({ENTERPRISE_URN: {"manager": {"displayName": "n", "value": "U2"}}}),
            &[],
        ),
        (
            "C-62",
            json!({}),
            json!([
                add(&format!("{USER_URN}:userName"), "n"),
                add(&format!("{USER_URN}:emails[type eq \"work\"].value"), "w")
            ]),
            json!({"userName": "n", "emails": [{"type": "work", "value": "w"}]}),
            &[],
        ),
        (
            "C-64",
            json!({"title": "t"}),
            json!([{"op": "replace", "path": "title", "value": ""}]),
            json!({}),
            &[],
        ),
        (
            "C-64 null",
            json!({"title": "t"}),
            json!([{"op": "replace", "path": "title", "value": null}]),
            json!({}),
            &[],
        ),
        (
            "C-65",
            json!({"addresses": [{"type": "work", "country": "a"}, {"type": "work", "primary": true, "country": "b"}]}),
            json!([{"op": "replace", "path": "addresses[type eq \"work\" and primary eq true].country", "value": "c"}]),
            json!({"addresses": [{"type": "work", "country": "a"}, {"type": "work", "primary": true, "country": "c"}]}),
            &[],
        ),
        (
            "C-66",
            json!({}),
            json!([add("title", "a"), add("title", "b")]),
            json!({"title": "b"}),
            &[],
        ),
        (
            "whole element replaced, its kind stays",
            json!({"emails": [{"type": "work", "value": "w", "display": "d"}, {"type": "home", "value": "h"}]}),
            json!([{"op": "replace", "path": "emails[type eq \"work\"]", "value": {"value": "n"}}]),
            json!({"emails": [{"type": "work", "value": "n"}, {"type": "home", "value": "h"}]}),
            &[],
        ),
        (
            "whole element completed",
            json!({"emails": [{"type": "work", "value": "w", "display": "d"}]}),
            json!([{"op": "add", "path": "emails[type eq \"work\"]", "value": [{"value": "n", "floor": "secret"}]}]),
            json!({"emails": [{"type": "work", "value": "n", "display": "d"}]}),
            &["emails.floor"],
        ),
        (
            "elements removed",
            json!({"emails": [{"type": "work", "value": "w"}, {"type": "home", "value": "h"}]}),
            json!([{"op": "remove", "path": "emails[type eq \"work\"]"}]),
            json!({"emails": [{"type": "home", "value": "h"}]}),
            &[],
        ),
        (
            "a filter that implies nothing builds once",
            json!({}),
            json!([
                add("emails[value sw \"z\"].display", "d"),
                add("emails[value sw \"z\"].display", "d")
            ]),
            json!({"emails": [{"display": "d"}]}),
            &[],
        ),
        (
            "a sub-attribute of all",
            json!({"emails": [{"value": "a"}, {"value": "b"}]}),
            json!([
                add("emails.display", "d"),
                add("phoneNumbers.value", "1"),
                add("emails.primary", "true")
            ]),
            json!({"emails": [{"value": "a", "display": "d", "primary": true}, {"value": "b", "display": "d", "primary": false}],
                   "phoneNumbers": [{"value": "1"}]}),
            &[],
        ),
    ]);
}

#[test]
fn lists() {
    let two = json!({"emails": [{"type": "work", "value": "W@e.test", "primary": true}, {"type": "home", "value": "h"}]});
    check(&[
        (
            "added once, T-16",
            two.clone(),
            json!([{"op": "add", "path": "emails", "value": [{"value": "h"}, {"type": "other", "value": "o"}]},
                   {"op": "add", "path": "emails", "value": {"type": "other", "value": "o"}}]),
            json!({"emails": [{"type": "work", "value": "W@e.test", "primary": true}, {"type": "home", "value": "h"},
                              {"type": "other", "value": "o"}]}),
            &[],
        ),
        (
            "the primary moves, C-59",
            two.clone(),
            json!([{"op": "add", "path": "emails", "value": [{"type": "home", "value": "h", "primary": true}]}]),
            json!({"emails": [{"type": "work", "value": "W@e.test", "primary": false}, {"type": "home", "value": "h", "primary": true}]}),
            &[],
        ),
        (
            "removed by value, T-05, T-06",
            two.clone(),
            json!([{"op": "remove", "path": "emails", "value": [{"value": "w@E.test"}, {"value": "none"}]}]),
            json!({"emails": [{"type": "home", "value": "h"}]}),
            &[],
        ),
        (
            "a list of nothing removes nothing, C-101",
            two.clone(),
            json!([{"op": "remove", "path": "emails", "value": []}, {"op": "remove", "path": "emails", "value": null},
                   {"op": "remove", "path": "emails", "value": ""}, {"op": "remove", "path": "emails.value", "value": null}]),
            two.clone(),
            &["emails (a removal that lists none)"],
        ),
        (
            "a filter and a value, T-06",
            two.clone(),
            json!([{"op": "remove", "path": "emails[type eq \"work\"]", "value": [{"value": "zzz"}, {"value": "h"}]},
                   {"op": "remove", "path": "emails[type eq \"home\"]", "value": "zzz"},
                   {"op": "remove", "path": "emails[type eq \"home\"].value", "value": "zzz"}]),
            two.clone(),
            &[],
        ),
        (
            "a filter and the value that it selects",
            two.clone(),
            json!([{"op": "remove", "path": "emails[type eq \"work\"]", "value": [{"value": "zzz"}, {"value": "w@e.TEST"}]}]),
            json!({"emails": [{"type": "home", "value": "h"}]}),
            &[],
        ),
        (
            "an empty value says nothing beside a filter",
            two.clone(),
            json!([{"op": "remove", "path": "emails[type eq \"work\"]", "value": null},
                   {"op": "remove", "path": "emails[type eq \"home\"].value", "value": null}]),
            json!({}),
            &[],
        ),
        (
            "an empty list adds nothing",
            two.clone(),
            json!([{"op": "add", "path": "emails", "value": []}]),
            two.clone(),
            &[],
        ),
        (
            "replaced by nothing",
            two.clone(),
            json!([{"op": "replace", "path": "emails", "value": []}]),
            json!({}),
            &[],
        ),
        (
            "T-06",
            json!({"title": "a"}),
            json!([{"op": "remove", "path": "title", "value": "b"}]),
            json!({"title": "a"}),
            &[],
        ),
        (
            "T-06 equal",
            json!({"title": "a"}),
            json!([{"op": "remove", "path": "title", "value": "A"}]),
            json!({}),
            &[],
        ),
        (
            "T-06 manager",
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
            json!([{"op": "remove", "path": MANAGER, "value": [{"value": "U3"}]}]),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
            &[],
        ),
        (
            "C-67",
            json!({}),
            json!([{"op": "Add", "path": "roles[primary eq \"True\"].value", "value": "Admin"},
                   {"op": "Add", "path": "roles[primary eq \"True\"].display", "value": "A"},
                   {"op": "Add", "path": "roles[primary eq \"True\"].type", "value": "t"}]),
            json!({"roles": [{"primary": true, "value": "Admin", "display": "A", "type": "t"}]}),
            &[],
        ),
        (
            "C-68",
            json!({"roles": [{"value": "old"}]}),
            json!([{"op": "Add", "path": "roles", "value": [{"value": "{\"id\":\"06b0\",\"value\":\"25\"}"}]},
                   {"op": "Add", "path": "roles", "value": [{"id": "06b1", "value": "26", "displayName": "R"}]}]),
            json!({"roles": [{"value": "old"}, {"value": "{\"id\":\"06b0\",\"value\":\"25\"}"}, {"value": "26"}]}),
            &["roles.displayName", "roles.id"],
        ),
        (
            "C-68 assertive",
            json!({"roles": [{"value": "old"}]}),
            json!([{"op": "replace", "path": "roles", "value": [{"value": "26"}]}]),
            json!({"roles": [{"value": "26"}]}),
            &[],
        ),
    ]);
}

#[test]
fn lists_stay_within_their_limit() {
    let mut stored = user(json!({}));
    let batch = |from: usize| {
        let values: Vec<_> = (from..from + 600).map(|n| n.to_string()).collect();
        operations(json!([{"op": "add", "path": "entitlements", "value": values}]))
    };
    stored = patched(&stored, batch(0), ResourceType::User)
        .unwrap()
        .attributes;
    let error = patched(&stored, batch(600), ResourceType::User).unwrap_err();
    assert_eq!(error.kind, ScimType::TooMany);
}

//! Both Entra dialects, extensions, and the one attribute that cannot go (C-40..C-52, C-69).

use serde_json::json;

use super::*;

#[test]
fn legacy_dialect() {
    let path = |name: &str| format!("{ENTERPRISE_URN}:{name}");
    check(&[
        (
            "C-40",
            json!({"displayName": "x", "emails": [{"type": "work", "value": "old"}]}),
            json!([
                {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "updatedEmail@example.test"},
                {"op": "Replace", "path": "name.familyName", "value": "updatedFamilyName"},
                {"op": "Replace", "path": "displayName", "value": "Pat Van"},
                {"op": "Add", "path": path("department"), "value": "Sales"}]),
            json!({"displayName": "Pat Van", "emails": [{"type": "work", "value": "updatedEmail@example.test"}],
                   "name": {"familyName": "updatedFamilyName"}, ENTERPRISE_URN: {"department": "Sales"}}),
            &[],
        ),
        (
            "C-41",
            json!({}),
            json!([{"op": "Replace", "path": "active", "value": "False"}]),
            json!({"active": false}),
            &[],
        ),
        (
            "C-41 add",
            json!({}),
            json!([{"op": "Add", "path": "active", "value": "false"}]),
            json!({"active": false}),
            &[],
        ),
        (
            "C-41 back",
            json!({"active": false}),
            json!([{"op": "ADD", "path": "Active", "value": "True"}]),
            json!({}),
            &[],
        ),
        (
            "C-42",
            json!({"title": "a"}),
            json!([{"op": "Add", "path": "title", "value": "New"}]),
            json!({"title": "New"}),
            &[],
        ),
        (
            "C-43",
            json!({}),
            json!([{"op": "Replace", "path": "title", "value": "New"}]),
            json!({"title": "New"}),
            &[],
        ),
        (
            "C-44",
            json!({}),
            json!([{"op": "Replace", "path": "userName", "value": "n"}]),
            json!({"userName": "n"}),
            &[],
        ),
        (
            "C-45",
            json!({"externalId": "a"}),
            json!([{"op": "Replace", "path": "externalId", "value": "b"}]),
            json!({"externalId": "b"}),
            &[],
        ),
        (
            "C-46 string",
            json!({}),
            json!([{"op": "Add", "path": MANAGER, "value": "U2"}]),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
            &[],
        ),
        (
            "C-46 list, bare name",
            json!({}),
            json!([{"op": "Add", "path": "manager", "value": [{"$ref": "http://x/Users/U2", "value": "U2"}]}]),
            json!({ENTERPRISE_URN: {"manager": {"$ref": "http://x/Users/U2", "value": "U2"}}}),
            &[],
        ),
        (
            "C-46 another manager keeps nothing of the old",
            json!({ENTERPRISE_URN: {"manager": {"$ref": "U1", "value": "U1", "displayName": "n"}}}),
            json!([{"op": "replace", "path": MANAGER, "value": {"value": "U2"}}]),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
            &[],
        ),
        (
            "C-61 another manager has another URL, and the name that is sent with it",
            json!({ENTERPRISE_URN: {"manager": {"$ref": "U1", "value": "U1", "displayName": "n"}}}),
            json!([{"op": "replace", "path": format!("{MANAGER}.displayName"), "value": "m"},
                   {"op": "replace", "path": format!("{MANAGER}.value"), "value": "U2"}]),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2", "displayName": "m"}}}),
            &[],
        ),
        (
            "C-61 the same manager keeps all",
            json!({ENTERPRISE_URN: {"manager": {"$ref": "U1", "value": "U1", "displayName": "n"}}}),
            json!([{"op": "replace", "path": format!("{MANAGER}.value"), "value": "U1"}]),
            json!({ENTERPRISE_URN: {"manager": {"$ref": "U1", "value": "U1", "displayName": "n"}}}),
            &[],
        ),
        (
            "C-61 no manager",
            json!({ENTERPRISE_URN: {"manager": {"$ref": "U1", "value": "U1"}}}),
            json!([{"op": "replace", "path": format!("{MANAGER}.value"), "value": ""}]),
            json!({}),
            &[],
        ),
        (
            "C-47 empty",
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}}),
            json!([{"op": "replace", "path": MANAGER, "value": ""}]),
            json!({}),
            &[],
        ),
        (
            "C-47 object",
            json!({ENTERPRISE_URN: {"manager": {"value": "U2", "$ref": "x"}}}),
            json!([{"op": "replace", "path": MANAGER, "value": {"value": ""}}]),
            json!({}),
            &[],
        ),
        (
            "C-47 remove",
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}, "division": "d"}}),
            json!([{"op": "Remove", "path": MANAGER}]),
            json!({ENTERPRISE_URN: {"division": "d"}}),
            &[],
        ),
        (
            "C-48 and T-18",
            json!({}),
            json!([{"op": "Add", "path": "addresses[type eq \"work\"].floor", "value": "secret"},
                   {"op": "Add", "path": "shoeSize", "value": "secret"},
                   {"op": "Add", "path": "title.sub", "value": "secret"},
                   {"op": "Add", "path": "shoes[size eq \"secret\"].value", "value": "secret"},
                   {"op": "Add", "path": path("floor"), "value": "secret"},
                   {"op": "Add", "path": path("manager.floor"), "value": "secret"},
                   {"op": "Add", "path": "title", "value": "t"}]),
            json!({"title": "t"}),
            &[
                "addresses.floor",
                "shoeSize",
                "shoes.value",
                "title.sub",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:floor",
                "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:manager.floor",
            ],
        ),
        (
            "C-49",
            json!({"title": "t"}),
            json!([]),
            json!({"title": "t"}),
            &[],
        ),
    ]);
}

#[test]
fn flag_dialect() {
    check(&[
        (
            "C-50, T-07, T-37",
            json!({"name": {"givenName": "x", "middleName": "m"}, "emails": [{"type": "work", "value": "x"}]}),
            json!([{"op": "replace", "value": {
                        "displayName": "Bjfe", "name.givenName": "Kelly", "name.familyName": "Smith",
                        format!("{ENTERPRISE_URN}:employeeNumber"): "8574", "preferredLanguage": "en-US", "active": false}},
                   {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "TestMhvaes@example.test"}]),
            json!({"displayName": "Bjfe", "name": {"givenName": "Kelly", "middleName": "m", "familyName": "Smith"},
                   ENTERPRISE_URN: {"employeeNumber": "8574"}, "preferredLanguage": "en-US", "active": false,
                   "emails": [{"type": "work", "value": "TestMhvaes@example.test"}]}),
            &[],
        ),
        (
            "C-50 nested, C-63",
            json!({"name": {"familyName": "f"}}),
            json!([{"op": "add", "value": {"name": {"givenName": "g"}, ENTERPRISE_URN: {"department": "d", "manager": "U2"}}}]),
            json!({"name": {"familyName": "f", "givenName": "g"},
                   ENTERPRISE_URN: {"department": "d", "manager": {"value": "U2"}}}),
            &[],
        ),
        (
            "keys with a filter",
            json!({}),
            json!([{"op": "add", "value": {"emails[type eq \"work\"].value": "a"}}]),
            json!({"emails": [{"type": "work", "value": "a"}]}),
            &[],
        ),
        (
            "what the server writes is passed over among others",
            json!({}),
            json!([{"op": "replace", "value": {"id": "U1", "schemas": [], "meta": {}, "groups": [{"value": "G"}],
                                               "password": "p", "title": "t", "x": "secret", "y": null}}]),
            json!({"title": "t"}),
            &["groups", "password", "x"],
        ),
        (
            "C-51",
            json!({}),
            json!([{"op": "replace", "path": "active", "value": false}]),
            json!({"active": false}),
            &[],
        ),
        (
            "C-52",
            json!({}),
            json!([{"op": "add", "path": "nickName", "value": "Babs"}]),
            json!({"nickName": "Babs"}),
            &[],
        ),
        (
            "empty path",
            json!({}),
            json!([{"op": "add", "path": "", "value": {"title": "t"}}]),
            json!({"title": "t"}),
            &[],
        ),
        (
            "extension as path",
            json!({ENTERPRISE_URN: {"division": "v", "costCenter": "c"}}),
            json!([{"op": "Add", "path": ENTERPRISE_URN.to_uppercase(), "value": {"department": "d", "costCenter": null, "shoe": "secret"}}]),
            json!({ENTERPRISE_URN: {"division": "v", "department": "d"}}),
            &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:shoe"],
        ),
        (
            "extension removed",
            json!({ENTERPRISE_URN: {"division": "v"}}),
            json!([{"op": "remove", "path": ENTERPRISE_URN}]),
            json!({}),
            &[],
        ),
        (
            "extension nulled",
            json!({ENTERPRISE_URN: {"division": "v"}}),
            json!([{"op": "replace", "path": ENTERPRISE_URN, "value": null}]),
            json!({}),
            &[],
        ),
        (
            "core schema as path",
            json!({"title": "x"}),
            json!([{"op": "replace", "path": USER_URN, "value": {"title": "t"}}]),
            json!({"title": "t"}),
            &[],
        ),
        (
            "P1 and P2",
            json!({"preferredLanguage": "x", "externalId": "x"}),
            json!([{"op": "remove", "path": "preferredLanguage"}, {"op": "remove", "path": "externalId"},
                   {"op": "add", "value": {"externalId": "a"}}, {"op": "replace", "value": {"externalId": "b", "displayName": "d"}}]),
            json!({"externalId": "b", "displayName": "d"}),
            &[],
        ),
    ]);
}

#[test]
fn names_that_are_no_paths() {
    check(&[
        (
            "are skipped and named, the rest is done",
            json!({}),
            json!([{"op": "Add", "path": format!("{CUSTOM_URN}:cost.center.code"), "value": "secret"},
                   {"op": "Replace", "path": format!("{CUSTOM_URN}:Cost Center"), "value": "secret"},
                   {"op": "Add", "path": "extension_x#y", "value": "secret"},
                   {"op": "Remove", "path": "a..b"},
                   {"op": "Replace", "path": "title", "value": "t"}]),
            json!({"title": "t"}),
            &[
                "a..b",
                "extension_x#y",
                "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:Cost Center",
                "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:cost.center.code",
            ],
        ),
        (
            "kept, where their extension is",
            json!({}),
            json!([{"op": "Add", "path": format!("{OPEN_URN}:Cost Center"), "value": "c"},
                   {"op": "Add", "path": format!("{OPEN_URN}:a.b.c"), "value": "d"}]),
            json!({OPEN_URN: {"Cost Center": "c", "a.b.c": "d"}}),
            &[],
        ),
    ]);
}

#[test]
fn values_as_lists_of_one() {
    let one = |value: Value| json!([{"$ref": null, "value": value}]);
    check(&[(
        "of an older dialect",
        json!({"title": "old", "nickName": "n", "locale": "l"}),
        json!([{"op": "Replace", "path": "displayName", "value": one(json!("d"))},
                   {"op": "Replace", "path": "active", "value": one(json!("False"))},
                   {"op": "Add", "path": "name.givenName", "value": ["g"]},
                   {"op": "Add", "path": "emails[type eq \"work\"].value", "value": one(json!("w"))},
                   {"op": "Replace", "path": "title", "value": one(Value::Null)},
                   {"op": "Remove", "path": "nickName", "value": one(json!("other"))},
                   {"op": "Remove", "path": "locale", "value": one(json!("l"))}]),
        json!({"nickName": "n", "displayName": "d", "active": false, "name": {"givenName": "g"},
                   "emails": [{"type": "work", "value": "w"}]}),
        &[],
    )]);
    for value in [
        json!(["a", "b"]),
        json!([{"value": "a", "type": "b"}]),
        json!({"value": "a"}),
        json!([["a"]]),
    ] {
        let body = operations(json!([{"op": "replace", "path": "title", "value": value}]));
        let error = patched(&user(json!({})), body, ResourceType::User).unwrap_err();
        assert_eq!(error.kind, ScimType::InvalidValue, "{value}");
    }
}

#[test]
fn kept_and_dropped_extensions() {
    check(&[
        (
            "C-69",
            json!({}),
            json!([{"op": "Add", "path": "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:CustomAttribute", "value": "secret"},
                   {"op": "Add", "path": format!("{CUSTOM_URN}:city"), "value": "secret"},
                   {"op": "Add", "path": format!("{CUSTOM_URN}:userPrincipalName"), "value": "p"},
                   {"op": "Add", "value": {"urn:x:2.0:User": {"a": "secret"}}}]),
            json!({CUSTOM_URN: {"userPrincipalName": "p"}}),
            &[
                "urn:ietf:params:scim:schemas:extension:CustomExtensionName:2.0:User:CustomAttribute",
                "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:city",
                "urn:x:2.0:User:a",
            ],
        ),
        (
            "kept whole",
            json!({OPEN_URN: {"Size": "XL", "gone": 1}}),
            json!([{"op": "Replace", "path": format!("{}:size", OPEN_URN.to_lowercase()), "value": {"a": 1, "b": null}},
                   {"op": "Add", "path": format!("{OPEN_URN}:size.c"), "value": "False"},
                   {"op": "Remove", "path": format!("{OPEN_URN}:size.A")},
                   {"op": "Remove", "path": format!("{OPEN_URN}:gone")},
                   {"op": "Add", "path": OPEN_URN, "value": {"x": [1]}},
                   {"op": "Add", "path": "company", "value": "c"},
                   {"op": "Add", "path": format!("{CUSTOM_URN}:COMPANY"), "value": ["d"]}]),
            json!({OPEN_URN: {"Size": {"c": "False"}, "x": [1]}, "Company": "c", CUSTOM_URN: {"Company": ["d"]}}),
            &[],
        ),
        (
            "a kept name leaves a path to the extension that has it, C-46",
            json!({ENTERPRISE_URN: {"costCenter": "a"}}),
            json!([{"op": "Replace", "path": "costCenter", "value": "b"},
                   {"op": "Add", "value": {"costCenter": "c"}}]),
            json!({ENTERPRISE_URN: {"costCenter": "b"}, "costCenter": "c"}),
            &[],
        ),
        (
            "a kept name has no elements",
            json!({"Company": "c"}),
            json!([{"op": "Replace", "path": "company[type eq \"a\"].value", "value": "d"}]),
            json!({"Company": "c"}),
            &["Company"],
        ),
        (
            "what holds no sub-attribute loses none",
            json!({"Company": "c"}),
            json!([{"op": "Remove", "path": "company.a"}, {"op": "Replace", "path": "company.a", "value": null}]),
            json!({"Company": "c"}),
            &[],
        ),
        (
            "kept whole, emptied",
            json!({OPEN_URN: {"a": 1}}),
            json!([{"op": "Replace", "path": format!("{OPEN_URN}:a"), "value": ""}]),
            json!({}),
            &[],
        ),
    ]);
}

#[test]
fn active_stays() {
    check(&[
        (
            "removed",
            json!({}),
            json!([{"op": "remove", "path": "active"}]),
            json!({}),
            &["active"],
        ),
        (
            "nulled",
            json!({"active": false}),
            json!([{"op": "replace", "path": "active", "value": null}]),
            json!({"active": false}),
            &["active"],
        ),
        (
            "emptied",
            json!({}),
            json!([{"op": "add", "value": {"active": ""}}]),
            json!({}),
            &["active"],
        ),
    ]);
}

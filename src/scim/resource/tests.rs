//! Bodies as clients send them, and what becomes of them. Each row names its case.

use proptest::prelude::*;
use serde_json::{Value, json};

use super::*;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, GROUP_URN, ResourceType, USER_URN};

const OPEN_URN: &str = "urn:ietf:params:scim:schemas:extension:Open:2.0:User";

fn table() -> Schemas {
    Schemas::new(CUSTOM_URN, &["Company".to_owned(), OPEN_URN.to_owned()])
}

fn user(body: Value) -> Result<Parsed, Error> {
    parse(body, ResourceType::User, &table())
}

/// A user who is called `u`, with what `more` adds.
fn with(more: Value) -> Value {
    let mut body = json!({"userName": "u"});
    body.as_object_mut()
        .unwrap()
        .extend(more.as_object().unwrap().clone());
    body
}

#[test]
fn stores_what_was_sent() {
    let flat = |name: &str| format!("{ENTERPRISE_URN}:{name}");
    let rows = [
        (
            "C-20",
            json!({"schemas": [USER_URN, ENTERPRISE_URN], "externalId": "0a21", "active": true, "id": "x",
                   "emails": [{"primary": true, "type": "work", "value": "T@testuser.test"}],
                   "meta": {"resourceType": "User"}, "roles": [],
                   "name": {"formatted": "g f", "familyName": "f", "givenName": "g"}}),
            json!({"externalId": "0a21", "active": true,
                   "emails": [{"primary": true, "type": "work", "value": "T@testuser.test"}],
                   "name": {"formatted": "g f", "familyName": "f", "givenName": "g"}}),
            vec![],
        ),
        (
            "C-21",
            json!({"schemas": [USER_URN, "urn:ietf:params:scim:schemas:extension:enterprise:2.0User"],
                   "addresses": null, "displayName": "Joy Young", "phoneNumbers": null, "title": null,
                   "department": null, "manager": null, "name": {"familyName": "Young", "middleName": null}}),
            json!({"displayName": "Joy Young", "name": {"familyName": "Young"}}),
            vec![],
        ),
        (
            "C-22 extension not in schemas, its letter case",
            json!({ENTERPRISE_URN.to_uppercase(): {"DEPARTMENT": "d"}}),
            json!({ENTERPRISE_URN: {"department": "d"}}),
            vec![],
        ),
        (
            "C-22 custom extension",
            json!({CUSTOM_URN: {"userPrincipalName": "p", "city": "Pune", "x": {"y": null}}}),
            json!({CUSTOM_URN: {"userPrincipalName": "p"}}),
            vec![format!("{CUSTOM_URN}:city")],
        ),
        (
            "C-23",
            json!({ENTERPRISE_URN: {"department": "d", "manager": "U2"}}),
            json!({ENTERPRISE_URN: {"department": "d", "manager": {"value": "U2"}}}),
            vec![],
        ),
        (
            "T-09 manager in a list",
            json!({ENTERPRISE_URN: {"manager": [{"value": "U2", "$ref": "x"}]}}),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2", "$ref": "x"}}}),
            vec![],
        ),
        (
            "T-09 no manager",
            json!({ENTERPRISE_URN: {"manager": ""}}),
            json!({}),
            vec![],
        ),
        (
            "T-09 empty manager",
            json!({ENTERPRISE_URN: {"manager": {"value": ""}}}),
            json!({}),
            vec![],
        ),
        (
            "C-24",
            json!({"active": "True", "phoneNumbers": [{"type": "work", "primary": "false", "value": "1"}],
                   "roles": [{"primary": "True", "type": "WindowsAzureActiveDirectoryRole", "value": "Admin"}]}),
            json!({"active": true, "phoneNumbers": [{"type": "work", "primary": false, "value": "1"}],
                   "roles": [{"primary": true, "type": "WindowsAzureActiveDirectoryRole", "value": "Admin"}]}),
            vec![],
        ),
        ("C-25", json!({"emails": []}), json!({}), vec![]),
        (
            "C-31 and T-18",
            json!({"adreses": [1], "addresses": [{"type": "work", "floor": 3, "country": "Sierra Leone"}]}),
            json!({"addresses": [{"type": "work", "country": "Sierra Leone"}]}),
            vec!["addresses.floor".to_owned(), "adreses".to_owned()],
        ),
        (
            "C-32",
            json!({"locale": "RJWN", "timezone": "x", "preferredLanguage": "hi", "profileUrl": "BAPN",
                   "phoneNumbers": [{"value": "10-040-1308"}]}),
            json!({"locale": "RJWN", "timezone": "x", "preferredLanguage": "hi", "profileUrl": "BAPN",
                   "phoneNumbers": [{"value": "10-040-1308"}]}),
            vec![],
        ),
        (
            "C-50 and T-07 keys",
            json!({"name.givenName": "K", "NAME": {"FamilyName": "S"}, flat("department"): "d",
                   flat("manager.displayName"): "B", format!("{USER_URN}:title"): "t", USER_URN: {"nickName": "n"}}),
            json!({"name": {"givenName": "K", "familyName": "S"}, "title": "t", "nickName": "n",
                   ENTERPRISE_URN: {"department": "d", "manager": {"displayName": "B"}}}),
            vec![],
        ),
        (
            "a dotted key under its URN, and one with a filter",
            json!({ENTERPRISE_URN: {"manager.value": "U2"}, "emails[type eq \"work\"].value": "a@b.test"}),
            json!({ENTERPRISE_URN: {"manager": {"value": "U2"}}, "emails": [{"type": "work", "value": "a@b.test"}]}),
            vec![],
        ),
        (
            "lists that are none",
            json!({"emails": "a@b.test", "phoneNumbers": {"value": "1"}, "photos": ["p", null, "", {}]}),
            json!({"emails": [{"value": "a@b.test"}], "phoneNumbers": [{"value": "1"}], "photos": [{"value": "p"}]}),
            vec![],
        ),
        (
            "one primary at the most, the first",
            json!({"emails": [{"value": "a"}, {"value": "b", "primary": "true"}, {"value": "c", "primary": true}]}),
            json!({"emails": [{"value": "a"}, {"value": "b", "primary": true}, {"value": "c", "primary": false}]}),
            vec![],
        ),
        (
            "C-68 as sent",
            json!({"roles": [{"value": "{\"id\":\"06b0\",\"value\":\"25\"}"}, {"id": "06b1", "value": "26"}]}),
            json!({"roles": [{"value": "{\"id\":\"06b0\",\"value\":\"25\"}"}, {"value": "26"}]}),
            vec!["roles.id".to_owned()],
        ),
        (
            "T-38",
            json!({"emails": [{"type": "untyped", "value": "a"}], "phoneNumbers": [{"type": "pager", "value": "1"}]}),
            json!({"emails": [{"type": "untyped", "value": "a"}], "phoneNumbers": [{"type": "pager", "value": "1"}]}),
            vec![],
        ),
        (
            "what the server writes, and the password",
            json!({"id": "i", "meta": {"x": 1}, "schemas": 7, "groups": [{"value": "G"}], "password": "p"}),
            json!({}),
            vec!["groups".to_owned(), "password".to_owned()],
        ),
        (
            "kept as it comes",
            json!({"company": {"a": null, "b": [1, ""], "B": "False"}, OPEN_URN.to_lowercase(): {"a.b": {"c": 1}, "n": null}}),
            json!({"Company": {"b": [1], "B": "False"}, OPEN_URN: {"a.b": {"c": 1}}}),
            vec![],
        ),
        (
            "unknown extensions, whole and flat",
            json!({"urn:x:2.0:User": {"a": 1, "n": null}, "urn:y:2.0:User:b.c": "v", "not a [path": 1, "http://z/1": 2}),
            json!({}),
            [
                "http://z/1",
                "not a ",
                "urn:x:2.0:User:a",
                "urn:y:2.0:User:b.c",
            ]
            .map(str::to_owned)
            .to_vec(),
        ),
    ];
    for (case, sent, stored, skipped) in rows {
        let parsed = user(with(sent)).unwrap_or_else(|error| panic!("{case}: {error}"));
        assert_eq!(
            Value::Object(parsed.attributes.clone()),
            with(stored),
            "{case}"
        );
        assert_eq!(parsed.skipped, skipped, "{case}");
        let again = user(Value::Object(parsed.attributes.clone())).unwrap();
        assert_eq!(again.attributes, parsed.attributes, "{case}, read again");
        assert!(again.skipped.is_empty(), "{case}, read again");
    }
}

#[test]
fn refuses_what_it_cannot_store() {
    let rows = [
        (
            "C-26",
            json!({"displayName": "x"}),
            ScimType::InvalidValue,
            "userName is required",
        ),
        (
            "C-26 empty",
            json!({"userName": ""}),
            ScimType::InvalidValue,
            "userName is required",
        ),
        (
            "C-27",
            json!([]),
            ScimType::InvalidSyntax,
            "the body must be a JSON object",
        ),
        (
            "boolean",
            with(json!({"active": "secret"})),
            ScimType::InvalidValue,
            "active must be true or false",
        ),
        (
            "string",
            with(json!({"title": 5})),
            ScimType::InvalidValue,
            "title must be a string",
        ),
        (
            "object",
            with(json!({"name": "secret"})),
            ScimType::InvalidValue,
            "name must be an object",
        ),
        (
            "list",
            with(json!({"emails": 5})),
            ScimType::InvalidValue,
            "emails must be an object",
        ),
        (
            "sub-attribute",
            with(json!({"emails": [{"value": {}}]})),
            ScimType::InvalidValue,
            "emails.value must be a string",
        ),
        (
            "extension",
            with(json!({ENTERPRISE_URN: "secret"})),
            ScimType::InvalidValue,
            &format!("{ENTERPRISE_URN} must be an object"),
        ),
        (
            "too many values",
            with(json!({"emails": vec!["a"; 1_001]})),
            ScimType::TooMany,
            "emails can hold 1000 values at the most",
        ),
    ];
    for (case, body, kind, detail) in rows {
        assert_eq!(user(body).unwrap_err(), Error::new(kind, detail), "{case}");
    }
}

#[test]
fn names_can_be_read() {
    for name in [" ", "\u{a0}\t", "a\u{0}b", "a\nb", "\u{1b}[31ma", "a\u{85}"] {
        for (resource_type, attribute) in [
            (ResourceType::User, "userName"),
            (ResourceType::Group, "displayName"),
        ] {
            let error = parse(json!({attribute: name}), resource_type, &table()).unwrap_err();
            let detail =
                format!("{attribute} must hold more than blanks, and no control characters");
            assert_eq!(
                error,
                Error::new(ScimType::InvalidValue, detail),
                "{name:?}"
            );
        }
        assert!(user(with(json!({"displayName": name}))).is_ok(), "{name:?}");
    }
    assert!(user(json!({"userName": " Zoë O'Neil "})).is_ok());
}

#[test]
fn a_long_urn_is_not_repeated() {
    let urn = |letters| format!("urn:{}:2.0:User", "x".repeat(letters));
    let parsed = user(with(json!({urn(200): {"a": 1, "b": 1}}))).unwrap();
    assert_eq!(
        parsed.skipped,
        [format!("{}:a", urn(200)), format!("{}:b", urn(200))]
    );
    let parsed = user(with(json!({urn(250): {"a": 1, "b": 1}}))).unwrap();
    assert_eq!(parsed.skipped, [urn(250)]);
}

#[test]
fn a_body_names_only_so_many_attributes() {
    let names = |count| -> Object { (0..count).map(|n| (format!("a{n}"), n.into())).collect() };
    let urn = "urn:x:2.0:User";
    for body in [
        names(20_000).into(),
        json!({urn: names(20_000)}),
        json!({USER_URN: names(20_000)}),
    ] {
        assert_eq!(user(with(body)).unwrap_err().kind, ScimType::TooMany);
    }
    let entries = entries(
        json!({urn: names(9_000)}).as_object().unwrap().clone(),
        ResourceType::User,
        &table(),
    )
    .unwrap();
    let urns: std::collections::HashSet<_> = entries
        .iter()
        .map(|(path, _)| match path {
            crate::scim::path::Path::Attribute(attr) => attr.urn.as_ref().unwrap().as_ptr(),
            other => panic!("{other}"),
        })
        .collect();
    assert_eq!(
        (entries.len(), urns.len()),
        (9_000, 1),
        "the URN is there once"
    );
}

#[test]
fn a_body_does_only_so_much_work() {
    let emails: Vec<_> = (0..1_000).map(|n| format!("ü{n}")).collect();
    let mut body = with(json!({"emails": emails}));
    assert!(user(body.clone()).is_ok());
    for n in 0..100 {
        body[format!("emails[value eq \"é{n}\"].display")] = "d".into();
    }
    assert_eq!(user(body).unwrap_err().kind, ScimType::TooMany);

    let open = |names| {
        let names: Object = (0..names).map(|n| (n.to_string(), 1.into())).collect();
        with(json!({OPEN_URN: names}))
    };
    assert!(user(open(2_000)).is_ok());
    assert_eq!(user(open(20_000)).unwrap_err().kind, ScimType::TooMany);
}

#[test]
fn groups_keep_their_members() {
    let body = json!({
        "schemas": [GROUP_URN, "http://schemas.microsoft.com/2006/11/ResourceManagement/ADSCIM/2.0/Group"],
        "externalId": "8aa1", "displayName": "g", "meta": {"resourceType": "Group"},
        "members": [{"$ref": null, "value": "U1"}, "U2", {"value": "G2", "type": "Group", "display": "n"}],
    });
    let parsed = parse(body, ResourceType::Group, &table()).expect("C-90, T-27");
    assert_eq!(
        Value::Object(parsed.attributes),
        json!({"externalId": "8aa1", "displayName": "g",
               "members": [{"value": "U1"}, {"value": "U2"}, {"value": "G2", "type": "Group", "display": "n"}]}),
        "C-96, C-104"
    );
    assert!(parsed.skipped.is_empty());
    let many = json!({"displayName": "g", "members": vec!["U"; 100_000]});
    assert!(parse(many, ResourceType::Group, &table()).is_ok());
}

#[test]
fn the_mappings_see_what_is_dropped_and_nobody_else() {
    let parsed = user(with(json!({
        "department2": "secret", "null": null, CUSTOM_URN.to_lowercase(): {"City": "secret"}, "urn:x:U": {"a": ["secret"]},
    })))
    .unwrap();
    assert_eq!(
        Value::Object(parsed.transient.attributes().clone()),
        json!({"department2": "secret", CUSTOM_URN: {"City": "secret"}, "urn:x:U": {"a": ["secret"]}})
    );
    let shown = format!("{parsed:?}");
    assert!(
        shown.contains("department2") && !shown.contains("secret"),
        "{shown}"
    );
}

#[test]
fn renders_the_whole_resource() {
    let mut meta = Meta {
        resource_type: "User",
        created: "2026-01-01T00:00:00Z",
        last_modified: "2026-01-02T00:00:00Z",
        location: "https://scim.example.test/scim/Users/U1",
        version: "W/\"1\"",
    };
    let stored = json!({"userName": "u", ENTERPRISE_URN: {"manager": {"value": "U 2/ä"}}});
    let shown = render(
        stored.as_object().unwrap(),
        "U1",
        &meta,
        ResourceType::User,
        &table(),
    );
    assert_eq!(
        Value::Object(shown),
        json!({"schemas": [USER_URN, ENTERPRISE_URN], "id": "U1", "userName": "u",
               ENTERPRISE_URN: {"manager": {"value": "U 2/ä", "$ref": "../Users/U%202%2F%C3%A4"}},
               "meta": {"resourceType": "User", "created": "2026-01-01T00:00:00Z",
                        "lastModified": "2026-01-02T00:00:00Z",
                        "location": "https://scim.example.test/scim/Users/U1", "version": "W/\"1\""}}),
        "C-23, C-63, T-10"
    );
    let sent =
        json!({"userName": "u", ENTERPRISE_URN: {"manager": {"value": "U2", "$ref": "mine"}}});
    let shown = render(
        sent.as_object().unwrap(),
        "U1",
        &meta,
        ResourceType::User,
        &table(),
    );
    assert_eq!(shown[ENTERPRISE_URN]["manager"]["$ref"], "mine");
    meta.resource_type = "Group";
    let bare = render(&Object::new(), "G1", &meta, ResourceType::Group, &table());
    assert_eq!(bare["schemas"], json!([GROUP_URN]));
    assert_eq!(bare["meta"]["resourceType"], "Group");
}

proptest! {
    /// Also where a text looks like a member, or a name like an extension's.
    #[test]
    fn what_goes_out_as_text_is_the_whole_resource(members in prop::collection::vec((name(), value()), 0..6)) {
        let meta = Meta {
            resource_type: "User",
            created: "2026-01-01T00:00:00.000Z",
            last_modified: "2026-01-02T00:00:00.000Z",
            location: "https://scim.example.test/scim/Users/U1",
            version: "W/\"1\"",
        };
        let stored: Object = members.into_iter().collect();
        let text = serde_json::to_string(&stored).unwrap();
        let mut whole = render(&stored, "U\"1", &meta, ResourceType::User, &table());
        let sent = render_json(&text, "U\"1", &meta, None, ResourceType::User, &table()).unwrap();
        prop_assert_eq!(std::str::from_utf8(&sent).unwrap(), serde_json::to_string(&whole).unwrap());
        whole.insert("groups".to_owned(), json!([1]));
        let groups = Some(("groups", "[1]"));
        let sent = render_json(&text, "U\"1", &meta, groups, ResourceType::User, &table()).unwrap();
        prop_assert_eq!(std::str::from_utf8(&sent).unwrap(), serde_json::to_string(&whole).unwrap());
    }
}

#[test]
fn what_is_not_as_it_was_stored_does_not_go_out() {
    let meta = Meta {
        resource_type: "User",
        created: "",
        last_modified: "",
        location: "",
        version: "",
    };
    let sent = |stored| render_json(stored, "U1", &meta, None, ResourceType::User, &table());
    for stored in [
        "",
        "{",
        "[]",
        " {}",
        "{} ",
        "{}}",
        r#"{"a":1"#,
        r#"{"a":{"b":1}"#,
        r#"{"a":"b}"#,
        r#"{"a"}"#,
        r#"{"a":}"#,
        r#"{"a":1,}"#,
        r#"{a:1}"#,
        r#"{ "a":1}"#,
        r#"{"a":1}{}"#,
        r#"{"a":[1}"#,
    ] {
        assert!(sent(stored).is_err(), "{stored}");
    }
    assert!(sent("{}").is_ok() && sent(r#"{"a":[{}],"b":"}"}"#).is_ok());
}

fn name() -> impl Strategy<Value = String> {
    prop_oneof![
        prop::sample::select(vec![
            ENTERPRISE_URN,
            CUSTOM_URN,
            OPEN_URN,
            "userName",
            "manager",
            "a\":\"b",
            "a\\"
        ])
        .prop_map(str::to_owned),
        "[a:\"\\\\{ü]{1,5}",
    ]
}

fn value() -> impl Strategy<Value = Value> {
    let leaf = prop_oneof![
        name().prop_map(Value::from),
        Just(json!(true)),
        Just(json!(-1.5))
    ];
    leaf.prop_recursive(3, 12, 3, |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..3).prop_map(Value::from),
            prop::collection::vec((name(), inner), 0..3)
                .prop_map(|members| Value::Object(members.into_iter().collect())),
        ]
    })
}

proptest! {
    /// And in that order, which is that of the audit's text.
    #[test]
    fn changes_are_found_wherever_members_stand(
        kept in prop::collection::vec((name(), value()), 0..6),
        old in prop::collection::vec((name(), value()), 0..3),
        new in prop::collection::vec((name(), value()), 0..3),
        at in 0..6_usize,
        turned in any::<bool>(),
    ) {
        let (mut before, mut after) = (kept.clone(), kept);
        before.splice(at.min(before.len()).., old);
        after.splice(..at.min(after.len()), new);
        if turned {
            after.reverse();
        }
        let [before, after]: [Object; 2] = [before, after].map(|members| members.into_iter().collect());
        prop_assert_eq!(
            serde_json::to_string(&changes(&before, &after)).unwrap(),
            serde_json::to_string(&looked_up(&before, &after)).unwrap()
        );
    }
}

/// The same as `changes`, each name looked up on both sides.
fn looked_up(old: &Object, new: &Object) -> Object {
    fn names(old: &Object, new: &Object) -> Vec<String> {
        let added = new.keys().filter(|name| !old.contains_key(*name));
        old.keys().chain(added).cloned().collect()
    }
    let mut found = Object::new();
    let mut note = |name: String, old: Option<&Value>, new: Option<&Value>| {
        let mut sides = Object::new();
        old.map(|old| sides.insert("old".to_owned(), old.clone()));
        new.map(|new| sides.insert("new".to_owned(), new.clone()));
        if old != new {
            found.insert(name, sides.into());
        }
    };
    for name in names(old, new) {
        let (old, new) = (old.get(&name), new.get(&name));
        if name.contains(':') && old != new {
            let inside = |side: Option<&Value>| side.and_then(Value::as_object).cloned();
            let (old, new) = (
                inside(old).unwrap_or_default(),
                inside(new).unwrap_or_default(),
            );
            for inner in names(&old, &new) {
                note(format!("{name}:{inner}"), old.get(&inner), new.get(&inner));
            }
        } else {
            note(name, old, new);
        }
    }
    found
}

#[test]
fn changes_have_two_sides() {
    let old = json!({"userName": "u", "title": "a", "nickName": "n", ENTERPRISE_URN: {"department": "d", "division": "x"}});
    let new = json!({"userName": "u", "title": "b", "locale": "l", ENTERPRISE_URN: {"division": "x", "costCenter": "c"},
                     CUSTOM_URN: {"userPrincipalName": "p"}});
    let found = changes(old.as_object().unwrap(), new.as_object().unwrap());
    assert_eq!(
        Value::Object(found),
        json!({"title": {"old": "a", "new": "b"}, "nickName": {"old": "n"}, "locale": {"new": "l"},
               format!("{ENTERPRISE_URN}:department"): {"old": "d"},
               format!("{ENTERPRISE_URN}:costCenter"): {"new": "c"},
               format!("{CUSTOM_URN}:userPrincipalName"): {"new": "p"}})
    );
    assert!(changes(old.as_object().unwrap(), old.as_object().unwrap()).is_empty());
}

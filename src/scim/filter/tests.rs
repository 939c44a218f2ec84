//! Filters, as data: what parses to what, what is refused and where, what matches.

use serde_json::{Value, json};

use super::Filter;
use super::parse::{MAX_DEPTH, MAX_TERMS};
use crate::scim::schema::{
    self, CUSTOM_URN, ENTERPRISE_URN, ResourceType, Schemas, USER, USER_URN,
};
use crate::scim::{Error, Object, ScimType};

const KEPT_URN: &str = "urn:example:kept";

pub(super) fn schemas() -> Schemas {
    Schemas::new(CUSTOM_URN, &[KEPT_URN.to_owned(), "team".to_owned()])
}

pub(super) fn parse(text: &str) -> Result<Filter, Error> {
    Filter::parse(text, ResourceType::User, &schemas())
}

#[test]
fn parses_and_prints() {
    for (text, printed) in [
        (r#"userName eq "bjensen""#, r#"userName eq "bjensen""#),
        (r#"USERNAME EQ "a""#, r#"USERNAME eq "a""#),
        ("title  PR ", "title pr"),
        (
            r#"a pr or b pr and not (c pr)"#,
            r#"a pr or b pr and not (c pr)"#,
        ),
        (r#"(a pr or b pr) and c pr"#, r#"(a pr or b pr) and c pr"#),
        (r#"((a pr)) and (b pr)"#, r#"a pr and b pr"#),
        (r#"a pr and (b pr and c pr)"#, r#"a pr and (b pr and c pr)"#),
        (r#"a pr or (b pr or c pr)"#, r#"a pr or (b pr or c pr)"#),
        ("NOT(a pr)AND b pr", "not (a pr) and b pr"),
        ("not pr or not(not pr)", "not pr or not (not pr)"),
        (
            r#"emails[type eq "work" and value co "@example.test"]"#,
            r#"emails[type eq "work" and value co "@example.test"]"#,
        ),
        (
            r#"emails[type eq "work"].value eq "x""#,
            r#"emails[type eq "work" and value eq "x"]"#,
        ),
        (
            r#"emails[type eq "work" and primary eq true].Value eq "x""#,
            r#"emails[type eq "work" and primary eq true and Value eq "x"]"#,
        ),
        (
            r#"emails[type eq "a" or type eq "b"].value pr"#,
            r#"emails[(type eq "a" or type eq "b") and value pr]"#,
        ),
        (
            r#"urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "J""#,
            r#"urn:ietf:params:scim:schemas:core:2.0:User:name.familyName sw "J""#,
        ),
        ("externalId eq jyoung", r#"externalId eq "jyoung""#),
        (
            "id eq 2819c223-7f76-453a-919d-413861904646 and manager eq U2",
            r#"id eq "2819c223-7f76-453a-919d-413861904646" and manager eq "U2""#,
        ),
        ("id eq 42", "id eq 42"),
        ("id eq -1.5", "id eq -1.5"),
        ("id eq 007", r#"id eq "007""#),
        ("id eq 1e5", r#"id eq "1e5""#),
        (
            "id eq 123456789012345678901234567890",
            r#"id eq "123456789012345678901234567890""#,
        ),
        ("active eq TRUE", "active eq true"),
        ("title ne Null", "title ne null"),
        (
            r#"userName eq "o'brien+\"\\\u00e9\/test""#,
            r#"userName eq "o'brien+\"\\é/test""#,
        ),
        (r#"title eq "\ud83d\ude00)]""#, r#"title eq "😀)]""#),
        (
            r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
            r#"meta.lastModified ge "2011-05-13T04:42:34Z""#,
        ),
    ] {
        assert_eq!(parse(text).unwrap().to_string(), printed, "{text}");
    }
}

#[test]
fn and_binds_tighter_than_or() {
    let Ok(Filter::Or(terms)) = parse("a pr or b pr and c pr or not (d pr) and e pr") else {
        panic!("no disjunction");
    };
    assert!(matches!(
        terms.as_slice(),
        [Filter::Present(_), Filter::And(_), Filter::And(_)]
    ));
}

#[test]
fn refuses_with_the_byte() {
    for (text, byte) in [
        ("", 0),
        ("   ", 3),
        ("userName", 8),
        ("userName eq", 11),
        (r#"userName is "x""#, 9),
        (r#"userName eq "x"#, 12),
        (r#"userName eq "\x""#, 12),
        (r#"userName eq "\ud800""#, 12),
        ("userName eq 'x'", 12),
        (r#"userName eq "x" title pr"#, 16),
        (r#"userName eq "x" and"#, 19),
        ("(a pr", 5),
        ("a pr)", 4),
        ("a pr and ()", 10),
        ("not a pr", 4),
        (r#"é eq "x" x"#, 10),
        ("emails[type pr", 14),
        ("emails[]", 7),
        ("emails[type pr].", 16),
        ("emails[type pr].value", 21),
        ("emails[a[b pr]]", 7),
        ("emails[type.x pr]", 7),
        ("emails[urn:x:type pr]", 7),
        ("emails.type[value pr]", 0),
        (r#"userName[value eq "x"]"#, 0),
        ("a:.b pr", 0),
        (r#"name eq "x""#, 5),
        (r#"addresses eq "x""#, 10),
        ("active gt true", 7),
        (r#"active co "t""#, 7),
        (r#"active eq "yes""#, 7),
        ("emails[primary eq 1]", 15),
        ("title gt null", 6),
        (r#"x509Certificates.value lt "x""#, 23),
        (r#"meta.created gt "yesterday""#, 13),
        (r#"meta.created sw "2030""#, 13),
    ] {
        let error = parse(text).unwrap_err();
        assert_eq!(error.kind, ScimType::InvalidFilter, "{text}");
        let start = format!("invalid filter at byte {byte}: ");
        assert!(error.detail.starts_with(&start), "{text}: {error}");
    }
}

#[test]
fn takes_names_that_no_schema_has() {
    for text in [
        r#"foo co "x""#,
        r#"title pr or name.foo eq "x""#,
        r#"emails[type eq "work"].foo eq "x""#,
        r#"urn:nobody:2.0:User:title eq "x""#,
        &format!(r#"{CUSTOM_URN}:shoeSize eq "x""#),
    ] {
        assert!(parse(text).is_ok(), "{text}");
    }
}

#[test]
fn limits_hold_without_a_deep_stack() {
    let nested = |depth: usize| format!("{}a pr{}", "(".repeat(depth), ")".repeat(depth));
    assert!(parse(&nested(MAX_DEPTH)).is_ok());
    assert!(parse(&nested(MAX_DEPTH + 1)).is_err());
    assert!(parse(&"(".repeat(1_000_000)).is_err());
    assert!(parse(&"not(".repeat(100_000)).is_err());
    assert!(parse(&"a[".repeat(100_000)).is_err());
    assert!(parse(&vec!["(a pr)"; MAX_DEPTH + 1].join(" and ")).is_ok());
    let terms = |count: usize| vec!["a pr"; count].join(" and ");
    assert!(parse(&terms(MAX_TERMS)).is_ok());
    assert!(parse(&terms(MAX_TERMS + 1)).is_err());
}

pub(super) fn user() -> Object {
    let user = json!({
        "schemas": [USER_URN, ENTERPRISE_URN],
        "id": "Ab1",
        "externalId": "Ext42",
        "userName": "Özlem@Example.test",
        "name": {"givenName": "Anna", "familyName": "Lee"},
        "active": true,
        "emails": [
            {"type": "work", "value": "anna@example.test", "primary": true},
            {"type": "home", "value": "anna@home.test"}
        ],
        "roles": [{"value": "42", "primary": "True"}],
        "team": "Blue",
        ENTERPRISE_URN: {"department": "Sales", "manager": {"value": "U2"}},
        KEPT_URN: {"Badge": {"number": 7.5, "valid": true}, "codes": [1, 2]},
        CUSTOM_URN: {"shoeSize": "M"},
        "company": "Contoso",
        "meta": {
            "resourceType": "User",
            "created": "2026-01-01T12:00:00Z",
            "lastModified": "2026-01-02T00:00:00.5Z"
        }
    });
    user.as_object().unwrap().clone()
}

#[test]
fn matches_by_the_type_of_the_attribute() {
    for (filter, expected) in [
        // Letter case, by the schema.
        (r#"userName eq "öZLEM@EXAMPLE.TEST""#, true),
        (r#"externalId eq "Ext42""#, true),
        (r#"externalId eq "ext42""#, false),
        (r#"id eq Ab1"#, true),
        (r#"id ne "ab1""#, true),
        // Text.
        (r#"userName sw "özlem@""#, true),
        (r#"userName ew ".TEST""#, true),
        (r#"userName co "EXAMPLE""#, true),
        (r#"userName co "nobody""#, false),
        (r#"name.givenName gt "ANDREW""#, true),
        (r#"name.givenName ge "anna""#, true),
        (r#"name.givenName gt "anna""#, false),
        (r#"name.familyName lt "lef""#, true),
        (r#"name.familyName le "LEE""#, true),
        (r#"externalId lt "ext""#, true),
        ("roles.value eq 42", true),
        // Booleans, also as text.
        ("active eq true", true),
        (r#"active eq "True""#, true),
        ("active ne false", true),
        ("active eq False", false),
        (r#"roles[primary eq true]"#, true),
        // Instants.
        (r#"meta.created eq "2026-01-01T13:00:00+01:00""#, true),
        (r#"meta.created ge "2026-01-01T12:00:00.000Z""#, true),
        (r#"meta.lastModified gt "2026-01-02T00:00:00Z""#, true),
        (r#"meta.lastModified lt "2026-01-02T00:00:00Z""#, false),
        // Several values: one is enough.
        (r#"emails eq "ANNA@home.test""#, true),
        (r#"emails.value ew "home.test""#, true),
        (r#"emails.type eq "other""#, false),
        (r#"emails.type ne "work""#, true),
        (r#"emails[type eq "work" and value sw "anna@home"]"#, false),
        (
            r#"emails[type eq "work"].value eq "anna@EXAMPLE.test""#,
            true,
        ),
        (r#"emails[type eq "home" and not (primary eq true)]"#, true),
        (r#"emails[primary ne true]"#, true),
        (r#"emails[type eq "other"].value ne "x""#, false),
        (&format!(r#"schemas eq "{ENTERPRISE_URN}""#), true),
        // A complex value is its `value`.
        (r#"manager eq "U2""#, true),
        (r#"manager eq "U3""#, false),
        (&format!(r#"{ENTERPRISE_URN}:manager.value eq U2"#), true),
        (
            &format!(r#"{}:department eq "SALES""#, ENTERPRISE_URN.to_uppercase()),
            true,
        ),
        (&format!(r#"{USER_URN}:team eq "blue""#), true),
        // Presence.
        ("title pr", false),
        ("emails pr", true),
        ("emails.display pr", false),
        ("name.givenName pr", true),
        ("manager pr", true),
        ("title eq null", true),
        ("title ne null", false),
        ("name ne null", true),
        (r#"title ne "x""#, true),
        (r#"title eq """#, false),
        (r#"not (title eq "x")"#, true),
        (r#"emails.display ne "x""#, true),
        // No schema has it, the resource does not hold it: nothing holds.
        (r#"foo eq "x""#, false),
        (r#"foo ne "x""#, false),
        ("foo eq null", false),
        (r#"not (foo ne "x")"#, true),
        (r#"name.foo ne "x""#, false),
        // No schema has it, the resource holds it.
        (r#"company eq "contoso""#, true),
        (&format!(r#"{CUSTOM_URN}:SHOESIZE eq "m""#), true),
        (r#"shoeSize eq "m""#, true),
        // An extension that is kept whole.
        (&format!("{KEPT_URN}:badge.number gt 7"), true),
        (&format!("{KEPT_URN}:badge.number eq 7.50"), true),
        (&format!(r#"{KEPT_URN}:badge.valid eq "TRUE""#), true),
        (
            &format!("{KEPT_URN}:badge[number lt 7 or valid eq true]"),
            true,
        ),
        (&format!("{KEPT_URN}:codes eq 2"), true),
        (&format!("{KEPT_URN}:codes gt 2"), false),
        (&format!("{KEPT_URN}:codes ne red"), true),
        (&format!("{KEPT_URN}:absent ne 1"), true),
        // Logic.
        (r#"active eq true and title pr or userName pr"#, true),
        (r#"active eq true and (title pr or nickName pr)"#, false),
    ] {
        let parsed = parse(filter).unwrap();
        let matched = parsed.matches(&user(), ResourceType::User, &schemas());
        assert_eq!(matched, expected, "{filter}");
    }
}

#[test]
fn group_members_match_by_value() {
    let group = json!({"id": "G1", "members": [{"value": "U1"}, {"value": "U2"}]});
    for (text, expected) in [
        ("id eq G1 and members eq U1", true),
        (r#"members[value eq "U3"]"#, false),
        (r#"members.value eq "u1""#, false),
        ("manager eq U1", false),
    ] {
        let filter = Filter::parse(text, ResourceType::Group, &schemas()).unwrap();
        let group = group.as_object().unwrap();
        let matched = filter.matches(group, ResourceType::Group, &schemas());
        assert_eq!(matched, expected, "{text}");
    }
}

/// The filter between the brackets of `attribute[text]`, and the attribute.
fn bracket(attribute: &str, text: &str) -> (Filter, &'static schema::Attribute) {
    let attribute = schema::find(&USER.attributes, attribute).unwrap();
    let text = format!("[{text}]");
    let (filter, _) = Filter::parse_bracket(&text, 0, Some(attribute)).unwrap();
    (filter, attribute)
}

#[test]
fn elements_match() {
    let role = json!({"type": "Admin", "primary": true, "value": "1"});
    for (text, element, expected) in [
        (r#"primary eq "True""#, &role, true),
        ("primary eq true", &json!({"primary": "true"}), true),
        ("primary eq false", &role, false),
        ("primary ne true", &json!({"value": "1"}), true),
        (r#"TYPE eq "admin""#, &role, true),
        (r#"value eq "1""#, &json!("1"), false),
    ] {
        let (filter, attribute) = bracket("roles", text);
        assert_eq!(
            filter.matches_element(element, attribute),
            expected,
            "{text}"
        );
    }
}

#[test]
fn conjunctions_of_eq_imply_an_element() {
    for (text, implied) in [
        (r#"type eq "work""#, Some(json!({"type": "work"}))),
        (r#"TYPE EQ "Work""#, Some(json!({"type": "Work"}))),
        (r#"primary eq "True""#, Some(json!({"primary": true}))),
        (
            r#"type eq "work" and (primary eq false and value eq 5)"#,
            Some(json!({"type": "work", "primary": false, "value": "5"})),
        ),
        (
            r#"type eq "work" and display eq null"#,
            Some(json!({"type": "work"})),
        ),
        (r#"type eq "work" and type eq "home""#, None),
        (r#"type eq "work" and display pr"#, None),
        (r#"type eq "work" or type eq "home""#, None),
        (r#"not (type eq "work")"#, None),
        (r#"type ne "work""#, None),
        (r#"type eq """#, None),
        (r#"floor eq "3""#, None),
    ] {
        let (filter, attribute) = bracket("emails", text);
        let expected = implied.as_ref().and_then(Value::as_object);
        assert_eq!(filter.implied(attribute).as_ref(), expected, "{text}");
    }
}

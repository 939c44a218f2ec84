//! Which mapping decides about a new person, and what is said of one whom none takes (design §3.5). The mappings are
//! made by SQL, while the server runs and while it does not.

use std::sync::atomic::{AtomicUsize, Ordering};

use serde_json::{Value, json};

use crate::app::TestApp;

const CUSTOM: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
const CORE: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
const OTHER: &str = "urn:ietf:params:scim:schemas:extension:contoso:2.0:User";

/// What a person hears whom no mapping takes.
const NONE: &str = "None of the SCIM Mapping matched to create user";

/// Name, attribute and values of a mapping; without values a filter, and without that any user.
type Mapping<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Puts these mappings, the top first, in the place of all others.
fn arrange(app: &TestApp, mappings: &[Mapping<'_>]) {
    let mut sql = "DELETE FROM mapping;".to_owned();
    for (position, (name, attribute, values)) in mappings.iter().enumerate() {
        let condition = match (*attribute, values.is_empty()) {
            ("", _) => "NULL, NULL, NULL".to_owned(),
            (filter, true) => format!("NULL, NULL, '{filter}'"),
            (attribute, false) => format!("'{attribute}', '{}', NULL", json!(values)),
        };
        sql.push_str(&format!(
            "INSERT INTO mapping (position, name, attribute, \"values\", filter, profile, storage, activation_email)
             VALUES ({position}, '{name}', {condition}, 1, 1, 0);"
        ));
    }
    app.sql(&sql);
}

/// Creates a person with these attributes and tells which mapping took them, if one did.
async fn decided(app: &TestApp, attributes: &Value) -> Option<String> {
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    let mut user = attributes.clone();
    user["userName"] = format!("user{number}@example.test").into();
    let answer = app.client.create(user).await;
    if answer.status == 400 {
        let answer = answer.expect_error(400, "invalidValue");
        assert_eq!(answer.detail(), NONE);
        return None;
    }
    let answer = answer.expect(201);
    let row = app.row("SELECT mapping FROM user WHERE id = ?1", [answer.id()]);
    let name = row["mapping"].as_str().unwrap().to_owned();
    let audit = app.audited(answer.request_id());
    assert_eq!(audit["decision"]["mapping"], name.as_str());
    Some(name)
}

#[tokio::test]
async fn a_mapping_looks_for_one_of_its_values_under_its_name() {
    let app = TestApp::start();
    let of = |urn: &str, name: &str| format!("{urn}:{name}");
    for (attribute, values, body, expected) in [
        // Names and values compare with regard to case.
        (
            "city",
            &["Pune"][..],
            json!({(CUSTOM): {"city": "Pune"}}),
            true,
        ),
        (
            "City",
            &["Pune"],
            json!({(CUSTOM): {"city": "Pune"}}),
            false,
        ),
        (
            "city",
            &["pune"],
            json!({(CUSTOM): {"city": "Pune"}}),
            false,
        ),
        ("company", &["x", "Acme"], json!({"company": "Acme"}), true),
        ("Company", &["x", "Acme"], json!({"company": "Acme"}), false),
        ("company", &["Acm"], json!({"company": "Acme"}), false),
        // The extensions may stand flat, and under their URN in any letter case.
        (
            "city",
            &["Pune"],
            json!({(of(CUSTOM, "city")): "Pune"}),
            true,
        ),
        (
            "city",
            &["Pune"],
            json!({(CUSTOM.to_lowercase()): {"city": "Pune"}}),
            true,
        ),
        // A bare name: the custom extension before the enterprise one before the root.
        (
            "department",
            &["A"],
            json!({(CUSTOM): {"department": "A"}, (ENTERPRISE): {"department": "B"}}),
            true,
        ),
        (
            "department",
            &["B"],
            json!({(CUSTOM): {"department": "A"}, (ENTERPRISE): {"department": "B"}}),
            false,
        ),
        (
            "department",
            &["B"],
            json!({(ENTERPRISE): {"department": "B"}, "department": "C"}),
            true,
        ),
        (
            "department",
            &["C"],
            json!({(ENTERPRISE): {"department": "B"}, "department": "C"}),
            false,
        ),
        ("department", &["C"], json!({"department": "C"}), true),
        (
            "title",
            &["A"],
            json!({(CUSTOM): {"title": "A"}, "title": "B"}),
            true,
        ),
        (
            "title",
            &["B"],
            json!({(CUSTOM): {"title": "A"}, "title": "B"}),
            false,
        ),
        ("title", &["B"], json!({"title": "B"}), true),
        // What is empty is not there.
        (
            "department",
            &["B"],
            json!({(CUSTOM): {"department": ""}, (ENTERPRISE): {"department": "B"}}),
            true,
        ),
        (
            "department",
            &[""],
            json!({(CUSTOM): {"department": ""}}),
            false,
        ),
        // What is kept counts like what is dropped.
        (
            "userPrincipalName",
            &["a@x.test"],
            json!({(CUSTOM): {"userPrincipalName": "a@x.test"}}),
            true,
        ),
        // A name with a URN: there and nowhere else.
        (
            &of(ENTERPRISE, "department"),
            &["B"],
            json!({(CUSTOM): {"department": "A"}, (ENTERPRISE): {"department": "B"}}),
            true,
        ),
        (
            &of(ENTERPRISE, "department"),
            &["A"],
            json!({(CUSTOM): {"department": "A"}}),
            false,
        ),
        (
            &of(CUSTOM, "department"),
            &["A"],
            json!({(CUSTOM): {"department": "A"}}),
            true,
        ),
        (
            &of(CUSTOM, "department"),
            &["B"],
            json!({(ENTERPRISE): {"department": "B"}}),
            false,
        ),
        (
            &of(OTHER, "floor"),
            &["3"],
            json!({(OTHER): {"floor": "3"}}),
            true,
        ),
        (
            &of(CORE, "title"),
            &["B"],
            json!({(CUSTOM): {"title": "A"}, "title": "B"}),
            true,
        ),
        (
            &of(CORE, "title"),
            &["A"],
            json!({(CUSTOM): {"title": "A"}}),
            false,
        ),
        // Lists and what is no text.
        (
            "emails",
            &["b@x.test"],
            json!({"emails": [{"value": "a@x.test"}, {"type": "home", "value": "b@x.test"}]}),
            true,
        ),
        (
            "emails",
            &["home"],
            json!({"emails": [{"type": "home", "value": "b@x.test"}]}),
            false,
        ),
        (
            "sites",
            &["Berlin"],
            json!({(CUSTOM): {"sites": ["Pune", "Berlin"]}}),
            true,
        ),
        (
            "sites",
            &["PuneBerlin"],
            json!({(CUSTOM): {"sites": ["Pune", "Berlin"]}}),
            false,
        ),
        (
            "manager",
            &["m1"],
            json!({(ENTERPRISE): {"manager": {"value": "m1"}}}),
            true,
        ),
        ("level", &["7"], json!({(CUSTOM): {"level": 7}}), true),
        (
            "remote",
            &["true"],
            json!({(CUSTOM): {"remote": true}}),
            true,
        ),
        ("active", &["true"], json!({}), true),
        // What is unknown stands at the root also where it is sent under the URN of the core schema.
        ("city", &["X"], json!({(of(CORE, "city")): "X"}), true),
        ("city", &["X"], json!({(CORE): {"city": "X"}}), true),
        (
            &of(CORE, "city"),
            &["X"],
            json!({(CORE): {"city": "X"}}),
            true,
        ),
        (
            "city",
            &["X"],
            json!({(CUSTOM): {"city": "Y"}, (CORE): {"city": "X"}}),
            false,
        ),
    ] {
        arrange(&app, &[("only", attribute, values)]);
        let decided = decided(&app, &body).await;
        assert_eq!(decided.is_some(), expected, "{attribute} {values:?} {body}");
    }
}

/// All ways of sending a custom attribute.
fn ways(name: &str, value: &Value) -> [Value; 5] {
    [
        json!({(CUSTOM): {(name): value}}),
        json!({(format!("{CUSTOM}:{name}")): value}),
        json!({(ENTERPRISE): {(name): value}}),
        json!({(name): value}),
        json!({(format!("{CORE}:{name}")): value}),
    ]
}

#[tokio::test]
async fn a_filter_finds_a_name_wherever_it_is_sent() {
    let app = TestApp::start();
    let staff = r#"department eq "Sales" and not (userType eq "Contractor")"#;
    for (name, filter, value) in [
        ("department", staff, json!("Sales")),
        ("city", r#"city sw "Pu""#, json!("Pune")),
        ("level", "level gt 5", json!(10)),
        ("remote", "remote eq true", json!(true)),
        (
            "sites",
            r#"sites[type eq "main" and n gt 3]"#,
            json!([{"type": "main", "n": 12}]),
        ),
        ("desk", r#"desk.floor eq "3""#, json!({"floor": "3"})),
    ] {
        for body in ways(name, &value) {
            arrange(&app, &[("only", filter, &[])]);
            assert!(decided(&app, &body).await.is_some(), "{filter} {body}");
            let not = format!("not ({filter})");
            arrange(&app, &[("only", &not, &[])]);
            assert!(decided(&app, &body).await.is_none(), "{not} {body}");
        }
    }
}

#[tokio::test]
async fn a_filter_looks_where_an_attribute_does() {
    let app = TestApp::start();
    let core = |name: &str| format!("{CORE}:{name}");
    let both = json!({(CUSTOM): {"title": "A"}, "title": "B"});
    let three = json!({
        (CUSTOM): {"department": "A"}, (ENTERPRISE): {"department": "B"}, "department": "C",
    });
    for (filter, body, expected) in [
        // The custom extension before the enterprise one before the root.
        (r#"department eq "A""#, three.clone(), true),
        (r#"department eq "B""#, three.clone(), false),
        (
            r#"department eq "B""#,
            json!({(ENTERPRISE): {"department": "B"}, "department": "C"}),
            true,
        ),
        (r#"title eq "A""#, both.clone(), true),
        (r#"title eq "B""#, both.clone(), false),
        (r#"title ne "B""#, both.clone(), true),
        (r#"title eq "B""#, json!({"title": "B"}), true),
        (
            r#"company eq "A""#,
            json!({(CUSTOM): {"company": "A"}, "company": "B"}),
            true,
        ),
        (
            r#"company eq "B""#,
            json!({(CUSTOM): {"company": "A"}, "company": "B"}),
            false,
        ),
        // What is empty is not there.
        (
            r#"title eq "B""#,
            json!({(CUSTOM): {"title": ""}, "title": "B"}),
            true,
        ),
        ("title pr", json!({(CUSTOM): {"title": ""}}), false),
        // A name with a URN: there and nowhere else.
        (&format!(r#"{} eq "B""#, core("title")), both.clone(), true),
        (&format!(r#"{} eq "A""#, core("title")), both.clone(), false),
        (
            &format!(r#"{ENTERPRISE}:department eq "B""#),
            three.clone(),
            true,
        ),
        (
            &format!(r#"{CUSTOM}:department eq "B""#),
            three.clone(),
            false,
        ),
        // Nested.
        (
            r#"(title eq "B" or department eq "A") and not (title eq "B" or city pr)"#,
            json!({(CUSTOM): {"title": "A", "department": "A"}, "title": "B"}),
            true,
        ),
        (
            r#"not (title eq "A" and not (department eq "B"))"#,
            json!({(CUSTOM): {"title": "A"}, (ENTERPRISE): {"department": "B"}}),
            true,
        ),
        (
            r#"not (title eq "A" and not (department eq "B"))"#,
            three.as_object().map_or(json!({}), |three| {
                let mut body = three.clone();
                body.insert("title".to_owned(), json!("A"));
                Value::Object(body)
            }),
            false,
        ),
        // A path into a list, of a schema and of none.
        (
            r#"emails[type eq "work" and value ew "@x.test"]"#,
            json!({"emails": [{"type": "work", "value": "a@x.test"}]}),
            true,
        ),
        (
            r#"emails[type eq "work"].value ew "@x.test""#,
            json!({"emails": [{"type": "home", "value": "a@x.test"}]}),
            false,
        ),
        (
            r#"emails[type eq "work"]"#,
            json!({(CUSTOM): {"emails": [{"type": "home"}]}, "emails": [{"type": "work", "value": "a"}]}),
            false,
        ),
        (
            r#"manager eq "m1""#,
            json!({(ENTERPRISE): {"manager": {"value": "m1"}}}),
            true,
        ),
        (
            r#"manager.value eq "m1""#,
            json!({(CUSTOM): {"manager": "m2"}, (ENTERPRISE): {"manager": {"value": "m1"}}}),
            false,
        ),
        // Absence.
        ("department eq null", json!({}), true),
        (
            "department eq null",
            json!({(CUSTOM): {"department": "A"}}),
            false,
        ),
        (r#"department ne "A""#, json!({}), true),
        (r#"company ne "A""#, json!({}), false),
    ] {
        arrange(&app, &[("only", filter, &[])]);
        let decided = decided(&app, &body).await;
        assert_eq!(decided.is_some(), expected, "{filter} {body}");
    }
}

/// What is kept is looked up like what is not, by mappings and by the filters of SCIM and of the commands.
#[tokio::test]
async fn to_keep_a_name_takes_nothing_from_a_filter() {
    let mut app = TestApp::start();
    app.stop();
    let keep = r#"["city", "n", "department", "sites", "userPrincipalName"]"#;
    app.configure("schema", "keep", keep);
    app.resume();
    for (name, filter, value) in [
        ("department", r#"department eq "S""#, json!("S")),
        ("city", r#"city eq "S""#, json!("S")),
        ("n", "n gt 5", json!(10)),
        (
            "sites",
            r#"sites[type eq "main"]"#,
            json!([{"type": "main"}]),
        ),
    ] {
        for body in ways(name, &value) {
            arrange(&app, &[("only", filter, &[])]);
            assert!(decided(&app, &body).await.is_some(), "{filter} {body}");
        }
        let query = form_urlencoded::byte_serialize(filter.as_bytes()).collect::<String>();
        let found = app.client.get(&format!("/Users?filter={query}")).await;
        // That of the enterprise extension is kept where that has such an attribute.
        let kept = if name == "department" { 5 } else { 4 };
        assert_eq!(found.expect(200).json["totalResults"], kept, "{filter}");
        let listed = app.cli_json(["user", "list", "--filter", filter]);
        assert_eq!(listed.as_array().map(Vec::len), Some(kept), "{filter}");
    }
}

/// Design §3.5: it never falls through to the next.
#[tokio::test]
async fn a_mapping_whose_filter_cannot_be_read_refuses_the_creation() {
    let app = TestApp::start();
    let mappings = |above| match above {
        true => [("broken", "title eq", &[][..]), ("any", "", &[])],
        false => [("any", "", &[][..]), ("broken", "title eq", &[])],
    };
    arrange(&app, &mappings(true));
    let user = json!({"userName": "anna@example.test"});
    let answer = app.client.create(user).await.expect_error(403, Value::Null);
    assert!(answer.detail().contains("broken"), "{}", answer.detail());
    let row = app.audited(answer.request_id());
    assert_eq!(row["verdict"], "refused");
    assert_eq!(row["decision"]["tried"][0]["matched"], Value::Null);
    let list = app.cli(["mapping", "list"]);
    let said = String::from_utf8(list.stderr).unwrap();
    assert!(said.contains("broken"), "{said}");

    arrange(&app, &mappings(false));
    assert_eq!(decided(&app, &json!({})).await.as_deref(), Some("any"));
}

#[tokio::test]
async fn the_first_from_the_top_decides_and_only_about_those_who_come_later() {
    let mut app = TestApp::start();
    let sales = json!({(ENTERPRISE): {"department": "Sales"}});
    let (one, two, any) = (
        ("one", "department", &["Sales"][..]),
        ("two", "department", &["IT", "Sales"][..]),
        ("any", "", &[][..]),
    );
    for (mappings, expected) in [
        ([one, two, any], "one"),
        ([two, one, any], "two"),
        ([any, one, two], "any"),
    ] {
        arrange(&app, &mappings);
        assert_eq!(decided(&app, &sales).await.as_deref(), Some(expected));
    }
    arrange(&app, &[one, two, any]);
    assert_eq!(decided(&app, &json!({})).await.as_deref(), Some("any"));
    app.stop();
    arrange(&app, &[two, one]);
    app.resume();
    assert_eq!(decided(&app, &sales).await.as_deref(), Some("two"));
    assert_eq!(decided(&app, &json!({})).await, None);
    arrange(&app, &[]);
    assert_eq!(decided(&app, &sales).await, None);
    let row = app.row("SELECT group_concat(mapping, ' ') AS all_of FROM user", []);
    assert_eq!(
        row["all_of"], "one two any any two",
        "no creation changes another"
    );
}

#[tokio::test]
async fn a_person_whom_no_mapping_takes_is_explained_without_a_value() {
    const CANARY: &str = "canary-71ac";
    let app = TestApp::start();
    arrange(
        &app,
        &[
            ("sales", "department", &["Sales"]),
            ("pune", "city", &["Pune", "Delhi"]),
            ("floor", "floor", &["3"]),
        ],
    );
    let user = json!({
        "userName": "anna@example.test", "title": CANARY, "company": CANARY,
        (ENTERPRISE): {"department": CANARY},
        (CUSTOM): {"city": CANARY, "sites": [CANARY]},
        (OTHER): {"shoes": CANARY},
        (format!("company[type eq \"{CANARY}\"].value")): "x",
        (format!("two words[type eq \"{CANARY}\"]")): "x",
    });
    let answer = app.client.create(user).await;
    let answer = answer.expect_error(400, "invalidValue");
    assert_eq!(answer.detail(), NONE);
    assert_eq!(app.rows("SELECT id FROM user", []), [] as [Value; 0]);

    let row = app.audited(answer.request_id());
    assert_eq!(row["action"], "user.create");
    assert_eq!(row["verdict"], "refused");
    assert_eq!(row["status"], 400);
    assert_eq!(row["scim_type"], "invalidValue");
    assert_eq!(row["target_id"], Value::Null);
    assert_eq!(row["target_name"], "anna@example.test");
    let reason = row["reason"].as_str().unwrap();
    for part in [
        NONE.to_owned(),
        "title".to_owned(),
        "company".to_owned(),
        format!("{ENTERPRISE}:department"),
        format!("{CUSTOM}:city"),
        format!("{CUSTOM}:sites"),
        format!("{OTHER}:shoes"),
    ] {
        assert!(reason.contains(&part), "{part} in {reason}");
    }
    assert_eq!(row["decision"]["mapping"], Value::Null);
    let tried = row["decision"]["tried"].as_array().unwrap();
    let tried: Vec<_> = tried
        .iter()
        .map(|one| {
            assert_eq!(one["matched"], false);
            let (name, why) = (one["mapping"].as_str(), one["why"].as_str());
            (name.unwrap(), why.unwrap())
        })
        .collect();
    let names: Vec<_> = tried.iter().map(|(name, _)| *name).collect();
    assert_eq!(names, ["sales", "pune", "floor"]);
    for ((_, why), attribute) in tried.iter().zip(["department", "city", "floor"]) {
        assert!(why.contains(attribute), "{why}");
    }
    assert_ne!(tried[1].1, tried[2].1, "another value is not no attribute");
    assert!(!row.to_string().contains(CANARY), "{row}");
    assert!(!app.stderr().contains(CANARY));
}

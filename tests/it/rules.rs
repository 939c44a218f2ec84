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

/// Name, attribute and values of a mapping; without an attribute it takes any user.
type Mapping<'a> = (&'a str, &'a str, &'a [&'a str]);

/// Puts these mappings, the top first, in the place of all others.
fn arrange(app: &TestApp, mappings: &[Mapping<'_>]) {
    let mut sql = "DELETE FROM mapping;".to_owned();
    for (position, (name, attribute, values)) in mappings.iter().enumerate() {
        let condition = match *attribute {
            "" => "NULL, NULL".to_owned(),
            _ => format!("'{attribute}', '{}'", json!(values)),
        };
        sql.push_str(&format!(
            "INSERT INTO mapping (position, name, attribute, \"values\", profile, storage, activation_email)
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
    ] {
        arrange(&app, &[("only", attribute, values)]);
        let decided = decided(&app, &body).await;
        assert_eq!(decided.is_some(), expected, "{attribute} {values:?} {body}");
    }
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

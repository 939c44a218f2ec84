//! What a profile and a storage have room for, whom they refuse, and what the local product reads of them in the view
//! `accounts` (design §3.5, §8).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::Answer;

/// A user with a name and an externalId.
pub fn person(name: &str) -> Value {
    json!({"userName": format!("{name}@example.test"), "externalId": name, "title": name})
}

/// Asserts a refusal by a rule: no scimType, a detail that names what is in the way, an audit row that says it too.
#[track_caller]
pub fn forbidden(app: &TestApp, answer: Answer, what: &str) {
    let answer = answer.expect_error(403, Value::Null);
    assert!(answer.detail().contains(what), "{}", answer.detail());
    let row = app.audited(answer.request_id());
    assert_eq!(
        (&row["verdict"], &row["status"]),
        (&json!("refused"), &json!(403))
    );
    assert_eq!(row["scim_type"], Value::Null);
    assert_eq!(row["changes"], Value::Null);
    assert!(
        row["reason"].as_str().unwrap().contains(answer.detail()),
        "{row}"
    );
}

fn active_accounts(app: &TestApp) -> Value {
    app.row(
        "SELECT active_accounts FROM profile WHERE name = 'Small'",
        [],
    )["active_accounts"]
        .clone()
}

/// A profile `Small` with so many places for everybody in `Pune`, before the mapping for any user.
pub fn small(app: &TestApp, places: usize) {
    app.sql(&format!(
        "INSERT INTO profile (id, name, max_users) VALUES (7, 'Small', {places});
         INSERT INTO mapping (position, name, attribute, \"values\", profile, storage, activation_email)
             VALUES (0, 'pune', 'city', '[\"Pune\"]', 7, 1, 0);"
    ));
}

/// A user for `Small`.
pub fn in_pune(name: &str) -> Value {
    let mut user = person(name);
    user["city"] = "Pune".into();
    user
}

#[tokio::test]
async fn a_full_profile_takes_nobody_until_a_place_is_free() {
    let app = TestApp::start();
    small(&app, 1);
    let (on, off) = (
        json!([{"op": "replace", "path": "title", "value": "changed"}, {"op": "replace", "path": "active", "value": true}]),
        json!([{"op": "replace", "path": "active", "value": false}]),
    );
    let anna = app.client.create(in_pune("anna")).await.expect(201).id();
    let refused = app.client.create(in_pune("bela")).await;
    let decision = app.audited(refused.request_id())["decision"].clone();
    assert_eq!(decision["mapping"], "pune", "it never falls through");
    forbidden(&app, refused, "Small");
    assert_eq!(app.rows("SELECT id FROM user", []).len(), 1);
    app.client.create(person("other")).await.expect(201);

    // One who is created inactive needs no place, and has none to give.
    let mut idle = in_pune("idle");
    idle["active"] = false.into();
    let idle = app.client.create(idle).await.expect(201).id();
    assert_eq!(active_accounts(&app), 1);
    forbidden(&app, app.client.patch(&idle, on.clone()).await, "Small");

    // A preserved account frees its place; an activation needs one, by PATCH and by PUT, and is refused whole.
    app.client.patch(&anna, off.clone()).await.expect(200);
    let bela = app.client.create(in_pune("bela")).await.expect(201).id();
    forbidden(&app, app.client.patch(&anna, on.clone()).await, "Small");
    let mut put = in_pune("anna");
    put["active"] = true.into();
    let path = format!("/Users/{anna}");
    forbidden(&app, app.client.scim("PUT", &path, put).await, "Small");
    let user = app.client.get(&path).await.expect(200).json;
    assert_eq!(
        (&user["active"], &user["title"]),
        (&json!(false), &json!("anna"))
    );

    // So does a return; one who returns inactive needs none.
    app.client.delete(&anna).await;
    forbidden(&app, app.client.create(in_pune("anna")).await, "Small");
    app.client.get(&path).await.expect_error(404, Value::Null);
    let mut back = in_pune("anna");
    back["active"] = false.into();
    assert_eq!(app.client.create(back).await.expect(201).id(), anna);
    assert_eq!(active_accounts(&app), 1);
    app.client.delete(&bela).await;
    assert_eq!(active_accounts(&app), 0);
    app.client.patch(&anna, on.clone()).await.expect(200);
    assert_eq!(active_accounts(&app), 1);

    // Who is in stays in when the limit sinks, and may change.
    app.sql("UPDATE profile SET max_users = 0 WHERE id = 7");
    app.client
        .patch(
            &anna,
            json!([{"op": "replace", "path": "title", "value": "x"}]),
        )
        .await
        .expect(200);
    assert_eq!(active_accounts(&app), 1);
    app.sql("UPDATE profile SET max_users = NULL WHERE id = 7");
    app.client.create(in_pune("bela")).await.expect(201);
    assert_eq!(active_accounts(&app), 2);
}

#[tokio::test]
async fn creations_at_once_never_take_more_places_than_there_are() {
    const PLACES: usize = 10;
    let app = TestApp::start();
    small(&app, PLACES);
    let mut requests = JoinSet::new();
    for number in 0..32 {
        let client = match number % 2 {
            0 => app.client.clone(),
            _ => app.http1.clone(),
        };
        requests.spawn(async move { client.create(in_pune(&format!("user{number}"))).await });
    }
    let answers = requests.join_all().await;
    let made = answers.iter().filter(|answer| answer.status == 201).count();
    for answer in answers {
        if answer.status != 201 {
            forbidden(&app, answer, "Small");
        }
    }
    assert_eq!(made, PLACES);
    assert_eq!(active_accounts(&app), PLACES);
    assert_eq!(
        app.rows("SELECT id FROM accounts WHERE status = 'active'", [])
            .len(),
        PLACES
    );
}

#[tokio::test]
async fn a_disabled_storage_takes_nobody() {
    let app = TestApp::start();
    app.sql(
        "INSERT INTO storage (id, name, enabled) VALUES (7, 'Old', 0);
         INSERT INTO mapping (position, name, attribute, \"values\", profile, storage, activation_email)
             VALUES (0, 'pune', 'city', '[\"Pune\"]', 1, 7, 0);",
    );
    let refused = app.client.create(in_pune("anna")).await;
    assert_eq!(
        app.audited(refused.request_id())["decision"]["mapping"],
        "pune"
    );
    forbidden(&app, refused, "Old");
    assert_eq!(app.rows("SELECT id FROM user", []), [] as [Value; 0]);
    app.sql("UPDATE storage SET enabled = 1");
    let id = app.client.create(in_pune("anna")).await.expect(201).id();
    assert_eq!(app.account(&id)["storage"], "Old");
}

#[tokio::test]
async fn the_view_tells_the_quota_in_force_and_when_an_account_is_due() {
    let app = TestApp::start();
    app.sql(
        "INSERT INTO profile (id, name, quota_gb, delete_after_days) VALUES (7, 'Small', 20, 30);
         INSERT INTO storage (id, name, enabled) VALUES (7, 'Fast', 1);
         INSERT INTO mapping (position, name, attribute, \"values\", profile, storage, quota_gb, activation_email) VALUES
             (-3, 'profile''s', 'city', '[\"a\"]', 7, 7, NULL, 0),
             (-2, 'unlimited',  'city', '[\"b\"]', 7, 7, 0, 0),
             (-1, 'own',        'city', '[\"c\"]', 7, 7, 50, 1);",
    );
    let mut ids = Vec::new();
    for city in ["a", "b", "c", "d"] {
        let mut user = person(city);
        user["city"] = city.into();
        ids.push(app.client.create(user).await.expect(201).id());
    }
    let quotas = || -> Vec<Value> {
        let quota = |id: &String| app.account(id)["quota_gb"].clone();
        ids.iter().map(quota).collect()
    };
    assert_eq!(quotas(), [20, 0, 50, 0]);
    app.sql("UPDATE profile SET quota_gb = 30 WHERE id = 7");
    assert_eq!(quotas(), [30, 0, 50, 0]);
    app.sql("UPDATE profile SET quota_gb = NULL WHERE id = 7");
    assert_eq!(quotas(), [0, 0, 50, 0]);

    let account = app.account(&ids[2]);
    for (column, value) in [
        ("username", json!("c@example.test")),
        ("email", json!("c@example.test")),
        ("name", json!("c@example.test")),
        ("upn", Value::Null),
        ("status", json!("active")),
        ("preserved_by", Value::Null),
        ("preserved_at", Value::Null),
        ("delete_due", Value::Null),
        ("profile", json!("Small")),
        ("storage", json!("Fast")),
        ("managed_by", json!("idp")),
        ("scim_visible", json!(1)),
        ("legal_hold", json!(0)),
        ("external_id", json!("c")),
    ] {
        assert_eq!(account[column], value, "{column}");
    }
    let mail = app.row("SELECT activation_email FROM user WHERE id = ?1", [&ids[2]]);
    assert_eq!(mail["activation_email"], 1);

    app.client.delete(&ids[0]).await;
    app.client.delete(&ids[3]).await;
    let preserved = app.account(&ids[0]);
    let at: jiff::Timestamp = preserved["preserved_at"].as_str().unwrap().parse().unwrap();
    let due = at + jiff::SignedDuration::from_hours(30 * 24);
    assert_eq!(preserved["delete_due"], format!("{due:.3}"));
    assert_eq!(preserved["scim_visible"], 0);
    assert_eq!(
        app.account(&ids[3])["delete_due"],
        Value::Null,
        "no profile's wish"
    );
    app.sql("UPDATE user SET legal_hold = 1");
    let held = app.account(&ids[0]);
    assert_eq!(
        (&held["legal_hold"], &held["delete_due"]),
        (&json!(1), &Value::Null)
    );
}

/// Design §8 Accounts view: the columns are public, in this order, and the README tells each.
#[test]
fn the_columns_of_the_view_are_those_of_the_readme() {
    let home = crate::home::Home::new();
    let columns: Vec<_> = home
        .rows("SELECT name FROM pragma_table_info('accounts')", [])
        .into_iter()
        .map(|column| column["name"].as_str().unwrap().to_owned())
        .collect();
    let readme = include_str!("../../README.md");
    let (_, section) = readme
        .split_once("## What the local product reads")
        .unwrap();
    let (section, _) = section.split_once("\n## ").unwrap();
    let told = section.lines().filter(|line| line.starts_with("| `"));
    let told: Vec<_> = told
        .filter_map(|line| line.split(" | ").next())
        .flat_map(|names| names.split('`').skip(1).step_by(2))
        .collect();
    assert_eq!(columns, told);
}

/// Design §3.4: a configuration list names attributes of the custom extension, unknown ones and whole extensions to keep.
#[tokio::test]
async fn what_the_configuration_keeps_is_stored_returned_and_known() {
    const CUSTOM: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
    const OTHER: &str = "urn:example:hr:2.0:User";
    let mut app = TestApp::start();
    app.stop();
    let file = app.data().join("scimlite.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    let keep = format!("[schema]\nkeep = [\"city\", \"{OTHER}\"]\n");
    std::fs::write(&file, text.replacen("[schema]\n", &keep, 1)).unwrap();
    app.resume();
    let user = json!({
        "userName": "anna@example.test", "company": "Acme", (CUSTOM): {"city": "Pune", "floor": "3"},
        (OTHER): {"shoes": "40"},
    });
    let made = app.client.create(user).await.expect(201);
    assert_eq!(made.json[CUSTOM], json!({"city": "Pune"}));
    assert_eq!(made.json[OTHER], json!({"shoes": "40"}));
    assert_eq!(made.json["company"], Value::Null);
    let target = ["--profile", "Default", "--storage", "Default"];
    let name = format!("{OTHER}:shoes");
    for (attribute, value, known) in [
        ("city", "Pune", true),
        (&*name, "40", true),
        ("floor", "3", false),
    ] {
        let whom = [
            "mapping",
            "add",
            value,
            "--attribute",
            attribute,
            "--values",
            value,
        ];
        app.cli_json(whom.into_iter().chain(target));
        let told = app.cli_json(["mapping", "test", "--user", &made.id()]);
        assert_eq!(told["known"], known, "{attribute}");
        if known {
            assert_eq!(told["mapping"], value, "{attribute}");
        }
        app.cli_json(["mapping", "remove", value]);
    }
}

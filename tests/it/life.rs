//! A person from the first assignment to the return, in both of Entra's dialects, with a restart between any two steps
//! (reference §§6, 7, 10; design §3.7), and who counts as the same person.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Client;

const PATCH_OP: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// How Entra writes the same changes.
struct Dialect {
    change: Value,
    disable: Value,
    enable: Value,
    rename: fn(&str) -> Value,
}

fn legacy() -> Dialect {
    Dialect {
        change: json!([
            {"op": "Replace", "path": "emails[type eq \"work\"].value", "value": "second@example.test"},
            {"op": "Add", "path": "title", "value": "Captain"},
            {"op": "Replace", "path": "name.familyName", "value": "Lee-Young"},
            {"op": "Add", "path": format!("{ENTERPRISE}:department"), "value": "Sales"},
        ]),
        disable: json!([{"op": "Replace", "path": "active", "value": "False"}]),
        enable: json!([{"op": "Add", "path": "active", "value": "True"}]),
        rename: |name| json!([{"op": "Replace", "path": "userName", "value": name}]),
    }
}

fn flag() -> Dialect {
    Dialect {
        change: json!([
            {"op": "replace", "value": {
                "title": "Captain",
                "name.familyName": "Lee-Young",
                (format!("{ENTERPRISE}:department")): "Sales",
            }},
            {"op": "replace", "path": "emails[type eq \"work\"].value", "value": "second@example.test"},
        ]),
        disable: json!([{"op": "replace", "path": "active", "value": false}]),
        enable: json!([{"op": "replace", "value": {"active": true}}]),
        rename: |name| json!([{"op": "replace", "value": {"userName": name}}]),
    }
}

fn anna(user_name: &str) -> Value {
    json!({
        "schemas": ["urn:ietf:params:scim:schemas:core:2.0:User", ENTERPRISE],
        "externalId": "anna", "userName": user_name, "active": true, "displayName": "Anna Lee",
        "emails": [{"primary": true, "type": "work", "value": user_name}],
        "meta": {"resourceType": "User"},
        "name": {"formatted": "Anna Lee", "familyName": "Lee", "givenName": "Anna"},
        "roles": [],
    })
}

async fn patch(client: &Client, id: &str, operations: Value) -> Value {
    let body = json!({"schemas": [PATCH_OP], "Operations": operations});
    let answer = client.scim("PATCH", &format!("/Users/{id}"), body).await;
    answer.expect(200).json
}

/// The one user that a filter on the name finds.
async fn only(client: &Client, user_name: &str) -> Value {
    let found = client.find(&format!("userName eq \"{user_name}\"")).await;
    assert_eq!(found.total(), 1, "{user_name}");
    found.json["Resources"][0].clone()
}

async fn none(client: &Client, user_name: &str) {
    let found = client.find(&format!("userName eq \"{user_name}\"")).await;
    assert_eq!(found.total(), 0, "{user_name}");
}

async fn live(dialect: Dialect) {
    let (first, second) = ("anna@example.test", "anna.young@example.test");
    let mut app = TestApp::start();
    none(&app.client, first).await;

    app.restart();
    let made = app.client.scim("POST", "/Users", anna(first)).await;
    let made = made.expect(201);
    let id = made.id();
    let path = format!("/Users/{id}");

    app.restart();
    assert_eq!(only(&app.client, first).await["id"], id.as_str());

    app.restart();
    let changed = patch(&app.client, &id, dialect.change).await;
    assert_eq!(changed["title"], "Captain");
    assert_eq!(changed["name"]["familyName"], "Lee-Young");
    assert_eq!(changed["name"]["givenName"], "Anna");
    assert_eq!(changed["emails"][0]["value"], "second@example.test");
    assert_eq!(changed["emails"][0]["primary"], true);
    assert_eq!(changed[ENTERPRISE]["department"], "Sales");

    app.restart();
    let read = app.client.get(&path).await.expect(200).json;
    assert_eq!(read["emails"], changed["emails"]);
    assert_eq!(
        read["meta"]["lastModified"],
        changed["meta"]["lastModified"]
    );
    assert_eq!(read["meta"]["created"], made.json["meta"]["created"]);
    assert_eq!(
        patch(&app.client, &id, dialect.disable).await["active"],
        false
    );

    app.restart();
    assert_eq!(only(&app.client, first).await["active"], false);
    assert_eq!(
        app.client.get(&path).await.expect(200).json["active"],
        false
    );

    app.restart();
    assert_eq!(
        patch(&app.client, &id, dialect.enable).await["active"],
        true
    );

    app.restart();
    assert_eq!(app.client.get(&path).await.json["active"], true);
    let renamed = patch(&app.client, &id, (dialect.rename)(second)).await;
    assert_eq!(renamed["id"], id.as_str());

    app.restart();
    none(&app.client, first).await;
    assert_eq!(only(&app.client, second).await["id"], id.as_str());

    app.restart();
    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    assert!(gone.expect(204).json.is_null());

    app.restart();
    app.client.get(&path).await.expect_error(404, Value::Null);
    none(&app.client, second).await;

    app.restart();
    let back = app.client.scim("POST", "/Users", anna(first)).await;
    assert_eq!(back.expect(201).id(), id);

    app.restart();
    assert_eq!(only(&app.client, first).await["id"], id.as_str());
    let user = app.client.get(&path).await.expect(200).json;
    assert_eq!(user["active"], true);
    assert_eq!(user["emails"][0]["value"], first, "the return is as sent");
}

#[tokio::test]
async fn a_person_lives_in_the_legacy_dialect() {
    live(legacy()).await;
}

#[tokio::test]
async fn a_person_lives_in_the_flag_dialect() {
    live(flag()).await;
}

#[tokio::test]
async fn names_that_differ_in_letter_case_alone_are_one_person() {
    let app = TestApp::start();
    for (first, second) in [
        ("Anna@Example.TEST", "anna@example.test"),
        ("ÖZLEM@x.test", "özlem@x.test"),
        ("STRASSE@x.test", "straße@x.test"),
        ("e\u{301}va@x.test", "ÉVA@x.test"),
    ] {
        let user = json!({"userName": first});
        let made = app.client.scim("POST", "/Users", user).await.expect(201);
        assert_eq!(made.json["userName"], first, "as sent");
        let user = json!({"userName": second});
        let again = app.client.scim("POST", "/Users", user).await;
        again.expect_error(409, "uniqueness");
        assert_eq!(only(&app.client, second).await["id"], made.json["id"]);
    }
}

#[tokio::test]
async fn an_account_has_a_name_of_one_line() {
    let app = TestApp::start();
    let name = "A\u{0}n\r\nn\u{1b}[31m<a>\u{85}";
    let user = json!({"userName": "anna@x.test", "displayName": name});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    assert_eq!(made.json["displayName"], name, "as sent");
    let accounts = app.rows("SELECT name FROM accounts", []);
    assert_eq!(accounts[0]["name"], "A_n__n_[31m_a__");
}

#[tokio::test]
async fn two_names_of_one_account_are_a_conflict_that_names_the_other() {
    let app = TestApp::start();
    let user = json!({"userName": "a?b@x.test"});
    app.client.scim("POST", "/Users", user).await.expect(201);
    let user = json!({"userName": "a*b@x.test"});
    let refused = app.client.scim("POST", "/Users", user).await;
    let refused = refused.expect_error(409, "uniqueness");
    let detail = refused.json["detail"].as_str().unwrap();
    let names = ["a?b@x.test", "a_b@x.test"];
    assert!(names.iter().any(|name| detail.contains(name)), "{detail}");

    let user = json!({"userName": "other@x.test"});
    let other = app.client.scim("POST", "/Users", user).await.expect(201);
    let rename =
        json!({"Operations": [{"op": "replace", "path": "userName", "value": "A_B@x.test"}]});
    let path = format!("/Users/{}", other.id());
    let refused = app.client.scim("PATCH", &path, rename).await;
    refused.expect_error(409, "uniqueness");
    let user = app.client.get(&path).await;
    assert_eq!(user.json["userName"], "other@x.test");
}

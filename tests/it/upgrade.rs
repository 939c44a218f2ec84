//! Files of this version and of each released one, in `tests/fixtures/schema-N.db`: this program brings them to its own
//! schema with all that is in them. At a release, `SCIMLITE_RELEASE=1 cargo test --test it upgrade` writes the file of
//! the version that is released, and it is never changed again: from then on, schema.sql cannot change without a step.

use std::path::{Path, PathBuf};

use serde_json::json;

use crate::app::TestApp;
use crate::backup::cp;
use crate::home::{Home, json};

/// A backup that holds something of everything.
async fn made() -> (TestApp, PathBuf) {
    let app = TestApp::start();
    app.cli_json(["storage", "add", "Berlin"]);
    app.cli_json([
        "profile",
        "add",
        "Small",
        "--max-users",
        "9",
        "--quota-gb",
        "5",
    ]);
    let target = ["--profile", "Small", "--storage", "Berlin"];
    let mapping = [
        "mapping",
        "add",
        "Sales",
        "--attribute",
        "department",
        "--values",
        "Sales",
    ];
    app.cli_json(mapping.into_iter().chain(target));
    let user = json!({
        "userName": "anna@example.test", "externalId": "a", "displayName": "Anna Lee", "department": "Sales",
        "emails": [{"type": "work", "value": "anna@example.test", "primary": true}],
    });
    let anna = app.client.create(user).await.expect(201).id();
    let bert = json!({"userName": "bert@example.test", "active": false});
    app.client.create(bert).await.expect(201);
    let group = json!({"displayName": "Sellers", "members": [{"value": anna}]});
    app.client.scim("POST", "/Groups", group).await.expect(201);
    let clara = app.cli_json(["user", "add", "clara@example.test"]);
    app.cli_json(["user", "hold", clara["id"].as_str().unwrap()]);
    let file = app.beside("made.db");
    app.cli_json(["backup", file.to_str().unwrap()]);
    (app, file)
}

/// Asserts that all of it is there, and that it works.
async fn checked(home: Home) {
    let app = TestApp::on(home, |_| {});
    let rows = app.rows(
        "SELECT username, status, profile, storage, quota_gb, managed_by, legal_hold, external_id FROM accounts ORDER BY username",
        [],
    );
    let row = |name: &str, status: &str, places: [&str; 2], quota: i64, by: &str, hold: i64| {
        let external_id = (name == "anna").then_some("a");
        json!({
            "username": format!("{name}@example.test"), "status": status, "profile": places[0], "storage": places[1],
            "quota_gb": quota, "managed_by": by, "legal_hold": hold, "external_id": external_id,
        })
    };
    let expected = [
        row("anna", "active", ["Small", "Berlin"], 5, "idp", 0),
        row("bert", "preserved", ["Default", "Default"], 0, "idp", 0),
        row("clara", "active", ["Default", "Default"], 0, "manual", 1),
    ];
    assert_eq!(rows, expected);
    let mappings = app.rows("SELECT name FROM mapping ORDER BY position", []);
    assert_eq!(
        mappings,
        [json!({"name": "Sales"}), json!({"name": "Default"})]
    );
    let row = app.row(
        "SELECT count(*) AS made, (SELECT count(*) FROM token) AS tokens, (SELECT count(*) FROM group_user) AS members
         FROM audit WHERE status = 201",
        [],
    );
    assert_eq!(row, json!({"made": 3, "tokens": 2, "members": 1}));
    let token = app.cli_json(["token", "create", "new", "--scope", "provision"]);
    let client = app.client.with_token(token["token"].as_str().unwrap());
    let anna = client.find("emails.value eq \"anna@example.test\"").await;
    assert_eq!(anna.json["Resources"][0]["displayName"], "Anna Lee");
    let groups = client.get("/Groups").await.expect(200);
    assert_eq!(groups.json["Resources"][0]["displayName"], "Sellers");
    let dora = json!({"userName": "dora@example.test", "department": "Sales"});
    client.create(dora).await.expect(201);
}

/// Files of released versions.
fn released() -> Vec<PathBuf> {
    let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
    let entries = std::fs::read_dir(fixtures).into_iter().flatten();
    let files = entries.map(|entry| entry.unwrap().path());
    files
        .filter(|path| path.extension() == Some("db".as_ref()))
        .collect()
}

#[tokio::test]
async fn this_version_and_each_released_one_are_read() {
    let (_app, made) = made().await;
    if std::env::var_os("SCIMLITE_RELEASE").is_some() {
        let db = rusqlite::Connection::open(&made).unwrap();
        let version: i64 = db
            .query_row("PRAGMA user_version", [], |row| row.get(0))
            .unwrap();
        let fixtures = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures");
        std::fs::create_dir_all(&fixtures).unwrap();
        let fixture = fixtures.join(format!("schema-{version}.db"));
        assert!(
            !fixture.exists(),
            "{} is released already",
            fixture.display()
        );
        assert!(cp(&made, &fixture));
    }
    for file in released().into_iter().chain([made]) {
        // The server migrates what lies in its place.
        let home = Home::new();
        assert!(cp(&file, &home.database()));
        checked(home).await;
        // And `restore` what it puts there.
        let home = Home::new();
        json(&home.cli(["restore", file.to_str().unwrap(), "--json"]));
        checked(home).await;
    }
}

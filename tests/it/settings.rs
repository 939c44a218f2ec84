//! Profiles, storages and mappings by command, beside a running server (design §3.5, §3.6, §5).

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::home::Home;

#[tokio::test]
async fn what_commands_set_decides_the_next_creation() {
    let app = TestApp::start();
    let profile = app.cli_json([
        "profile",
        "add",
        "Small",
        "--max-users",
        "1",
        "--quota-gb",
        "5",
    ]);
    assert_eq!(profile["max_users"], 1);
    app.cli_json(["storage", "add", "Berlin"]);
    let target = ["--profile", "Small", "--storage", "Berlin"];
    let values = [
        "mapping",
        "add",
        "Sales",
        "--attribute",
        "department",
        "--values",
        "Sales, IT",
    ];
    let made = app.cli_json(values.into_iter().chain(target));
    assert_eq!(made["position"], 1, "above the trailing one for any user");
    assert_eq!(made["mapping"]["values"], json!(["Sales", "IT"]));
    let filter = [
        "mapping",
        "add",
        "Guests",
        "--filter",
        "userType eq \"Guest\"",
    ];
    let target = [
        "--profile",
        "Default",
        "--storage",
        "Berlin",
        "--quota-gb",
        "0",
    ];
    assert_eq!(
        app.cli_json(filter.into_iter().chain(target))["position"],
        2
    );
    assert_eq!(names(&app), ["Sales", "Guests", "Default"]);
    app.cli_json(["mapping", "move", "Guests", "--to", "1"]);
    assert_eq!(names(&app), ["Guests", "Sales", "Default"]);

    let seller = |name: &str| json!({"userName": name, "department": "IT"});
    let guest = json!({"userName": "guest@x.test", "userType": "Guest", "department": "IT"});
    app.client
        .scim("POST", "/Users", seller("one@x.test"))
        .await
        .expect(201);
    app.client
        .scim("POST", "/Users", seller("two@x.test"))
        .await
        .expect(403);
    app.client
        .scim("POST", "/Users", guest.clone())
        .await
        .expect(201);
    let placed = |name: &str| -> (String, String, i64) {
        let sql = "SELECT profile, storage, quota_gb FROM accounts WHERE username = ?1";
        let row = |row: &rusqlite::Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?));
        app.db().query_row(sql, [name], row).unwrap()
    };
    assert_eq!(placed("one@x.test"), ("Small".into(), "Berlin".into(), 5));
    assert_eq!(
        placed("guest@x.test"),
        ("Default".into(), "Berlin".into(), 0)
    );

    let file = app.data().join("user.json");
    std::fs::write(&file, guest.to_string()).unwrap();
    let tested = app.cli_json(["mapping", "test", file.to_str().unwrap()]);
    assert_eq!(tested["mapping"], "Guests");
    std::fs::remove_file(file).unwrap();

    app.cli_json(["storage", "edit", "Berlin", "--disable"]);
    let late = json!({"userName": "late@x.test", "userType": "Guest"});
    app.client.scim("POST", "/Users", late).await.expect(403);
    for in_use in [
        ["profile", "remove", "Small"],
        ["storage", "remove", "Berlin"],
    ] {
        assert_eq!(app.cli(in_use).status.code(), Some(1), "{in_use:?}");
    }
    app.cli_json([
        "mapping",
        "edit",
        "Sales",
        "--name",
        "Sellers",
        "--storage",
        "Default",
    ]);
    app.cli_json(["mapping", "remove", "Guests"]);
    assert_eq!(names(&app), ["Sellers", "Default"]);
    app.cli_json(["profile", "edit", "Small", "--max-users", "none"]);
    app.client
        .scim("POST", "/Users", seller("two@x.test"))
        .await
        .expect(201);
}

fn names(app: &TestApp) -> Vec<String> {
    let mappings = app.cli_json(["mapping", "list"]);
    let mappings = mappings.as_array().unwrap().iter();
    let name = |mapping: &Value| mapping["name"].as_str().unwrap().to_owned();
    mappings.map(name).collect()
}

#[test]
fn storages_are_listed_with_their_accounts() {
    let home = Home::new();
    home.cli_json(["storage", "add", "Berlin"]);
    home.cli_json(["user", "add", "anna@example.test", "--storage", "Berlin"]);
    let storages = home.cli_json(["storage", "list"]);
    let shown: Vec<_> = storages
        .as_array()
        .unwrap()
        .iter()
        .map(|storage| &storage["name"])
        .collect();
    assert_eq!(shown, ["Berlin", "Default"]);
    assert!(home.cli(["storage", "list"]).status.success());
}

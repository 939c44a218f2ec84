//! Deleting for good: by the administrator with a reason, and by a profile that keeps preserved accounts for so many days.
//! A legal hold blocks both (design §3.10).

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::user::{anna, delete, last_row, make, overdue, read, refused};

const REASON: &str = "left the company in spring";

#[tokio::test]
async fn a_deletion_wants_a_reason_and_takes_everything() {
    let app = TestApp::start();
    let id = anna(&app).await;
    let group = json!({"displayName": "Sales", "members": [{"value": id}]});
    let group = app.client.scim("POST", "/Groups", group).await;
    let group = format!("/Groups/{}", group.expect(201).id());
    let why = refused(&app, ["user", "delete", &id, "--reason", REASON]);
    assert!(why.contains("preserve"), "{why}");
    app.cli_json(["user", "preserve", &id]);
    for reason in ["too short", "   too short   ", &"x".repeat(151)] {
        let why = refused(&app, ["user", "delete", &id, "--reason", reason]);
        assert!(why.contains("10 to 150"), "{why}");
        assert_eq!(last_row(&app).1, "refused");
    }

    let rows = |app: &TestApp| -> i64 {
        let count = "SELECT count(*) FROM audit";
        app.db().query_row(count, [], |row| row.get(0)).unwrap()
    };
    let before = rows(&app);
    let dry = app.cli_json(["user", "delete", &id, "--reason", REASON, "--dry-run"]);
    assert_eq!(dry["deleted"], false);
    assert_eq!(dry["account"]["id"], id.as_str());
    assert_eq!(dry["groups"], json!(["Sales"]));
    assert_eq!(rows(&app), before);
    read(&app, &id).await;

    let gone = app.cli_json(["user", "delete", &id, "--reason", REASON]);
    assert_eq!(gone["deleted"], true);
    let path = format!("/Users/{id}");
    let answer = app.client.get(&path).await;
    answer.expect_error(404, Value::Null);
    let group = app.client.get(&group).await.expect(200);
    assert_eq!(group.json["members"], json!([]));
    let (action, verdict, _, reason, changes) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.delete", "applied"));
    assert!(reason.starts_with(REASON), "{reason}");
    assert_eq!(changes["email"], json!({"old": "anna@example.test"}));
    assert_eq!(app.cli_json(["user", "list"]), json!([]));
    assert_ne!(anna(&app).await, id, "another person now");
}

#[tokio::test]
async fn a_legal_hold_blocks_the_deletion() {
    let app = TestApp::start();
    let id = anna(&app).await;
    let held = app.cli_json(["user", "hold", &id]);
    assert_eq!(held["legal_hold"], true);
    app.cli_json(["user", "preserve", &id]);
    delete(&app, &id).await;
    for dry_run in [&["--dry-run"][..], &[]] {
        let args = ["user", "delete", &id, "--reason", REASON];
        let why = refused(&app, args.iter().chain(dry_run).copied());
        assert!(why.contains("legal hold"), "{why}");
    }
    assert_eq!(last_row(&app).1, "refused");
    app.cli_json(["user", "release", &id]);
    app.cli_json(["user", "delete", &id, "--reason", REASON]);
    assert_eq!(app.cli_json(["user", "list"]), json!([]));
}

fn ids(list: &Value) -> Vec<&str> {
    let list = list.as_array().unwrap().iter();
    list.map(|account| account["id"].as_str().unwrap())
        .collect()
}

#[tokio::test]
async fn what_is_preserved_for_too_long_is_deleted_by_command() {
    let app = TestApp::start();
    let due = overdue(&app, "anna@example.test").await;
    let held = overdue(&app, "bela@example.test").await;
    let other = make(
        &app,
        json!({"userName": "cleo@example.test", "active": false}),
    )
    .await;
    app.cli_json(["user", "hold", &held]);

    let dry = app.cli_json(["user", "auto-delete", "--dry-run"]);
    assert_eq!(ids(&dry), [&*due]);
    read(&app, &due).await;
    let deleted = app.cli_json(["user", "auto-delete"]);
    assert_eq!(deleted, dry);
    let (action, verdict, actor, reason, _) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.auto_delete", "applied"));
    assert!(actor.starts_with("administrator:"), "{actor}");
    assert!(reason.contains("Default"), "{reason}");
    let left = app.cli_json(["user", "list"]);
    assert_eq!(ids(&left), [&*held, &*other]);
    assert_eq!(app.cli_json(["user", "auto-delete"]), json!([]));
    let (action, verdict, ..) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.auto_delete", "unchanged"));

    app.cli_json(["user", "release", &held]);
    app.cli_json(["user", "auto-delete"]);
    assert_eq!(ids(&app.cli_json(["user", "list"])), [&*other]);
}

#[tokio::test]
async fn what_is_preserved_for_too_long_is_deleted_by_the_server() {
    let mut app = TestApp::start();
    let due = overdue(&app, "anna@example.test").await;
    let held = overdue(&app, "bela@example.test").await;
    app.cli_json(["user", "hold", &held]);
    read(&app, &due).await;
    app.restart();
    let path = format!("/Users/{due}");
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(20);
    while app.client.get(&path).await.status != 404 {
        assert!(std::time::Instant::now() < deadline, "still there");
    }
    read(&app, &held).await;
    let (action, verdict, actor, ..) = last_row(&app);
    assert_eq!(
        (&*action, &*verdict, &*actor),
        ("account.auto_delete", "applied", "server")
    );
}

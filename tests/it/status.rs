//! `status`: what it shows with and without a server, and what it finds.

use std::process::Output;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::home::{Home, run, scimlite};

/// What `status --json` prints, whose exit code has to be this one.
#[track_caller]
fn status(home: &Home, code: i32) -> Value {
    let Output {
        status,
        stdout,
        stderr,
    } = home.cli(["status", "--json"]);
    let stderr = String::from_utf8(stderr).unwrap();
    let shown = String::from_utf8(stdout).unwrap();
    assert_eq!(status.code(), Some(code), "{shown}{stderr}");
    assert_eq!(stderr.lines().count(), usize::from(code != 0), "{stderr}");
    serde_json::from_str(&shown).unwrap()
}

/// Which checks found what.
fn findings(status: &Value) -> Vec<(&str, &str)> {
    let findings = status["findings"].as_array().unwrap().iter();
    findings
        .map(|finding| {
            (
                finding["check"].as_str().unwrap(),
                finding["verdict"].as_str().unwrap(),
            )
        })
        .collect()
}

#[tokio::test]
async fn a_server_that_is_well_has_no_findings() {
    let mut app = TestApp::start();
    app.client
        .create(json!({"userName": "anna@example.test"}))
        .await
        .expect(201);
    let shown = status(&app, 0);
    assert_eq!(findings(&shown), []);
    assert_eq!(shown["serving"], true);
    assert_eq!(shown["ready"], true);
    assert_eq!(shown["tenant_url"], app.ready["scim"]);
    assert_eq!(shown["accounts"], json!({"active": 1, "preserved": 0}));
    assert_eq!(shown["seats"]["active"], Value::Null);
    assert_eq!(shown["tokens"].as_array().unwrap().len(), 2);
    let (seq, at): (i64, String) = app
        .db()
        .query_row(
            "SELECT seq, at FROM audit ORDER BY seq DESC LIMIT 1",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(
        (&shown["audit_seq"], &shown["last_change"]),
        (&json!(seq), &json!(at))
    );
    let text = String::from_utf8(app.cli(["status"]).stdout).unwrap();
    for said in [
        app.ready["scim"].as_str().unwrap(),
        "1 active, 0 preserved",
        "entra",
    ] {
        assert!(text.contains(said), "{said} in:\n{text}");
    }
    app.stop();
    let shown = status(&app, 1);
    assert_eq!(findings(&shown), [("serving", "fail")]);
    assert_eq!(
        (&shown["serving"], &shown["ready"]),
        (&json!(false), &json!(false))
    );
    assert!(shown["last_request"].is_string(), "written at the stop");
    assert!(shown["last_snapshot"].is_string());
}

#[test]
fn a_token_that_may_provision_is_missed_for_as_long_as_there_is_none() {
    let app = TestApp::start();
    let tokens = app.cli_json(["token", "list"]);
    let tokens = tokens.as_array().unwrap().iter();
    for token in tokens.filter(|token| token["scope"] == "provision") {
        app.cli_json(["token", "revoke", token["id"].as_str().unwrap()]);
    }
    assert_eq!(findings(&status(&app, 1)), [("token", "fail")]);
    app.cli_json(["token", "create", "new", "--scope", "provision"]);
    assert_eq!(findings(&status(&app, 0)), []);
}

#[test]
fn what_will_refuse_people_is_a_warning() {
    let app = TestApp::configured(&[(r#"#active = "unlimited""#, "active = 1")]);
    app.cli_json(["profile", "add", "Small", "--max-users", "1"]);
    app.cli_json(["storage", "add", "Old"]);
    let target = ["--profile", "Small", "--storage", "Old"];
    app.cli_json(
        [
            "mapping",
            "add",
            "Sales",
            "--attribute",
            "department",
            "--values",
            "Sales",
        ]
        .into_iter()
        .chain(target),
    );
    app.cli_json(
        ["user", "add", "anna@example.test"]
            .into_iter()
            .chain(target),
    );
    app.cli_json(["storage", "edit", "Old", "--disable"]);
    app.cli_json(["mapping", "remove", "Default"]);
    app.cli_json(["token", "create", "short", "--scope", "read", "--days", "3"]);
    let shown = status(&app, 0);
    let found = ["token", "mapping", "profile", "seats", "storage"];
    assert_eq!(
        findings(&shown),
        found.map(|check| (check, "warn")),
        "{shown}"
    );
    let tokens = shown["tokens"].as_array().unwrap();
    let short = tokens
        .iter()
        .find(|token| token["name"] == "short")
        .unwrap();
    assert_eq!(short["within_days"], 3);
}

#[test]
fn what_has_ended_is_a_failure() {
    let app = TestApp::start();
    let db = rusqlite::Connection::open(app.database()).unwrap();
    let ended = "strftime('%Y-%m-%dT%H:%M:%fZ', 'now', '-1 hours')";
    db.execute(
        &format!("UPDATE token SET expires = {ended} WHERE name = 'entra'"),
        [],
    )
    .unwrap();
    drop(db);
    let shown = status(&app, 1);
    assert_eq!(findings(&shown), [("token", "fail")]);
}

/// Another process answers at the noted place, or nobody.
#[test]
fn a_server_that_presents_another_certificate_is_not_taken_for_this_one() {
    let mut app = TestApp::start();
    let other = TestApp::start();
    let port = |app: &TestApp| crate::app::port(&app.ready["admin"]);
    let lock = app.data().join("scimlite.lock");
    let noted = std::fs::read_to_string(&lock).unwrap();
    let swapped = noted.replace(&port(&app).to_string(), &port(&other).to_string());
    assert_ne!(noted, swapped);
    std::fs::write(&lock, swapped).unwrap();
    let shown = status(&app, 1);
    assert_eq!(findings(&shown), [("serving", "fail")]);
    assert_eq!(
        (&shown["serving"], &shown["ready"]),
        (&json!(true), &json!(false))
    );
    app.stop();
}

#[test]
fn man_pages_and_completions_tell_of_every_command() {
    let directory = tempfile::TempDir::new().unwrap();
    let directory = &directory.path().join("share/man1");
    let made = run(scimlite(["man", directory.to_str().unwrap()]));
    assert!(made.status.success());
    let page = |name: &str| std::fs::read_to_string(directory.join(name)).unwrap();
    for command in ["serve", "status", "token-list", "mapping-add"] {
        let word = command.split('-').next().unwrap();
        assert!(page("scimlite.1").contains(word), "{word}");
        assert!(
            page(&format!("scimlite-{command}.1")).contains(r"\-\-data"),
            "{command}"
        );
    }
    for shell in ["bash", "zsh", "fish"] {
        let script = String::from_utf8(run(scimlite(["completions", shell])).stdout).unwrap();
        assert!(
            script.contains("status") && script.contains("scimlite"),
            "{shell}"
        );
    }
}

#[test]
fn without_tokens_nothing_secret_is_made() {
    let home = Home::new();
    std::fs::remove_file(home.database()).unwrap();
    let made = home.cli_json(["init", "--no-tokens"]);
    assert!(made["secret_token"].is_null() && made["tenant_url"].is_string());
    assert_eq!(home.cli_json(["token", "list"]), json!([]));
    // Nobody is refused yet.
    let found = status(&home, 1);
    assert_eq!(findings(&found), [("serving", "fail"), ("token", "warn")]);
}

#[tokio::test]
async fn snapshots_that_cannot_be_seen_hide_nothing_else() {
    let home = Home::new();
    let file = home.beside("file");
    std::fs::write(&file, "").unwrap();
    let directory = file.join("snapshots").display().to_string();
    home.configure("backup", "dir", &format!("{directory:?}"));
    let app = TestApp::on(home, |_| {});
    let shown = status(&app, 1);
    assert_eq!(findings(&shown), [("backup", "fail")]);
    assert_eq!(shown["last_snapshot"], Value::Null);
    let said = shown["findings"][0]["text"].as_str().unwrap();
    assert!(said.contains(&directory), "{said}");
    let admin = app.admin_client();
    let metrics = admin.exchange("GET", "/metrics", &[], None).await.unwrap();
    let text = metrics.json.as_str().unwrap();
    assert_eq!(metrics.status, 200, "{text}");
    assert!(text.contains("scimlite_audit_seq"), "{text}");
    assert!(
        !text.contains("scimlite_snapshot_last_timestamp_seconds "),
        "{text}"
    );
}

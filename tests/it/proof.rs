//! `audit verify` and `audit prune`, and the head of the audit that the server notes outside the database.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::cli::refused;
use crate::db::{age, rechained};
use crate::home::Home;

/// Sets keys of the section `audit` in the configuration.
fn configure(home: &Home, keys: &[(&str, &str)]) {
    let path = home.data().join("scimlite.toml");
    let mut text = std::fs::read_to_string(&path).unwrap();
    for (key, value) in keys {
        let line = text
            .lines()
            .find(|line| line.starts_with(&format!("#{key} =")))
            .unwrap()
            .to_owned();
        text = text.replacen(&line, &format!("{key} = {value}"), 1);
    }
    std::fs::write(path, text).unwrap();
}

fn last_action(home: &Home) -> Value {
    home.row(
        "SELECT action, actor, verdict, reason FROM audit ORDER BY seq DESC LIMIT 1",
        [],
    )
}

#[test]
fn what_was_done_to_the_file_is_named() {
    let home = Home::new();
    let whole = home.cli_json(["audit", "verify"]);
    assert_eq!(
        (&whole["ok"], &whole["rows"], &whole["seq"]),
        (&json!(true), &json!(3), &json!(3))
    );
    let good = std::fs::read(home.database()).unwrap();
    for (harm, bad) in [
        ("UPDATE audit SET actor = 'nobody' WHERE seq = 2", 2),
        ("DELETE FROM audit WHERE seq = 1", 1),
        ("DELETE FROM audit WHERE seq > 1", 2),
        ("UPDATE appliance SET audit_hash = 'x'", 3),
    ] {
        std::fs::write(home.database(), &good).unwrap();
        home.sql(harm);
        let stderr = refused(&home.cli(["audit", "verify"]));
        assert!(stderr.contains(&format!("row {bad} ")), "{harm}: {stderr}");
        let output = home.cli(["audit", "verify", "--json"]);
        assert_eq!(output.status.code(), Some(1), "{harm}");
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(
            (&said["ok"], &said["bad_seq"]),
            (&json!(false), &json!(bad)),
            "{harm}"
        );
    }
}

#[test]
fn a_pruning_that_does_not_say_what_it_removed_is_named() {
    let home = Home::new();
    age(&home.database(), "-40 days");
    home.cli_json(["audit", "prune", "--older-than", "39"]);
    // Whoever does this knows how the chain is made.
    for changes in [
        "'x'",
        "'{}'",
        "NULL",
        "x'ff'",
        "replace(changes, '3', '\"3\"')",
    ] {
        home.sql(&format!(
            "UPDATE audit SET changes = CAST({changes} AS TEXT) WHERE action = 'audit.prune'"
        ));
        rechained(&home.database());
        let output = home.cli(["audit", "verify", "--json"]);
        let said: Value = serde_json::from_slice(&output.stdout).unwrap();
        assert_eq!(said["bad_seq"], 4, "{changes}: {said}");
    }
}

#[tokio::test]
async fn the_server_tells_of_its_start_and_stop() {
    let mut app = TestApp::start();
    let row = last_action(&app);
    assert_eq!(
        (&row["action"], &row["actor"]),
        (&json!("server.start"), &json!("server"))
    );
    for part in [
        env!("CARGO_PKG_VERSION"),
        app.ready["scim"].as_str().unwrap(),
        app.ready["admin"].as_str().unwrap(),
    ] {
        assert!(row["reason"].as_str().unwrap().contains(part), "{row}");
    }
    app.stop();
    assert_eq!(last_action(&app)["action"], "server.stop");
    app.resume();
}

#[tokio::test]
async fn the_file_outside_shows_a_cut_that_the_database_hides() {
    let mut app = TestApp::start();
    app.stop();
    configure(&app, &[("anchor_file", "\"anchor.json\"")]);
    let missing = refused(&app.cli(["audit", "verify"]));
    assert!(missing.contains("anchor.json"), "{missing}");
    app.resume();
    app.client
        .create(json!({"userName": "anna@example.test"}))
        .await
        .expect(201);
    app.stop();
    let file = app.data().join("anchor.json");
    let noted = std::fs::read_to_string(&file).unwrap();
    let anchor: Value = serde_json::from_str(&noted).unwrap();
    let proof = app.cli_json(["audit", "verify"]);
    assert_eq!(
        (&anchor["seq"], &anchor["hash"]),
        (&proof["seq"], &proof["hash"])
    );
    assert_eq!(proof["anchors"], 1);

    app.sql(
        "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);
         UPDATE appliance SET (audit_seq, audit_hash) = (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)",
    );
    let seq = anchor["seq"].as_i64().unwrap();
    let stderr = refused(&app.cli(["audit", "verify"]));
    assert!(stderr.contains(&format!("row {seq} ")), "{stderr}");
    // A server that starts on it goes on beyond the cut, and neither hides it.
    app.resume();
    app.stop();
    assert_eq!(std::fs::read_to_string(&file).unwrap(), noted);
    assert!(
        app.stderr().contains("anchor.json notes it"),
        "{}",
        app.stderr()
    );
    let stderr = refused(&app.cli(["audit", "verify"]));
    assert!(stderr.contains(&format!("row {seq} ")), "{stderr}");
    let other = app.data().join("other.json");
    let other = other.to_str().unwrap();
    for (text, good) in [(&*noted, false), ("", false), ("{\"seq\":0}", false)] {
        std::fs::write(other, text).unwrap();
        let output = app.cli(["audit", "verify", "--anchor", other]);
        assert_eq!(output.status.success(), good, "{text}");
    }
    app.resume();
}

#[tokio::test]
async fn the_server_prunes_what_is_older_than_it_keeps_and_so_does_the_command() {
    let mut app = TestApp::start();
    let none = app.cli_json(["audit", "prune", "--older-than", "1"]);
    assert_eq!(none, json!({"removed": 0}));
    app.stop();
    let last = age(&app.database(), "-40 days");
    let removed = app.cli_json(["audit", "prune", "--older-than", "39"]);
    assert_eq!(removed, json!({"removed": last}));
    let proof = app.cli_json(["audit", "verify"]);
    assert_eq!(
        (&proof["rows"], &proof["pruned_seq"]),
        (&json!(1), &json!(last))
    );
    let last = age(&app.database(), "-30 days");
    // A file on which nobody did anything for weeks is not pruned at once: its clock may be wrong.
    app.cli_json(["profile", "add", "Small"]);
    configure(&app, &[("keep_days", "29")]);
    app.resume();
    let pruned = "SELECT seq FROM audit WHERE action = 'audit.prune' AND actor = 'server'";
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(30);
    while app.rows(pruned, []).is_empty() {
        assert!(std::time::Instant::now() < deadline, "not pruned in 30 s");
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    let proof = app.cli_json(["audit", "verify"]);
    assert_eq!(
        (&proof["ok"], &proof["pruned_seq"]),
        (&json!(true), &json!(last))
    );
    for days in ["0", "-1", "x"] {
        let output = app.cli(["audit", "prune", "--older-than", days]);
        assert_eq!(output.status.code(), Some(2), "{days}");
    }
}

#[tokio::test]
async fn the_log_of_the_server_is_a_file_of_anchors() {
    for format in ["text", "logfmt", "json"] {
        let setting = format!("format = \"{format}\"");
        let mut app = TestApp::configured(&[("#format = \"text\"", &setting)]);
        app.client
            .create(json!({"userName": "anna@example.test"}))
            .await
            .expect(201);
        app.stop();
        let log = app.data().join("server.log");
        std::fs::write(&log, app.stderr()).unwrap();
        let log = log.to_str().unwrap();
        let verify = ["audit", "verify", "--anchor", log];
        let proof = app.cli_json(verify);
        assert_eq!(proof["anchors"], 2, "{format}: {proof}");
        let cut = "DELETE FROM audit WHERE seq = (SELECT max(seq) FROM audit);
                   UPDATE appliance SET (audit_seq, audit_hash) = (SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1)";
        app.sql(cut);
        app.cli_json(["audit", "verify"]);
        let stderr = refused(&app.cli(verify));
        let last = proof["seq"].as_i64().unwrap();
        assert!(
            stderr.contains(&format!("row {last} ")),
            "{format}: {stderr}"
        );
        app.resume();
    }
}

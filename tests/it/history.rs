//! `audit list` and `audit export`: which rows they show, how they are written, and how rows are followed as they come.

use std::io::{BufRead, BufReader};
use std::os::unix::fs::PermissionsExt;
use std::process::{Command, Stdio};
use std::time::Duration;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::cli::refused;
use crate::home::wait;

const KEYS: [&str; 17] = [
    "seq",
    "at",
    "request_id",
    "actor",
    "source",
    "action",
    "target_type",
    "target_id",
    "target_name",
    "verdict",
    "status",
    "scim_type",
    "reason",
    "changes",
    "mapping",
    "prev_hash",
    "hash",
];

/// A server on which a few things were done.
async fn busy() -> (TestApp, String) {
    let app = TestApp::start();
    let anna = json!({"userName": "anna@example.test", "title": "=1+1|\"a\\b\"\n"});
    let id = app.client.create(anna.clone()).await.expect(201).id();
    app.client.create(anna).await.expect(409);
    app.client
        .create(json!({"userName": "bela@example.test"}))
        .await
        .expect(201);
    app.client.delete(&id).await;
    app.cli_json(["profile", "add", "Small"]);
    (app, id)
}

fn actions(rows: &Value) -> Vec<&str> {
    let rows = rows.as_array().unwrap().iter();
    rows.map(|row| row["action"].as_str().unwrap()).collect()
}

#[tokio::test]
async fn filters_select_rows() {
    let (app, id) = busy().await;
    let list = |filters: &[&str]| app.cli_json(["audit", "list"].iter().chain(filters).copied());
    let whole = list(&[]);
    let rows = whole.as_array().unwrap();
    let keys: Vec<_> = rows[0]
        .as_object()
        .unwrap()
        .keys()
        .map(String::as_str)
        .collect();
    assert_eq!(keys, KEYS);
    assert!(
        rows.windows(2)
            .all(|pair| pair[0]["seq"].as_i64() < pair[1]["seq"].as_i64())
    );
    let acts = [
        "appliance.init",
        "token.create",
        "token.create",
        "server.start",
        "user.create",
        "user.create",
        "user.create",
        "user.delete",
        "profile.add",
    ];
    assert_eq!(actions(&whole), acts);
    let entra = rows[4]["actor"].as_str().unwrap();
    let request = rows[5]["request_id"].as_str().unwrap();
    let at = rows[0]["at"].as_str().unwrap();
    for (filters, expected) in [
        (&["--who", entra][..], &acts[4..8]),
        (&["--who", "server"], &acts[3..4]),
        (
            &["--whom", &id],
            &["user.create", "user.create", "user.delete"],
        ),
        (
            &["--whom", "ANNA@example.test"],
            &["user.create", "user.create", "user.delete"],
        ),
        (&["--whom", "nobody"], &[]),
        (&["--verdict", "refused"], &["user.create"]),
        (&["--verdict", "failed"], &[]),
        (
            &["--verdict", "applied", "--action", "user.create"],
            &["user.create", "user.create"],
        ),
        (&["--request-id", request], &["user.create"]),
        (&["--after", "7"], &acts[7..]),
        (&["--after", "3", "--limit", "2"], &acts[3..5]),
        (&["--limit", "2"], &acts[7..]),
        (
            &["--limit", "1", "--action", "user.create"],
            &["user.create"],
        ),
        (&["--since", "1h"], &acts),
        (&["--since", at], &acts),
        (&["--until", at], &[]),
        (&["--since", "0s"], &[]),
        (&["--since", "2020-01-01", "--until", "1h"], &[]),
        (
            &[
                "--since",
                "2020-01-01",
                "--until",
                "2200-01-01",
                "--limit",
                "3",
            ],
            &acts[6..],
        ),
    ] {
        assert_eq!(actions(&list(filters)), expected, "{filters:?}");
    }
    let table = app.cli(["audit", "list", "--limit", "1"]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert_eq!(table.lines().count(), 2, "{table}");
    assert!(table.contains("profile.add"), "{table}");
    for wrong in [
        ["--since", "lately"],
        ["--verdict", "perhaps"],
        ["--limit", "-1"],
    ] {
        let output = app.cli(["audit", "list"].into_iter().chain(wrong));
        assert_eq!(output.status.code(), Some(2), "{wrong:?}");
    }
}

#[tokio::test]
async fn exports_hold_every_row_in_each_format() {
    let (app, _) = busy().await;
    let formula = json!({"userName": "=formula@example.test"});
    app.client.create(formula).await.expect(201);
    let whole = app.cli_json(["audit", "list"]);
    let rows = whole.as_array().unwrap();
    let export = |format| {
        let output = app.cli(["audit", "export", "--format", format]);
        assert!(output.status.success());
        String::from_utf8(output.stdout).unwrap()
    };
    assert_eq!(
        serde_json::from_str::<Value>(&export("json")).unwrap(),
        whole
    );
    let lines: Vec<Value> = export("jsonl")
        .lines()
        .map(|line| serde_json::from_str(line).unwrap())
        .collect();
    assert_eq!(&lines, rows);
    let csv = export("csv");
    assert_eq!(csv.lines().next().unwrap(), KEYS.join(","));
    assert!(csv.contains(",'=formula@example.test,"), "{csv}");
    let users = app.cli(["user", "export"]);
    let users = String::from_utf8(users.stdout).unwrap();
    assert!(users.contains(",=formula@example.test,"), "{users}");
    let cef = export("cef");
    assert_eq!(cef.lines().count(), rows.len());
    for (line, row) in cef.lines().zip(rows) {
        let header = format!(
            "CEF:0|Scimlite|Scimlite|{}|{}|",
            env!("CARGO_PKG_VERSION"),
            row["action"].as_str().unwrap()
        );
        assert!(line.starts_with(&header), "{line}");
        assert!(
            line.contains(&format!(" externalId={} ", row["seq"])),
            "{line}"
        );
    }
    // What is in JSON escaped once is here escaped twice.
    assert!(cef.contains(r#"{"new":"\=1+1|\\"a\\\\b\\"\\n"}"#), "{cef}");

    let file = app.data().join("export.json");
    let name = file.to_str().unwrap();
    let written = app.cli(["audit", "export", "--action", "user.create", name]);
    assert!(written.status.success() && written.stdout.is_empty());
    let text = std::fs::read_to_string(&file).unwrap();
    assert_eq!(
        actions(&serde_json::from_str(&text).unwrap()),
        ["user.create"; 4]
    );
    assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let again = refused(&app.cli(["audit", "export", name]));
    assert!(again.contains("another name"), "{again}");
    assert_eq!(std::fs::read_to_string(&file).unwrap(), text);
}

#[tokio::test]
async fn rows_are_followed_as_they_come() {
    let (app, _) = busy().await;
    let mut child = app
        .command([
            "audit",
            "list",
            "--follow",
            "--json",
            "--after",
            "6",
            "--action",
            "user.create",
        ])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let lines = BufReader::new(child.stdout.take().unwrap()).lines();
    let (said, rows) = std::sync::mpsc::channel::<Value>();
    std::thread::spawn(move || {
        for line in lines {
            let _ = said.send(serde_json::from_str(&line.unwrap()).unwrap());
        }
    });
    let next = || rows.recv_timeout(Duration::from_secs(60)).expect("a row");
    assert_eq!(next()["target_name"], "bela@example.test");
    for name in ["carla@example.test", "dora@example.test"] {
        app.cli_json(["profile", "add", name]);
        app.client
            .create(json!({"userName": name}))
            .await
            .expect(201);
        assert_eq!(next()["target_name"], name);
    }
    let interrupted = Command::new("kill")
        .args(["-INT", &child.id().to_string()])
        .status();
    assert!(interrupted.unwrap().success());
    let status = wait(&mut child, Duration::from_secs(30)).expect("an end");
    assert_eq!(status.code(), Some(0));
    assert!(rows.try_recv().is_err(), "nothing more");
}

#[tokio::test]
async fn the_story_of_a_user_is_its_own_and_in_order() {
    let app = TestApp::start();
    let anna = json!({"userName": "anna@example.test", "active": false});
    let id = app.client.create(anna).await.expect(201).id();
    let path = format!("/Users/{id}");
    // A group of that id, and a token that nobody made: not about this user.
    app.client
        .scim("DELETE", &format!("/Groups/{id}"), Value::Null)
        .await
        .expect(404);
    let stranger = app
        .client
        .with_token("slt_aaaaaaaaaa_aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa");
    stranger
        .scim("DELETE", &path, Value::Null)
        .await
        .expect(401);
    let active = |value: bool| json!([{"op": "replace", "path": "active", "value": value}]);
    app.client.patch(&id, active(true)).await.expect(200);
    app.cli_json(["user", "preserve", &id]);
    app.client.patch(&id, active(true)).await.expect(403);
    app.client.delete(&id).await;
    let story = app.cli_json(["user", "show", &id])["audit"].clone();
    let told: Vec<_> = story
        .as_array()
        .unwrap()
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    let expected = [
        "it sent active=false: an account that is preserved from its beginning",
        "the identity provider sent active=true; the account is active again",
        "an administrator stopped the account; the identity provider cannot undo that",
        "an administrator preserved this account; only an administrator can activate it again",
        "the identity provider deleted the user; the account is preserved; it was preserved already",
    ];
    assert_eq!(told.len(), expected.len(), "{told:?}");
    for (told, expected) in told.iter().zip(expected) {
        assert!(told.contains(expected), "{told}");
    }
}

#[tokio::test]
async fn a_person_is_found_under_each_name_also_when_nothing_is_left() {
    let app = TestApp::start();
    let reasons = |rows: &Value| {
        let rows = rows.as_array().unwrap().iter();
        rows.map(|row| row["action"].as_str().unwrap().to_owned())
            .collect::<Vec<_>>()
    };
    let id = app
        .client
        .create(json!({"userName": "ÄNNA@x.test", "externalId": "a"}))
        .await
        .expect(201)
        .id();
    // Refused, and of nobody who has an id.
    let taken = json!({"userName": "änna@x.test", "externalId": "b"});
    app.client.create(taken).await.expect(409);
    let bela = json!({"userName": "bela@x.test"});
    let bela = app.client.create(bela).await.expect(201).id();
    let members = |ids: &[&str]| {
        let ids: Vec<_> = ids.iter().map(|id| json!({"value": id})).collect();
        json!({"displayName": "Choir", "members": ids})
    };
    let group = app
        .client
        .scim("POST", "/Groups", members(&[&id, &bela]))
        .await
        .expect(201)
        .id();
    let path = format!("/Groups/{group}");
    let leave = format!("members[value eq \"{id}\"]");
    let leave = json!({"Operations": [{"op": "remove", "path": leave}]});
    app.client.scim("PATCH", &path, leave).await.expect(204);
    app.client
        .scim("PUT", &path, members(&[&bela]))
        .await
        .expect(200);
    let rename = json!([{"op": "replace", "path": "userName", "value": "anna.lee@x.test"}]);
    app.client.patch(&id, rename).await.expect(200);
    let expected = [
        "user.create",
        "user.create",
        "group.create",
        "group.patch",
        "user.patch",
    ];
    for name in [
        &*id,
        "ÄNNA@X.TEST",
        "änna@x.test",
        "A\u{308}NNA@x.test",
        "Anna.Lee@x.test",
    ] {
        let listed = app.cli_json(["audit", "list", "--whom", name]);
        assert_eq!(reasons(&listed), expected, "{name}");
    }
    for name in [&*id, "anna.lee@x.test"] {
        let story = app.cli_json(["user", "show", name]);
        assert_eq!(reasons(&story["audit"]), expected, "{name}");
    }
    // The old name is another's now. Whoever asks by it gets both, who asks by the id one.
    let other = json!({"userName": "änna@x.test", "externalId": "c"});
    let other = app.client.create(other).await.expect(201).id();
    let both = app.cli_json(["audit", "list", "--whom", "änna@x.test"]);
    assert_eq!(reasons(&both).len(), expected.len() + 1);
    let story = app.cli_json(["user", "show", &other]);
    assert_eq!(reasons(&story["audit"]), ["user.create"; 2]);

    app.client.delete(&id).await;
    let reason = ["--reason", "left the company"];
    app.cli_json(["user", "delete", &id].into_iter().chain(reason));
    let gone = [&expected[..], &["user.delete", "account.delete"]].concat();
    for name in [&*id, "ANNA.LEE@x.test"] {
        let story = app.cli_json(["user", "show", name]);
        assert_eq!(reasons(&story["audit"]), gone, "{name}");
        assert_eq!(story["id"], Value::Null);
        let listed = app.cli_json(["audit", "list", "--whom", name]);
        assert_eq!(reasons(&listed), gone, "{name}");
    }
    let told = app.cli(["user", "show", &id]);
    let told = String::from_utf8(told.stdout).unwrap();
    assert!(
        told.contains("not found") && told.contains("account.delete"),
        "{told}"
    );
    // A name that nobody got: it was refused each time.
    let never = json!({"userName": "zoe@x.test", "active": {"x": 1}});
    app.client.create(never).await.expect(400);
    let small = ["profile", "edit", "Default", "--max-users", "0"];
    app.cli_json(small);
    let full = json!({"userName": "zoe@x.test"});
    app.client.create(full).await.expect(403);
    let story = app.cli_json(["user", "show", "Zoe@x.test"]);
    assert!(reasons(&story["audit"]).contains(&"user.create".to_owned()));
}

#[tokio::test]
async fn a_reader_that_is_slow_holds_no_snapshot() {
    let (app, _) = busy().await;
    // More than a pipe holds.
    let large = "x".repeat(100_000);
    for number in 0..4 {
        let user = json!({"userName": format!("p{number}@x.test"), "title": large});
        app.client.create(user).await.expect(201);
    }
    let mut child = app
        .command(["audit", "list", "--json"])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut stdout = child.stdout.take().unwrap();
    // It has begun to write, and writes no more than the pipe takes.
    let mut begun = [0];
    std::io::Read::read_exact(&mut stdout, &mut begun).unwrap();
    let wal = app.database().with_extension("db-wal");
    let deadline = std::time::Instant::now() + Duration::from_secs(60);
    app.client
        .create(json!({"userName": "late@x.test"}))
        .await
        .expect(201);
    while wal.metadata().is_ok_and(|wal| wal.len() > 0) {
        assert!(std::time::Instant::now() < deadline, "the WAL is held");
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    assert!(child.try_wait().unwrap().is_none(), "it still writes");
    drop(stdout);
    wait(&mut child, Duration::from_secs(30)).expect("an end");
}

#[test]
fn what_was_renamed_or_replaced_is_found_by_both_names() {
    let app = TestApp::start();
    let actions = |whom: &str| -> Vec<String> {
        let listed = app.cli_json(["audit", "list", "--whom", whom]);
        let rows = listed.as_array().unwrap().iter();
        rows.map(|row| row["action"].as_str().unwrap().to_owned())
            .collect()
    };
    app.cli_json(["profile", "add", "Sales"]);
    app.cli_json(["profile", "edit", "Sales", "--name", "Trade"]);
    app.cli_json([
        "mapping",
        "add",
        "M1",
        "--attribute",
        "department",
        "--values",
        "Sales",
        "--profile",
        "Trade",
        "--storage",
        "Default",
    ]);
    app.cli_json(["mapping", "edit", "M1", "--name", "M2"]);
    for (name, expected) in [
        ("Sales", &["profile.add", "profile.edit"][..]),
        ("TRADE", &["profile.edit"]),
        ("M1", &["mapping.add", "mapping.edit"]),
        ("M2", &["mapping.edit"]),
    ] {
        assert_eq!(actions(name), expected, "{name}");
    }
    let made = app.cli_json(["token", "create", "short", "--scope", "read", "--days", "1"]);
    let old = made["id"].as_str().unwrap();
    let next = app.cli_json(["token", "rotate", old, "--overlap-hours", "720"]);
    assert_eq!(actions(old), ["token.create", "token.rotate"]);
    assert_eq!(actions(next["id"].as_str().unwrap()), ["token.rotate"]);
    // It ends when it would have ended, not after the overlap.
    let tokens = app.cli_json(["token", "list"]);
    let ends = tokens
        .as_array()
        .unwrap()
        .iter()
        .find(|token| token["id"] == old);
    let ends = ends.unwrap()["expires"].as_str().unwrap();
    let listed = app.cli_json(["audit", "list", "--whom", old]);
    let reason = listed[1]["reason"].as_str().unwrap();
    assert!(
        reason.starts_with(&format!("{old} ends at {ends}")),
        "{reason}"
    );
}

//! What an administrator does to accounts beside a running server: SCIM sees it with the next answer, the identity
//! provider cannot undo it, and the audit says who did it (design §3.8–3.10, §8 Preserved).

use std::io::Read;
use std::process::Stdio;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;

pub async fn make(app: &TestApp, user: Value) -> String {
    app.client
        .scim("POST", "/Users", user)
        .await
        .expect(201)
        .id()
}

pub async fn anna(app: &TestApp) -> String {
    let user =
        json!({"userName": "anna@example.test", "externalId": "anna", "displayName": "Anna"});
    make(app, user).await
}

pub async fn read(app: &TestApp, id: &str) -> Value {
    let answer = app.client.get(&format!("/Users/{id}")).await;
    answer.expect(200).json
}

async fn set_active(app: &TestApp, id: &str, active: bool) -> Answer {
    let patch = json!({"Operations": [{"op": "replace", "path": "active", "value": active}]});
    let path = format!("/Users/{id}");
    app.client.scim("PATCH", &path, patch).await
}

pub async fn delete(app: &TestApp, id: &str) {
    let path = format!("/Users/{id}");
    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    gone.expect(204);
}

/// Runs a command that has to be refused, and gives its one line on stderr.
#[track_caller]
pub fn refused<'a>(app: &TestApp, args: impl IntoIterator<Item = &'a str>) -> String {
    let output = app.cli(args);
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    stderr
}

/// The last audit row: action, verdict, actor, reason and changes.
pub fn last_row(app: &TestApp) -> (String, String, String, String, Value) {
    let sql = "SELECT action, verdict, actor, reason, changes FROM audit ORDER BY seq DESC LIMIT 1";
    let row = app.db().query_row(sql, [], |row| {
        let changes: Option<String> = row.get(4)?;
        let changes = changes.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap());
        Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, changes))
    });
    row.unwrap()
}

#[tokio::test]
async fn what_the_administrator_preserves_the_identity_provider_does_not_activate() {
    let app = TestApp::start();
    let id = anna(&app).await;
    let before = read(&app, &id).await;

    let account = app.cli_json(["user", "preserve", &id]);
    assert_eq!(account["status"], "preserved");
    assert_eq!(account["preserved_by"], "admin");
    let (action, verdict, actor, _, changes) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.preserve", "applied"));
    assert!(actor.starts_with("administrator:"), "{actor}");
    assert_eq!(
        changes["status"],
        json!({"old": "active", "new": "preserved"})
    );
    assert_eq!(changes["preserved_by"], json!({"new": "admin"}));

    let after = read(&app, &id).await;
    assert_eq!(after["active"], false);
    assert_ne!(after["meta"]["version"], before["meta"]["version"]);
    assert_eq!(after["meta"]["lastModified"], account["modified"]);
    let found = app.client.find("active eq false").await;
    assert_eq!(found.total(), 1);

    let forbidden = set_active(&app, &id, true).await;
    forbidden.expect_error(403, Value::Null);
    set_active(&app, &id, false).await.expect(200);
    let again = app.cli_json(["user", "preserve", &id]);
    assert_eq!(again["modified"], account["modified"]);
    assert_eq!(last_row(&app).1, "unchanged");

    let account = app.cli_json(["user", "activate", &id]);
    assert_eq!(account["status"], "active");
    assert_eq!(account["preserved_at"], Value::Null);
    assert_eq!(read(&app, &id).await["active"], true);
    set_active(&app, &id, false).await.expect(200);
    set_active(&app, &id, true).await.expect(200);
}

#[tokio::test]
async fn the_administrator_preserves_on_top_of_the_identity_provider() {
    let app = TestApp::start();
    let id = anna(&app).await;
    set_active(&app, &id, false).await.expect(200);
    let by_idp = app.cli_json(["user", "show", &id]);
    assert_eq!(by_idp["preserved_by"], "idp");
    let by_admin = app.cli_json(["user", "preserve", &id]);
    assert_eq!(by_admin["preserved_by"], "admin");
    assert_eq!(by_admin["preserved_at"], by_idp["preserved_at"]);
    set_active(&app, &id, true)
        .await
        .expect_error(403, Value::Null);
}

#[tokio::test]
async fn a_deleted_user_is_activated_by_coming_back() {
    let app = TestApp::start();
    let id = anna(&app).await;
    delete(&app, &id).await;
    let why = refused(&app, ["user", "activate", &id]);
    assert!(why.contains("comes back"), "{why}");
    assert_eq!(last_row(&app).1, "refused");

    app.cli_json(["user", "preserve", &id]);
    let user = json!({"userName": "anna@example.test", "externalId": "anna"});
    let back = app.client.scim("POST", "/Users", user.clone()).await;
    back.expect_error(403, Value::Null);
    let account = app.cli_json(["user", "activate", &id]);
    assert_eq!(account["status"], "preserved");
    assert_eq!(account["preserved_by"], "idp");
    assert_eq!(make(&app, user).await, id);
    assert_eq!(app.cli_json(["user", "show", &id])["status"], "active");
}

#[tokio::test]
async fn an_activation_needs_a_place() {
    let app = TestApp::start();
    let id = anna(&app).await;
    app.cli_json(["user", "preserve", &id]);
    app.sql("UPDATE profile SET max_users = 0");
    let why = refused(&app, ["user", "activate", &id]);
    assert!(why.contains("full"), "{why}");
    assert_eq!(read(&app, &id).await["active"], false);
}

#[tokio::test]
async fn accounts_are_listed_and_shown_with_their_story() {
    let app = TestApp::start();
    let id = anna(&app).await;
    let bela = make(
        &app,
        json!({"userName": "bela@example.test", "title": "Captain"}),
    )
    .await;
    app.cli_json(["user", "preserve", &bela]);

    let list = app.cli_json(["user", "list"]);
    let keys: Vec<_> = list[0].as_object().unwrap().keys().collect();
    let expected = [
        "id",
        "username",
        "email",
        "name",
        "upn",
        "status",
        "preserved_by",
        "preserved_at",
        "profile",
        "storage",
        "quota_gb",
        "managed_by",
        "mapping",
        "legal_hold",
        "scim_visible",
        "external_id",
        "created",
        "modified",
    ];
    assert_eq!(keys, expected);
    let anna = &list[0];
    assert_eq!(anna["id"], id.as_str());
    assert_eq!(anna["mapping"], "Default");
    assert_eq!(anna["legal_hold"], false);
    assert_eq!(anna["scim_visible"], true);
    assert_eq!(anna["quota_gb"], 0);

    let ids = |args: &[&str]| -> String {
        let list = app.cli_json(["user", "list"].iter().chain(args).copied());
        let ids = list.as_array().unwrap().iter();
        let ids = ids.map(|account| account["id"].as_str().unwrap());
        ids.collect::<Vec<_>>().join(" ")
    };
    assert_eq!(ids(&[]), format!("{id} {bela}"));
    assert_eq!(ids(&["--status", "active"]), id);
    assert_eq!(ids(&["--status", "preserved"]), bela);
    assert_eq!(ids(&["--filter", "userName eq \"ANNA@example.test\""]), id);
    assert_eq!(ids(&["--filter", "title sw \"Cap\""]), bela);
    let none = ["--status", "active", "--filter", "title pr"];
    assert_eq!(ids(&none), "");
    let why = refused(&app, ["user", "list", "--filter", "title eq"]);
    assert!(why.contains("byte"), "{why}");

    let shown = app.cli_json(["user", "show", "BELA@example.test"]);
    let actions: Vec<_> = shown["audit"].as_array().unwrap().iter().collect();
    let actions: Vec<_> = actions.iter().map(|row| row["action"].clone()).collect();
    assert_eq!(actions, ["user.create", "account.preserve"]);
    let table = app.cli(["user", "show", &bela]);
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(table.contains("account.preserve"), "{table}");
    let why = refused(&app, ["user", "show", "nobody"]);
    assert!(why.contains("nobody"), "{why}");
    let table = String::from_utf8(app.cli(["user", "list"]).stdout).unwrap();
    assert_eq!(table.lines().count(), 3, "{table}");
}

#[tokio::test]
async fn an_account_made_by_hand_is_adopted_by_post_and_by_patch() {
    let app = TestApp::start();
    app.cli_json(["profile", "add", "Sales"]);
    let added = app.cli_json([
        "user",
        "add",
        "Anna@example.test",
        "--name",
        "Anna Lee",
        "--profile",
        "Sales",
        "--quota-gb",
        "7",
    ]);
    assert_eq!(added["managed_by"], "manual");
    assert_eq!(added["status"], "active");
    assert_eq!(added["name"], "Anna Lee");
    let given = |account: &Value| {
        let keys = ["id", "profile", "storage", "quota_gb"];
        keys.map(|key| account[key].clone())
    };
    assert_eq!(
        given(&added)[1..],
        [json!("Sales"), json!("Default"), json!(7)]
    );
    let id = added["id"].as_str().unwrap();
    let (action, verdict, _, _, changes) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.add", "applied"));
    assert_eq!(changes["managed_by"], json!({"new": "manual"}));
    let resource = read(&app, id).await;
    assert_eq!(resource["userName"], "Anna@example.test");
    assert_eq!(resource["displayName"], "Anna Lee");
    assert_eq!(resource["active"], true);

    let user = json!({"userName": "anna@example.test", "externalId": "anna"});
    assert_eq!(make(&app, user.clone()).await, id);
    let adopted = app.cli_json(["user", "show", id]);
    assert_eq!(adopted["managed_by"], "idp");
    assert_eq!(given(&adopted), given(&added));
    let again = app.client.scim("POST", "/Users", user).await;
    again.expect_error(409, "uniqueness");

    let bela = app.cli_json(["user", "add", "bela@example.test"]);
    let id = bela["id"].as_str().unwrap();
    let patch = json!({"Operations": [{"op": "add", "path": "externalId", "value": "bela"}]});
    let path = format!("/Users/{id}");
    let patched = app.client.scim("PATCH", &path, patch).await;
    patched.expect(200);
    let adopted = app.cli_json(["user", "show", "bela@example.test"]);
    assert_eq!(adopted["managed_by"], "idp");
    assert_eq!(given(&adopted), given(&bela));
}

/// A name that compares like the one that its user has already, but gives an account the name of another's.
#[tokio::test]
async fn a_name_that_gives_the_account_of_another_is_taken() {
    let app = TestApp::start();
    let id = make(&app, json!({"userName": "c\u{226e}b@x.test"})).await;
    make(&app, json!({"userName": "c_\u{338}b@x.test"})).await;
    let name = "c<\u{338}b@x.test";
    let patch = json!({"Operations": [{"op": "replace", "path": "userName", "value": name}]});
    let path = format!("/Users/{id}");
    let patched = app.client.scim("PATCH", &path, patch).await;
    let patched = patched.expect_error(409, "uniqueness");
    assert!(patched.detail().contains("c_\u{338}b@x.test"));
    assert_eq!(read(&app, &id).await["userName"], "c\u{226e}b@x.test");
}

#[tokio::test]
async fn an_account_made_by_hand_follows_the_rules_of_any_other() {
    let app = TestApp::start();
    make(&app, json!({"userName": "a?b@x.test"})).await;
    let refusal = |args: &[&str]| {
        let why = refused(&app, ["user", "add"].iter().chain(args).copied());
        let (action, verdict, ..) = last_row(&app);
        assert_eq!((&*action, &*verdict), ("account.add", "refused"));
        why
    };
    let why = refusal(&["a*b@x.test"]);
    assert!(
        why.contains("is taken") && why.contains("a_b@x.test"),
        "{why}"
    );
    let why = refusal(&[" "]);
    assert!(why.contains("email"), "{why}");
    let why = refusal(&["new@x.test", "--profile", "Sales"]);
    assert!(why.contains("Sales") && why.contains("Default"), "{why}");
    app.cli_json(["storage", "edit", "Default", "--disable"]);
    let why = refusal(&["new@x.test"]);
    assert!(why.contains("disabled"), "{why}");
    app.cli_json(["storage", "edit", "Default", "--enable"]);
    app.cli_json(["profile", "edit", "Default", "--max-users", "1"]);
    let why = refusal(&["new@x.test"]);
    assert!(why.contains("full"), "{why}");
    app.cli_json([
        "profile",
        "edit",
        "Default",
        "--max-users",
        "2",
        "--name",
        "Staff",
    ]);
    let why = refusal(&["new@x.test"]);
    assert!(why.contains("Default") && why.contains("Staff"), "{why}");
    app.cli_json(["user", "add", "new@x.test", "--profile", "Staff"]);
}

/// A user that was preserved 40 days ago, of a profile that keeps such accounts for 30.
pub async fn overdue(app: &TestApp, user_name: &str) -> String {
    let id = make(app, json!({"userName": user_name, "active": false})).await;
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(24 * 40);
    app.sql(&format!(
        "UPDATE profile SET delete_after_days = 30;
         UPDATE user SET preserved_at = '{at:.3}' WHERE id = '{id}'"
    ));
    id
}

fn printed<'a>(app: &TestApp, args: impl IntoIterator<Item = &'a str>) -> String {
    let output = app.cli(args);
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// Whoever reads an export slowly holds back nothing of the server's: the WAL is emptied meanwhile.
#[tokio::test]
async fn an_export_that_nobody_reads_keeps_no_snapshot() {
    let app = TestApp::start();
    for number in 0..30 {
        let name = "x".repeat(10_000);
        make(
            &app,
            json!({"userName": format!("u{number}@x.test"), "displayName": name}),
        )
        .await;
    }
    let mut export = app.command(["user", "export"]);
    let mut export = export.stdout(Stdio::piped()).spawn().unwrap();
    let mut stdout = export.stdout.take().unwrap();
    // It has begun, and more is to come than a pipe holds.
    stdout.read_exact(&mut [0]).unwrap();
    make(&app, json!({"userName": "later@x.test"})).await;
    let start = Instant::now();
    let db = Connection::open(app.database()).unwrap();
    let emptied = || {
        let sql = "PRAGMA wal_checkpoint(TRUNCATE)";
        db.query_row(sql, [], |row| row.get::<_, i64>(0)).unwrap() == 0
    };
    while !emptied() {
        assert!(
            start.elapsed() < Duration::from_secs(20),
            "it holds its snapshot"
        );
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    stdout.read_to_end(&mut Vec::new()).unwrap();
    assert!(export.wait().unwrap().success());
}

#[tokio::test]
async fn an_export_has_stable_columns_and_quotes_what_it_must() {
    let app = TestApp::start();
    let header = "id,username,email,name,upn,status,preserved_by,preserved_at,profile,storage,quota_gb,managed_by,\
                  mapping,legal_hold,scim_visible,external_id,created,modified\n";
    assert_eq!(printed(&app, ["user", "export"]), header);
    let name = "Lee, \"Anna\"\nof Sales";
    let id = make(
        &app,
        json!({"userName": "anna@example.test", "displayName": name, "externalId": "7\n8"}),
    )
    .await;
    let csv = printed(&app, ["user", "export", "--format", "csv"]);
    let row = csv.strip_prefix(header).unwrap();
    let start = format!(
        "{id},anna@example.test,anna@example.test,\"Lee, \"\"Anna\"\"_of Sales\",,active,,,Default,Default,0,idp,\
         Default,false,true,\"7\n8\","
    );
    assert!(row.starts_with(&start), "{row}");
    let list = app.cli_json(["user", "list"]);
    assert_eq!(app.cli_json(["user", "export"]), list);
    let json = printed(&app, ["user", "export", "--format", "json"]);
    assert_eq!(serde_json::from_str::<Value>(&json).unwrap(), list);
    let table = printed(&app, ["user", "list"]);
    assert_eq!(table.lines().count(), 2, "a line for each account: {table}");
}

#[tokio::test]
async fn reports_say_what_was_given_and_what_is_kept() {
    let app = TestApp::start();
    let due = overdue(&app, "anna@example.test").await;
    app.cli_json(["user", "preserve", &due]);
    let by_idp = make(
        &app,
        json!({"userName": "bela@example.test", "displayName": "Bela"}),
    )
    .await;
    set_active(&app, &by_idp, false).await.expect(200);
    app.cli_json(["user", "add", "cleo@example.test"]);

    let report = app.cli_json(["report", "provisioning"]);
    let cleo = &report[2];
    let created = app.cli_json(["user", "show", "cleo@example.test"])["created"].clone();
    let expected = json!({
        "name": "cleo@example.test", "email": "cleo@example.test", "profile": "Default", "storage": "Default",
        "status": "active", "created": created, "managed_by": "manual",
    });
    assert_eq!(*cleo, expected);

    let report = app.cli_json(["report", "preserved"]);
    assert_eq!(report.as_array().unwrap().len(), 2);
    let (anna, bela) = (&report[0], &report[1]);
    assert_eq!(anna["mode"], "admin");
    assert!(
        anna["by_whom"]
            .as_str()
            .unwrap()
            .starts_with("administrator:"),
        "{anna}"
    );
    let at = |value: &Value| value.as_str().unwrap().parse::<jiff::Timestamp>().unwrap();
    let kept = at(&anna["auto_delete_on"]).duration_since(at(&anna["preserved_on"]));
    assert_eq!(kept.as_hours(), 24 * 30);
    assert_eq!(bela["mode"], "idp");
    assert!(
        bela["by_whom"].as_str().unwrap().contains("entra"),
        "{bela}"
    );

    let csv = printed(&app, ["report", "preserved", "--format", "csv"]);
    let header = "name,email,profile,storage,mode,preserved_on,by_whom,auto_delete_on,reason\n";
    assert!(csv.starts_with(header), "{csv}");
    assert_eq!(csv.lines().count(), 3, "{csv}");
    let table = printed(&app, ["report", "provisioning"]);
    assert!(table.starts_with("NAME "), "{table}");
    assert_eq!(table.lines().count(), 4, "{table}");
}

#[tokio::test]
async fn hidden_accounts_are_found_like_any_other() {
    let app = TestApp::start();
    let id = make(&app, json!({"userName": "a?b@x.test"})).await;
    delete(&app, &id).await;
    for filter in [
        "userName eq \"a?b@x.test\"",
        "userName eq \"a?b@x.test\" or userName eq \"nobody\"",
        "not (userName eq \"nobody\" or externalId eq \"nobody\")",
    ] {
        let list = app.cli_json(["user", "list", "--filter", filter]);
        assert_eq!(list[0]["id"], id.as_str(), "{filter}");
    }
    for name in ["a?b@x.test", "a_b@x.test"] {
        assert_eq!(app.cli_json(["user", "show", name])["id"], id.as_str());
    }
}

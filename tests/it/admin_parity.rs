//! A command and a request do the same: each act is done by both, on two appliances, and what is answered, the accounts
//! and the audit are compared. Only who did it, from where and the status of what was done may differ.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;
use crate::cli::refused;

/// An act: the command, and the method, path and body of the request. `ID` is the account's, `TOKEN` a token's.
type Act = (&'static [&'static str], &'static str, &'static str, Value);

fn places() -> Vec<Act> {
    let limits = json!({"name": "Sales", "max_users": 5, "quota_gb": 50, "delete_after_days": 90});
    let edit = json!({"name": "Sellers", "quota_gb": null});
    let limits_typed: &[_] = &[
        "profile",
        "add",
        "Sales",
        "--max-users",
        "5",
        "--quota-gb",
        "50",
        "--delete-after-days",
        "90",
    ];
    vec![
        (limits_typed, "POST", "/profiles", limits),
        (
            &["profile", "add", "Sales"],
            "POST",
            "/profiles",
            json!({"name": "Sales"}),
        ),
        (
            &["profile", "add", " "],
            "POST",
            "/profiles",
            json!({"name": " "}),
        ),
        (
            &[
                "profile",
                "edit",
                "Sales",
                "--name",
                "Sellers",
                "--quota-gb",
                "none",
            ],
            "PATCH",
            "/profiles/Sales",
            edit.clone(),
        ),
        (
            &["profile", "edit", "Sellers", "--quota-gb", "none"],
            "PATCH",
            "/profiles/Sellers",
            json!({"quota_gb": null}),
        ),
        (
            &["profile", "edit", "None", "--name", "x"],
            "PATCH",
            "/profiles/None",
            json!({"name": "x"}),
        ),
        (
            &["profile", "remove", "Default"],
            "DELETE",
            "/profiles/Default",
            Value::Null,
        ),
        (
            &["storage", "add", "Berlin"],
            "POST",
            "/storages",
            json!({"name": "Berlin"}),
        ),
        (
            &["storage", "edit", "Berlin", "--disable"],
            "PATCH",
            "/storages/Berlin",
            json!({"enabled": false}),
        ),
        (
            &["storage", "edit", "Berlin", "--enable"],
            "PATCH",
            "/storages/Berlin",
            json!({"enabled": true}),
        ),
        (
            &["storage", "add", "Spare"],
            "POST",
            "/storages",
            json!({"name": "Spare"}),
        ),
        (
            &["storage", "remove", "Spare"],
            "DELETE",
            "/storages/Spare",
            Value::Null,
        ),
        (&["storage", "list"], "GET", "/storages", Value::Null),
        (&["profile", "list"], "GET", "/profiles", Value::Null),
    ]
}

fn mappings() -> Vec<Act> {
    let department = json!({"name": "M", "attribute": "department", "values": ["Sales", " IT "], "profile": "Sellers",
        "storage": "Berlin"});
    let filter = json!({"name": "F", "filter": "userType eq \"Guest\"", "profile": "Sellers", "storage": "Berlin",
        "quota_gb": 0, "activation_email": true});
    let broken =
        json!({"name": "B", "filter": "userType xx", "profile": "Sellers", "storage": "Berlin"});
    let target = ["--profile", "Sellers", "--storage", "Berlin"];
    let add = |whom: &[&'static str]| -> &'static [&'static str] {
        let words = ["mapping", "add"].iter().chain(whom).chain(&target);
        words.copied().collect::<Vec<_>>().leak()
    };
    vec![
        (
            add(&["M", "--attribute", "department", "--values", "Sales, IT"]),
            "POST",
            "/mappings",
            department,
        ),
        (
            add(&[
                "F",
                "--filter",
                "userType eq \"Guest\"",
                "--quota-gb",
                "0",
                "--activation-email",
            ]),
            "POST",
            "/mappings",
            filter,
        ),
        (
            add(&["B", "--filter", "userType xx"]),
            "POST",
            "/mappings",
            broken,
        ),
        (
            &[
                "mapping",
                "edit",
                "F",
                "--name",
                "G",
                "--storage",
                "Default",
                "--quota-gb",
                "none",
            ],
            "PATCH",
            "/mappings/F",
            json!({"name": "G", "storage": "Default", "quota_gb": null}),
        ),
        (
            &["mapping", "move", "G", "--to", "1"],
            "POST",
            "/mappings/G/move",
            json!({"to": 1}),
        ),
        (
            &["mapping", "move", "G", "--to", "9"],
            "POST",
            "/mappings/G/move",
            json!({"to": 9}),
        ),
        (
            &["mapping", "move", "G", "--to", "down"],
            "POST",
            "/mappings/G/move",
            json!({"to": "down"}),
        ),
        (
            &["mapping", "move", "G", "--to", "up"],
            "POST",
            "/mappings/G/move",
            json!({"to": "up"}),
        ),
        (&["mapping", "list"], "GET", "/mappings", Value::Null),
        (
            &["mapping", "remove", "G"],
            "DELETE",
            "/mappings/G",
            Value::Null,
        ),
        (
            &["mapping", "remove", "G"],
            "DELETE",
            "/mappings/G",
            Value::Null,
        ),
        (
            &["profile", "remove", "Sellers"],
            "DELETE",
            "/profiles/Sellers",
            Value::Null,
        ),
    ]
}

fn accounts() -> Vec<Act> {
    let hand = json!({"email": "hand@x.test", "name": "Hand", "profile": "Sellers", "storage": "Berlin", "quota_gb": 3});
    let hand_typed: &[_] = &[
        "user",
        "add",
        "hand@x.test",
        "--name",
        "Hand",
        "--profile",
        "Sellers",
        "--storage",
        "Berlin",
        "--quota-gb",
        "3",
    ];
    let post = |command: &'static [&'static str], path| (command, "POST", path, Value::Null);
    let long = "/accounts/ID?reason=left+the+company&dry_run=true";
    let delete: &[_] = &["user", "delete", "ID", "--reason", "left the company"];
    vec![
        (hand_typed, "POST", "/accounts", hand.clone()),
        (hand_typed, "POST", "/accounts", hand),
        (
            &["user", "add", "x@x.test", "--profile", "No"],
            "POST",
            "/accounts",
            json!({"email": "x@x.test", "profile": "No"}),
        ),
        post(&["user", "preserve", "ID"], "/accounts/ID/preserve"),
        post(&["user", "preserve", "ID"], "/accounts/ID/preserve"),
        post(&["user", "hold", "ID"], "/accounts/ID/hold"),
        (
            delete,
            "DELETE",
            "/accounts/ID?reason=left+the+company",
            Value::Null,
        ),
        post(&["user", "release", "ID"], "/accounts/ID/release"),
        post(&["user", "activate", "ID"], "/accounts/ID/activate"),
        post(&["user", "preserve", "none"], "/accounts/none/preserve"),
        (&["user", "list"], "GET", "/accounts", Value::Null),
        (
            &["report", "provisioning"],
            "GET",
            "/reports/provisioning",
            Value::Null,
        ),
        post(&["user", "preserve", "ID"], "/accounts/ID/preserve"),
        (
            &["user", "delete", "ID", "--reason", "short"],
            "DELETE",
            "/accounts/ID?reason=short",
            Value::Null,
        ),
        (
            &[
                "user",
                "delete",
                "ID",
                "--reason",
                "left the company",
                "--dry-run",
            ],
            "DELETE",
            long,
            Value::Null,
        ),
        (
            delete,
            "DELETE",
            "/accounts/ID?reason=left+the+company",
            Value::Null,
        ),
        (
            &["user", "auto-delete", "--dry-run"],
            "GET",
            "/accounts/auto-delete",
            Value::Null,
        ),
        (
            &["user", "auto-delete"],
            "POST",
            "/accounts/auto-delete",
            Value::Null,
        ),
    ]
}

fn tokens() -> Vec<Act> {
    let create = json!({"name": "T", "scope": "read", "days": 30});
    vec![
        (
            &["token", "create", "T", "--scope", "read", "--days", "30"],
            "POST",
            "/tokens",
            create,
        ),
        (
            &["token", "create", " ", "--scope", "read"],
            "POST",
            "/tokens",
            json!({"name": " ", "scope": "read"}),
        ),
        (
            &["token", "rotate", "TOKEN", "--overlap-hours", "2"],
            "POST",
            "/tokens/TOKEN/rotate",
            json!({"overlap_hours": 2}),
        ),
        (
            &["token", "rotate", "none"],
            "POST",
            "/tokens/none/rotate",
            json!({}),
        ),
        (
            &["token", "revoke", "TOKEN"],
            "POST",
            "/tokens/TOKEN/revoke",
            Value::Null,
        ),
        (
            &["token", "revoke", "TOKEN"],
            "POST",
            "/tokens/TOKEN/revoke",
            Value::Null,
        ),
        (
            &["token", "rotate", "TOKEN"],
            "POST",
            "/tokens/TOKEN/rotate",
            json!({}),
        ),
    ]
}

/// The ids of an appliance's accounts and of its tokens, in the order in which they came.
fn ids(app: &TestApp) -> (Vec<String>, Vec<String>) {
    let texts = |sql| -> Vec<String> {
        let rows = app.rows(sql, []);
        rows.iter()
            .map(|row| row["id"].as_str().unwrap().to_owned())
            .collect()
    };
    (
        texts(
            "SELECT target_id AS id FROM audit WHERE action = 'account.add' AND verdict = 'applied' ORDER BY seq",
        ),
        texts(
            "SELECT target_id AS id FROM audit WHERE action IN ('token.create', 'token.rotate')
                 AND verdict = 'applied' ORDER BY seq",
        ),
    )
}

/// A value as both appliances have it: with the order of an id in its place, and without instants and secrets.
fn masked(value: &Value, app: &TestApp) -> Value {
    let mut text = value.to_string();
    let (accounts, tokens) = ids(app);
    for (kind, ids) in [("account", accounts), ("token", tokens)] {
        for (place, id) in ids.iter().enumerate() {
            text = text.replace(id, &format!("{kind}-{place}"));
        }
    }
    while let Some(at) = text.find("slt_") {
        let end = at + text[at..].find('"').unwrap();
        text.replace_range(at..end, "secret");
    }
    let instant = |window: &[u8]| {
        let shape = b"dddd-dd-ddTdd:dd:dd.dddZ";
        window.iter().zip(shape).all(|(byte, shape)| match shape {
            b'd' => byte.is_ascii_digit(),
            shape => byte == shape,
        })
    };
    while let Some(at) = text.as_bytes().windows(24).position(instant) {
        text.replace_range(at..at + 24, "instant");
    }
    serde_json::from_str(&text).unwrap()
}

/// What a command says: JSON, or the sentence that refuses it.
fn told(app: &TestApp, command: &[&str]) -> Value {
    let output = app.cli(command.iter().copied().chain(["--json"]));
    match output.status.success() {
        true => crate::home::json(&output),
        false => refused(&output)
            .trim_end()
            .trim_start_matches("scimlite: ")
            .into(),
    }
}

#[tokio::test]
async fn a_command_and_a_request_do_the_same() {
    let (by_command, by_request) = (TestApp::start(), TestApp::start());
    let admin = Admin::new(&by_request).await;
    let named = |app: &TestApp, word: &str| {
        let (accounts, tokens) = ids(app);
        let word = word.replace("ID", accounts.last().map_or("", String::as_str));
        // The one that was made here, not that which replaced it.
        word.replace("TOKEN", tokens.get(2).map_or("", String::as_str))
    };
    for (command, method, path, body) in [places(), mappings(), accounts(), tokens()].concat() {
        let command: Vec<_> = command
            .iter()
            .map(|word| named(&by_command, word))
            .collect();
        let command: Vec<_> = command.iter().map(String::as_str).collect();
        let said = told(&by_command, &command);
        let answer = admin.call(method, &named(&by_request, path), body).await;
        let said = masked(&said, &by_command);
        let answered = match answer.status {
            // A command says in words that it is done.
            204 => said.clone(),
            200 | 201 if answer.json.get("items").is_some() => {
                masked(&answer.json["items"], &by_request)
            }
            200 | 201 => masked(&answer.json, &by_request),
            _ => masked(&answer.json["detail"], &by_request),
        };
        assert_eq!(said, answered, "{command:?} and {method} {path}");
    }
    let columns =
        "action, target_type, target_id, target_name, verdict, scim_type, reason, changes, mapping";
    let status = "CASE WHEN verdict IN ('applied', 'unchanged') THEN status ELSE 0 END AS done, CASE WHEN verdict \
         IN ('applied', 'unchanged') THEN 0 ELSE status END AS status";
    // The start names ports, which differ.
    let sql = format!(
        "SELECT {columns}, {status} FROM audit WHERE action <> 'server.start' ORDER BY seq"
    );
    let rows = |app: &TestApp| {
        let rows = app.rows(&sql, []);
        rows.iter().map(|row| masked(row, app)).collect::<Vec<_>>()
    };
    let (mut commands, mut requests) = (rows(&by_command), rows(&by_request));
    assert_eq!(commands.len(), requests.len());
    for (command, request) in commands.iter_mut().zip(&mut requests) {
        assert_eq!(
            command["done"].take(),
            0,
            "a command has no status: {command}"
        );
        let done = request["done"].take();
        let action = request["action"].as_str().unwrap();
        let answered = [0, 200, 201, 204].iter().any(|status| done == *status);
        assert!(answered, "{action}: {done}");
        assert_eq!(command, request);
    }
    let accounts = |app: &TestApp| {
        let rows = app.rows("SELECT * FROM accounts", []);
        rows.iter().map(|row| masked(row, app)).collect::<Vec<_>>()
    };
    assert_eq!(accounts(&by_command), accounts(&by_request));
}

#[tokio::test]
async fn both_show_an_account_and_its_story() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let user = json!({"userName": "a/b c@x.test"});
    let id = app.client.create(user).await.expect(201).id();
    for path in [
        format!("/accounts/{id}"),
        "/accounts/a_b%20c@x.test".to_owned(),
    ] {
        let mut shown = admin.get(&path).await.expect(200).json;
        let earlier = shown.as_object_mut().unwrap().remove("earlier");
        assert_eq!(earlier, Some(false.into()));
        assert_eq!(shown, app.cli_json(["user", "show", &id]), "{path}");
    }
    for _ in 0..60 {
        for act in ["hold", "release"] {
            let path = format!("/accounts/{id}/{act}");
            admin.call("POST", &path, Value::Null).await.expect(200);
        }
    }
    let shown = admin.get(&format!("/accounts/{id}")).await.json;
    let story = shown["audit"].as_array().unwrap();
    assert_eq!((story.len(), &shown["earlier"]), (100, &json!(true)));
    let all = app.cli_json(["user", "show", &id]);
    assert_eq!(
        story[..],
        all["audit"].as_array().unwrap()[21..],
        "the last of 121"
    );
}

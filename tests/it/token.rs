//! Tokens: what the command line does to them holds on the next request to a running server, and their secrets are
//! written nowhere (design §3.14, C-77).

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;
use crate::cli::refused;
use crate::client::Client;
use crate::db::unbroken;
use crate::home::{self, Home};

/// A new token, and a client that has it.
fn create(app: &TestApp, name: &str, scope: &str) -> (Value, Client) {
    let token = app.cli_json(["token", "create", name, "--scope", scope]);
    assert_eq!(token["name"], name);
    assert_eq!(token["scope"], scope);
    (token.clone(), app.client.with_token(text(&token, "token")))
}

fn text<'a>(value: &'a Value, key: &str) -> &'a str {
    value[key].as_str().unwrap()
}

async fn status(client: &Client) -> u16 {
    client.get("/Users").await.status
}

#[tokio::test]
async fn a_token_works_at_once_and_until_it_is_revoked() {
    let app = TestApp::start();
    let (token, client) = create(&app, "second", "provision");
    let printed = text(&token, "token");
    let id = text(&token, "id");
    assert!(printed.starts_with(&format!("slt_{id}_")), "{printed}");
    assert!(printed.len() <= 64);
    let user = json!({"userName": "anna@example.test"});
    client.scim("POST", "/Users", user).await.expect(201);

    let revoked = app.cli(["token", "revoke", id]);
    assert!(revoked.status.success());
    assert_eq!(status(&client).await, 401);
    assert_eq!(status(&app.client).await, 200, "the others stay");
    let again = refused(&app.cli(["token", "revoke", id]));
    assert!(again.contains("was revoked at"), "{again}");
    assert_eq!(status(&client).await, 401);
}

#[tokio::test]
async fn a_rotated_token_replaces_the_old_one() {
    let app = TestApp::start();
    let (token, old) = create(&app, "rotating", "provision");
    assert_eq!(status(&old).await, 200);
    let rotated = app.cli_json(["token", "rotate", text(&token, "id")]);
    let new = app.client.with_token(text(&rotated, "token"));
    assert_eq!(rotated["name"], "rotating");
    assert_eq!(rotated["scope"], "provision");
    assert_eq!(status(&old).await, 401);
    assert_eq!(status(&new).await, 200);

    let id = text(&rotated, "id");
    let newest = app.cli_json(["token", "rotate", id, "--overlap-hours", "1"]);
    let newest = app.client.with_token(text(&newest, "token"));
    assert_eq!(status(&new).await, 200, "both work in the overlap");
    assert_eq!(status(&newest).await, 200);
    assert_eq!(status(&old).await, 401);
}

#[tokio::test]
async fn a_scope_says_what_a_token_may_do() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user.clone()).await;
    let path = format!("/Users/{}", made.expect(201).id());
    let (_, reader) = create(&app, "reader", "read");
    let administrator = app.client.with_token(app.told("admin_token"));
    let patch = json!({"Operations": [{"op": "replace", "path": "title", "value": "x"}]});
    for client in [reader, administrator] {
        assert_eq!(status(&client).await, 200);
        client.get(&path).await.expect(200);
        for (method, path, body) in [
            ("POST", "/Users", json!({"userName": "bela@example.test"})),
            ("PATCH", &path, patch.clone()),
            ("PUT", &path, user.clone()),
            ("DELETE", &path, Value::Null),
        ] {
            let refused = client.scim(method, path, body).await;
            refused.expect_error(403, Value::Null);
        }
    }
    assert_eq!(app.client.get("/Users").await.total(), 1);
    let user = app.client.get(&path).await.expect(200);
    assert_eq!(user.json["title"], Value::Null);
}

#[tokio::test]
async fn a_token_survives_a_restart_and_shows_in_the_list() {
    let mut app = TestApp::start();
    let (token, client) = create(&app, "listed", "read");
    assert_eq!(status(&client).await, 200);
    app.restart();
    let client = app.client.with_token(text(&token, "token"));
    assert_eq!(status(&client).await, 200);
    let list = app.cli_json(["token", "list"]);
    let list = list.as_array().unwrap();
    assert_eq!(list.len(), 3, "those of init and this one");
    let listed = list.iter().find(|entry| entry["id"] == token["id"]);
    let listed = listed.expect("the token in the list");
    assert_eq!(listed["name"], "listed");
    assert_eq!(listed["scope"], "read");
    for key in ["created", "expires"] {
        let at = text(listed, key).parse::<jiff::Timestamp>();
        assert!(at.is_ok(), "{listed}");
    }
}

#[test]
fn a_token_ends_when_it_is_told_and_not_later_than_is_allowed() {
    let home = Home::new();
    let create = |end: &[&'static str]| {
        let create = ["token", "create", "x", "--scope", "read"];
        home.cli(
            create
                .into_iter()
                .chain(end.iter().copied())
                .chain(["--json"]),
        )
    };
    let now = jiff::Timestamp::now();
    let lifetime = |output| {
        let expires = text(&home::json(&output), "expires").parse::<jiff::Timestamp>();
        expires.unwrap().duration_since(now).as_hours()
    };
    assert_eq!(lifetime(create(&[])), 365 * 24);
    assert_eq!(lifetime(create(&["--days", "365"])), 365 * 24);
    assert_eq!(lifetime(create(&["--days", "1"])), 24);
    let day = (now + jiff::SignedDuration::from_hours(48)).to_string();
    let day = &*String::leak(day[..10].to_owned());
    let made = home::json(&create(&["--expires", day]));
    let next = jiff::civil::Date::strptime("%Y-%m-%d", day).unwrap();
    let next = next.tomorrow().unwrap();
    assert_eq!(made["expires"], format!("{next}T00:00:00.000Z"));
    let made = home::json(&create(&[
        "--expires",
        &*String::leak(format!("{next}T12:00:00+02:00")),
    ]));
    assert_eq!(made["expires"], format!("{next}T10:00:00.000Z"));

    let count = || home.rows("SELECT id FROM token", []).len();
    let before = count();
    for (end, said) in [
        (["--days", "366"], "longest_days"),
        (["--expires", "2099-12-31"], "longest_days"),
        (["--expires", "2026-01-31"], "past"),
    ] {
        let stderr = refused(&create(&end));
        assert!(stderr.contains(said), "{stderr}");
    }
    for end in [
        &["--days", "0"][..],
        &["--expires", "tomorrow"],
        &["--days", "3", "--expires", "2027-01-31"],
    ] {
        assert_eq!(create(end).status.code(), Some(2), "{end:?}");
    }
    assert_eq!(count(), before);

    let file = home.data().join("scimlite.toml");
    let text = std::fs::read_to_string(&file).unwrap();
    std::fs::write(
        &file,
        text.replace("#longest_days = 365", "longest_days = 30"),
    )
    .unwrap();
    refused(&create(&["--days", "31"]));
    assert_eq!(lifetime(create(&[])), 30 * 24);
    let old = home.row("SELECT id FROM token WHERE name = 'entra'", []);
    let rotated = home.cli(["token", "rotate", old["id"].as_str().unwrap(), "--json"]);
    assert_eq!(lifetime(rotated), 30 * 24, "a longer one is not made again");
}

#[test]
fn a_token_that_has_ended_is_replaced_by_one_that_works() {
    let home = Home::new();
    let id = home.row("SELECT id FROM token WHERE name = 'entra'", []);
    let id = id["id"].as_str().unwrap();
    home.sql(&format!(
        "UPDATE token SET expires = '{PAST}' WHERE id = '{id}'"
    ));
    let rotated = home.cli_json(["token", "rotate", id]);
    assert!(text(&rotated, "expires") > &*jiff::Timestamp::now().to_string());
}

#[tokio::test]
async fn the_end_of_a_token_is_announced_once_in_each_run() {
    let mut app = TestApp::start();
    let (soon, _) = create(&app, "soon", "read");
    let (over, _) = create(&app, "over", "read");
    let (meant, _) = create(&app, "meant", "read");
    app.stop();
    assert!(!app.stderr().contains("scimlite token rotate"));
    let end = |token: &Value, hours: i64| {
        let end = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(hours);
        let id = text(token, "id");
        app.sql(&format!(
            "UPDATE token SET expires = '{end:.3}' WHERE id = '{id}'"
        ));
    };
    end(&soon, 24 * 6);
    end(&over, -1);
    end(&meant, 1);
    app.cli(["token", "revoke", text(&meant, "id")]);
    for run in 1..=2 {
        app.resume();
        app.stop();
        let log = app.stderr();
        for (token, said) in [(&soon, "ends in less than 7 days"), (&over, "has ended")] {
            let advice = format!("{said}; `scimlite token rotate {}`", text(token, "id"));
            assert_eq!(log.matches(&advice).count(), run, "{log}");
        }
        assert_eq!(log.matches("scimlite token rotate").count(), 2 * run);
    }
}

#[tokio::test]
async fn no_secret_is_written_anywhere() {
    let app = TestApp::start();
    let (token, client) = create(&app, "hidden", "read");
    assert_eq!(status(&client).await, 200);
    // A wrong secret is as sensitive: it may be a right one with a typing mistake.
    let mistyped = format!("slt_{}_mistypedsecret", text(&token, "id"));
    assert_eq!(status(&app.client.with_token(mistyped.as_str())).await, 401);
    let well_shaped = format!("slt_{}_{}", text(&token, "id"), "w".repeat(40));
    assert_eq!(
        status(&app.client.with_token(well_shaped.as_str())).await,
        401
    );
    let rotated = app.cli_json(["token", "rotate", text(&token, "id")]);
    let body = json!({"name": "made over the API", "scope": "read"});
    let admin = Admin::new(&app).await;
    let made = admin.call("POST", "/tokens", body).await.expect(201).json;
    let tokens = [
        text(&token, "token"),
        text(&rotated, "token"),
        text(&made, "token"),
        app.told("secret_token"),
        app.told("admin_token"),
        &mistyped,
        &well_shaped,
    ];
    for token in tokens {
        for (method, path) in [
            ("POST", format!("/{token}")),
            ("DELETE", format!("/Users/{token}")),
            ("GET", format!("/Groups/{token}?filter={token}")),
            ("PUT", format!("/Users/{token}/{token}")),
        ] {
            let body = match method {
                "PUT" | "POST" => json!({"userName": "anna@example.test"}),
                _ => Value::Null,
            };
            let answer = app.client.scim(method, &path, body).await;
            assert!(answer.status >= 400, "{method} {path}");
        }
        let bulk = json!({"Operations": [{"method": "DELETE", "path": format!("/Users/{token}")}]});
        app.client.scim("POST", "/Bulk", bulk).await.expect(200);
        for (method, path) in [
            ("DELETE", format!("/tokens/{token}")),
            ("GET", format!("/accounts/{token}")),
            ("POST", format!("/accounts/{token}/preserve")),
            ("POST", format!("/{token}")),
        ] {
            let answer = admin.call(method, &path, Value::Null).await;
            assert!(answer.status >= 400, "{method} {path}");
        }
        refused(&app.cli(["token", "revoke", token]));
    }
    let exports: Vec<_> = ["json", "jsonl", "csv", "cef"]
        .into_iter()
        .map(|format| app.cli(["audit", "export", "--format", format]).stdout)
        .chain([app.cli(["audit", "list"]).stdout])
        .map(|export| String::from_utf8(export).unwrap())
        .collect();
    assert!(exports[0].contains(&format!("slt_{}_…", text(&token, "id"))));
    for token in tokens {
        let secret = token.splitn(3, '_').nth(2).unwrap();
        for export in &exports {
            assert!(!export.contains(secret), "a secret in an export");
        }
        for (path, content) in app.files() {
            let found = content
                .windows(secret.len())
                .any(|window| window == secret.as_bytes());
            assert!(!found, "a secret in {}", path.display());
        }
        assert!(!app.stderr().contains(secret));
    }
}

/// An end that is over, for the row of a token.
const PAST: &str = "2026-01-31T09:30:00.000Z";

#[tokio::test]
async fn a_token_ends_when_its_row_says_so_and_not_before() {
    let app = TestApp::start();
    let (token, old) = create(&app, "rotating", "provision");
    let id = text(&token, "id");
    let rotated = app.cli_json(["token", "rotate", id, "--overlap-hours", "1"]);
    let new = app.client.with_token(text(&rotated, "token"));
    for client in [&old, &new] {
        assert_eq!(status(client).await, 200, "both in the overlap");
    }
    let again = refused(&app.cli(["token", "rotate", id]));
    assert!(again.contains(text(&rotated, "id")), "{again}");

    // Its end comes, as seen by a server that has verified it long ago.
    let expires = |id: &str| {
        let row = app.row("SELECT expires FROM token WHERE id = ?1", [id]);
        text(&row, "expires").to_owned()
    };
    let end = |id: &str, at: &str| {
        app.sql(&format!(
            "UPDATE token SET expires = '{at}' WHERE id = '{id}'"
        ));
    };
    assert!(expires(id) < expires(text(&rotated, "id")));
    end(id, PAST);
    assert_eq!(status(&old).await, 401);
    assert_eq!(status(&new).await, 200);
    let later = expires(text(&rotated, "id"));
    end(text(&rotated, "id"), PAST);
    assert_eq!(status(&new).await, 401);
    end(text(&rotated, "id"), &later);
    assert_eq!(status(&new).await, 200);
    assert_eq!(status(&old).await, 401);

    // A token whose end is near is not prolonged by the overlap.
    let (token, _) = create(&app, "ending", "read");
    let id = text(&token, "id");
    end(id, PAST);
    app.cli_json(["token", "rotate", id, "--overlap-hours", "1"]);
    assert_eq!(expires(id), PAST);
}

#[tokio::test]
async fn when_a_token_was_used_is_written_at_a_clean_stop() {
    let mut app = TestApp::start();
    let (used, client) = create(&app, "used", "read");
    let (idle, _) = create(&app, "idle", "read");
    assert_eq!(status(&client).await, 200);
    app.stop();
    let last_used = |app: &TestApp, token: &Value| {
        let list = app.cli_json(["token", "list"]);
        let mut list = list.as_array().unwrap().iter();
        let listed = list.find(|entry| entry["id"] == token["id"]).unwrap();
        listed["last_used"].clone()
    };
    assert_eq!(last_used(&app, &idle), Value::Null);
    assert!(last_used(&app, &used).is_string());
    app.sql(&format!("UPDATE token SET last_used = '{PAST}'"));
    app.resume();
    let client = app.client.with_token(text(&used, "token"));
    assert_eq!(status(&client).await, 200);
    app.stop();
    assert_ne!(last_used(&app, &used), PAST, "the later use counts");
    assert_eq!(last_used(&app, &idle), PAST);
}

#[test]
fn a_name_that_would_not_fit_on_a_line_is_refused() {
    let home = Home::new();
    let count = || home.rows("SELECT id FROM token", []).len();
    let before = count();
    let long = "x".repeat(101);
    for name in [
        "a\nb",
        "a\tb",
        "a\u{1b}[31mb",
        "a\u{7f}",
        "a\u{85}b",
        "",
        "  ",
        &long,
    ] {
        let output = home.cli(["token", "create", name, "--scope", "read"]);
        refused(&output);
    }
    assert_eq!(count(), before);
    let row = home.row(
        "SELECT count(*) AS refused FROM audit WHERE verdict = 'refused'",
        [],
    );
    assert_eq!(
        row["refused"], 8,
        "each is in the audit, like every refused act"
    );
    let made = home.cli_json(["token", "create", " Zoë's laptop ", "--scope", "read"]);
    assert_eq!(made["name"], "Zoë's laptop");
    unbroken(&home.database());
}

#[test]
fn a_token_that_could_not_be_shown_is_named_so_that_it_can_be_ended() {
    let home = Home::new();
    for args in [
        &["token", "create", "lost", "--scope", "read"][..],
        &["token", "create", "lost", "--scope", "read", "--json"],
    ] {
        let mut command = home.command(args.iter().copied());
        let full = std::fs::File::options().write(true).open("/dev/full");
        let output = command.stdout(full.unwrap()).output().unwrap();
        let stderr = refused(&output);
        let row = home.row(
            "SELECT id FROM token WHERE name = 'lost' AND revoked IS NULL",
            [],
        );
        let id = text(&row, "id");
        assert!(stderr.contains(&format!("token revoke {id}")), "{stderr}");
        assert!(!stderr.contains("slt_"), "{stderr}");
        assert!(home.cli(["token", "revoke", id]).status.success());
    }
}

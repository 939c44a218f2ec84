//! The table of errors in the README against what the server answers: each row has the status, the `scimType` and the words
//! that its case gives, and each case has its row.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;
use crate::home::Home;
use crate::readme::README;

/// Statuses whose cases need a machine that is broken or slow; `network` and `survival` make those. Here only their words
/// are held to the source.
const OF_THE_MACHINE: [&str; 3] = ["408", "500", "503"];
const SOURCE: [&str; 2] = [
    include_str!("../../src/directory/refusal.rs"),
    include_str!("../../src/server/intake.rs"),
];

/// What a row says of an answer.
#[derive(Debug)]
struct Row {
    status: &'static str,
    scim_type: Option<&'static str>,
    detail: &'static str,
}

impl Row {
    fn fits(&self, answer: &Answer) -> bool {
        let scim_type = self.scim_type.map_or(Value::Null, Value::from);
        answer.status.to_string() == self.status
            && answer.json["scimType"] == scim_type
            && fits(self.detail, answer.detail())
    }
}

/// Whether a text is what a pattern says, in which `…` is anything.
fn fits(pattern: &str, text: &str) -> bool {
    let mut parts = pattern.split('…');
    let first = parts.next().unwrap_or_default();
    let Some(mut rest) = text.strip_prefix(first) else {
        return false;
    };
    for part in parts {
        let Some((_, behind)) = rest.split_once(part) else {
            return false;
        };
        rest = behind;
    }
    rest.is_empty() || pattern.ends_with('…')
}

fn rows() -> Vec<Row> {
    let (_, table) = README
        .split_once("| Entra's code |")
        .expect("the table of errors");
    let lines = table
        .lines()
        .skip(2)
        .take_while(|line| line.starts_with('|'));
    let rows = lines.map(|line| {
        let cells: Vec<_> = line.split(" | ").map(str::trim).collect();
        let (status, detail) = (cells[1], cells[2].trim_matches('`'));
        let (status, scim_type) = status.split_once(' ').unwrap_or((status, ""));
        let scim_type = Some(scim_type.trim_matches('`')).filter(|it| !it.is_empty());
        Row {
            status,
            scim_type,
            detail,
        }
    });
    rows.collect()
}

fn user(name: &str) -> Value {
    json!({"userName": format!("{name}@example.test"), "displayName": name})
}

/// Requests that cannot be understood, or may not be made.
async fn wrong_requests(app: &TestApp) -> Vec<Answer> {
    let client = &app.client;
    let read = app.cli_json(["token", "create", "reader", "--scope", "read"]);
    let operation = json!({"op": "replace", "path": "title", "value": "x"});
    let large = json!({"userName": "x".repeat(1024 * 1024)});
    let stranger = app.client_from([127, 0, 0, 2]);
    let wrong = stranger.with_token("wrong");
    let broken = client
        .send("POST", "/scim/Users", &[], Some(b"{".to_vec()))
        .await;
    vec![
        wrong.get("/Users").await,
        wrong.get("/Users").await,
        client
            .with_token(read["token"].as_str())
            .create(user("reader"))
            .await,
        client.create(json!({})).await,
        broken.unwrap(),
        client.get("/Users?filter=userName").await,
        client.patch("x", json!(vec![operation; 1001])).await,
        client.get("/Users/x").await,
        client.get("/People").await,
        client.scim("PUT", "/Users", Value::Null).await,
        client.create(large).await,
    ]
}

/// Requests that a rule forbids, on an appliance with two seats and room for three accounts.
async fn forbidden(app: &TestApp) -> Vec<Answer> {
    let client = &app.client;
    let mut answers = Vec::new();
    let anna = client.create(user("anna")).await.expect(201).id();
    client.create(user("bob")).await.expect(201);
    answers.push(client.create(user("anna")).await);
    answers.push(client.create(user("clara")).await);
    let leaves = json!([{"op": "replace", "path": "active", "value": false}]);
    client.patch(&anna, leaves).await.expect(200);
    let mut gone = user("dora");
    gone["active"] = json!(false);
    client.create(gone).await.expect(201);
    answers.push(client.create(user("clara")).await);
    app.cli_json(["user", "preserve", &anna]);
    let returns = json!([{"op": "replace", "path": "active", "value": true}]);
    answers.push(client.patch(&anna, returns).await);
    app.cli_json(["profile", "edit", "Default", "--max-users", "1"]);
    answers.push(client.create(user("clara")).await);
    app.cli_json(["storage", "edit", "Default", "--disable"]);
    answers.push(client.create(user("clara")).await);
    app.cli_json(["mapping", "remove", "Default"]);
    answers.push(client.create(user("clara")).await);
    let group = json!({"displayName": "Sales"});
    client
        .scim("POST", "/Groups", group.clone())
        .await
        .expect(201);
    answers.push(client.scim("POST", "/Groups", group).await);
    answers
}

#[tokio::test]
async fn the_table_of_errors_says_what_is_answered() {
    let home = Home::new();
    home.configure("throttle", "failures", "1");
    home.configure("seats", "active", "2");
    home.configure("seats", "preserved_percent", "50");
    let app = TestApp::on(home, |_| {});
    let mut answers = wrong_requests(&app).await;
    answers.extend(forbidden(&app).await);
    let (of_the_machine, rows): (Vec<_>, Vec<_>) = rows()
        .into_iter()
        .partition(|row| OF_THE_MACHINE.contains(&row.status));
    for answer in &answers {
        let fitting = rows.iter().filter(|row| row.fits(answer)).count();
        assert_eq!(fitting, 1, "{} {}", answer.status, answer.json);
    }
    for row in &rows {
        assert!(
            answers.iter().any(|answer| row.fits(answer)),
            "{row:?} is never answered"
        );
    }
    assert_eq!(of_the_machine.len(), 4);
    for row in of_the_machine {
        assert!(
            SOURCE.iter().any(|source| source.contains(row.detail)),
            "{row:?}"
        );
    }
}

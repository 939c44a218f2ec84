//! Runs `tests/corpus/*.json`: requests and what has to come back, as data. Each file is a topic, a list of scenarios;
//! its scenarios run at the same time on one server, each with names of its own.
//!
//! In paths, bodies and expectations `{{unique}}` is a text that no other scenario has, `{{User}}` and the like are
//! URNs, and other names are what earlier steps saved. [`crate::pattern`] says how an expectation is compared; what
//! holds of every answer, the shapes of errors and lists among it, is checked by [`crate::client`].

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;

use serde::Deserialize;
use serde_json::Value;
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::{Answer, Client};
use crate::pattern::differences;

/// What `{{NAME}}` stands for in every scenario.
const URNS: [(&str, &str); 7] = [
    ("User", "urn:ietf:params:scim:schemas:core:2.0:User"),
    ("Group", "urn:ietf:params:scim:schemas:core:2.0:Group"),
    (
        "EnterpriseUser",
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User",
    ),
    (
        "CustomUser",
        "urn:ietf:params:scim:schemas:extension:Druva:2.0:User",
    ),
    ("PatchOp", "urn:ietf:params:scim:api:messages:2.0:PatchOp"),
    (
        "ListResponse",
        "urn:ietf:params:scim:api:messages:2.0:ListResponse",
    ),
    (
        "SearchRequest",
        "urn:ietf:params:scim:api:messages:2.0:SearchRequest",
    ),
];

/// One story, told in requests that follow each other.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Scenario {
    name: String,
    /// Numbers in the reference that it covers.
    cases: Vec<String>,
    steps: Vec<Step>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Step {
    request: Request,
    expect: Expect,
    /// Names for values in the answer, by JSON pointer; `{{NAME}}` stands for them from then on.
    #[serde(default)]
    save: BTreeMap<String, String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Request {
    method: String,
    /// Below the base path.
    path: String,
    #[serde(default)]
    headers: BTreeMap<String, String>,
    body: Option<Value>,
    /// A body that is not JSON.
    raw: Option<String>,
}

#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
struct Expect {
    status: u16,
    #[serde(default)]
    headers: BTreeMap<String, Value>,
    #[serde(default)]
    body: Value,
}

/// A request that was answered: where it stands in the corpus, and its X-Request-Id.
struct Done {
    step: String,
    mutating: bool,
    request_id: String,
}

#[derive(Default)]
struct Report {
    done: Vec<Done>,
    failures: Vec<String>,
}

macro_rules! topics {
    ($($topic:ident)*) => {
        $(#[tokio::test]
        async fn $topic() {
            run(stringify!($topic)).await;
        })*

        #[test]
        fn every_file_is_run() {
            let mut files: Vec<_> = std::fs::read_dir(folder())
                .unwrap()
                .map(|entry| entry.unwrap().path().file_stem().unwrap().to_owned())
                .collect();
            files.sort();
            assert_eq!(files, [$(stringify!($topic)),*]);
        }
    };
}

topics! {
    clients connect create discovery etags groups http life lists match_user patch_flag patch_legacy paths put read
    roles
}

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/corpus")
}

async fn run(topic: &str) {
    let text = std::fs::read_to_string(folder().join(topic).with_extension("json")).unwrap();
    let scenarios: Vec<Scenario> = serde_json::from_str(&text).unwrap();
    let app = Arc::new(TestApp::start());
    let mut running = JoinSet::new();
    for (number, scenario) in scenarios.into_iter().enumerate() {
        let client = app.client.clone();
        running.spawn(play(client, scenario, number));
    }
    let mut failures = Vec::new();
    for report in running.join_all().await {
        failures.extend(report.failures);
        failures.extend(audited(&app, &report.done));
    }
    failures.sort();
    let count = failures.len();
    assert!(
        failures.is_empty(),
        "{count} failures\n{}",
        failures.join("\n")
    );
}

/// Every mutating request has left one row in the audit, and no other has left any (design §3.12).
fn audited(app: &TestApp, done: &[Done]) -> Vec<String> {
    let db = app.db();
    let mut rows = db
        .prepare("SELECT count(*) FROM audit WHERE request_id = ?1")
        .unwrap();
    done.iter()
        .filter_map(|done| {
            let found: i64 = rows
                .query_row([&done.request_id], |row| row.get(0))
                .unwrap();
            (found != i64::from(done.mutating))
                .then(|| format!("{}: {found} audit rows", done.step))
        })
        .collect()
}

async fn play(client: Client, scenario: Scenario, number: usize) -> Report {
    let mut report = Report::default();
    let unique = format!("s{number:03}");
    let mut names: BTreeMap<String, String> = URNS
        .iter()
        .map(|(name, urn)| ((*name).to_owned(), (*urn).to_owned()))
        .collect();
    names.insert("unique".to_owned(), unique);
    for (index, step) in scenario.steps.iter().enumerate() {
        let place = format!(
            "{} {:?} step {}: {} {}",
            scenario.name,
            scenario.cases,
            index + 1,
            step.request.method,
            fill(&step.request.path, &names)
        );
        let answer = match ask(&client, &step.request, &names).await {
            Ok(answer) => answer,
            Err(error) => {
                let failure = format!("{place}: {error:?}; the rest is left out");
                report.failures.push(failure);
                return report;
            }
        };
        let found = check(&step.expect, &answer, &names);
        if !found.is_empty() {
            report.failures.push(format!(
                "{place}\n  {}\n  in {}",
                found.join("\n  "),
                answer.json
            ));
        }
        for (name, pointer) in &step.save {
            let value = answer.json.pointer(pointer).and_then(Value::as_str);
            let Some(value) = value else {
                let failure = format!("{place}: no {pointer} to save; the rest is left out");
                report.failures.push(failure);
                return report;
            };
            names.insert(name.clone(), value.to_owned());
        }
        // A refused authentication has rows of its own kind, folded by address and minute.
        if answer.status != 401 {
            report.done.push(Done {
                step: place,
                mutating: mutates(&step.request),
                request_id: answer.header("x-request-id").to_owned(),
            });
        }
    }
    report
}

/// Whether a request asks for a change; a search only reads (RFC 7644 §3.4.3).
fn mutates(request: &Request) -> bool {
    match request.method.as_str() {
        "GET" | "HEAD" | "OPTIONS" => false,
        "POST" => !request.path.trim_end_matches('/').ends_with("/.search"),
        _ => true,
    }
}

async fn ask(
    client: &Client,
    request: &Request,
    names: &BTreeMap<String, String>,
) -> Result<Answer, reqwest::Error> {
    let headers: Vec<_> = request
        .headers
        .iter()
        .map(|(name, value)| (name.as_str(), fill(value, names)))
        .collect();
    let headers: Vec<_> = headers
        .iter()
        .map(|(name, value)| (*name, value.as_str()))
        .collect();
    let body = match (&request.body, &request.raw) {
        (Some(body), _) => Some(fill_all(body, names).to_string().into_bytes()),
        (None, raw) => raw.as_ref().map(|raw| raw.clone().into_bytes()),
    };
    let path = format!("/scim{}", fill(&request.path, names));
    client.send(&request.method, &path, &headers, body).await
}

fn check(expect: &Expect, answer: &Answer, names: &BTreeMap<String, String>) -> Vec<String> {
    let mut found = Vec::new();
    if answer.status != expect.status {
        found.push(format!("expected {}, got {}", expect.status, answer.status));
    }
    for (name, pattern) in &expect.headers {
        let value = Value::from(answer.header(name));
        let pattern = fill_all(pattern, names);
        found.extend(
            differences(&pattern, &value)
                .into_iter()
                .map(|difference| format!("header {name} {difference}")),
        );
    }
    if !expect.body.is_null() {
        found.extend(differences(&fill_all(&expect.body, names), &answer.json));
    }
    if expect.status == 204 && !answer.json.is_null() {
        found.push("204 with a body".into());
    }
    found
}

/// `{{NAME}}` replaced by what it stands for.
fn fill(text: &str, names: &BTreeMap<String, String>) -> String {
    names.iter().fold(text.to_owned(), |text, (name, value)| {
        text.replace(&format!("{{{{{name}}}}}"), value)
    })
}

/// The same in every string of a value, keys included.
fn fill_all(value: &Value, names: &BTreeMap<String, String>) -> Value {
    match value {
        Value::String(text) => fill(text, names).into(),
        Value::Array(items) => items.iter().map(|item| fill_all(item, names)).collect(),
        Value::Object(map) => map
            .iter()
            .map(|(key, item)| (fill(key, names), fill_all(item, names)))
            .collect(),
        other => other.clone(),
    }
}

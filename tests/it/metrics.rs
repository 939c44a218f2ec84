//! `/metrics`: that it can be parsed, that its numbers move as they should, that no client can put anything into it, and
//! that the dashboard and the alerts ask for what is there.

use std::collections::{BTreeMap, BTreeSet};

use reqwest::Certificate;
use serde_json::{Value, json};

use crate::app::TestApp;

/// How often it is asked again for what the server does by itself after its start.
const ATTEMPTS: usize = 1000;

type Labels = BTreeMap<String, String>;

/// One look at the metrics.
struct Scrape {
    text: String,
    samples: Vec<(String, Labels, f64)>,
}

impl Scrape {
    async fn of(app: &TestApp) -> Self {
        let ca = Certificate::from_pem_bundle(&app.ca()).unwrap();
        let client = reqwest::Client::builder().tls_certs_only(ca).no_proxy();
        let url = format!("{}/metrics", app.ready["admin"].as_str().unwrap());
        let answer = client.build().unwrap().get(url).send().await.unwrap();
        assert_eq!(answer.status(), 200);
        let media_type = answer.headers()["content-type"].to_str().unwrap();
        assert!(media_type.starts_with("application/openmetrics-text;"));
        let text = answer.text().await.unwrap();
        let samples = parse(&text);
        Self { text, samples }
    }

    /// The sum of the samples of this name whose labels have these values.
    fn sum(&self, name: &str, labels: &[(&str, &str)]) -> f64 {
        let fits = |found: &Labels| {
            let has = |(label, value): &(&str, &str)| found.get(*label).is_some_and(|v| v == value);
            labels.iter().all(has)
        };
        let found = self.samples.iter().filter(|(n, l, _)| n == name && fits(l));
        found.map(|(.., value)| value).sum()
    }

    fn names(&self) -> BTreeSet<&str> {
        self.samples
            .iter()
            .map(|(name, ..)| name.as_str())
            .collect()
    }
}

/// The samples of an OpenMetrics text; panics at whatever is none. Holds each family to one description and to be in one
/// place, each series to be there once, and each histogram to be one.
fn parse(text: &str) -> Vec<(String, Labels, f64)> {
    let body = text.strip_suffix("# EOF\n").expect("an end");
    let (mut samples, mut described, mut series) = (Vec::new(), BTreeSet::new(), BTreeSet::new());
    let mut family = "";
    for line in body.lines() {
        if let Some(comment) = line.strip_prefix("# ") {
            let mut words = comment.splitn(3, ' ');
            let (kind, name) = (words.next().unwrap(), words.next().unwrap());
            assert!(["HELP", "TYPE", "UNIT"].contains(&kind), "{line}");
            assert!(described.insert((kind, name)), "twice: {line}");
            family = name;
            continue;
        }
        let end = line.find(['{', ' ']).expect("a name");
        let name = &line[..end];
        assert!(
            name.starts_with(family) && name.starts_with("scimlite_"),
            "{line}"
        );
        let (labels, rest) = match line[end..].strip_prefix('{') {
            Some(rest) => labels(rest),
            None => (Labels::new(), &line[end..]),
        };
        let value: f64 = rest.strip_prefix(' ').expect("a value").parse().unwrap();
        assert!(series.insert((name, labels.clone())), "twice: {line}");
        samples.push((name.to_owned(), labels, value));
    }
    cumulative(&samples);
    samples
}

/// The labels behind a brace, and what follows the brace that closes them.
fn labels(mut rest: &str) -> (Labels, &str) {
    let mut labels = Labels::new();
    loop {
        let (name, behind) = rest.split_once("=\"").expect("a label");
        let (mut value, mut letters) = (String::new(), behind.char_indices());
        let end = loop {
            match letters.next().expect("an end of the value") {
                (at, '"') => break at,
                (_, '\\') => value.push(match letters.next().unwrap().1 {
                    'n' => '\n',
                    letter @ ('"' | '\\') => letter,
                    letter => panic!("\\{letter}"),
                }),
                (_, letter) => value.push(letter),
            }
        };
        assert!(
            labels.insert(name.to_owned(), value).is_none(),
            "{name} twice"
        );
        match behind[end + 1..].split_at(1) {
            (",", more) => rest = more,
            ("}", more) => return (labels, more),
            (other, _) => panic!("{other} behind a label"),
        }
    }
}

/// Each bucket holds those below it, and the last of them all.
fn cumulative(samples: &[(String, Labels, f64)]) {
    let mut last: BTreeMap<(&str, Labels), f64> = BTreeMap::new();
    for (name, labels, value) in samples {
        let Some(name) = name.strip_suffix("_bucket") else {
            continue;
        };
        let mut labels = labels.clone();
        labels.remove("le");
        let below = last.insert((name, labels), *value).unwrap_or_default();
        assert!(below <= *value, "{name}");
    }
    for ((name, labels), all) in last {
        let count = format!("{name}_count");
        let counted = samples.iter().find(|(n, l, _)| *n == count && *l == labels);
        assert_eq!(counted.expect("a count").2, all, "{name}");
    }
}

const REQUESTS: &str = "scimlite_requests_total";

#[tokio::test]
async fn numbers_move_as_requests_are_answered() {
    let app = TestApp::start();
    let before = Scrape::of(&app).await;
    assert_eq!(before.sum(REQUESTS, &[("listener", "scim")]), 0.0);
    assert_eq!(
        before.sum("scimlite_last_request_timestamp_seconds", &[]),
        0.0
    );
    let anna = app
        .client
        .create(json!({"userName": "anna@example.test"}))
        .await;
    let id = anna.expect(201).id();
    for _ in 0..2 {
        let leave = json!([{"op": "replace", "path": "active", "value": false}]);
        app.client.patch(&id, leave).await.expect(200);
    }
    app.client.get(&format!("/Users/{id}")).await.expect(200);
    app.client.get("/Users/nobody").await.expect(404);
    app.client
        .with_token("slt_x")
        .get("/Users")
        .await
        .expect(401);
    let make = |id: &str, name: &str| {
        let data = json!({"userName": name});
        json!({"method": "POST", "path": "/Users", "bulkId": id, "data": data})
    };
    let operations = [
        make("1", "bob@example.test"),
        make("2", "anna@example.test"),
    ];
    let bulk = json!({
        "schemas": ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"],
        "Operations": operations,
    });
    app.client.scim("POST", "/Bulk", bulk).await.expect(200);

    let after = Scrape::of(&app).await;
    for (listener, method, route, status, verdict, count) in [
        ("scim", "POST", "/Users", "201", "applied", 1.0),
        ("scim", "PATCH", "/Users/{id}", "200", "applied", 1.0),
        ("scim", "PATCH", "/Users/{id}", "200", "unchanged", 1.0),
        ("scim", "GET", "/Users/{id}", "200", "unchanged", 1.0),
        ("scim", "GET", "/Users/{id}", "404", "refused", 1.0),
        ("scim", "GET", "/Users", "401", "refused", 1.0),
        ("scim", "POST", "/Bulk", "200", "applied", 1.0),
        ("bulk", "POST", "/Users", "201", "applied", 1.0),
        ("bulk", "POST", "/Users", "409", "refused", 1.0),
        ("admin", "GET", "/metrics", "200", "unchanged", 1.0),
    ] {
        let labels = [
            ("listener", listener),
            ("method", method),
            ("route", route),
            ("status", status),
            ("verdict", verdict),
        ];
        assert_eq!(after.sum(REQUESTS, &labels), count, "{labels:?}");
    }
    assert_eq!(after.sum(REQUESTS, &[]), 10.0);
    let timed = after.sum("scimlite_request_duration_seconds_count", &[]);
    assert_eq!(timed, 10.0);
    let accounts = |status| after.sum("scimlite_accounts", &[("status", status)]);
    assert_eq!((accounts("active"), accounts("preserved")), (1.0, 1.0));
    let rows: f64 = app
        .db()
        .query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))
        .map(|seq: i64| seq as f64)
        .unwrap();
    assert_eq!(after.sum("scimlite_audit_seq", &[]), rows);
    assert_eq!(
        after.sum("scimlite_authentications_refused_total", &[]),
        1.0
    );
    assert_eq!(after.sum("scimlite_writer_queue_jobs", &[]), 0.0);
    // A job for each change: those of init were made by another process.
    let jobs = |of: &Scrape| of.sum("scimlite_writer_batch_jobs_sum", &[]);
    assert!(jobs(&after) - jobs(&before) >= 6.0, "{}", after.text);
    let commits = after.sum("scimlite_writer_commit_seconds_count", &[]);
    assert!((1.0..=jobs(&after)).contains(&commits), "{commits}");
    assert!(after.sum("scimlite_last_request_timestamp_seconds", &[]) > 1e9);
    assert!(after.sum("scimlite_certificate_expires_in_seconds", &[]) > 86400.0);
    for said in ["anna", "bob", app.told("secret_token"), &id] {
        assert!(!after.text.contains(said), "{said} in the metrics");
    }
}

/// Whatever is asked for, and under whatever name, it is one more of a few things.
#[tokio::test]
async fn clients_make_no_series_of_their_own() {
    let app = TestApp::start();
    let hostile = r#"a"} 1 \" {b="c\n"#;
    let series = |scrape: &Scrape| {
        let counted = scrape.samples.iter().filter(|(name, ..)| name == REQUESTS);
        counted.count()
    };
    let ask = async |number: usize| {
        let path = format!("/Users/{number}%22%7D%0A");
        app.client.get(&path).await.expect(404);
        let path = format!("/{number}/x/y/z");
        app.client.get(&path).await.expect(404);
        let method = format!("BREW{number}");
        app.client
            .scim(&method, "/Users", Value::Null)
            .await
            .expect(405);
        let other = app
            .client
            .with_token(format!("slt_{number:010}_x").as_str());
        other.get("/Users").await.expect(401);
    };
    ask(0).await;
    let first = series(&Scrape::of(&app).await);
    for number in 1..20 {
        ask(number).await;
    }
    // The second look counts the first.
    assert_eq!(series(&Scrape::of(&app).await), first + 1);
    app.cli_json(["token", "create", hostile, "--scope", "read", "--days", "3"]);
    app.cli_json(["profile", "add", hostile, "--max-users", "7"]);
    let scrape = Scrape::of(&app).await;
    assert_eq!(
        scrape.sum("scimlite_profile_max_users", &[("profile", hostile)]),
        7.0
    );
    let left = scrape.sum("scimlite_token_expires_in_seconds", &[("name", hostile)]);
    assert!((1.0..=3.0 * 86400.0).contains(&left), "{left}");
}

#[tokio::test]
async fn tokens_whose_end_is_meant_are_not_shown() {
    let app = TestApp::start();
    let made = |name| app.cli_json(["token", "create", name, "--scope", "read"]);
    let ids = ["revoked", "replaced"].map(|name| made(name)["id"].as_str().unwrap().to_owned());
    app.cli_json(["token", "revoke", &ids[0]]);
    app.cli_json(["token", "rotate", &ids[1], "--overlap-hours", "5"]);
    let scrape = Scrape::of(&app).await;
    for id in &ids {
        assert!(!scrape.text.contains(id.as_str()), "{}", scrape.text);
    }
    let replacing = scrape.sum("scimlite_token_expires_in_seconds", &[("name", "replaced")]);
    assert!(replacing > 86400.0);
}

/// What the dashboard and the alerts ask for is there.
#[tokio::test]
async fn dashboard_and_alerts_know_the_names() {
    let app = TestApp::configured(&[(r#"#active = "unlimited""#, "active = 5")]);
    app.cli_json(["profile", "add", "Small", "--max-users", "7"]);
    app.client.get("/Users").await.expect(200);
    app.client
        .with_token("slt_x")
        .get("/Users")
        .await
        .expect(401);
    let mut scrape = Scrape::of(&app).await;
    for _ in 0..ATTEMPTS {
        if scrape
            .names()
            .contains("scimlite_snapshot_last_timestamp_seconds")
        {
            break;
        }
        scrape = Scrape::of(&app).await;
    }
    assert_eq!(scrape.sum("scimlite_seats_active", &[]), 5.0);
    let root = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("packaging");
    for file in ["grafana-dashboard.json", "prometheus-alerts.yaml"] {
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let words = text.split(|letter: char| !letter.is_ascii_alphanumeric() && letter != '_');
        let asked: BTreeSet<_> = words.filter(|word| word.starts_with("scimlite_")).collect();
        assert!(asked.len() > 5, "{file}");
        let names = scrape.names();
        let unknown: Vec<_> = asked.difference(&names).collect();
        assert!(unknown.is_empty(), "{file} asks for {unknown:?}");
    }
}

//! Failed authentications slow down whoever makes them, and never the holder of the right token (design §3.14, §6, C-78);
//! behind a trusted proxy, the client that it names.

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::{TestApp, port};
use crate::client::{Answer, Client};
use crate::raw::exchange;

/// Another address than that of the other clients.
const ELSEWHERE: [u8; 4] = [127, 0, 0, 2];

/// A server that slows after three failures and hardly forgives.
fn strict(more: &[(&str, &str)]) -> TestApp {
    let few = [
        ("#failures = 50", "failures = 3"),
        ("#recovery = \"5s\"", "recovery = \"1h\""),
    ];
    TestApp::configured(&[&few, more].concat())
}

fn id(app: &TestApp) -> String {
    let token = app.told("secret_token");
    token.split('_').nth(1).unwrap().to_owned()
}

/// A token with this id and another secret.
fn wrong(id: &str, number: usize) -> String {
    format!("slt_{id}_{number:040}")
}

async fn present(client: &Client, token: &str) -> Answer {
    client.with_token(token).get("/Users").await
}

/// What a stranger sees of an answer.
fn visible(answer: &Answer) -> (u16, Vec<(String, String)>, Value) {
    let shown = answer
        .headers
        .iter()
        .filter(|(name, _)| !["x-request-id", "date"].contains(&name.as_str()));
    let text = |value: &reqwest::header::HeaderValue| value.to_str().unwrap().to_owned();
    let headers = shown.map(|(name, value)| (name.to_string(), text(value)));
    (answer.status, headers.collect(), answer.json.clone())
}

#[tokio::test]
async fn failures_are_slowed_and_the_right_token_is_not() {
    let mut app = strict(&[]);
    let id = id(&app);
    let elsewhere = app.client_from(ELSEWHERE);
    for number in 0..3 {
        present(&app.client, &wrong(&id, number)).await.expect(401);
    }
    let unknown = wrong("zzzzzzzzzz", 1);
    for token in [wrong(&id, 3), unknown.clone(), "not one".to_owned()] {
        let slowed = present(&app.client, &token).await;
        let seconds: u64 = slowed.header("retry-after").parse().unwrap();
        assert!((1..=3600).contains(&seconds), "{seconds}");
        slowed.expect_error(429, Value::Null);
    }
    // Nobody guesses by saying nothing.
    let nothing = app.client.with_token(None).get("/Users").await;
    nothing.expect_error(401, Value::Null);
    // The right token has not been seen yet by this process, at the very address of the failures.
    app.client.get("/Users").await.expect(200);
    let user = json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);

    // Another address has failures of its own, and an unknown id looks like a wrong secret.
    let refused = present(&elsewhere, &wrong(&id, 4)).await.expect(401);
    let no_such = present(&elsewhere, &unknown).await.expect(401);
    assert_eq!(visible(&refused), visible(&no_such));

    app.restart();
    assert_eq!(app.client.get("/Users").await.total(), 1);
    let rows = app.rows(
        "SELECT status, reason, count(*) AS count FROM audit WHERE action = 'authenticate' AND status = 429
         GROUP BY reason, target_id ORDER BY count",
        [],
    );
    let told: Vec<_> = rows
        .iter()
        .map(|row| row["reason"].as_str().unwrap())
        .collect();
    assert!(
        told.iter()
            .all(|reason| reason.starts_with("too many failures from this address")),
        "{told:?}"
    );
    let more: Vec<_> = told
        .iter()
        .filter(|reason| reason.contains("1 more times"))
        .collect();
    assert_eq!(
        (rows.len(), more.len()),
        (3, 1),
        "two kinds, one of them repeated: {told:?}"
    );
}

#[tokio::test]
async fn a_flood_on_its_id_does_not_keep_a_token_from_being_verified() {
    let mut app = strict(&[]);
    let id = id(&app);
    for _ in 0..3 {
        let flooder = app.client_from(ELSEWHERE);
        let mut flood = JoinSet::new();
        for task in 0..8 {
            let (flooder, id) = (flooder.clone(), id.clone());
            flood.spawn(async move {
                let mut slowed = 0;
                for number in 0..20 {
                    let answer = present(&flooder, &wrong(&id, task * 100 + number)).await;
                    assert!([401, 429].contains(&answer.status));
                    slowed += usize::from(answer.status == 429);
                }
                slowed
            });
        }
        // Each time a process that has not verified it yet.
        app.client.get("/Users").await.expect(200);
        let slowed: usize = flood.join_all().await.into_iter().sum();
        assert_eq!(slowed, 160 - 3);
        app.client.get("/Users").await.expect(200);
        app.kill();
        app.resume();
    }
}

#[tokio::test]
async fn a_slowed_request_is_answered_before_its_body() {
    let app = strict(&[]);
    let id = id(&app);
    for number in 0..3 {
        present(&app.client, &wrong(&id, number)).await.expect(401);
    }
    let request = format!(
        "POST /scim/Users HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/scim+json\r\nContent-Length: 1000000\r\n\r\n",
        wrong(&id, 9)
    );
    let (head, body) = exchange(port(&app.ready["scim"]), &app.ca(), &request).await;
    assert!(head.starts_with("http/1.1 429 "), "{head}");
    assert!(head.contains("\r\nretry-after: "), "{head}");
    let body: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(body["status"], "429");
}

#[tokio::test]
async fn the_client_that_a_trusted_proxy_names_is_the_one_that_counts() {
    let mut app = strict(&[("#trusted_proxies = []", "trusted_proxies = [\"127.0.0.1\"]")]);
    let (id, body) = (id(&app), br#"{"userName": "anna@example.test"}"#);
    let post = |client: &Client, token: String, headers: Vec<(&'static str, &'static str)>| {
        let client = client.with_token(&*token);
        async move {
            let answer = client.send("POST", "/scim/Users", &headers, Some(body.to_vec()));
            answer.await.unwrap()
        }
    };
    let named = |address| vec![("X-Forwarded-For", address)];
    for number in 0..3 {
        let refused = post(&app.client, wrong(&id, number), named("192.0.2.1")).await;
        refused.expect_error(401, Value::Null);
    }
    let slowed = post(&app.client, wrong(&id, 3), named("198.51.100.7, 192.0.2.1")).await;
    slowed.expect_error(429, Value::Null);
    let other = post(&app.client, wrong(&id, 3), named("192.0.2.1, 192.0.2.2")).await;
    other.expect_error(401, Value::Null);
    // Not through the proxy, whatever it says.
    let elsewhere = app.client_from(ELSEWHERE);
    let direct = post(&elsewhere, wrong(&id, 3), named("192.0.2.1")).await;
    direct.expect_error(401, Value::Null);

    let right = app.told("secret_token").to_owned();
    let forwarded = vec![("Forwarded", "for=\"[2001:db8::7]:4711\";proto=https")];
    let made = post(&app.client, right.clone(), forwarded)
        .await
        .expect(201);
    assert_eq!(app.audited(made.request_id())["source"], "2001:db8::7");
    let taken = post(&elsewhere, right, named("192.0.2.1"))
        .await
        .expect(409);
    assert_eq!(app.audited(taken.request_id())["source"], "127.0.0.2");
    // No answer waits for its row.
    app.restart();
    let sources = app.rows(
        "SELECT DISTINCT source FROM audit WHERE action = 'authenticate' ORDER BY 1",
        [],
    );
    let sources: Vec<_> = sources
        .iter()
        .map(|row| row["source"].as_str().unwrap())
        .collect();
    assert_eq!(sources, ["127.0.0.2", "192.0.2.1", "192.0.2.2"]);
}

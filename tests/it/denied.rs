//! Refused authentications in the audit: the first of a kind at once, repeats as a count, so that a flood cannot fill the
//! disk (design §3.12, §8).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::Client;

/// Rows of refused authentications: the token's id, the reason, and of how many more it tells, 0 for one by itself.
fn denials(app: &TestApp) -> Vec<(String, String, u64)> {
    let rows = app.rows(
        "SELECT * FROM audit WHERE action = 'authenticate' ORDER BY seq",
        [],
    );
    let read = |row: Value| {
        assert_eq!(
            (&row["verdict"], &row["status"]),
            (&json!("refused"), &json!(401))
        );
        assert_eq!(
            (&row["source"], &row["actor"]),
            (&json!("127.0.0.1"), &json!("unknown"))
        );
        let (reason, more) = match row["reason"].as_str().unwrap().split_once("; ") {
            None => (row["reason"].as_str().unwrap(), 0),
            Some((reason, more)) => (reason, more.split_once(' ').unwrap().0.parse().unwrap()),
        };
        let id = row["target_id"].as_str().unwrap_or_default();
        (id.to_owned(), reason.to_owned(), more)
    };
    rows.into_iter().map(read).collect()
}

/// Waits until so many rows are there, and no more. No answer waits for its row.
async fn written(app: &TestApp, count: usize) {
    let deadline = std::time::Instant::now() + std::time::Duration::from_secs(60);
    while denials(app).len() < count {
        assert!(std::time::Instant::now() < deadline, "{:?}", denials(app));
        tokio::time::sleep(std::time::Duration::from_millis(5)).await;
    }
    assert_eq!(denials(app).len(), count);
}

#[tokio::test]
async fn refused_authentications_are_counted_by_reason_and_token() {
    let mut app = TestApp::start();
    let id = |key| app.told(key).split('_').nth(1).unwrap().to_owned();
    let (provision, admin) = (id("secret_token"), id("admin_token"));
    let wrong = |id: &str| format!("slt_{id}_{}", "z".repeat(40));
    let refused = |client: Client| async move {
        let answer = client.get("/Users").await;
        answer.expect_error(401, Value::Null);
    };
    let mut requests = JoinSet::new();
    for _ in 0..20 {
        let client = app.client.with_token(&*wrong("zzzzzzzzzz"));
        requests.spawn(refused(client));
    }
    requests.join_all().await;
    written(&app, 1).await;
    let mut count = 1;
    for (presented, times) in [
        (Some(wrong(&provision)), 3),
        (Some(wrong(&admin)), 2),
        (Some("not one".to_owned()), 2),
        (None, 1),
    ] {
        for _ in 0..times {
            refused(app.client.with_token(presented.as_deref())).await;
        }
        count += 1;
        written(&app, count).await;
    }
    let first = denials(&app);
    let ids: Vec<_> = first.iter().map(|(id, ..)| id.as_str()).collect();
    // The id of a token that does not exist is anything that a stranger likes.
    assert_eq!(ids, ["", &provision, &admin, "", ""]);
    let mut reasons: Vec<_> = first.iter().map(|(_, reason, _)| reason).collect();
    reasons.sort_unstable();
    reasons.dedup();
    assert_eq!(reasons.len(), 4, "only the two wrong secrets share one");
    assert!(first.iter().all(|(.., more)| *more == 0), "{first:?}");

    app.stop();
    let mut counted = denials(&app).split_off(first.len());
    counted.sort_unstable();
    let repeats = first.into_iter().zip([19, 2, 1, 1]);
    let mut expected: Vec<_> = repeats
        .map(|((id, reason, _), more)| (id, reason, more))
        .collect();
    expected.sort_unstable();
    assert_eq!(counted, expected, "a single one has no row of counts");
    app.resume();
    assert_eq!(denials(&app).len(), 9, "each is written once");
}

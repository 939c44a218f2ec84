//! Acknowledged means durable (design §3.13): whatever got its 201 is there after SIGTERM and after SIGKILL, and
//! nothing is there by half.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::Client;

const WRITERS: usize = 16;

/// User names by id.
pub type Users = BTreeMap<String, String>;

fn user(name: &str) -> Value {
    json!({
        "userName": name, "externalId": name, "displayName": name,
        "emails": [{"type": "work", "value": name, "primary": true}],
    })
}

/// Creates one user after another until the server is gone; the users that were acknowledged.
async fn write(client: Client, writer: String, count: Arc<AtomicUsize>) -> Users {
    let mut acknowledged = Users::new();
    for number in 0.. {
        let name = format!("{writer}-{number}@example.test");
        let answer = match client.try_scim("POST", "/Users", user(&name)).await {
            Ok(answer) => answer,
            Err(error) => {
                eprintln!("{writer} ends with {error:?}");
                break;
            }
        };
        // A server that drains may also say so.
        if answer.status == 503 {
            break;
        }
        acknowledged.insert(answer.expect(201).id(), name);
        count.fetch_add(1, Ordering::Relaxed);
    }
    acknowledged
}

/// Starts the writers and returns once they have written for a while.
pub async fn busy(app: &TestApp, round: usize) -> JoinSet<Users> {
    let count = Arc::new(AtomicUsize::new(0));
    let mut writers = JoinSet::new();
    for writer in 0..WRITERS {
        let client = if writer % 2 == 0 {
            app.new_client()
        } else {
            app.http1.clone()
        };
        let name = format!("r{round}w{writer}");
        writers.spawn(write(client, name, Arc::clone(&count)));
    }
    let deadline = Instant::now() + Duration::from_secs(30);
    while count.load(Ordering::Relaxed) < 10 * WRITERS {
        assert!(Instant::now() < deadline, "too few users in 30 s");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    writers
}

/// What the writers were told is there.
pub async fn acknowledged(writers: JoinSet<Users>) -> Users {
    writers.join_all().await.into_iter().flatten().collect()
}

/// All users that the server has, each whole.
async fn stored(client: &Client) -> Users {
    let mut users = Users::new();
    loop {
        let page = format!("/Users?count=500&startIndex={}", users.len() + 1);
        let page = client.get(&page).await.expect(200);
        let resources = page.json["Resources"].as_array().unwrap();
        if resources.is_empty() {
            assert_eq!(page.total(), users.len() as u64);
            return users;
        }
        for resource in resources {
            let name = resource["userName"].as_str().unwrap();
            for (key, value) in user(name).as_object().unwrap() {
                assert_eq!(&resource[key], value, "{resource}");
            }
            let id = resource["id"].as_str().unwrap();
            let double = users.insert(id.to_owned(), name.to_owned());
            assert_eq!(double, None, "{id} on two pages");
        }
    }
}

/// Asserts that the users are all those acknowledged, and that each has the audit row of its creation and no row is
/// there without its user.
async fn nothing_lost(app: &TestApp, acknowledged: &Users) {
    let stored = stored(&app.client).await;
    for (id, name) in acknowledged {
        assert_eq!(stored.get(id), Some(name), "{id} was acknowledged");
    }
    let db = app.db();
    let mut rows = db
        .prepare("SELECT target_id FROM audit WHERE status = 201 ORDER BY target_id")
        .unwrap();
    let audited: Vec<String> = rows
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let stored: Vec<String> = stored.into_keys().collect();
    assert_eq!(audited, stored);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_stop_under_load_loses_nothing() {
    let mut app = TestApp::start();
    let writers = busy(&app, 0).await;
    app.terminate();
    let acknowledged = acknowledged(writers).await;
    let status = app.wait();
    assert_eq!(status.code(), Some(0), "{status}");
    let mut journal = app.database().into_os_string();
    journal.push("-wal");
    let left = std::fs::metadata(&journal).map_or(0, |file| file.len());
    assert_eq!(left, 0, "after a clean stop the database is one file");
    app.resume();
    nothing_lost(&app, &acknowledged).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_under_load_loses_nothing() {
    let mut app = TestApp::start();
    let mut all = Users::new();
    for round in 0..3 {
        let writers = busy(&app, round).await;
        app.kill();
        all.extend(acknowledged(writers).await);
        app.resume();
        nothing_lost(&app, &all).await;
    }
}

/// Creates, changes and removes people until the server is gone.
async fn live(client: Client, writer: usize) {
    for number in 0.. {
        let name = format!("l{writer}-{number}@example.test");
        let Ok(made) = client.try_scim("POST", "/Users", user(&name)).await else {
            return;
        };
        let path = format!("/Users/{}", made.expect(201).id());
        let patch = json!({"Operations": [{"op": "replace", "path": "title", "value": name}]});
        let same = user("somebody@example.test");
        for (method, body) in [("PATCH", patch), ("POST", same), ("DELETE", Value::Null)] {
            if method == "DELETE" && number % 2 == 0 {
                continue;
            }
            if client.try_scim(method, &path, body).await.is_err() {
                return;
            }
        }
    }
}

/// The last row about each account says how it is, and there are as many rows as it had changes.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_kill_leaves_no_change_without_its_row_and_no_row_without_its_change() {
    let mut app = TestApp::start();
    for _ in 0..3 {
        let before = app.rows("SELECT audit_seq FROM appliance", [])[0]["audit_seq"].as_i64();
        let mut writers = JoinSet::new();
        for writer in 0..WRITERS {
            writers.spawn(live(
                app.new_client(),
                writer + 1000 * app.rows("SELECT id FROM user", []).len(),
            ));
        }
        let deadline = Instant::now() + Duration::from_secs(30);
        while app.rows("SELECT audit_seq FROM appliance", [])[0]["audit_seq"].as_i64()
            < before.map(|seq| seq + 300)
        {
            assert!(Instant::now() < deadline, "too few rows in 30 s");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
        app.kill();
        writers.join_all().await;
        app.resume();
    }
    let users = app.rows(
        "SELECT accounts.*, user.version, user.mapping AS named,
             (SELECT count(*) FROM audit WHERE target_id = user.id AND verdict = 'applied') AS changes_made,
             (SELECT account FROM audit WHERE target_id = user.id AND verdict = 'applied'
              ORDER BY seq DESC LIMIT 1) AS account
         FROM user JOIN accounts ON accounts.id = user.id",
        [],
    );
    assert!(users.len() > 100);
    for user in users {
        assert_eq!(user["version"], user["changes_made"], "{user}");
        let told = &user["account"]["after"];
        for key in [
            "id",
            "email",
            "status",
            "preserved_at",
            "profile",
            "created",
            "modified",
        ] {
            assert_eq!(told[key], user[key], "{key} of {user}");
        }
    }
    let strangers = "SELECT seq FROM audit WHERE verdict = 'applied' AND target_type = 'User'
         AND target_id NOT IN (SELECT id FROM user)";
    assert_eq!(app.rows(strangers, []), Vec::<Value>::new());
}

#[tokio::test]
async fn a_client_that_hangs_up_gets_all_or_nothing() {
    let mut app = TestApp::start();
    for number in 0..20 {
        let client = app.new_client();
        let name = format!("h{number}@example.test");
        let request = client.try_scim("POST", "/Users", user(&name));
        // Whether the time is up before or after the commit is the point: any of it has to be whole.
        let _ = tokio::time::timeout(Duration::from_millis(number), request).await;
    }
    app.restart();
    nothing_lost(&app, &Users::new()).await;
}

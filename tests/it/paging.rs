//! Paging, whatever the size of a page: by index and by cursor each resource comes exactly once, in any order and under
//! any filter, and who pages by cursor misses nothing while others write (RFC 7644 §3.4.2.4, RFC 9865, C-74).

use std::collections::BTreeSet;

use proptest::prelude::*;
use proptest::strategy::ValueTree;
use proptest::test_runner::TestRunner;
use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::Client;

/// Users that the properties page through.
const USERS: usize = 57;
/// Clients that write while another pages, and how many users each of them creates.
const WRITERS: usize = 3;
const DISTURBANCES: usize = 12;
/// How a list may be asked for, beside its page.
const QUERIES: [&str; 8] = [
    "",
    "sortBy=userName",
    "sortBy=userName&sortOrder=descending",
    "sortBy=title&sortOrder=ascending",
    "sortBy=name.familyName&sortOrder=descending",
    "sortBy=emails&filter=title+ne+%22a%22",
    "filter=active+eq+true",
    "filter=name.familyName+pr+and+not+(title+eq+%22b%22)&sortBy=meta.created&sortOrder=descending",
];

/// A user with few different values, so that many are sorted alike.
fn user() -> impl Strategy<Value = Value> {
    let word = || proptest::option::of(prop::sample::select(vec!["a", "B", "b", "ä", "z"]));
    (word(), word(), word(), any::<bool>()).prop_map(|(title, family, mail, active)| {
        json!({
            "title": title, "name": {"familyName": family}, "active": active,
            "emails": mail.map(|mail| json!([{"value": format!("{mail}@x.test")}])),
        })
    })
}

fn ids(page: &Value) -> Vec<String> {
    let resources = page["Resources"].as_array().unwrap();
    let id = |resource: &Value| resource["id"].as_str().unwrap().to_owned();
    resources.iter().map(id).collect()
}

/// All ids of a list, in pages of `count` by index.
async fn by_index(client: &Client, query: &str, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    loop {
        let start = all.len() + 1;
        let path = format!("/Users?{query}&startIndex={start}&count={count}");
        let page = client.get(&path).await.expect(200);
        let found = ids(&page.json);
        assert!(found.len() <= count, "{path}");
        all.extend(found.iter().cloned());
        if found.is_empty() {
            assert_eq!(page.total(), all.len() as u64, "{path}");
            return all;
        }
    }
}

/// The same by cursor.
async fn by_cursor(client: &Client, query: &str, count: usize) -> Vec<String> {
    let mut all = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/Users?{query}&cursor={cursor}&count={count}");
        let page = client.get(&path).await.expect(200);
        let found = ids(&page.json);
        assert!(found.len() <= count, "{path}");
        all.extend(found.iter().cloned());
        match page.json["nextCursor"].as_str() {
            Some(next) => {
                assert_eq!(found.len(), count, "a page before the last is full: {path}");
                next.clone_into(&mut cursor);
            }
            None => return all,
        }
    }
}

#[tokio::test]
async fn pages_of_any_size_hold_each_user_once_in_the_same_order() {
    let app = TestApp::start();
    let mut runner = TestRunner::deterministic();
    for number in 0..USERS {
        let mut body = user().new_tree(&mut runner).unwrap().current();
        body["userName"] = format!("User{}@x.test", number * 31 % USERS).into();
        app.client.scim("POST", "/Users", body).await.expect(201);
    }
    for query in QUERIES {
        let path = format!("/Users?{query}&count=1000");
        let whole = ids(&app.client.get(&path).await.expect(200).json);
        let distinct: BTreeSet<_> = whole.iter().collect();
        assert_eq!(distinct.len(), whole.len(), "{query}");
        assert!(whole.len() > 10, "{query} finds too few to tell");
        for count in [1, 2, 7, USERS - 1, USERS, 100] {
            assert_eq!(
                by_index(&app.client, query, count).await,
                whole,
                "{query} by {count}"
            );
            assert_eq!(
                by_cursor(&app.client, query, count).await,
                whole,
                "{query} by {count}"
            );
        }
    }
}

/// Creates users, and deletes every other one again.
async fn disturb(client: Client, name: String) {
    for number in 0..DISTURBANCES {
        // Some before those who are there, some between and some behind them, in the order of names.
        let first = ["0", "User3", "z"][number % 3];
        let body = json!({"userName": format!("{first}-{name}-{number}@x.test")});
        let made = client.scim("POST", "/Users", body).await.expect(201);
        if number % 2 == 0 {
            let path = format!("/Users/{}", made.id());
            client.scim("DELETE", &path, Value::Null).await.expect(204);
        }
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn who_pages_by_cursor_misses_nobody_while_others_write() {
    let app = TestApp::start();
    let mut present = BTreeSet::new();
    for number in 0..USERS {
        let body = json!({"userName": format!("User{number}@x.test"), "title": "t"});
        let made = app.client.scim("POST", "/Users", body).await;
        present.insert(made.expect(201).id());
    }
    for (round, query) in [
        "",
        "sortBy=userName",
        "sortBy=userName&sortOrder=descending",
        "sortBy=title",
        "filter=userName+pr",
    ]
    .into_iter()
    .enumerate()
    {
        for count in [1, 5, 20] {
            let mut writers = JoinSet::new();
            for writer in 0..WRITERS {
                let name = format!("{round}-{count}-{writer}");
                writers.spawn(disturb(app.new_client(), name));
            }
            let found = by_cursor(&app.client, query, count).await;
            let distinct: BTreeSet<_> = found.iter().cloned().collect();
            assert_eq!(
                distinct.len(),
                found.len(),
                "{query} by {count}: one came twice"
            );
            assert!(
                present.is_subset(&distinct),
                "{query} by {count}: one is missing"
            );
            writers.join_all().await;
        }
    }
}

#[tokio::test]
async fn long_values_do_not_make_a_cursor_that_no_url_holds() {
    let app = TestApp::start();
    let mut all = BTreeSet::new();
    for number in 0..7 {
        // Alike at first: beyond what a cursor holds, and some to the end.
        let letters = ["é\"", "ß", "ß"][number % 3].repeat(3000);
        let body = json!({"userName": format!("u{number}@x.test"), "displayName": format!("{letters}{}", number / 3)});
        let made = app.client.scim("POST", "/Users", body).await;
        all.insert(made.expect(201).id());
    }
    for order in ["ascending", "descending"] {
        let query = format!("sortBy=displayName&sortOrder={order}&attributes=id");
        let found = by_cursor(&app.client, &query, 1).await;
        assert_eq!(found.len(), all.len(), "{order}");
        assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), all, "{order}");
    }
}

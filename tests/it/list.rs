//! Listing by index, as Microsoft's Account Discovery does it (C-74 to C-76).

use std::collections::BTreeSet;

use serde_json::{Value, json};

use crate::app::TestApp;

/// A server with `count` users, and their ids.
async fn populated(count: usize) -> (TestApp, BTreeSet<String>) {
    let app = TestApp::start();
    let mut ids = BTreeSet::new();
    for number in 0..count {
        let user = json!({"userName": format!("user{number}@example.test")});
        let made = app.client.scim("POST", "/Users", user).await;
        ids.insert(made.expect(201).id());
    }
    (app, ids)
}

fn ids(page: &Value) -> Vec<String> {
    let resources = page["Resources"].as_array().unwrap();
    resources
        .iter()
        .map(|resource| resource["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn pages_have_every_user_once_in_a_stable_order() {
    let (app, all) = populated(12).await;
    let mut orders = Vec::new();
    for _ in 0..2 {
        let mut order = Vec::new();
        for (start, expected) in [(1, 5), (6, 5), (11, 2)] {
            let path = format!("/Users?startIndex={start}&count=5");
            let page = app.client.get(&path).await.expect(200);
            assert_eq!(page.total(), 12);
            assert_eq!(page.json["startIndex"], start);
            assert_eq!(page.json["itemsPerPage"], expected);
            order.extend(ids(&page.json));
        }
        assert_eq!(order.len(), 12);
        assert_eq!(order.iter().cloned().collect::<BTreeSet<_>>(), all);
        orders.push(order);
    }
    assert_eq!(orders[0], orders[1]);
}

#[tokio::test]
async fn odd_pages_are_answered_all_the_same() {
    let (app, all) = populated(3).await;
    for query in ["", "?startIndex=0", "?startIndex=-5", "?count=5000"] {
        let page = app.client.get(&format!("/Users{query}")).await.expect(200);
        assert_eq!(page.total(), 3, "{query}");
        assert_eq!(page.json["startIndex"], 1, "{query}");
        assert_eq!(ids(&page.json).len(), all.len(), "{query}");
    }
    for query in [
        "?count=0",
        "?count=-1",
        "?startIndex=4",
        "?startIndex=99999999999",
    ] {
        let page = app.client.get(&format!("/Users{query}")).await.expect(200);
        assert_eq!(page.total(), 3, "{query}");
        assert_eq!(page.json["itemsPerPage"], 0, "{query}");
        assert_eq!(page.json["Resources"], json!([]), "{query}");
    }
}

#[tokio::test]
async fn a_page_has_100_users_unless_the_client_says_otherwise() {
    let (app, _) = populated(120).await;
    let page = app.client.get("/Users").await.expect(200);
    assert_eq!(page.total(), 120);
    assert_eq!(page.json["itemsPerPage"], 100);
    assert_eq!(ids(&page.json).len(), 100);
    let page = app.client.get("/Users?count=1000").await.expect(200);
    assert_eq!(ids(&page.json).len(), 120);
}

/// A page is cut where its bytes are enough, as they leave: what others show of a resource counts, and the list of all
/// users and groups goes on where it was cut.
#[tokio::test]
async fn pages_are_bounded_in_bytes_and_lose_nothing() {
    const MOST: usize = 9 * 1024 * 1024;
    let app = TestApp::start();
    let (mut users, mut groups) = (Vec::new(), Vec::new());
    for number in 0..10 {
        let name = "x".repeat(900_000);
        let user = json!({"userName": format!("u{number}@x.test"), "displayName": name});
        let made = app.client.scim("POST", "/Users", user).await;
        users.push(made.expect(201).id());
    }
    for number in 0..4 {
        let members: Vec<_> = users.iter().take(5).collect();
        let group = json!({"displayName": format!("g{number}"), "members": members});
        let path = "/Groups?excludedAttributes=members";
        let made = app.client.scim("POST", path, group).await;
        groups.push(made.expect(201).id());
    }
    for (path, expected) in [
        ("/Groups?", groups.clone()),
        ("/Users?", users.clone()),
        ("/?", [users, groups].concat()),
    ] {
        let mut found = Vec::new();
        while found.len() < expected.len() {
            let start = found.len() + 1;
            let path = format!("{path}startIndex={start}&count=100");
            let page = app.client.get(&path).await.expect(200);
            assert_eq!(page.total(), expected.len() as u64, "{path}");
            let bytes = page.json.to_string().len();
            assert!(bytes < MOST, "{path}: {bytes}");
            let ids = ids(&page.json);
            assert!(!ids.is_empty(), "{path}");
            found.extend(ids);
        }
        assert_eq!(found, expected, "{path}");
    }
    let mut found = Vec::new();
    let mut cursor = String::new();
    loop {
        let path = format!("/Groups?cursor={cursor}");
        let page = app.client.get(&path).await.expect(200);
        assert!(page.json.to_string().len() < MOST);
        found.extend(ids(&page.json));
        match page.json["nextCursor"].as_str() {
            Some(next) => next.clone_into(&mut cursor),
            None => break,
        }
    }
    assert_eq!(found.len(), 4);
}

//! Lists of the admin API: pages that stay right while others write, and the filters that choose.

use std::collections::BTreeSet;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;

/// More accounts than a page may have.
const MANY: usize = 1050;

/// Puts accounts into a stopped server's file, all copies of one.
fn fill(app: &TestApp) {
    let columns = "name, status, profile, storage, activation_email, managed_by, scim_visible, legal_hold, created, modified";
    let sql = format!(
        "WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {MANY} - 1)
         INSERT INTO user (seq, id, resource, user_name_key, username_key, version, username, email, {columns})
         SELECT 1000 + n, printf('user--------------------%012d', 1000 + n),
                '{{\"userName\":\"u' || n || '@x.test\",\"active\":true}}', 'u' || n || '@x.test',
                'u' || n || '@x.test', 1, 'u' || n || '@x.test', 'u' || n || '@x.test', {columns}
         FROM number CROSS JOIN user"
    );
    let db = Connection::open(app.database()).unwrap();
    db.execute_batch(&sql).unwrap();
}

fn ids(page: &Value) -> Vec<String> {
    let items = page["items"].as_array().unwrap().iter();
    items
        .map(|item| item["id"].as_str().unwrap().to_owned())
        .collect()
}

#[tokio::test]
async fn a_page_has_at_most_1000_items_and_100_unless_asked() {
    let mut app = TestApp::start();
    app.cli_json(["user", "add", "first@x.test"]);
    app.stop();
    fill(&app);
    app.resume();
    let admin = Admin::new(&app).await;
    for (query, length) in [
        ("", 100),
        ("?limit=1", 1),
        ("?limit=1000", 1000),
        ("?limit=4294967295", 1000),
    ] {
        for list in ["/accounts", "/reports/provisioning"] {
            let page = admin.get(&format!("{list}{query}")).await.expect(200).json;
            assert_eq!(
                page["items"].as_array().unwrap().len(),
                length,
                "{list}{query}"
            );
            assert!(page["next"].is_string(), "{list}{query}");
        }
    }
    let first = admin.get("/accounts?limit=1000").await.json;
    let next = first["next"].as_str().unwrap();
    let rest = admin
        .get(&format!("/accounts?limit=1000&cursor={next}"))
        .await
        .json;
    assert_eq!(rest["next"], Value::Null);
    let all: BTreeSet<_> = ids(&first).into_iter().chain(ids(&rest)).collect();
    assert_eq!(all.len(), MANY);
    // Exactly as many as are left is the last page.
    let exact = MANY - 1000;
    let rest = admin
        .get(&format!("/accounts?limit={exact}&cursor={next}"))
        .await
        .json;
    assert_eq!((ids(&rest).len(), &rest["next"]), (exact, &Value::Null));
}

#[tokio::test]
async fn pages_stay_right_while_others_write() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let mut made = Vec::new();
    for number in 0..12 {
        let account = json!({"email": format!("u{number}@x.test")});
        made.push(
            admin
                .call("POST", "/accounts", account)
                .await
                .expect(201)
                .id(),
        );
    }
    let mut seen = Vec::new();
    let mut next = String::new();
    let mut pages = 0;
    loop {
        let page = admin
            .get(&format!("/accounts?limit=3{next}"))
            .await
            .expect(200)
            .json;
        seen.extend(ids(&page));
        // One that was shown and one that was not go, and a new one comes.
        let (behind, ahead) = (&made[pages], &made[11 - pages]);
        for id in [behind, ahead] {
            admin
                .call("POST", &format!("/accounts/{id}/preserve"), Value::Null)
                .await
                .expect(200);
            let path = format!("/accounts/{id}?reason=left+the+company");
            admin.call("DELETE", &path, Value::Null).await.expect(200);
        }
        let account = json!({"email": format!("late{pages}@x.test")});
        let late = admin.call("POST", "/accounts", account).await.expect(201);
        made.push(late.id());
        pages += 1;
        match page["next"].as_str() {
            Some(cursor) if pages < 5 => next = format!("&cursor={cursor}"),
            _ => break,
        }
    }
    let once: BTreeSet<_> = seen.iter().collect();
    assert_eq!(once.len(), seen.len(), "none is shown twice");
    for (place, id) in made.iter().enumerate().take(12 - pages) {
        assert!(
            seen.contains(id),
            "account {place} stayed and was not shown"
        );
    }
    let places: Vec<_> = seen
        .iter()
        .map(|id| made.iter().position(|it| it == id))
        .collect();
    assert!(places.is_sorted(), "{places:?}");
}

#[tokio::test]
async fn accounts_are_chosen_by_status_and_filter() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    for name in ["anna", "bert", "carl"] {
        let user = json!({"userName": format!("{name}@x.test"), "title": name, "name": {"familyName": "Lee"}});
        app.client.create(user).await.expect(201);
    }
    let id = ids(&admin
        .get("/accounts?filter=userName+eq+%22bert@x.test%22")
        .await
        .json)
    .remove(0);
    admin
        .call("POST", &format!("/accounts/{id}/preserve"), Value::Null)
        .await
        .expect(200);
    for (query, emails) in [
        ("", &["anna@x.test", "bert@x.test", "carl@x.test"][..]),
        ("?status=active", &["anna@x.test", "carl@x.test"]),
        ("?status=preserved", &["bert@x.test"]),
        ("?filter=title+eq+%22carl%22", &["carl@x.test"]),
        (
            "?filter=name.familyName+eq+%22lee%22&status=active",
            &["anna@x.test", "carl@x.test"],
        ),
        ("?filter=active+eq+false", &["bert@x.test"]),
    ] {
        let mut found = Vec::new();
        let mut next = String::new();
        loop {
            let joint = if query.is_empty() { "?" } else { "&" };
            let page = admin
                .get(&format!("/accounts{query}{joint}limit=1{next}"))
                .await
                .expect(200)
                .json;
            let items = page["items"].as_array().unwrap().iter();
            found.extend(items.map(|item| item["email"].as_str().unwrap().to_owned()));
            match page["next"].as_str() {
                Some(cursor) => next = format!("&cursor={cursor}"),
                None => break,
            }
        }
        assert_eq!(found, emails, "{query}");
    }
    let report = admin.get("/reports/preserved").await.expect(200).json;
    assert_eq!(report["items"].as_array().unwrap().len(), 1);
    assert_eq!(report["items"][0]["mode"], "admin");
    assert!(
        report["items"][0]["by_whom"]
            .as_str()
            .unwrap()
            .starts_with("token:")
    );
}

#[tokio::test]
async fn the_audit_is_read_behind_a_row() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    for number in 0..5 {
        let storage = json!({"name": format!("s{number}")});
        admin.call("POST", "/storages", storage).await.expect(201);
    }
    let sql = "SELECT seq FROM audit ORDER BY seq";
    let written: Vec<_> = app
        .rows(sql, [])
        .iter()
        .map(|row| row["seq"].as_i64().unwrap())
        .collect();
    let mut read = Vec::new();
    let mut after = "0".to_owned();
    loop {
        let page = admin
            .get(&format!("/audit?after={after}&limit=3"))
            .await
            .expect(200)
            .json;
        let rows = page["items"].as_array().unwrap();
        read.extend(rows.iter().map(|row| row["seq"].as_i64().unwrap()));
        match page["next"].as_str() {
            Some(next) => after = next.to_owned(),
            None => break,
        }
    }
    assert_eq!(read, written);
    let last = written.last().unwrap();
    let end = admin
        .get(&format!("/audit?after={last}"))
        .await
        .expect(200)
        .json;
    assert_eq!(end, json!({"items": [], "next": null}));
    let row = admin.get(&format!("/audit?after={}", last - 1)).await.json["items"][0].take();
    assert_eq!(
        (&row["action"], &row["status"]),
        (&json!("storage.add"), &json!(201))
    );
    assert_eq!(
        (&row["source"], &row["target_name"]),
        (&json!("127.0.0.1"), &json!("s4"))
    );
    assert!(row["actor"].as_str().unwrap().starts_with("token:"));
}

#[tokio::test]
async fn a_page_of_large_items_ends_early() {
    const USERS: usize = 14;
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let start = app.rows("SELECT max(seq) AS seq FROM audit", [])[0]["seq"].to_string();
    for number in 0..USERS {
        let name = "x".repeat(700_000);
        let user = json!({"userName": format!("u{number}@x.test"), "displayName": name});
        app.client.create(user).await.expect(201);
    }
    for (list, place) in [
        ("/accounts?limit=1000", "&cursor="),
        ("/audit?limit=1000", "&after="),
    ] {
        let (mut lengths, mut next) = (Vec::new(), String::new());
        if place == "&after=" {
            next = format!("{place}{start}");
        }
        loop {
            let page = admin.get(&format!("{list}{next}")).await.expect(200).json;
            lengths.push(page["items"].as_array().unwrap().len());
            match page["next"].as_str() {
                Some(cursor) => next = format!("{place}{cursor}"),
                None => break,
            }
        }
        // No more than 8 MiB.
        assert_eq!(lengths, [11, 3], "{list}");
    }
}

#[tokio::test]
async fn the_audit_is_filtered_as_the_command_filters_it() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let create = async |name: &str| {
        let user = json!({"userName": format!("{name}@x.test")});
        app.client.create(user).await
    };
    let anna = create("anna").await.expect(201);
    create("ANNA").await.expect(409);
    create("bert").await.expect(201);
    app.cli_json(["user", "preserve", &anna.id()]);
    let of = |column: &str, action: &str| {
        let sql = format!("SELECT {column} AS it FROM audit WHERE action = ?1 LIMIT 1");
        app.row(&sql, [action])["it"].as_str().unwrap().to_owned()
    };
    let (actor, at) = (of("actor", "user.create"), of("at", "account.preserve"));
    let (id, request_id) = (anna.id(), anna.request_id().to_owned());
    for (filter, value) in [
        ("who", &*actor),
        ("whom", "anna@x.test"),
        ("whom", &id),
        ("verdict", "refused"),
        ("action", "user.create"),
        ("since", &at),
        ("until", &at),
        ("since", "1h"),
        ("until", "7d"),
        ("since", "2026-01-31"),
        ("request_id", &request_id),
    ] {
        let option = format!("--{}", filter.replace('_', "-"));
        let listed = app.cli_json(["audit", "list", &option, value]);
        let mut query = form_urlencoded::Serializer::new(String::new());
        let query = query.append_pair(filter, value).finish();
        let (mut rows, mut after) = (Vec::new(), String::new());
        loop {
            let path = format!("/audit?{query}&limit=2{after}");
            let part = admin.get(&path).await.expect(200).json;
            rows.extend(part["items"].as_array().unwrap().clone());
            match part["next"].as_str() {
                Some(next) => after = format!("&after={next}"),
                None => break,
            }
        }
        assert_eq!(json!(rows), listed, "{filter}={value}");
    }
    for query in [
        "verdict=good",
        "since=yesterday",
        "since=7w",
        "until=",
        "wait=x",
        "wait=-1",
        "who=a&who=b",
        "whose=x",
    ] {
        admin.get(&format!("/audit?{query}")).await.expect(400);
    }
}

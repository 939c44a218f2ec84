//! Groups beside what the corpus tells: what a user's read-only `groups` shows after every change, and the audit rows
//! of changes to members (C-90 to C-109, RFC 7643 §4.1.2).

use serde_json::{Value, json};

use crate::app::TestApp;

const NOBODY: &str = "7d420df3-9995-4831-a406-ecf8166f5f6a";

/// Creates a user and tells its id.
pub async fn user(app: &TestApp, name: &str) -> String {
    let body = json!({"userName": format!("{name}@x.test"), "externalId": name});
    let made = app.client.scim("POST", "/Users", body).await;
    made.expect(201).id()
}

/// Creates a group with these members and tells its id.
pub async fn group(app: &TestApp, name: &str, members: &[&str]) -> String {
    let body = json!({"displayName": name, "members": members});
    let made = app.client.scim("POST", "/Groups", body).await;
    made.expect(201).id()
}

async fn patch(app: &TestApp, group: &str, operations: Value) -> String {
    let body = json!({"Operations": operations});
    let path = format!("/Groups/{group}");
    let answer = app.client.scim("PATCH", &path, body).await.expect(204);
    answer.header("x-request-id").to_owned()
}

/// Adds a member and tells the request's id.
pub async fn add(app: &TestApp, group: &str, member: &str) -> String {
    let value = json!([{"value": member}]);
    patch(
        app,
        group,
        json!([{"op": "Add", "path": "members", "value": value}]),
    )
    .await
}

/// Removes a member and tells the request's id.
pub async fn remove(app: &TestApp, group: &str, member: &str) -> String {
    let value = json!([{"value": member}]);
    patch(
        app,
        group,
        json!([{"op": "Remove", "path": "members", "value": value}]),
    )
    .await
}

/// The groups that a user shows, as `name type`, and its entity tag. The filter on `groups` has to say the same.
pub async fn groups_of(app: &TestApp, user: &str) -> (Vec<String>, String) {
    let read = app.client.get(&format!("/Users/{user}")).await.expect(200);
    assert_eq!(read.header("etag"), read.json["meta"]["version"]);
    let groups = read.json["groups"].as_array().cloned().unwrap_or_default();
    for group in &groups {
        let id = group["value"].as_str().unwrap();
        let filter = format!("groups eq \"{id}\" and id eq \"{user}\"");
        assert_eq!(app.client.find(&filter).await.total(), 1, "{group}");
        let location = group["$ref"].as_str().unwrap();
        assert!(
            location.ends_with(&format!("/scim/Groups/{id}")),
            "{location}"
        );
    }
    let shown = groups.iter().map(|group| {
        let text = |name: &str| group[name].as_str().unwrap();
        format!("{} {}", text("display"), text("type"))
    });
    (shown.collect(), read.header("etag").to_owned())
}

/// Asserts the groups that a user shows and that its entity tag is another than `before`; tells the new one.
async fn shows(app: &TestApp, user: &str, expected: &[&str], before: &str) -> String {
    let (groups, etag) = groups_of(app, user).await;
    assert_eq!(groups, expected);
    assert_ne!(etag, before, "{groups:?}");
    etag
}

#[tokio::test]
async fn a_user_tells_its_groups_after_every_change() {
    let app = TestApp::start();
    let anna = user(&app, "anna").await;
    let bert = user(&app, "bert").await;
    let (groups, etag) = groups_of(&app, &anna).await;
    assert_eq!(groups, [""; 0]);

    let crew = group(&app, "Crew", &[&anna, &bert]).await;
    let etag = shows(&app, &anna, &["Crew direct"], &etag).await;
    let all = group(&app, "All", &[&crew]).await;
    let etag = shows(&app, &anna, &["Crew direct", "All indirect"], &etag).await;
    let world = group(&app, "World", &[]).await;
    add(&app, &world, &all).await;
    let three = ["Crew direct", "All indirect", "World indirect"];
    let etag = shows(&app, &anna, &three, &etag).await;
    shows(&app, &bert, &three, "").await;

    // What is direct is so, whatever else leads to the group.
    add(&app, &all, &anna).await;
    let etag = shows(
        &app,
        &anna,
        &["Crew direct", "All direct", "World indirect"],
        &etag,
    )
    .await;
    remove(&app, &all, &anna).await;
    let etag = shows(&app, &anna, &three, &etag).await;

    let rename = json!([{"op": "replace", "value": {"displayName": "Everybody"}}]);
    patch(&app, &all, rename).await;
    let etag = shows(
        &app,
        &anna,
        &["Crew direct", "Everybody indirect", "World indirect"],
        &etag,
    )
    .await;

    remove(&app, &all, &crew).await;
    let etag = shows(&app, &anna, &["Crew direct"], &etag).await;
    let put = json!({"displayName": "Everybody", "members": [{"value": crew}]});
    let path = format!("/Groups/{all}");
    app.client.scim("PUT", &path, put).await.expect(200);
    let etag = shows(
        &app,
        &anna,
        &["Crew direct", "Everybody indirect", "World indirect"],
        &etag,
    )
    .await;

    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    gone.expect(204);
    let etag = shows(&app, &anna, &["Crew direct"], &etag).await;
    let read = app.client.get(&format!("/Groups/{world}")).await;
    assert_eq!(read.json["members"], json!([]));

    remove(&app, &crew, &anna).await;
    shows(&app, &anna, &[], &etag).await;
    shows(&app, &bert, &["Crew direct"], "").await;
}

#[tokio::test]
async fn groups_in_a_circle_are_told_once() {
    let app = TestApp::start();
    let anna = user(&app, "anna").await;
    let a = group(&app, "A", &[&anna]).await;
    let b = group(&app, "B", &[&a]).await;
    let c = group(&app, "C", &[&b]).await;
    let (_, etag) = groups_of(&app, &anna).await;
    add(&app, &a, &c).await;
    // A leads to itself by way of the others, and holds the user all the same.
    let circle = ["A direct", "B indirect", "C indirect"];
    assert_eq!(
        groups_of(&app, &anna).await,
        (circle.map(str::to_owned).to_vec(), etag)
    );
    add(&app, &a, &a).await;
    assert_eq!(groups_of(&app, &anna).await.0, circle);
    let bert = user(&app, "bert").await;
    add(&app, &c, &bert).await;
    let around = ["A indirect", "B indirect", "C direct"];
    assert_eq!(groups_of(&app, &bert).await.0, around);
    for id in [&a, &b, &c] {
        let found = app.client.find(&format!("groups eq \"{id}\"")).await;
        assert_eq!(found.total(), 2);
    }
    let path = format!("/Groups/{b}");
    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    gone.expect(204);
    assert_eq!(groups_of(&app, &anna).await.0, ["A direct"]);
    assert_eq!(groups_of(&app, &bert).await.0, ["A indirect", "C direct"]);
}

#[tokio::test]
async fn who_is_deleted_leaves_its_groups_for_good() {
    let mut app = TestApp::start();
    let anna = user(&app, "anna").await;
    let bert = user(&app, "bert").await;
    let crew = group(&app, "Crew", &[&anna, &bert]).await;
    let all = group(&app, "All", &[&crew, &anna]).await;
    let version = |read: Value| read["meta"]["version"].as_str().unwrap().to_owned();
    let path = format!("/Groups/{crew}");
    let before = version(app.client.get(&path).await.json);
    let person = format!("/Users/{anna}");
    let gone = app.client.scim("DELETE", &person, Value::Null).await;
    let gone = gone.expect(204);
    let row = audit(&app, gone.header("x-request-id"));
    assert!(
        row.reason.contains("no longer in Crew, All"),
        "{}",
        row.reason
    );
    app.restart();
    let read = app.client.get(&path).await.expect(200).json;
    assert_eq!(read["members"].as_array().unwrap().len(), 1);
    assert_eq!(read["members"][0]["value"], bert.as_str());
    assert_ne!(version(read), before);

    assert_eq!(user(&app, "anna").await, anna, "the same person");
    assert_eq!(groups_of(&app, &anna).await.0, [""; 0]);
    add(&app, &all, &anna).await;
    assert_eq!(groups_of(&app, &anna).await.0, ["All direct"]);
}

/// What the audit says of one request.
pub struct Row {
    action: String,
    target: Option<String>,
    pub verdict: String,
    status: u16,
    reason: String,
    pub changes: Value,
}

/// The one audit row of a request.
pub fn audit(app: &TestApp, request_id: &str) -> Row {
    let db = app.db();
    let mut rows = db
        .prepare(
            "SELECT action, target_id, verdict, status, reason, changes FROM audit WHERE request_id = ?1",
        )
        .unwrap();
    let mut found = rows
        .query_map([request_id], |row| {
            let changes: Option<String> = row.get(5)?;
            Ok(Row {
                action: row.get(0)?,
                target: row.get(1)?,
                verdict: row.get(2)?,
                status: row.get(3)?,
                reason: row.get(4)?,
                changes: changes.map_or(Value::Null, |text| serde_json::from_str(&text).unwrap()),
            })
        })
        .unwrap();
    let row = found.next().expect("an audit row").unwrap();
    assert!(found.next().is_none(), "more than one audit row");
    row
}

#[tokio::test]
async fn the_audit_names_who_came_who_went_and_who_is_nobody() {
    let app = TestApp::start();
    let anna = user(&app, "anna").await;
    let bert = user(&app, "bert").await;
    let body = json!({"displayName": "Crew", "members": [{"value": anna}, {"value": NOBODY}]});
    let made = app.client.scim("POST", "/Groups", body).await.expect(201);
    let crew = made.id();
    let row = audit(&app, made.header("x-request-id"));
    assert_eq!((row.action.as_str(), row.status), ("group.create", 201));
    assert_eq!(row.target.as_deref(), Some(crew.as_str()));
    assert_eq!(row.changes["members"], json!({"new": [anna]}));
    assert!(row.reason.contains(NOBODY), "{}", row.reason);

    let operations = json!([
        {"op": "Add", "path": "members", "value": [{"value": bert}, {"value": NOBODY}]},
        {"op": "Remove", "path": "members", "value": [{"value": anna}]},
        {"op": "Replace", "path": "displayName", "value": "Team"},
    ]);
    let row = audit(&app, &patch(&app, &crew, operations).await);
    assert_eq!((row.action.as_str(), row.status), ("group.patch", 204));
    assert_eq!(row.verdict, "applied");
    assert_eq!(
        row.changes["members"],
        json!({"old": [anna], "new": [bert]})
    );
    assert_eq!(
        row.changes["displayName"],
        json!({"old": "Crew", "new": "Team"})
    );
    assert!(row.reason.contains(NOBODY), "{}", row.reason);

    // Added and removed in one request is no change, and so is what was there already (C-97, C-99).
    let both = json!([
        {"op": "add", "path": "members", "value": [{"value": anna}]},
        {"op": "remove", "path": format!("members[value eq \"{anna}\"]")},
        {"op": "remove", "path": format!("members[value eq \"{bert}\"]")},
        {"op": "add", "path": "members", "value": [{"value": bert}]},
    ]);
    let path = format!("/Groups/{crew}");
    let before = app.client.get(&path).await.json;
    for request_id in [
        patch(&app, &crew, both).await,
        add(&app, &crew, &bert).await,
        remove(&app, &crew, &anna).await,
        remove(&app, &crew, NOBODY).await,
        patch(&app, &crew, json!([])).await,
    ] {
        let row = audit(&app, &request_id);
        assert_eq!(row.verdict, "unchanged");
        assert_eq!(row.changes, Value::Null);
    }
    let row = audit(&app, &add(&app, &crew, NOBODY).await);
    assert_eq!(row.verdict, "unchanged");
    assert!(row.reason.contains(NOBODY), "{}", row.reason);
    assert_eq!(app.client.get(&path).await.json, before);

    let refused = json!({"Operations": [{"op": "remove", "path": "displayName"}]});
    let refused = app.client.scim("PATCH", &path, refused).await.expect(400);
    let row = audit(&app, refused.header("x-request-id"));
    assert_eq!((row.verdict.as_str(), row.status), ("refused", 400));
    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    let row = audit(&app, gone.expect(204).header("x-request-id"));
    assert_eq!(
        (row.action.as_str(), row.verdict.as_str()),
        ("group.delete", "applied")
    );
}

#[tokio::test]
async fn a_group_changes_when_a_member_is_called_otherwise() {
    let app = TestApp::start();
    let anna = user(&app, "anna").await;
    let crew = group(&app, "Crew", &[&anna]).await;
    let all = group(&app, "All", &[&crew]).await;
    let rename = async |path: String, name: &str| {
        let operation = json!({"op": "replace", "path": "displayName", "value": name});
        let body = json!({"Operations": [operation]});
        let path = format!("{path}?attributes=displayName");
        let patched = app.client.scim("PATCH", &path, body).await;
        patched.expect(200);
    };
    // What is shown of the member, and what its entity tag and its time say of the group.
    let look = async |id: &str| {
        let read = app.client.get(&format!("/Groups/{id}")).await.expect(200);
        let display = read.json["members"][0]["display"].as_str().unwrap();
        (display.to_owned(), read.header("etag").to_owned())
    };
    let (_, before) = look(&crew).await;
    rename(format!("/Users/{anna}"), "Anna").await;
    let (display, etag) = look(&crew).await;
    assert_eq!(display, "Anna");
    assert_ne!(etag, before);
    rename(format!("/Users/{anna}"), "Anna").await;
    assert_eq!(look(&crew).await.1, etag);

    let (_, before) = look(&all).await;
    rename(format!("/Groups/{crew}"), "Team").await;
    let (display, etag) = look(&all).await;
    assert_eq!(display, "Team");
    assert_ne!(etag, before);

    // Without a displayName the account's name is shown, which comes from userName here.
    let bert = user(&app, "bert").await;
    let pair = group(&app, "Pair", &[&bert]).await;
    let (_, before) = look(&pair).await;
    let operation = json!({"op": "replace", "path": "userName", "value": "b@x.test"});
    let body = json!({"Operations": [operation]});
    let path = format!("/Users/{bert}");
    app.client.scim("PATCH", &path, body).await.expect(200);
    let (display, etag) = look(&pair).await;
    assert_eq!(display, "b@x.test");
    assert_ne!(etag, before);
}

//! A group of 100,000 members (design §6): one of them comes or goes without the others being read, and whoever leaves
//! `members` out gets a small answer.

use std::path::Path;

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::groups::{add, audit, group, groups_of, remove, user};

/// Users of a large group.
const MANY: i64 = 100_000;

/// Puts a user's copies and a group of them all into a stopped server's file.
fn fill(database: &Path, group: &str) {
    let db = Connection::open(database).unwrap();
    let columns = "username, email, name, upn, status, preserved_by, preserved_at, profile, storage, quota_gb, mapping,
        activation_email, managed_by, scim_visible, legal_hold, created, modified";
    let sql = format!(
        "PRAGMA foreign_keys = ON; BEGIN;
         WITH RECURSIVE number (n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM number WHERE n < {MANY})
         INSERT INTO user (seq, id, resource, user_name_key, username_key, external_id, version, {columns})
         SELECT 1000 + n, printf('user--------------------%012d', 1000 + n),
                '{{\"userName\":\"u' || n || '@x.test\",\"active\":true}}',
                'u' || n || '@x.test', 'u' || n || '@x.test', NULL, 1, {columns}
         FROM number CROSS JOIN user WHERE user.external_id = 'anna';
         INSERT INTO group_user (\"group\", user)
         SELECT \"group\".seq, user.seq FROM \"group\" CROSS JOIN user
         WHERE \"group\".id = '{group}' AND user.external_id IS NULL;
         COMMIT;"
    );
    db.execute_batch(&sql).unwrap();
}

/// The id of such a user.
fn id(number: i64) -> String {
    format!("user--------------------{:012}", 1000 + number)
}

#[tokio::test]
async fn a_group_of_100_000_is_changed_by_one_member() {
    let mut app = TestApp::start();
    let anna = user(&app, "anna").await;
    let crew = group(&app, "Crew", &[]).await;
    app.stop();
    fill(&app.database(), &crew);
    app.resume();
    let path = format!("/Groups/{crew}");
    let counted = || {
        let sql = "SELECT count(*) FROM group_user";
        app.db()
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(counted(), MANY);

    assert_eq!(
        audit(&app, &add(&app, &crew, &anna).await).verdict,
        "applied"
    );
    assert_eq!(counted(), MANY + 1);
    let row = audit(&app, &remove(&app, &crew, &id(7)).await);
    assert_eq!(row.changes, json!({"members": {"old": [id(7)]}}));
    assert_eq!(counted(), MANY);
    assert_eq!(
        audit(&app, &add(&app, &crew, &id(8)).await).verdict,
        "unchanged"
    );
    assert_eq!(groups_of(&app, &id(8)).await.0, ["Crew direct"]);
    assert_eq!(groups_of(&app, &id(7)).await.0, [""; 0]);

    let small = |json: &Value| assert!(json.to_string().len() < 1000, "more than was asked for");
    for query in ["excludedAttributes=members", "attributes=displayName"] {
        let read = app.client.get(&format!("{path}?{query}")).await.expect(200);
        assert_eq!(read.json["members"], Value::Null);
        small(&read.json);
        let list = format!("/Groups?filter=displayName+eq+%22Crew%22&{query}");
        let list = app.client.get(&list).await.expect(200);
        assert_eq!(list.total(), 1);
        small(&list.json);
    }
    let checked =
        format!("/Groups?filter=id+eq+%22{crew}%22+and+members+eq+%22{anna}%22&attributes=id");
    let checked = app.client.get(&checked).await.expect(200);
    assert_eq!(checked.total(), 1);
    small(&checked.json);

    let read = app.client.get(&path).await.expect(200);
    assert_eq!(read.json["members"].as_array().unwrap().len() as i64, MANY);
    let gone = app.client.scim("DELETE", &path, Value::Null).await;
    gone.expect(204);
    assert_eq!(counted(), 0);
    assert_eq!(groups_of(&app, &anna).await.0, [""; 0]);
}

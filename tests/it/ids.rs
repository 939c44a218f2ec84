//! Ids end in the number of a row, which finds it; all of an id has to be right all the same.

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::groups::{add, audit, group, user};

#[tokio::test]
async fn an_id_with_the_row_of_another_finds_nothing() {
    let app = TestApp::start();
    let anna = user(&app, "anna").await;
    let crew = group(&app, "Crew", &[]).await;
    let near = |id: &str| match id.strip_prefix('0') {
        Some(rest) => format!("f{rest}"),
        None => format!("0{}", &id[1..]),
    };
    let (whole, upper) = (format!("{anna}0"), anna.to_uppercase());
    for id in [&near(&anna), &anna[24..], &anna[..35], &whole, &upper] {
        let path = format!("/Users/{id}");
        let patch = json!({"Operations": [{"op": "replace", "path": "title", "value": "x"}]});
        app.client.get(&path).await.expect(404);
        app.client.scim("PATCH", &path, patch).await.expect(404);
        app.client
            .scim("DELETE", &path, Value::Null)
            .await
            .expect(404);
        let found = app.client.find(&format!("id eq \"{id}\"")).await;
        assert_eq!(found.total(), 0, "{id}");
        let row = audit(&app, &add(&app, &crew, id).await);
        assert_eq!(row.verdict, "unchanged", "{id}");
        let held = app.cli(["user", "hold", id]);
        let said = String::from_utf8(held.stderr).unwrap();
        assert!(said.contains("not found"), "{id}: {said}");
    }
    let group = format!("/Groups/{}", near(&crew));
    app.client.get(&group).await.expect(404);
    app.client
        .scim("DELETE", &group, Value::Null)
        .await
        .expect(404);
    assert_eq!(
        app.client.find(&format!("id eq \"{anna}\"")).await.total(),
        1
    );

    let staff = self::group(&app, "Staff", &[]).await;
    let row = audit(&app, &add(&app, &staff, &near(&crew)).await);
    assert_eq!(row.verdict, "unchanged");

    let db = Connection::open(app.database()).unwrap();
    for table in ["user", "\"group\""] {
        let moved = db.execute(&format!("UPDATE {table} SET id = id || '0'"), []);
        assert!(moved.unwrap_err().to_string().contains("CHECK"), "{table}");
    }
}

#[tokio::test]
async fn a_row_number_that_comes_again_makes_another_id() {
    let app = TestApp::start();
    let first = group(&app, "Crew", &[]).await;
    let path = format!("/Groups/{first}");
    app.client
        .scim("DELETE", &path, Value::Null)
        .await
        .expect(204);
    let second = group(&app, "Crew", &[]).await;
    assert_eq!(first[24..], second[24..]);
    assert_ne!(first, second);
    app.client.get(&path).await.expect(404);
    app.client
        .get(&format!("/Groups/{second}"))
        .await
        .expect(200);
}

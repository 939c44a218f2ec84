//! What the audit says of each mutating request: one row with what was asked, on whom, what came of it and what changed,
//! and never a value that is not stored (design §3.12, §8).

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Client};

const CUSTOM: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Value of everything that is not stored.
const CANARY: &str = "canary-4b07";

/// The highest number in the audit.
fn last(app: &TestApp) -> i64 {
    let row = app.row("SELECT max(seq) AS seq FROM audit", []);
    row["seq"].as_i64().unwrap()
}

/// The answer to a request and the one audit row that it has to leave, checked for what every row has.
async fn audited(app: &TestApp, client: &Client, request: (&str, &str, &[u8])) -> (Answer, Value) {
    let (method, path, body) = request;
    let before = last(app);
    let body = (!body.is_empty()).then(|| body.to_vec());
    let answer = client.send(method, path, &[], body).await.unwrap();
    assert_eq!(
        last(app),
        before + 1,
        "{method} {path} -> {}",
        answer.status
    );
    let row = app.audited(answer.request_id());
    assert_eq!(row["seq"], before + 1);
    assert_eq!(row["status"], answer.status, "{row}");
    assert_eq!(row["source"], "127.0.0.1");
    assert!(
        row["at"]
            .as_str()
            .unwrap()
            .parse::<jiff::Timestamp>()
            .is_ok()
    );
    let verdict = row["verdict"].as_str().unwrap();
    assert_eq!(verdict == "refused", answer.status >= 400, "{row}");
    if answer.status >= 400 {
        let scim_type = answer.json.get("scimType").unwrap_or(&Value::Null);
        assert_eq!(&row["scim_type"], scim_type);
        assert_eq!(row["changes"], Value::Null);
        let reason = row["reason"].as_str().unwrap();
        assert!(reason.contains(answer.detail()), "{reason}");
    }
    assert!(!row.to_string().contains(CANARY), "{row}");
    (answer, row)
}

/// The same of a JSON body below `/scim`, with the provision token.
async fn written(app: &TestApp, method: &str, path: &str, body: Value) -> (Answer, Value) {
    let body = match body {
        Value::Null => Vec::new(),
        body => body.to_string().into_bytes(),
    };
    audited(app, &app.client, (method, &format!("/scim{path}"), &body)).await
}

/// Asserts what a row says was asked, and on whom; null for nobody.
#[track_caller]
fn about(row: &Value, action: &str, target_id: impl Into<Value>) {
    assert_eq!(row["action"], action, "{row}");
    assert_eq!(row["target_id"], target_id.into(), "{row}");
    let target_type = match action.split_once('.') {
        Some(("user", _)) => json!("User"),
        Some(("group", _)) => json!("Group"),
        _ => Value::Null,
    };
    assert_eq!(row["target_type"], target_type, "{row}");
}

#[tokio::test]
async fn a_change_has_one_row_with_old_and_new() {
    let app = TestApp::start();
    let user = json!({
        "userName": "anna@example.test", "title": "Captain", "company": CANARY,
        (ENTERPRISE): {"department": "Sales"}, (CUSTOM): {"city": CANARY},
    });
    let (made, row) = written(&app, "POST", "/Users", user).await;
    let id = made.expect(201).id();
    let path = format!("/Users/{id}");
    about(&row, "user.create", id.as_str());
    assert_eq!(row["target_name"], "anna@example.test");
    assert_eq!(row["verdict"], "applied");
    assert!(row["actor"].as_str().unwrap().contains("entra"), "{row}");
    assert_eq!(
        row["changes"],
        json!({
            "userName": {"new": "anna@example.test"}, "title": {"new": "Captain"}, "active": {"new": true},
            (format!("{ENTERPRISE}:department")): {"new": "Sales"},
        })
    );
    assert_eq!(row["decision"]["mapping"], "Default");
    assert_eq!(row["decision"]["tried"][0]["matched"], true);
    let reason = row["reason"].as_str().unwrap();
    for name in ["company".to_owned(), format!("{CUSTOM}:city")] {
        assert!(reason.contains(&name), "{name} in {reason}");
    }

    let patch = json!({"Operations": [
        {"op": "replace", "path": "title", "value": "Major"},
        {"op": "add", "path": "nickName", "value": "Annie"},
        {"op": "remove", "path": format!("{ENTERPRISE}:department")},
        {"op": "add", "path": format!("{CUSTOM}:city"), "value": CANARY},
        {"op": "add", "path": "emails[type eq \"work\"].comment", "value": CANARY},
    ]});
    let (answer, row) = written(&app, "PATCH", &path, patch.clone()).await;
    answer.expect(200);
    about(&row, "user.patch", id.as_str());
    assert_eq!(
        (&row["verdict"], &row["target_name"]),
        (&json!("applied"), &json!("anna@example.test"))
    );
    assert_eq!(
        row["changes"],
        json!({
            "title": {"old": "Captain", "new": "Major"},
            "nickName": {"new": "Annie"},
            (format!("{ENTERPRISE}:department")): {"old": "Sales"},
        })
    );
    assert_eq!(row["decision"], Value::Null, "no later write is classified");

    let before = app.client.get(&path).await.json;
    let (answer, row) = written(&app, "PATCH", &path, patch).await;
    assert_eq!(answer.expect(200).json, before, "meta too");
    about(&row, "user.patch", id.as_str());
    assert_eq!(
        (&row["verdict"], &row["changes"]),
        (&json!("unchanged"), &Value::Null)
    );

    let put = json!({"userName": "anna@other.test", "title": "Major", "company": CANARY});
    let (answer, row) = written(&app, "PUT", &path, put).await;
    answer.expect(200);
    about(&row, "user.replace", id.as_str());
    assert_eq!(
        row["changes"],
        json!({
            "userName": {"old": "anna@example.test", "new": "anna@other.test"},
            "nickName": {"old": "Annie"},
        })
    );
    let (answer, row) = written(&app, "DELETE", &path, Value::Null).await;
    answer.expect(204);
    about(&row, "user.delete", id.as_str());
    assert_eq!(
        (&row["verdict"], &row["target_name"]),
        (&json!("applied"), &json!("anna@other.test"))
    );
    assert_eq!(
        row["changes"],
        json!({"active": {"old": true, "new": false}})
    );
}

#[tokio::test]
async fn a_refused_request_has_one_row_that_says_what_was_asked() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    let id = app.client.create(user.clone()).await.expect(201).id();
    let path = format!("/Users/{id}");
    let operations = |path: &str| {
        json!({"Operations": [
            {"op": "replace", "path": "company", "value": CANARY},
            {"op": "replace", "path": path, "value": CANARY},
        ]})
    };
    let mut double = user.clone();
    double["company"] = CANARY.into();
    for (method, path, body, status, scim_type, action, target) in [
        (
            "POST",
            "/Users",
            json!({"company": CANARY}),
            400,
            Some("invalidValue"),
            "user.create",
            None,
        ),
        (
            "POST",
            "/Users",
            json!([CANARY]),
            400,
            Some("invalidSyntax"),
            "user.create",
            None,
        ),
        (
            "POST",
            "/Users",
            double.clone(),
            409,
            Some("uniqueness"),
            "user.create",
            None,
        ),
        (
            "POST",
            "/Users",
            json!({"userName": {"x": CANARY}}),
            400,
            Some("invalidValue"),
            "user.create",
            None,
        ),
        (
            "PUT",
            &path,
            json!({"company": CANARY}),
            400,
            Some("invalidValue"),
            "user.replace",
            Some(&*id),
        ),
        (
            "PATCH",
            &path,
            operations("emails["),
            400,
            Some("invalidFilter"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            operations("emails[type eq \"x\"]y"),
            400,
            Some("invalidPath"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            operations(&format!("company[x eq \"{CANARY}\" or]")),
            400,
            Some("invalidFilter"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            operations(&format!("title[x eq \"{CANARY}\"]")),
            400,
            Some("invalidPath"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            operations(&format!("{CUSTOM}:x]y {CANARY}")),
            400,
            Some("invalidPath"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            operations("id"),
            400,
            Some("mutability"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            json!({"Operations": [{"op": CANARY}]}),
            400,
            Some("invalidSyntax"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            &path,
            json!({"Operations": [{"op": "remove"}]}),
            400,
            Some("noTarget"),
            "user.patch",
            Some(&id),
        ),
        (
            "PATCH",
            "/Users/nobody",
            operations("title"),
            404,
            None,
            "user.patch",
            Some("nobody"),
        ),
        (
            "PUT",
            "/Users/nobody",
            user.clone(),
            404,
            None,
            "user.replace",
            Some("nobody"),
        ),
        (
            "DELETE",
            "/Users/nobody",
            Value::Null,
            404,
            None,
            "user.delete",
            Some("nobody"),
        ),
        (
            "DELETE",
            "/Groups/nothing",
            Value::Null,
            404,
            None,
            "group.delete",
            Some("nothing"),
        ),
        ("POST", "/Nothing", user.clone(), 404, None, "request", None),
        (
            "PATCH",
            "/Users",
            operations("title"),
            405,
            None,
            "user.patch",
            None,
        ),
        (
            "DELETE",
            "/Users",
            Value::Null,
            405,
            None,
            "user.delete",
            None,
        ),
        (
            "POST",
            &path,
            user.clone(),
            405,
            None,
            "user.create",
            Some(&id),
        ),
        (
            "DELETE",
            "/Schemas",
            Value::Null,
            405,
            None,
            "request",
            None,
        ),
    ] {
        let (answer, row) = written(&app, method, path, body).await;
        assert_eq!(answer.status, status, "{method} {path} {row}");
        assert_eq!(row["scim_type"], json!(scim_type), "{method} {path} {row}");
        about(&row, action, json!(target));
        if action == "request" {
            let asked = format!("{method} /scim{path}");
            assert!(row["reason"].as_str().unwrap().contains(&asked), "{row}");
        }
    }

    let large = json!({"userName": "a@x.test", "company": CANARY.repeat(200_000)}).to_string();
    let broken = format!("{{\"userName\": \"a@x.test\", \"company\": \"{CANARY}\",}}");
    let long = format!("/scim/Users/{}", "x".repeat(9000));
    let here = format!("/scim{path}");
    for (method, path, body, status, action, target) in [
        ("POST", "/scim/Users", &large, 413, "user.create", None),
        ("PATCH", &here, &large, 413, "user.patch", Some(&*id)),
        ("POST", "/scim/Users", &broken, 400, "user.create", None),
        ("PUT", &here, &broken, 400, "user.replace", Some(&*id)),
    ] {
        let (answer, row) = audited(&app, &app.client, (method, path, body.as_bytes())).await;
        assert_eq!(answer.status, status);
        about(&row, action, json!(target));
    }
    let (answer, row) = audited(&app, &app.client, ("DELETE", &long, b"")).await;
    assert_eq!(
        (answer.status, &row["action"]),
        (414, &json!("user.delete"))
    );

    let reader = app.cli_json(["token", "create", "looker", "--scope", "read"]);
    let reader = app.client.with_token(reader["token"].as_str().unwrap());
    let (answer, row) = audited(&app, &reader, ("PATCH", &here, b"{}")).await;
    assert_eq!(answer.status, 403);
    about(&row, "user.patch", id.as_str());
    assert!(row["actor"].as_str().unwrap().contains("looker"), "{row}");

    let before = last(&app);
    let stale = [("if-match", "W/\"999\"")];
    let body = operations("title").to_string().into_bytes();
    let answer = app
        .client
        .send("PATCH", &here, &stale, Some(body))
        .await
        .unwrap();
    let row = app.audited(answer.expect(412).request_id());
    about(&row, "user.patch", id.as_str());
    assert_eq!(
        (&row["verdict"], &row["target_name"]),
        (&json!("refused"), &json!("anna@example.test"))
    );
    assert_eq!(last(&app), before + 1);

    // What only reads leaves no row, refused or not.
    app.client.get("/Users").await.expect(200);
    app.client.get("/Users/nobody").await.expect(404);
    app.client.get("/Users?filter=x+y").await.expect(400);
    let search = json!({"filter": "title eq \"x\""});
    app.client
        .scim("POST", "/Users/.search", search)
        .await
        .expect(200);
    assert_eq!(last(&app), before + 1);
    assert!(!app.stderr().contains(CANARY));
}

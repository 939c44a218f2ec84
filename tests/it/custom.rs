//! The values of custom attributes serve the mappings and are gone (design §3.4): whichever way they come in, they are
//! in no file, no log and no answer. `userPrincipalName` is the one that stays.

use serde_json::{Value, json};

use crate::app::TestApp;

const URN: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
const OTHER: &str = "urn:ietf:params:scim:schemas:extension:contoso:2.0:User";

/// Value in all dropped attributes; each has a number behind it.
const CANARY: &str = "canary-8d1f";

/// The files of the data directory in which a text occurs.
fn holding(app: &TestApp, text: &str) -> Vec<String> {
    app.files()
        .into_iter()
        .filter(|(_, content)| {
            content
                .windows(text.len())
                .any(|window| window == text.as_bytes())
        })
        .map(|(path, _)| path.display().to_string())
        .collect()
}

/// The tables in which a text occurs: a row may lie in the file in pieces.
fn tables_holding(app: &TestApp, text: &str) -> Vec<String> {
    let db = app.db();
    let names = "SELECT name FROM sqlite_schema WHERE type = 'table'";
    let mut names = db.prepare(names).unwrap();
    let names: Vec<String> = names
        .query_map([], |row| row.get(0))
        .unwrap()
        .map(Result::unwrap)
        .collect();
    let holds = |table: &String| {
        let mut rows = db.prepare(&format!("SELECT * FROM \"{table}\"")).unwrap();
        let columns = rows.column_count();
        let mut rows = rows.query([]).unwrap();
        let mut found = false;
        while let Some(row) = rows.next().unwrap() {
            let held = |column| {
                let value = row.get_ref(column).unwrap();
                value
                    .as_str_or_null()
                    .is_ok_and(|value| value.is_some_and(|value| value.contains(text)))
            };
            found |= (0..columns).any(held);
        }
        found
    };
    assert!(names.contains(&"audit".to_owned()));
    names.into_iter().filter(holds).collect()
}

/// A server that logs all that it can.
fn start() -> TestApp {
    let mut app = TestApp::start();
    app.stop();
    app.configure("log", "level", "\"trace\"");
    app.resume();
    app
}

#[track_caller]
fn assert_gone(app: &TestApp, answer: &Value) {
    assert!(!answer.to_string().contains(CANARY), "{answer}");
    assert_eq!(holding(app, CANARY), [""; 0]);
    assert_eq!(tables_holding(app, CANARY), [""; 0]);
    assert!(!app.stderr().contains(CANARY), "{}", app.stderr());
}

/// Bodies of a POST with a dropped value, one for each way.
fn bodies() -> Vec<Value> {
    let canary = |number| format!("{CANARY}{number}");
    vec![
        json!({(URN): {"city": canary(1)}}),
        json!({(format!("{URN}:city")): canary(2)}),
        json!({"company": canary(3)}),
        json!({"company": {"nested": [canary(4)]}}),
        json!({(OTHER): {"CustomAttribute": canary(5)}}),
        json!({(format!("{OTHER}:CustomAttribute")): canary(6)}),
        json!({(URN.to_lowercase()): {"City": canary(7)}}),
        json!({"name": {"nickname": canary(8)}}),
        json!({"emails": [{"value": "a@x.test", "comment": canary(9)}]}),
        json!({"password": canary(10)}),
    ]
}

/// PATCH operations with a dropped value.
fn operations() -> Vec<Value> {
    let canary = |number| format!("{CANARY}{number}");
    vec![
        json!({"op": "Add", "path": format!("{URN}:city"), "value": canary(20)}),
        json!({"op": "Replace", "path": URN, "value": {"city": canary(21)}}),
        json!({"op": "replace", "value": {(format!("{URN}:city")): canary(22)}}),
        json!({"op": "replace", "value": {(URN): {"city": canary(23)}}}),
        json!({"op": "add", "path": "company", "value": canary(24)}),
        json!({"op": "add", "value": {"company": canary(25)}}),
        json!({"op": "Add", "path": format!("{OTHER}:CustomAttribute"), "value": canary(26)}),
        json!({"op": "Add", "path": "name.nickname", "value": canary(27)}),
        json!({"op": "Add", "path": "emails[type eq \"work\"].comment", "value": canary(28)}),
        json!({"op": "replace", "path": "password", "value": canary(29)}),
    ]
}

#[tokio::test]
async fn a_value_sent_at_creation_is_nowhere() {
    let mut app = start();
    for (number, mut body) in bodies().into_iter().enumerate() {
        body["userName"] = format!("user{number}@example.test").into();
        let made = app.client.scim("POST", "/Users", body).await.expect(201);
        assert_gone(&app, &made.json);
        let path = format!("/Users/{}", made.id());
        assert_gone(&app, &app.client.get(&path).await.expect(200).json);
    }
    app.stop();
    assert_gone(&app, &Value::Null);
}

#[tokio::test]
async fn a_value_sent_by_put_is_nowhere() {
    let app = start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    let path = format!("/Users/{}", made.id());
    for mut body in bodies() {
        body["userName"] = "anna@example.test".into();
        let put = app.client.scim("PUT", &path, body).await.expect(200);
        assert_gone(&app, &put.json);
    }
}

#[tokio::test]
async fn a_value_sent_by_patch_is_nowhere() {
    let app = start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    let path = format!("/Users/{}", made.id());
    for (number, operation) in operations().into_iter().enumerate() {
        let title = json!({"op": "replace", "path": "title", "value": format!("t{number}")});
        let body = json!({"Operations": [operation, title]});
        let patched = app.client.scim("PATCH", &path, body).await.expect(200);
        assert_eq!(
            patched.json["title"],
            format!("t{number}"),
            "the rest holds"
        );
        assert_gone(&app, &patched.json);
    }
}

#[tokio::test]
async fn a_value_in_a_refused_request_is_nowhere() {
    let app = start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    for mut body in bodies() {
        let nameless = app.client.scim("POST", "/Users", body.clone()).await;
        assert_gone(&app, &nameless.expect_error(400, "invalidValue").json);
        body["userName"] = "anna@example.test".into();
        let double = app.client.scim("POST", "/Users", body).await;
        assert_gone(&app, &double.expect_error(409, "uniqueness").json);
    }
    let path = format!("/Users/{}", made.id());
    for operation in operations() {
        let bad = json!({"op": "replace", "path": "userName", "value": ""});
        let body = json!({"Operations": [operation, bad]});
        let refused = app.client.scim("PATCH", &path, body).await.expect(400);
        assert_gone(&app, &refused.json);
    }
    let broken = format!("{{\"userName\":\"x\",\"company\":\"{CANARY}\",}}").into_bytes();
    let refused = app
        .client
        .send("POST", "/scim/Users", &[], Some(broken))
        .await;
    let refused = refused.unwrap().expect_error(400, "invalidSyntax");
    assert_gone(&app, &refused.json);
}

/// Mappings by filters over dropped attributes, to profile `Seen`; their text holds no whole value.
fn seeing(app: &TestApp) {
    app.cli_json(["profile", "add", "Seen"]);
    for (name, attribute) in [
        ("city", "city".to_owned()),
        ("company", "company".to_owned()),
        ("other", format!("{OTHER}:CustomAttribute")),
    ] {
        let filter = format!("{attribute} sw \"canary\"");
        let target = ["--profile", "Seen", "--storage", "Default"];
        let mapping = ["mapping", "add", name, "--filter", &filter];
        app.cli_json(mapping.into_iter().chain(target));
    }
}

#[tokio::test]
async fn a_mapping_sees_what_nobody_keeps() {
    let app = start();
    seeing(&app);
    // Those whose value stands where the mappings look.
    let seen = [0, 1, 2, 4, 5, 6];
    for (number, mut body) in bodies().into_iter().enumerate() {
        body["userName"] = format!("user{number}@example.test").into();
        let made = app.client.create(body).await.expect(201);
        assert_gone(&app, &made.json);
        let profile = if seen.contains(&number) {
            "Seen"
        } else {
            "Default"
        };
        assert_eq!(app.account(&made.id())["profile"], profile, "body {number}");
    }
    for args in [
        &["user", "export", "--format", "csv"][..],
        &["user", "export", "--format", "json"],
        &["user", "show", "user0@example.test", "--json"],
        &["report", "provisioning", "--format", "csv"],
        &["mapping", "list", "--json"],
    ] {
        let output = app.cli(args.iter().copied());
        assert!(
            output.status.success() && !output.stdout.is_empty(),
            "{args:?}"
        );
        let text = String::from_utf8(output.stdout).unwrap();
        assert!(!text.contains(CANARY), "{text}");
    }
    let backup = app.data().join("scimlite.backup");
    let made = app.cli(["backup", backup.to_str().unwrap()]);
    assert!(made.status.success() && backup.exists());
    assert_gone(&app, &Value::Null);
    assert!(app.stderr().contains("TRACE"), "it logs all that it can");
}

#[tokio::test]
async fn a_value_in_a_creation_that_the_rules_refuse_is_nowhere() {
    let app = start();
    seeing(&app);
    app.cli_json(["mapping", "remove", "Default"]);
    app.cli_json(["profile", "edit", "Seen", "--max-users", "0"]);
    for mut body in bodies() {
        body["userName"] = "anna@example.test".into();
        let refused = app.client.create(body).await;
        assert!([400, 403].contains(&refused.status), "{}", refused.json);
        assert_gone(&app, &refused.json);
    }
    let statuses =
        "SELECT status FROM audit WHERE action = 'user.create' GROUP BY status ORDER BY status";
    assert_eq!(
        app.rows(statuses, []),
        [json!({"status": 400}), json!({"status": 403})]
    );
}

#[tokio::test]
async fn a_value_in_a_bulk_request_or_a_group_is_nowhere() {
    let app = start();
    let user = json!({"userName": "anna@example.test"});
    let anna = app.client.create(user).await.expect(201).id();
    let path = format!("/Users/{anna}");
    let mut bulk = Vec::new();
    for (number, mut body) in bodies().into_iter().enumerate() {
        body["userName"] = format!("user{number}@example.test").into();
        bulk.push(json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": body.clone()}));
        bulk.push(json!({"method": "POST", "path": "/Users", "bulkId": format!("{number}-again"), "data": body.clone()}));
        body["userName"] = "anna@example.test".into();
        bulk.push(json!({"method": "PUT", "path": path, "data": body}));
    }
    for operation in operations() {
        let data = json!({"Operations": [operation]});
        bulk.push(json!({"method": "PATCH", "path": path, "data": data}));
    }
    let answer = app
        .client
        .scim("POST", "/Bulk", json!({"Operations": bulk}))
        .await
        .expect(200);
    assert_gone(&app, &answer.json);
    let statuses: Vec<_> = answer.json["Operations"]
        .as_array()
        .unwrap()
        .iter()
        .collect();
    let counted = |status: &str| {
        statuses
            .iter()
            .filter(|done| done["status"] == status)
            .count()
    };
    let each = bodies().len();
    assert_eq!((counted("201"), counted("409")), (each, each));
    assert_eq!(counted("200"), each + operations().len());

    for (number, mut body) in bodies().into_iter().enumerate() {
        body["displayName"] = format!("Group {number}").into();
        let made = app
            .client
            .scim("POST", "/Groups", body.clone())
            .await
            .expect(201);
        assert_gone(&app, &made.json);
        let path = format!("/Groups/{}", made.id());
        let put = app.client.scim("PUT", &path, body).await.expect(200);
        assert_gone(&app, &put.json);
        for value in [json!({"company": CANARY}), json!({(URN): {"city": CANARY}})] {
            let patch = json!({"Operations": [{"op": "add", "value": value}]});
            let patched = app.client.scim("PATCH", &path, patch).await;
            assert!(patched.status < 300, "{}", patched.json);
            assert_gone(&app, &patched.json);
        }
    }
}

#[tokio::test]
async fn what_the_configuration_keeps_stays_and_the_rest_goes() {
    let mut app = start();
    app.stop();
    app.configure(
        "schema",
        "keep",
        &format!("[\"company\", \"costCentre\", \"{OTHER}\"]"),
    );
    app.resume();
    let made = app
        .client
        .create(json!({
            "userName": "anna@example.test",
            "company": "kept-1",
            "site": format!("{CANARY}1"),
            (URN): {"costCentre": "kept-2", "city": format!("{CANARY}2")},
            (OTHER): {"Any": "kept-3"},
        }))
        .await
        .expect(201);
    assert_gone(&app, &made.json);
    let operation = json!({"op": "add", "path": format!("{OTHER}:More"), "value": "kept-4"});
    app.client
        .patch(&made.id(), json!([operation]))
        .await
        .expect(200);
    let user = app
        .client
        .get(&format!("/Users/{}", made.id()))
        .await
        .expect(200)
        .json;
    assert_eq!(user["company"], "kept-1");
    assert_eq!(user[URN], json!({"costCentre": "kept-2"}));
    assert_eq!(user[OTHER], json!({"Any": "kept-3", "More": "kept-4"}));
    for number in 1..=4 {
        assert!(!holding(&app, &format!("kept-{number}")).is_empty());
    }
    // A name in other letters is the same name; what is left out stays.
    let other = json!({"userName": "anna@example.test", (OTHER): {"any": "kept-5"}});
    let path = format!("/Users/{}", made.id());
    let put = app.client.scim("PUT", &path, other).await.expect(200);
    assert_eq!(put.json[OTHER], json!({"any": "kept-5", "More": "kept-4"}));
    assert_eq!(put.json["company"], "kept-1");
}

#[tokio::test]
async fn the_user_principal_name_stays() {
    let app = start();
    let key = format!("{URN}:userPrincipalName");
    let upn = |number| format!("upn{number}-8d1f@example.test");
    let mut last = Value::Null;
    for (number, mut body) in [
        json!({(URN): {"userPrincipalName": upn(0), "city": "x"}}),
        json!({(key.as_str()): upn(1)}),
    ]
    .into_iter()
    .enumerate()
    {
        body["userName"] = format!("user{number}@example.test").into();
        let made = app.client.scim("POST", "/Users", body).await.expect(201);
        assert_eq!(made.json[URN], json!({"userPrincipalName": upn(number)}));
        last = made.json;
    }
    let path = format!("/Users/{}", last["id"].as_str().unwrap());
    for (number, operation) in [
        json!({"op": "Replace", "path": key, "value": upn(2)}),
        json!({"op": "replace", "value": {(key.as_str()): upn(3)}}),
        json!({"op": "replace", "value": {(URN): {"userPrincipalName": upn(4)}}}),
    ]
    .into_iter()
    .enumerate()
    {
        let body = json!({"Operations": [operation]});
        let patched = app.client.scim("PATCH", &path, body).await.expect(200);
        let expected = upn(number + 2);
        assert_eq!(patched.json[URN]["userPrincipalName"], expected);
        assert!(!holding(&app, &expected).is_empty());
    }
    let filter = format!("{URN}:userPrincipalName eq \"{}\"", upn(4));
    assert_eq!(app.client.find(&filter).await.total(), 1);
}

#[tokio::test]
async fn a_dropped_value_that_looks_like_a_reference_is_nowhere() {
    let app = TestApp::start();
    for data in [
        json!({"userName": "anna@example.test", "company": format!("bulkId:{CANARY}")}),
        json!({"userName": "anna@example.test", (URN): {"city": format!("https://x.test/bulkId:{CANARY}")}}),
    ] {
        let operation = json!({"method": "POST", "path": "/Users", "bulkId": "a", "data": data});
        let body = json!({"Operations": [operation]});
        let answer = app.client.scim("POST", "/Bulk", body).await.expect(200);
        let operation = &answer.json["Operations"][0];
        assert_eq!(operation["status"], "400", "{operation}");
        assert_gone(&app, &answer.json);
    }
}

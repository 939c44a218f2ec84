//! Bulk requests (RFC 7644 §3.7): operations that refer to each other, what fails and what goes on, and one audit row
//! for each.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;

const BULK_REQUEST: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
const BULK_RESPONSE: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

fn post(bulk_id: &str, path: &str, data: Value) -> Value {
    json!({"method": "POST", "path": path, "bulkId": bulk_id, "data": data})
}

fn user(name: &str) -> Value {
    post(
        name,
        "/Users",
        json!({"userName": format!("{name}@example.test")}),
    )
}

fn group(name: &str, members: &[&str]) -> Value {
    let members: Vec<_> = members
        .iter()
        .map(|member| json!({"value": format!("bulkId:{member}")}))
        .collect();
    post(
        name,
        "/Groups",
        json!({"displayName": name, "members": members}),
    )
}

fn delete(path: impl Into<Value>) -> Value {
    json!({"method": "DELETE", "path": path.into()})
}

async fn send(app: &TestApp, operations: &[Value]) -> Answer {
    let body = json!({"schemas": [BULK_REQUEST], "Operations": operations});
    let answer = app.client.scim("POST", "/Bulk", body).await.expect(200);
    assert_eq!(answer.json["schemas"], json!([BULK_RESPONSE]));
    for operation in results(&answer) {
        let status: u16 = operation["status"].as_str().unwrap().parse().unwrap();
        let response = operation.get("response");
        assert_eq!(response.is_some(), status >= 400, "{operation}");
        if let Some(response) = response {
            assert_eq!(response["status"], operation["status"]);
            assert!(response["detail"].is_string(), "{operation}");
        }
        let failed_post = operation["method"] == "POST" && status >= 400;
        assert!(
            operation.get("location").is_none() || !failed_post,
            "{operation}"
        );
    }
    answer
}

fn results(answer: &Answer) -> &[Value] {
    answer.json["Operations"].as_array().unwrap()
}

fn statuses(answer: &Answer) -> Vec<&str> {
    let operations = results(answer).iter();
    operations
        .map(|operation| operation["status"].as_str().unwrap())
        .collect()
}

/// The id at the end of an operation's location.
#[track_caller]
fn id(operation: &Value) -> String {
    let location = operation["location"].as_str().expect("a location");
    location.rsplit('/').next().unwrap().to_owned()
}

/// The resource that an operation made.
async fn read(app: &TestApp, endpoint: &str, operation: &Value) -> Answer {
    let path = format!("/{endpoint}/{}", id(operation));
    app.client.get(&path).await.expect(200)
}

/// Action, status and verdict of the audit rows of one request, in their order.
fn audited(app: &TestApp, answer: &Answer) -> Vec<(String, u16, String)> {
    let db = app.db();
    let sql = "SELECT action, status, verdict FROM audit WHERE request_id = ?1 ORDER BY seq";
    let mut rows = db.prepare(sql).unwrap();
    let rows = rows.query_map([answer.header("x-request-id")], |row| {
        Ok((row.get(0)?, row.get(1)?, row.get(2)?))
    });
    rows.unwrap().map(Result::unwrap).collect()
}

fn row(action: &str, status: u16, verdict: &str) -> (String, u16, String) {
    (action.to_owned(), status, verdict.to_owned())
}

#[tokio::test]
async fn who_refers_to_a_later_operation_keeps_its_turn() {
    let app = TestApp::start();
    let one = app.client.create(json!({"userName": "one@x.test"})).await;
    let one = one.expect(201).id();
    let title = |title: &str| json!({"op": "replace", "path": "title", "value": title});
    let manager =
        json!({"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": "bulkId:boss"});
    let patch = |operations: Value| {
        let data = json!({"Operations": operations});
        json!({"method": "PATCH", "path": format!("/Users/{one}"), "data": data})
    };
    let answer = send(
        &app,
        &[
            patch(json!([manager, title("first")])),
            patch(json!([title("second")])),
            user("boss"),
        ],
    )
    .await;
    assert_eq!(statuses(&answer), ["200", "200", "201"]);
    let user = app.client.get(&format!("/Users/{one}")).await.expect(200);
    assert_eq!(user.json["title"], "second");
    let boss = id(&results(&answer)[2]);
    assert_eq!(user.json[ENTERPRISE]["manager"]["value"], boss);
}

#[tokio::test]
async fn operations_refer_to_each_other_in_any_order() {
    let app = TestApp::start();
    let manager = json!({"Operations": [
        {"op": "add", "path": format!("{ENTERPRISE}:manager"), "value": "bulkId:anna"},
    ]});
    let answer = send(
        &app,
        &[
            group("outer", &["inner"]),
            group("inner", &["anna", "bela"]),
            json!({"method": "patch", "path": "Users/bulkId:bela", "data": manager}),
            user("anna"),
            user("bela"),
            user("cora"),
        ],
    )
    .await;
    assert_eq!(
        statuses(&answer),
        ["201", "201", "200", "201", "201", "201"]
    );
    let results = results(&answer);
    let names: Vec<_> = results
        .iter()
        .map(|result| result["bulkId"].clone())
        .collect();
    assert_eq!(
        names,
        [
            json!("outer"),
            json!("inner"),
            Value::Null,
            json!("anna"),
            json!("bela"),
            json!("cora")
        ]
    );
    assert_eq!(results[2]["method"], "PATCH");
    assert_eq!(results[2]["location"], results[4]["location"]);

    let inner = read(&app, "Groups", &results[1]).await;
    assert_eq!(inner.header("etag"), results[1]["version"]);
    assert_eq!(inner.json["meta"]["location"], results[1]["location"]);
    let mut members: Vec<_> = inner.json["members"]
        .as_array()
        .unwrap()
        .iter()
        .map(|member| member["value"].as_str().unwrap().to_owned())
        .collect();
    members.sort();
    let mut expected = vec![id(&results[3]), id(&results[4])];
    expected.sort();
    assert_eq!(members, expected);
    let outer = read(&app, "Groups", &results[0]).await;
    assert_eq!(outer.json["members"][0]["value"], id(&results[1]).as_str());
    let bela = read(&app, "Users", &results[4]).await;
    assert_eq!(
        bela.json[ENTERPRISE]["manager"]["value"],
        id(&results[3]).as_str()
    );
    let done: Vec<_> = audited(&app, &answer)
        .into_iter()
        .map(|(action, ..)| action)
        .collect();
    assert_eq!(
        done,
        [
            "user.create",
            "user.create",
            "group.create",
            "group.create",
            "user.patch",
            "user.create"
        ],
        "referrers run as soon as they can"
    );
}

#[tokio::test]
async fn what_fails_fails_alone_and_leaves_its_row() {
    let app = TestApp::start();
    let answer = send(
        &app,
        &[
            user("anna"),
            post("same", "/Users", json!({"userName": "ANNA@example.test"})),
            group("staff", &["anna", "same"]),
            post(
                "a",
                "/Groups",
                json!({"displayName": "A", "externalId": "bulkId:b"}),
            ),
            post(
                "b",
                "/Groups",
                json!({"displayName": "B", "externalId": "bulkId:a"}),
            ),
            group("lost", &["nobody"]),
            post("x", "/Nothing", json!({})),
            delete("/Users"),
            delete("/Groups/none"),
            json!({"method": "GET", "path": "/Users"}),
            json!({"method": "PUT", "path": "/Users/none"}),
            json!(1),
            user("twin"),
            user("twin"),
            post("y", "/Users", json!({"displayName": "without a name"})),
            user("bela"),
        ],
    )
    .await;
    let expected = [
        ("201", "user.create"),
        ("409", "user.create"),
        ("409", "group.create"),
        ("409", "group.create"),
        ("409", "group.create"),
        ("400", "group.create"),
        ("404", "request"),
        ("405", "user.delete"),
        ("404", "group.delete"),
        ("400", "request"),
        ("400", "user.replace"),
        ("400", "request"),
        ("400", "user.create"),
        ("400", "user.create"),
        ("400", "user.create"),
        ("201", "user.create"),
    ];
    assert_eq!(
        statuses(&answer),
        expected.map(|(status, _)| status),
        "{}",
        answer.json
    );
    // Operation 2 runs after 0 and 1, so everything stands in the order of the request.
    let rows = expected.map(|(status, action)| {
        let verdict = if status == "201" {
            "applied"
        } else {
            "refused"
        };
        row(action, status.parse().unwrap(), verdict)
    });
    assert_eq!(audited(&app, &answer), rows);

    let results = results(&answer);
    let detail = |place: usize| results[place]["response"]["detail"].as_str().unwrap();
    assert_eq!(results[1]["response"]["scimType"], "uniqueness");
    assert!(detail(2).contains("same"), "{}", detail(2));
    assert!(detail(3).contains("circle"), "{}", detail(3));
    assert!(
        detail(5).contains("that no POST of this request has"),
        "{}",
        detail(5)
    );
    let location = results[8]["location"].as_str().unwrap();
    assert!(location.ends_with("/scim/Groups/none"), "{location}");
    assert_eq!(app.client.get("/Users").await.total(), 2);
    assert_eq!(app.client.get("/Groups").await.total(), 0);
}

#[tokio::test]
async fn after_so_many_errors_the_rest_is_left() {
    let app = TestApp::start();
    let expected = ["201", "404", "201", "404"];
    for (limit, attempted) in [(1, 2), (2, 4)] {
        let operations = [
            user(&format!("anna{limit}")),
            delete("/Users/none"),
            user(&format!("bela{limit}")),
            delete("/Groups/none"),
            user(&format!("cora{limit}")),
        ];
        let body = json!({"failOnErrors": limit, "Operations": operations});
        let answer = app.client.scim("POST", "/Bulk", body).await.expect(200);
        assert_eq!(statuses(&answer), expected[..attempted]);
        assert_eq!(audited(&app, &answer).len(), attempted);
    }
    assert_eq!(app.client.get("/Users").await.total(), 3);
}

#[tokio::test]
async fn a_version_that_has_passed_is_412() {
    let app = TestApp::start();
    let made = send(&app, &[user("anna"), group("staff", &["anna"])]).await;
    let [anna, staff] = [0, 1].map(|place| results(&made)[place].clone());
    let patch = |version: &Value, title: &str| {
        let data = json!({"Operations": [{"op": "replace", "path": "externalId", "value": title}]});
        json!({"method": "PATCH", "path": staff["location"], "version": version, "data": data})
    };
    let stale = json!("W/\"0\"");
    let answer = send(
        &app,
        &[
            patch(&stale, "never"),
            patch(&staff["version"], "once"),
            patch(&staff["version"], "never"),
            json!({"method": "DELETE", "path": anna["location"], "version": stale}),
            json!({"method": "DELETE", "path": anna["location"], "version": "*"}),
        ],
    )
    .await;
    assert_eq!(statuses(&answer), ["412", "200", "412", "412", "204"]);
    let results = results(&answer);
    assert_eq!(results[0]["location"], staff["location"]);
    assert_eq!(results[4]["location"], anna["location"]);
    let read = read(&app, "Groups", &staff).await;
    assert_eq!(read.json["externalId"], "once");
    assert_ne!(results[1]["version"], staff["version"]);
}

#[tokio::test]
async fn operations_on_one_resource_keep_their_order() {
    let app = TestApp::start();
    let made = send(&app, &[user("anna")]).await;
    let path = format!("/scim/v2//Users/{}", id(&results(&made)[0]));
    let mut operations: Vec<_> = (0..300)
        .map(|number| {
            let data = json!({"Operations": [
                {"op": "replace", "path": "title", "value": number.to_string()},
            ]});
            json!({"method": "PATCH", "path": path, "data": data})
        })
        .collect();
    operations.push(delete(path));
    operations.push(user("anna"));
    let answer = send(&app, &operations).await;
    assert!(
        statuses(&answer)[..300]
            .iter()
            .all(|status| *status == "200")
    );
    assert_eq!(statuses(&answer)[300..], ["204", "201"]);
    let db = app.db();
    let sql = "SELECT json_extract(changes, '$.title.new') FROM audit
        WHERE action = 'user.patch' ORDER BY seq";
    let mut rows = db.prepare(sql).unwrap();
    let titles = rows.query_map([], |row| row.get::<_, String>(0)).unwrap();
    for (number, title) in titles.enumerate() {
        assert_eq!(title.unwrap(), number.to_string());
    }
}

#[tokio::test]
async fn a_thousand_operations_fit_and_one_more_does_not() {
    let app = TestApp::start();
    let mut operations: Vec<_> = (0..999).map(|number| user(&format!("u{number}"))).collect();
    let members: Vec<_> = (0..999).map(|number| format!("u{number}")).collect();
    let members: Vec<_> = members.iter().map(String::as_str).collect();
    operations.insert(0, group("all", &members));
    let mut one_more = operations.clone();
    one_more.push(user("more"));
    let body = json!({"Operations": one_more});
    let answer = app.client.scim("POST", "/Bulk", body).await;
    assert!(
        answer.json["detail"].as_str().unwrap().contains("1000"),
        "RFC 7644 §3.7.4: it names the limit"
    );
    let answer = answer.expect_error(413, "tooMany");
    assert_eq!(audited(&app, &answer), [row("request", 413, "refused")]);
    assert_eq!(app.client.get("/Users").await.total(), 0);

    let answer = send(&app, &operations).await;
    assert_eq!(statuses(&answer), ["201"; 1000]);
    assert_eq!(audited(&app, &answer).len(), 1000);
    let group = read(&app, "Groups", &results(&answer)[0]).await;
    assert_eq!(group.json["members"].as_array().unwrap().len(), 999);
    let limit = app.client.get("/ServiceProviderConfig").await;
    assert_eq!(limit.json["bulk"]["maxOperations"], 1000);
}

#[tokio::test]
async fn a_body_up_to_four_mebibytes_is_taken() {
    let app = TestApp::start();
    let heavy = |size: usize| {
        let posts = ["a", "b", "c", "d"].map(|name| {
            let data = json!({"userName": name, "title": "x".repeat(size / 4)});
            post(name, "/Users", data)
        });
        json!({"Operations": posts}).to_string().into_bytes()
    };
    const MIB: usize = 1024 * 1024;
    for client in [&app.client, &app.http1] {
        let answer = client.send("POST", "/scim/Bulk", &[], Some(heavy(4 * MIB)));
        answer.await.unwrap().expect_error(413, Value::Null);
    }
    let answer = app
        .client
        .send("POST", "/scim/Bulk", &[], Some(heavy(3 * MIB)));
    let answer = answer.await.unwrap().expect(200);
    assert_eq!(statuses(&answer), ["201"; 4]);
}

#[tokio::test]
async fn what_is_no_bulk_request_is_refused_as_a_whole() {
    let app = TestApp::start();
    for body in [json!([]), json!({}), json!({"Operations": {}})] {
        let answer = app.client.scim("POST", "/Bulk", body).await;
        let answer = answer.expect_error(400, "invalidSyntax");
        assert_eq!(audited(&app, &answer), [row("request", 400, "refused")]);
    }
    assert_eq!(results(&send(&app, &[]).await), [Value::Null; 0]);
    let answer = app.client.get("/Bulk").await;
    answer.expect_error(405, Value::Null);

    let reader = app.cli_json(["token", "create", "reader", "--scope", "read"]);
    for token in [reader["token"].as_str().unwrap(), app.told("admin_token")] {
        let body = json!({"Operations": [user("anna")]});
        let client = app.client.with_token(token);
        let answer = client.scim("POST", "/Bulk", body).await;
        let answer = answer.expect_error(403, Value::Null);
        assert_eq!(audited(&app, &answer), [row("request", 403, "refused")]);
    }
    assert_eq!(app.client.get("/Users").await.total(), 0);
}

/// Whoever holds the database's write lock stops the writer: what it has is made later, and the rest never.
#[tokio::test]
async fn what_there_is_no_time_for_is_not_begun() {
    let mut app = TestApp::start();
    app.stop();
    let config = app.data().join("scimlite.toml");
    let text = std::fs::read_to_string(&config).unwrap();
    let text = text.replace("#request = \"30s\"", "request = \"2s\"");
    std::fs::write(&config, text).unwrap();
    app.resume();
    // The token's own first use is over before the writer stops.
    app.client.get("/Users").await.expect(200);

    let lock = rusqlite::Connection::open(app.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let operations: Vec<_> = (0..200).map(|number| user(&format!("u{number}"))).collect();
    let answer = send(&app, &operations).await;
    assert_eq!(statuses(&answer), ["503"; 200]);
    drop(lock);
    let (begun, left) = results(&answer).split_at(64);
    for (results, said) in [(begun, "may still be done"), (left, "not begun")] {
        for result in results {
            let detail = result["response"]["detail"].as_str().unwrap();
            assert!(detail.contains(said), "{detail}");
        }
    }
    // Behind them in the writer's queue.
    send(&app, &[user("last")]).await;
    assert_eq!(
        audited(&app, &answer),
        vec![row("user.create", 201, "applied"); 64]
    );
    assert_eq!(app.client.get("/Users").await.total(), 65);
}

/// A client that hangs up ends nothing, and neither does the stop that follows: the last row is that of the stop.
#[tokio::test]
async fn a_stop_comes_behind_what_a_client_left_to_the_server() {
    let mut app = TestApp::start();
    let operations: Vec<_> = (0..300).map(|number| user(&format!("u{number}"))).collect();
    let body = json!({"schemas": [BULK_REQUEST], "Operations": operations});
    // Its connections end with it, so that nothing is left to drain.
    let client = app.new_client();
    let sent = tokio::spawn(async move { client.scim("POST", "/Bulk", body).await });
    let ask = |sql: &str| {
        app.db()
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    while ask("SELECT count(*) FROM user") == 0 {
        tokio::time::sleep(std::time::Duration::from_millis(1)).await;
    }
    sent.abort();
    assert!(sent.await.unwrap_err().is_cancelled());
    app.stop();
    let ask = |sql: &str| {
        app.db()
            .query_row(sql, [], |row| row.get::<_, i64>(0))
            .unwrap()
    };
    assert_eq!(ask("SELECT count(*) FROM user"), 300);
    let last = "SELECT action = 'server.stop' FROM audit ORDER BY seq DESC LIMIT 1";
    assert_eq!(ask(last), 1);
}

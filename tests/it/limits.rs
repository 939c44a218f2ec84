//! What is too much, and what is not there, gets the right SCIM error and leaves the server well (design §6).

use serde_json::{Value, json};

use crate::app::TestApp;

const MIB: usize = 1024 * 1024;

/// A user whose body has about `size` bytes.
fn heavy(size: usize) -> Vec<u8> {
    json!({"userName": "anna@example.test", "title": "x".repeat(size)})
        .to_string()
        .into_bytes()
}

/// A user with an unknown attribute of `depth` arrays in one another.
fn deep(depth: usize) -> Vec<u8> {
    let (open, close) = ("[".repeat(depth), "]".repeat(depth));
    format!(r#"{{"userName":"anna@example.test","junk":{open}{close}}}"#).into_bytes()
}

#[tokio::test]
async fn a_body_over_one_mebibyte_is_413() {
    let app = TestApp::start();
    let path = "/scim/Users";
    // Over HTTP/1.1 the answer is lost if the server closes with the rest of the body unread.
    for (client, size) in [
        (&app.client, MIB),
        (&app.client, 4 * MIB),
        (&app.http1, MIB),
    ] {
        let answer = client.send("POST", path, &[], Some(heavy(size))).await;
        answer.unwrap().expect_error(413, Value::Null);
    }
    assert_eq!(app.client.get("/Users").await.total(), 0);
    let just_so = Some(heavy(MIB - 1024));
    let answer = app.client.send("POST", path, &[], just_so).await;
    answer.unwrap().expect(201);
}

#[tokio::test]
async fn a_url_over_8_kib_is_414() {
    let app = TestApp::start();
    for client in [&app.client, &app.http1] {
        let long = format!("/Users?filter=userName+eq+%22{}%22", "x".repeat(8192));
        client.get(&long).await.expect_error(414, Value::Null);
        let short = format!("/Users?filter=userName+eq+%22{}%22", "x".repeat(7000));
        assert_eq!(client.get(&short).await.expect(200).total(), 0);
    }
}

#[tokio::test]
async fn json_deeper_than_64_is_invalid_syntax() {
    let app = TestApp::start();
    for depth in [80, 1000, 100_000] {
        let answer = app
            .client
            .send("POST", "/scim/Users", &[], Some(deep(depth)));
        let answer = answer.await.unwrap();
        answer.expect_error(400, "invalidSyntax");
    }
    let answer = app.client.send("POST", "/scim/Users", &[], Some(deep(50)));
    answer.await.unwrap().expect(201);
}

#[tokio::test]
async fn a_filter_deeper_than_32_or_with_more_than_256_terms_is_invalid() {
    let app = TestApp::start();
    let nested = |depth| format!("{}title pr{}", "(".repeat(depth), ")".repeat(depth));
    let terms = |count| vec!["title pr"; count].join(" or ");
    for filter in [nested(40), nested(2000), terms(300)] {
        let path = format!("/Users?filter={}", filter.replace(' ', "+"));
        let answer = app.client.get(&path).await;
        answer.expect_error(400, "invalidFilter");
    }
    for filter in [nested(20), terms(200)] {
        assert_eq!(app.client.find(&filter).await.total(), 0);
    }
}

#[tokio::test]
async fn a_patch_of_more_than_1000_operations_is_too_many() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    let path = format!("/Users/{}", made.id());
    let patch = |count| {
        let operation = json!({"op": "replace", "path": "title", "value": "x"});
        json!({"Operations": vec![operation; count]})
    };
    let answer = app.client.scim("PATCH", &path, patch(1001)).await;
    answer.expect_error(400, "tooMany");
    let read = app.client.get(&path).await.expect(200);
    assert_eq!(read.json["title"], Value::Null);
    let answer = app.client.scim("PATCH", &path, patch(1000)).await;
    assert_eq!(answer.expect(200).json["title"], "x");
}

#[tokio::test]
async fn what_is_not_there_is_404() {
    let app = TestApp::start();
    for path in ["/scim/Nothing", "/scim/Users/a/b", "/", "/other"] {
        for method in ["GET", "POST"] {
            let body = (method == "POST").then(|| b"{}".to_vec());
            let answer = app.client.send(method, path, &[], body).await.unwrap();
            assert_eq!(answer.status, 404, "{method} {path}");
        }
    }
}

#[tokio::test]
async fn a_method_that_a_route_does_not_take_is_405_and_says_which_it_does() {
    let app = TestApp::start();
    for (method, path, allowed) in [
        ("PATCH", "/Users", &["GET", "POST"][..]),
        ("PUT", "/Users", &["GET", "POST"]),
        ("DELETE", "/Users", &["GET", "POST"]),
        ("POST", "/Users/x", &["GET", "PUT", "PATCH", "DELETE"]),
        ("DELETE", "/Schemas", &["GET"]),
        ("POST", "/ServiceProviderConfig", &["GET"]),
        ("PUT", "/ResourceTypes", &["GET"]),
    ] {
        let answer = app.client.scim(method, path, json!({})).await;
        assert_eq!(answer.status, 405, "{method} {path}");
        let allow: Vec<_> = answer.header("allow").split(", ").collect();
        for method in allowed {
            assert!(allow.contains(method), "{path}: {allow:?}");
        }
    }
}

#[tokio::test]
async fn a_resource_does_not_grow_past_one_mebibyte() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    let user = app.client.scim("POST", "/Users", user).await.expect(201);
    let group = json!({"displayName": "Crew"});
    let group = app.client.scim("POST", "/Groups", group).await.expect(201);
    let patch = async |path: &str, operation: Value| {
        let body = json!({"Operations": [operation]});
        app.client.scim("PATCH", path, body).await
    };
    let path = format!("/Users/{}", user.id());
    let photo = |name: &str, size: usize| {
        let value = json!([{"value": format!("https://x.test/{name}/{}", "x".repeat(size))}]);
        json!({"op": "add", "path": "photos", "value": value})
    };
    patch(&path, photo("a", 600 * 1024)).await.expect(200);
    let refused = patch(&path, photo("b", 600 * 1024)).await;
    refused.expect_error(400, "tooMany");
    let read = app.client.get(&path).await.expect(200).json;
    assert_eq!(read["photos"].as_array().unwrap().len(), 1);

    // To the last byte; whoever leaves is preserved even so.
    let (mut low, mut high) = (0, 600 * 1024);
    while low + 1 < high {
        let middle = (low + high) / 2;
        let value = json!("x".repeat(middle));
        let operation = json!({"op": "replace", "path": "title", "value": value});
        match patch(&path, operation).await.status {
            200 => low = middle,
            _ => high = middle,
        }
    }
    assert!(low > 0);
    let leave = json!({"op": "replace", "path": "active", "value": false});
    patch(&path, leave).await.expect(200);

    let path = format!("/Groups/{}", group.id());
    let name = json!({"op": "replace", "path": "displayName", "value": "x".repeat(MIB - 512)});
    patch(&path, name).await.expect(204);
    let id = json!({"op": "replace", "path": "externalId", "value": "x".repeat(1024)});
    patch(&path, id).await.expect_error(400, "tooMany");
}

#[tokio::test]
async fn a_file_that_may_not_grow_is_503() {
    let app = TestApp::start();
    let made = app.client.create(json!({"userName": "anna@example.test"}));
    let made = made.await.expect(201);
    let pid = rustix::process::Pid::from_raw(app.pid().cast_signed());
    let limit = |current| rustix::process::Rlimit {
        current,
        maximum: None,
    };
    let resource = rustix::process::Resource::Fsize;
    rustix::process::prlimit(pid, resource, limit(Some(64 * 1024))).unwrap();
    let title = "x".repeat(256 * 1024);
    let user = json!({"userName": "bela@example.test", "title": title});
    app.client.create(user.clone()).await.expect(503);
    let path = format!("/Users/{}", made.id());
    app.client.get(&path).await.expect(200);
    rustix::process::prlimit(pid, resource, limit(None)).unwrap();
    app.client.create(user).await.expect(201);
}

//! The portal's "Test Connection", and whom the server lets in (C-01 to C-05, C-79).

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Client;
use crate::{app, raw};

/// What Entra asks for a user that cannot exist, byte for byte, under each matching attribute (C-01, C-03).
const PROBES: [&str; 6] = [
    "/Users?filter=userName+eq+%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
    "/Users?filter=userName%20eq%20%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
    "/Users?filter=externalId+eq+%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
    "/Users?filter=emails%5Btype+eq+%22work%22%5D.value+eq+%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
    "/Users?aadOptscim062020&filter=userName+eq+%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
    "/Groups?excludedAttributes=members&filter=displayName+eq+%227d420df3-9995-4831-a406-ecf8166f5f6a%22",
];

const BASES: [&str; 3] = ["/scim", "/scim/v2", "/insync/scim"];

#[tokio::test]
async fn test_connection_passes_under_each_base_path() {
    let app = TestApp::start();
    for client in [&app.client, &app.http1] {
        for base in BASES {
            for probe in PROBES {
                let path = format!("{base}{probe}");
                let answer = client.send("GET", &path, &[], None).await.unwrap();
                assert_eq!(answer.status, 200, "{path}: {}", answer.json);
                assert_eq!(answer.total(), 0, "{path}");
                assert_eq!(answer.json["Resources"], json!([]), "{path}");
                assert_eq!(answer.json["startIndex"], 1, "{path}");
            }
        }
    }
}

/// The request as logged from Entra: no `Accept`, no content type (C-01).
#[tokio::test]
async fn a_bare_request_is_enough() {
    let app = TestApp::start();
    let (port, token) = (app::port(&app.ready["scim"]), app.told("secret_token"));
    let request = format!(
        "GET /scim/Users?filter=userName+eq+%22x%22 HTTP/1.1\r\nHost: scim.example.test\r\n\
         Authorization: Bearer {token}\r\nConnection: close\r\n\r\n"
    );
    let (head, body) = raw::exchange(port, &app.ca(), &request).await;
    assert!(head.starts_with("http/1.1 200 "), "{head}");
    assert!(
        head.contains("content-type: application/scim+json"),
        "{head}"
    );
    let list: Value = serde_json::from_str(&body).unwrap();
    assert_eq!(list["totalResults"], 0);
}

#[tokio::test]
async fn init_prints_what_the_portal_wants() {
    let app = TestApp::start();
    let ready = app.ready["scim"].as_str().unwrap();
    assert!(ready.ends_with("/scim"), "{ready}");
    assert!(app.told("tenant_url").ends_with("/scim"), "{}", app.init);
    let secrets = app.told("secret_token").len() + app.told("tenant_url").len();
    assert!(secrets < 264, "the portal keeps 1,024 bytes in all (T-24)");
    for key in ["secret_token", "admin_token"] {
        let token = app.told(key);
        assert!(token.starts_with("slt_") && token.len() <= 64, "{token}");
    }
    assert_ne!(app.told("secret_token"), app.told("admin_token"));
}

#[tokio::test]
async fn a_user_is_the_same_under_each_base_path() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    let made = app.client.scim("POST", "/Users", user).await.expect(201);
    let ready = app.ready["scim"].as_str().unwrap();
    let location = format!("{ready}/Users/{}", made.id());
    assert_eq!(made.header("location"), location);
    for base in BASES {
        let path = format!("{base}/Users/{}", made.id());
        let read = app.client.send("GET", &path, &[], None).await.unwrap();
        assert_eq!(read.status, 200, "{path}");
        assert_eq!(read.json["userName"], "anna@example.test");
        assert_eq!(read.json["meta"]["location"], location.as_str());
    }
}

#[tokio::test]
async fn location_never_comes_from_the_host_header() {
    let app = TestApp::start();
    let headers = [("host", "evil.example.test")];
    let body = br#"{"userName":"anna@example.test"}"#.to_vec();
    let made = app.http1.send("POST", "/scim/Users", &headers, Some(body));
    let made = made.await.unwrap().expect(201);
    assert!(!made.header("location").contains("evil"));
    assert!(!made.json.to_string().contains("evil"));
}

/// A 401 as Entra wants it (C-04).
async fn refused(client: &Client, authorization: &str) {
    let headers = [("authorization", authorization)];
    for path in [PROBES[0], PROBES[5], "/Nothing"] {
        let path = format!("/scim{path}");
        let answer = client.send("GET", &path, &headers, None).await.unwrap();
        let answer = answer.expect_error(401, Value::Null);
        let challenge = answer.header("www-authenticate");
        assert!(challenge.starts_with("Bearer"), "`{challenge}`");
        assert!(answer.json["detail"].is_string());
    }
}

#[tokio::test]
async fn whoever_has_no_right_token_gets_401() {
    let app = TestApp::start();
    let token = app.told("secret_token");
    let (start, last) = token.split_at(token.len() - 1);
    let other = if last == "x" { "y" } else { "x" };
    // A JWT, as Entra sends where the portal's field was left blank (C-05).
    let jwt = "Bearer eyJhbGciOiJSUzI1NiJ9.eyJpc3MiOiJodHRwczovL3N0cy53aW5kb3dzLm5ldC8ifQ.c2ln";
    let refusals = [
        String::new(),
        "Bearer".into(),
        "Bearer ".into(),
        "Bearer wrong".into(),
        jwt.into(),
        format!("Bearer {start}{other}"),
        format!("Bearer {start}"),
        format!("Bearer {token}x"),
        format!("Bearer {token} {token}"),
        format!("Bearer {}", token.to_uppercase()),
        format!("Bearer slt_{}", "a".repeat(4000)),
        format!("Basic {token}"),
        format!("Token {token}"),
        token.to_owned(),
    ];
    for authorization in &refusals {
        refused(&app.client, authorization).await;
    }
    let path = format!("/scim/Users?access_token={token}");
    let anonymous = app.client.with_token(None);
    let answer = anonymous.send("GET", &path, &[], None).await.unwrap();
    answer.expect_error(401, Value::Null);
}

#[tokio::test]
async fn the_scheme_may_be_written_in_any_letter_case() {
    let app = TestApp::start();
    for scheme in ["bearer", "BEARER"] {
        let authorization = format!("{scheme} {}", app.told("secret_token"));
        let headers = [("authorization", authorization.as_str())];
        let answer = app.client.send("GET", "/scim/Users", &headers, None).await;
        answer.unwrap().expect(200);
    }
}

#[tokio::test]
async fn a_refused_write_does_nothing() {
    let app = TestApp::start();
    let nobody = app.client.with_token("slt_nobody_nothing");
    let user = json!({"userName": "anna@example.test"});
    nobody.scim("POST", "/Users", user).await.expect(401);
    assert_eq!(app.client.get("/Users").await.total(), 0);
}

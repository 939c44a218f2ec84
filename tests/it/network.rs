//! The limits of the network side, as the configuration sets them, on the real binary: who dawdles is cut off, who waits
//! is served, and what runs out comes back (design §6). The listener's own tests have the finer cases.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio_rustls::client::TlsStream;

use crate::app::{TestApp, port};
use crate::home::Home;
use crate::tls::connect;

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// A server with these keys of `[limits]`.
fn limited(limits: &[(&str, &str)]) -> TestApp {
    let home = Home::new();
    for (key, value) in limits {
        home.configure("limits", key, value);
    }
    TestApp::on(home, |_| {})
}

async fn tls(app: &TestApp) -> TlsStream<TcpStream> {
    let ca = String::from_utf8(app.ca()).unwrap();
    connect(port(&app.ready["scim"]), &[&ca], None)
        .await
        .unwrap()
}

/// What still comes until the server closes, which it must.
async fn until_closed(stream: &mut (impl AsyncReadExt + Unpin)) -> String {
    let mut received = Vec::new();
    let read = stream.read_to_end(&mut received);
    // A connection that is cut, not closed, ends in an error; both are an end.
    let _ = tokio::time::timeout(DEADLINE, read)
        .await
        .expect("the server keeps the connection open");
    String::from_utf8(received).unwrap()
}

fn head(app: &TestApp, line: &str, rest: &str) -> String {
    let token = app.told("secret_token");
    format!("{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\n{rest}\r\n")
}

#[tokio::test]
async fn who_does_not_begin_is_cut_off() {
    let app = limited(&[("handshake", "\"1s\"")]);
    let stream = TcpStream::connect(("127.0.0.1", port(&app.ready["scim"])));
    assert_eq!(until_closed(&mut stream.await.unwrap()).await, "");

    let app = limited(&[("first_byte", "\"1s\"")]);
    assert_eq!(until_closed(&mut tls(&app).await).await, "");

    let app = limited(&[("header", "\"1s\"")]);
    let mut stream = tls(&app).await;
    stream
        .write_all(b"GET /scim/Users HTTP/1.1\r\nHo")
        .await
        .unwrap();
    assert!(!until_closed(&mut stream).await.contains("200 OK"));
}

#[tokio::test]
async fn who_does_not_go_on_is_told_or_cut_off() {
    let app = limited(&[("request", "\"2s\"")]);
    let mut stream = tls(&app).await;
    let request = head(&app, "POST /scim/Users", "Content-Length: 100\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    stream.write_all(b"{\"userName\":").await.unwrap();
    let answer = until_closed(&mut stream).await;
    let (head_of, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head_of.starts_with("HTTP/1.1 408 "), "{answer}");
    let body: Value = serde_json::from_str(body).unwrap();
    assert_eq!(body["status"], "408");
    assert_eq!(app.client.get("/Users").await.total(), 0);

    let app = limited(&[("idle", "\"1s\"")]);
    let mut stream = tls(&app).await;
    let request = head(&app, "GET /scim/Users", "");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

/// The time for the first byte begins with the end of the handshake: who was slow to begin has all of it.
#[tokio::test]
async fn a_slow_handshake_takes_nothing_from_the_first_request() {
    let app = limited(&[("first_byte", "\"4s\""), ("handshake", "\"60s\"")]);
    let address = ("127.0.0.1", port(&app.ready["scim"]));
    let stream = TcpStream::connect(address).await.unwrap();
    tokio::time::sleep(Duration::from_secs(5)).await;
    let ca = String::from_utf8(app.ca()).unwrap();
    let mut stream = crate::tls::over(stream, &[&ca], None).await.unwrap();
    let request = head(&app, "GET /scim/Users", "Connection: close\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let answer = until_closed(&mut stream).await;
    assert!(answer.starts_with("HTTP/1.1 200 "), "{answer}");
}

#[tokio::test]
async fn connections_beyond_the_limit_wait_and_are_served() {
    let app = limited(&[("connections", "2"), ("first_byte", "\"2s\"")]);
    let silent = [tls(&app).await, tls(&app).await];
    // No place is free before the silent ones lose theirs.
    let waiting = (0..6).map(|number| {
        let client = app.new_client();
        let user = json!({"userName": format!("w{number}@example.test")});
        tokio::spawn(async move { client.create(user).await.expect(201) })
    });
    let waiting: Vec<_> = waiting.collect();
    for answer in waiting {
        answer.await.unwrap();
    }
    drop(silent);
}

/// Strangers come and stay, some silent, some after a request without a token: who has a token is served at once, and
/// keeps its connection.
#[tokio::test]
async fn strangers_do_not_keep_out_who_has_a_token() {
    let app = limited(&[("connections", "40"), ("handshake", "\"100s\"")]);
    let mut known = tls(&app).await;
    let request = head(&app, "GET /scim/Users", "");
    known.write_all(request.as_bytes()).await.unwrap();
    assert!(answered(&mut known).await.starts_with("HTTP/1.1 200 "));
    let mut strangers = Vec::new();
    for _ in 0..39 {
        let mut stranger = tls(&app).await;
        let request = b"GET /scim/Users HTTP/1.1\r\nHost: localhost\r\n\r\n";
        stranger.write_all(request).await.unwrap();
        let answer = answered(&mut stranger).await;
        assert!(answer.starts_with("HTTP/1.1 4"), "{answer}");
        strangers.push(stranger);
    }
    let mut silent = Vec::new();
    for _ in 0..20 {
        let stream = TcpStream::connect(("127.0.0.1", port(&app.ready["scim"])));
        silent.push(stream.await.unwrap());
    }
    let client = app.new_client();
    let served = tokio::time::timeout(DEADLINE, client.get("/Users"));
    served.await.expect("nobody makes room").expect(200);
    known.write_all(request.as_bytes()).await.unwrap();
    assert!(answered(&mut known).await.starts_with("HTTP/1.1 200 "));
}

/// Bodies that are announced and do not come, over as many connections as have room for them.
async fn stalled(app: &TestApp, token: &str, line: &str) -> Vec<TlsStream<TcpStream>> {
    let mut held = Vec::new();
    for _ in 0..16 {
        let mut stream = tls(app).await;
        let request = format!(
            "{line} HTTP/1.1\r\nHost: localhost\r\nAuthorization: Bearer {token}\r\nContent-Length: 1048576\r\n\r\n{{"
        );
        stream.write_all(request.as_bytes()).await.unwrap();
        held.push(stream);
    }
    held
}

/// Bodies that do not arrive take room from those of the same token and kind alone.
#[tokio::test]
async fn bodies_that_do_not_come_keep_no_other_token_from_writing() {
    let app = limited(&[("request", "\"600s\"")]);
    let token = |scope: &str| {
        let made = app.cli_json(["token", "create", scope, "--scope", scope]);
        made["token"].as_str().unwrap().to_owned()
    };
    let _searches = stalled(&app, &token("read"), "POST /scim/Users/.search").await;
    let _changes = stalled(&app, &token("provision"), "POST /scim/Users").await;
    // Until they have what room they get.
    tokio::time::sleep(Duration::from_secs(1)).await;
    let written = app.client.create(json!({"userName": "a@x.test"}));
    let written = tokio::time::timeout(DEADLINE, written).await;
    written.expect("no room for a body").expect(201);
}

#[tokio::test]
async fn a_search_over_64_kib_is_413() {
    let app = TestApp::start();
    for (size, status) in [(50 * 1024, 200), (70 * 1024, 413)] {
        let filter = format!("userName eq \"{}\"", "x".repeat(size));
        let body = json!({"filter": filter});
        let answer = app.client.scim("POST", "/Users/.search", body).await;
        answer.expect(status);
    }
}

/// The beginning of the next answer, which is small enough to come at once.
async fn answered(stream: &mut TlsStream<TcpStream>) -> String {
    let mut received = vec![0; 64 * 1024];
    let read = tokio::time::timeout(DEADLINE, stream.read(&mut received));
    let length = read.await.expect("no answer").unwrap();
    String::from_utf8_lossy(&received[..length]).into_owned()
}

#[tokio::test]
async fn one_connection_has_more_requests_than_streams() {
    let app = limited(&[("connections", "1"), ("streams", "2")]);
    app.client.get("/Users").await.expect(200);
    let requests = (0..50).map(|number| {
        let client = app.client.clone();
        let user = json!({"userName": format!("s{number}@example.test")});
        tokio::spawn(async move { client.create(user).await.expect(201) })
    });
    for answer in requests.collect::<Vec<_>>() {
        answer.await.unwrap();
    }
    assert_eq!(app.client.get("/Users").await.total(), 50);
}

/// Also on a system that gives them unasked.
#[test]
fn it_takes_no_huge_pages() {
    let app = TestApp::start();
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.pid())).unwrap();
    assert!(status.contains("\nTHP_enabled:\t0\n"), "{status}");
}

#[tokio::test]
async fn files_that_run_out_come_back() {
    let app = TestApp::start();
    let user = json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);
    let open = std::fs::read_dir(format!("/proc/{}/fd", app.pid()))
        .unwrap()
        .count();
    let limit = std::process::Command::new("prlimit")
        .args([
            format!("--pid={}", app.pid()),
            format!("--nofile={}", open + 3),
        ])
        .status()
        .unwrap();
    assert!(limit.success());
    let mut held = Vec::new();
    for _ in 0..40 {
        let stream = TcpStream::connect(("127.0.0.1", port(&app.ready["scim"])));
        held.push(stream.await.unwrap());
    }
    let cannot = async {
        while !app.stderr().contains("cannot accept a connection") {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    tokio::time::timeout(DEADLINE, cannot).await.unwrap();
    // Who is connected goes on being served.
    app.client.get("/Users").await.expect(200);
    let user = json!({"userName": "bob@example.test"});
    app.client.create(user).await.expect(201);
    drop(held);
    assert_eq!(app.new_client().get("/Users").await.expect(200).total(), 2);
}

//! Versions, ALPN, sizes, and what a client sees of failures.

use super::*;
use rustls::version::{TLS12, TLS13};

#[tokio::test]
async fn both_versions_and_both_protocols() {
    let server = start(patient()).await;
    for version in [&TLS12, &TLS13] {
        for alpn in [&[][..], &[b"http/1.1".as_slice()]] {
            let mut client = server.client(&[version], alpn).await.unwrap();
            assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
            assert_eq!(client.get_ref().1.protocol_version(), Some(version.version));
        }
        let client = server
            .client(&[version], &[b"http/1.1", b"h2"])
            .await
            .unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
    }
    let unknown = server.client(&[&TLS13], &[b"spdy/1"]).await;
    assert!(unknown.is_err());
}

#[tokio::test]
async fn http2_serves_many_requests_on_one_connection() {
    let server = start(Limits {
        connections: 1,
        ..patient()
    })
    .await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(server.ca.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://{}/echo", server.address);
    let send = |number: usize| client.post(&url).body(format!("body {number}")).send();
    // The first opens the connection; with a single place, the others must share it.
    assert_eq!(send(0).await.unwrap().version(), reqwest::Version::HTTP_2);
    let answers: Vec<_> = (0..200).map(|number| tokio::spawn(send(number))).collect();
    for (number, answer) in answers.into_iter().enumerate() {
        let answer = answer.await.unwrap().unwrap();
        assert_eq!(answer.text().await.unwrap(), format!("body {number}"));
    }
}

#[tokio::test]
async fn a_large_body_is_refused_and_the_client_reads_why() {
    let server = start(Limits {
        body_size: 1000,
        ..patient()
    })
    .await;
    // Sent in full before the answer is read: the refusal must survive eight unread megabytes.
    let size = 8 * 1024 * 1024;
    let head = format!("POST / HTTP/1.1\r\nHost: t\r\nContent-Length: {size}\r\n\r\n");
    let mut client = server.http1().await;
    client.write_all(head.as_bytes()).await.unwrap();
    client.write_all(&vec![b'x'; size]).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 413"));
    until_closed(&mut client).await;

    // Without an announced length, the body is counted.
    let mut client = server.http1().await;
    let head = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    let chunk = format!("3e8\r\n{}\r\n", "x".repeat(1000));
    client.write_all(chunk.repeat(2).as_bytes()).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 413"));
}

#[tokio::test]
async fn a_body_that_is_refused_is_not_asked_for() {
    let server = start(Limits {
        body_size: 1000,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    let head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 1001\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 413"));

    let mut client = server.http1().await;
    let head = "POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 3\r\nExpect: 100-continue\r\n\r\n";
    client.write_all(head.as_bytes()).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 100"));
    client.write_all(b"abc").await.unwrap();
    assert!(response(&mut client).await.ends_with("\r\n\r\nabc"));
}

#[tokio::test]
async fn a_body_with_wrong_framing_is_broken() {
    let server = start(patient()).await;
    let mut client = server.http1().await;
    let request = "POST / HTTP/1.1\r\nHost: t\r\nTransfer-Encoding: chunked\r\n\r\nnonsense\r\n";
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 400"));
}

#[tokio::test]
async fn a_large_header_is_refused() {
    let server = start(patient()).await;
    let request = format!(
        "GET / HTTP/1.1\r\nHost: t\r\nX: {}\r\n\r\n",
        "x".repeat(33 * 1024)
    );
    let mut client = server.http1().await;
    client.write_all(request.as_bytes()).await.unwrap();
    assert!(response(&mut client).await.starts_with("HTTP/1.1 431"));

    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(server.ca.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://{}/", server.address);
    let large = client
        .get(&url)
        .header("x", "x".repeat(33 * 1024))
        .send()
        .await;
    assert!(large.map_or(true, |answer| answer.status() == 431));
    let fits = client
        .get(&url)
        .header("x", "x".repeat(30 * 1024))
        .send()
        .await;
    assert_eq!(fits.unwrap().status(), 200);
}

#[tokio::test]
async fn a_handler_that_panics_harms_nobody_else() {
    let server = start(Limits {
        connections: 1,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /panic HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut client).await.is_empty());
    let mut client = server.http1().await;
    assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_client_that_hangs_up_ends_its_request() {
    let server = start(patient()).await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    server.waiting(1).await;
    drop(client);
    eventually(|| server.answers.given_up.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_renewed_certificate_serves_the_next_connection() {
    let mut server = start(patient()).await;
    let mut before = server.http1().await;
    let renewed = trial_certificate::generate("127.0.0.1", SystemTime::now()).unwrap();
    server.tls.send(server_config(&renewed)).unwrap();
    assert!(server.client(rustls::ALL_VERSIONS, &[]).await.is_err());
    server.ca = renewed.ca;
    let mut after = server.http1().await;
    assert!(get(&mut after, "/").await.starts_with("HTTP/1.1 200"));
    assert!(get(&mut before, "/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn the_last_response_before_a_goodbye_says_so() {
    let server = start(patient()).await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET / HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    let answer = String::from_utf8(until_closed(&mut client).await).unwrap();
    assert!(answer.contains("connection: close"));
}

//! How the server stops: what is in flight ends, what is new is refused, what does not end is dropped.

use super::*;

/// Asks `server` to stop and waits until its port is closed.
async fn stop(server: &Server) {
    server.shutdown.send(true).unwrap();
    let refused = async { while TcpStream::connect(server.address).await.is_ok() {} };
    timeout(Duration::from_secs(30), refused).await.unwrap();
}

async fn done(server: Server) {
    timeout(Duration::from_secs(30), server.done)
        .await
        .unwrap()
        .unwrap();
}

#[tokio::test]
async fn a_request_in_flight_is_answered() {
    let server = start(patient()).await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    server.waiting(1).await;
    stop(&server).await;
    assert!(!server.done.is_finished());
    server.answers.release.add_permits(1);
    let answer = String::from_utf8(until_closed(&mut client).await).unwrap();
    assert!(answer.ends_with("released"), "{answer}");
    drop(client);
    done(server).await;
}

#[tokio::test]
async fn a_request_in_flight_over_http2_is_answered() {
    let server = start(patient()).await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(server.ca.as_bytes()).unwrap()])
        .build()
        .unwrap();
    let url = format!("https://{}/wait", server.address);
    let answer = tokio::spawn(client.get(url).send());
    server.waiting(1).await;
    stop(&server).await;
    server.answers.release.add_permits(1);
    let answer = answer.await.unwrap().unwrap();
    assert_eq!(answer.version(), reqwest::Version::HTTP_2);
    assert_eq!(answer.text().await.unwrap(), "released");
    done(server).await;
}

#[tokio::test]
async fn connections_without_a_request_end_at_once() {
    let server = start(patient()).await;
    let handshake = TcpStream::connect(server.address).await.unwrap();
    let fresh = server.http1().await;
    let mut kept = server.http1().await;
    assert!(get(&mut kept, "/").await.starts_with("HTTP/1.1 200"));
    let http2 = server.http2().await;
    let mut half = server.http1().await;
    half.write_all(b"GET / HT").await.unwrap();
    stop(&server).await;
    for mut client in [fresh, kept, http2, half] {
        until_closed(&mut client).await;
    }
    done(server).await;
    drop(handshake);
}

#[tokio::test]
async fn what_does_not_end_in_time_is_dropped() {
    let server = start(Limits {
        drain: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    server.waiting(1).await;
    stop(&server).await;
    assert!(until_closed(&mut client).await.is_empty());
    let answers = Arc::clone(&server.answers);
    done(server).await;
    eventually(|| answers.given_up.load(SeqCst) == 1).await;
}

#[tokio::test]
async fn a_server_that_nobody_can_stop_stops() {
    let mut server = start(patient()).await;
    server.shutdown = watch::channel(false).0;
    done(server).await;
}

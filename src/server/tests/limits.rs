//! Each time limit and the number of connections. In every test only the limit in question is short.

use super::*;

#[tokio::test]
async fn silence_instead_of_a_handshake() {
    let server = start(Limits {
        handshake: SHORT,
        ..patient()
    })
    .await;
    let mut client = TcpStream::connect(server.address).await.unwrap();
    assert!(until_closed(&mut client).await.is_empty());
}

#[tokio::test]
async fn silence_after_the_handshake() {
    let server = start(Limits {
        first_byte: SHORT,
        ..patient()
    })
    .await;
    for alpn in [&[][..], &[b"http/1.1".as_slice()], &[b"h2".as_slice()]] {
        let mut client = server.client(rustls::ALL_VERSIONS, alpn).await.unwrap();
        until_closed(&mut client).await;
    }
}

#[tokio::test]
async fn silence_in_a_header() {
    let server = start(Limits {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    until_closed(&mut client).await;

    // The header of a later request, too.
    let mut client = server.http1().await;
    assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
    client.write_all(b"GET / HTTP/1.1\r\nHo").await.unwrap();
    until_closed(&mut client).await;

    // And bytes that trickle in do not renew the time.
    let mut client = server.http1().await;
    client.write_all(b"GET / HTTP/1.1\r\nX: ").await.unwrap();
    let trickle = async {
        while client.write_all(b"x").await.is_ok() && client.flush().await.is_ok() {
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
    };
    timeout(Duration::from_secs(30), trickle).await.unwrap();
}

#[tokio::test]
async fn http2_without_a_request() {
    let server = start(Limits {
        header: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http2().await;
    until_closed(&mut client).await;
    let mut client = server.client(rustls::ALL_VERSIONS, &[b"h2"]).await.unwrap();
    client.write_all(b"PRI * HTTP").await.unwrap();
    until_closed(&mut client).await;
}

#[tokio::test]
async fn silence_in_a_body() {
    let server = start(Limits {
        request: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"POST / HTTP/1.1\r\nHost: t\r\nContent-Length: 10\r\n\r\nfive!")
        .await
        .unwrap();
    let answer = String::from_utf8(until_closed(&mut client).await).unwrap();
    assert!(answer.starts_with("HTTP/1.1 408"), "{answer}");
}

#[tokio::test]
async fn silence_between_requests() {
    let server = start(Limits {
        idle: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
    let mut rest = Vec::new();
    // Closed in order: without a TLS goodbye, this is an error.
    timeout(Duration::from_secs(30), client.read_to_end(&mut rest))
        .await
        .unwrap()
        .unwrap();
    assert!(rest.is_empty());
}

#[tokio::test]
async fn silence_between_requests_of_http2() {
    let server = start(Limits {
        idle: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http2().await;
    // HEADERS of stream 1, end of stream and headers: `:method GET`, `:scheme https`, `:path /`, by static table.
    client
        .write_all(b"\0\0\x03\x01\x05\0\0\0\x01\x82\x87\x84")
        .await
        .unwrap();
    let received = until_closed(&mut client).await;
    let goaway = [0x07, 0, 0, 0, 0, 0];
    assert!(received.windows(6).any(|window| window == goaway));
}

#[tokio::test]
async fn a_kept_connection_outlives_the_limits_of_a_request() {
    let server = start(Limits {
        first_byte: SHORT,
        header: SHORT,
        request: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    for _ in 0..2 {
        assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
        tokio::time::sleep(SHORT * 3).await;
    }
    assert!(get(&mut client, "/").await.starts_with("HTTP/1.1 200"));
}

#[tokio::test]
async fn a_slow_handler_is_not_the_clients_fault() {
    let server = start(Limits {
        first_byte: SHORT,
        header: SHORT,
        request: SHORT,
        idle: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /wait HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    server.waiting(1).await;
    tokio::time::sleep(SHORT * 4).await;
    server.answers.release.add_permits(1);
    assert!(response(&mut client).await.ends_with("released"));
}

#[tokio::test]
async fn a_client_that_does_not_read_loses_its_place() {
    let server = start(Limits {
        connections: 1,
        request: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /large HTTP/1.1\r\nHost: t\r\n\r\n")
        .await
        .unwrap();
    let next = timeout(Duration::from_secs(30), server.http1());
    assert!(
        get(&mut next.await.unwrap(), "/")
            .await
            .starts_with("HTTP/1.1 200")
    );
    assert!(until_closed(&mut client).await.len() < 32 * 1024 * 1024);
}

#[tokio::test]
async fn an_answer_that_is_not_taken_ends_its_connection_whatever_else_goes_on() {
    let server = start(Limits {
        request: SHORT,
        ..patient()
    })
    .await;
    let mut client = server.client(rustls::ALL_VERSIONS, &[b"h2"]).await.unwrap();
    // SETTINGS: no stream has a window.
    let settings = b"\0\0\x06\x04\0\0\0\0\0\0\x04\0\0\0\0";
    client
        .write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n")
        .await
        .unwrap();
    client.write_all(settings).await.unwrap();
    // HEADERS of a stream, its end and that of the headers: `GET`, `https`, and `:path: /large` in letters.
    let get = |stream: u8| {
        [
            b"\0\0\x0a\x01\x05\0\0\0",
            &[stream][..],
            b"\x82\x87\x04\x06/large",
        ]
        .concat()
    };
    let reset = |stream: u8| [b"\0\0\x04\x03\0\0\0\0", &[stream][..], b"\0\0\0\x08"].concat();
    client.write_all(&get(1)).await.unwrap();
    let others = async {
        for stream in (3..=255).step_by(2) {
            let sent = async {
                client.write_all(&get(stream)).await?;
                client.flush().await?;
                tokio::time::sleep(SHORT / 4).await;
                client.write_all(&reset(stream)).await
            };
            if sent.await.is_err() {
                return;
            }
        }
        panic!("the connection is still there");
    };
    timeout(Duration::from_secs(30), others).await.unwrap();
}

#[tokio::test]
async fn a_client_that_reads_steadily_gets_everything() {
    let server = start(Limits {
        request: Duration::from_secs(2),
        ..patient()
    })
    .await;
    let mut client = server.http1().await;
    client
        .write_all(b"GET /large HTTP/1.1\r\nHost: t\r\nConnection: close\r\n\r\n")
        .await
        .unwrap();
    assert!(until_closed(&mut client).await.len() > 32 * 1024 * 1024);
}

#[tokio::test]
async fn the_connection_that_is_one_too_many_waits() {
    let server = start(Limits {
        connections: 1,
        ..patient()
    })
    .await;
    let mut first = server.http1().await;
    assert!(get(&mut first, "/").await.starts_with("HTTP/1.1 200"));
    let mut second = Box::pin(server.http1());
    assert!(timeout(SHORT, &mut second).await.is_err());
    drop(first);
    let mut second = timeout(Duration::from_secs(30), second).await.unwrap();
    assert!(get(&mut second, "/").await.starts_with("HTTP/1.1 200"));
}

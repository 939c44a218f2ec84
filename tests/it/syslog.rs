//! The audit forwarded to real receivers: every row arrives, also after an outage and over a restart.

use std::collections::BTreeSet;
use std::io::{BufReader, Read};
use std::net::{TcpListener, TcpStream, UdpSocket};
use std::os::unix::net::UnixDatagram;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, Sender, channel};
use std::time::Duration;

use serde_json::{Value, json};
use tempfile::TempDir;
use tokio_rustls::rustls::pki_types::pem::PemObject;
use tokio_rustls::rustls::pki_types::{CertificateDer, PrivateKeyDer};
use tokio_rustls::rustls::{ServerConfig, ServerConnection, StreamOwned, crypto};

use crate::admin::Admin;
use crate::app::TestApp;

/// How long a message may take on a busy machine, a wait between two attempts included.
const PATIENCE: Duration = Duration::from_secs(60);

/// Reads messages with octet counting until the other side ends.
fn framed(stream: impl Read, said: &Sender<String>) {
    let mut stream = BufReader::new(stream);
    loop {
        let mut length = String::new();
        loop {
            let mut byte = [0];
            match stream.read(&mut byte) {
                Ok(1) if byte[0] == b' ' => break,
                Ok(1) => length.push(char::from(byte[0])),
                _ => return,
            }
        }
        let mut message = vec![0; length.parse().unwrap()];
        if stream.read_exact(&mut message).is_err() {
            return;
        }
        if said.send(String::from_utf8(message).unwrap()).is_err() {
            return;
        }
    }
}

/// A server that forwards to `destination`, with other settings of the forwarding.
fn forwarding(destination: &str, more: &[(&str, &str)]) -> TestApp {
    let syslog = format!("syslog = \"{destination}\"");
    let settings = [("#syslog = \"\"", syslog.as_str())];
    TestApp::configured(&[&settings, more].concat())
}

fn seq(message: &str) -> i64 {
    let (_, rest) = message.split_once(" seq=\"").unwrap();
    rest.split_once('"').unwrap().0.parse().unwrap()
}

/// The row in a message, which is otherwise as RFC 5424 has it.
#[track_caller]
fn row(message: &str) -> Value {
    let fields: Vec<_> = message.splitn(8, ' ').collect();
    assert!(
        fields[0].starts_with("<10") && fields[0].ends_with(">1"),
        "{message}"
    );
    assert!(fields[1].parse::<jiff::Timestamp>().is_ok(), "{message}");
    assert_eq!(fields[3], "scimlite", "{message}");
    assert_eq!(fields[6], "[scimlite@32473", "{message}");
    let (_, row) = message.split_once("] {").unwrap();
    serde_json::from_str(&format!("{{{row}")).unwrap()
}

/// Waits for every row that is in the audit now; the messages that came until then.
#[track_caller]
fn all(app: &TestApp, heard: &Receiver<String>, after: i64) -> Vec<String> {
    let last = app.row("SELECT max(seq) AS seq FROM audit", [])["seq"]
        .as_i64()
        .unwrap();
    let mut missing: BTreeSet<_> = (after + 1..=last).collect();
    let mut messages = Vec::new();
    while !missing.is_empty() {
        let message = heard.recv_timeout(PATIENCE);
        let message = message.unwrap_or_else(|_| panic!("missing {missing:?}\n{}", app.stderr()));
        missing.remove(&seq(&message));
        messages.push(message);
    }
    messages
}

async fn create(app: &TestApp, name: &str) -> Value {
    let user = json!({"userName": format!("{name}@x.test"), "title": "a\nb]\"\\"});
    let answer = app.client.create(user).await.expect(201);
    app.audited(answer.request_id())
}

/// Rows arrive in their order and as they are.
async fn arrives(app: &TestApp, heard: &Receiver<String>) {
    let made = create(app, "anna").await;
    let messages = all(app, heard, 0);
    let seqs: Vec<_> = messages.iter().map(|message| seq(message)).collect();
    let order: Vec<_> = (1..=seqs.len() as i64).collect();
    assert_eq!(seqs, order, "from the first on, in order");
    let last = row(messages.last().unwrap());
    for key in [
        "seq",
        "request_id",
        "actor",
        "target_id",
        "verdict",
        "changes",
        "reason",
    ] {
        assert_eq!(last[key], made[key], "{key}");
    }
}

#[tokio::test]
async fn over_udp() {
    let socket = UdpSocket::bind("127.0.0.1:0").unwrap();
    let port = socket.local_addr().unwrap().port();
    let app = forwarding(&format!("udp://127.0.0.1:{port}"), &[]);
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if said.send(message).is_err() {
                return;
            }
        }
    });
    arrives(&app, &heard).await;
}

#[tokio::test]
async fn over_a_unix_socket_as_cef() {
    let directory = TempDir::new().unwrap();
    let path = directory.path().join("log");
    let socket = UnixDatagram::bind(&path).unwrap();
    let destination = format!("unix://{}", path.display());
    let cef = [("#syslog_format = \"json\"", "syslog_format = \"cef\"")];
    let app = forwarding(&destination, &cef);
    let (said, heard) = channel();
    std::thread::spawn(move || {
        let mut buffer = [0; 65536];
        while let Ok(length) = socket.recv(&mut buffer) {
            let message = String::from_utf8(buffer[..length].to_vec()).unwrap();
            if said.send(message).is_err() {
                return;
            }
        }
    });
    let made = create(&app, "anna").await;
    let messages = all(&app, &heard, 0);
    let last = messages.last().unwrap();
    let id = made["request_id"].as_str().unwrap();
    assert!(last.contains("] CEF:0|Scimlite|Scimlite|"), "{last}");
    assert!(
        last.contains("|user.create|user.create applied|3|rt="),
        "{last}"
    );
    assert!(last.contains(&format!(" cs1={id} ")), "{last}");
}

#[tokio::test]
async fn over_tls_to_a_receiver_that_the_authority_vouches_for() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ca = [("#syslog_ca = \"\"", "syslog_ca = \"ca.crt\"")];
    let app = forwarding(&format!("tls://localhost:{port}"), &ca);
    let chain = CertificateDer::pem_file_iter(app.data().join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(app.data().join("server.key")).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let config = Arc::new(config);
    let (said, heard) = channel();
    std::thread::spawn(move || {
        for stream in listener.incoming() {
            let tls = ServerConnection::new(Arc::clone(&config)).unwrap();
            framed(StreamOwned::new(tls, stream.unwrap()), &said);
        }
    });
    arrives(&app, &heard).await;
}

#[tokio::test]
async fn a_receiver_that_nobody_vouches_for_is_told_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    let ca = [("#syslog_ca = \"\"", "syslog_ca = \"ca.crt\"")];
    let app = forwarding(&format!("tls://127.0.0.1:{port}"), &ca);
    // A server of the same name under an authority of its own.
    let other = TestApp::start();
    let chain = CertificateDer::pem_file_iter(other.data().join("server.crt")).unwrap();
    let key = PrivateKeyDer::from_pem_file(other.data().join("server.key")).unwrap();
    let provider = Arc::new(crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain.map(Result::unwrap).collect(), key)
        .unwrap();
    let mut tls = ServerConnection::new(Arc::new(config)).unwrap();
    let (mut stream, _) = listener.accept().unwrap();
    let refused = loop {
        if let Err(error) = tls.complete_io(&mut stream) {
            break error;
        }
        assert!(tls.is_handshaking(), "was trusted");
    };
    assert!(refused.to_string().contains("alert"), "{refused}");
    create(&app, "anna").await;
}

/// A receiver at `port`, one connection at a time, that hangs up when its `Receiver` is dropped.
fn receiver(listener: TcpListener) -> Receiver<String> {
    let (said, heard) = channel();
    std::thread::spawn(move || {
        if let Ok((stream, _)) = listener.accept() {
            framed(stream, &said);
        }
    });
    heard
}

#[tokio::test]
async fn an_outage_and_a_restart_lose_nothing() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let mut app = forwarding(&format!("tcp://localhost:{}", address.port()), &[]);
    let heard = receiver(listener);
    arrives(&app, &heard).await;

    // It goes away at the next message, which it may have got or not.
    drop(heard);
    create(&app, "bela").await;
    while TcpStream::connect(address).is_ok() {
        create_more(&app).await;
    }
    create(&app, "cleo").await;
    // Requests are served meanwhile, and a stop does not wait for it.
    app.restart();
    create(&app, "dora").await;
    let heard = receiver(TcpListener::bind(address).unwrap());
    all(&app, &heard, 0);

    // A kill: what did not count as received comes again.
    app.kill();
    app.resume();
    let again = TcpListener::bind(address).unwrap();
    let heard = receiver(again);
    create(&app, "emil").await;
    let messages = all(&app, &heard, 0);

    // A clean stop, and a receiver that hangs up in order: nothing comes twice.
    app.stop();
    let last = messages.iter().map(|message| seq(message)).max().unwrap();
    let noted = app.row("SELECT seq FROM forwarding", []);
    assert_eq!(noted["seq"], last);
    let listener = TcpListener::bind(address).unwrap();
    app.resume();
    let heard = receiver(listener);
    create(&app, "fred").await;
    let messages = all(&app, &heard, last);
    assert_eq!(seq(&messages[0]), last + 1);
    app.stop();
    assert!(app.stderr().contains("the audit is not forwarded"));
}

/// A row more in the audit.
async fn create_more(app: &TestApp) {
    let missing = app.client.scim("DELETE", "/Users/nobody", Value::Null);
    missing.await.expect(404);
}

#[tokio::test]
async fn what_a_receiver_took_and_never_read_comes_again() {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap();
    let app = forwarding(&format!("tcp://localhost:{}", address.port()), &[]);
    let (hung, _) = listener.accept().unwrap();
    create(&app, "anna").await;
    // Its kernel takes everything, so the rows count as received in the end.
    let noted = "SELECT seq FROM forwarding WHERE seq >= (SELECT max(seq) FROM audit)";
    let deadline = std::time::Instant::now() + PATIENCE;
    while app.rows(noted, []).is_empty() {
        assert!(std::time::Instant::now() < deadline, "{}", app.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
    // With something unread in it, a connection ends in a reset.
    drop(hung);
    let heard = receiver(listener);
    all(&app, &heard, 0);
}

#[tokio::test]
async fn a_row_that_was_altered_goes_on_its_way_and_stops_no_other() {
    let mut app = TestApp::start();
    create(&app, "anna").await;
    create(&app, "bela").await;
    app.stop();
    let good = std::fs::read(app.database()).unwrap();
    app.sql(
        "UPDATE audit SET changes = 'not json', mapping = '', reason = CAST(x'61ff62' AS TEXT), status = -1
         WHERE action = 'user.create' AND target_name = 'anna@x.test'",
    );
    let altered = "SELECT seq FROM audit WHERE changes = 'not json'";
    let altered = app.row(altered, [])["seq"].as_i64().unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port();
    app.configure("audit", "syslog", &format!("\"tcp://localhost:{port}\""));
    app.resume();
    let heard = receiver(listener);
    let messages = all(&app, &heard, 0);
    let message = messages.iter().find(|message| seq(message) == altered);
    let sent = row(message.unwrap());
    let admin = Admin::new(&app).await;
    let shown = admin.get("/audit?limit=1000").await.expect(200);
    let shown = shown.json["items"].clone();
    let story = app.cli_json(["user", "show", "anna@x.test"])["audit"].clone();
    for rows in [
        app.cli_json(["audit", "list"]),
        app.cli_json(["audit", "export"]),
        shown,
        story,
        json!([sent]),
    ] {
        let rows = rows.as_array().unwrap();
        let found = rows.iter().find(|row| row["seq"] == altered).unwrap();
        assert_eq!(found["changes"], "not json");
        assert_eq!(found["mapping"], "");
        assert_eq!(found["reason"], "a\u{fffd}b");
        assert_eq!(found["status"], -1);
    }
    let proof = app.cli(["audit", "verify", "--json"]);
    let proof: Value = serde_json::from_slice(&proof.stdout).unwrap();
    assert_eq!(proof["bad_seq"], altered);
    app.stop();
    std::fs::write(app.database(), good).unwrap();
    app.resume();
}

//! HTTP requests: any bytes on a connection to the real handler over a real database, without TLS.

use std::cell::LazyCell;
use std::convert::Infallible;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use http_body_util::Full;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use scimlite::directory::audit::Origin;
use scimlite::directory::view::View;
use scimlite::directory::{self, Directory, setup, system_clock};
use scimlite::server::certificate::Certificate;
use scimlite::server::client::TrustedProxies;
use scimlite::server::limits::Limits;
use scimlite::server::listener::{Handler, Visit};
use scimlite::server::metrics::Metrics;
use scimlite::server::scim::Scim;
use scimlite::server::tls::TlsFiles;
use scimlite::server::{Settings, trial_certificate};
use scimlite::store::Store;
use scimlite::store::snapshots::Plan;
use serde_json::{Value, json};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::runtime::Runtime;

use super::SCHEMAS;

/// Stands in an input for the token that may write.
const TOKEN: &[u8] = b"{token}";

thread_local! {
    static APPLIANCE: LazyCell<Appliance> = LazyCell::new(Appliance::new);
}

/// Any bytes, with the token where they name it.
pub fn check(data: &[u8]) {
    APPLIANCE.with(|appliance| {
        let received = appliance.exchange(&appliance.with_token(data));
        // The answer to a HEAD has a length and no body.
        if !data.windows(4).any(|word| word == b"HEAD") {
            check_answers(&received);
        }
        let well = b"GET /scim/ServiceProviderConfig HTTP/1.1\r\nHost: h\r\nAuthorization: Bearer {token}\r\n\r\n";
        let received = appliance.exchange(&appliance.with_token(well));
        assert!(received.starts_with(b"HTTP/1.1 200 "), "not well afterwards");
    });
}

/// Any bytes as the `Authorization` of a request: they never open anything.
pub fn check_authorization(data: &[u8]) {
    APPLIANCE.with(|appliance| {
        let mut request = b"GET /scim/Users HTTP/1.1\r\nHost: h\r\nAuthorization: ".to_vec();
        request.extend_from_slice(data);
        request.extend_from_slice(b"\r\n\r\n");
        for answer in check_answers(&appliance.exchange(&request)) {
            assert!((400..500).contains(&answer), "{answer}");
        }
    });
}

/// The statuses of all answers, each of which is a SCIM error if the handler made it and it is one.
fn check_answers(mut received: &[u8]) -> Vec<u16> {
    let mut statuses = Vec::new();
    while !received.is_empty() {
        let end = received.windows(4).position(|bytes| bytes == b"\r\n\r\n");
        let (head, rest) = received.split_at(end.expect("a head") + 4);
        let head = std::str::from_utf8(head)
            .expect("text")
            .to_ascii_lowercase();
        let status = head.split(' ').nth(1).expect("a status");
        let status: u16 = status.parse().expect("a number");
        assert!(status < 500 || status == 501, "{head}");
        let length = head
            .lines()
            .find_map(|line| line.strip_prefix("content-length: "))
            .map_or(0, |length| length.parse().expect("a length"));
        let (body, rest) = rest.split_at(length);
        if status >= 400 && head.contains("x-request-id") {
            let body: Value = serde_json::from_slice(body).expect("a SCIM error");
            assert_eq!(body["status"], json!(status.to_string()));
        }
        statuses.push(status);
        received = rest;
    }
    statuses
}

struct Appliance {
    runtime: Runtime,
    scim: Arc<Scim>,
    token: String,
    _directory: TempDir,
}

impl Appliance {
    fn new() -> Self {
        let directory = TempDir::new().expect("a directory");
        let path = directory.path().join("scimlite.db");
        let clock = system_clock();
        let tokens =
            setup::create_database(&path, &Origin::server(), &clock, Some(365)).expect("a file");
        let tokens = tokens.expect("the first tokens");
        let view = View {
            schemas: Arc::new(SCHEMAS.clone()),
            base: "https://scim.example.test/scim".into(),
        };
        let store = Store::open(&path).expect("a database");
        let served = Directory::new(store, view, clock.clone(), directory::Settings::default());
        let served = Arc::new(served.expect("a directory"));
        let files = TlsFiles {
            certificate: directory.path().join("server.crt"),
            key: directory.path().join("server.key"),
            admin_client_ca: None,
        };
        let made =
            trial_certificate::generate("localhost", SystemTime::now()).expect("a certificate");
        std::fs::write(&files.certificate, &made.certificate).expect("a file");
        std::fs::write(&files.key, made.key.as_bytes()).expect("a file");
        let certificate = Arc::new(Certificate::open(files, clock).expect("a certificate"));
        let snapshots = Plan {
            directory: directory.path().to_owned(),
            every: Duration::from_secs(3600),
            keep: 0,
        };
        let metrics = Metrics::new(Arc::clone(&served), certificate, snapshots.clone());
        let settings = Settings {
            base_paths: vec!["/scim".to_owned(), "/scim/v2".to_owned()],
            trusted_proxies: TrustedProxies::new(&[]),
            limits: Arc::new(Limits::default()),
            snapshots,
        };
        Self {
            runtime: tokio::runtime::Builder::new_current_thread()
                .enable_all()
                .build()
                .expect("a runtime"),
            // Nobody waits for the last change.
            scim: Arc::new(Scim::new(
                served,
                &settings,
                Arc::new(metrics),
                tokio::sync::mpsc::channel(1).0,
            )),
            token: tokens.provision.reveal().to_owned(),
            _directory: directory,
        }
    }

    fn with_token(&self, data: &[u8]) -> Vec<u8> {
        let mut sent = Vec::new();
        let mut rest = data;
        while let Some(at) = rest.windows(TOKEN.len()).position(|bytes| bytes == TOKEN) {
            sent.extend_from_slice(&rest[..at]);
            sent.extend_from_slice(self.token.as_bytes());
            rest = &rest[at + TOKEN.len()..];
        }
        sent.extend_from_slice(rest);
        sent
    }

    /// Sends all that is to be sent, ends its side, and takes what comes.
    fn exchange(&self, sent: &[u8]) -> Vec<u8> {
        let (mut client, server) = tokio::io::duplex(64 * 1024);
        let visit = Visit::alone(SocketAddr::from((Ipv4Addr::LOCALHOST, 1)));
        let service = service_fn(|request| {
            let (scim, visit) = (Arc::clone(&self.scim), Arc::clone(&visit));
            async move { Ok::<_, Infallible>(scim.handle(request, &visit).await.map(Full::new)) }
        });
        let mut builder = http1::Builder::new();
        // Whoever has sent everything still wants the answer.
        let serving = builder
            .half_close(true)
            .serve_connection(TokioIo::new(server), service);
        self.runtime.block_on(async {
            let (mut reading, mut writing) = tokio::io::split(&mut client);
            let mut received = Vec::new();
            let write = async {
                // The server may hang up before it has read all.
                let _ = writing.write_all(sent).await;
                let _ = writing.shutdown().await;
            };
            let _ = tokio::join!(serving, write, reading.read_to_end(&mut received));
            received
        })
    }
}

//! A closed loop over TLS: each connection sends a request, waits for the answer, and sends the next.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

/// A connection over which one request at a time goes.
pub struct Connection(SendRequest<Full<Bytes>>);

/// What comes of a request.
pub struct Answer {
    /// HTTP status.
    pub status: u16,
    /// The body.
    pub body: Bytes,
}

impl Answer {
    /// The body as JSON.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).expect("a JSON body")
    }
}

/// Reaches one server.
#[derive(Clone)]
pub struct Client {
    host: String,
    /// What every path begins with.
    base: String,
    token: String,
    tls: TlsConnector,
}

/// One request to send: method, path below the base path, and body.
pub type Asked = (Method, String, Option<Value>);

/// What a closed loop measured.
pub struct Measured {
    /// Time to each answer, in microseconds.
    pub times: Histogram<u64>,
    /// From the first request to the last answer, of each turn.
    pub took: Duration,
    /// Bytes of all bodies that were answered.
    bytes: usize,
}

impl Measured {
    /// Nothing yet.
    pub fn nothing() -> Self {
        Self {
            times: Histogram::new(3).unwrap(),
            took: Duration::ZERO,
            bytes: 0,
        }
    }

    /// Takes in what was measured at another time.
    pub fn add(&mut self, other: &Self) {
        self.times.add(&other.times).unwrap();
        self.took += other.took;
        self.bytes += other.bytes;
    }

    /// Bytes of a body, on average.
    pub fn answer(&self) -> usize {
        self.bytes / usize::try_from(self.times.len()).unwrap().max(1)
    }

    /// Answers in a second.
    pub fn rate(&self) -> f64 {
        self.times.len() as f64 / self.took.as_secs_f64()
    }

    /// A quantile in milliseconds.
    pub fn ms(&self, quantile: f64) -> f64 {
        self.times.value_at_quantile(quantile) as f64 / 1000.0
    }
}

impl Client {
    /// A client of the server at `url`, below which its requests go and whose certificate is `ca`.
    pub fn new(url: &str, ca: &Path, token: &str) -> Self {
        let place = url.trim_start_matches("https://");
        let (host, base) = place.split_at(place.find('/').unwrap_or(place.len()));
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_file(ca).unwrap())
            .unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            host: host.to_owned(),
            base: base.to_owned(),
            token: token.to_owned(),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    /// Opens a connection.
    pub async fn connect(&self) -> Connection {
        let stream = TcpStream::connect(&self.host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        Connection(sender)
    }

    /// Sends one request and waits for the answer.
    pub async fn send(&self, connection: &mut Connection, (method, path, body): Asked) -> Answer {
        let request = Request::builder()
            .method(method)
            .uri(format!("{}{path}", self.base))
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/scim+json")
            .body(body.map_or_else(Full::default, |body| Full::from(body.to_string())))
            .unwrap();
        // The connection is ready for the next request a moment after the answer to the last one is read.
        connection.0.ready().await.expect("an open connection");
        let answer = connection.0.send_request(request).await.expect("an answer");
        Answer {
            status: answer.status().as_u16(),
            body: answer.into_body().collect().await.unwrap().to_bytes(),
        }
    }

    /// Sends the requests that `make` gives for 0, 1, 2… over `connections` until the time is over or `most` are sent.
    /// Each answer has to be a success.
    pub async fn measure(
        &self,
        connections: usize,
        time: Duration,
        most: usize,
        make: impl Fn(usize) -> Asked + Clone + Send + 'static,
    ) -> Measured {
        let counter = Arc::new(AtomicUsize::new(0));
        let mut open = Vec::new();
        for _ in 0..connections {
            open.push(self.connect().await);
        }
        let start = Instant::now();
        let tasks: Vec<_> = open
            .into_iter()
            .map(|mut connection| {
                let (client, counter, make) = (self.clone(), Arc::clone(&counter), make.clone());
                tokio::spawn(async move {
                    let mut times = Histogram::<u64>::new(3).unwrap();
                    let mut bytes = 0;
                    while start.elapsed() < time {
                        let number = counter.fetch_add(1, Ordering::Relaxed);
                        if number >= most {
                            break;
                        }
                        let sent = Instant::now();
                        let answer = client.send(&mut connection, make(number)).await;
                        assert!(answer.status < 300, "{} {:?}", answer.status, answer.body);
                        times
                            .record(u64::try_from(sent.elapsed().as_micros()).unwrap())
                            .unwrap();
                        bytes += answer.body.len();
                    }
                    (times, bytes)
                })
            })
            .collect();
        let mut all = Measured::nothing();
        for task in tasks {
            let (times, bytes) = task.await.unwrap();
            all.times.add(times).unwrap();
            all.bytes += bytes;
        }
        all.took = start.elapsed();
        all
    }
}

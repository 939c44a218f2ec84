//! A closed-loop load on the real binary over TLS: each connection sends a request, waits for the answer, and sends the
//! next. Prints requests per second and percentiles of the time to the answer, one line per operation.
//!
//! `cargo bench --bench load -- [--connections N] [--seconds N]`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

use std::io::{BufRead, BufReader};
use std::process::{Child, Command, Stdio};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use clap::Parser;
use hdrhistogram::Histogram;
use http_body_util::{BodyExt, Full};
use hyper::body::Bytes;
use hyper::client::conn::http1::SendRequest;
use hyper::{Method, Request, StatusCode};
use hyper_util::rt::TokioIo;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_rustls::TlsConnector;

#[derive(Parser)]
struct Options {
    /// Connections, each with one request at a time
    #[arg(long, default_value_t = 64)]
    connections: usize,
    /// Seconds for which each operation runs
    #[arg(long, default_value_t = 5)]
    seconds: u64,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

/// The appliance under load, killed at the end.
struct Appliance {
    child: Child,
    _data: tempfile::TempDir,
    host: String,
    token: String,
    tls: TlsConnector,
}

impl Drop for Appliance {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

impl Appliance {
    fn start() -> Self {
        let binary = env!("CARGO_BIN_EXE_scimlite");
        let data = tempfile::tempdir().unwrap();
        let directory = data.path().join("data");
        let init = Command::new(binary)
            .args(["init", "--json", "--data"])
            .arg(&directory)
            .output()
            .unwrap();
        let init: Value = serde_json::from_slice(&init.stdout).expect("init prints JSON");
        let mut child = Command::new(binary)
            .args([
                "serve",
                "--listen",
                "127.0.0.1:0",
                "--admin-listen",
                "127.0.0.1:0",
                "--data",
            ])
            .arg(&directory)
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let ready: Value = serde_json::from_str(&line).expect("serve prints its ready line");
        let url = ready["scim"].as_str().unwrap();
        let host = url
            .trim_start_matches("https://")
            .split('/')
            .next()
            .unwrap();
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_file(init["ca_file"].as_str().unwrap()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
        let config = ClientConfig::builder_with_provider(provider)
            .with_safe_default_protocol_versions()
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        Self {
            child,
            _data: data,
            host: host.to_owned(),
            token: init["secret_token"].as_str().unwrap().to_owned(),
            tls: TlsConnector::from(Arc::new(config)),
        }
    }

    async fn connect(&self) -> SendRequest<Full<Bytes>> {
        let stream = TcpStream::connect(&self.host).await.unwrap();
        stream.set_nodelay(true).unwrap();
        let name = ServerName::try_from("localhost").unwrap();
        let stream = self.tls.connect(name, stream).await.unwrap();
        let (sender, connection) = hyper::client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        tokio::spawn(connection);
        sender
    }

    fn request(&self, method: Method, path: &str, body: Option<Value>) -> Request<Full<Bytes>> {
        Request::builder()
            .method(method)
            .uri(format!("/scim{path}"))
            .header("host", &self.host)
            .header("authorization", format!("Bearer {}", self.token))
            .header("content-type", "application/scim+json")
            .body(body.map_or_else(Full::default, |body| Full::from(body.to_string())))
            .unwrap()
    }
}

fn person(number: usize) -> Value {
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "externalId": format!("0a21f0f2-8d2a-4f8e-bf98-{number:012}"),
        "userName": format!("person{number}@example.test"),
        "displayName": format!("Person Number {number}"),
        "active": true,
        "name": {"givenName": "Person", "familyName": format!("Number {number}")},
        "title": "Engineer",
        "emails": [{"type": "work", "value": format!("person{number}@example.test"), "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": "+49 30 1234567"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Sales", "employeeNumber": number.to_string()
        }
    })
}

/// Sends one request and returns its status and body.
async fn send(
    sender: &mut SendRequest<Full<Bytes>>,
    request: Request<Full<Bytes>>,
) -> (StatusCode, Bytes) {
    let answer = sender.send_request(request).await.expect("an answer");
    let status = answer.status();
    (
        status,
        answer.into_body().collect().await.unwrap().to_bytes(),
    )
}

/// Runs `make`'s requests on every connection for the time given and prints the line.
async fn measure(
    appliance: &Arc<Appliance>,
    options: &Options,
    name: &str,
    expected: StatusCode,
    make: impl Fn(&Appliance, usize) -> Request<Full<Bytes>> + Clone + Send + 'static,
) {
    let counter = Arc::new(AtomicUsize::new(0));
    let time = Duration::from_secs(options.seconds);
    let mut tasks = Vec::new();
    for _ in 0..options.connections {
        let mut sender = appliance.connect().await;
        let (appliance, counter, make) =
            (Arc::clone(appliance), Arc::clone(&counter), make.clone());
        tasks.push(tokio::spawn(async move {
            let mut times = Histogram::<u64>::new(3).unwrap();
            let start = Instant::now();
            while start.elapsed() < time {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                let sent = Instant::now();
                let (status, body) = send(&mut sender, make(&appliance, number)).await;
                assert_eq!(status, expected, "{body:?}");
                times
                    .record(u64::try_from(sent.elapsed().as_micros()).unwrap())
                    .unwrap();
            }
            times
        }));
    }
    let start = Instant::now();
    let mut times = Histogram::<u64>::new(3).unwrap();
    for task in tasks {
        times.add(task.await.unwrap()).unwrap();
    }
    let ms = |quantile| times.value_at_quantile(quantile) as f64 / 1000.0;
    println!(
        "{name:28} {:>8.0}/s   p50 {:>7.2} ms   p99 {:>7.2} ms   max {:>7.2} ms",
        times.len() as f64 / start.elapsed().as_secs_f64(),
        ms(0.5),
        ms(0.99),
        times.max() as f64 / 1000.0
    );
}

/// Creates `count` people over a few connections and returns their ids.
async fn fill(appliance: &Arc<Appliance>, count: usize) -> Vec<String> {
    let mut tasks = Vec::new();
    for part in 0..16 {
        let appliance = Arc::clone(appliance);
        tasks.push(tokio::spawn(async move {
            let mut sender = appliance.connect().await;
            let mut ids = Vec::new();
            for number in (part..count).step_by(16) {
                let request = appliance.request(Method::POST, "/Users", Some(person(number)));
                let (status, body) = send(&mut sender, request).await;
                assert_eq!(status, StatusCode::CREATED, "{body:?}");
                let user: Value = serde_json::from_slice(&body).unwrap();
                ids.push(user["id"].as_str().unwrap().to_owned());
            }
            ids
        }));
    }
    let mut ids = Vec::new();
    for task in tasks {
        ids.extend(task.await.unwrap());
    }
    ids
}

#[tokio::main]
async fn main() {
    const PEOPLE: usize = 10_000;
    let options = Options::parse();
    let appliance = Arc::new(Appliance::start());
    let ids = Arc::new(fill(&appliance, PEOPLE).await);
    println!(
        "{PEOPLE} people, {} connections, {} s each",
        options.connections, options.seconds
    );

    let some = Arc::clone(&ids);
    measure(
        &appliance,
        &options,
        "GET by id",
        StatusCode::OK,
        move |appliance, number| {
            appliance.request(
                Method::GET,
                &format!("/Users/{}", some[number % some.len()]),
                None,
            )
        },
    )
    .await;
    measure(
        &appliance,
        &options,
        "GET filter userName eq",
        StatusCode::OK,
        |appliance, number| {
            let name = format!("person{}%40example.test", number % PEOPLE);
            appliance.request(
                Method::GET,
                &format!("/Users?filter=userName+eq+%22{name}%22"),
                None,
            )
        },
    )
    .await;
    measure(
        &appliance,
        &options,
        "POST",
        StatusCode::CREATED,
        |appliance, number| {
            appliance.request(Method::POST, "/Users", Some(person(PEOPLE + number)))
        },
    )
    .await;
    measure(&appliance, &options, "PATCH", StatusCode::OK, move |appliance, number| {
        let patch = json!({
            "schemas": ["urn:ietf:params:scim:api:messages:2.0:PatchOp"],
            "Operations": [{"op": "Replace", "path": "title", "value": format!("Title {number}")}]
        });
        appliance.request(Method::PATCH, &format!("/Users/{}", ids[number % ids.len()]), Some(patch))
    })
    .await;
}

//! A real listener on a free port and real TLS clients. Limits are shortened; what is asserted is who is answered and who
//! is cut off, never how soon.

mod hangup;
mod limits;
mod protocol;
mod shutdown;

use std::{
    net::SocketAddr,
    sync::{Arc, atomic::AtomicUsize, atomic::Ordering::SeqCst},
    time::{Duration, SystemTime},
};

use bytes::Bytes;
use hyper::{Request, Response, StatusCode, body::Incoming};
use rustls::{
    ClientConfig, RootCertStore, ServerConfig, SupportedProtocolVersion,
    crypto::aws_lc_rs,
    pki_types::{CertificateDer, ServerName, pem::PemObject},
};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::{Semaphore, watch},
    task::JoinHandle,
    time::timeout,
};
use tokio_rustls::{TlsConnector, client::TlsStream};

use super::{
    body::{self, BodyError},
    limits::Limits,
    listener::{Handler, serve},
    strangers::Visit,
    threads::Threads,
    tls::{self, TlsFiles},
    trial_certificate::{self, TrialCertificate},
};

/// Short for a client that does nothing.
const SHORT: Duration = Duration::from_millis(200);
/// What counts as never, in a test that waits for something to happen.
const NEVER: Duration = Duration::from_secs(60);

/// Limits of which none passes by itself.
fn patient() -> Limits {
    Limits {
        handshake: NEVER,
        first_byte: NEVER,
        header: NEVER,
        request: NEVER,
        idle: NEVER,
        drain: NEVER,
        ..Limits::default()
    }
}

/// Answers by path: `/wait` when released, `/large` with 32 MiB, `/panic` not at all, others with the body they were sent.
struct Answers {
    limits: Limits,
    /// A permit lets one `/wait` go.
    release: Semaphore,
    /// How many `/wait` have begun, and how many were given up by the client.
    waiting: AtomicUsize,
    given_up: AtomicUsize,
}

struct GivenUp<'a>(&'a AtomicUsize);

impl Drop for GivenUp<'_> {
    fn drop(&mut self) {
        self.0.fetch_add(1, SeqCst);
    }
}

impl Handler for Answers {
    async fn handle(&self, request: Request<Incoming>, _: &Visit) -> Response<Bytes> {
        match request.uri().path() {
            "/wait" => {
                let given_up = GivenUp(&self.given_up);
                self.waiting.fetch_add(1, SeqCst);
                self.release.acquire().await.unwrap().forget();
                std::mem::forget(given_up);
                answer(StatusCode::OK, Bytes::from_static(b"released"))
            }
            "/large" => answer(StatusCode::OK, Bytes::from(vec![b'x'; 32 * 1024 * 1024])),
            "/panic" => panic!("a handler that panics, as this test wants"),
            _ => match body::read(
                request.into_body(),
                self.limits.body_size,
                self.limits.request,
            )
            .await
            {
                Ok(body) => answer(StatusCode::OK, body),
                Err(BodyError::TooLarge) => answer(StatusCode::PAYLOAD_TOO_LARGE, Bytes::new()),
                Err(BodyError::Slow) => answer(StatusCode::REQUEST_TIMEOUT, Bytes::new()),
                Err(BodyError::Broken) => answer(StatusCode::BAD_REQUEST, Bytes::new()),
            },
        }
    }
}

fn answer(status: StatusCode, body: Bytes) -> Response<Bytes> {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    response
}

/// A running server.
struct Server {
    address: SocketAddr,
    ca: String,
    answers: Arc<Answers>,
    tls: watch::Sender<Arc<ServerConfig>>,
    shutdown: watch::Sender<bool>,
    done: JoinHandle<()>,
}

/// The configuration of a listener with `certificate`, by way of files as in production.
fn server_config(certificate: &TrialCertificate) -> Arc<ServerConfig> {
    let directory = tempfile::tempdir().unwrap();
    let (chain, key) = (
        directory.path().join("server.crt"),
        directory.path().join("server.key"),
    );
    std::fs::write(&chain, &certificate.certificate).unwrap();
    std::fs::write(&key, certificate.key.as_bytes()).unwrap();
    let files = TlsFiles {
        certificate: chain,
        key,
        admin_client_ca: None,
    };
    tls::load(&files).unwrap().scim
}

async fn start(limits: Limits) -> Server {
    let certificate = trial_certificate::generate("127.0.0.1", SystemTime::now()).unwrap();
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let (tls, present) = watch::channel(server_config(&certificate));
    let (shutdown, stop) = watch::channel(false);
    let answers = Arc::new(Answers {
        limits: limits.clone(),
        release: Semaphore::new(0),
        waiting: AtomicUsize::new(0),
        given_up: AtomicUsize::new(0),
    });
    let serving = Arc::clone(&answers);
    let done = tokio::spawn(async move {
        let threads = Threads::start().unwrap();
        serve(listener, present, Arc::new(limits), &threads, serving, stop).await;
    });
    Server {
        address,
        ca: certificate.ca,
        answers,
        tls,
        shutdown,
        done,
    }
}

impl Server {
    /// A TLS client of `versions` that offers `alpn`.
    async fn client(
        &self,
        versions: &[&'static SupportedProtocolVersion],
        alpn: &[&[u8]],
    ) -> std::io::Result<TlsStream<TcpStream>> {
        let mut roots = RootCertStore::empty();
        roots
            .add(CertificateDer::from_pem_slice(self.ca.as_bytes()).unwrap())
            .unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let mut config = ClientConfig::builder_with_provider(provider)
            .with_protocol_versions(versions)
            .unwrap()
            .with_root_certificates(roots)
            .with_no_client_auth();
        config.alpn_protocols = alpn.iter().map(|name| name.to_vec()).collect();
        let stream = TcpStream::connect(self.address).await?;
        let name = ServerName::try_from("127.0.0.1").unwrap();
        TlsConnector::from(Arc::new(config))
            .connect(name, stream)
            .await
    }

    /// A client of the newest TLS that speaks HTTP/1.1 without saying so.
    async fn http1(&self) -> TlsStream<TcpStream> {
        self.client(rustls::ALL_VERSIONS, &[]).await.unwrap()
    }

    /// A client that speaks HTTP/2 and has sent the preface.
    async fn http2(&self) -> TlsStream<TcpStream> {
        let mut client = self.client(rustls::ALL_VERSIONS, &[b"h2"]).await.unwrap();
        assert_eq!(client.get_ref().1.alpn_protocol(), Some(b"h2".as_slice()));
        let preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0";
        client.write_all(preface).await.unwrap();
        client
    }

    /// Waits until so many `/wait` requests have reached the handler.
    async fn waiting(&self, count: usize) {
        eventually(|| self.answers.waiting.load(SeqCst) == count).await;
    }
}

/// Waits until `condition` holds.
async fn eventually(condition: impl Fn() -> bool) {
    let poll = async {
        while !condition() {
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), poll).await.unwrap();
}

/// Sends a GET and reads its response.
async fn get(client: &mut TlsStream<TcpStream>, path: &str) -> String {
    let request = format!("GET {path} HTTP/1.1\r\nHost: t\r\n\r\n");
    client.write_all(request.as_bytes()).await.unwrap();
    response(client).await
}

/// Reads one HTTP/1.1 response with a `Content-Length`.
async fn response(client: &mut TlsStream<TcpStream>) -> String {
    let mut text = String::new();
    let read = async {
        loop {
            text.push(char::from(client.read_u8().await.unwrap()));
            if let Some((head, body)) = text.split_once("\r\n\r\n") {
                let length = head
                    .lines()
                    .find_map(|line| line.strip_prefix("content-length: "))
                    .map_or(0, |length| length.parse().unwrap());
                if body.len() == length {
                    break;
                }
            }
        }
    };
    timeout(Duration::from_secs(30), read).await.unwrap();
    text
}

/// What `client` still receives until the server closes, which it must.
async fn until_closed(client: &mut (impl AsyncReadExt + Unpin)) -> Vec<u8> {
    let mut received = Vec::new();
    // A connection that is cut, not closed, ends in an error; both are an end.
    let _ = timeout(Duration::from_secs(30), client.read_to_end(&mut received))
        .await
        .expect("the server keeps the connection open");
    received
}

//! Asks a server on this machine whether it is well: `/readyz` over TLS.
//!
//! It trusts the one certificate that the server is configured with and no authority: a name is not asked for, because
//! the certificate is for the outside and the connection is to an address.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr, SocketAddr};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, Empty, Limited};
use hyper::client::conn::http1;
use hyper::{Request, header};
use hyper_util::rt::TokioIo;
use rustls::client::danger::{HandshakeSignatureValid, ServerCertVerified, ServerCertVerifier};
use rustls::crypto::{CryptoProvider, aws_lc_rs, verify_tls12_signature, verify_tls13_signature};
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use rustls::{ClientConfig, DigitallySignedStruct, SignatureScheme};
use serde_json::Value;
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

/// How long the server may take to answer.
const PATIENCE: Duration = Duration::from_secs(15);

/// Longest answer that is read.
const LONGEST: usize = 64 * 1024;

/// Why a server does not say that it is well.
#[derive(Debug, thiserror::Error)]
pub enum Unwell {
    /// There is no connection, or no TLS over it.
    #[error("{address} does not answer")]
    Unreachable {
        /// Where it was asked.
        address: SocketAddr,
        /// What the system or TLS says.
        source: std::io::Error,
    },
    /// rustls refuses the configuration.
    #[error("TLS cannot be set up")]
    Tls(#[from] rustls::Error),
    /// It broke off.
    #[error("the answer broke off")]
    Broken(#[from] hyper::Error),
    /// The request could not be made.
    #[error("the request cannot be made")]
    Request(#[from] hyper::http::Error),
    /// It answered something else than 200.
    #[error("it says {0}: {1}")]
    Status(u16, String),
    /// It took too long.
    #[error("it did not answer within {} s", PATIENCE.as_secs())]
    Slow,
}

/// Comes back if the server whose admin listener is at `address` and presents `certificate` takes writes.
pub async fn ready(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
) -> Result<(), Unwell> {
    let asked = timeout(PATIENCE, ask(here(address), certificate));
    match asked.await.unwrap_or(Err(Unwell::Slow))? {
        (200, _) => Ok(()),
        (status, why) => Err(Unwell::Status(status, why)),
    }
}

/// Where this machine reaches a listener at `address`.
fn here(mut address: SocketAddr) -> SocketAddr {
    if address.ip().is_unspecified() {
        address.set_ip(match address.ip() {
            IpAddr::V4(_) => Ipv4Addr::LOCALHOST.into(),
            IpAddr::V6(_) => Ipv6Addr::LOCALHOST.into(),
        });
    }
    address
}

/// The status of the answer, and its reason if it is none that is good.
async fn ask(
    address: SocketAddr,
    certificate: &CertificateDer<'static>,
) -> Result<(u16, String), Unwell> {
    let provider = Arc::new(aws_lc_rs::default_provider());
    let only = Only {
        certificate: certificate.clone(),
        provider: Arc::clone(&provider),
    };
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()?
        .dangerous()
        .with_custom_certificate_verifier(Arc::new(only))
        .with_no_client_auth();
    let unreachable = |source| Unwell::Unreachable { address, source };
    let stream = TcpStream::connect(address).await.map_err(unreachable)?;
    let stream = TlsConnector::from(Arc::new(config))
        .connect(address.ip().into(), stream)
        .await
        .map_err(unreachable)?;
    let (mut sender, connection) = http1::handshake(TokioIo::new(stream)).await?;
    let request = Request::get("/readyz")
        .header(header::HOST, address.to_string())
        .body(Empty::<Bytes>::new())?;
    let answered = async {
        let answer = sender.send_request(request).await?;
        let status = answer.status().as_u16();
        let problem = Limited::new(answer.into_body(), LONGEST).collect().await;
        // What cannot be read as a problem has no reason.
        let problem = problem.ok().map(|problem| problem.to_bytes());
        let problem = problem.and_then(|text| serde_json::from_slice::<Value>(&text).ok());
        let detail = problem.as_ref().and_then(|problem| problem.get("detail"));
        let detail = detail.and_then(Value::as_str).unwrap_or("no reason");
        Ok((status, detail.to_owned()))
    };
    tokio::select! {
        biased;
        answer = answered => answer,
        // It ends first only where there is no answer.
        ended = connection => Err(ended.err().map_or(Unwell::Slow, Unwell::Broken)),
    }
}

/// Trusts one certificate.
#[derive(Debug)]
struct Only {
    certificate: CertificateDer<'static>,
    provider: Arc<CryptoProvider>,
}

impl ServerCertVerifier for Only {
    fn verify_server_cert(
        &self,
        presented: &CertificateDer<'_>,
        _: &[CertificateDer<'_>],
        _: &ServerName<'_>,
        _: &[u8],
        _: UnixTime,
    ) -> Result<ServerCertVerified, rustls::Error> {
        match *presented == self.certificate {
            true => Ok(ServerCertVerified::assertion()),
            false => Err(rustls::Error::General(
                "the server has another certificate than the configured file; SIGHUP has it read again".to_owned(),
            )),
        }
    }

    fn verify_tls12_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls12_signature(message, presented, signature, algorithms)
    }

    fn verify_tls13_signature(
        &self,
        message: &[u8],
        presented: &CertificateDer<'_>,
        signature: &DigitallySignedStruct,
    ) -> Result<HandshakeSignatureValid, rustls::Error> {
        let algorithms = &self.provider.signature_verification_algorithms;
        verify_tls13_signature(message, presented, signature, algorithms)
    }

    fn supported_verify_schemes(&self) -> Vec<SignatureScheme> {
        self.provider
            .signature_verification_algorithms
            .supported_schemes()
    }
}

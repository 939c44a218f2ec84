//! How messages travel to a syslog receiver: TCP and TLS with octet counting (RFC 6587 §3.4.1, RFC 5425), UDP (RFC
//! 5426) and datagrams on a Unix socket. Nothing here knows what a message says.

use std::future::pending;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use rustls::crypto::aws_lc_rs;
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::{ClientConfig, RootCertStore};
use tokio::io::{AsyncRead, AsyncReadExt, AsyncWrite, AsyncWriteExt};
use tokio::net::{TcpStream, UdpSocket, UnixDatagram, lookup_host};
use tokio::time::timeout;
use tokio_rustls::TlsConnector;

use super::Destination;

/// How long a receiver may be silent about what it was sent until the kernel gives the connection up.
pub(super) const SILENCE: Duration = Duration::from_secs(5);
/// Longest time for a connection, the TLS handshake included, and for a batch to be taken.
const PATIENCE: Duration = Duration::from_secs(30);

/// Why a receiver could not be trusted with anything.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file of authorities cannot be read.
    #[error("cannot read the authorities in {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What is wrong with it.
        source: pem::Error,
    },
    /// There are no authorities.
    #[error(
        "no authority may vouch for the syslog receiver; name a file of them with syslog_ca under [audit]"
    )]
    NoAuthority,
    /// rustls refuses the configuration.
    #[error("TLS to the syslog receiver cannot be set up")]
    Tls(#[from] rustls::Error),
}

/// Makes connections.
pub(super) struct Connector {
    tls: Option<TlsConnector>,
}

impl Connector {
    /// Connections to `destination`; where it speaks TLS, `ca` or the machine's authorities vouch for it.
    pub(super) fn new(destination: &Destination, ca: Option<&Path>) -> Result<Self, Error> {
        let tls = match destination {
            Destination::Tls(..) => Some(tls(ca)?),
            _ => None,
        };
        Ok(Self { tls })
    }

    /// A connection.
    pub(super) async fn connect(&self, destination: &Destination) -> Result<Transport, IoError> {
        in_time(async {
            match (destination, &self.tls) {
                (Destination::Tls(host, port), Some(tls)) => {
                    let name = ServerName::try_from(host.clone()).map_err(IoError::other)?;
                    let stream = tls.connect(name, tcp(host, *port).await?).await?;
                    Ok(Transport::Stream(Box::new(stream)))
                }
                (Destination::Tcp(host, port) | Destination::Tls(host, port), _) => {
                    Ok(Transport::Stream(Box::new(tcp(host, *port).await?)))
                }
                (Destination::Udp(host, port), _) => udp(host, *port).await.map(Transport::Udp),
                (Destination::Unix(path), _) => {
                    let socket = UnixDatagram::unbound()?;
                    socket.connect(path)?;
                    Ok(Transport::Unix(socket))
                }
            }
        })
        .await
    }
}

fn tls(ca: Option<&Path>) -> Result<TlsConnector, Error> {
    let mut roots = RootCertStore::empty();
    match ca {
        Some(file) => {
            let unreadable = |source| Error::Unreadable {
                file: file.into(),
                source,
            };
            for certificate in CertificateDer::pem_file_iter(file).map_err(unreadable)? {
                roots.add(certificate.map_err(unreadable)?)?;
            }
        }
        None => {
            // Those that cannot be read vouch for nobody; the others do.
            roots.add_parsable_certificates(rustls_native_certs::load_native_certs().certs);
        }
    }
    if roots.is_empty() {
        return Err(Error::NoAuthority);
    }
    let config = ClientConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_safe_default_protocol_versions()?
        .with_root_certificates(roots)
        .with_no_client_auth();
    Ok(TlsConnector::from(Arc::new(config)))
}

async fn tcp(host: &str, port: u16) -> Result<TcpStream, IoError> {
    let stream = TcpStream::connect((host, port)).await?;
    socket2::SockRef::from(&stream).set_tcp_user_timeout(Some(SILENCE))?;
    Ok(stream)
}

async fn udp(host: &str, port: u16) -> Result<UdpSocket, IoError> {
    let mut last = IoError::from(ErrorKind::NotFound);
    for address in lookup_host((host, port)).await? {
        let any = match address.is_ipv4() {
            true => "0.0.0.0:0",
            false => "[::]:0",
        };
        let socket = UdpSocket::bind(any).await?;
        match socket.connect(address).await {
            Ok(()) => return Ok(socket),
            Err(error) => last = error,
        }
    }
    Err(last)
}

async fn in_time<T>(work: impl Future<Output = Result<T, IoError>>) -> Result<T, IoError> {
    let late = |_| IoError::from(ErrorKind::TimedOut);
    timeout(PATIENCE, work).await.map_err(late)?
}

/// A stream of either kind.
pub(super) trait Stream: AsyncRead + AsyncWrite + Send + Unpin {}

impl<S: AsyncRead + AsyncWrite + Send + Unpin> Stream for S {}

/// A connection.
pub(super) enum Transport {
    Stream(Box<dyn Stream>),
    Udp(UdpSocket),
    Unix(UnixDatagram),
}

impl Transport {
    /// Hands messages over to the kernel.
    pub(super) async fn send(
        &mut self,
        messages: impl Iterator<Item = String>,
    ) -> Result<(), IoError> {
        in_time(async {
            match self {
                Self::Stream(stream) => {
                    let framed: String = messages
                        .map(|message| format!("{} {message}", message.len()))
                        .collect();
                    stream.write_all(framed.as_bytes()).await?;
                    stream.flush().await?;
                }
                Self::Udp(socket) => {
                    for message in messages {
                        socket.send(message.as_bytes()).await?;
                    }
                }
                Self::Unix(socket) => {
                    for message in messages {
                        socket.send(message.as_bytes()).await?;
                    }
                }
            }
            Ok(())
        })
        .await
    }

    /// Comes back once the receiver has hung up or is known to be gone. What it says is not listened to.
    pub(super) async fn closed(&mut self) -> IoError {
        let mut said = [0; 256];
        loop {
            let read = match self {
                Self::Stream(stream) => match stream.read(&mut said).await {
                    Ok(0) => Err(ErrorKind::UnexpectedEof.into()),
                    read => read,
                },
                Self::Udp(socket) => socket.recv(&mut said).await,
                Self::Unix(_) => pending().await,
            };
            if let Err(error) = read {
                return error;
            }
        }
    }

    /// Ends our side, and tells whether the receiver has then hung up in order. Datagrams end with their sending.
    pub(super) async fn finish(&mut self) -> bool {
        if let Self::Stream(stream) = self {
            return stream.shutdown().await.is_ok()
                && self.closed().await.kind() == ErrorKind::UnexpectedEof;
        }
        true
    }
}

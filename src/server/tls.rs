//! A certificate and its key, from PEM files to the TLS configurations of the listeners.
//!
//! Never picks a certificate by name: one listener, one certificate.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys, RootCertStore, ServerConfig,
    crypto::{CryptoProvider, aws_lc_rs},
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    server::{WebPkiClientVerifier, danger::ClientCertVerifier},
    version::{TLS12, TLS13},
};

use super::chain::{self, Link};

/// Why a certificate and key cannot be used. Each names the file to look at.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file cannot be opened or read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: std::io::Error,
    },
    /// The file is not PEM.
    #[error("{} is not a valid PEM file", file.display())]
    NotPem {
        /// The file.
        file: PathBuf,
        /// What is wrong in it.
        source: pem::Error,
    },
    /// The certificate file holds no certificate.
    #[error("{} holds no certificate; it must be PEM, with the server's own certificate first", .0.display())]
    NoCertificate(PathBuf),
    /// The key file holds no usable private key.
    #[error("{} holds no private key; it must be PEM (PKCS#8, PKCS#1 or SEC1), without a passphrase", .0.display())]
    NoKey(PathBuf),
    /// The key belongs to another certificate.
    #[error("the key in {} does not belong to the first certificate in {}", key.display(), certificate.display())]
    Mismatch {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
    },
    /// A certificate behind the first one is none.
    #[error("certificate {number} in {} cannot be read; the file must hold the chain alone, each certificate whole", file.display())]
    Broken {
        /// The certificate file.
        file: PathBuf,
        /// Which, from 1.
        number: usize,
    },
    /// A certificate is no authority that could sign those of clients.
    #[error("{} cannot be used as the authority of client certificates", file.display())]
    Authority {
        /// The file.
        file: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
    /// rustls refuses the pair for another reason.
    #[error("{} and {} cannot be used for TLS", certificate.display(), key.display())]
    Unusable {
        /// The certificate file.
        certificate: PathBuf,
        /// The key file.
        key: PathBuf,
        /// What rustls says.
        source: rustls::Error,
    },
}

/// Where certificate and key are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain (PEM), the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key (PEM: PKCS#8, PKCS#1 or SEC1).
    pub key: PathBuf,
    /// The authorities (PEM) whose client certificates the admin listener asks for, if it does.
    pub admin_client_ca: Option<PathBuf>,
}

/// What the files hold, ready for the listeners. Each listener has its own configuration, so that a session that began
/// without a client's certificate cannot be resumed where one is asked for.
pub struct Loaded {
    /// For SCIM.
    pub scim: Arc<ServerConfig>,
    /// For the administrator.
    pub admin: Arc<ServerConfig>,
    /// The chain, the server's own certificate first; never empty.
    pub chain: Vec<CertificateDer<'static>>,
    /// What each certificate of the chain says.
    pub links: Vec<Link>,
}

/// Reads `files`: the chain, its key, and the authorities of clients.
pub fn load(files: &TlsFiles) -> Result<Loaded, Error> {
    let TlsFiles {
        certificate, key, ..
    } = files;
    let chain = certificates(certificate)?;
    regular(key)?;
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => Error::NoKey(key.into()),
        error => unreadable(key, error),
    })?;
    let provider = Arc::new(aws_lc_rs::default_provider());
    let clients = match &files.admin_client_ca {
        Some(file) => client_verifier(&provider, file)?,
        None => WebPkiClientVerifier::no_client_auth(),
    };
    let configured = |clients| {
        configure(&provider, clients, chain.clone(), private_key.clone_key())
            .map_err(|source| refused(certificate, key, source))
    };
    let scim = configured(WebPkiClientVerifier::no_client_auth())?;
    let admin = configured(clients)?;
    // rustls reads the first certificate only; a broken one behind it would be sent to every client.
    let links = chain::links(&chain).map_err(|number| Error::Broken {
        file: certificate.into(),
        number,
    })?;
    Ok(Loaded {
        scim,
        admin,
        chain,
        links,
    })
}

/// The certificates in a PEM file: at least one.
fn certificates(file: &Path) -> Result<Vec<CertificateDer<'static>>, Error> {
    regular(file)?;
    let chain = CertificateDer::pem_file_iter(file)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(file, error))?;
    match chain.is_empty() {
        true => Err(Error::NoCertificate(file.into())),
        false => Ok(chain),
    }
}

/// What asks a client for a certificate of one of the authorities in `file`.
fn client_verifier(
    provider: &Arc<CryptoProvider>,
    file: &Path,
) -> Result<Arc<dyn ClientCertVerifier>, Error> {
    let unusable = |source| Error::Authority {
        file: file.into(),
        source,
    };
    let mut roots = RootCertStore::empty();
    for authority in certificates(file)? {
        roots.add(authority).map_err(unusable)?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(roots), Arc::clone(provider))
        .build()
        .map_err(|error| unusable(rustls::Error::General(error.to_string())))
}

/// The configuration of one listener: TLS 1.2 and 1.3, HTTP/2 and HTTP/1.1 by ALPN.
fn configure(
    provider: &Arc<CryptoProvider>,
    clients: Arc<dyn ClientCertVerifier>,
    chain: Vec<CertificateDer<'static>>,
    key: PrivateKeyDer<'static>,
) -> Result<Arc<ServerConfig>, rustls::Error> {
    // The provider's suites are all ECDHE with AES-GCM or ChaCha20: the GCM suites that Entra names, and none without
    // forward secrecy.
    let mut config = ServerConfig::builder_with_provider(Arc::clone(provider))
        .with_protocol_versions(&[&TLS13, &TLS12])?
        .with_client_cert_verifier(clients)
        .with_single_cert(chain, key)?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The provider's order puts AES-GCM first, which is what server hardware is fast at.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
}

/// Refuses what is no regular file: a FIFO would keep whoever reads it waiting for ever.
fn regular(file: &Path) -> Result<(), Error> {
    let found = file.metadata().and_then(|found| match found.is_file() {
        true => Ok(()),
        false => Err(std::io::Error::other("it is no regular file")),
    });
    found.map_err(|error| unreadable(file, pem::Error::Io(error)))
}

fn unreadable(file: &Path, error: pem::Error) -> Error {
    let file = file.into();
    match error {
        pem::Error::Io(source) => Error::Unreadable { file, source },
        source => Error::NotPem { file, source },
    }
}

fn refused(certificate: &Path, key: &Path, error: rustls::Error) -> Error {
    let (certificate, key) = (certificate.into(), key.into());
    match error {
        rustls::Error::InconsistentKeys(InconsistentKeys::KeyMismatch) => {
            Error::Mismatch { certificate, key }
        }
        source => Error::Unusable {
            certificate,
            key,
            source,
        },
    }
}

#[cfg(test)]
mod tests;

//! A certificate and its key, from PEM files to the TLS configuration of a listener.
//!
//! Never picks a certificate by name: one listener, one certificate.

use std::{
    path::{Path, PathBuf},
    sync::Arc,
};

use rustls::{
    InconsistentKeys, ServerConfig,
    crypto::aws_lc_rs,
    pki_types::{
        CertificateDer, PrivateKeyDer,
        pem::{self, PemObject},
    },
    version::{TLS12, TLS13},
};

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

/// The TLS configuration that presents the chain in `certificate` (PEM, the server's own certificate first) with the
/// private key in `key` (PEM: PKCS#8, PKCS#1 or SEC1). TLS 1.2 and 1.3; HTTP/2 and HTTP/1.1 by ALPN.
pub fn load(certificate: &Path, key: &Path) -> Result<Arc<ServerConfig>, Error> {
    let chain = CertificateDer::pem_file_iter(certificate)
        .and_then(Iterator::collect::<Result<Vec<_>, _>>)
        .map_err(|error| unreadable(certificate, error))?;
    if chain.is_empty() {
        return Err(Error::NoCertificate(certificate.into()));
    }
    let private_key = PrivateKeyDer::from_pem_file(key).map_err(|error| match error {
        pem::Error::NoItemsFound => Error::NoKey(key.into()),
        error => unreadable(key, error),
    })?;
    // The provider's suites are all ECDHE with AES-GCM or ChaCha20: what Entra asks of a server, and nothing older.
    let mut config = ServerConfig::builder_with_provider(Arc::new(aws_lc_rs::default_provider()))
        .with_protocol_versions(&[&TLS13, &TLS12])
        .map(|builder| builder.with_no_client_auth())
        .and_then(|builder| builder.with_single_cert(chain, private_key))
        .map_err(|source| refused(certificate, key, source))?;
    config.alpn_protocols = vec![b"h2".to_vec(), b"http/1.1".to_vec()];
    // The provider's order puts AES-GCM first, which is what server hardware is fast at.
    config.ignore_client_order = true;
    Ok(Arc::new(config))
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
mod tests {
    use std::fs;

    use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

    use super::*;

    struct Files {
        directory: tempfile::TempDir,
    }

    impl Files {
        fn new() -> Self {
            let directory = tempfile::tempdir().unwrap();
            Self { directory }
        }

        fn path(&self, name: &str) -> PathBuf {
            self.directory.path().join(name)
        }

        fn write(&self, name: &str, text: &str) -> PathBuf {
            let path = self.path(name);
            fs::write(&path, text).unwrap();
            path
        }

        /// The certificate of `key` on disk.
        fn certificate(&self, key: &KeyPair) -> PathBuf {
            let params = CertificateParams::new(["localhost".to_owned()]).unwrap();
            self.write("server.crt", &params.self_signed(key).unwrap().pem())
        }
    }

    /// PEM of `der`, because rcgen writes PKCS#8 only.
    fn pem(label: &str, der: &[u8]) -> String {
        const ALPHABET: &[u8] = b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
        let mut text = format!("-----BEGIN {label}-----\n");
        for group in der.chunks(3) {
            let bits = group
                .iter()
                .fold(0, |bits, byte| bits << 8 | usize::from(*byte));
            let bits = bits << (8 * (3 - group.len()));
            for place in 0..4 {
                let letter = ALPHABET[bits >> (18 - 6 * place) & 63];
                text.push(if place <= group.len() {
                    letter.into()
                } else {
                    '='
                });
            }
        }
        text + &format!("\n-----END {label}-----\n")
    }

    /// The older form of a key that PKCS#8 wraps, which begins at `offset`.
    fn unwrapped(key: &KeyPair, offset: usize) -> Vec<u8> {
        let der = key.serialize_der();
        let inner = der[offset..].to_vec();
        assert_eq!(inner[0], 0x30, "a sequence begins here");
        inner
    }

    #[test]
    fn keys_of_every_kind() {
        let files = Files::new();
        let ec = KeyPair::generate().unwrap();
        let rsa = KeyPair::generate_rsa_for(&PKCS_RSA_SHA256, RsaKeySize::_2048).unwrap();
        for (key, text) in [
            (&ec, ec.serialize_pem()),
            (&ec, pem("EC PRIVATE KEY", &unwrapped(&ec, 29))),
            (&rsa, rsa.serialize_pem()),
            (&rsa, pem("RSA PRIVATE KEY", &unwrapped(&rsa, 26))),
        ] {
            let config = load(&files.certificate(key), &files.write("server.key", &text)).unwrap();
            assert_eq!(config.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
        }
    }

    #[test]
    fn key_and_certificate_may_share_a_file() {
        let files = Files::new();
        let key = KeyPair::generate().unwrap();
        let certificate = files.certificate(&key);
        let both = fs::read_to_string(&certificate).unwrap() + &key.serialize_pem();
        let both = files.write("both.pem", &both);
        load(&both, &both).unwrap();
    }

    #[test]
    fn every_mistake_names_its_file_in_one_line() {
        let files = Files::new();
        let key = KeyPair::generate().unwrap();
        let good = files.certificate(&key);
        let good_key = files.write("server.key", &key.serialize_pem());
        let other_key = files.write("other.key", &KeyPair::generate().unwrap().serialize_pem());
        let empty = files.write("empty.pem", "");
        let torn = files.write("torn.pem", "-----BEGIN CERTIFICATE-----\nMIIB");
        let noise = files.write("noise.pem", &pem("CERTIFICATE", b"not a certificate"));
        let odd_key = files.write("odd.key", &pem("PRIVATE KEY", b"not a key"));
        let missing = files.path("missing");
        for (certificate, key, culprit, says) in [
            (&missing, &good_key, &missing, "cannot read"),
            (&good, &missing, &missing, "cannot read"),
            (&empty, &good_key, &empty, "holds no certificate"),
            (&good_key, &good_key, &good_key, "holds no certificate"),
            (&good, &empty, &empty, "holds no private key"),
            (&good, &good, &good, "holds no private key"),
            (&torn, &good_key, &torn, "is not a valid PEM file"),
            (&good, &other_key, &other_key, "does not belong to"),
            (&noise, &good_key, &noise, "cannot be used"),
            (&good, &odd_key, &odd_key, "cannot be used"),
        ] {
            let error = load(certificate, key).unwrap_err().to_string();
            assert!(error.contains(says), "{error}");
            assert!(error.contains(&*culprit.to_string_lossy()), "{error}");
            assert_eq!(error.lines().count(), 1, "{error}");
        }
    }
}

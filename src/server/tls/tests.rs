//! Keys of every kind, chains, and what each mistake in the files says.

use std::fs;

use rcgen::{CertificateParams, KeyPair, PKCS_RSA_SHA256, RsaKeySize};

use super::*;

fn read(certificate: &Path, key: &Path) -> Result<Loaded, Error> {
    load(&TlsFiles {
        certificate: certificate.into(),
        key: key.into(),
        admin_client_ca: None,
    })
}

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
        let loaded = read(&files.certificate(key), &files.write("server.key", &text)).unwrap();
        assert_eq!(loaded.scim.alpn_protocols, [&b"h2"[..], b"http/1.1"]);
    }
}

#[test]
fn key_and_certificate_may_share_a_file() {
    let files = Files::new();
    let key = KeyPair::generate().unwrap();
    let certificate = files.certificate(&key);
    let both = fs::read_to_string(&certificate).unwrap() + &key.serialize_pem();
    let both = files.write("both.pem", &both);
    read(&both, &both).unwrap();
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
    let text = |file: &Path| fs::read_to_string(file).unwrap();
    let torn_chain = files.write("chain.pem", &(text(&good) + &text(&noise)));
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
        (&torn_chain, &good_key, &torn_chain, "certificate 2 in"),
        (&good, &odd_key, &odd_key, "cannot be used"),
    ] {
        let error = read(certificate, key).err().unwrap().to_string();
        assert!(error.contains(says), "{error}");
        assert!(error.contains(&*culprit.to_string_lossy()), "{error}");
        assert_eq!(error.lines().count(), 1, "{error}");
    }
}

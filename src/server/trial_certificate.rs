//! A certificate to start with: `init` makes a private CA and one server certificate, so that a first run has TLS and
//! a client has something to trust.
//!
//! The CA's key is never kept: nobody can later sign a second certificate that those who trust this CA would accept.
//! Renewal means a new pair, or better a certificate from a real CA.

use std::time::{Duration, SystemTime};

use rcgen::{
    BasicConstraints, CertificateParams, DistinguishedName, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use zeroize::Zeroizing;

/// 825 days: the longest that strict clients (Apple's) accept from a private CA, and renewal costs new trust. The CA lives
/// as long: it can sign nothing else.
const VALID: Duration = Duration::from_secs(825 * 24 * 60 * 60);
/// Valid from a little earlier, for clients whose clock is behind.
const CLOCK_SKEW: Duration = Duration::from_secs(60 * 60);
/// Names under which the machine itself reaches the server.
const LOCAL_NAMES: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// A server certificate with what is needed to use and to trust it, in PEM.
pub struct TrialCertificate {
    /// The CA's certificate, for the clients to trust.
    pub ca: String,
    /// The server's certificate.
    pub certificate: String,
    /// The server's private key, PKCS#8.
    pub key: Zeroizing<String>,
}

/// Makes a CA and a server certificate (ECDSA P-256) for `host`, a DNS name or an IP address, and for the names of the
/// machine to itself. Fails only if `host` can be neither.
pub fn generate(host: &str, now: SystemTime) -> Result<TrialCertificate, rcgen::Error> {
    let mut ca = params(Vec::new(), &format!("Scimlite trial CA for {host}"), now)?;
    ca.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    ca.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    let ca_key = KeyPair::generate()?;
    let ca_certificate = ca.self_signed(&ca_key)?;

    let mut names = vec![host.to_owned()];
    names.extend(
        LOCAL_NAMES
            .iter()
            .filter(|name| **name != host)
            .map(ToString::to_string),
    );
    let mut server = params(names, "Scimlite trial certificate", now)?;
    server.is_ca = IsCa::ExplicitNoCa;
    server.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    server.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    server.use_authority_key_identifier_extension = true;
    let key = KeyPair::generate()?;
    let certificate = server.signed_by(&key, &Issuer::new(ca, ca_key))?;

    Ok(TrialCertificate {
        ca: ca_certificate.pem(),
        certificate: certificate.pem(),
        key: Zeroizing::new(key.serialize_pem()),
    })
}

fn params(
    names: Vec<String>,
    common_name: &str,
    now: SystemTime,
) -> Result<CertificateParams, rcgen::Error> {
    let mut params = CertificateParams::new(names)?;
    params.distinguished_name = DistinguishedName::new();
    // X.520 allows 64 characters, and a host name may have 253.
    let common_name: String = common_name.chars().take(64).collect();
    params
        .distinguished_name
        .push(DnType::CommonName, common_name);
    params.not_before = (now - CLOCK_SKEW).into();
    params.not_after = (now - CLOCK_SKEW + VALID).into();
    Ok(params)
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use rustls::{
        RootCertStore,
        client::{WebPkiServerVerifier, danger::ServerCertVerifier},
        crypto::aws_lc_rs,
        pki_types::{CertificateDer, ServerName, UnixTime, pem::PemObject},
    };

    use super::*;

    const DAY: Duration = Duration::from_secs(24 * 60 * 60);

    /// Whether a client that trusts the CA takes the certificate for `name` at `at`.
    fn accepted(trial: &TrialCertificate, name: &str, at: SystemTime) -> bool {
        let mut roots = RootCertStore::empty();
        let ca = CertificateDer::from_pem_slice(trial.ca.as_bytes()).unwrap();
        roots.add(ca).unwrap();
        let provider = Arc::new(aws_lc_rs::default_provider());
        let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
            .build()
            .unwrap();
        let certificate = CertificateDer::from_pem_slice(trial.certificate.as_bytes()).unwrap();
        let name = ServerName::try_from(name.to_owned()).unwrap();
        let at = UnixTime::since_unix_epoch(at.duration_since(SystemTime::UNIX_EPOCH).unwrap());
        verifier
            .verify_server_cert(&certificate, &[], &name, &[], at)
            .is_ok()
    }

    #[test]
    fn a_client_that_trusts_the_ca_accepts_every_name() {
        let now = SystemTime::now();
        for host in ["scim.example.com", "192.0.2.7", "2001:db8::7", "localhost"] {
            let trial = generate(host, now).unwrap();
            for name in [host, "localhost", "127.0.0.1", "::1"] {
                assert!(accepted(&trial, name, now), "{name} of {host}");
            }
            assert!(!accepted(&trial, "other.example.com", now));
        }
    }

    #[test]
    fn it_holds_for_825_days() {
        let now = SystemTime::now();
        let trial = generate("localhost", now).unwrap();
        assert!(accepted(&trial, "localhost", now - Duration::from_secs(60)));
        assert!(accepted(&trial, "localhost", now + DAY * 824));
        assert!(!accepted(&trial, "localhost", now + DAY * 826));
        assert!(!accepted(&trial, "localhost", now - DAY));
    }

    #[test]
    fn another_ca_does_not_vouch_for_it() {
        let now = SystemTime::now();
        let (ours, theirs) = (
            generate("localhost", now).unwrap(),
            generate("localhost", now).unwrap(),
        );
        let mixed = TrialCertificate {
            ca: theirs.ca,
            ..ours
        };
        assert!(!accepted(&mixed, "localhost", now));
    }

    #[test]
    fn a_host_of_any_length_fits() {
        let host = format!("{}.example.com", ["label"; 30].join("."));
        let now = SystemTime::now();
        assert!(accepted(&generate(&host, now).unwrap(), &host, now));
        assert!(generate("ünïcode", now).is_err());
    }
}

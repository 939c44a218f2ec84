//! What a certificate chain says: whose it is, until when, for which names, and whether its order is right.
//!
//! Nothing here decides about trust: whether a client accepts the chain is the client's to say.

use jiff::Timestamp;
use rustls::client::verify_server_name;
use rustls::pki_types::{CertificateDer, ServerName};
use rustls::server::ParsedCertificate;
use x509_parser::certificate::X509Certificate;
use x509_parser::error::X509Error;
use x509_parser::prelude::FromDer;

/// What one certificate of a chain says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Whose it is, as RFC 4514 writes it.
    pub subject: String,
    /// Who signed it.
    pub issuer: String,
    /// Valid from.
    pub starts: Timestamp,
    /// Valid until.
    pub ends: Timestamp,
    /// Whether its owner signed it.
    pub self_signed: bool,
    /// Whether the owner of the next certificate signed it; true of the last one.
    pub signed_by_next: bool,
}

/// What each certificate of a chain says, in its order. Fails with the number, from 1, of the first that is none.
pub fn links(chain: &[CertificateDer<'_>]) -> Result<Vec<Link>, usize> {
    let parsed = chain
        .iter()
        .enumerate()
        .map(|(index, der)| parse(der).map_err(|_| index + 1))
        .collect::<Result<Vec<_>, _>>()?;
    let nexts = parsed.iter().skip(1).map(Some).chain([None]);
    let links = parsed.iter().zip(nexts).zip(1..);
    links
        .map(|((certificate, next), number)| link(certificate, next).ok_or(number))
        .collect()
}

/// Whether a client that asks for `host` finds it among the names of `certificate`, as clients compare them (RFC 6125).
pub fn names(certificate: &CertificateDer<'_>, host: &str) -> bool {
    let Ok(name) = ServerName::try_from(host) else {
        return false;
    };
    ParsedCertificate::try_from(certificate)
        .and_then(|parsed| verify_server_name(&parsed, &name))
        .is_ok()
}

fn parse<'a>(der: &'a CertificateDer<'_>) -> Result<X509Certificate<'a>, X509Error> {
    Ok(X509Certificate::from_der(der)?.1)
}

/// None if its dates are none.
fn link(certificate: &X509Certificate<'_>, next: Option<&X509Certificate<'_>>) -> Option<Link> {
    let instant = |seconds| Timestamp::from_second(seconds).ok();
    let validity = certificate.validity();
    Some(Link {
        subject: certificate.subject().to_string(),
        issuer: certificate.issuer().to_string(),
        starts: instant(validity.not_before.timestamp())?,
        ends: instant(validity.not_after.timestamp())?,
        self_signed: signed(certificate, certificate),
        signed_by_next: next.is_none_or(|next| signed(certificate, next)),
    })
}

/// Whether the owner of `by` signed `certificate`. Of a signature that cannot be computed here (P-521, say) the names tell.
fn signed(certificate: &X509Certificate<'_>, by: &X509Certificate<'_>) -> bool {
    let verified = certificate.verify_signature(Some(by.public_key()));
    certificate.issuer().as_raw() == by.subject().as_raw()
        && !matches!(verified, Err(X509Error::SignatureVerificationError))
}

#[cfg(test)]
mod tests {
    use rcgen::{CertificateParams, KeyPair};

    use super::*;

    #[test]
    fn names_as_clients_compare_them() {
        let names_of = [
            "scim.example.com",
            "*.wild.example.com",
            "192.0.2.7",
            "2001:db8::7",
        ];
        let params = CertificateParams::new(names_of.map(str::to_owned)).unwrap();
        let certificate = params.self_signed(&KeyPair::generate().unwrap()).unwrap();
        for (host, expected) in [
            ("scim.example.com", true),
            ("SCIM.example.com", true),
            ("a.wild.example.com", true),
            ("a.b.wild.example.com", false),
            ("wild.example.com", false),
            ("192.0.2.7", true),
            ("192.0.2.8", false),
            ("2001:db8::7", true),
            ("no host", false),
        ] {
            assert_eq!(names(certificate.der(), host), expected, "{host}");
        }
    }
}

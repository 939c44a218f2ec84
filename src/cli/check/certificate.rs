//! The certificate: whether it opens and fits its key, whether the chain is in order, for whom and until when it is good.

use jiff::{SignedDuration, Timestamp};

use super::{Finding, Verdict};
use crate::config::Config;
use crate::server::chain::{self, Link};
use crate::server::tls;

/// Time in which somebody should see to the renewal: the first distance at which a running server announces the end.
const SOON: SignedDuration = SignedDuration::from_hours(24 * 30);

/// What is to be said of the certificate and its key.
pub fn check(config: &Config) -> Vec<Finding> {
    let loaded = match tls::load(&config.tls) {
        Ok(loaded) => loaded,
        Err(error) => {
            let text = format!("{:#}", anyhow::Error::from(error));
            return vec![Finding::new("certificate", Verdict::Fail, text)];
        }
    };
    let file = config.tls.certificate.display();
    let mut findings = vec![(Verdict::Ok, format!("{file} opens and fits its key"))];
    findings.extend(order(&loaded.links));
    let host = &config.host;
    let named = loaded
        .chain
        .first()
        .is_some_and(|own| chain::names(own, host));
    findings.push(match (named, &config.public_url) {
        (true, _) => (Verdict::Ok, format!("it is good for {host}")),
        (false, None) => (Verdict::Fail, format!("it is not good for {host}, and clients refuse it; put a name that it has under `host`")),
        (false, Some(url)) => (Verdict::Warn, format!("it is not good for {host}: right only if a proxy at {url} is what clients see")),
    });
    let now = Timestamp::now();
    findings.extend(loaded.links.iter().map(|link| dates(link, now)));
    let finding = |(verdict, text)| Finding::new("certificate", verdict, text);
    findings.into_iter().map(finding).collect()
}

/// Whether each certificate is signed by the one after it, up to one that clients may know.
fn order(links: &[Link]) -> Option<(Verdict, String)> {
    if let Some(link) = links.iter().find(|link| !link.signed_by_next) {
        let text = format!(
            "the chain is out of order: after `{}` has to come its issuer, `{}`",
            link.subject, link.issuer
        );
        return Some((Verdict::Fail, text));
    }
    match links {
        [own] if own.self_signed => {
            let text =
                "it is signed by itself: clients have to trust it one by one, and Entra does not";
            Some((Verdict::Warn, text.to_owned()))
        }
        [own] => {
            let text = format!(
                "no intermediate certificate follows: clients that do not know `{}` refuse it, and so does Entra",
                own.issuer
            );
            Some((Verdict::Warn, text))
        }
        _ => Some((
            Verdict::Ok,
            format!("the chain of {} is in order", links.len()),
        )),
    }
}

fn dates(link: &Link, now: Timestamp) -> (Verdict, String) {
    let Link {
        subject,
        starts,
        ends,
        ..
    } = link;
    if *starts > now {
        return (
            Verdict::Fail,
            format!("`{subject}` is valid only from {starts}"),
        );
    }
    let left = ends.duration_since(now);
    let days = left.as_hours() / 24;
    if !left.is_positive() {
        (
            Verdict::Fail,
            format!("`{subject}` ended at {ends}; renew it"),
        )
    } else if left < SOON {
        (
            Verdict::Warn,
            format!("`{subject}` ends in {days} days, at {ends}; renew it"),
        )
    } else {
        (
            Verdict::Ok,
            format!("`{subject}` ends in {days} days, at {ends}"),
        )
    }
}

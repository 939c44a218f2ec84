//! Who asks: the bearer token of a request, and the answer to one that is not taken.

use std::net::IpAddr;
use std::sync::Arc;

use hyper::{Request, header};

use super::answer::Failure;
use super::strangers::Visit;
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::tokens::Principal;

/// The token that a request from `address` over the connection of `visit` presents, which `origin` then tells. Every
/// refusal looks the same from outside (C-04), and comes before anything of the body is read; after too many of them the
/// answer is 429 (design §6, C-78).
pub async fn authenticate<B>(
    directory: &Directory,
    request: &Request<B>,
    visit: &Visit,
    address: IpAddr,
    origin: &mut Origin,
) -> Result<Arc<Principal>, Failure> {
    let denied = match directory.authenticate(bearer(request), address).await? {
        Ok(principal) => {
            origin.actor = Arc::clone(&principal.actor);
            visit.known();
            return Ok(principal);
        }
        Err(denied) => denied,
    };
    directory.denied(origin, address, &denied);
    Err(match denied.retry_after {
        None => {
            Failure::new(401, "Authorization failure.").with(header::WWW_AUTHENTICATE, "Bearer")
        }
        Some(seconds) => Failure::new(
            429,
            "Too many failed authentications; wait, and check the token.",
        )
        .with(header::RETRY_AFTER, seconds),
    })
}

/// The token behind the one `Authorization: Bearer` (RFC 6750 §2.1); the scheme compares in any letter case.
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let mut values = request.headers().get_all(header::AUTHORIZATION).iter();
    let (Some(value), None) = (values.next(), values.next()) else {
        return None;
    };
    let value = value.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

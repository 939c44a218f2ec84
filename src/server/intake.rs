//! What every request goes through on either listener: whose it is, whether its URL and token are good, its body as
//! JSON, and at the end its id and its line in the log. What it means is for the handlers.

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Version};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::answer::{self, Failure, Reply};
use super::body::{self, BodyError};
use super::limits::Limits;
use crate::directory::Directory;
use crate::directory::audit::{Origin, request_id};
use crate::directory::tokens::Principal;
use crate::scim::json;

/// Deepest nesting of a JSON body: no message comes near it.
const JSON_DEPTH: usize = 64;
/// The header that carries the id under which the audit and the log know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bodies of a listener in memory at the same time, in KiB. As JSON values they take some twenty times that; further
/// requests wait.
const BODIES: usize = 16 * 1024;

/// What the requests of a listener share.
pub struct Intake {
    directory: Arc<Directory>,
    limits: Arc<Limits>,
    bodies: Arc<Semaphore>,
}

/// A body that was read, and the room that it takes until its request is done.
pub struct Content {
    /// The body.
    pub value: Value,
    /// Kept as long as anything of the body is.
    pub room: OwnedSemaphorePermit,
}

impl Intake {
    /// The intake of a listener.
    pub fn new(directory: Arc<Directory>, limits: Arc<Limits>) -> Self {
        Self {
            directory,
            limits,
            bodies: Arc::new(Semaphore::new(BODIES)),
        }
    }

    /// When a request that begins now has to be answered.
    pub fn deadline(&self) -> Instant {
        Instant::now() + self.limits.request
    }

    /// A little earlier than the request's own end, so that there is time to say why.
    pub fn answer_by(&self, deadline: Instant) -> Instant {
        deadline - self.limits.request / 10
    }

    /// Who asks, which `origin` then tells. Every refusal looks the same from outside (C-04).
    pub async fn authenticate<B>(
        &self,
        request: &Request<B>,
        peer: SocketAddr,
        origin: &mut Origin,
    ) -> Result<Principal, Failure> {
        let (token_id, reason) = match bearer(request) {
            None => (None, "no bearer token"),
            Some(presented) => match self.directory.authenticate(presented).await? {
                Ok(principal) => {
                    origin.actor = format!("token:{} ({})", principal.token_id, principal.name);
                    return Ok(principal);
                }
                Err(denied) => (denied.token_id, denied.reason),
            },
        };
        self.directory
            .denied(origin, peer.ip(), token_id.as_deref(), reason)
            .await?;
        Err(Failure::new(401, "Authorization failure.").with(header::WWW_AUTHENTICATE, "Bearer"))
    }

    /// Refuses a URL that is too long, and a request of HTTP/1.1 without its one Host (RFC 9112 §3.2).
    pub fn admit<B>(&self, request: &Request<B>) -> Result<(), Failure> {
        let url = request.uri().path_and_query();
        if url.map_or(0, |url| url.as_str().len()) > self.limits.url_size {
            return Err(Failure::new(
                414,
                format!("the URL is longer than {} bytes", self.limits.url_size),
            ));
        }
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            return Err(Failure::new(400, "HTTP/1.1 asks for one Host header"));
        }
        Ok(())
    }

    /// The JSON value of a body of at most `limit` bytes, once there is room for it.
    pub async fn json(
        &self,
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
    ) -> Result<Content, Failure> {
        let (bytes, room) = self.body(incoming, limit, deadline).await?;
        let value = parse(&bytes)?;
        Ok(Content { value, room })
    }

    /// A body of at most `limit` bytes, and the room that it takes.
    pub async fn body(
        &self,
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
    ) -> Result<(Bytes, OwnedSemaphorePermit), Failure> {
        let size = incoming
            .size_hint()
            .exact()
            .and_then(|size| usize::try_from(size).ok());
        let kib = size.unwrap_or(limit).min(limit).div_ceil(1024).min(BODIES);
        let room = Arc::clone(&self.bodies)
            .acquire_many_owned(u32::try_from(kib).unwrap_or(u32::MAX))
            .await
            .map_err(|_| late())?;
        let time = self
            .answer_by(deadline)
            .saturating_duration_since(Instant::now());
        let bytes = body::read(incoming, limit, time)
            .await
            .map_err(|error| match error {
                BodyError::TooLarge => {
                    Failure::new(413, format!("the body is larger than {limit} bytes"))
                }
                BodyError::Slow => Failure::new(408, "the body did not arrive in time"),
                BodyError::Broken => Failure::new(400, "the body did not arrive whole"),
            })?;
        Ok((bytes, room))
    }
}

/// The JSON value of a body.
pub fn parse(body: &[u8]) -> Result<Value, Failure> {
    Ok(json::parse(body, JSON_DEPTH)?)
}

/// Where a request comes from, before it is known whose it is.
pub fn origin(peer: SocketAddr) -> Origin {
    Origin {
        request_id: request_id(),
        actor: "unknown".to_owned(),
        source: peer.ip().to_string(),
        status: 0,
    }
}

/// The reply as it leaves: under the request's id, without a body where the method is HEAD, and with a line in the log.
pub fn finished(mut reply: Reply, method: &Method, origin: &Origin) -> Reply {
    if method == Method::HEAD {
        let length = reply.body().size_hint().exact().unwrap_or_default();
        answer::set(&mut reply, header::CONTENT_LENGTH, &length.to_string());
        *reply.body_mut() = Full::default();
    }
    answer::set(&mut reply, X_REQUEST_ID, &origin.request_id);
    let status = reply.status().as_u16();
    let (request_id, actor, source) = (&origin.request_id, &origin.actor, &origin.source);
    match reads(method) {
        true => tracing::debug!(%method, status, request_id, actor, source, "answered"),
        false => tracing::info!(%method, status, request_id, actor, source, "answered"),
    }
    reply
}

/// The answer when a request's time is over.
pub fn late() -> Failure {
    let detail = "the request took too long; what it asks for may still be done";
    Failure::new(503, detail).with(header::RETRY_AFTER, "5")
}

/// Whether a method changes nothing: all but the four that write.
pub fn reads(method: &Method) -> bool {
    !matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
}

/// A method and path as an audit row can hold them.
pub fn asked(method: &str, path: &str) -> String {
    const LETTERS: usize = 200;
    let asked = format!("{method} {path}");
    asked.chars().take(LETTERS).collect()
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

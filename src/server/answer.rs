//! Answers on the wire: SCIM JSON, errors included (RFC 7644 §3.12, C-79), and the JSON of the admin listener. One place
//! makes them, so that none leaves without its media type.

use bytes::Bytes;
use hyper::header::{self, HeaderName, HeaderValue};
use hyper::{Response, StatusCode};
use serde::Serialize;

use crate::directory::Refusal;
use crate::scim::{self, Object, ScimType, message};

/// What goes back to the client.
pub type Reply = Response<Bytes>;

/// The media type of every SCIM body.
const SCIM_JSON: HeaderValue = HeaderValue::from_static("application/scim+json");
/// The media type of every other body, errors apart.
const JSON: HeaderValue = HeaderValue::from_static("application/json");
/// The media type of errors of the admin listener.
const PROBLEM_JSON: HeaderValue = HeaderValue::from_static("application/problem+json");

/// Bytes that a body may waste.
const WASTE: usize = 64 * 1024;

/// A reply with a SCIM object.
pub fn object(status: u16, object: &impl Serialize) -> Reply {
    typed(status, object, SCIM_JSON)
}

/// A reply with SCIM that is JSON already.
pub fn scim(status: u16, json: Vec<u8>) -> Reply {
    written(status, json, SCIM_JSON)
}

/// A reply with JSON that is not SCIM. It may hold a secret, so nobody is to keep it.
pub fn json(status: u16, value: &impl Serialize) -> Reply {
    let mut reply = typed(status, value, JSON);
    let headers = reply.headers_mut();
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    reply
}

/// A reply with problem details (RFC 9457).
pub fn problem(status: u16, problem: &impl Serialize) -> Reply {
    typed(status, problem, PROBLEM_JSON)
}

fn typed(status: u16, value: &impl Serialize, media_type: HeaderValue) -> Reply {
    // Maps with text keys and text that is JSON always serialise.
    written(
        status,
        serde_json::to_vec(value).unwrap_or_default(),
        media_type,
    )
}

fn written(status: u16, mut body: Vec<u8>, media_type: HeaderValue) -> Reply {
    // A large one may wait long for its client; it grew by doubling.
    body.shrink_to(WASTE);
    let mut reply = empty(status);
    *reply.body_mut() = Bytes::from(body);
    reply.headers_mut().insert(header::CONTENT_TYPE, media_type);
    reply
}

/// A reply without a body.
pub fn empty(status: u16) -> Reply {
    let mut reply = Reply::default();
    *reply.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR);
    reply
}

/// Sets a header, if its value is one that HTTP can carry.
pub fn set(reply: &mut Reply, name: HeaderName, value: &str) {
    if let Ok(value) = HeaderValue::from_str(value) {
        reply.headers_mut().insert(name, value);
    }
}

/// Why a request is not answered as asked.
#[derive(Debug, Clone)]
pub struct Failure {
    /// The status.
    pub status: u16,
    /// The SCIM error type.
    pub scim_type: Option<ScimType>,
    /// The sentence for the client.
    pub detail: String,
    /// A header that belongs to the status: `Allow`, `WWW-Authenticate`.
    pub header: Option<Box<(HeaderName, HeaderValue)>>,
    /// What happened inside, for the log alone.
    pub cause: Option<String>,
}

impl Failure {
    /// A failure without a SCIM error type.
    pub fn new(status: u16, detail: impl Into<String>) -> Self {
        Self {
            status,
            scim_type: None,
            detail: detail.into(),
            header: None,
            cause: None,
        }
    }

    /// The same failure with a header.
    pub fn with(self, name: HeaderName, value: impl TryInto<HeaderValue>) -> Self {
        Self {
            header: value.try_into().ok().map(|value| Box::new((name, value))),
            ..self
        }
    }

    /// The SCIM error message.
    pub fn into_object(self) -> Object {
        message::error(self.status, self.scim_type, &self.detail)
    }

    /// The reply with it.
    pub fn into_reply(mut self) -> Reply {
        let header = self.header.take();
        let mut reply = object(self.status, &self.into_object());
        if let Some((name, value)) = header.map(|header| *header) {
            reply.headers_mut().insert(name, value);
        }
        reply
    }
}

impl From<Refusal> for Failure {
    fn from(refusal: Refusal) -> Self {
        let status = refusal.status();
        let cause = match &refusal {
            Refusal::Failed(cause) => Some(cause.clone()),
            Refusal::Store(error) => Some(error.to_string()),
            _ => None,
        };
        let retry_after = (header::RETRY_AFTER, HeaderValue::from_static("5"));
        Self {
            status,
            scim_type: refusal.scim_type(),
            detail: refusal.to_string(),
            header: matches!(status, 429 | 503).then(|| Box::new(retry_after)),
            cause,
        }
    }
}

impl From<scim::Error> for Failure {
    fn from(error: scim::Error) -> Self {
        Refusal::from(error).into()
    }
}

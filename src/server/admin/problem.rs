//! Why a request of the admin listener is not answered as asked: problem details (RFC 9457).

use hyper::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;

use crate::server::answer::{self, Failure, Reply};

/// Problem details (RFC 9457).
#[derive(Debug, Serialize, JsonSchema)]
pub struct Problem {
    /// What kind of problem: `/problems/` and a word of RFC 7644 §3.12, or `about:blank` where the status says it all.
    #[serde(rename = "type")]
    kind: String,
    /// The status in words.
    title: String,
    /// The status.
    status: u16,
    /// What is wrong and what to do.
    detail: String,
    /// The id under which the audit and the log know the request.
    request_id: String,
}

/// The reply for a failure of the request with this id.
pub fn reply(failure: Failure, request_id: &str) -> Reply {
    let status = failure.status;
    let reason = StatusCode::from_u16(status).ok();
    let reason = reason.and_then(|status| status.canonical_reason());
    let problem = Problem {
        kind: match failure.scim_type {
            Some(kind) => format!("/problems/{}", kind.as_str()),
            None => "about:blank".to_owned(),
        },
        title: reason.unwrap_or_default().to_owned(),
        status,
        detail: failure.detail,
        request_id: request_id.to_owned(),
    };
    let mut reply = answer::problem(status, &problem);
    if let Some((name, value)) = failure.header.map(|header| *header) {
        reply.headers_mut().insert(name, value);
    }
    reply
}

//! The admin listener: what a supervisor asks about the process (design §8, Addresses).

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::json;

use super::answer;
use super::listener::Handler;
use crate::directory::Directory;

/// Answers the requests of the admin listener.
pub struct Admin {
    directory: Arc<Directory>,
}

impl Admin {
    /// A handler over `directory`.
    pub fn new(directory: Arc<Directory>) -> Self {
        Self { directory }
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
        let (status, title) = match (request.uri().path(), request.method()) {
            ("/healthz", &Method::GET | &Method::HEAD) => (200, "alive"),
            ("/readyz", &Method::GET | &Method::HEAD) => match self.directory.ready().await {
                Ok(()) => (200, "ready"),
                Err(error) => {
                    tracing::error!(%error, "not ready");
                    (503, "the database does not take writes")
                }
            },
            ("/healthz" | "/readyz", _) => (405, "this path takes GET and HEAD"),
            _ => (404, "there is nothing at this path"),
        };
        let (body, media_type) = match status {
            200 => (json!({"status": title}), "application/json"),
            _ => (
                json!({"title": title, "status": status}),
                "application/problem+json",
            ),
        };
        let mut reply = answer::empty(status);
        *reply.body_mut() = Full::new(Bytes::from(body.to_string()));
        let headers = reply.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media_type));
        if status == 405 {
            headers.insert(header::ALLOW, HeaderValue::from_static("GET, HEAD"));
        }
        reply
    }
}

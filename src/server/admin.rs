//! The admin listener: what a supervisor asks about the process (design §8, Addresses).

use std::net::SocketAddr;
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderValue};
use hyper::{Method, Request, Response};
use serde_json::json;
use tokio::time::Instant;

use super::answer::{self, Reply};
use super::line::judged;
use super::listener::Handler;
use super::metrics::{self, Metrics};
use crate::directory::Directory;

/// What there is.
const PATHS: [&str; 3] = ["/healthz", "/readyz", "/metrics"];

/// Answers the requests of the admin listener.
pub struct Admin {
    directory: Arc<Directory>,
    metrics: Arc<Metrics>,
}

impl Admin {
    /// A handler over `directory` whose requests are counted by `metrics`.
    pub fn new(directory: Arc<Directory>, metrics: Arc<Metrics>) -> Self {
        Self { directory, metrics }
    }

    async fn respond(&self, method: &Method, path: &str) -> Reply {
        let (status, title) = match (path, method) {
            ("/metrics", &Method::GET | &Method::HEAD) => match self.metrics.text().await {
                Ok(text) => return reply(200, text, metrics::MEDIA_TYPE),
                Err(error) => {
                    tracing::error!(%error, "no metrics");
                    (503, "the database cannot be read")
                }
            },
            ("/healthz", &Method::GET | &Method::HEAD) => (200, "alive"),
            ("/readyz", &Method::GET | &Method::HEAD) => match self.directory.ready().await {
                Ok(()) => (200, "ready"),
                Err(error) => {
                    tracing::error!(%error, "not ready");
                    (503, "the database does not take writes")
                }
            },
            _ if PATHS.contains(&path) => (405, "this path takes GET and HEAD"),
            _ => (404, "there is nothing at this path"),
        };
        let (body, media_type) = match status {
            200 => (json!({"status": title}), "application/json"),
            _ => (
                json!({"title": title, "status": status}),
                "application/problem+json",
            ),
        };
        let mut reply = reply(status, body.to_string(), media_type);
        if status == 405 {
            answer::set(&mut reply, header::ALLOW, "GET, HEAD");
        }
        reply
    }
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>, _: SocketAddr) -> Response<Full<Bytes>> {
        let started = Instant::now();
        let (method, path) = (request.method(), request.uri().path());
        let reply = self.respond(method, path).await;
        let route = PATHS.into_iter().find(|known| *known == path);
        let (route, status) = (route.unwrap_or("unknown"), reply.status().as_u16());
        let (verdict, took) = (Some(judged(status)), started.elapsed());
        self.metrics
            .admin
            .record(method.as_str(), route, status, verdict, took);
        reply
    }
}

fn reply(status: u16, body: String, media_type: &'static str) -> Reply {
    let mut reply = answer::empty(status);
    *reply.body_mut() = Full::new(Bytes::from(body));
    let media_type = HeaderValue::from_static(media_type);
    reply.headers_mut().insert(header::CONTENT_TYPE, media_type);
    reply
}

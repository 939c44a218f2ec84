//! The SCIM listener: from a request to one function of the directory and back.

mod command;
mod reads;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response};
use serde_json::Value;
use tokio::time::timeout;

use super::answer::{self, Failure, Reply};
use super::body::{self, BodyError};
use super::limits::Limits;
use super::listener::Handler;
use super::route::{Endpoint, Routes};
use crate::directory::audit::{Entry, Origin, request_id};
use crate::directory::tokens::{Principal, Scope};
use crate::directory::view::Representation;
use crate::directory::{Directory, Refusal};
use crate::scim::json;
use crate::scim::query::Projection;
use crate::scim::schema::ResourceType;
use crate::scim::version::{Condition, Tags};
use command::{Command, Done};

/// Deepest nesting of a JSON body: no SCIM message comes near it.
const JSON_DEPTH: usize = 64;
/// The header that carries the id under which the audit and the log know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers the requests of the SCIM listener.
pub struct Scim {
    directory: Arc<Directory>,
    routes: Routes,
    limits: Arc<Limits>,
}

/// What a mutating request asks for, once it is understood.
struct Asked {
    command: Command,
    resource_type: ResourceType,
    condition: Condition,
    projection: Projection,
}

impl Handler for Scim {
    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let mut origin = Origin {
            request_id: request_id(),
            actor: "unknown".to_owned(),
            source: peer.ip().to_string(),
        };
        let method = request.method().clone();
        let endpoint = self.routes.endpoint(request.uri().path());
        let mut reply = match self.respond(request, endpoint, peer, &mut origin).await {
            Ok(reply) => reply,
            Err(failure) => failure.into_reply(),
        };
        if method == Method::HEAD {
            let length = length(&reply);
            answer::set(&mut reply, header::CONTENT_LENGTH, &length);
            *reply.body_mut() = Full::default();
        }
        answer::set(&mut reply, X_REQUEST_ID, &origin.request_id);
        let status = reply.status().as_u16();
        let (request_id, actor, source) = (&origin.request_id, &origin.actor, &origin.source);
        match reads(&method) {
            true => tracing::debug!(%method, status, request_id, actor, source, "answered"),
            false => tracing::info!(%method, status, request_id, actor, source, "answered"),
        }
        reply
    }
}

impl Scim {
    /// A handler over `directory`, below each of `base_paths`.
    pub fn new(directory: Arc<Directory>, base_paths: &[String], limits: Arc<Limits>) -> Self {
        Self {
            directory,
            routes: Routes::new(base_paths),
            limits,
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        endpoint: Option<Endpoint>,
        peer: SocketAddr,
        origin: &mut Origin,
    ) -> Result<Reply, Failure> {
        let principal = self.authenticate(&request, peer, origin).await?;
        origin.actor = format!("token:{} ({})", principal.token_id, principal.name);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let admitted = self.admit(&request, endpoint);
        match (&method, admitted) {
            (&Method::OPTIONS, Ok(endpoint)) => {
                let mut reply = answer::empty(204);
                answer::set(&mut reply, header::ALLOW, endpoint.methods());
                Ok(reply)
            }
            (method, Ok(endpoint)) if reads(method) => self.read(&request, &endpoint).await,
            (method, Err(failure)) if reads(method) => Err(failure),
            (_, Ok(Endpoint::Search(resource_type))) => {
                let body = self
                    .json(request.into_body(), self.limits.body_size)
                    .await?;
                self.search(resource_type, body).await
            }
            (method, Ok(endpoint)) => match self.understand(request, endpoint, &principal).await {
                Ok(asked) => self.execute(asked, origin).await,
                Err(failure) => self.refuse(failure, method, &path, origin).await,
            },
            (method, Err(failure)) => self.refuse(failure, method, &path, origin).await,
        }
    }

    /// Who asks. Every refusal looks the same from outside (C-04).
    async fn authenticate(
        &self,
        request: &Request<Incoming>,
        peer: SocketAddr,
        origin: &Origin,
    ) -> Result<Principal, Failure> {
        let denied = match bearer(request) {
            None => (None, "no bearer token"),
            Some(presented) => match self.directory.authenticate(presented).await? {
                Ok(principal) => return Ok(principal),
                Err(denied) => (denied.token_id, denied.reason),
            },
        };
        let (token_id, reason) = denied;
        tracing::warn!(
            source = origin.source,
            token_id,
            reason,
            "not authenticated"
        );
        self.directory
            .denied(origin, peer.ip(), token_id.as_deref(), reason)
            .await?;
        Err(Failure::new(401, "Authorization failure.").with(header::WWW_AUTHENTICATE, "Bearer"))
    }

    /// The endpoint of a request that may go on: its URL is not too long and names one that takes its method.
    fn admit(
        &self,
        request: &Request<Incoming>,
        endpoint: Option<Endpoint>,
    ) -> Result<Endpoint, Failure> {
        let length = request
            .uri()
            .path_and_query()
            .map_or(0, |url| url.as_str().len());
        if length > self.limits.url_size {
            return Err(Failure::new(
                414,
                format!("the URL is longer than {} bytes", self.limits.url_size),
            ));
        }
        let endpoint =
            endpoint.ok_or_else(|| Failure::new(404, "there is no endpoint at this path"))?;
        if endpoint == Endpoint::Me {
            let detail = "a token stands for no person: /Me is not offered";
            return Err(Failure::new(501, detail));
        }
        let methods = endpoint.methods();
        match methods
            .split(", ")
            .any(|method| method == request.method().as_str())
        {
            true => Ok(endpoint),
            false => Err(Failure::new(405, format!("this endpoint takes {methods}"))
                .with(header::ALLOW, methods)),
        }
    }

    /// What a mutating request asks for; everything about it is checked that needs no database.
    async fn understand(
        &self,
        request: Request<Incoming>,
        endpoint: Endpoint,
        principal: &Principal,
    ) -> Result<Asked, Failure> {
        if principal.scope != Scope::Provision {
            return Err(Failure::new(
                403,
                "this token may read; writing needs one with scope provision",
            ));
        }
        let (Endpoint::Collection(resource_type) | Endpoint::Resource(resource_type, _)) = endpoint
        else {
            return Err(Failure::new(405, "nothing is written here"));
        };
        let schemas = self.directory.schemas();
        let projection = Projection::from_pairs(pairs(&request), resource_type, schemas)?;
        let (method, condition) = (request.method().clone(), condition(&request));
        let command = match (endpoint, method) {
            (Endpoint::Resource(_, id), Method::DELETE) => Command::Delete(resource_type, id),
            (endpoint, method) => {
                let body = self
                    .json(request.into_body(), self.limits.body_size)
                    .await?;
                match (endpoint, method) {
                    (Endpoint::Resource(_, id), Method::PATCH) => {
                        Command::patch(resource_type, id, body, schemas)?
                    }
                    (Endpoint::Resource(_, id), _) => {
                        Command::replace(resource_type, id, body, schemas)?
                    }
                    _ => Command::create(resource_type, body, schemas)?,
                }
            }
        };
        Ok(Asked {
            command,
            resource_type,
            condition,
            projection,
        })
    }

    async fn execute(&self, asked: Asked, origin: &Origin) -> Result<Reply, Failure> {
        let Asked {
            command,
            resource_type,
            condition,
            projection,
        } = asked;
        let executed = command.execute(&self.directory, origin, condition, &projection);
        let Done {
            status,
            representation,
        } = self.within_time(executed).await?;
        Ok(match representation {
            Some(found) => self.shown(status, found, resource_type, &projection),
            None => answer::empty(status),
        })
    }

    /// A resource as the client wants to see it, with its entity tag and, if it is new, its location.
    fn shown(
        &self,
        status: u16,
        found: Representation,
        resource_type: ResourceType,
        projection: &Projection,
    ) -> Reply {
        let resource = projection.apply(found.resource, resource_type, self.directory.schemas());
        let mut reply = answer::object(status, &resource);
        answer::set(&mut reply, header::ETAG, &found.etag);
        if status == 201 {
            answer::set(&mut reply, header::LOCATION, &found.location);
        }
        reply
    }

    /// The answer to a mutating request that the directory never saw, after its audit row is written.
    async fn refuse(
        &self,
        failure: Failure,
        method: &Method,
        path: &str,
        origin: &Origin,
    ) -> Result<Reply, Failure> {
        let mut entry = Entry::new(format!("{method} {}", shortened(path)), failure.status);
        entry.because(failure.detail.clone());
        self.directory.refused(origin, entry).await?;
        Err(failure)
    }

    /// The JSON value of a body of at most `limit` bytes.
    async fn json(&self, incoming: Incoming, limit: usize) -> Result<Value, Failure> {
        let bytes = body::read(incoming, limit, self.limits.request)
            .await
            .map_err(|error| match error {
                BodyError::TooLarge => {
                    Failure::new(413, format!("the body is larger than {limit} bytes"))
                }
                BodyError::Slow => Failure::new(408, "the body did not arrive in time"),
                BodyError::Broken => Failure::new(400, "the body did not arrive whole"),
            })?;
        Ok(json::parse(&bytes, JSON_DEPTH)?)
    }

    /// Waits for the directory as long as a request may take. What the writer has begun goes on all the same.
    async fn within_time<T>(
        &self,
        answer: impl Future<Output = Result<T, Refusal>>,
    ) -> Result<T, Failure> {
        let limit: Duration = self.limits.request;
        match timeout(limit, answer).await {
            Ok(answer) => Ok(answer?),
            Err(_) => Err(Failure::new(
                503,
                format!(
                    "no answer within {} s; the change may still be made",
                    limit.as_secs()
                ),
            )
            .with(header::RETRY_AFTER, "5")),
        }
    }
}

/// Whether a method changes nothing.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD | Method::OPTIONS)
}

/// The token behind `Authorization: Bearer` (RFC 6750 §2.1); the scheme compares in any letter case.
fn bearer<B>(request: &Request<B>) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The query's names and values, decoded: `+` is a blank, `%2B` a plus (C-01, C-17).
fn pairs<B>(request: &Request<B>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
}

/// What the client wants of the resource's version.
fn condition<B>(request: &Request<B>) -> Condition {
    let tags = |name| {
        let mut values = request.headers().get_all(name).iter().peekable();
        values.peek()?;
        let values: Vec<_> = values.filter_map(|value| value.to_str().ok()).collect();
        Some(Tags::parse(&values.join(",")))
    };
    Condition {
        if_match: tags(header::IF_MATCH),
        if_none_match: tags(header::IF_NONE_MATCH),
    }
}

/// Bytes of a reply's body.
fn length(reply: &Reply) -> String {
    let exact = reply.body().size_hint().exact();
    exact.unwrap_or_default().to_string()
}

/// A path as an audit row can hold it.
fn shortened(path: &str) -> String {
    const LETTERS: usize = 200;
    path.chars().take(LETTERS).collect()
}

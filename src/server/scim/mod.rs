//! The SCIM listener: from a request to one function of the directory and back.

mod bulk;
mod command;
mod reads;

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use http_body_util::Full;
use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Response, Version};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout_at};

use super::Settings;
use super::answer::{self, Failure, Reply};
use super::auth::authenticate;
use super::body::{self, BodyError};
use super::client::TrustedProxies;
use super::limits::Limits;
use super::line::Line;
use super::listener::Handler;
use super::metrics::Metrics;
use super::route::{Endpoint, Routes};
use crate::directory::audit::{Entry, Origin};
use crate::directory::tokens::{Principal, Scope};
use crate::directory::view::Representation;
use crate::directory::{Directory, Refusal};
use crate::scim::query::Projection;
use crate::scim::schema::ResourceType;
use crate::scim::version::{Condition, Tags};
use crate::scim::{ScimType, json};
use command::Command;

/// Deepest nesting of a JSON body: no SCIM message comes near it.
const JSON_DEPTH: usize = 64;
/// The header that carries the id under which the audit and the log know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Bodies in memory at the same time, in KiB. As JSON values they take some twenty times that; further requests wait.
const BODIES: usize = 16 * 1024;

/// Answers the requests of the SCIM listener.
pub struct Scim {
    directory: Arc<Directory>,
    routes: Routes,
    trusted_proxies: TrustedProxies,
    limits: Arc<Limits>,
    bodies: Arc<Semaphore>,
    metrics: Arc<Metrics>,
}

/// A body that was read, and the room that it takes until its request is done.
struct Content {
    value: Value,
    room: OwnedSemaphorePermit,
}

/// What a mutating request asks for, once it is understood.
struct Asked {
    command: Command,
    resource_type: ResourceType,
    condition: Condition,
    projection: Projection,
    room: Option<OwnedSemaphorePermit>,
}

impl Handler for Scim {
    async fn handle(&self, request: Request<Incoming>, peer: SocketAddr) -> Response<Full<Bytes>> {
        let client = self.trusted_proxies.client(peer, request.headers());
        let endpoint = self.routes.endpoint(request.uri().path());
        let method = request.method().clone();
        let origin = Origin::new("unknown", client.to_string());
        let mut line = Line::begin(
            &self.metrics.scim,
            method.as_str(),
            endpoint.as_ref(),
            origin,
        );
        let deadline = Instant::now() + self.limits.request;
        let respond = self.respond(request, endpoint, client, deadline, &mut line.origin);
        let answer = timeout_at(deadline, respond).await;
        let request_id = line.origin.request_id.clone();
        let mut reply = match answer.unwrap_or_else(|_| Err(late())) {
            Ok(reply) => {
                line.end(reply.status().as_u16(), None);
                reply
            }
            Err(failure) => {
                line.end(failure.status, Some(&failure));
                failure.into_reply()
            }
        };
        if method == Method::HEAD {
            let length = length(&reply);
            answer::set(&mut reply, header::CONTENT_LENGTH, &length);
            *reply.body_mut() = Full::default();
        }
        answer::set(&mut reply, X_REQUEST_ID, &request_id);
        reply
    }
}

impl Scim {
    /// A handler over `directory` whose requests are counted by `metrics`.
    pub fn new(directory: Arc<Directory>, settings: &Settings, metrics: Arc<Metrics>) -> Self {
        Self {
            directory,
            routes: Routes::new(&settings.base_paths),
            trusted_proxies: settings.trusted_proxies.clone(),
            limits: Arc::clone(&settings.limits),
            bodies: Arc::new(Semaphore::new(BODIES)),
            metrics,
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        endpoint: Option<Endpoint>,
        client: IpAddr,
        deadline: Instant,
        origin: &mut Origin,
    ) -> Result<Reply, Failure> {
        let principal = authenticate(&self.directory, &request, client, origin).await?;
        origin.actor = format!("token:{} ({})", principal.token_id, principal.name);
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let admitted = self.admit(&request, endpoint.clone());
        if reads(&method) {
            return self.read(&request, &admitted?).await;
        }
        if let Ok(Endpoint::Search(resource_type)) = admitted {
            let limit = self.limits.body_size;
            let body = self.json(request.into_body(), limit, deadline).await?;
            return self.search(resource_type, body.value).await;
        }
        let asked = match admitted {
            Ok(Endpoint::Bulk) => match self.understand_bulk(request, &principal, deadline).await {
                Ok(bulk) => return self.execute_bulk(bulk, origin, deadline).await,
                Err(failure) => Err(failure),
            },
            Ok(endpoint) => {
                self.understand(request, endpoint, &principal, deadline)
                    .await
            }
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(asked) => self.execute(asked, origin).await,
            Err(failure) => {
                let entry = refused(method.as_str(), endpoint.as_ref(), &path, &failure);
                self.directory.refused(origin, entry).await?;
                Err(failure)
            }
        }
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
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            return Err(Failure::new(400, "HTTP/1.1 asks for one Host header"));
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
        deadline: Instant,
    ) -> Result<Asked, Failure> {
        may_write(principal)?;
        let (Endpoint::Collection(resource_type) | Endpoint::Resource(resource_type, _)) = endpoint
        else {
            return Err(Failure::new(405, "nothing is written here"));
        };
        let schemas = self.directory.schemas();
        let projection = Projection::from_pairs(pairs(&request), resource_type, schemas)?;
        let (method, condition) = (request.method().clone(), condition(&request));
        let (command, room) = match (endpoint, method) {
            (Endpoint::Resource(_, id), Method::DELETE) => {
                (Command::Delete(resource_type, id), None)
            }
            (endpoint, method) => {
                let limit = self.limits.body_size;
                let Content { value, room } =
                    self.json(request.into_body(), limit, deadline).await?;
                let command = match (endpoint, method) {
                    (Endpoint::Resource(_, id), Method::PATCH) => {
                        Command::patch(resource_type, id, value, schemas)?
                    }
                    (Endpoint::Resource(_, id), _) => {
                        Command::replace(resource_type, id, value, schemas)?
                    }
                    _ => Command::create(resource_type, value, schemas)?,
                };
                (command, Some(room))
            }
        };
        Ok(Asked {
            command,
            resource_type,
            condition,
            projection,
            room,
        })
    }

    /// Carries a command out, in a task of its own: a client that hangs up leaves nothing half-way, and the room of its
    /// body is free only when the writer is done with it.
    async fn execute(&self, asked: Asked, origin: &Origin) -> Result<Reply, Failure> {
        let (directory, origin) = (Arc::clone(&self.directory), origin.clone());
        let task = tokio::spawn(async move {
            let Asked {
                command,
                resource_type,
                condition,
                projection,
                room,
            } = asked;
            let done = command
                .execute(&directory, &origin, condition, &projection)
                .await;
            drop(room);
            done.map(|done| (done, resource_type, projection))
        });
        let failed = |error: tokio::task::JoinError| Refusal::Failed(error.to_string());
        let (done, resource_type, projection) = task.await.map_err(failed)??;
        Ok(match done.representation {
            Some(found) => self.shown(done.status, found, resource_type, &projection),
            None => answer::empty(done.status),
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

    /// The JSON value of a body of at most `limit` bytes, once there is room for it.
    async fn json(
        &self,
        incoming: Incoming,
        limit: usize,
        deadline: Instant,
    ) -> Result<Content, Failure> {
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
        let value = json::parse(&bytes, JSON_DEPTH)?;
        Ok(Content { value, room })
    }

    /// A little earlier than the request's own end, so that there is time to say why.
    fn answer_by(&self, deadline: Instant) -> Instant {
        deadline - self.limits.request / 10
    }
}

/// Whether a token may change anything.
fn may_write(principal: &Principal) -> Result<(), Failure> {
    match principal.scope {
        Scope::Provision => Ok(()),
        Scope::Read | Scope::Admin => Err(Failure::new(
            403,
            "this token may read; writing needs one with scope provision",
        )),
    }
}

/// The answer when a request's time is over.
fn late() -> Failure {
    let detail = "the request took too long; what it asks for may still be done";
    Failure::new(503, detail).with(header::RETRY_AFTER, "5")
}

/// The audit entry of a mutating request, or an operation of a bulk request, that the directory never saw.
fn refused(method: &str, endpoint: Option<&Endpoint>, path: &str, failure: &Failure) -> Entry {
    let (resource_type, id) = match endpoint {
        Some(Endpoint::Collection(resource_type)) => (Some(*resource_type), None),
        Some(Endpoint::Resource(resource_type, id)) => (Some(*resource_type), Some(id.as_str())),
        _ => (None, None),
    };
    let mut entry = match resource_type {
        Some(resource_type) => Entry::new(command::action(method, resource_type), failure.status)
            .about(resource_type.name(), id),
        None => Entry::new("request", failure.status),
    };
    entry.scim_type = failure.scim_type.map(ScimType::as_str);
    entry.because(failure.detail.clone());
    if resource_type.is_none() {
        entry.because(shortened(&format!("{method} {path}")));
    }
    entry
}

/// Whether a method changes nothing: all but the four that SCIM writes with.
fn reads(method: &Method) -> bool {
    !matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
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

/// A method and path as an audit row can hold them.
fn shortened(asked: &str) -> String {
    const LETTERS: usize = 200;
    asked.chars().take(LETTERS).collect()
}

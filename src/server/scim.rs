//! The SCIM listener: from a request to one function of the directory and back.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
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
use crate::directory::users::{PAGE, PAGE_LIMIT, User};
use crate::directory::{Directory, Refusal};
use crate::scim::patch::{self, Patch};
use crate::scim::query::{Page, Projection, Query};
use crate::scim::resource::{self, Parsed};
use crate::scim::schema::ResourceType;
use crate::scim::{Object, discovery, json, message};

/// Deepest nesting of a JSON body: no SCIM message comes near it.
const JSON_DEPTH: usize = 64;
/// The header that carries the id under which the audit and the log know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");

/// Answers the requests of the SCIM listener.
pub struct Scim {
    directory: Arc<Directory>,
    routes: Routes,
    base: String,
    limits: Arc<Limits>,
}

/// What a request asks for, once it is understood.
enum Command {
    Create(Parsed),
    Replace(String, Parsed),
    Patch(String, Patch),
    Delete(String),
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
    /// A handler over `directory`, below each of `base_paths`. `base` is the URL of the first of them, without a slash
    /// at the end: what `meta.location` starts with.
    pub fn new(
        directory: Arc<Directory>,
        base_paths: &[String],
        base: String,
        limits: Arc<Limits>,
    ) -> Self {
        Self {
            directory,
            routes: Routes::new(base_paths),
            base,
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
        if reads(request.method()) {
            let endpoint = self.admit(&request, endpoint)?;
            return self.read(&request, &endpoint).await;
        }
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        let projection = Projection::from_pairs(
            pairs(&request),
            ResourceType::User,
            self.directory.schemas(),
        );
        let prepared = self.prepare(request, endpoint, &principal).await;
        match (prepared, projection) {
            (Ok(command), Ok(projection)) => self.execute(command, &projection, origin).await,
            (Err(failure), _) => self.refuse(failure, &method, &path, origin).await,
            (_, Err(error)) => self.refuse(error.into(), &method, &path, origin).await,
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

    async fn read(
        &self,
        request: &Request<Incoming>,
        endpoint: &Endpoint,
    ) -> Result<Reply, Failure> {
        let schemas = self.directory.schemas();
        match endpoint {
            Endpoint::Users => {
                let query = Query::from_pairs(pairs(request), ResourceType::User, schemas)?;
                let listing = self.within_time(self.directory.list_users(&query)).await?;
                let resources = listing
                    .users
                    .iter()
                    .map(|user| self.shown(user, &query.projection))
                    .collect();
                Ok(self.list(&query, listing.total, resources))
            }
            Endpoint::User(id) => {
                let projection =
                    Projection::from_pairs(pairs(request), ResourceType::User, schemas)?;
                Ok(self.user(200, &self.directory.user(id)?, &projection))
            }
            Endpoint::Groups => {
                let query = Query::from_pairs(pairs(request), ResourceType::Group, schemas)?;
                Ok(self.list(&query, 0, Vec::new()))
            }
            Endpoint::Group(id) => Err(Refusal::NotFound {
                what: "Group",
                id: id.clone(),
            }
            .into()),
            Endpoint::ServiceProviderConfig => {
                let limits = discovery::Limits {
                    bulk_operations: 0,
                    bulk_bytes: 0,
                    default_page: PAGE,
                    max_page: PAGE_LIMIT,
                };
                Ok(answer::object(
                    200,
                    &discovery::service_provider_config(&limits, &self.base),
                ))
            }
            Endpoint::ResourceTypes(id) => described(
                discovery::resource_types(schemas, &self.base),
                id.as_deref(),
                "ResourceType",
            ),
            Endpoint::Schemas(id) => described(
                discovery::schemas(schemas, &self.base),
                id.as_deref(),
                "Schema",
            ),
        }
    }

    /// What a mutating request asks for; everything about it is checked that needs no database.
    async fn prepare(
        &self,
        request: Request<Incoming>,
        endpoint: Option<Endpoint>,
        principal: &Principal,
    ) -> Result<Command, Failure> {
        let endpoint = self.admit(&request, endpoint)?;
        if principal.scope != Scope::Provision {
            return Err(Failure::new(
                403,
                "this token may read; writing needs one with scope provision",
            ));
        }
        let method = request.method().clone();
        if let (Endpoint::User(id), &Method::DELETE) = (&endpoint, &method) {
            return Ok(Command::Delete(id.clone()));
        }
        let body = self.json(request.into_body()).await?;
        let schemas = self.directory.schemas();
        Ok(match (endpoint, method) {
            (Endpoint::User(id), Method::PATCH) => {
                Command::Patch(id, patch::parse(body, ResourceType::User, schemas)?)
            }
            (Endpoint::User(id), _) => {
                Command::Replace(id, resource::parse(body, ResourceType::User, schemas)?)
            }
            _ => Command::Create(resource::parse(body, ResourceType::User, schemas)?),
        })
    }

    async fn execute(
        &self,
        command: Command,
        projection: &Projection,
        origin: &Origin,
    ) -> Result<Reply, Failure> {
        let directory = &self.directory;
        match command {
            Command::Create(parsed) => {
                let user = self
                    .within_time(directory.create_user(origin, parsed))
                    .await?;
                let mut reply = self.user(201, &user, projection);
                answer::set(
                    &mut reply,
                    header::LOCATION,
                    &format!("{}/Users/{}", self.base, user.id),
                );
                Ok(reply)
            }
            Command::Replace(id, parsed) => {
                let user = self
                    .within_time(directory.replace_user(origin, &id, parsed))
                    .await?;
                Ok(self.user(200, &user, projection))
            }
            Command::Patch(id, patch) => {
                let user = self
                    .within_time(directory.patch_user(origin, &id, patch))
                    .await?;
                Ok(self.user(200, &user, projection))
            }
            Command::Delete(id) => {
                self.within_time(directory.delete_user(origin, &id)).await?;
                Ok(answer::empty(204))
            }
        }
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

    /// The JSON value of a body.
    async fn json(&self, incoming: Incoming) -> Result<Value, Failure> {
        let limit = self.limits.body_size;
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

    fn shown(&self, user: &User, projection: &Projection) -> Object {
        let resource = self.directory.represent(user, &self.base);
        projection.apply(resource, ResourceType::User, self.directory.schemas())
    }

    fn user(&self, status: u16, user: &User, projection: &Projection) -> Reply {
        let mut reply = answer::object(status, &self.shown(user, projection));
        answer::set(&mut reply, header::ETAG, &user.etag());
        reply
    }

    fn list(&self, query: &Query, total: u64, resources: Vec<Object>) -> Reply {
        let start = match query.page {
            Page::Index { start, .. } => start,
            Page::Cursor { .. } => 1,
        };
        answer::object(
            200,
            &message::list_response(total, message::Position::Index(start), resources),
        )
    }
}

/// All of a discovery list, or the one with this id.
fn described(
    resources: Vec<Object>,
    id: Option<&str>,
    what: &'static str,
) -> Result<Reply, Failure> {
    let Some(id) = id else {
        let total = resources.len() as u64;
        return Ok(answer::object(
            200,
            &message::list_response(total, message::Position::Index(1), resources),
        ));
    };
    match discovery::find(resources, id) {
        Some(resource) => Ok(answer::object(200, &resource)),
        None => Err(Refusal::NotFound {
            what,
            id: id.to_owned(),
        }
        .into()),
    }
}

/// Whether a method changes nothing.
fn reads(method: &Method) -> bool {
    matches!(*method, Method::GET | Method::HEAD)
}

/// The token behind `Authorization: Bearer` (RFC 6750 §2.1); the scheme compares in any letter case.
fn bearer(request: &Request<Incoming>) -> Option<&str> {
    let value = request
        .headers()
        .get(header::AUTHORIZATION)?
        .to_str()
        .ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
}

/// The query's names and values, decoded: `+` is a blank, `%2B` a plus (C-01, C-17).
fn pairs(request: &Request<Incoming>) -> form_urlencoded::Parse<'_> {
    form_urlencoded::parse(request.uri().query().unwrap_or_default().as_bytes())
}

/// A path as an audit row can hold it.
fn shortened(path: &str) -> String {
    const LETTERS: usize = 200;
    path.chars().take(LETTERS).collect()
}

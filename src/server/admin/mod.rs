//! The admin listener (design §8, Addresses): what a supervisor asks about the process, and below `/api/v1` the admin
//! API, JSON over TLS with bearer tokens.
//!
//! One table of routes says what there is; dispatch, scopes and the OpenAPI document all read it. A handler calls one
//! function of the directory, the same as the command of its name.

mod accounts;
mod feed;
mod lists;
mod mappings;
mod openapi;
mod places;
mod problem;
mod reports;
mod route;
mod tokens;

use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::body::{Bytes, Incoming};
use hyper::header::{self, HeaderMap};
use hyper::{Method, Request};
use serde_json::json;
use tokio::sync::watch;
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Failure, Reply};
use super::auth::authenticate;
use super::intake::{self, Asks, Held, Intake};
use super::listener::Handler;
use super::metrics::{self, Metrics};
use super::route::segments;
use super::strangers::Visit;
use super::unstopped::unstopped;
use super::{Settings, Work};
use crate::directory::Directory;
use crate::directory::audit::{Entry, Origin};
use crate::directory::tokens::{Principal, Scope};
use crate::scim::ScimType;
use route::{Asked, Found, Need, Route, Table};

/// Where the API is.
const BASE: [&str; 2] = ["api", "v1"];

/// Whether the process lives.
const HEALTHZ: &str = "/healthz";
/// Whether it can do its work.
const READYZ: &str = "/readyz";
/// What it has counted, for Prometheus.
const METRICS: &str = "/metrics";

/// Every route of the API. A new one is added to the list of its noun, and nowhere else.
fn routes() -> Vec<Route> {
    [
        accounts::routes(),
        reports::routes(),
        feed::routes(),
        places::routes(),
        mappings::routes(),
        tokens::routes(),
        openapi::routes(),
    ]
    .into_iter()
    .flatten()
    .collect()
}

/// What comes of a request before its route has it.
enum Understood {
    /// What it asks its route for.
    Asked(Asked),
    /// The answer: it asked about the route.
    Answered(Reply),
}

/// Answers the requests of the admin listener.
pub struct Admin {
    directory: Arc<Directory>,
    intake: Intake,
    metrics: Arc<Metrics>,
    table: Table,
    work: Work,
    stopping: watch::Receiver<bool>,
}

impl Handler for Admin {
    async fn handle(&self, request: Request<Incoming>, visit: &Visit) -> Reply {
        let path: Vec<_> = segments(request.uri().path()).collect();
        let path: Vec<_> = path.iter().map(AsRef::as_ref).collect();
        let Some(below) = path.strip_prefix(&BASE) else {
            let probe = [HEALTHZ, READYZ, METRICS]
                .into_iter()
                .find(|probe| probe.strip_prefix('/') == Some(&path.join("/")));
            let mut begun = self
                .intake
                .begin(&request, visit, probe.map(|probe| (probe, None)));
            begun.line.quiet = true;
            let method = request.method();
            let supervised = self.intake.outgoing.read(|| self.supervise(probe, method));
            let answer = timeout_at(begun.deadline, supervised).await;
            return self.intake.finish(begun, answer, problem::reply);
        };
        let found = self.table.find(below, request.method());
        let label = found.as_ref().ok().map(Found::label);
        let mut begun = self.intake.begin(&request, visit, label);
        let open = matches!(&found, Ok(found) if found.route.need == Need::Nothing);
        let patience = found
            .as_ref()
            .map_or(Duration::ZERO, |found| found.route.patience);
        begun.line.quiet = open;
        let (client, deadline) = (begun.client, begun.deadline);
        let respond = self.respond(
            request,
            found,
            visit,
            client,
            deadline,
            &mut begun.line.origin,
        );
        let answer = timeout_at(deadline + patience, respond).await;
        self.intake.finish(begun, answer, problem::reply)
    }
}

impl Admin {
    /// A handler over `directory`, ready until `stopping` becomes true.
    pub fn new(
        directory: Arc<Directory>,
        settings: &Settings,
        metrics: Arc<Metrics>,
        stopping: watch::Receiver<bool>,
        work: Work,
    ) -> Self {
        Self {
            stopping,
            directory,
            intake: Intake::new(settings, metrics.admin.clone()),
            metrics,
            table: Table::new(routes()),
            work,
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        found: Result<Found<'_>, Failure>,
        visit: &Visit,
        client: IpAddr,
        deadline: Instant,
        origin: &mut Origin,
    ) -> Result<Reply, Failure> {
        let principal = match &found {
            Ok(found) if found.route.need == Need::Nothing => None,
            _ => Some(authenticate(&self.directory, &request, visit, client, origin).await?),
        };
        let (method, url) = (request.method().clone(), request.uri().path().to_owned());
        let understood = self.understand(
            request,
            found.as_ref(),
            principal.as_deref(),
            deadline,
            origin,
        );
        let understood = match understood.await {
            Ok((Understood::Answered(reply), _)) => return Ok(reply),
            Ok((Understood::Asked(asked), room)) => Ok((asked, room)),
            Err(failure) => Err(failure),
        };
        let acts = match (&method, &found) {
            (&Method::OPTIONS, _) => false,
            (_, Ok(found)) => found.route.need == Need::Admin,
            (method, Err(_)) => !intake::reads(method),
        };
        if !acts {
            let ((asked, _room), found) = (understood?, found?);
            // What was waited for may not be there a second time.
            if asked.waits() {
                return found.route.understand(asked)?.await;
            }
            let read = async || found.route.understand(asked.clone())?.await;
            return self.intake.outgoing.read(read).await;
        }
        let entry = match &found {
            Ok(found) => found.route.entry(&found.subject),
            Err(_) => unknown(&method, &url),
        };
        let understood = match (understood, found) {
            (Ok((asked, room)), Ok(found)) => found
                .route
                .understand(asked)
                .map(|answering| (answering, room)),
            (Err(failure), _) | (_, Err(failure)) => Err(failure),
        };
        let (directory, origin) = (Arc::clone(&self.directory), origin.clone());
        let work = self.work.clone();
        // Also when the client hangs up; the room of its body is free only when the writer is done with it.
        let done = unstopped(async move {
            let _work = work;
            let (reply, _room) = match understood {
                Ok((answering, room)) => (answering.await, room),
                Err(failure) => (Err(failure), None),
            };
            if let Err(failure) = &reply
                && !origin.outcome.is_told()
            {
                directory.refused(&origin, refused(entry, failure)).await?;
            }
            reply
        });
        done.await?
    }

    /// What a request asks for that may be made and is one of its route, and the room of its body.
    async fn understand(
        &self,
        request: Request<Incoming>,
        found: Result<&Found<'_>, &Failure>,
        principal: Option<&Principal>,
        deadline: Instant,
        origin: &mut Origin,
    ) -> Result<(Understood, Option<Held>), Failure> {
        may_enter(principal)?;
        self.intake.admit(&request)?;
        let found = found.map_err(Failure::clone)?;
        if request.method() == Method::OPTIONS {
            let mut reply = answer::empty(204);
            answer::set(&mut reply, header::ALLOW, &found.allow);
            return Ok((Understood::Answered(reply), None));
        }
        may_use(found.route, principal)?;
        origin.status = found.route.status;
        let query = request.uri().query().unwrap_or_default().to_owned();
        let json = is_json(request.headers());
        let body = request.into_body();
        let token = principal.map_or("", |principal| &principal.token_id);
        let body = self.intake.body(body, Asks::One, token, deadline);
        let (body, room) = body.await?;
        if !body.is_empty() && !json {
            let detail = "send the body as Content-Type: application/json";
            return Err(Failure::new(415, detail));
        }
        let asked = Asked {
            directory: Arc::clone(&self.directory),
            origin: origin.clone(),
            subject: found.subject.clone(),
            query,
            body: match body.is_empty() {
                true => None,
                false => Some(intake::parse(&body)?),
            },
        };
        Ok((Understood::Asked(asked), Some(room)))
    }

    /// What a supervisor asks about the process, without a token.
    async fn supervise(&self, probe: Option<&str>, method: &Method) -> Result<Reply, Failure> {
        let status = match (probe, method) {
            (None, _) => return Err(Failure::new(404, "there is nothing at this path")),
            (Some(READYZ), &Method::GET | &Method::HEAD) => {
                if *self.stopping.borrow() {
                    return Err(Failure::new(503, "the server is stopping"));
                }
                let able = self.directory.able().await;
                able.map_err(|unable| Failure {
                    cause: std::error::Error::source(&unable).map(ToString::to_string),
                    ..Failure::new(503, unable.to_string())
                })?;
                "ready"
            }
            (Some(METRICS), &Method::GET | &Method::HEAD) => {
                let text = self.metrics.text().await?;
                let mut reply = answer::empty(200);
                *reply.body_mut() = Bytes::from(text);
                answer::set(&mut reply, header::CONTENT_TYPE, metrics::MEDIA_TYPE);
                return Ok(reply);
            }
            (_, &Method::GET | &Method::HEAD) => "alive",
            _ => {
                let failure = Failure::new(405, "this path takes GET, HEAD");
                return Err(failure.with(header::ALLOW, "GET, HEAD"));
            }
        };
        Ok(answer::json(200, &json!({"status": status})))
    }
}

/// Refuses a token that is for SCIM alone.
fn may_enter(principal: Option<&Principal>) -> Result<(), Failure> {
    match principal.map(|principal| principal.scope) {
        Some(Scope::Provision) => Err(Failure::new(
            403,
            "this token is for SCIM; the admin API needs one with scope read or admin",
        )),
        Some(Scope::Read | Scope::Admin) | None => Ok(()),
    }
}

/// Refuses a token whose scope does not reach.
fn may_use(route: &Route, principal: Option<&Principal>) -> Result<(), Failure> {
    match (route.need, principal.map(|principal| principal.scope)) {
        (Need::Admin, Some(Scope::Admin)) | (Need::Read | Need::Nothing, _) => Ok(()),
        (Need::Admin, _) => Err(Failure::new(
            403,
            "this token may read; changes need one with scope admin",
        )),
    }
}

/// Whether a body says that it is JSON: `application/json`, or a type that builds on it.
fn is_json(headers: &HeaderMap) -> bool {
    let value = headers.get(header::CONTENT_TYPE);
    let value = value.and_then(|value| value.to_str().ok());
    let essence = value.and_then(|value| value.split(';').next());
    let essence = essence.unwrap_or_default().trim().to_ascii_lowercase();
    essence == "application/json"
        || essence.starts_with("application/") && essence.ends_with("+json")
}

/// The audit entry of a request to change something where there is nothing to change.
fn unknown(method: &Method, path: &str) -> Entry {
    let mut entry = Entry::new("request", 0);
    entry.because(intake::asked(method.as_str(), path));
    entry
}

/// The audit entry of an act that the directory never saw, or refused before it had the writer's turn.
fn refused(mut entry: Entry, failure: &Failure) -> Entry {
    entry.status = failure.status;
    entry.scim_type = failure.scim_type.map(ScimType::as_str);
    entry.reasons.insert(0, failure.detail.clone());
    entry
}

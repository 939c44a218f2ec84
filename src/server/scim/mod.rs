//! The SCIM listener: from a request to one function of the directory and back.

mod bulk;
mod command;
mod reads;

use std::net::IpAddr;
use std::pin::pin;
use std::sync::Arc;

use hyper::body::Incoming;
use hyper::header;
use hyper::{Method, Request};
use tokio::time::{Instant, timeout_at};

use super::answer::{self, Failure, Reply};
use super::auth::authenticate;
use super::intake::{Asks, Content, Held, Intake, asked, reads};
use super::limits::Limits;
use super::listener::Handler;
use super::metrics::Metrics;
use super::route::{Endpoint, Routes};
use super::strangers::Visit;
use super::unstopped::unstopped;
use super::{Settings, Work};
use crate::directory::Directory;
use crate::directory::audit::{Entry, Origin};
use crate::directory::tokens::{Principal, Scope};
use crate::directory::view::Representation;
use crate::scim::ScimType;
use crate::scim::query::Projection;
use crate::scim::version::{Condition, Tags};
use command::Command;

/// Answers the requests of the SCIM listener.
pub struct Scim {
    directory: Arc<Directory>,
    routes: Routes,
    limits: Arc<Limits>,
    intake: Intake,
    metrics: Arc<Metrics>,
    work: Work,
}

/// What a mutating request asks for, once it is understood.
struct Asked {
    command: Command,
    condition: Condition,
    projection: Projection,
    room: Option<Held>,
}

impl Handler for Scim {
    async fn handle(&self, request: Request<Incoming>, visit: &Visit) -> Reply {
        let endpoint = self.routes.endpoint(request.uri().path());
        let label = endpoint.as_ref().map(Endpoint::label);
        let mut begun = self.intake.begin(&request, visit, label);
        let (client, deadline) = (begun.client, begun.deadline);
        let answer = {
            let origin = &mut begun.line.origin;
            let respond = pin!(self.respond(request, endpoint, visit, client, deadline, origin));
            timeout_at(deadline, respond).await
        };
        let told = |failure: Failure, _: &str| failure.into_reply();
        self.intake.finish(begun, answer, told)
    }
}

impl Scim {
    /// A handler over `directory` whose requests are counted by `metrics`.
    pub fn new(
        directory: Arc<Directory>,
        settings: &Settings,
        metrics: Arc<Metrics>,
        work: Work,
    ) -> Self {
        Self {
            directory,
            routes: Routes::new(&settings.base_paths),
            intake: Intake::new(settings, metrics.scim.clone()),
            limits: Arc::clone(&settings.limits),
            metrics,
            work,
        }
    }

    async fn respond(
        &self,
        request: Request<Incoming>,
        endpoint: Option<Endpoint>,
        visit: &Visit,
        client: IpAddr,
        deadline: Instant,
        origin: &mut Origin,
    ) -> Result<Reply, Failure> {
        let principal = authenticate(&self.directory, &request, visit, client, origin).await?;
        let admitted = self.admit(&request, endpoint.clone());
        if reads(request.method()) {
            let endpoint = admitted?;
            let read = || self.read(&request, &endpoint);
            return self.intake.outgoing.read(read).await;
        }
        // On the heap, here and below: what a future may hold is moved about with it, and a lookup, which most requests
        // are, needs little.
        Box::pin(self.respond_to_body(request, endpoint, admitted, &principal, deadline, origin))
            .await
    }

    /// Answers a search, or a request that writes.
    async fn respond_to_body(
        &self,
        request: Request<Incoming>,
        endpoint: Option<Endpoint>,
        admitted: Result<Endpoint, Failure>,
        principal: &Principal,
        deadline: Instant,
        origin: &mut Origin,
    ) -> Result<Reply, Failure> {
        let (method, path) = (request.method().clone(), request.uri().path().to_owned());
        if let Ok(Endpoint::Search(resource_type)) = admitted {
            let (body, token) = (request.into_body(), &principal.token_id);
            let body = self.intake.json(body, Asks::Search, token, deadline, Ok);
            let Content { value, room: _room } = body.await?;
            let search = || self.search(resource_type, value.clone());
            return Box::pin(self.intake.outgoing.read(search)).await;
        }
        let asked = match admitted {
            Ok(Endpoint::Bulk) => match self.understand_bulk(request, principal, deadline).await {
                Ok(bulk) => return self.execute_bulk(bulk, origin, deadline).await,
                Err(failure) => Err(failure),
            },
            Ok(endpoint) => {
                self.understand(request, endpoint, principal, deadline)
                    .await
            }
            Err(failure) => Err(failure),
        };
        match asked {
            Ok(asked) => self.execute(asked, origin).await,
            Err(failure) => {
                let entry = refused(method.as_str(), endpoint.as_ref(), &path, &failure);
                let (directory, origin) = (Arc::clone(&self.directory), origin.clone());
                // Like a command: a client that hangs up does not take its row with it.
                let noted = async move { directory.refused(&origin, entry).await };
                unstopped(noted).await??;
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
        self.intake.admit(request)?;
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
                let directory = Arc::clone(&self.directory);
                let command = move |value| match (endpoint, method) {
                    (Endpoint::Resource(_, id), Method::PATCH) => {
                        Command::patch(resource_type, id, value, directory.schemas())
                    }
                    (Endpoint::Resource(_, id), _) => {
                        Command::replace(resource_type, id, value, directory.schemas())
                    }
                    _ => Command::create(resource_type, value, directory.schemas()),
                };
                let (body, token) = (request.into_body(), &principal.token_id);
                let body = self.intake.json(body, Asks::One, token, deadline, command);
                let Content { value, room } = body.await?;
                (value, Some(room))
            }
        };
        Ok(Asked {
            command,
            condition,
            projection,
            room,
        })
    }

    /// Carries a command out, also when its client hangs up; the room of its body is free only when the writer is done
    /// with it.
    async fn execute(&self, asked: Asked, origin: &Origin) -> Result<Reply, Failure> {
        let (directory, origin) = (Arc::clone(&self.directory), origin.clone());
        let work = self.work.clone();
        let done = unstopped(async move {
            let _work = work;
            let Asked {
                command,
                condition,
                projection,
                room,
            } = asked;
            let done = command
                .execute(&directory, &origin, condition, &projection)
                .await;
            drop(room);
            done.map(|done| (done, projection))
        });
        let (done, projection) = done.await??;
        match done.representation {
            Some(found) => self.shown(done.status, &found, &projection),
            None => Ok(answer::empty(done.status)),
        }
    }

    /// A resource as the client wants to see it, with its entity tag and, if it is new, its location.
    fn shown(
        &self,
        status: u16,
        found: &Representation,
        projection: &Projection,
    ) -> Result<Reply, Failure> {
        let mut reply = answer::scim(status, self.directory.json(found, projection)?);
        answer::set(&mut reply, header::ETAG, &found.etag);
        if status == 201 {
            answer::set(&mut reply, header::LOCATION, &found.location);
        }
        Ok(reply)
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
        entry.because(asked(method, path));
    }
    entry
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

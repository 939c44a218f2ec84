//! A bulk request: each operation becomes a command like that of a request of its own, with an audit row of its own
//! (RFC 7644 §3.7).
//!
//! The writer takes jobs in the order in which they are asked for, so operations are handed to it without waiting for
//! each other and share its commits; only one that needs the id of another's resource waits for that. Each operation is
//! made whole or not at all, the request is not. Like a single change it goes on when its client hangs up.

use std::collections::VecDeque;
use std::future::poll_fn;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};

use hyper::Request;
use hyper::body::Incoming;
use serde_json::Value;
use tokio::task::unconstrained;
use tokio::time::{Instant, timeout_at};

use super::command::{Command, Done};
use super::{Scim, may_write, refused};
use crate::directory::Directory;
use crate::directory::audit::{Origin, Verdict};
use crate::directory::tokens::Principal;
use crate::scim::bulk::{self, Asked, Bulk, Method, Operation, Refused};
use crate::scim::query::Projection;
use crate::scim::schema::Schemas;
use crate::scim::version::{Condition, Tags};
use crate::scim::{Object, ScimType, message};
use crate::server::answer::{self, Failure, Reply};
use crate::server::intake::{Asks, Content, Held, late};
use crate::server::line::Line;
use crate::server::metrics::Meter;
use crate::server::route::{Endpoint, Routes};
use crate::server::unstopped::unstopped;

/// Operations of one request that the writer has at one time: half of what it commits together, so that others have
/// their place beside a bulk request.
const IN_FLIGHT: usize = 64;

/// A bulk request that was understood, and the room of its body.
pub(super) struct Understood {
    bulk: Bulk,
    room: Held,
}

impl Scim {
    /// What a bulk request asks for; what is wrong with the request as a whole is found here.
    pub(super) async fn understand_bulk(
        &self,
        request: Request<Incoming>,
        principal: &Principal,
        deadline: Instant,
    ) -> Result<Understood, Failure> {
        may_write(principal)?;
        let (body, token) = (request.into_body(), &principal.token_id);
        let bulk = self
            .intake
            .json(body, Asks::Bulk, token, deadline, bulk::parse);
        let Content { value, room } = bulk.await.map_err(|failure| match failure.scim_type {
            // RFC 7644 §3.7.4.
            Some(ScimType::TooMany) => Failure {
                status: 413,
                ..failure
            },
            _ => failure,
        })?;
        Ok(Understood { bulk: value, room })
    }

    /// Carries the operations out, also when the client hangs up, and answers for each that was attempted, in the order of
    /// the request.
    pub(super) async fn execute_bulk(
        &self,
        understood: Understood,
        origin: &Origin,
        deadline: Instant,
    ) -> Result<Reply, Failure> {
        let (directory, routes) = (Arc::clone(&self.directory), self.routes.clone());
        let (meter, work) = (self.metrics.bulk.clone(), self.work.clone());
        let (origin, deadline) = (origin.clone(), self.intake.answer_by(deadline));
        let answers = unstopped(async move {
            let _work = work;
            let Understood { bulk, room } = understood;
            let run = Run {
                directory: &directory,
                routes: &routes,
                meter: &meter,
                origin: &origin,
                deadline,
                in_flight: VecDeque::new(),
                outcomes: bulk.operations.iter().map(|_| None).collect(),
                errors: 0,
            };
            let (answers, errors) = run.carry_out(bulk).await;
            let (count, verdict) = (
                answers.len(),
                match errors < answers.len() as u64 {
                    true => Verdict::Applied,
                    false => Verdict::Refused,
                },
            );
            let told = format!(
                "{count} operations, {errors} of them in error; each has a line of its own"
            );
            origin.outcome.tell(verdict, &told);
            drop(room);
            answers
        });
        let answers = answers.await?;
        Ok(answer::object(200, &message::bulk_response(answers)))
    }
}

/// A bulk request under way.
struct Run<'a> {
    directory: &'a Directory,
    routes: &'a Routes,
    meter: &'a Meter,
    origin: &'a Origin,
    deadline: Instant,
    /// What the writer has, in the order in which it got it.
    in_flight: VecDeque<InFlight<'a>>,
    /// What came of each operation, by its place in the request.
    outcomes: Vec<Option<Outcome>>,
    errors: u64,
}

struct InFlight<'a> {
    label: Label,
    done: Pin<Box<dyn Future<Output = Result<Done, Failure>> + Send + 'a>>,
}

/// What the answer says of an operation whatever comes of it.
struct Label {
    place: usize,
    method: Option<Method>,
    bulk_id: Option<String>,
    location: Option<String>,
}

struct Outcome {
    /// The operation in the answer.
    answer: Object,
    /// The id of the resource that it made.
    id: Option<String>,
}

impl Run<'_> {
    /// Carries all operations out; their part of the answer, and how many are in error.
    async fn carry_out(mut self, bulk: Bulk) -> (Vec<Object>, u64) {
        // Where errors are counted, each has to be known before the next operation begins.
        let width = match bulk.fail_on_errors {
            Some(_) => 1,
            None => IN_FLIGHT,
        };
        let mut operations: Vec<_> = bulk.operations.into_iter().map(Some).collect();
        for place in bulk.order {
            let Some(operation) = operations.get_mut(place).and_then(Option::take) else {
                continue;
            };
            while (self.in_flight.len() >= width || self.waits(&operation)) && self.settle().await {
            }
            if bulk
                .fail_on_errors
                .is_some_and(|limit| self.errors >= limit)
            {
                break;
            }
            self.begin(place, operation).await;
        }
        while self.settle().await {}
        let outcomes = self.outcomes.into_iter().flatten();
        (
            outcomes.map(|outcome| outcome.answer).collect(),
            self.errors,
        )
    }

    /// Whether the operation needs the outcome of one that is in flight.
    fn waits(&self, operation: &Operation) -> bool {
        let known = |place| self.outcomes.get(place).is_some_and(Option::is_some);
        match &operation.asked {
            Ok(asked) => !asked.references().all(known),
            Err(_) => false,
        }
    }

    /// Hands the operation to the writer, or the audit row of its refusal.
    async fn begin(&mut self, place: usize, operation: Operation) {
        let method = operation.method;
        let sent = operation.path.unwrap_or_default();
        let asked = self.resolved(operation.asked);
        let path = asked.as_ref().map_or(&sent, |asked| &asked.path);
        let endpoint = method.and_then(|_| self.routes.operation(path));
        let word = method.map_or("operation", Method::as_str);
        let line = Line::begin(
            self.meter.clone(),
            word,
            endpoint.as_ref().map(Endpoint::label),
            self.origin.part(),
        );
        let label = Label {
            place,
            method,
            bulk_id: operation.bulk_id,
            location: self.location(method, endpoint.as_ref()),
        };
        if Instant::now() >= self.deadline {
            let detail = "no time was left for this operation; it was not begun";
            let failure = Failure::new(503, detail);
            line.end(503, Some(&failure));
            return self.note(label, Err(failure));
        }
        let directory = self.directory;
        let command = asked.and_then(|asked| command(asked, endpoint.clone(), directory.schemas()));
        let job = async move {
            let done = match command {
                // Nothing of the resource is shown, so nothing is read that its version does not need.
                Ok((command, condition)) => {
                    let projection = Projection::Only(Vec::new());
                    let done = command.execute(directory, &line.origin, condition, &projection);
                    done.await.map_err(Failure::from)
                }
                Err(failure) => {
                    let entry = refused(word, endpoint.as_ref(), &sent, &failure);
                    let noted = directory.refused(&line.origin, entry).await;
                    Err(noted.map_or_else(Failure::from, |()| failure))
                }
            };
            match &done {
                Ok(done) => line.end(done.status, None),
                Err(failure) => line.end(failure.status, Some(failure)),
            }
            done
        };
        // Unconstrained: where a task has had its share for now, a poll does nothing, and the operation would not be
        // handed over before the next one.
        let done = Box::pin(unconstrained(job));
        self.in_flight.push_back(InFlight { label, done });
        poll_fn(|context| Poll::Ready(self.poll(context))).await;
    }

    /// Where the resource is that an operation names, whether or not it is there. A new one is nowhere yet.
    fn location(&self, method: Option<Method>, endpoint: Option<&Endpoint>) -> Option<String> {
        match endpoint? {
            Endpoint::Resource(resource_type, id)
                if method != Some(Method::Post) && !bulk::refers(id) =>
            {
                Some(self.directory.location(*resource_type, id))
            }
            _ => None,
        }
    }

    /// The operation with ids instead of references.
    fn resolved(&self, asked: Result<Asked, Refused>) -> Result<Asked, Failure> {
        let mut asked = match asked {
            Ok(asked) => asked,
            Err(Refused::Invalid(error)) => return Err(error.into()),
            Err(Refused::Circular) => {
                let detail = "this operation refers to itself in a circle of bulkIds; make the resources first, then \
                    connect them by PATCH";
                return Err(Failure::new(409, detail));
            }
        };
        let id_of = |place: usize| self.outcomes.get(place)?.as_ref()?.id.as_deref();
        match asked.resolve(id_of) {
            Ok(()) => Ok(asked),
            // As for the references that cannot be resolved because they form a circle (RFC 7644 §3.7.1): the request
            // is right, and the state of the directory is not what it counts on.
            Err(bulk_id) => Err(Failure::new(
                409,
                format!("the operation with bulkId {bulk_id}, to which this one refers, failed"),
            )),
        }
    }

    /// Waits until something in flight is done, or the time is over; `false` if nothing is in flight.
    async fn settle(&mut self) -> bool {
        if self.in_flight.is_empty() {
            return false;
        }
        let deadline = self.deadline;
        let some_done = poll_fn(|context| match self.poll(context) {
            true => Poll::Ready(()),
            false => Poll::Pending,
        });
        if timeout_at(deadline, some_done).await.is_err() {
            for InFlight { label, .. } in std::mem::take(&mut self.in_flight) {
                self.note(label, Err(late()));
            }
        }
        true
    }

    /// Polls all that is in flight, the first first: what waits for its turn at the writer must not keep others from
    /// theirs. Whether anything is done.
    fn poll(&mut self, context: &mut Context<'_>) -> bool {
        let before = self.in_flight.len();
        for _ in 0..before {
            let Some(mut job) = self.in_flight.pop_front() else {
                break;
            };
            match job.done.as_mut().poll(context) {
                Poll::Ready(done) => self.note(job.label, done),
                Poll::Pending => self.in_flight.push_back(job),
            }
        }
        self.in_flight.len() < before
    }

    /// Keeps what came of an operation.
    fn note(&mut self, label: Label, done: Result<Done, Failure>) {
        let mut answer = Object::new();
        let mut insert = |name: &str, value: Option<String>| {
            if let Some(value) = value {
                answer.insert(name.to_owned(), value.into());
            }
        };
        let (status, shown, error) = match done {
            Ok(done) => (done.status, done.representation, None),
            Err(failure) => (failure.status, None, Some(failure.into_object())),
        };
        let (id, location, version) = match shown {
            Some(shown) => (
                Some(shown.stored.id),
                Some(shown.location),
                Some(shown.etag),
            ),
            None => (None, label.location, None),
        };
        insert("location", location);
        insert(
            "method",
            label.method.map(|method| method.as_str().to_owned()),
        );
        insert("bulkId", label.bulk_id);
        insert("version", version);
        insert("status", Some(status.to_string()));
        if let Some(error) = error {
            self.errors += 1;
            answer.insert("response".to_owned(), Value::Object(error));
        }
        if let Some(outcome) = self.outcomes.get_mut(label.place) {
            *outcome = Some(Outcome { answer, id });
        }
    }
}

/// The command that an operation is, and the condition on the resource's version.
fn command(
    asked: Asked,
    endpoint: Option<Endpoint>,
    schemas: &Schemas,
) -> Result<(Command, Condition), Failure> {
    let endpoint =
        endpoint.ok_or_else(|| Failure::new(404, "there is no endpoint at this path"))?;
    let command = match (asked.method, endpoint) {
        (Method::Post, Endpoint::Collection(resource_type)) => {
            Command::create(resource_type, asked.data, schemas)?
        }
        (Method::Put, Endpoint::Resource(resource_type, id)) => {
            Command::replace(resource_type, id, asked.data, schemas)?
        }
        (Method::Patch, Endpoint::Resource(resource_type, id)) => {
            Command::patch(resource_type, id, asked.data, schemas)?
        }
        (Method::Delete, Endpoint::Resource(resource_type, id)) => {
            Command::Delete(resource_type, id)
        }
        (Method::Post, _) => {
            return Err(Failure::new(405, "a POST takes /Users or /Groups"));
        }
        (Method::Put | Method::Patch | Method::Delete, _) => {
            let detail = "PUT, PATCH and DELETE take one resource: /Users/{id} or /Groups/{id}";
            return Err(Failure::new(405, detail));
        }
    };
    let condition = Condition {
        if_match: asked.version.as_deref().map(Tags::parse),
        if_none_match: None,
    };
    Ok((command, condition))
}

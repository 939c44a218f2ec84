//! What every request goes through on either listener: where it comes from, whether its URL is good, its body as JSON,
//! and at the end its id and its line in the log. Whose it is, is for `auth`; what it means, for the handlers.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, PoisonError};

use hyper::body::{Body, Bytes, Incoming};
use hyper::header::{self, HeaderName};
use hyper::{Method, Request, Version};
use serde_json::Value;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;
use tokio::time::error::Elapsed;

use super::Settings;
use super::answer::{self, Failure, Reply};
use super::body::{self, BodyError};
use super::client::TrustedProxies;
use super::limits::Limits;
use super::line::{Label, Line};
use super::metrics::Meter;
use super::outgoing::Outgoing;
use super::strangers::Visit;
use crate::directory::Refusal;
use crate::directory::audit::Origin;
use crate::scim::{self, json};

/// Deepest nesting of a JSON body: no message comes near it.
const JSON_DEPTH: usize = 64;
/// The header that carries the id under which the audit and the log know a request.
const X_REQUEST_ID: HeaderName = HeaderName::from_static("x-request-id");
/// Bodies of a listener in memory at the same time, in KiB. As JSON values they take up to thirty times that (objects with
/// short names; [`json::parse`] refuses what takes more): with the bulk requests less than 256 MiB. Further requests wait.
/// A token has half of it at the most, so that bodies which do not arrive keep out nobody else.
const BODIES: usize = 4 * 1024;
/// The same of searches, which tokens that may not write send too: changes never wait for them.
const SEARCHES: usize = 1024;
/// Bytes of a search at the most: several times a URL, which can ask for the same.
const SEARCH_SIZE: usize = 64 * 1024;
/// The same of bulk requests. Their room is another, because they keep it for a thousand changes: single changes must
/// not wait for that.
const BULK_BODIES: usize = 4 * 1024;
/// KiB that a bulk request takes at the least, so that few are under way at one time: what they have handed to the
/// writer is all that a single change waits for.
const BULK_SHARE: usize = 512;
/// Bytes of a body above which it is read as JSON on a thread of its own: it would keep other requests waiting for
/// milliseconds.
const LARGE: usize = 64 * 1024;

/// What the requests of a listener share.
pub struct Intake {
    meter: Meter,
    trusted_proxies: TrustedProxies,
    limits: Arc<Limits>,
    bodies: Room,
    searches: Room,
    bulk_bodies: Room,
    /// The room for answers.
    pub outgoing: Outgoing,
}

/// What a body asks for: which room it takes and how large it may be.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Asks {
    /// One change.
    One,
    /// A list.
    Search,
    /// Many changes.
    Bulk,
}

/// Room for bodies, in KiB.
struct Room {
    free: Arc<Semaphore>,
    /// What one token can have of it.
    most: usize,
    /// What a body takes at the least.
    least: usize,
    /// What each token still can have: those that are valid, or were, so they are few.
    shares: Mutex<HashMap<String, Arc<Semaphore>>>,
}

/// Room that is taken, until this is dropped.
pub struct Held {
    _room: OwnedSemaphorePermit,
    _share: OwnedSemaphorePermit,
}

/// A request under way.
pub struct Begun {
    /// Its line in the log to be, and whose it is.
    pub line: Line,
    /// The address that it comes from.
    pub client: IpAddr,
    /// When it has to be answered.
    pub deadline: Instant,
    method: Method,
}

/// A body that was understood, and the room that it takes until its request is done.
pub struct Content<T> {
    /// What was made of it.
    pub value: T,
    /// Kept as long as anything of the body is.
    pub room: Held,
}

impl Intake {
    /// The intake of a listener, whose requests `meter` counts.
    pub fn new(settings: &Settings, meter: Meter) -> Self {
        Self {
            meter,
            trusted_proxies: settings.trusted_proxies.clone(),
            limits: Arc::clone(&settings.limits),
            bodies: Room::new(BODIES, BODIES / 2, 1),
            searches: Room::new(SEARCHES, SEARCHES / 2, 1),
            bulk_bodies: Room::new(BULK_BODIES, BULK_BODIES, BULK_SHARE),
            outgoing: Outgoing::new(),
        }
    }

    /// Begins a request over the connection of `visit`, for what `label` names.
    pub fn begin<B>(&self, request: &Request<B>, visit: &Visit, label: Option<Label<'_>>) -> Begun {
        let client = self
            .trusted_proxies
            .client(visit.address, request.headers());
        let source = match client == visit.address {
            true => Arc::clone(&visit.source),
            false => client.to_string().into(),
        };
        let origin = Origin::new("unknown", source);
        let method = request.method().clone();
        Begun {
            line: Line::begin(self.meter.clone(), method.as_str(), label, origin),
            client,
            deadline: Instant::now() + self.limits.request,
            method,
        }
    }

    /// A little earlier than the request's own end, so that there is time to say why.
    pub fn answer_by(&self, deadline: Instant) -> Instant {
        deadline - self.limits.request / 10
    }

    /// Refuses a URL that is too long, and a request of HTTP/1.1 without its one Host (RFC 9112 §3.2).
    pub fn admit<B>(&self, request: &Request<B>) -> Result<(), Failure> {
        let url = request.uri().path_and_query();
        if url.map_or(0, |url| url.as_str().len()) > self.limits.url_size {
            return Err(Failure::new(
                414,
                format!("the URL is longer than {} bytes", self.limits.url_size),
            ));
        }
        let hosts = request.headers().get_all(header::HOST).iter().count();
        if request.version() == Version::HTTP_11 && hosts != 1 {
            return Err(Failure::new(400, "HTTP/1.1 asks for one Host header"));
        }
        Ok(())
    }

    /// What `understand` makes of the JSON in a body that came with this token, once there is room for it.
    pub async fn json<T: Send + 'static>(
        &self,
        incoming: Incoming,
        asks: Asks,
        token_id: &str,
        deadline: Instant,
        understand: impl FnOnce(Value) -> Result<T, scim::Error> + Send + 'static,
    ) -> Result<Content<T>, Failure> {
        let (bytes, room) = self.body(incoming, asks, token_id, deadline).await?;
        let large = bytes.len() > LARGE;
        let understand = move || json::parse(&bytes, JSON_DEPTH).and_then(understand);
        let value = match large {
            false => understand(),
            true => tokio::task::spawn_blocking(understand)
                .await
                .map_err(|error| Refusal::Failed(error.to_string()))?,
        };
        let value = value?;
        Ok(Content { value, room })
    }

    /// A body that came with this token, empty for none, and the room that it takes.
    pub async fn body(
        &self,
        incoming: Incoming,
        asks: Asks,
        token_id: &str,
        deadline: Instant,
    ) -> Result<(Bytes, Held), Failure> {
        let (limit, room) = match asks {
            Asks::One => (self.limits.body_size, &self.bodies),
            Asks::Search => (self.limits.body_size.min(SEARCH_SIZE), &self.searches),
            Asks::Bulk => (self.limits.bulk_size, &self.bulk_bodies),
        };
        let size = incoming
            .size_hint()
            .exact()
            .and_then(|size| usize::try_from(size).ok());
        let room = room
            .take(size.unwrap_or(limit).min(limit), token_id)
            .await?;
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
        Ok((bytes, room))
    }

    /// The reply as it leaves: under the request's id, without a body where the method is HEAD, with the room that it
    /// needs. Its line is written. `told` makes a reply of a failure and the id.
    pub fn finish(
        &self,
        begun: Begun,
        answer: Result<Result<Reply, Failure>, Elapsed>,
        told: impl FnOnce(Failure, &str) -> Reply,
    ) -> Reply {
        let request_id = begun.line.origin.request_id.clone();
        let mut answer = answer.unwrap_or_else(|_| Err(late()));
        if begun.method != Method::HEAD
            && let Ok(reply) = answer
        {
            answer = self.outgoing.place(reply);
        }
        let mut reply = match answer {
            Ok(reply) => {
                begun.line.end(reply.status().as_u16(), None);
                reply
            }
            Err(failure) => {
                begun.line.end(failure.status, Some(&failure));
                told(failure, &request_id)
            }
        };
        if begun.method == Method::HEAD {
            let body = std::mem::take(reply.body_mut());
            answer::set(&mut reply, header::CONTENT_LENGTH, &body.len().to_string());
        }
        answer::set(&mut reply, X_REQUEST_ID, &request_id);
        reply
    }
}

impl Room {
    fn new(size: usize, most: usize, least: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(size)),
            most,
            least,
            shares: Mutex::default(),
        }
    }

    /// Room for a body of so many bytes that came with this token, once it is free.
    async fn take(&self, bytes: usize, token_id: &str) -> Result<Held, Failure> {
        let kib = bytes.div_ceil(1024).max(self.least).min(self.most);
        let kib = u32::try_from(kib).unwrap_or(u32::MAX);
        let take = |of: Arc<Semaphore>| async move {
            let taken = of.acquire_many_owned(kib).await;
            taken.map_err(|_| late())
        };
        // In this order: who waits for its own share keeps nothing from others.
        let share = take(self.share(token_id)).await?;
        Ok(Held {
            _room: take(Arc::clone(&self.free)).await?,
            _share: share,
        })
    }

    fn share(&self, token_id: &str) -> Arc<Semaphore> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        let share = shares
            .entry(token_id.to_owned())
            .or_insert_with(|| Arc::new(Semaphore::new(self.most)));
        Arc::clone(share)
    }
}

/// The JSON value of a body.
pub fn parse(body: &[u8]) -> Result<Value, Failure> {
    Ok(json::parse(body, JSON_DEPTH)?)
}

/// The answer when a request's time is over.
pub fn late() -> Failure {
    let detail = "the request took too long; what it asks for may still be done";
    Failure::new(503, detail).with(header::RETRY_AFTER, "5")
}

/// Whether a method changes nothing: all but the four that write.
pub fn reads(method: &Method) -> bool {
    !matches!(
        *method,
        Method::POST | Method::PUT | Method::PATCH | Method::DELETE
    )
}

/// A method and path as an audit row can hold them.
pub fn asked(method: &str, path: &str) -> String {
    const LETTERS: usize = 200;
    let asked = format!("{method} {path}");
    asked.chars().take(LETTERS).collect()
}

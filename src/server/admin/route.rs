//! The table of routes: what each is for, who may use it, what it takes and gives. Dispatch, 405, scopes and the OpenAPI
//! document read this table, and the types of a handler are what it says, so that none of them can differ.

use std::any::TypeId;
use std::pin::Pin;
use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use hyper::header;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};

use crate::directory::audit::{Entry, Origin, Verdict};
use crate::directory::{Directory, Refusal};
use crate::scim::{Error, ScimType};
use crate::server::answer::{self, Failure, Reply};
use crate::server::line::Label;

/// Letters of what is told about a query or body that cannot be read: it quotes what was sent.
const LETTERS: usize = 300;

/// Which token a route needs.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Need {
    /// None.
    Nothing,
    /// One of scope `read` or `admin`: nothing is changed.
    Read,
    /// One of scope `admin`: an act, which the audit records.
    Admin,
}

/// A query or body in which nothing may stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// A request that has its route.
#[derive(Clone)]
pub struct Asked {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Who asks.
    pub origin: Origin,
    /// What the path names: an id or a name; empty if it names nothing.
    pub subject: String,
    /// The query as it was sent.
    pub query: String,
    /// The body, if there is one.
    pub body: Option<Value>,
}

impl Asked {
    /// Whether it waits for something to come.
    pub fn waits(&self) -> bool {
        form_urlencoded::parse(self.query.as_bytes()).any(|(name, _)| name == "wait")
    }
}

/// A request that was understood.
pub struct Call<Q = Nothing, B = Nothing> {
    /// The directory.
    pub directory: Arc<Directory>,
    /// Who asks.
    pub origin: Origin,
    /// What the path names: an id or a name; empty if it names nothing.
    pub subject: String,
    /// The query.
    pub query: Q,
    /// The body.
    pub body: B,
}

impl Asked {
    fn read<Q: DeserializeOwned, B: DeserializeOwned>(self) -> Result<Call<Q, B>, Failure> {
        let pairs = form_urlencoded::parse(self.query.as_bytes());
        let query = serde_html_form::Deserializer::new(pairs);
        let query = serde_path_to_error::deserialize(query).map_err(|error| {
            let place = error.path().to_string();
            unreadable("query", &place, &error.into_inner())
        })?;
        let body = self.body.unwrap_or_else(|| json!({}));
        let body = serde_path_to_error::deserialize(body).map_err(|error| {
            let place = error.path().to_string();
            unreadable("body", &place, &error.into_inner())
        })?;
        Ok(Call {
            directory: self.directory,
            origin: self.origin,
            subject: self.subject,
            query,
            body,
        })
    }
}

fn unreadable(what: &str, place: &str, error: &dyn std::fmt::Display) -> Failure {
    let error = error.to_string();
    let told = matches!(place, "." | "?") || error.contains(&format!("`{place}`"));
    let detail = match told {
        true => format!("the {what}: {error}"),
        false => format!("the {what}: {place}: {error}"),
    };
    let detail: String = detail.chars().take(LETTERS).collect();
    Error::new(ScimType::InvalidValue, detail).into()
}

/// The outcome of a dry run. The audit is to have no row of it, also where it is refused.
pub fn foreseen<T>(origin: &Origin, outcome: Result<T, Refusal>) -> Result<T, Failure> {
    outcome.map_err(|why| {
        origin.outcome.tell(Verdict::Refused, &why.to_string());
        why.into()
    })
}

/// What a handler gives back.
pub trait Answer {
    /// The status.
    const STATUS: u16;

    /// The schema of its body, if it has one.
    fn schema(generator: &mut SchemaGenerator) -> Option<Schema>;

    /// The reply.
    fn into_reply(self) -> Reply;
}

/// 200 with a body.
pub struct Shown<T>(pub T);

/// 201 with what was made, and its URL if it has one.
pub struct Created<T>(pub T, pub Option<String>);

/// 204.
pub struct Done;

impl<T: Serialize + JsonSchema> Answer for Shown<T> {
    const STATUS: u16 = 200;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn into_reply(self) -> Reply {
        answer::json(Self::STATUS, &self.0)
    }
}

impl<T: Serialize + JsonSchema> Answer for Created<T> {
    const STATUS: u16 = 201;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<T>())
    }

    fn into_reply(self) -> Reply {
        let mut reply = answer::json(Self::STATUS, &self.0);
        if let Some(location) = &self.1 {
            answer::set(&mut reply, header::LOCATION, location);
        }
        reply
    }
}

impl Answer for Done {
    const STATUS: u16 = 204;

    fn schema(_: &mut SchemaGenerator) -> Option<Schema> {
        None
    }

    fn into_reply(self) -> Reply {
        answer::empty(Self::STATUS)
    }
}

/// A reply on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Reply, Failure>> + Send>>;

/// One row of the table.
pub struct Route {
    /// The method. GET stands for HEAD too.
    pub method: Method,
    /// The path below the base, with at most one `{id}` or `{name}`.
    pub path: &'static str,
    /// What it is called: of an act, the action in the audit.
    pub name: &'static str,
    /// What it does, in a sentence.
    pub summary: &'static str,
    /// Which token it needs.
    pub need: Need,
    /// How long it may wait for something to happen, besides the time that every request has.
    pub patience: Duration,
    /// Status of the answer when it is done.
    pub status: u16,
    /// The schema of its query.
    pub query: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The schema of its body.
    pub body: Option<fn(&mut SchemaGenerator) -> Schema>,
    /// The schema of its answer.
    pub answer: fn(&mut SchemaGenerator) -> Option<Schema>,
    handle: Box<dyn Fn(Asked) -> Result<Answering, Failure> + Send + Sync>,
}

impl Route {
    /// A route that changes nothing, by GET.
    pub fn read<Q, B, A, F>(
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handle: impl Fn(Call<Q, B>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        B: DeserializeOwned + JsonSchema + 'static,
        A: Answer,
        F: Future<Output = Result<A, Failure>> + Send + 'static,
    {
        Self {
            need: Need::Read,
            ..Self::act(Method::GET, path, name, summary, handle)
        }
    }

    /// An act.
    pub fn act<Q, B, A, F>(
        method: Method,
        path: &'static str,
        name: &'static str,
        summary: &'static str,
        handle: impl Fn(Call<Q, B>) -> F + Send + Sync + 'static,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        B: DeserializeOwned + JsonSchema + 'static,
        A: Answer,
        F: Future<Output = Result<A, Failure>> + Send + 'static,
    {
        Self {
            method,
            path,
            name,
            summary,
            need: Need::Admin,
            patience: Duration::ZERO,
            status: A::STATUS,
            query: taken::<Q>(),
            body: taken::<B>(),
            answer: A::schema,
            handle: Box::new(move |asked| {
                let answering = handle(asked.read()?);
                Ok(Box::pin(async move { Ok(answering.await?.into_reply()) }))
            }),
        }
    }

    /// The same route by another method.
    pub fn by(self, method: Method) -> Self {
        Self { method, ..self }
    }

    /// The same route, which may wait for something to happen.
    pub fn waiting(self, patience: Duration) -> Self {
        Self { patience, ..self }
    }

    /// The same route for everybody.
    pub fn open(self) -> Self {
        Self {
            need: Need::Nothing,
            ..self
        }
    }

    /// Understands a request, or refuses it before the directory has seen it.
    pub fn understand(&self, asked: Asked) -> Result<Answering, Failure> {
        (self.handle)(asked)
    }

    /// The audit entry of the act, as far as it is known from its URL.
    pub fn entry(&self, subject: &str) -> Entry {
        let target = match self.name.split_once('.') {
            Some(("account", _)) => "User",
            Some((noun, _)) => noun,
            None => self.name,
        };
        let by_id = self.path.contains("{id}");
        let mut entry = Entry::new(self.name, 0).about(target, by_id.then_some(subject));
        if !by_id && !subject.is_empty() {
            entry.target_name = Some(subject.to_owned());
        }
        entry
    }

    /// What the path names, if it is one of this route; empty where the route's path names nothing.
    fn subject(&self, path: &[&str]) -> Option<String> {
        let template: Vec<_> = self.path.split('/').skip(1).collect();
        let mut subject = String::new();
        let fits = |(template, segment): (&&str, &&str)| {
            if template.starts_with('{') {
                subject = (*segment).to_owned();
                return true;
            }
            template == segment
        };
        let fits = template.len() == path.len() && template.iter().zip(path).all(fits);
        fits.then_some(subject)
    }
}

/// The schema of a query or body, if there may be one.
fn taken<T: JsonSchema + 'static>() -> Option<fn(&mut SchemaGenerator) -> Schema> {
    let nothing = TypeId::of::<T>() == TypeId::of::<Nothing>();
    (!nothing).then_some(|generator| generator.subschema_for::<T>())
}

/// All routes.
pub struct Table {
    routes: Vec<Route>,
}

/// The route of a request.
pub struct Found<'a> {
    /// The route.
    pub route: &'a Route,
    /// What the path names.
    pub subject: String,
    /// The methods that the path takes, as in `Allow`.
    pub allow: String,
}

impl Found<'_> {
    /// What the log says of it.
    pub fn label(&self) -> Label<'_> {
        let id = (!self.subject.is_empty()).then_some(self.subject.as_str());
        (self.route.path, id)
    }
}

impl Table {
    /// The table of `routes`.
    pub fn new(mut routes: Vec<Route>) -> Self {
        // A path in words is tried before one with a place for a name, in which the same word may stand.
        routes.sort_by_key(|route| route.path.contains('{'));
        Self { routes }
    }

    /// The route that `path` below the base has for a method: 404 if there is none for any, else 405.
    pub fn find(&self, path: &[&str], method: &Method) -> Result<Found<'_>, Failure> {
        let fitting = self.routes.iter();
        let fitting = fitting.filter_map(|route| Some((route, route.subject(path)?)));
        let fitting: Vec<_> = fitting.collect();
        if fitting.is_empty() {
            return Err(Failure::new(404, "there is nothing at this path"));
        }
        let mut allow = vec!["OPTIONS"];
        for (route, _) in &fitting {
            allow.push(route.method.as_str());
            if route.method == Method::GET {
                allow.push("HEAD");
            }
        }
        allow.sort_unstable();
        allow.dedup();
        let allow = allow.join(", ");
        let wanted = match *method {
            Method::HEAD => &Method::GET,
            _ => method,
        };
        let found = fitting
            .into_iter()
            .find(|(route, _)| route.method == wanted || method == Method::OPTIONS);
        match found {
            Some((route, subject)) => Ok(Found {
                route,
                subject,
                allow,
            }),
            None => {
                let failure = Failure::new(405, format!("this path takes {allow}"));
                Err(failure.with(header::ALLOW, allow))
            }
        }
    }
}

//! The rules of the directory: users, mappings, accounts and their life, tokens, audit. It knows transactions, not
//! HTTP.
//!
//! Each action is one function here, called by the server and by the command line alike. A change is one job for the
//! writer thread that also writes the audit row; a read takes a read-only connection.

pub mod account;
pub mod accounts;
mod administrator;
pub mod anchor;
pub mod assignment;
pub mod audit;
mod authentication;
pub mod auto_delete;
pub mod backup;
pub mod by_hand;
pub mod deletion;
pub mod denials;
pub mod expiry;
pub mod feed;
mod forwarding;
pub mod groups;
pub mod history;
pub mod impact;
pub mod import;
pub mod lifecycle;
mod many;
pub mod mapping;
pub mod mappings;
mod names;
pub mod overview;
pub mod paging;
pub mod places;
pub mod profiles;
mod pruning;
pub mod reading;
pub mod reclassify;
pub mod refusal;
pub mod reports;
mod secret;
pub mod setup;
pub mod storages;
pub mod throttle;
pub mod times;
pub mod tokens;
pub mod users;
pub mod view;
mod warnings;
#[cfg(test)]
pub(crate) mod world;

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

pub use refusal::Refusal;

use crate::scim::query::Projection;
use crate::scim::resource::changes;
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::{Error, Object, ScimType};
use crate::store::audit::Tail;
use crate::store::writer::Job;
use crate::store::{self, Store};
use places::Seats;
use view::{Representation, View};

/// Where the present instant comes from.
pub type Clock = Arc<dyn Fn() -> Timestamp + Send + Sync>;

/// A new id of a request: a UUID that sorts by time, to the millisecond.
fn new_id() -> String {
    // Without a counter that all threads would share.
    let id = uuid::Uuid::new_v7(uuid::Timestamp::now(uuid::NoContext));
    let mut letters = uuid::Uuid::encode_buffer();
    id.hyphenated().encode_lower(&mut letters).to_owned()
}

/// The clock of the machine, in whole milliseconds: what the tables can hold.
pub fn system_clock() -> Clock {
    Arc::new(|| {
        let now = Timestamp::now();
        Timestamp::from_millisecond(now.as_millisecond()).unwrap_or(now)
    })
}

/// What the configuration says of the rules.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// Days for which a token is valid at the most.
    pub longest_days: u16,
    /// How many accounts the appliance may have.
    pub seats: Seats,
    /// Failed authentications.
    pub throttle: throttle::Limits,
    /// How the audit is kept by the server.
    pub audit: anchor::Policy,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            longest_days: tokens::DEFAULT_DAYS,
            seats: Seats::default(),
            throttle: throttle::Limits::default(),
            audit: anchor::Policy::default(),
        }
    }
}

/// The directory over one database.
pub struct Directory {
    store: Store,
    view: View,
    clock: Clock,
    settings: Settings,
    verified: authentication::Verified,
    throttle: Arc<throttle::Throttle>,
    denials: denials::Denials,
    announced: expiry::Announced,
    daily: auto_delete::Daily,
    feed: feed::Feed,
    noted: anchor::Noted,
    pruned: auto_delete::Daily,
}

impl Directory {
    /// A directory over `store`, whose resources look as `view` says.
    pub fn new(
        store: Store,
        view: View,
        clock: Clock,
        settings: Settings,
    ) -> Result<Self, Refusal> {
        Ok(Self {
            store,
            view,
            clock,
            verified: authentication::Verified::new()?,
            throttle: Arc::new(throttle::Throttle::new(settings.throttle.clone())),
            settings,
            denials: denials::Denials::default(),
            announced: expiry::Announced::default(),
            daily: auto_delete::Daily::default(),
            feed: feed::Feed::default(),
            noted: anchor::Noted::default(),
            pruned: auto_delete::Daily::default(),
        })
    }

    /// The schemas that its resources follow.
    pub fn schemas(&self) -> &Schemas {
        &self.view.schemas
    }

    /// URL of the announced base path, without a slash at its end.
    pub fn base(&self) -> &str {
        &self.view.base
    }

    /// URL of the resource with this id, whether or not it is there.
    pub fn location(&self, resource_type: ResourceType, id: &str) -> String {
        self.view.location(resource_type, id)
    }

    /// What `projection` shows of a resource, as JSON.
    pub fn json(&self, of: &Representation, projection: &Projection) -> Result<Vec<u8>, Refusal> {
        Ok(self.view.json(of, projection)?)
    }

    /// The present instant.
    pub fn now(&self) -> Timestamp {
        (self.clock)()
    }

    /// Writes what is still held in memory and closes the file: after this it is complete by itself.
    pub async fn close(&self) {
        self.settle(true).await;
        self.store.close().await;
    }

    /// Writes what lags behind on purpose: when tokens were used last, and refused authentications that repeated
    /// within the last minute; with `closing` whether or not the minute is over. Announces the ends of tokens, and
    /// deletes and prunes once a day what is due, and notes the head of the audit. The server calls
    /// it at its start and now and then.
    pub async fn settle(&self, closing: bool) {
        let (used, denials) = tokio::join!(self.flush_used(closing), self.flush_denials(closing));
        for error in [used.err(), denials.err()].into_iter().flatten() {
            tracing::error!(%error, "could not be written; it is tried again");
        }
        if closing {
            return;
        }
        if let Err(error) = self.announce_expiry() {
            tracing::error!(%error, "cannot look at the tokens' ends; it is tried again");
        }
        if let Err(error) = self.auto_delete_daily().await {
            tracing::error!(%error, "cannot delete the accounts that are due; it is tried again, in a day if the database itself is well");
        }
        if let Err(error) = self.prune_daily().await {
            tracing::error!(%error, "cannot prune the audit; it is tried again");
        }
        self.anchor(false).await;
    }

    /// Completes when nothing can be written any more, though nobody closed the file.
    pub async fn failed(&self) {
        self.store.writer.ended().await;
    }

    /// Whether the writer answers: a job of its own goes through it, without a change. It does on a full disk too.
    pub async fn ready(&self) -> Result<(), Refusal> {
        Ok(self.store.writer.submit(Nothing).await?)
    }
}

/// What differs between two things as scripts see them, for the audit; what is null is not there.
fn changed(old: &Value, new: &Value) -> Object {
    let side = |thing: &Value| -> Object {
        let members = thing.as_object().into_iter().flatten();
        members
            .filter(|(_, value)| !value.is_null())
            .map(|(name, value)| (name.clone(), value.clone()))
            .collect()
    };
    changes(&side(old), &side(new))
}

/// Bytes of a stored resource, as JSON, at the most: what one request may send, so that a PUT can give back what a GET
/// shows. Without it PATCH after PATCH could add to one resource for ever. Members of groups are not part of it.
const RESOURCE_SIZE: usize = 1024 * 1024;

/// Attributes as JSON, as they are stored. More than [`RESOURCE_SIZE`] is refused; `active` does not count: whoever leaves
/// is preserved, however much is stored.
fn storable(attributes: &Object) -> Result<String, Refusal> {
    let text = store::text::object(attributes)?;
    let active = attributes
        .get("active")
        .map_or(0, |active| active.to_string().len());
    match text.len().saturating_sub(active) > RESOURCE_SIZE {
        false => Ok(text),
        true => Err(Refusal::Invalid(Error::new(
            ScimType::TooMany,
            format!(
                "the resource would be larger than {RESOURCE_SIZE} bytes; take something out of it first"
            ),
        ))),
    }
}

/// A job that changes nothing.
struct Nothing;

impl Job for Nothing {
    type Done = ();
    type Refused = store::Error;

    fn apply(&mut self, _: &Connection, _: &mut Tail) -> Result<(), store::Error> {
        Ok(())
    }
}

#[cfg(test)]
mod tests;

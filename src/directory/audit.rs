//! Who did what, and why it was done or refused: the audit row that stands in the same transaction as each change, and
//! alone for each refusal (design §3.12).

use std::borrow::Cow;
use std::sync::{Arc, Mutex, PoisonError};

use jiff::Timestamp;
use rusqlite::Connection;

use super::secret::masked;
use super::{Clock, Directory, Refusal, administrator};
use crate::scim::Object;
pub use crate::store::audit::{Recorded, Verdict};
use crate::store::audit::{Row, Tail};
use crate::store::users::User;
use crate::store::{self, accounts, writer::Job};

/// Who asks, and under which id.
#[derive(Debug, Clone)]
pub struct Origin {
    /// Id of the request: in the answer, the log and the audit.
    pub request_id: String,
    /// The token or the administrator.
    pub actor: Arc<str>,
    /// The address, or `cli`.
    pub source: Arc<str>,
    /// Status of the answer to an administrator's act that is done; 0 for a command.
    pub status: u16,
    /// What came of it, once that is known.
    pub outcome: Outcome,
}

/// What came of a request, told by the change that it asked for to whoever writes its line in the log.
#[derive(Debug, Clone, Default)]
pub struct Outcome(Arc<Mutex<Option<(Verdict, String)>>>);

impl Outcome {
    /// Keeps the verdict and the reason.
    pub fn tell(&self, verdict: Verdict, reason: &str) {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        *told = Some((verdict, reason.to_owned()));
    }

    /// Whether anything was told: the audit has its row, or is to have none.
    pub fn is_told(&self) -> bool {
        let told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.is_some()
    }

    /// The verdict and the reason, if anything was told.
    pub fn take(&self) -> Option<(Verdict, String)> {
        let mut told = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        told.take()
    }
}

impl Origin {
    /// `actor` at `source`, under a new id.
    pub fn new(actor: impl Into<Arc<str>>, source: impl Into<Arc<str>>) -> Self {
        Self {
            request_id: request_id(),
            actor: actor.into(),
            source: source.into(),
            status: 0,
            outcome: Outcome::default(),
        }
    }

    /// The same for a part of what is asked, whose outcome is its own.
    pub fn part(&self) -> Self {
        Self {
            outcome: Outcome::default(),
            ..self.clone()
        }
    }

    /// A command on this machine, by the account that runs it.
    pub fn command_line() -> Self {
        Self::new(administrator::present(), "cli")
    }

    /// What the server does by itself.
    pub fn server() -> Self {
        Self::new("server", "server")
    }
}

/// A new request id: a UUID that sorts by time.
pub fn request_id() -> String {
    super::new_id()
}

/// What the audit row of a change will say. The change fills it in as it learns; on a refusal, what it had learned
/// stands beside the reason.
#[derive(Debug, Clone)]
pub struct Entry {
    /// What is asked for: `user.create`.
    pub action: String,
    /// On what kind of thing.
    pub target_type: Option<&'static str>,
    /// Its id.
    pub target_id: Option<String>,
    /// Its name.
    pub target_name: Option<String>,
    /// What came of it.
    pub verdict: Verdict,
    /// Status of the answer when it succeeds, or of a refusal that the directory does not see; 0 leaves it to the
    /// origin.
    pub status: u16,
    /// SCIM error type of such a refusal.
    pub scim_type: Option<&'static str>,
    /// Sentences that say why.
    pub reasons: Vec<String>,
    /// Attribute → `{"old", "new"}`.
    pub changes: Option<Object>,
    /// The decision of the mappings.
    pub mapping: Option<Object>,
    /// The account before and after, for the change feed.
    account: Option<String>,
    /// Who asks. The directory knows it once the change is made.
    pub(super) actor: Arc<str>,
    /// The number that the row of the change has, once it is made.
    pub(super) seq: i64,
    /// Whether the change reads the audit: then the rows of those before it are there.
    pub(super) reads_audit: bool,
}

impl Entry {
    /// An entry for `action`, which answers with `status` when it succeeds.
    pub fn new(action: impl Into<String>, status: u16) -> Self {
        Self {
            action: action.into(),
            target_type: None,
            target_id: None,
            target_name: None,
            verdict: Verdict::Applied,
            status,
            scim_type: None,
            reasons: Vec::new(),
            changes: None,
            mapping: None,
            account: None,
            actor: "".into(),
            seq: 0,
            reads_audit: false,
        }
    }

    /// The same entry about a thing of this kind and id.
    pub fn about(mut self, target_type: &'static str, target_id: Option<&str>) -> Self {
        self.target_type = Some(target_type);
        self.target_id = target_id.map(str::to_owned);
        self
    }

    /// Adds a sentence.
    pub fn because(&mut self, reason: impl Into<String>) {
        self.reasons.push(reason.into());
    }

    /// Takes what changed; if that is nothing, the verdict is `unchanged`.
    pub fn record(&mut self, changes: Object) {
        if changes.is_empty() {
            self.verdict = Verdict::Unchanged;
            self.because("it was already so");
        } else {
            self.changes = Some(changes);
        }
    }

    /// Takes the account as it was and as it is.
    pub(super) fn account(
        &mut self,
        connection: &Connection,
        before: Option<&User>,
        after: Option<&User>,
    ) -> Result<(), store::Error> {
        self.account = Some(accounts::together(connection, before, after)?);
        Ok(())
    }

    /// Names the attributes that were not stored. Names only: their values are dropped.
    pub fn skipped(&mut self, names: &[String]) {
        if !names.is_empty() {
            self.because(format!("not stored: {}", listed(names)));
        }
    }

    /// The row of a change that was made at `at`.
    pub(super) fn row<'a>(&'a self, at: Timestamp, origin: &'a Origin) -> Row<'a> {
        let changed: Vec<_> = self.changes.iter().flat_map(Object::keys).collect();
        let reason: Cow<'_, str> = match (self.reasons.as_slice(), changed.as_slice()) {
            ([], []) => "done as asked".into(),
            ([], changed) => format!("changed: {}", listed(changed)).into(),
            ([reason], _) => reason.into(),
            (reasons, _) => reasons.join("; ").into(),
        };
        Row {
            at,
            request_id: &origin.request_id,
            actor: &origin.actor,
            source: &origin.source,
            action: &self.action,
            target_type: self.target_type,
            // A client may have put its token anywhere.
            target_id: self.target_id.as_deref().map(masked),
            target_name: self.target_name.as_deref().map(short).map(masked),
            verdict: self.verdict,
            status: match self.status {
                0 => origin.status,
                status => status,
            },
            scim_type: self.scim_type,
            reason: match reason {
                Cow::Borrowed(reason) => masked(reason),
                Cow::Owned(reason) => masked(&reason).into_owned().into(),
            },
            changes: self.changes.as_ref(),
            mapping: self.mapping.as_ref(),
            account: self.account.as_deref(),
        }
    }
}

/// Names in one sentence of an audit row; the rest is counted.
const NAMES: usize = 50;
/// Letters of each of them.
const NAME_LETTERS: usize = 120;

/// Letters of the name of what a row is about.
const TARGET_NAME: usize = 320;

/// A name as far as a row says it: who chose it may have sent one of any length.
pub(super) fn short(name: &str) -> &str {
    first(name, TARGET_NAME)
}

/// The first letters of a text, so many at the most.
pub fn first(text: &str, letters: usize) -> &str {
    let end = match text.len() > letters {
        true => text.char_indices().nth(letters).map(|(end, _)| end),
        false => None,
    };
    end.and_then(|end| text.get(..end)).unwrap_or(text)
}

/// Names for a sentence. A client chose them, so there are not more and not longer ones than a person reads.
pub(super) fn listed<T: AsRef<str>>(names: &[T]) -> String {
    let mut shown: Vec<String> = names
        .iter()
        .take(NAMES)
        .map(|name| name.as_ref().chars().take(NAME_LETTERS).collect())
        .collect();
    if let more @ 1.. = names.len().saturating_sub(NAMES) {
        shown.push(format!("and {more} more"));
    }
    shown.join(", ")
}

/// A change together with its audit row.
pub(super) struct Audited<F> {
    origin: Origin,
    entry: Entry,
    clock: Clock,
    change: Option<F>,
}

impl<T, F> Job for Audited<F>
where
    T: Send + 'static,
    F: FnOnce(&Connection, &mut Entry, Timestamp) -> Result<T, Refusal> + Send + 'static,
{
    type Done = T;
    type Refused = Refusal;

    fn apply(&mut self, connection: &Connection, tail: &mut Tail) -> Result<T, Refusal> {
        let change = self.change.take().ok_or(store::Error::Closed)?;
        let now = (self.clock)();
        if self.entry.reads_audit {
            tail.write(connection)?;
        }
        self.entry.seq = tail.next_seq(connection)?;
        let done = change(connection, &mut self.entry, now)?;
        let row = self.entry.row(now, &self.origin);
        tail.append(connection, &row)?;
        self.origin.outcome.tell(row.verdict, &row.reason);
        Ok(done)
    }

    fn refused(
        &mut self,
        connection: &Connection,
        tail: &mut Tail,
        why: &Refusal,
    ) -> Result<(), store::Error> {
        self.entry.changes = None;
        self.entry.account = None;
        self.entry.reasons.insert(0, why.to_string());
        let mut row = self.entry.row((self.clock)(), &self.origin);
        row.status = why.status();
        row.scim_type = why.scim_type().map(crate::scim::ScimType::as_str);
        row.verdict = match row.status {
            500.. => Verdict::Failed,
            _ => Verdict::Refused,
        };
        tail.append(connection, &row)?;
        self.origin.outcome.tell(row.verdict, &row.reason);
        Ok(())
    }
}

impl Directory {
    /// Has the writer make `change` and write its audit row, in one transaction; or, if it is refused, the row alone.
    pub(super) fn change<T: Send + 'static>(
        &self,
        origin: &Origin,
        entry: Entry,
        change: impl FnOnce(&Connection, &mut Entry, Timestamp) -> Result<T, Refusal> + Send + 'static,
    ) -> impl Future<Output = Result<T, Refusal>> + Send {
        self.store
            .writer
            .submit(self.audited(origin, entry, change))
    }

    /// The job of a change.
    pub(super) fn audited<T, F>(&self, origin: &Origin, mut entry: Entry, change: F) -> Audited<F>
    where
        F: FnOnce(&Connection, &mut Entry, Timestamp) -> Result<T, Refusal>,
    {
        entry.actor.clone_from(&origin.actor);
        Audited {
            origin: origin.clone(),
            entry,
            clock: self.clock.clone(),
            change: Some(change),
        }
    }

    /// Writes the row of a request that was refused before the directory saw it: too large, broken JSON, a scope that
    /// does not reach. Comes back once the row is durable.
    pub async fn refused(&self, origin: &Origin, mut entry: Entry) -> Result<(), Refusal> {
        entry.verdict = Verdict::Refused;
        self.note(origin, entry).await
    }

    /// Writes the row of an act that changed something outside the tables, or all of them: a start, a stop, a migration,
    /// a restore. Comes back once the row is durable.
    pub async fn note(&self, origin: &Origin, entry: Entry) -> Result<(), Refusal> {
        self.change(origin, entry, |_, _, _| Ok(())).await
    }

    /// The server is about to serve `scim` and `admin`, URLs. Nobody is served before this is in the audit.
    pub async fn started(&self, scim: &str, admin: &str) -> Result<(), Refusal> {
        let mut entry = Entry::new("server.start", 0);
        entry.because(format!(
            "Scimlite {} serves SCIM at {scim} and the administrator at {admin}, on a database of schema {}",
            env!("CARGO_PKG_VERSION"),
            store::migrate::PRESENT.version()
        ));
        self.note(&Origin::server(), entry).await?;
        self.anchor(true).await;
        Ok(())
    }

    /// The server has answered its last request. What lags behind is written, then the row of the stop, then the head
    /// is noted.
    pub async fn stopped(&self) {
        self.settle(true).await;
        let mut entry = Entry::new("server.stop", 0);
        entry.because("told to stop; what was asked for before was done");
        if let Err(error) = self.note(&Origin::server(), entry).await {
            tracing::error!(%error, "the stop is not in the audit");
        }
        self.anchor(true).await;
    }
}

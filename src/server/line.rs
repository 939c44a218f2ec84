//! The one line that the log has for each request, and for each operation of a bulk request: what was asked, what came of
//! it, why, for whom and how long it took. Under the same id the answer and the audit know the request.
//!
//! Never a query, a body or a path that names no endpoint: they may hold anything. Ids may stand here, and the reason
//! that the audit gives, without a token that a client put there.

use tokio::time::Instant;

use super::answer::Failure;
use super::metrics::Meter;
use crate::directory::audit::{Origin, Verdict, first};
use crate::directory::tokens::masked;

/// Letters of a method: the longest that HTTP registers has 17.
const METHOD: usize = 20;
/// Letters of an id: more than any has.
const ID: usize = 100;

/// What a request is for: the path as the documentation has it, and the id in its place.
pub type Label<'a> = (&'static str, Option<&'a str>);

/// A request under way. Its end is counted too. Dropped before it has ended, it leaves the line of one whose client hung up.
pub struct Line {
    meter: Meter,
    method: String,
    path: &'static str,
    id: Option<String>,
    started: Instant,
    ended: bool,
    /// Whether it is asked so often that nobody wants to read of it, unless it fails.
    pub quiet: bool,
    /// Who asks.
    pub origin: Origin,
}

impl Line {
    /// A request that begins now, to be counted by `meter`.
    pub fn begin(meter: Meter, method: &str, label: Option<Label<'_>>, origin: Origin) -> Self {
        let (path, id) = label.unwrap_or(("unknown", None));
        Self {
            meter,
            method: first(method, METHOD).to_owned(),
            path,
            id: id.map(|id| first(&masked(id), ID).to_owned()),
            started: Instant::now(),
            ended: false,
            quiet: false,
            origin,
        }
    }

    /// Writes the line of a request that is answered with `status`, with the failure if it is one.
    pub fn end(mut self, status: u16, failure: Option<&Failure>) {
        let told = self.origin.outcome.take();
        let (verdict, reason) = match (told, failure) {
            (Some((_, reason)), _) if status >= 500 => (Verdict::Failed, reason),
            (Some(told), _) => told,
            (None, Some(failure)) => (judged(status), failure.detail.clone()),
            (None, None) => (judged(status), "read".to_owned()),
        };
        let cause = failure.and_then(|failure| failure.cause.as_deref());
        self.write(status, Some(verdict), &reason, cause);
    }

    fn write(&mut self, status: u16, verdict: Option<Verdict>, reason: &str, cause: Option<&str>) {
        self.ended = true;
        let took = self.started.elapsed();
        self.meter
            .record(&self.method, self.path, status, verdict, took);
        let Origin {
            request_id,
            actor,
            source,
            ..
        } = &self.origin;
        macro_rules! answered {
            ($level:ident) => {
                tracing::$level!(
                    method = self.method,
                    path = self.path,
                    id = self.id,
                    status,
                    verdict = verdict.map(Verdict::as_str),
                    reason = &*masked(reason),
                    cause,
                    duration_us = u64::try_from(took.as_micros()).ok(),
                    request_id,
                    actor = &**actor,
                    source = &**source,
                    "request"
                )
            };
        }
        match status {
            // A flood of them must not fill the disk; the audit folds them, and says so in the log.
            401 | 429 => answered!(debug),
            500.. => answered!(error),
            _ if self.quiet => answered!(debug),
            _ => answered!(info),
        }
    }
}

impl Drop for Line {
    fn drop(&mut self) {
        if !self.ended {
            let reason = "nobody waited for the answer; the audit says what was done";
            self.write(0, None, reason, None);
        }
    }
}

/// The verdict on a request with this answer that the audit does not know.
fn judged(status: u16) -> Verdict {
    match status {
        ..400 => Verdict::Unchanged,
        400..500 => Verdict::Refused,
        _ => Verdict::Failed,
    }
}

//! `/metrics` (design §8, Addresses): what the process counts, and how the appliance stands, in the OpenMetrics text that
//! Prometheus reads.
//!
//! What is counted here for a request is under a few words that this program chose; never a path, an id or anything else
//! that a client sends. The names that an administrator gave to tokens and profiles are labels; no secret and no person
//! is one. Recording takes no database, no allocation and no lock that is held for longer than an addition.

use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::encoding::text::{encode_eof, encode_registry};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::metrics::info::Info;
use prometheus_client::registry::{Registry, Unit};

use super::certificate::Certificate;
use crate::directory::audit::Verdict;
use crate::directory::overview::Overview;
use crate::directory::{Directory, Refusal};
use crate::store::snapshots::Plan;

/// The media type of the text.
pub const MEDIA_TYPE: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

/// What every name begins with.
const PREFIX: &str = "scimlite";

/// What is counted of a request that was answered.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Answered {
    listener: &'static str,
    method: &'static str,
    route: &'static str,
    status: u16,
    verdict: &'static str,
}

/// What is timed together.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Timed {
    listener: &'static str,
    method: &'static str,
    route: &'static str,
}

/// Counts and times the requests of one listener. A clone shares what is counted.
#[derive(Clone)]
pub struct Meter {
    listener: &'static str,
    requests: Family<Answered, Counter>,
    durations: Family<Timed, Histogram>,
}

impl Meter {
    /// Takes down a request for `route`, a template, that was answered with `status` after `took`; with status 0 and no
    /// verdict if nobody waited for the answer.
    pub fn record(
        &self,
        method: &str,
        route: &'static str,
        status: u16,
        verdict: Option<Verdict>,
        took: Duration,
    ) {
        let (listener, method) = (self.listener, known(method));
        let answered = Answered {
            listener,
            method,
            route,
            status,
            verdict: verdict.map_or("none", Verdict::as_str),
        };
        self.requests.get_or_create(&answered).inc();
        let timed = Timed {
            listener,
            method,
            route,
        };
        let durations = self.durations.get_or_create(&timed);
        durations.observe(took.as_secs_f64());
    }
}

/// The method, if HTTP and SCIM have it: a client can send any word.
fn known(method: &str) -> &'static str {
    const METHODS: [&str; 7] = ["GET", "POST", "PATCH", "PUT", "DELETE", "HEAD", "OPTIONS"];
    let found = METHODS.into_iter().find(|known| *known == method);
    found.unwrap_or("other")
}

/// From 0.1 ms, a read, to 26 s, close to the end of a request's time.
fn durations() -> Histogram {
    Histogram::new(exponential_buckets(0.0001, 4.0, 10))
}

/// All that is counted, and where the rest is asked for.
pub struct Metrics {
    directory: Arc<Directory>,
    certificate: Arc<Certificate>,
    snapshots: Plan,
    counted: Registry,
    /// The requests of the SCIM listener.
    pub scim: Meter,
    /// The operations of its bulk requests.
    pub bulk: Meter,
    /// The requests of the admin listener.
    pub admin: Meter,
}

impl Metrics {
    /// Nothing counted yet.
    pub fn new(directory: Arc<Directory>, certificate: Arc<Certificate>, snapshots: Plan) -> Self {
        let mut counted = Registry::with_prefix(PREFIX);
        let requests = Family::default();
        let durations = Family::new_with_constructor(durations as fn() -> Histogram);
        let load = directory.load().clone();
        let version = env!("CARGO_PKG_VERSION");
        counted.register(
            "build",
            "The program that serves",
            Info::new(vec![("version", version)]),
        );
        counted.register(
            "requests",
            "Requests that were answered; listener bulk: operations of bulk requests",
            requests.clone(),
        );
        counted.register_with_unit(
            "request_duration",
            "Time from the header of a request to its answer",
            Unit::Seconds,
            durations.clone(),
        );
        counted.register(
            "authentications_refused",
            "Requests whose token was not taken",
            directory.refused_authentications(),
        );
        counted.register(
            "writer_queue_jobs",
            "Changes that wait for the writer",
            load.queued,
        );
        counted.register(
            "writer_batch_jobs",
            "Changes that were committed together",
            load.batch,
        );
        counted.register_with_unit(
            "writer_commit",
            "Time of a COMMIT, its fsync included",
            Unit::Seconds,
            load.commit,
        );
        let meter = |listener| Meter {
            listener,
            requests: requests.clone(),
            durations: durations.clone(),
        };
        Self {
            scim: meter("scim"),
            bulk: meter("bulk"),
            admin: meter("admin"),
            directory,
            certificate,
            snapshots,
            counted,
        }
    }

    /// The text. Reads the database: on a thread that may wait.
    pub async fn text(self: &Arc<Self>) -> Result<String, Refusal> {
        let this = Arc::clone(self);
        let written = tokio::task::spawn_blocking(move || {
            let overview = this.directory.overview(&this.snapshots)?;
            let standing = this.standing(&overview);
            this.write(&standing)
                .map_err(|error| Refusal::Failed(error.to_string()))
        });
        let failed = |error: tokio::task::JoinError| Refusal::Failed(error.to_string());
        written.await.map_err(failed)?
    }

    fn write(&self, standing: &Registry) -> Result<String, fmt::Error> {
        let mut text = String::new();
        encode_registry(&mut text, &self.counted)?;
        encode_registry(&mut text, standing)?;
        encode_eof(&mut text)?;
        Ok(text)
    }

    /// How the appliance stands, as gauges.
    fn standing(&self, overview: &Overview) -> Registry {
        let now = self.directory.now();
        let mut gauges = Gauges(Registry::with_prefix(PREFIX));
        let accounts = overview.accounts;
        gauges.family(
            "accounts",
            "Accounts",
            [
                ("active", accounts.active),
                ("preserved", accounts.preserved),
            ]
            .map(|(status, count)| (vec![("status", status.to_owned())], count)),
        );
        let profiles = &overview.profiles;
        gauges.family(
            "profile_active_accounts",
            "Active accounts of a profile",
            profiles.iter().map(|profile| {
                let name = vec![("profile", profile.name.clone())];
                (name, profile.accounts.active)
            }),
        );
        gauges.family(
            "profile_max_users",
            "Active accounts that a profile may have; absent: no limit",
            profiles.iter().filter_map(|profile| {
                let name = vec![("profile", profile.name.clone())];
                Some((name, profile.max_users?))
            }),
        );
        gauges.family(
            "token_expires_in_seconds",
            "Time until a token ends; below 0 once it has, for a day",
            overview.tokens.iter().map(|token| {
                let labels = vec![
                    ("id", token.id.clone()),
                    ("name", token.name.clone()),
                    ("scope", token.scope.as_str().to_owned()),
                ];
                (labels, token.expires.duration_since(now).as_secs())
            }),
        );
        let every = (self.snapshots.keep > 0).then_some(self.snapshots.every.as_secs());
        let instant = |at: Option<Timestamp>| at.map(Timestamp::as_second);
        for (name, help, value) in [
            (
                "seats_active",
                "Active accounts that the appliance may have; absent: no limit",
                overview.seats.active,
            ),
            (
                "certificate_expires_in_seconds",
                "Time until the certificate ends; below 0 once it has",
                Some(self.certificate.seconds_left()),
            ),
            (
                "last_request_timestamp_seconds",
                "When a token of scope provision was used last; absent: never",
                instant(overview.last_request),
            ),
            (
                "audit_seq",
                "Number of the last audit row",
                Some(overview.audit_seq),
            ),
            (
                "database_size_bytes",
                "Bytes of the database",
                i64::try_from(overview.database_bytes).ok(),
            ),
            (
                "wal_size_bytes",
                "Bytes of the WAL beside it",
                i64::try_from(overview.wal_bytes).ok(),
            ),
            (
                "snapshot_last_timestamp_seconds",
                "When the newest snapshot was taken; absent: none can be seen",
                instant(overview.last_snapshot.clone().ok().flatten()),
            ),
            (
                "snapshot_interval_seconds",
                "Time from one snapshot to the next; absent: none are made",
                every.and_then(|every| i64::try_from(every).ok()),
            ),
        ] {
            if let Some(value) = value {
                gauges.one(name, help, value);
            }
        }
        gauges.0
    }
}

/// Gauges that are set once and written once.
struct Gauges(Registry);

impl Gauges {
    /// One gauge.
    fn one(&mut self, name: &str, help: &str, value: i64) {
        let gauge = Gauge::<i64>::default();
        gauge.set(value);
        self.0.register(name, help, gauge);
    }

    /// One gauge for each set of labels.
    fn family(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Vec<(&'static str, String)>, i64)>,
    ) {
        let family = Family::<_, Gauge>::default();
        for (labels, value) in values {
            family.get_or_create(&labels).set(value);
        }
        self.0.register(name, help, family);
    }
}

//! `scimlite status`: how the appliance stands, at a glance, while the server runs or not.
//!
//! What is not as it should be is a finding like those of `check`: `warn` where somebody should look, `FAIL` where people
//! or requests are refused now, or the backup is missing. Only the second makes the exit code 1.

use std::path::Path;

use clap::Args;
use jiff::{SignedDuration, Timestamp};
use serde_json::{Value, json};

use super::check::{self, Finding, Verdict, system};
use super::{Common, block_on, lock, open_directory, or_dash, print, table};
use crate::config::{Config, Overrides};
use crate::directory::mappings::{self, Mapping};
use crate::directory::overview::Overview;
use crate::directory::storages::Storage;
use crate::directory::tokens::{Scope, Token};
use crate::directory::{Directory, expiry};
use crate::scim::schema::Schemas;
use crate::server::chain::Link;
use crate::server::{probe, tls};
use crate::store::text::instant;

/// Snapshots that may be missing before it is said: the next one may just be on its way.
const LATE: i32 = 2;

/// Arguments of `status`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    common: Common,
}

/// All that is shown.
struct Status {
    now: Timestamp,
    tenant_url: String,
    /// Whether a server has the directory, and if so whether it is ready.
    serving: Option<bool>,
    overview: Overview,
    last_change: Option<Timestamp>,
    /// When the certificate ends, if it can be read.
    certificate_ends: Option<Timestamp>,
    findings: Vec<Finding>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let overrides = Overrides {
        credentials: lock::credentials(&common.data),
        ..Overrides::default()
    };
    let config = Config::load(&common.data, &overrides)?;
    let directory = open_directory(&config)?;
    let status = block_on(async {
        let status = look(&config, &directory).await;
        directory.close().await;
        status
    })??;
    match common.json {
        true => print(status.as_json())?,
        false => print(status.as_text(&config.data_dir))?,
    }
    check::judge(&status.findings)
}

/// Looks at everything.
async fn look(config: &Config, directory: &Directory) -> anyhow::Result<Status> {
    let now = directory.now();
    let overview = directory.overview(&config.backup)?;
    let held = lock::held(&config.data_dir);
    let (scim, admin) = (held.first(), held.get(1));
    let certificate = tls::load(&config.tls);
    let mut findings = Vec::new();
    let serving = match (admin, lock::is_held(&config.data_dir)) {
        (_, false) => {
            findings.push(failed("serving", "no server runs on this directory"));
            None
        }
        (None, true) => {
            findings.push(failed("serving", "a server is starting"));
            Some(false)
        }
        (Some(admin), true) => {
            let own = certificate.as_ref().ok();
            let own = own.and_then(|loaded| loaded.chain.first());
            let finding = match own {
                Some(own) if config.tls.admin_client_ca.is_none() => probe::ready(*admin, own)
                    .await
                    .err()
                    .map(|unwell| failed("serving", chain(unwell.into()))),
                // Whoever has no certificate of a client cannot ask.
                _ => None,
            };
            let ready = finding.is_none();
            findings.extend(finding);
            Some(ready)
        }
    };
    let certificate_ends = match certificate {
        Ok(loaded) => loaded.links.iter().map(|Link { ends, .. }| *ends).min(),
        Err(error) => {
            findings.push(failed("certificate", chain(error.into())));
            None
        }
    };
    findings.extend(certificate_ends.and_then(|ends| certificate_finding(ends, now)));
    findings.extend(
        overview
            .tokens
            .iter()
            .filter_map(|token| token_finding(token, now)),
    );
    // Of one that has just ended more is known.
    let known = |token: &Token| token.scope == Scope::Provision;
    let next = "`scimlite token create NAME --scope provision` makes one";
    match overview.provisions {
        Some(false) if !overview.tokens.iter().any(known) => {
            let text = format!("none may provision, so the identity provider is refused; {next}");
            findings.push(failed("token", text));
        }
        None => findings.push(warned("token", format!("none may provision yet; {next}"))),
        _ => {}
    }
    findings.extend(places(
        &overview,
        directory.schemas(),
        &directory.mappings()?,
        &directory.storages()?,
    ));
    let since = serving.and_then(|_| lock::since(&config.data_dir));
    findings.extend(snapshots(config, &overview, now, since));
    let space = system::space(config);
    findings.extend((space.verdict != Verdict::Ok).then_some(space));
    let port = scim.map_or(config.listen.scim.port(), |scim| scim.port());
    Ok(Status {
        now,
        tenant_url: config.tenant_url(port),
        serving,
        last_change: directory.last_change()?,
        overview,
        certificate_ends,
        findings,
    })
}

fn failed(check: &'static str, text: impl Into<String>) -> Finding {
    Finding::new(check, Verdict::Fail, text)
}

fn warned(check: &'static str, text: impl Into<String>) -> Finding {
    Finding::new(check, Verdict::Warn, text)
}

/// An error with all that caused it, in one line.
fn chain(error: anyhow::Error) -> String {
    format!("{error:#}")
}

fn certificate_finding(ends: Timestamp, now: Timestamp) -> Option<Finding> {
    let at = instant(ends);
    match (ends <= now, expiry::distance(ends, now)) {
        (true, _) => Some(failed("certificate", format!("it ended at {at}; renew it"))),
        (false, Some(days)) => {
            let text = format!("it ends in less than {days} days, at {at}; renew it");
            Some(warned("certificate", text))
        }
        (false, None) => None,
    }
}

fn token_finding(token: &Token, now: Timestamp) -> Option<Finding> {
    let Token { id, name, .. } = token;
    let days = expiry::due(token, now)?;
    let next = format!("`scimlite token rotate {id}` replaces it");
    Some(match days {
        0 => failed("token", format!("{name} has ended; {next}")),
        days => warned(
            "token",
            format!("{name} ends in less than {days} days; {next}"),
        ),
    })
}

/// What keeps new people out: an order of mappings with a gap, full profiles, disabled storages that a mapping names.
fn places(
    overview: &Overview,
    schemas: &Schemas,
    mappings: &[Mapping],
    storages: &[Storage],
) -> Vec<Finding> {
    let gaps = mappings::warnings(mappings, schemas);
    let mut findings: Vec<_> = gaps.into_iter().map(|gap| warned("mapping", gap)).collect();
    let accounts = overview.accounts;
    for profile in &overview.profiles {
        if profile
            .max_users
            .is_some_and(|max| profile.accounts.active >= max)
        {
            let text = format!("{:?} has all its active accounts", profile.name);
            findings.push(warned("profile", text));
        }
    }
    if overview
        .seats
        .active
        .is_some_and(|seats| accounts.active >= seats)
    {
        findings.push(warned("seats", "all are taken by active accounts"));
    }
    for storage in storages.iter().filter(|storage| !storage.enabled) {
        let used = mappings
            .iter()
            .any(|mapping| mapping.storage_name == storage.name);
        if used {
            let text = format!(
                "{:?} is disabled, and a mapping sends people there, who are refused",
                storage.name
            );
            findings.push(warned("storage", text));
        }
    }
    findings
}

/// Whether the server, if one listens since `since`, makes the snapshots that it should.
fn snapshots(
    config: &Config,
    overview: &Overview,
    now: Timestamp,
    since: Option<Timestamp>,
) -> Option<Finding> {
    let plan = &config.backup;
    if plan.keep == 0 {
        return Some(warned("backup", "no snapshots are made: `keep` is 0"));
    }
    let allowed = SignedDuration::try_from(plan.every)
        .ok()?
        .checked_mul(LATE)?;
    let last = match &overview.last_snapshot {
        Ok(last) => *last,
        Err(error) => return Some(failed("backup", error.to_string())),
    };
    // A server that has just begun had no time to make one.
    let from = since?.max(last.unwrap_or(Timestamp::MIN));
    match now.duration_since(from) > allowed {
        true => {
            let last = or_dash(last.map(instant));
            let text = format!("the newest snapshot is of {last}; the log says why");
            Some(failed("backup", text))
        }
        false => None,
    }
}

impl Status {
    fn serving(&self) -> &'static str {
        match self.serving {
            None => "no",
            Some(false) => "not ready",
            Some(true) => "yes",
        }
    }

    fn last_snapshot(&self) -> Option<String> {
        let last = self.overview.last_snapshot.as_ref().ok()?;
        last.map(instant)
    }

    fn as_json(&self) -> Value {
        let overview = &self.overview;
        let tokens = overview.tokens.iter().map(|token| {
            json!({
                "id": token.id,
                "name": token.name,
                "scope": token.scope.as_str(),
                "expires": instant(token.expires),
                "within_days": expiry::due(token, self.now),
            })
        });
        json!({
            "version": env!("CARGO_PKG_VERSION"),
            "serving": self.serving.is_some(),
            "ready": self.serving == Some(true),
            "tenant_url": self.tenant_url,
            "accounts": {"active": overview.accounts.active, "preserved": overview.accounts.preserved},
            "seats": {"active": overview.seats.active, "preserved_percent": overview.seats.preserved_percent},
            "tokens": tokens.collect::<Vec<_>>(),
            "certificate_expires": self.certificate_ends.map(instant),
            "last_request": overview.last_request.map(instant),
            "last_change": self.last_change.map(instant),
            "audit_seq": overview.audit_seq,
            "database_bytes": overview.database_bytes,
            "wal_bytes": overview.wal_bytes,
            "last_snapshot": self.last_snapshot(),
            "findings": self.findings.iter().map(Finding::as_json).collect::<Vec<_>>(),
        })
    }

    fn as_text(&self, data: &Path) -> String {
        let overview = &self.overview;
        let accounts = overview.accounts;
        let seats = overview.seats.active;
        let mebibytes = |bytes: u64| bytes.div_ceil(1024 * 1024);
        let rows = [
            ("Data directory", data.display().to_string()),
            ("Serving", self.serving().to_owned()),
            ("Tenant URL", self.tenant_url.clone()),
            (
                "Accounts",
                format!(
                    "{} active, {} preserved",
                    accounts.active, accounts.preserved
                ),
            ),
            (
                "Seats",
                seats.map_or("unlimited".to_owned(), |seats| {
                    format!("{} of {seats} taken", accounts.active)
                }),
            ),
            (
                "Certificate ends",
                or_dash(self.certificate_ends.map(instant)),
            ),
            ("Last request", or_dash(overview.last_request.map(instant))),
            ("Last change", or_dash(self.last_change.map(instant))),
            ("Last snapshot", or_dash(self.last_snapshot())),
            ("Audit rows", overview.audit_seq.to_string()),
            (
                "Database",
                format!(
                    "{} MiB, and {} MiB of WAL",
                    mebibytes(overview.database_bytes),
                    mebibytes(overview.wal_bytes)
                ),
            ),
        ];
        let lines = rows.map(|(name, value)| format!("{name:17} {value}"));
        let tokens = overview.tokens.iter().map(|token| {
            let due = expiry::due(token, self.now);
            [
                token.name.clone(),
                token.scope.as_str().to_owned(),
                instant(token.expires),
                due.map_or(String::new(), |days| format!("! {days} days")),
            ]
        });
        let tokens = table(["TOKEN", "SCOPE", "ENDS", ""], tokens.collect());
        let findings: Vec<_> = self.findings.iter().map(Finding::as_text).collect();
        [lines.join("\n"), tokens, findings.join("\n")]
            .join("\n\n")
            .trim_end()
            .to_owned()
    }
}

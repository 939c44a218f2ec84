//! `scimlite check`: everything that can be known before a start, all of it in one run.

mod certificate;
pub mod system;

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::serve::Listening;
use super::{Common, print};
use crate::config::{self, Inspected};
use crate::store::examine::examine;

/// Arguments of `check`.
#[derive(Args)]
pub struct Arguments {
    /// Print the settings in force as TOML, with where each comes from, and check the configuration alone
    #[arg(long)]
    print: bool,
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    common: Common,
}

/// What a check came to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Verdict {
    /// As it should be.
    Ok,
    /// The server serves, but something needs the operator.
    Warn,
    /// The server does not start, or not as it should.
    Fail,
}

/// What one check found.
pub struct Finding {
    /// What was looked at: one word.
    check: &'static str,
    /// How it is.
    pub verdict: Verdict,
    /// A sentence about it.
    text: String,
}

impl Finding {
    /// A finding.
    pub fn new(check: &'static str, verdict: Verdict, text: impl Into<String>) -> Self {
        let text = text.into();
        Self {
            check,
            verdict,
            text,
        }
    }

    /// As scripts see it.
    pub fn as_json(&self) -> Value {
        let verdict = match self.verdict {
            Verdict::Ok => "ok",
            Verdict::Warn => "warn",
            Verdict::Fail => "fail",
        };
        json!({"check": self.check, "verdict": verdict, "text": self.text})
    }

    /// A line for people.
    pub fn as_text(&self) -> String {
        let verdict = match self.verdict {
            Verdict::Ok => "ok  ",
            Verdict::Warn => "warn",
            Verdict::Fail => "FAIL",
        };
        format!("{verdict} {}: {}", self.check, self.text)
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let common = &arguments.common;
    let inspected = config::inspect(&common.data, &arguments.listening.overrides());
    if arguments.print {
        return show(&inspected, common.json);
    }
    let findings = check(&inspected);
    let shown: Vec<_> = findings.iter().map(Finding::as_text).collect();
    match common.json {
        true => print(Value::Array(
            findings.iter().map(Finding::as_json).collect(),
        ))?,
        false => print(shown.join("\n"))?,
    }
    judge(&findings)
}

/// An error if anything has failed.
pub fn judge(findings: &[Finding]) -> anyhow::Result<()> {
    let failed = findings
        .iter()
        .filter(|finding| finding.verdict == Verdict::Fail);
    match failed.count() {
        0 => Ok(()),
        failed => bail!(
            "{failed} of {} checks failed; mend what they say",
            findings.len()
        ),
    }
}

/// Prints what is in force. What is wrong is an error: nobody should take the rest for the whole.
fn show(inspected: &Inspected, json: bool) -> anyhow::Result<()> {
    inspected.right()?;
    let entry = |held: &config::InForce| json!({"key": held.key, "value": held.value, "source": held.source.to_string()});
    match json {
        true => print(Value::Array(inspected.values.iter().map(entry).collect())),
        false => print(config::in_force(&inspected.values).trim_end()),
    }
}

fn check(inspected: &Inspected) -> Vec<Finding> {
    let Inspected {
        config, mistakes, ..
    } = inspected;
    let mut findings = configuration(inspected);
    // What a mistake hides is not known: the defaults in its place would be checked instead.
    if mistakes.is_empty() {
        findings.extend(certificate::check(config));
        findings.extend(system::permissions(config));
        findings.extend(system::ports(config));
    }
    findings.push(match examine(&config.database()) {
        Ok(()) => Finding::new(
            "database",
            Verdict::Ok,
            "opens, has this version's schema and is sound",
        ),
        Err(error) => Finding::new("database", Verdict::Fail, error.to_string()),
    });
    findings.push(system::space(config));
    findings
}

fn configuration(inspected: &Inspected) -> Vec<Finding> {
    let mistakes = inspected
        .mistakes
        .iter()
        .map(|mistake| (Verdict::Fail, mistake.clone()));
    let strays = config::strays()
        .into_iter()
        .map(|stray| (Verdict::Warn, stray));
    let mut found: Vec<_> = mistakes.chain(strays).collect();
    if inspected.mistakes.is_empty() {
        let set = inspected
            .values
            .iter()
            .filter(|held| held.source != config::Source::Default);
        let text = format!(
            "{} settings are set, the others have their defaults",
            set.count()
        );
        found.push((Verdict::Ok, text));
    }
    let finding = |(verdict, text)| Finding::new("configuration", verdict, text);
    found.into_iter().map(finding).collect()
}

//! `scimlite profile`: bundles of settings for accounts.

use clap::{Args, Subcommand};
use serde_json::Value;

use super::{Common, or_dash, print, table, with_directory};
use crate::directory::profiles::{Profile, Settings, to_json};

/// Arguments of `profile`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// Make a profile
    Add {
        /// What to call it
        name: String,
        #[command(flatten)]
        limits: Limits,
    },
    /// List all profiles
    List,
    /// Change the settings of a profile
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true)
        .args(["new_name", "max_users", "quota_gb", "delete_after_days"]))]
    Edit {
        /// Its name
        name: String,
        /// Another name
        #[arg(long = "name", value_name = "N")]
        new_name: Option<String>,
        #[command(flatten)]
        limits: Limits,
    },
    /// Remove a profile that nothing uses
    Remove {
        /// Its name
        name: String,
    },
}

#[derive(Args)]
struct Limits {
    /// Active accounts that it may have, or none
    #[arg(long, value_name = "N", value_parser = limit::<0>)]
    max_users: Option<Limit>,
    /// Quota of its accounts in GB; 0 or none is unlimited
    #[arg(long, value_name = "N", value_parser = limit::<0>)]
    quota_gb: Option<Limit>,
    /// Days after which a preserved account is deleted, or none
    #[arg(long, value_name = "N", value_parser = limit::<1>)]
    delete_after_days: Option<Limit>,
}

/// A limit as it is typed: a number, or `none`.
#[derive(Clone, Copy)]
pub struct Limit(pub Option<i64>);

/// Reads a limit of at least `LEAST`.
pub fn limit<const LEAST: i64>(text: &str) -> Result<Limit, String> {
    match text.parse::<u32>().map(i64::from) {
        Ok(number) if number >= LEAST => Ok(Limit(Some(number))),
        _ if text == "none" => Ok(Limit(None)),
        _ => Err(format!("expected a number from {LEAST}, or none")),
    }
}

impl Limits {
    fn settings(self, name: Option<String>) -> Settings {
        let plain = |limit: Option<Limit>| limit.map(|limit| limit.0);
        Settings {
            name,
            max_users: plain(self.max_users),
            quota_gb: plain(self.quota_gb),
            delete_after_days: plain(self.delete_after_days),
        }
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.common.json;
    with_directory(
        &arguments.common,
        async |directory, origin| match arguments.command {
            Command::Add { name, limits } => {
                let settings = limits.settings(None);
                show(&directory.add_profile(origin, &name, settings).await?, json)
            }
            Command::Edit {
                name,
                new_name,
                limits,
            } => {
                let settings = limits.settings(new_name);
                show(
                    &directory.edit_profile(origin, &name, settings).await?,
                    json,
                )
            }
            Command::List => {
                let profiles = directory.profiles()?;
                match json {
                    true => print(Value::from_iter(profiles.iter().map(to_json))),
                    false => print(listed(&profiles)),
                }
            }
            Command::Remove { name } => {
                directory.remove_profile(origin, &name).await?;
                match json {
                    true => print(serde_json::json!({"name": name, "removed": true})),
                    false => print(format!("Profile {name} is removed.")),
                }
            }
        },
    )
}

fn show(profile: &Profile, json: bool) -> anyhow::Result<()> {
    match json {
        true => print(to_json(profile)),
        false => print(listed(std::slice::from_ref(profile))),
    }
}

fn listed(profiles: &[Profile]) -> String {
    let rows = profiles.iter().map(|profile| {
        [
            profile.name.clone(),
            profile.accounts.active.to_string(),
            profile.accounts.preserved.to_string(),
            or_dash(profile.max_users),
            or_dash(profile.quota_gb),
            or_dash(profile.delete_after_days),
        ]
    });
    table(
        [
            "NAME",
            "ACTIVE",
            "PRESERVED",
            "MAX USERS",
            "QUOTA GB",
            "DELETE AFTER DAYS",
        ],
        rows.collect(),
    )
}

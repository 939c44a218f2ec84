//! `scimlite storage`: places for the data of accounts.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Common, print, table, with_directory};
use crate::directory::storages::to_json;

/// Arguments of `storage`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// Make a storage
    Add {
        /// What to call it
        name: String,
    },
    /// List all storages with the accounts that they have
    List,
    /// Enable or disable a storage; a disabled one takes no new accounts
    #[command(group = clap::ArgGroup::new("state").required(true))]
    Edit {
        /// Its name
        name: String,
        /// Take new accounts
        #[arg(long, group = "state")]
        enable: bool,
        /// Take no new accounts
        #[arg(long, group = "state")]
        disable: bool,
    },
    /// Remove a storage that nothing uses
    Remove {
        /// Its name
        name: String,
    },
}

/// Runs the command.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.common.json;
    let told = |value: Value, text: String| match json {
        true => print(value),
        false => print(text),
    };
    with_directory(
        &arguments.common,
        async |directory, origin| match &arguments.command {
            Command::Add { name } => {
                let storage = directory.add_storage(origin, name).await?;
                told(
                    to_json(&storage),
                    format!("Storage {name} is made and enabled."),
                )
            }
            Command::Edit { name, enable, .. } => {
                let storage = directory.edit_storage(origin, name, *enable).await?;
                let state = if *enable { "enabled" } else { "disabled" };
                told(to_json(&storage), format!("Storage {name} is {state}."))
            }
            Command::Remove { name } => {
                directory.remove_storage(origin, name).await?;
                told(
                    json!({"name": name, "removed": true}),
                    format!("Storage {name} is removed."),
                )
            }
            Command::List => {
                let storages = directory.storages()?;
                let rows = storages.iter().map(|storage| {
                    let state = if storage.enabled {
                        "enabled"
                    } else {
                        "disabled"
                    };
                    [
                        storage.name.clone(),
                        state.to_owned(),
                        storage.accounts.active.to_string(),
                        storage.accounts.preserved.to_string(),
                    ]
                });
                let text = table(["NAME", "STATE", "ACTIVE", "PRESERVED"], rows.collect());
                told(storages.iter().map(to_json).collect(), text)
            }
        },
    )
}

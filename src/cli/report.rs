//! `scimlite report`: tables for people, spreadsheets and scripts.

use clap::{Args, Subcommand};

use super::rows::{Column, Format, Rows};
use super::{Common, with_directory};

/// Arguments of `report`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    /// How to write it [default: a table]
    #[arg(long, global = true)]
    format: Option<Format>,
    #[command(flatten)]
    common: Common,
}

#[derive(Clone, Copy, Subcommand)]
enum Command {
    /// Every account: what it was given, and who looks after it
    Provisioning,
    /// The preserved accounts: since when, by whom, why, and when their profiles delete them
    Preserved,
}

const PROVISIONING: &[Column] = &[
    ("name", 24),
    ("email", 32),
    ("profile", 16),
    ("storage", 16),
    ("status", 9),
    ("created", 24),
    ("managed_by", 0),
];
const PRESERVED: &[Column] = &[
    ("name", 24),
    ("email", 32),
    ("profile", 16),
    ("storage", 16),
    ("mode", 5),
    ("preserved_on", 24),
    ("by_whom", 28),
    ("auto_delete_on", 24),
    ("reason", 0),
];

/// Runs the command.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments {
        command,
        format,
        common,
    } = arguments;
    let format = format.unwrap_or(Format::of(common.json));
    with_directory(&common, async |directory, _| match command {
        Command::Provisioning => {
            let mut rows = Rows::start(format, PROVISIONING)?;
            directory.report_provisioning(|account| rows.row(&account))?;
            rows.finish()
        }
        Command::Preserved => {
            let mut rows = Rows::start(format, PRESERVED)?;
            directory.report_preserved(|account| rows.row(&account))?;
            rows.finish()
        }
    })
}

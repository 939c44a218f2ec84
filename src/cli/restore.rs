//! `scimlite restore`: a backup in the place of the database.

use std::path::PathBuf;

use anyhow::bail;
use clap::Args;
use serde_json::json;

use super::{Common, configuration, lock, print, progress};
use crate::directory::audit::Origin;
use crate::directory::{backup, system_clock};
use crate::store::{audit::Link, migrate};

/// Arguments of `restore`.
#[derive(Args)]
pub struct Arguments {
    /// The backup: a file of `scimlite backup`, a snapshot, or the database of a stopped appliance
    file: PathBuf,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = configuration(&arguments.common)?;
    // Only to say so: the lock of the database itself decides.
    if lock::is_held(&config.data_dir) {
        bail!(
            "a server runs on {}; stop it (`systemctl stop scimlite.socket scimlite`), then restore",
            config.data_dir.display()
        );
    }
    let (exchange, kept) = backup::restore_backup(
        &config.database(),
        &arguments.file,
        &migrate::PRESENT,
        &Origin::command_line(),
        &system_clock(),
        &progress::shown(),
    )?;
    // The snapshots that are there are of what lies here, under whichever database.
    if let Some(replaced) = &exchange.replaced {
        config.backup.release(replaced)?;
    }
    let seq = |head: &Link| head.seq;
    let (before, after) = (exchange.before.as_ref().map(seq), exchange.after.seq);
    if arguments.common.json {
        return print(json!({
            "restored": arguments.file.display().to_string(),
            "kept": kept.map(|kept| kept.display().to_string()),
            "audit_seq_before": before,
            "audit_seq": after,
            "migrated_from": exchange.migrated_from,
        }));
    }
    let kept = match kept {
        Some(kept) => format!("What was there is kept as {}.", kept.display()),
        None => "There was no database before.".to_owned(),
    };
    print(format!(
        "Restored {}: its audit ends at {after}. {kept}\n\
         Tokens are as they were then: look at `scimlite token list`, then start the server.",
        arguments.file.display(),
    ))
}

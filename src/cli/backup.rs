//! `scimlite backup`: a copy of the database that is whole, made while the server runs or without one.

use std::path::PathBuf;

use clap::Args;
use serde_json::json;

use super::{Common, print, progress, with_directory};

/// Arguments of `backup`.
#[derive(Args)]
pub struct Arguments {
    /// File to make
    file: PathBuf,
    /// Replace the file if it is there
    #[arg(long)]
    force: bool,
    #[command(flatten)]
    common: Common,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (file, watch) = (&arguments.file, progress::shown());
    let copied = with_directory(&arguments.common, async |directory, _| {
        Ok(directory.backup(file, arguments.force, &watch).await?)
    })?;
    let head = copied.head;
    print(match arguments.common.json {
        true => json!({
            "file": file.display().to_string(), "bytes": copied.bytes, "audit_seq": head.seq, "audit_hash": head.hash,
        })
        .to_string(),
        false => format!(
            "{} is a whole copy, verified: {} bytes; its audit ends at {} with {}",
            file.display(),
            copied.bytes,
            head.seq,
            head.hash
        ),
    })
}

//! `scimlite cert`: a certificate for trials. One for Entra comes from a public authority.

use std::path::PathBuf;
use std::time::SystemTime;

use anyhow::{Context, bail};
use clap::{Args, Subcommand};
use serde_json::json;

use super::files::{make_directory, write_whole};
use super::{Common, print};
use crate::config::{Config, Overrides};
use crate::server::trial_certificate;

/// Arguments of `cert`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a trial authority, and a certificate and key of it where the configuration has them
    SelfSigned {
        /// Name or address on the certificate, if it is not the configured host
        #[arg(long, value_name = "NAME")]
        host: Option<String>,
        /// Replace a certificate and key that are there
        #[arg(long)]
        force: bool,
        #[command(flatten)]
        common: Common,
    },
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let Command::SelfSigned {
        host,
        force,
        common,
    } = &arguments.command;
    let overrides = Overrides {
        host: host.clone(),
        ..Overrides::default()
    };
    let config = Config::load(&common.data, &overrides)?;
    if !common.data.exists() {
        bail!(
            "{}: no such directory; `scimlite init --data DIR` makes one",
            common.data.display()
        );
    }
    let (certificate, key) = (&config.tls.certificate, &config.tls.key);
    if let Some(there) = [certificate, key].into_iter().find(|file| file.exists())
        && !force
    {
        bail!(
            "{} is there; --force replaces certificate and key",
            there.display()
        );
    }
    make(&config)?;
    let ca_file = ca_file(&config);
    match common.json {
        true => print(json!({"certificate": certificate, "key": key, "ca_file": ca_file})),
        false => print(format!(
            "Made a trial certificate for {}: {} and {}.\n\
             Clients have to trust {}. A running server takes it by itself.",
            config.host,
            certificate.display(),
            key.display(),
            ca_file.display()
        )),
    }
}

/// Where the certificate of the trial authority is.
pub fn ca_file(config: &Config) -> PathBuf {
    config.data_dir.join("ca.crt")
}

/// Makes a trial certificate for the configured host, with its key and its authority.
pub fn make(config: &Config) -> anyhow::Result<()> {
    let made = trial_certificate::generate(&config.host, SystemTime::now())
        .with_context(|| format!("cannot make a certificate for {}", config.host))?;
    for (file, text) in [
        (&ca_file(config), made.ca.as_str()),
        (&config.tls.key, &made.key),
        (&config.tls.certificate, &made.certificate),
    ] {
        if let Some(parent) = file.parent() {
            make_directory(parent)?;
        }
        write_whole(file, text)?;
    }
    Ok(())
}

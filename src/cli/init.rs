//! `scimlite init`: makes what a new appliance needs. What is there already stays as it is.

use std::fs::{DirBuilder, OpenOptions, Permissions};
use std::io::Write;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::SystemTime;

use anyhow::Context;
use clap::Args;
use serde_json::json;

use super::{Common, configuration, print_json};
use crate::config::{self, Config};
use crate::directory::audit::Origin;
use crate::directory::setup::{self, FirstTokens};
use crate::directory::system_clock;
use crate::server::trial_certificate;

/// Arguments of `init`.
#[derive(Args)]
pub struct Arguments {
    /// Name or address under which the identity provider reaches this machine
    #[arg(long, value_name = "NAME", default_value = "localhost")]
    host: String,
    #[command(flatten)]
    common: Common,
}

/// What `init` found or made.
pub struct Initialised {
    /// The configuration in force.
    pub config: Config,
    /// The certificate that signed the trial certificate.
    pub ca_file: PathBuf,
    /// Set if this run made the database.
    pub tokens: Option<FirstTokens>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let made = initialise(&arguments.common, &arguments.host)?;
    let tenant_url = made.config.tenant_url(made.config.listen.scim.port());
    let admin_url = format!("https://{}", made.config.listen.admin);
    if arguments.common.json {
        let mut answer = json!({
            "tenant_url": tenant_url,
            "ca_file": made.ca_file,
            "admin_url": admin_url,
        });
        if let (Some(tokens), Some(answer)) = (&made.tokens, answer.as_object_mut()) {
            answer.insert("secret_token".into(), tokens.provision.reveal().into());
            answer.insert("admin_token".into(), tokens.admin.reveal().into());
        }
        print_json(&answer);
        return Ok(());
    }
    let data = arguments.common.data.display();
    let Some(tokens) = &made.tokens else {
        println!("{data} is an appliance already; nothing was changed.");
        println!("Tenant URL: {tenant_url}");
        return Ok(());
    };
    println!("Made an appliance in {data}: configuration, database and a trial certificate.");
    println!("It has a profile, a storage and a last mapping for any user, each called Default.");
    println!();
    println!("Tenant URL:   {tenant_url}");
    println!("Secret Token: {}", tokens.provision.reveal());
    println!("Admin URL:    {admin_url}");
    println!("Admin token:  {}", tokens.admin.reveal());
    println!("CA file:      {}", made.ca_file.display());
    println!();
    println!("The tokens are shown this once. Next: scimlite serve --data {data}");
    Ok(())
}

/// Makes each part of an appliance that `common.data` does not have yet, the database last.
pub fn initialise(common: &Common, host: &str) -> anyhow::Result<Initialised> {
    let data = &common.data;
    make_directory(data)?;
    let configuration_file = data.join(config::FILE_NAME);
    if !configuration_file.exists() {
        write_new(&configuration_file, &config::template(host))?;
    }
    let config = configuration(common)?;
    let ca_file = data.join("ca.crt");
    make_certificate(&config, &ca_file)?;
    let database = config.database();
    let tokens = match database.exists() {
        true => None,
        false => Some(setup::create_database(
            &database,
            &Origin::command_line(),
            &system_clock(),
        )?),
    };
    Ok(Initialised {
        config,
        ca_file,
        tokens,
    })
}

/// Makes `path` for its owner alone. A directory that is there keeps its mode, unless it is empty: then it becomes the
/// appliance's.
fn make_directory(path: &Path) -> anyhow::Result<()> {
    let cannot = || format!("cannot make {}", path.display());
    DirBuilder::new()
        .recursive(true)
        .mode(0o700)
        .create(path)
        .with_context(cannot)?;
    if path.read_dir().with_context(cannot)?.next().is_none() {
        std::fs::set_permissions(path, Permissions::from_mode(0o700)).with_context(cannot)?;
    }
    Ok(())
}

/// Makes the trial certificate for the configured host, unless the configuration's files are there.
fn make_certificate(config: &Config, ca_file: &Path) -> anyhow::Result<()> {
    if config.tls.certificate.exists() || config.tls.key.exists() {
        return Ok(());
    }
    let made = trial_certificate::generate(&config.host, SystemTime::now())
        .with_context(|| format!("cannot make a certificate for {}", config.host))?;
    for file in [ca_file, &config.tls.certificate, &config.tls.key] {
        if let Some(parent) = file.parent() {
            make_directory(parent)?;
        }
    }
    write_new(ca_file, &made.ca)?;
    write_new(&config.tls.key, &made.key)?;
    write_new(&config.tls.certificate, &made.certificate)
}

/// Writes a file, for its owner alone, that must not be there yet.
fn write_new(path: &Path, text: &str) -> anyhow::Result<()> {
    OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(path)
        .and_then(|mut file| {
            file.write_all(text.as_bytes())?;
            file.sync_all()
        })
        .with_context(|| format!("cannot write {}", path.display()))
}

//! `scimlite init`: makes what a new appliance needs. What is there already stays as it is.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail};
use clap::Args;
use serde_json::{Value, json};

use super::files::{make_directory, write_whole};
use super::lock::Lock;
use super::{Common, cert, configuration, print};
use crate::config::{self, Config, DATABASE};
use crate::directory::audit::Origin;
use crate::directory::setup::{self, FirstTokens};
use crate::directory::system_clock;
use crate::scim::Object;

/// Arguments of `init`.
#[derive(Args)]
pub struct Arguments {
    /// Name or address under which the identity provider reaches this machine
    #[arg(long, value_name = "NAME", default_value = "localhost", value_parser = config::typed_host)]
    host: String,
    /// Make no tokens: nothing secret is printed, and `token create` makes them later
    #[arg(long)]
    no_tokens: bool,
    #[command(flatten)]
    common: Common,
}

/// What `init` found or made.
pub struct Initialised {
    /// The configuration in force.
    pub config: Config,
    /// The certificate that signed the trial certificate.
    pub ca_file: PathBuf,
    /// Whether this run made the database.
    made: bool,
    /// The tokens that this run made.
    pub tokens: Option<FirstTokens>,
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let made = initialise(&arguments.common, &arguments.host, !arguments.no_tokens)?;
    let shown = match arguments.common.json {
        true => made.as_json().to_string(),
        false => made.as_text(&arguments.common.data),
    };
    print(shown).context("the tokens were not shown; `scimlite token create` makes others")
}

impl Initialised {
    fn tenant_url(&self) -> String {
        self.config.tenant_url(self.config.listen.scim.port())
    }

    fn admin_url(&self) -> String {
        format!("https://{}", self.config.listen.admin)
    }

    fn as_json(&self) -> Value {
        let mut answer = Object::new();
        answer.insert("tenant_url".into(), self.tenant_url().into());
        answer.insert("ca_file".into(), json!(self.ca_file));
        answer.insert("admin_url".into(), self.admin_url().into());
        if let Some(tokens) = &self.tokens {
            answer.insert("secret_token".into(), tokens.provision.reveal().into());
            answer.insert("admin_token".into(), tokens.admin.reveal().into());
        }
        Value::Object(answer)
    }

    fn as_text(&self, data: &Path) -> String {
        let (data, tenant_url) = (data.display(), self.tenant_url());
        if !self.made {
            return format!(
                "{data} is an appliance already; nothing was changed.\nTenant URL: {tenant_url}"
            );
        }
        let made = format!(
            "Made an appliance in {data}: configuration, database and a trial certificate.\n\
             It has a profile, a storage and a last mapping for any user, each called Default.\n\n\
             Tenant URL:   {tenant_url}"
        );
        let Some(tokens) = &self.tokens else {
            return made;
        };
        format!(
            "{made}\n\
             Secret Token: {}\n\
             Admin URL:    {}\n\
             Admin token:  {}\n\
             CA file:      {}\n\n\
             The tokens are shown this once. Next: scimlite serve --data {data}",
            tokens.provision.reveal(),
            self.admin_url(),
            tokens.admin.reveal(),
            self.ca_file.display()
        )
    }
}

/// Makes each part of an appliance that `common.data` does not have yet, the database last, with its first tokens if
/// `tokens`.
pub fn initialise(common: &Common, host: &str, tokens: bool) -> anyhow::Result<Initialised> {
    let data = &common.data;
    make_directory(data)?;
    // Of two at once each would make a certificate and an authority, and one of each would stay. Where a database is, a
    // server may be, too.
    let turn = match data.join(DATABASE).exists() {
        false => Some(Lock::turn(data)?),
        true => None,
    };
    let configuration_file = data.join(config::FILE_NAME);
    if !configuration_file.exists() {
        write_whole(&configuration_file, &config::template(host))?;
    }
    let config = configuration(common)?;
    make_certificate(&config)?;
    let database = config.database();
    let made = !database.exists();
    let tokens = match made {
        true => setup::create_database(
            &database,
            &Origin::command_line(),
            &system_clock(),
            tokens.then_some(config.directory.longest_days),
        )?,
        false => None,
    };
    drop(turn);
    Ok(Initialised {
        made,
        ca_file: cert::ca_file(&config),
        config,
        tokens,
    })
}

/// Makes the trial certificate for the configured host, unless the configuration's files are there.
fn make_certificate(config: &Config) -> anyhow::Result<()> {
    let files = [&config.tls.certificate, &config.tls.key];
    match files.map(|file| file.exists()) {
        [true, true] => Ok(()),
        [false, false] => cert::make(config),
        [certificate, _] => {
            let [certificate_file, key_file] = files.map(|file| file.display());
            match certificate {
                true => bail!(
                    "{certificate_file} is there without {key_file}; put the key there, or remove the certificate"
                ),
                false => bail!(
                    "{key_file} is there without {certificate_file}; put the certificate there, or remove the key"
                ),
            }
        }
    }
}

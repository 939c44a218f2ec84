//! `scimlite demo`: a trial appliance in ./scimlite-data, served at once.

use std::path::PathBuf;

use super::{Common, init, print, serve};

/// Where the trial appliance lives.
const DATA: &str = "./scimlite-data";

/// Runs the command.
pub fn run() -> anyhow::Result<()> {
    let common = Common {
        data: PathBuf::from(DATA),
        json: false,
    };
    let made = init::initialise(&common, "localhost", true)?;
    let ca_file = made.ca_file;
    let secret = match &made.tokens {
        Some(tokens) => tokens.provision.reveal().to_owned(),
        None => "$SECRET_TOKEN".to_owned(),
    };
    let shown = match &made.tokens {
        Some(_) => format!("{secret}  (shown this once)"),
        None => format!(
            "as shown on the first run; `scimlite token create NAME --scope provision --data {DATA}` makes another"
        ),
    };
    serve::serve(&made.config, |ready| {
        print(format!(
            r#"Scimlite is serving. In the Entra portal, under Provisioning > Admin Credentials, paste:

  Tenant URL:   {url}
  Secret Token: {shown}

To create a person from another terminal in this directory:

  curl --cacert {ca} -H "Authorization: Bearer {secret}" -H 'Content-Type: application/scim+json' \
    -d '{{"schemas":["urn:ietf:params:scim:schemas:core:2.0:User"],"userName":"anna@example.test","displayName":"Anna Lee"}}' \
    {url}/Users

Ctrl-C stops; the people stay in {DATA}."#,
            url = ready.scim,
            ca = ca_file.display()
        ))
    })
}

//! `scimlite token`: make, list, rotate and revoke bearer tokens.

use clap::{Args, Subcommand};
use jiff::SignedDuration;
use serde_json::{Value, json};

use super::{Common, block_on, configuration, open_directory, print_json};
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::tokens::{DEFAULT_DAYS, Issued, LONGEST_DAYS, Scope, Token};
use crate::store::text::instant;

/// Arguments of `token`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make a token and show it once
    Create {
        /// What to call it
        name: String,
        /// provision (SCIM), read, or admin
        #[arg(long)]
        scope: Scope,
        /// Days for which it is valid
        #[arg(long, default_value_t = DEFAULT_DAYS, value_parser = clap::value_parser!(u16).range(1..=i64::from(LONGEST_DAYS)))]
        days: u16,
        #[command(flatten)]
        common: Common,
    },
    /// List all tokens, without their secrets
    List {
        #[command(flatten)]
        common: Common,
    },
    /// Replace a token by a new one of the same name and scope
    Rotate {
        /// Id of the token to replace
        id: String,
        /// Hours for which the old one stays valid
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(0..=720))]
        overlap_hours: u16,
        #[command(flatten)]
        common: Common,
    },
    /// End a token at once
    Revoke {
        /// Id of the token
        id: String,
        #[command(flatten)]
        common: Common,
    },
}

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::Create { common, .. }
            | Self::List { common }
            | Self::Rotate { common, .. }
            | Self::Revoke { common, .. } => common,
        }
    }
}

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let common = arguments.command.common();
    let directory = open_directory(&configuration(common)?)?;
    block_on(async {
        let done = act(&arguments.command, &directory, common.json).await;
        directory.close().await;
        done
    })?
}

async fn act(command: &Command, directory: &Directory, json: bool) -> anyhow::Result<()> {
    let origin = Origin::command_line();
    match command {
        Command::Create {
            name, scope, days, ..
        } => {
            let issued = directory.create_token(&origin, name, *scope, *days).await?;
            show_issued(&issued, json);
        }
        Command::List { .. } => show_list(&directory.tokens()?, json),
        Command::Rotate {
            id, overlap_hours, ..
        } => {
            let overlap = SignedDuration::from_hours(i64::from(*overlap_hours));
            show_issued(&directory.rotate_token(&origin, id, overlap).await?, json);
        }
        Command::Revoke { id, .. } => {
            directory.revoke_token(&origin, id).await?;
            match json {
                true => print_json(&json!({"id": id, "revoked": true})),
                false => println!("Token {id} is revoked; the next request with it is refused."),
            }
        }
    }
    Ok(())
}

fn show_issued(issued: &Issued, json: bool) {
    let (token, secret) = (&issued.token, issued.secret.reveal());
    if json {
        print_json(&json!({
            "id": token.id,
            "token": secret,
            "name": token.name,
            "scope": token.scope.as_str(),
            "expires": instant(token.expires),
        }));
        return;
    }
    println!("Token:   {secret}");
    println!("Scope:   {}", token.scope.as_str());
    println!("Expires: {}", instant(token.expires));
    println!("It is shown this once; the appliance keeps only a hash of it.");
}

fn show_list(tokens: &[Token], json: bool) {
    if json {
        print_json(&Value::Array(tokens.iter().map(described).collect()));
        return;
    }
    println!(
        "{:10}  {:9}  {:24}  {:24}  {:24}  NAME",
        "ID", "SCOPE", "EXPIRES", "REVOKED", "LAST USED"
    );
    for token in tokens {
        let maybe = |at: Option<_>| at.map(instant).unwrap_or_else(|| "-".to_owned());
        println!(
            "{:10}  {:9}  {:24}  {:24}  {:24}  {}",
            token.id,
            token.scope.as_str(),
            instant(token.expires),
            maybe(token.revoked),
            maybe(token.last_used),
            token.name
        );
    }
}

fn described(token: &Token) -> Value {
    json!({
        "id": token.id,
        "name": token.name,
        "scope": token.scope.as_str(),
        "created": instant(token.created),
        "expires": instant(token.expires),
        "revoked": token.revoked.map(instant),
        "last_used": token.last_used.map(instant),
    })
}

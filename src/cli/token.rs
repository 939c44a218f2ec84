//! `scimlite token`: make, list, rotate and revoke bearer tokens.

use anyhow::Context;
use clap::{Args, Subcommand};
use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde_json::json;

use super::{Common, or_dash, print, table, with_directory};
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::tokens::{Described, End, Issued, LONGEST_OVERLAP, Scope, Token};
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
        /// Days for which it is valid; 365 unless the configuration allows fewer
        #[arg(long, value_parser = clap::value_parser!(u16).range(1..), conflicts_with = "expires")]
        days: Option<u16>,
        /// Last day on which it is valid, in UTC, or the instant of its end: 2027-06-30, 2027-06-30T12:00:00Z
        #[arg(long, value_name = "DATE", value_parser = end_of)]
        expires: Option<Timestamp>,
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
        #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u16).range(..=i64::from(LONGEST_OVERLAP)))]
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
    with_directory(common, async |directory, origin| {
        act(&arguments.command, directory, origin, common.json).await
    })
}

async fn act(
    command: &Command,
    directory: &Directory,
    origin: &Origin,
    json: bool,
) -> anyhow::Result<()> {
    match command {
        Command::Create {
            name,
            scope,
            days,
            expires,
            ..
        } => {
            let end = days.map(End::Days).or(expires.map(End::At));
            let issued = directory.create_token(origin, name, *scope, end).await?;
            show_issued(&issued, json)
        }
        Command::List { .. } => print(listed(&directory.tokens()?, json)?),
        Command::Rotate {
            id, overlap_hours, ..
        } => {
            let issued = directory.rotate_token(origin, id, *overlap_hours).await?;
            show_issued(&issued, json)
        }
        Command::Revoke { id, .. } => {
            directory.revoke_token(origin, id).await?;
            match json {
                true => print(json!({"id": id, "revoked": true})),
                false => print(format!(
                    "Token {id} is revoked; the next request with it is refused."
                )),
            }
        }
    }
}

/// The instant at which a day is over in UTC, or the instant itself.
fn end_of(text: &str) -> Result<Timestamp, String> {
    let wrong = |_| {
        format!("{text}: expected a day like 2027-06-30 or an instant like 2027-06-30T12:00:00Z")
    };
    if let Ok(instant) = text.parse() {
        return Ok(instant);
    }
    let day: Date = text.parse().map_err(wrong)?;
    let end = day
        .tomorrow()
        .and_then(|day| TimeZone::UTC.to_timestamp(day.at(0, 0, 0, 0)));
    end.map_err(wrong)
}

fn show_issued(issued: &Issued, json: bool) -> anyhow::Result<()> {
    let shown = issued.shown();
    let id = shown.id;
    let text = match json {
        true => serde_json::to_string(&shown)?,
        false => format!(
            "Token:   {}\nScope:   {}\nExpires: {}\n\
             It is shown this once; the appliance keeps only a hash of it.",
            shown.token,
            shown.scope.as_str(),
            shown.expires
        ),
    };
    print(text).with_context(|| {
        format!("token {id} was made but not shown; `scimlite token revoke {id}` ends it")
    })
}

fn listed(tokens: &[Token], json: bool) -> anyhow::Result<String> {
    if json {
        let tokens: Vec<_> = tokens.iter().map(Described::from).collect();
        return Ok(serde_json::to_string(&tokens)?);
    }
    let rows = tokens.iter().map(|token| {
        [
            token.id.clone(),
            token.scope.as_str().to_owned(),
            instant(token.created),
            instant(token.expires),
            or_dash(token.revoked.map(instant)),
            or_dash(token.last_used.map(instant)),
            token.name.clone(),
        ]
    });
    Ok(table(
        [
            "ID",
            "SCOPE",
            "CREATED",
            "EXPIRES",
            "REVOKED",
            "LAST USED",
            "NAME",
        ],
        rows.collect(),
    ))
}

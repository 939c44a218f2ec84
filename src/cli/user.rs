//! `scimlite user`: the accounts, and what an administrator does to them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::rows::{Column, Format, Rows};
use super::{Common, block_on, configuration, open_directory, print};
use crate::directory::Directory;
use crate::directory::accounts::{Act, Listed, Selection, Status, Story};
use crate::directory::audit::Origin;
use crate::directory::deletion::Deletion;
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;

/// Arguments of `user`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// List the accounts, the oldest first
    List {
        /// Only those that are active, or preserved
        #[arg(long)]
        status: Option<Status>,
        /// Only those whose user matches this SCIM filter
        #[arg(long, value_name = "SCIM-FILTER")]
        filter: Option<String>,
        #[command(flatten)]
        common: Common,
    },
    /// Show an account and everything that happened to it
    Show {
        /// Id or username of the account
        #[arg(value_name = "ID|USERNAME")]
        name: String,
        #[command(flatten)]
        common: Common,
    },
    /// Stop an account and keep everything; the identity provider cannot undo it
    Preserve(One),
    /// Put a preserved account back in use
    Activate(One),
    /// Put an account under legal hold: nothing deletes it
    Hold(One),
    /// End the legal hold of an account
    Release(One),
    /// Delete a preserved account for good
    Delete {
        /// Id of the account
        id: String,
        /// Why, in 10 to 150 characters, for the audit
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Show what would go, and delete nothing
        #[arg(long)]
        dry_run: bool,
        #[command(flatten)]
        common: Common,
    },
}

/// One account.
#[derive(Args)]
struct One {
    /// Id of the account
    id: String,
    #[command(flatten)]
    common: Common,
}

impl Command {
    fn common(&self) -> &Common {
        match self {
            Self::List { common, .. } | Self::Show { common, .. } | Self::Delete { common, .. } => {
                common
            }
            Self::Preserve(one) | Self::Activate(one) | Self::Hold(one) | Self::Release(one) => {
                &one.common
            }
        }
    }
}

/// Columns of the table of accounts.
const LIST: &[Column] = &[
    ("id", 36),
    ("status", 9),
    ("preserved_by", 12),
    ("managed_by", 10),
    ("profile", 16),
    ("storage", 16),
    ("legal_hold", 10),
    ("email", 0),
];
/// Columns of the table of one account.
const FIELD: &[Column] = &[("field", 14), ("value", 0)];
/// Columns of the table of what happened to an account.
const STORY: &[Column] = &[
    ("at", 24),
    ("actor", 28),
    ("action", 16),
    ("verdict", 9),
    ("reason", 0),
];

/// Runs the command.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let common = arguments.command.common();
    let directory = open_directory(&configuration(common)?)?;
    block_on(async {
        let done = run_on(&arguments.command, &directory, common.json).await;
        directory.close().await;
        done
    })?
}

async fn run_on(command: &Command, directory: &Directory, json: bool) -> anyhow::Result<()> {
    match command {
        Command::List { status, filter, .. } => {
            let parse =
                |text: &String| Filter::parse(text, ResourceType::User, directory.schemas());
            let (status, filter) = (*status, filter.as_ref().map(parse).transpose()?);
            list(directory, &Selection { status, filter }, Format::of(json))
        }
        Command::Show { name, .. } => show(&directory.account(name)?, json),
        Command::Preserve(one) => act(directory, &one.id, Act::Preserve, json).await,
        Command::Activate(one) => act(directory, &one.id, Act::Activate, json).await,
        Command::Hold(one) => act(directory, &one.id, Act::Hold, json).await,
        Command::Release(one) => act(directory, &one.id, Act::Release, json).await,
        Command::Delete {
            id,
            reason,
            dry_run,
            ..
        } => {
            let deletion = match dry_run {
                true => directory.deletion(id, reason)?,
                false => {
                    let origin = Origin::command_line();
                    directory.delete_account(&origin, id, reason).await?
                }
            };
            show_deletion(&deletion, *dry_run, json)
        }
    }
}

fn list(directory: &Directory, selection: &Selection, format: Format) -> anyhow::Result<()> {
    let mut rows = Rows::start(format, LIST)?;
    directory.each_account(selection, |account| rows.row(&account))?;
    rows.finish()
}

fn show(story: &Story, json: bool) -> anyhow::Result<()> {
    let mut account = serde_json::to_value(&story.account)?;
    if json {
        if let Value::Object(account) = &mut account {
            account.insert("audit".to_owned(), serde_json::to_value(&story.audit)?);
        }
        return print(account);
    }
    let mut fields = Rows::start(Format::Table, FIELD)?;
    for (field, value) in account.as_object().into_iter().flatten() {
        fields.row(&json!({"field": field, "value": value}))?;
    }
    fields.finish()?;
    print("")?;
    let mut rows = Rows::start(Format::Table, STORY)?;
    for row in &story.audit {
        rows.row(row)?;
    }
    rows.finish()
}

fn show_deletion(deletion: &Deletion, dry_run: bool, json: bool) -> anyhow::Result<()> {
    let Deletion { account, groups } = deletion;
    if json {
        return print(json!({"deleted": !dry_run, "account": account, "groups": groups}));
    }
    let would = if dry_run { "would be" } else { "is" };
    let and_groups = match groups.as_slice() {
        [] => String::new(),
        groups => format!(", and its membership of {}", groups.join(", ")),
    };
    print(format!(
        "{} ({}) {would} deleted for good{and_groups}.",
        account.email, account.id
    ))
}

async fn act(directory: &Directory, id: &str, act: Act, json: bool) -> anyhow::Result<()> {
    let account = directory.act(&Origin::command_line(), id, act).await?;
    match json {
        true => print(serde_json::to_string(&account)?),
        false => print(described(&account)),
    }
}

/// How an account stands, in a sentence.
fn described(account: &Listed) -> String {
    let status = match account.preserved_by {
        None => "active".to_owned(),
        Some(by) => format!("preserved by {}", by.as_str()),
    };
    let hold = if account.legal_hold {
        ", under legal hold"
    } else {
        ""
    };
    let hidden = if account.scim_visible {
        ""
    } else {
        "; the identity provider deleted it and may bring it back"
    };
    format!(
        "{} ({}) is {status}{hold}{hidden}.",
        account.email, account.id
    )
}

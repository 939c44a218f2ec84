//! `scimlite user`: the accounts, and what an administrator does to them.

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::profile::{Limit, limit};
use super::reclassify::Reclassify;
use super::rows::{Column, Format, Rows};
use super::{Common, import, print, with_directory};
use crate::directory::accounts::{Act, Listed, Selection, Status, Story};
use crate::directory::assignment::Edit;
use crate::directory::by_hand::{ByHand, Quota};
use crate::directory::deletion::Deletion;
use crate::directory::history::{self, Recorded, Whom};
use crate::directory::paging::Span;
use crate::directory::{Directory, Refusal};
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;

/// Arguments of `user`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
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
    },
    /// Show an account and everything that happened to it, also after it was deleted for good
    Show {
        /// Id or username of the account
        #[arg(value_name = "ID|USERNAME")]
        name: String,
    },
    /// Make an account by hand; the identity provider may adopt it
    Add {
        /// Its address, which is its userName
        email: String,
        /// What to call the person
        #[arg(long, value_name = "N")]
        name: Option<String>,
        /// Its profile [default: Default]
        #[arg(long, value_name = "P")]
        profile: Option<String>,
        /// Its storage [default: Default]
        #[arg(long, value_name = "S")]
        storage: Option<String>,
        /// Its own quota in GB; 0 is unlimited
        #[arg(long, value_name = "N")]
        quota_gb: Option<u32>,
    },
    /// Make the accounts of a list: CSV with a header, or JSON
    Import(import::Arguments),
    /// Give an account another profile, storage or quota by hand
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Edit {
        /// Id of the account
        id: String,
        /// Another profile
        #[arg(long, value_name = "P", group = "what")]
        profile: Option<String>,
        /// Another storage
        #[arg(long, value_name = "S", group = "what")]
        storage: Option<String>,
        /// Another quota in GB: 0 is unlimited, none follows the profile
        #[arg(long, value_name = "N", value_parser = limit::<0>, group = "what")]
        quota_gb: Option<Limit>,
    },
    /// Have the mappings decide again, by what is stored, and move the accounts that belong elsewhere
    Reclassify(Reclassify),
    /// Write all accounts with all their fields
    Export {
        /// How to write them [default: csv]
        #[arg(long)]
        format: Option<Format>,
    },
    /// Stop an account and keep everything; the identity provider cannot undo it
    Preserve {
        /// Id of the account
        id: String,
    },
    /// Put a preserved account back in use
    Activate {
        /// Id of the account
        id: String,
    },
    /// Put an account under legal hold: nothing deletes it
    Hold {
        /// Id of the account
        id: String,
    },
    /// End the legal hold of an account
    Release {
        /// Id of the account
        id: String,
    },
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
    },
    /// Delete the accounts that were preserved for longer than their profiles keep them
    AutoDelete {
        /// Show what would go, and delete nothing
        #[arg(long)]
        dry_run: bool,
    },
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
/// Columns of the export: all fields of an account (design §5).
const EXPORT: &[Column] = &[
    ("id", 0),
    ("username", 0),
    ("email", 0),
    ("name", 0),
    ("upn", 0),
    ("status", 0),
    ("preserved_by", 0),
    ("preserved_at", 0),
    ("profile", 0),
    ("storage", 0),
    ("quota_gb", 0),
    ("managed_by", 0),
    ("mapping", 0),
    ("legal_hold", 0),
    ("scim_visible", 0),
    ("external_id", 0),
    ("created", 0),
    ("modified", 0),
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
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let json = arguments.common.json;
    with_directory(
        &arguments.common,
        async |directory, origin| match arguments.command {
            Command::List { status, filter } => {
                let selection = select(directory, status, filter.as_deref())?;
                list(directory, &selection, LIST, Format::of(json))
            }
            Command::Export { format } => {
                let asked = if json { Format::Json } else { Format::Csv };
                let format = format.unwrap_or(asked);
                list(directory, &Selection::default(), EXPORT, format)
            }
            Command::Import(arguments) => import::run(directory, origin, arguments, json).await,
            Command::Show { name } => match directory.account(&name, Span::everything()).await {
                Ok(story) => show(&story, json),
                Err(missing @ Refusal::NotFound { .. }) => {
                    show_gone(directory, &name, missing, json)
                }
                Err(error) => Err(error.into()),
            },
            Command::Add {
                email,
                name,
                profile,
                storage,
                quota_gb,
            } => {
                let account = ByHand {
                    email,
                    name,
                    profile,
                    storage,
                    quota: quota_gb.map_or(Quota::OfProfile, |quota| Quota::Own(i64::from(quota))),
                    ..ByHand::default()
                };
                tell(&directory.add_account(origin, account).await?, json)
            }
            Command::Edit {
                id,
                profile,
                storage,
                quota_gb,
            } => {
                let edit = Edit {
                    profile,
                    storage,
                    quota_gb: quota_gb.map(|limit| limit.0),
                };
                let account = directory.edit_account(origin, &id, edit).await?;
                match json {
                    true => print(serde_json::to_string(&account)?),
                    false => print(placed(&account)),
                }
            }
            Command::Reclassify(reclassify) => {
                super::reclassify::run(reclassify, directory, origin, json).await
            }
            Command::Preserve { id } => {
                tell(&directory.act(origin, &id, Act::Preserve).await?, json)
            }
            Command::Activate { id } => {
                tell(&directory.act(origin, &id, Act::Activate).await?, json)
            }
            Command::Hold { id } => tell(&directory.act(origin, &id, Act::Hold).await?, json),
            Command::Release { id } => tell(&directory.act(origin, &id, Act::Release).await?, json),
            Command::Delete {
                id,
                reason,
                dry_run,
            } => {
                let deletion = match dry_run {
                    true => directory.deletion(&id, &reason)?,
                    false => directory.delete_account(origin, &id, &reason).await?,
                };
                show_deletion(&deletion, dry_run, json)
            }
            Command::AutoDelete { dry_run } => {
                let accounts = match dry_run {
                    true => directory.due_accounts(Span::everything()).await?.items,
                    false => directory.auto_delete(origin, usize::MAX).await?.0,
                };
                let mut rows = Rows::start(Format::of(json), LIST)?;
                for account in &accounts {
                    rows.row(account)?;
                }
                rows.finish()
            }
        },
    )
}

fn select(
    directory: &Directory,
    status: Option<Status>,
    filter: Option<&str>,
) -> anyhow::Result<Selection> {
    let parse = |text| Filter::parse(text, ResourceType::User, directory.schemas());
    let filter = filter.map(parse).transpose()?;
    Ok(Selection { status, filter })
}

fn list(
    directory: &Directory,
    selection: &Selection,
    columns: &'static [Column],
    format: Format,
) -> anyhow::Result<()> {
    let mut rows = Rows::start(format, columns)?;
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
    tell_story(&story.audit)
}

/// What the audit has of a user who has no account: it was deleted for good, or never made.
fn show_gone(
    directory: &Directory,
    name: &str,
    missing: Refusal,
    json: bool,
) -> anyhow::Result<()> {
    let whom = Whom {
        target_type: Some("User"),
        ..directory.whom(name)?
    };
    let about = history::Selection {
        whom: Some(whom),
        ..history::Selection::default()
    };
    let mut audit = Vec::new();
    directory.each_row(&about, |row| {
        audit.push(row);
        Ok::<_, Refusal>(())
    })?;
    if audit.is_empty() {
        return Err(missing.into());
    }
    if json {
        return print(json!({"audit": audit}));
    }
    print(format!("{missing}; what the audit has of it:\n"))?;
    tell_story(&audit)
}

fn tell_story(audit: &[Recorded]) -> anyhow::Result<()> {
    let mut rows = Rows::start(Format::Table, STORY)?;
    for row in audit {
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

fn tell(account: &Listed, json: bool) -> anyhow::Result<()> {
    match json {
        true => print(serde_json::to_string(account)?),
        false => print(described(account)),
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

/// What an account has, in a sentence.
fn placed(account: &Listed) -> String {
    let quota = match account.quota_gb {
        0 => "no limit".to_owned(),
        gb => format!("{gb} GB"),
    };
    format!(
        "{} ({}) has profile {}, storage {} and {quota}.",
        account.email, account.id, account.profile, account.storage
    )
}

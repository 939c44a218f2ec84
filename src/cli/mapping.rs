//! `scimlite mapping`: the rules that give new accounts their profile and storage.

use std::io::Read;

use anyhow::Context;
use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::profile::{Limit, limit};
use super::{Common, or_dash, print, table, with_directory};
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::mapping::Decision;
use crate::directory::mappings::{
    Condition, Edit, Mapping, NewMapping, To, split_values, to_json, warnings,
};
use crate::scim::resource;
use crate::scim::schema::ResourceType;

/// Arguments of `mapping`.
#[derive(Args)]
pub struct Arguments {
    #[command(subcommand)]
    command: Command,
    #[command(flatten)]
    common: Common,
}

#[derive(Subcommand)]
enum Command {
    /// Make a mapping: last, but above a trailing one for any user
    Add(Add),
    /// List all mappings, the top first
    List,
    /// Change a mapping's name or target; whom it takes never changes
    #[command(group = clap::ArgGroup::new("what").required(true).multiple(true))]
    Edit {
        /// Its name
        name: String,
        /// Another name
        #[arg(long = "name", value_name = "N", group = "what")]
        new_name: Option<String>,
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
    /// Move a mapping to another place
    Move {
        /// Its name
        name: String,
        /// Its new place: 1 is the top, or up, or down
        #[arg(long, value_name = "POSITION")]
        to: To,
    },
    /// Remove a mapping; the accounts that it made stay
    Remove {
        /// Its name
        name: String,
    },
    /// Tell which mapping would take a user, and why the ones above it would not; nothing is written
    Test {
        /// A file with the user as SCIM JSON, or - for standard input
        #[arg(required_unless_present = "user")]
        file: Option<String>,
        /// A present user, by what is stored of it
        #[arg(long, value_name = "ID|USERNAME", conflicts_with = "file")]
        user: Option<String>,
    },
    /// Tell what the mappings would do to the present users, as they are or with one new or moved; nothing is written
    Impact(super::impact::Impact),
}

/// Whom a mapping takes.
#[derive(Args)]
pub struct Whom {
    /// Take any user
    #[arg(long, group = "whom")]
    any: bool,
    /// Take users that have one of the values under this name
    #[arg(long, group = "whom", value_name = "A", requires = "values")]
    attribute: Option<String>,
    /// The values, apart at ; if there is one, else at ,
    #[arg(long, value_name = "LIST", requires = "attribute")]
    values: Option<String>,
    /// Take users that this SCIM filter matches
    #[arg(long, group = "whom", value_name = "F")]
    filter: Option<String>,
}

impl Whom {
    /// The condition that was typed; any user if none was.
    pub fn condition(self) -> Condition {
        match (self.attribute, self.filter) {
            (Some(name), _) => Condition::Attribute {
                name,
                values: split_values(&self.values.unwrap_or_default()),
            },
            (None, Some(filter)) => Condition::Filter(filter),
            (None, None) => Condition::Any,
        }
    }
}

#[derive(Args)]
#[command(group = clap::ArgGroup::new("whom").required(true))]
struct Add {
    /// What to call it
    name: String,
    #[command(flatten)]
    whom: Whom,
    /// The profile of their accounts
    #[arg(long, value_name = "P")]
    profile: String,
    /// The storage of their accounts
    #[arg(long, value_name = "S")]
    storage: String,
    /// The quota of each account in GB: 0 is unlimited, none follows the profile
    #[arg(long, value_name = "N", value_parser = limit::<0>)]
    quota_gb: Option<Limit>,
    /// Have the local product send an activation mail
    #[arg(long)]
    activation_email: bool,
    /// Show what would be made, the values apart, without making it
    #[arg(long)]
    dry_run: bool,
}

impl Add {
    fn mapping(self) -> NewMapping {
        NewMapping {
            name: self.name,
            condition: self.whom.condition(),
            profile: self.profile,
            storage: self.storage,
            quota_gb: self.quota_gb.and_then(|limit| limit.0),
            activation_email: self.activation_email,
        }
    }
}

/// Runs the command.
pub fn run(arguments: Arguments) -> anyhow::Result<()> {
    let Arguments { command, common } = arguments;
    with_directory(&common, async |directory, origin| {
        act(command, directory, origin, common.json).await
    })
}

async fn act(
    command: Command,
    directory: &Directory,
    origin: &Origin,
    json: bool,
) -> anyhow::Result<()> {
    let told = |value: Value, text: String| match json {
        true => print(value),
        false => print(text),
    };
    match command {
        Command::Add(add) => {
            let dry_run = add.dry_run;
            let new = add.mapping();
            let (mappings, place) = match dry_run {
                true => directory.new_mapping(new)?,
                false => directory.add_mapping(origin, new).await?,
            };
            warn(&mappings, directory);
            let mapping = mappings.get(place - 1);
            let text = mapping.map(|mapping| {
                let (takes, is) = match dry_run {
                    true => ("would take", "would be"),
                    false => ("takes", "is"),
                };
                let condition = shown(&mapping.condition);
                format!(
                    "Mapping {} {takes} {condition}; it {is} in place {place}.",
                    mapping.name
                )
            });
            told(
                json!({
                    "position": place,
                    "mapping": mapping.map(to_json),
                    "warnings": warnings(&mappings, directory.schemas()),
                    "dry_run": dry_run,
                }),
                text.unwrap_or_default(),
            )
        }
        Command::List => {
            let mappings = directory.mappings()?;
            warn(&mappings, directory);
            told(mappings.iter().map(to_json).collect(), listed(&mappings))
        }
        Command::Edit {
            name,
            new_name,
            profile,
            storage,
            quota_gb,
        } => {
            let edit = Edit {
                name: new_name,
                profile,
                storage,
                quota_gb: quota_gb.map(|limit| limit.0),
            };
            let mapping = directory.edit_mapping(origin, &name, edit).await?;
            warn(&directory.mappings()?, directory);
            told(to_json(&mapping), listed(&[mapping]))
        }
        Command::Move { name, to } => {
            let mappings = directory.move_mapping(origin, &name, to).await?;
            warn(&mappings, directory);
            told(mappings.iter().map(to_json).collect(), listed(&mappings))
        }
        Command::Remove { name } => {
            let mappings = directory.remove_mapping(origin, &name).await?;
            warn(&mappings, directory);
            let text = format!("Mapping {name} is removed; its accounts stay.");
            told(json!({"name": name, "removed": true}), text)
        }
        Command::Test { file, user } => {
            let decision = match (user, file) {
                (Some(user), _) => directory.test_mappings_on(&user)?,
                (None, file) => {
                    let file = file.unwrap_or_default();
                    let body = serde_json::from_str(&read(&file)?)
                        .with_context(|| format!("{file} is not JSON"))?;
                    let parsed = resource::parse(body, ResourceType::User, directory.schemas())?;
                    directory.test_mappings(parsed)?
                }
            };
            told(
                serde_json::to_value(decision.shown())?,
                explained(&decision),
            )
        }
        Command::Impact(impact) => super::impact::run(impact, directory, json).await,
    }
}

/// A decision for people: a line for each mapping that was tried.
fn explained(decision: &Decision) -> String {
    let mut lines: Vec<_> = decision
        .tried
        .iter()
        .map(|tried| {
            let mark = match tried.matched {
                Some(true) => "takes it",
                Some(false) => "does not",
                None => "unknown",
            };
            format!("{}: {mark}: {}", tried.mapping, tried.why)
        })
        .collect();
    if !decision.known {
        lines.push("Nobody can know which one would take it.".to_owned());
    } else if decision.winner.is_none() {
        lines.push("No mapping takes it: the user would be refused.".to_owned());
    }
    lines.join("\n")
}

fn read(file: &str) -> anyhow::Result<String> {
    let mut text = String::new();
    let text = match file {
        "-" => std::io::stdin().read_to_string(&mut text).map(|_| text),
        file => std::fs::read_to_string(file),
    }
    .with_context(|| format!("cannot read {file}"))?;
    // Some editors begin a file with a byte order mark.
    Ok(text.trim_start_matches('\u{feff}').to_owned())
}

/// Tells on stderr what an administrator should know about the rules.
fn warn(mappings: &[Mapping], directory: &Directory) {
    for warning in warnings(mappings, directory.schemas()) {
        super::complain(&format!("warning: {warning}"));
    }
}

/// Whom a mapping takes, for people.
fn shown(condition: &Condition) -> String {
    match condition {
        Condition::Any => "any user".to_owned(),
        Condition::Attribute { name, values } => {
            let values: Vec<_> = values.iter().map(|value| format!("{value:?}")).collect();
            format!("{name} = {}", values.join(" or "))
        }
        Condition::Filter(filter) => filter.clone(),
    }
}

fn listed(mappings: &[Mapping]) -> String {
    let rows = mappings.iter().zip(1..).map(|(mapping, place)| {
        [
            place.to_string(),
            mapping.name.clone(),
            mapping.profile_name.clone(),
            mapping.storage_name.clone(),
            or_dash(mapping.quota_gb),
            shown(&mapping.condition),
        ]
    });
    table(
        ["PLACE", "NAME", "PROFILE", "STORAGE", "QUOTA GB", "TAKES"],
        rows.collect(),
    )
}

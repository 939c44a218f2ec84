//! `scimlite mapping impact`: what the mappings, as they are or might be, would do to the present users.

use clap::Args;
use serde_json::to_value;

use super::mapping::Whom;
use super::profile::{Limit, limit};
use super::reclassify::in_words;
use super::{print, table};
use crate::directory::Directory;
use crate::directory::impact::Impact as Effect;
use crate::directory::mappings::{NewMapping, Plan, To};

/// Arguments of `mapping impact`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("whom").requires("new"))]
pub struct Impact {
    /// As if there were a mapping of this name
    #[arg(long, value_name = "NAME", requires_all = ["whom", "profile", "storage"], conflicts_with = "move")]
    new: Option<String>,
    #[command(flatten)]
    whom: Whom,
    /// Its profile
    #[arg(long, value_name = "P", requires = "new")]
    profile: Option<String>,
    /// Its storage
    #[arg(long, value_name = "S", requires = "new")]
    storage: Option<String>,
    /// Its quota in GB: 0 is unlimited, none follows the profile
    #[arg(long, value_name = "N", value_parser = limit::<0>, requires = "new")]
    quota_gb: Option<Limit>,
    /// Its place: 1 is the top [default: where it would enter]
    #[arg(long, value_name = "POSITION", requires = "new")]
    at: Option<usize>,
    /// As if the mapping of this name stood elsewhere
    #[arg(long = "move", id = "move", value_name = "NAME", requires = "to")]
    moved: Option<String>,
    /// Where: 1 is the top, or up, or down
    #[arg(long, value_name = "POSITION", requires = "move")]
    to: Option<To>,
}

/// Runs the command.
pub async fn run(arguments: Impact, directory: &Directory, json: bool) -> anyhow::Result<()> {
    let effect = directory.impact(plan(arguments)).await?;
    for warning in &effect.warnings {
        super::complain(&format!("warning: {warning}"));
    }
    match json {
        true => print(to_value(&effect)?),
        false => print(shown(&effect)),
    }
}

fn plan(arguments: Impact) -> Plan {
    if let (Some(name), Some(to)) = (arguments.moved, arguments.to) {
        return Plan::Move(name, to);
    }
    let (Some(name), Some(profile), Some(storage)) =
        (arguments.new, arguments.profile, arguments.storage)
    else {
        return Plan::Present;
    };
    let new = NewMapping {
        name,
        condition: arguments.whom.condition(),
        profile,
        storage,
        quota_gb: arguments.quota_gb.and_then(|limit| limit.0),
        activation_email: false,
    };
    Plan::New(new, arguments.at)
}

fn shown(effect: &Effect) -> String {
    let takes = effect.mappings.iter().map(|takes| {
        [
            takes.position.to_string(),
            takes.takes.to_string(),
            takes.may_take.to_string(),
            takes.mapping.clone(),
        ]
    });
    let moves = effect.moves.iter().map(|moves| {
        let (old, new) = (moves.old.to_string(), moves.new.to_string());
        [moves.users.to_string(), old, new]
    });
    format!(
        "{}\n\n{}\n\n{} users: {}",
        table(["PLACE", "TAKES", "MAY TAKE", "MAPPING"], takes.collect()),
        table(["USERS", "FROM", "TO"], moves.collect()),
        effect.users,
        in_words(&effect.tally, true)
    )
}

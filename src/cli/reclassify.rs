//! `scimlite user reclassify`: the mappings decide again about present accounts, because an administrator asks for it.

use anyhow::bail;
use clap::Args;
use serde_json::{Value, json};

use super::print;
use super::rows::{Column, Format, Rows};
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::paging::Span;
use crate::directory::reclassify::{Reclassified, Tally, Which};
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;

/// Arguments of `user reclassify`.
#[derive(Args)]
#[command(group = clap::ArgGroup::new("which").required(true))]
pub struct Reclassify {
    /// Ids of the accounts; also hidden ones, and those whose place was given by hand
    #[arg(group = "which", value_name = "ID")]
    ids: Vec<String>,
    /// All users that SCIM sees, but those whose place was given by hand
    #[arg(long, group = "which")]
    all: bool,
    /// Those of them that this SCIM filter matches
    #[arg(long, group = "which", value_name = "SCIM-FILTER")]
    filter: Option<String>,
    /// Show what would move, and move nothing
    #[arg(long)]
    dry_run: bool,
}

/// Columns of the table of accounts that move, or should and do not.
const MOVED: &[Column] = &[
    ("id", 36),
    ("email", 32),
    ("outcome", 9),
    ("from", 36),
    ("to", 36),
    ("why", 0),
];

/// Runs the command.
pub async fn run(
    arguments: Reclassify,
    directory: &Directory,
    origin: &Origin,
    json: bool,
) -> anyhow::Result<()> {
    let Reclassify {
        ids,
        filter,
        dry_run,
        ..
    } = arguments;
    let parse = |text: String| Filter::parse(&text, ResourceType::User, directory.schemas());
    let which = match ids.as_slice() {
        [] => Which::Present(filter.map(parse).transpose()?),
        _ => Which::Named(ids),
    };
    // Nothing is written before the first account: it may be refused as a whole.
    let mut rows = None;
    let (tally, _) = directory
        .reclassify(origin, which, dry_run, Span::everything(), |told| {
            open(&mut rows, json)?.row(&shown(&told, json)?)
        })
        .await?;
    open(&mut rows, json)?;
    if let Some(rows) = rows {
        rows.finish()?;
    }
    match json {
        // The other members of the object that `open` began.
        true => {
            let mut summary = serde_json::to_value(tally)?;
            if let Value::Object(summary) = &mut summary {
                summary.insert("dry_run".to_owned(), dry_run.into());
            }
            print(format!(",{}", summary.to_string().trim_start_matches('{')))?;
        }
        false => print(in_words(&tally, dry_run))?,
    }
    match tally.refused {
        0 => Ok(()),
        refused => {
            bail!("{refused} accounts belong elsewhere and cannot go there; the list says why")
        }
    }
}

/// The rows, begun if they are not yet: in JSON as the first member of an object.
fn open(rows: &mut Option<Rows>, json: bool) -> anyhow::Result<&mut Rows> {
    if rows.is_none() && json {
        print("{\"accounts\":")?;
    }
    match rows {
        Some(rows) => Ok(rows),
        none => Ok(none.insert(Rows::start(Format::of(json), MOVED)?)),
    }
}

fn shown(told: &Reclassified, json: bool) -> anyhow::Result<Value> {
    if json {
        return Ok(serde_json::to_value(told)?);
    }
    Ok(json!({
        "id": told.id,
        "email": told.email,
        "outcome": told.outcome,
        "from": told.old.to_string(),
        "to": told.new.as_ref().map(ToString::to_string),
        "why": told.why,
    }))
}

/// A tally as a sentence.
pub fn in_words(tally: &Tally, would: bool) -> String {
    let moved = if would { "would move" } else { "moved" };
    format!("{} {moved}, {tally}.", tally.moved)
}

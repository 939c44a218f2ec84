//! `POST /accounts/import`: a list of people becomes accounts, as by `user import`.

use std::borrow::Cow;
use std::sync::Arc;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use crate::directory::Refusal;
use crate::directory::import::columns::TAKEN;
use crate::directory::import::{Line, Refused};
use crate::scim::{Error, ScimType};
use crate::server::admin::route::{Call, Shown, foreseen};
use crate::server::answer::Failure;

/// How to import.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub(super) struct How {
    /// Show what would come of it, and change nothing.
    #[serde(default)]
    dry_run: bool,
}

/// An account of a list. What is wrong with one is no harm to the others, so it is read as it comes.
#[derive(Debug, Deserialize)]
#[serde(transparent)]
pub(super) struct Person(Value);

impl JsonSchema for Person {
    fn schema_name() -> Cow<'static, str> {
        "AccountToImport".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let described =
            |(name, what): (&str, &str)| (name.to_owned(), json!({"description": what}));
        let properties: Map<_, _> = TAKEN.into_iter().map(described).collect();
        json_schema!({
            "type": "object",
            "description": "An account with the keys of one that is shown; what a new one has by itself is ignored.",
            "properties": properties,
            "required": ["email"],
        })
    }
}

/// What came, or would come, of a list.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct Imported {
    /// Whether nothing was changed.
    dry_run: bool,
    /// How many accounts were, or would be, made.
    made: usize,
    /// How many were, or would be, refused.
    refused: usize,
    /// Those; `line` is the place in the list, from 1.
    refusals: Vec<Refused>,
}

pub(super) async fn import(call: Call<How, Vec<Person>>) -> Result<Shown<Imported>, Failure> {
    let dry_run = call.query.dry_run;
    let numbered = (1..).zip(&call.body);
    let lines = numbered.map(|(number, account)| Line::from_json(number, &account.0));
    let lines = lines.collect::<Result<Vec<_>, _>>();
    let lines = lines.map_err(|why| Refusal::from(Error::new(ScimType::InvalidValue, why)));
    let (directory, origin) = (&call.directory, &call.origin);
    let (all, refusals) = if dry_run {
        let lines = Arc::new(foreseen(origin, lines)?);
        let refusals = directory.foresee_import(&lines).await;
        (lines.len(), foreseen(origin, refusals)?)
    } else {
        let lines = lines?;
        let (all, mut refusals) = (lines.len(), Vec::new());
        let made = directory.import(origin, lines.into_iter(), |refused| {
            refusals.extend(refused)
        });
        made.await?;
        (all, refusals)
    };
    Ok(Shown(Imported {
        dry_run,
        made: all - refusals.len(),
        refused: refusals.len(),
        refusals,
    }))
}

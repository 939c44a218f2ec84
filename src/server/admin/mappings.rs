//! `/mappings`: the rules that give new accounts their profile and storage, the top first.

use hyper::Method;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::lists::{List, given};
use super::route::{Answer, Call, Done, Nothing, Route, Shown, foreseen};
use crate::directory::impact::Impact;
use crate::directory::mapping;
use crate::directory::mappings::{self, Condition, Edit, NewMapping, Plan, To, trimmed, warnings};
use crate::scim::Object;
use crate::scim::resource;
use crate::scim::schema::ResourceType;
use crate::server::answer::{self, Failure, Reply};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read("/mappings", "mapping.list", "All mappings, the top first", list),
        Route::act(
            Method::POST,
            "/mappings",
            "mapping.add",
            "Makes a mapping: last, but above a trailing one for any user",
            add,
        ),
        Route::read(
            "/mappings/test",
            "mapping.test",
            "Tells which mapping would take a SCIM user, and why those above it would not; nothing is written",
            test,
        )
        .by(Method::POST),
        Route::read(
            "/mappings/test",
            "mapping.test_user",
            "Tells which mapping would take a present user, by what is stored of it",
            test_user,
        ),
        Route::read(
            "/mappings/impact",
            "mapping.impact",
            "Tells what the mappings would do to the present users, as they are or with one new or moved",
            impact,
        )
        .by(Method::POST),
        Route::act(
            Method::PATCH,
            "/mappings/{name}",
            "mapping.edit",
            "Changes a mapping's name or target; whom it takes never changes",
            edit,
        ),
        Route::act(
            Method::DELETE,
            "/mappings/{name}",
            "mapping.remove",
            "Removes a mapping; the accounts that it made stay",
            remove,
        ),
        Route::act(
            Method::POST,
            "/mappings/{name}/move",
            "mapping.move",
            "Moves a mapping to another place",
            to,
        ),
    ]
}

async fn list(call: Call) -> Result<Shown<List<mappings::Shown>>, Failure> {
    let mappings = call.directory.mappings()?;
    Ok(Shown(mappings.iter().map(Into::into).collect()))
}

/// A mapping that is to be made: for any user, for one attribute's values, or for a filter.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(try_from = "Asked")]
#[schemars(with = "Asked")]
struct New(NewMapping);

/// A mapping that is to be made: with one of `any`, `attribute` and `values`, or `filter`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
#[schemars(rename = "NewMapping")]
struct Asked {
    /// What to call it.
    name: String,
    /// Take any user.
    #[serde(default)]
    any: bool,
    /// Take users that have one of `values` under this name.
    attribute: Option<String>,
    /// The values.
    values: Option<Vec<String>>,
    /// Take users that this SCIM filter matches.
    filter: Option<String>,
    /// Name of the profile of their accounts.
    profile: String,
    /// Name of the storage of their accounts.
    storage: String,
    /// The quota of each account in GB: 0 is unlimited, null follows the profile.
    quota_gb: Option<u32>,
    /// Have the local product send an activation mail.
    #[serde(default)]
    activation_email: bool,
}

impl TryFrom<Asked> for New {
    type Error = &'static str;

    fn try_from(asked: Asked) -> Result<Self, Self::Error> {
        let condition = match (asked.any, asked.attribute, asked.values, asked.filter) {
            (true, None, None, None) => Condition::Any,
            (false, Some(name), Some(values), None) => Condition::Attribute {
                name,
                values: trimmed(values.iter().map(String::as_str)),
            },
            (false, None, None, Some(filter)) => Condition::Filter(filter),
            _ => return Err("say whom it takes: one of any, attribute with values, or filter"),
        };
        Ok(Self(NewMapping {
            name: asked.name,
            condition,
            profile: asked.profile,
            storage: asked.storage,
            quota_gb: asked.quota_gb.map(i64::from),
            activation_email: asked.activation_email,
        }))
    }
}

/// A mapping that was made.
#[derive(Debug, Serialize, JsonSchema)]
struct MappingMade {
    /// Its place; 1 is the top.
    position: usize,
    /// The mapping.
    mapping: Option<mappings::Shown>,
    /// What an administrator should know about the rules as they would stand.
    warnings: Vec<String>,
    /// Whether it was only shown, and not made.
    dry_run: bool,
}

/// 201 with a new mapping, 200 with one that was only shown.
struct Made(MappingMade);

impl Answer for Made {
    const STATUS: u16 = 201;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<MappingMade>())
    }

    fn into_reply(self) -> Reply {
        let status = if self.0.dry_run { 200 } else { Self::STATUS };
        answer::json(status, &self.0)
    }
}

/// Whether to make it.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Making {
    /// Show what would be made, and make nothing: answered with 200.
    #[serde(default)]
    dry_run: bool,
}

async fn add(call: Call<Making, New>) -> Result<Made, Failure> {
    let (directory, dry_run, new) = (&call.directory, call.query.dry_run, call.body.0);
    let (mappings, position) = match dry_run {
        true => foreseen(&call.origin, directory.new_mapping(new))?,
        false => directory.add_mapping(&call.origin, new).await?,
    };
    Ok(Made(MappingMade {
        position,
        mapping: mappings.get(position - 1).map(Into::into),
        warnings: warnings(&mappings, directory.schemas()),
        dry_run,
    }))
}

/// What changes of a mapping; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct MappingEdit {
    /// Another name.
    name: Option<String>,
    /// Name of another profile.
    profile: Option<String>,
    /// Name of another storage.
    storage: Option<String>,
    /// Another quota in GB: 0 is unlimited, null follows the profile.
    #[serde(default, deserialize_with = "given")]
    quota_gb: Option<Option<u32>>,
}

async fn edit(call: Call<Nothing, MappingEdit>) -> Result<Shown<mappings::Shown>, Failure> {
    let edit = Edit {
        name: call.body.name,
        profile: call.body.profile,
        storage: call.body.storage,
        quota_gb: call.body.quota_gb.map(|quota| quota.map(i64::from)),
    };
    let (directory, name) = (&call.directory, &call.subject);
    let edited = directory.edit_mapping(&call.origin, name, edit).await?;
    Ok(Shown(mappings::Shown::from(&edited)))
}

/// Where a mapping goes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Move {
    /// Its new place.
    to: Place,
}

/// A place of a mapping.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(untagged, expecting = "expected a number from 1, \"up\" or \"down\"")]
enum Place {
    /// This one; 1 is the top.
    Number(usize),
    /// The next.
    Next(Next),
}

/// The place next to the present one.
#[derive(Debug, Clone, Copy, Deserialize, JsonSchema)]
#[schemars(inline)]
#[serde(rename_all = "snake_case")]
enum Next {
    Up,
    Down,
}

impl From<Place> for To {
    fn from(place: Place) -> Self {
        match place {
            Place::Number(place) => Self::Place(place),
            Place::Next(Next::Up) => Self::Up,
            Place::Next(Next::Down) => Self::Down,
        }
    }
}

async fn to(call: Call<Nothing, Move>) -> Result<Shown<List<mappings::Shown>>, Failure> {
    let (directory, name, to) = (&call.directory, &call.subject, call.body.to.into());
    let mappings = directory.move_mapping(&call.origin, name, to).await?;
    Ok(Shown(mappings.iter().map(Into::into).collect()))
}

async fn remove(call: Call) -> Result<Done, Failure> {
    let removed = call.directory.remove_mapping(&call.origin, &call.subject);
    removed.await?;
    Ok(Done)
}

/// A present user.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Whose {
    /// Id or username of the account.
    user: String,
}

async fn test_user(call: Call<Whose>) -> Result<Shown<mapping::Shown>, Failure> {
    let decision = call.directory.test_mappings_on(&call.query.user)?;
    Ok(Shown(decision.shown()))
}

/// A change of the mappings that is only thought of: `new`, or `move` and `to`; nothing: the mappings as they stand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Thought {
    /// As if there were this mapping.
    new: Option<New>,
    /// Its place: 1 is the top; null: where it would enter.
    at: Option<usize>,
    /// As if the mapping of this name stood elsewhere.
    #[serde(rename = "move")]
    moved: Option<String>,
    /// Where.
    to: Option<Place>,
}

async fn impact(call: Call<Nothing, Thought>) -> Result<Shown<Impact>, Failure> {
    let Thought { new, at, moved, to } = call.body;
    let plan = match (new, at, moved, to) {
        (None, None, None, None) => Plan::Present,
        (Some(New(new)), at, None, None) => Plan::New(new, at),
        (None, None, Some(name), Some(to)) => Plan::Move(name, to.into()),
        _ => {
            let detail = "say new, maybe with at, or move with to, or nothing";
            return Err(Failure::new(400, detail));
        }
    };
    Ok(Shown(call.directory.impact(plan).await?))
}

async fn test(call: Call<Nothing, Object>) -> Result<Shown<mapping::Shown>, Failure> {
    let user = Value::Object(call.body);
    let parsed = resource::parse(user, ResourceType::User, call.directory.schemas())?;
    let decision = call.directory.test_mappings(parsed)?;
    Ok(Shown(decision.shown()))
}

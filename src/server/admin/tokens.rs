//! `/tokens`: bearer tokens. A secret is in the one answer that makes it, and in no other.

use hyper::Method;
use jiff::Timestamp;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::Deserialize;

use super::lists::List;
use super::route::{Answer, Call, Done, Nothing, Route, Shown};
use crate::directory::tokens::{self, Described, End, Issued, Scope};
use crate::server::answer::{self, Failure, Reply};

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/tokens",
            "token.list",
            "All tokens, the oldest first, without their secrets",
            list,
        ),
        Route::act(
            Method::POST,
            "/tokens",
            "token.create",
            "Makes a token and shows it this once",
            create,
        ),
        Route::act(
            Method::POST,
            "/tokens/{id}/rotate",
            "token.rotate",
            "Replaces a token by a new one of the same name and scope, which is shown this once",
            rotate,
        ),
        Route::act(
            Method::POST,
            "/tokens/{id}/revoke",
            "token.revoke",
            "Ends a token at once",
            revoke,
        ),
    ]
}

async fn list(call: Call) -> Result<Shown<List<Described>>, Failure> {
    let tokens = call.directory.tokens()?;
    Ok(Shown(tokens.iter().map(Into::into).collect()))
}

/// 201 with a new token.
struct New(Issued);

impl Answer for New {
    const STATUS: u16 = 201;

    fn schema(generator: &mut SchemaGenerator) -> Option<Schema> {
        Some(generator.subschema_for::<tokens::Shown<'_>>())
    }

    fn into_reply(self) -> Reply {
        answer::json(Self::STATUS, &self.0.shown())
    }
}

/// A token that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewToken {
    /// What to call it.
    name: String,
    /// What it may be used for: `provision` for SCIM, `read` for reading, `admin` for all of the admin API.
    scope: Scope,
    /// Days for which it is valid: 365, or as many as the configuration allows, unless told otherwise.
    days: Option<u16>,
    /// The instant of its end instead, like `2027-06-30T12:00:00Z`.
    #[schemars(with = "Option<String>")]
    expires: Option<Timestamp>,
}

async fn create(call: Call<Nothing, NewToken>) -> Result<New, Failure> {
    let NewToken {
        name,
        scope,
        days,
        expires,
    } = call.body;
    let end = match (days, expires) {
        (Some(_), Some(_)) => return Err(Failure::new(400, "say days or expires, not both")),
        (days, expires) => days.map(End::Days).or(expires.map(End::At)),
    };
    let issued = call.directory.create_token(&call.origin, &name, scope, end);
    Ok(New(issued.await?))
}

/// How a token is replaced.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rotation {
    /// Hours for which the old one stays valid: none unless told otherwise, 720 at the most.
    overlap_hours: Option<u16>,
}

async fn rotate(call: Call<Nothing, Rotation>) -> Result<New, Failure> {
    let (directory, id) = (&call.directory, &call.subject);
    let hours = call.body.overlap_hours.unwrap_or_default();
    let issued = directory.rotate_token(&call.origin, id, hours).await?;
    Ok(New(issued))
}

async fn revoke(call: Call) -> Result<Done, Failure> {
    let revoked = call.directory.revoke_token(&call.origin, &call.subject);
    revoked.await?;
    Ok(Done)
}

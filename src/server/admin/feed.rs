//! `/audit` and `/changes`: what happened, and the change feed for the local product. Both wait for what comes, if asked.

use std::num::NonZeroU32;
use std::time::Duration;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, de};

use super::lists::most;
use super::route::{Call, Route, Shown};
use crate::directory::feed::{Ask, Change, Cursor, LONGEST_WAIT, Recorded};
use crate::directory::history::{Selection, Verdict};
use crate::directory::times;
use crate::server::answer::Failure;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/audit",
            "audit.list",
            "The rows of the audit, the oldest first",
            audit,
        )
        .waiting(LONGEST_WAIT),
        Route::read(
            "/changes",
            "change.list",
            "The change feed: every applied change once, in the order of the commits, with the account before and after it",
            changes,
        )
        .waiting(LONGEST_WAIT),
    ]
}

/// Which rows of the audit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// Those behind this place: `next` of the answer before, the `seq` of a row, or 0; without it, from the first there is.
    after: Option<Cursor>,
    /// Rows in the answer: 100 unless told otherwise, 1000 at the most.
    limit: Option<NonZeroU32>,
    /// Where there are none, wait for one so many seconds, 60 at the most.
    wait: Option<u32>,
    /// Only by this actor, as a row names it.
    who: Option<String>,
    /// Only on what has this id or name.
    whom: Option<String>,
    /// Only with this verdict.
    verdict: Option<Verdict>,
    /// Only this action, like `user.create`.
    action: Option<String>,
    /// Only from then on: RFC 3339, a date for its beginning in UTC, or how long ago, like `24h` or `7d`.
    #[serde(default, deserialize_with = "instant")]
    #[schemars(with = "Option<String>")]
    since: Option<Timestamp>,
    /// Only before then, written likewise.
    #[serde(default, deserialize_with = "instant")]
    #[schemars(with = "Option<String>")]
    until: Option<Timestamp>,
    /// Only of the request with this `X-Request-Id`.
    request_id: Option<String>,
}

/// A part of the audit.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AuditPart")]
struct Told {
    /// The rows, in their order.
    items: Vec<Recorded>,
    /// Where to go on; null: that was all, and `wait` was not given.
    next: Option<Cursor>,
}

async fn audit(call: Call<Rows>) -> Result<Shown<Told>, Failure> {
    let rows = call.query;
    let whom = rows
        .whom
        .map(|whom| call.directory.whom(&whom))
        .transpose()?;
    let selection = Selection {
        who: rows.who,
        whom,
        verdict: rows.verdict,
        action: rows.action,
        since: rows.since,
        until: rows.until,
        request_id: rows.request_id,
        ..Selection::default()
    };
    let ask = asked(rows.after, rows.limit, rows.wait);
    let part = call.directory.audit(selection, ask).await?;
    let goes_on = part.more || rows.wait.is_some();
    Ok(Shown(Told {
        items: part.items,
        next: goes_on.then_some(part.next),
    }))
}

/// Which changes.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Which {
    /// Those behind this place: `next` of the answer before, the `seq` of a row, or 0 for all; without it, from now on.
    after: Option<Cursor>,
    /// Changes in the answer: 100 unless told otherwise, 1000 at the most.
    limit: Option<NonZeroU32>,
    /// Where there are none, wait for one so many seconds, 60 at the most.
    wait: Option<u32>,
}

/// A part of the change feed.
#[derive(Debug, Serialize, JsonSchema)]
struct Changes {
    /// The changes, in their order; none: there were none until the wait was over.
    items: Vec<Change>,
    /// Where the feed goes on: the next `after`.
    next: Cursor,
}

async fn changes(call: Call<Which>) -> Result<Shown<Changes>, Failure> {
    let Which { after, limit, wait } = call.query;
    let after = match after {
        Some(after) => after,
        None => call.directory.now_in_feed()?,
    };
    let part = call
        .directory
        .changes(asked(Some(after), limit, wait))
        .await?;
    Ok(Shown(Changes {
        items: part.items,
        next: part.next,
    }))
}

fn asked(after: Option<Cursor>, limit: Option<NonZeroU32>, wait: Option<u32>) -> Ask {
    Ask {
        after,
        most: most(limit),
        wait: Duration::from_secs(wait.unwrap_or(0).into()),
    }
}

/// A point in time as people write it, that of the command line.
fn instant<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<Timestamp>, D::Error> {
    let text = String::deserialize(deserializer)?;
    times::instant(&text).map(Some).map_err(de::Error::custom)
}

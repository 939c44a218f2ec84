//! `/reports` and `/audit`: what there is and what happened, a page at a time.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::Deserialize;

use super::lists::{Cursor, List, Paging, span};
use super::route::{Call, Route, Shown};
use crate::directory::accounts::Recorded;
use crate::directory::reports::{Preserved, Provisioned};
use crate::server::answer::Failure;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/reports/provisioning",
            "report.provisioning",
            "Every account: what it was given, and who looks after it",
            provisioning,
        ),
        Route::read(
            "/reports/preserved",
            "report.preserved",
            "The preserved accounts: since when, by whom, and when their profiles delete them",
            preserved,
        ),
        Route::read(
            "/audit",
            "audit.list",
            "The rows of the audit, the oldest first: the feed of what changed",
            audit,
        ),
    ]
}

async fn provisioning(call: Call<Paging>) -> Result<Shown<List<Provisioned>>, Failure> {
    let page = call.directory.provisioned(call.query.span()).await?;
    Ok(Shown(page.into()))
}

async fn preserved(call: Call<Paging>) -> Result<Shown<List<Preserved>>, Failure> {
    let page = call.directory.preserved(call.query.span()).await?;
    Ok(Shown(page.into()))
}

/// Which rows of the audit.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Rows {
    /// Those behind the row with this `seq`; without it, from the first.
    after: Option<Cursor>,
    /// Rows on the page: 100 unless told otherwise, 1000 at the most.
    limit: Option<NonZeroU32>,
}

async fn audit(call: Call<Rows>) -> Result<Shown<List<Recorded>>, Failure> {
    let page = call
        .directory
        .audit(span(call.query.after, call.query.limit));
    Ok(Shown(page.await?.into()))
}

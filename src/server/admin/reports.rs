//! `/reports`: what there is, a page at a time.

use super::lists::{List, Paging};
use super::route::{Call, Route, Shown};
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
            "The preserved accounts: since when, by whom, why, and when their profiles delete them",
            preserved,
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

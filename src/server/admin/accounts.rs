//! `/accounts`: the people, and what an administrator does to them.

use std::num::NonZeroU32;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::{Cursor, List, PAGE_LIMIT, Paging, span};
use super::route::{Call, Created, Nothing, Route, Shown, foreseen};
use crate::directory::accounts::{Act, Listed, Recorded, Selection, Status};
use crate::directory::by_hand::{ByHand, Quota};
use crate::directory::paging::Span;
use crate::scim::filter::Filter;
use crate::scim::schema::ResourceType;
use crate::server::answer::Failure;

/// Audit rows that an account is shown with; the audit has the earlier ones.
const STORY: usize = 100;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/accounts",
            "account.list",
            "The accounts, the oldest first",
            list,
        ),
        Route::act(
            Method::POST,
            "/accounts",
            "account.add",
            "Makes an account by hand; the identity provider may adopt it",
            add,
        ),
        Route::read(
            "/accounts/auto-delete",
            "account.due",
            "The accounts that auto-delete would delete now",
            due,
        ),
        Route::act(
            Method::POST,
            "/accounts/auto-delete",
            "account.auto_delete",
            "Deletes accounts that were preserved for longer than their profiles keep them, at most 1000 at a time",
            auto_delete,
        ),
        Route::read(
            "/accounts/{id}",
            "account.show",
            "An account, by its id or username, and what happened to it",
            show,
        ),
        Route::act(
            Method::DELETE,
            "/accounts/{id}",
            "account.delete",
            "Deletes a preserved account for good",
            delete,
        ),
        Route::act(
            Method::POST,
            "/accounts/{id}/preserve",
            "account.preserve",
            "Stops an account and keeps everything; the identity provider cannot undo it",
            |call| act(call, Act::Preserve),
        ),
        Route::act(
            Method::POST,
            "/accounts/{id}/activate",
            "account.activate",
            "Puts a preserved account back in use",
            |call| act(call, Act::Activate),
        ),
        Route::act(
            Method::POST,
            "/accounts/{id}/hold",
            "account.hold",
            "Puts an account under legal hold: nothing deletes it",
            |call| act(call, Act::Hold),
        ),
        Route::act(
            Method::POST,
            "/accounts/{id}/release",
            "account.release",
            "Ends the legal hold of an account",
            |call| act(call, Act::Release),
        ),
    ]
}

/// Which accounts to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Choice {
    /// Those of this status.
    status: Option<Status>,
    /// Those whose user this SCIM filter matches (RFC 7644 §3.4.2.2).
    filter: Option<String>,
    /// `next` of the page before; without it, the first page.
    cursor: Option<Cursor>,
    /// Items on the page: 100 unless told otherwise, 1000 at the most.
    limit: Option<NonZeroU32>,
}

async fn list(call: Call<Choice>) -> Result<Shown<List<Listed>>, Failure> {
    let Choice {
        status,
        filter,
        cursor,
        limit,
    } = call.query;
    let parse = |text: &str| Filter::parse(text, ResourceType::User, call.directory.schemas());
    let filter = filter.as_deref().map(parse).transpose()?;
    let selection = Selection { status, filter };
    let page = call.directory.accounts(&selection, span(cursor, limit));
    Ok(Shown(page.await?.into()))
}

/// An account and what happened to it.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "AccountWithAudit")]
struct Story {
    #[serde(flatten)]
    account: Listed,
    /// The last 100 audit rows about it, in their order.
    audit: Vec<Recorded>,
    /// Whether the audit has earlier rows about it.
    earlier: bool,
}

async fn show(call: Call) -> Result<Shown<Story>, Failure> {
    let story = call
        .directory
        .account(&call.subject, Span::page(0, STORY))
        .await?;
    Ok(Shown(Story {
        account: story.account,
        audit: story.audit,
        earlier: story.earlier,
    }))
}

/// An account that is to be made by hand.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewAccount {
    /// Its address, which is its userName.
    email: String,
    /// What to call the person.
    name: Option<String>,
    /// Name of its profile; `Default` if there is none.
    profile: Option<String>,
    /// Name of its storage; `Default` if there is none.
    storage: Option<String>,
    /// Its own quota in GB; 0 is unlimited; null follows the profile.
    quota_gb: Option<u32>,
}

async fn add(call: Call<Nothing, NewAccount>) -> Result<Created<Listed>, Failure> {
    let new = call.body;
    let account = ByHand {
        email: new.email,
        name: new.name,
        profile: new.profile,
        storage: new.storage,
        quota: new
            .quota_gb
            .map_or(Quota::OfProfile, |quota| Quota::Own(quota.into())),
        ..ByHand::default()
    };
    let account = call.directory.add_account(&call.origin, account).await?;
    let location = format!("/api/v1/accounts/{}", account.id);
    Ok(Created(account, Some(location)))
}

async fn act(call: Call, act: Act) -> Result<Shown<Listed>, Failure> {
    let account = call.directory.act(&call.origin, &call.subject, act).await?;
    Ok(Shown(account))
}

/// Why an account is deleted.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct Why {
    /// Why, in 10 to 150 characters, for the audit.
    reason: String,
    /// Show what would go, and delete nothing.
    #[serde(default)]
    dry_run: bool,
}

/// What a deletion takes away.
#[derive(Debug, Serialize, JsonSchema)]
struct Deletion {
    /// Whether it is gone; false for a dry run.
    deleted: bool,
    /// The account as it was.
    account: Listed,
    /// Names of the groups that it leaves.
    groups: Vec<String>,
}

async fn delete(call: Call<Why>) -> Result<Shown<Deletion>, Failure> {
    let (id, Why { reason, dry_run }) = (&call.subject, call.query);
    let deletion = match dry_run {
        true => foreseen(&call.origin, call.directory.deletion(id, &reason))?,
        false => {
            let deletion = call.directory.delete_account(&call.origin, id, &reason);
            deletion.await?
        }
    };
    Ok(Shown(Deletion {
        deleted: !dry_run,
        account: deletion.account,
        groups: deletion.groups,
    }))
}

async fn due(call: Call<Paging>) -> Result<Shown<List<Listed>>, Failure> {
    let page = call.directory.due_accounts(call.query.span()).await?;
    Ok(Shown(page.into()))
}

/// What auto-delete did.
#[derive(Debug, Serialize, JsonSchema)]
struct AutoDeleted {
    /// The accounts that are gone.
    items: Vec<Listed>,
    /// Whether none is left that was due; else ask again.
    complete: bool,
}

async fn auto_delete(call: Call) -> Result<Shown<AutoDeleted>, Failure> {
    let deleted = call.directory.auto_delete(&call.origin, PAGE_LIMIT);
    let (items, complete) = deleted.await?;
    Ok(Shown(AutoDeleted { items, complete }))
}

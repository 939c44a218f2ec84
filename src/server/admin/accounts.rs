//! `/accounts`: the people, and what an administrator does to them.

mod import;

use std::num::NonZeroU32;

use hyper::Method;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::lists::{Cursor, List, PAGE_LIMIT, Paging, given, span};
use super::route::{Call, Created, Nothing, Route, Shown, foreseen};
use crate::directory::accounts::{Act, Listed, Recorded, Selection, Status};
use crate::directory::assignment::Edit;
use crate::directory::by_hand::{ByHand, Quota};
use crate::directory::paging::Span;
use crate::directory::reclassify::{Reclassified, Tally, Which};
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
            Method::POST,
            "/accounts/reclassify",
            "account.reclassify",
            "Has the mappings decide again about present accounts, at most 1000 at a time, and moves those that belong elsewhere",
            reclassify,
        ),
        Route::act(
            Method::POST,
            "/accounts/import",
            "account.import",
            "Makes accounts by hand from a list, each in its turn; one that is refused is no harm to the others",
            import::import,
        ),
        Route::act(
            Method::PATCH,
            "/accounts/{id}",
            "account.edit",
            "Gives an account another profile, storage or quota by hand",
            edit,
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

/// What changes of an account; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct AccountEdit {
    /// Name of another profile.
    profile: Option<String>,
    /// Name of another storage.
    storage: Option<String>,
    /// Another quota of its own in GB: 0 is unlimited, null follows the profile.
    #[serde(default, deserialize_with = "given")]
    quota_gb: Option<Option<u32>>,
}

async fn edit(call: Call<Nothing, AccountEdit>) -> Result<Shown<Listed>, Failure> {
    let edit = Edit {
        profile: call.body.profile,
        storage: call.body.storage,
        quota_gb: call.body.quota_gb.map(|quota| quota.map(i64::from)),
    };
    let (directory, id) = (&call.directory, &call.subject);
    let edited = directory.edit_account(&call.origin, id, edit).await?;
    Ok(Shown(edited))
}

/// Which accounts the mappings shall decide about: one of `ids`, `filter` and `all`.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct WhichAccounts {
    /// Those with these ids, 1000 at the most; also hidden ones, and those whose place was given by hand.
    ids: Option<Vec<String>>,
    /// Those of the users that SCIM sees that this SCIM filter matches.
    filter: Option<String>,
    /// All users that SCIM sees, but those whose place was given by hand.
    #[serde(default)]
    all: bool,
    /// `next` of the answer before; without it, from the first.
    cursor: Option<Cursor>,
    /// Show what would move, and move nothing. Room in profiles is looked at for each answer by itself.
    #[serde(default)]
    dry_run: bool,
}

/// What became of accounts about which the mappings decided.
#[derive(Debug, Serialize, JsonSchema)]
struct Reclassification {
    /// Those that move, should and cannot, or are taken by no mapping.
    accounts: Vec<Reclassified>,
    /// How many came out how.
    #[serde(flatten)]
    tally: Tally,
    /// Whether nothing was changed.
    dry_run: bool,
    /// Where to go on; null: that was all.
    next: Option<Cursor>,
}

async fn reclassify(
    call: Call<Nothing, WhichAccounts>,
) -> Result<Shown<Reclassification>, Failure> {
    let WhichAccounts {
        ids,
        filter,
        all,
        cursor,
        dry_run,
    } = call.body;
    let parse = |text: &str| Filter::parse(text, ResourceType::User, call.directory.schemas());
    let which = match (ids, filter, all) {
        (Some(ids), None, false) if ids.len() <= PAGE_LIMIT => Which::Named(ids),
        (None, Some(filter), false) => Which::Present(Some(parse(&filter)?)),
        (None, None, true) => Which::Present(None),
        _ => {
            let detail = "say which accounts: ids, 1000 at the most, or filter, or all";
            return Err(Failure::new(400, detail));
        }
    };
    let mut accounts = Vec::new();
    let span = span(cursor, NonZeroU32::new(u32::MAX));
    let (directory, origin) = (&call.directory, &call.origin);
    let done = directory.reclassify(origin, which, dry_run, span, |told| {
        accounts.push(told);
        Ok(())
    });
    let (tally, next) = match (done.await, dry_run) {
        (outcome, true) => foreseen(origin, outcome)?,
        (outcome, false) => outcome?,
    };
    Ok(Shown(Reclassification {
        accounts,
        tally,
        dry_run,
        next: next.map(Cursor::at),
    }))
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

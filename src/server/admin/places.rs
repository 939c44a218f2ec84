//! `/profiles`, `/storages` and `/seats`: what accounts are given.

use std::num::NonZeroU32;

use hyper::Method;
use schemars::JsonSchema;
use serde::Deserialize;

use super::lists::{List, given};
use super::route::{Call, Created, Done, Nothing, Route, Shown};
use crate::directory::places::Taken;
use crate::directory::profiles::{Profile, Settings};
use crate::directory::storages::Storage;
use crate::server::answer::Failure;

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/profiles",
            "profile.list",
            "All profiles, by name",
            profiles,
        ),
        Route::act(
            Method::POST,
            "/profiles",
            "profile.add",
            "Makes a profile",
            add_profile,
        ),
        Route::act(
            Method::PATCH,
            "/profiles/{name}",
            "profile.edit",
            "Changes the settings of a profile; null takes a limit away",
            edit_profile,
        ),
        Route::act(
            Method::DELETE,
            "/profiles/{name}",
            "profile.remove",
            "Removes a profile that nothing uses",
            remove_profile,
        ),
        Route::read(
            "/seats",
            "seats",
            "The seats of the appliance, and the accounts that take them",
            seats,
        ),
        Route::read(
            "/storages",
            "storage.list",
            "All storages, by name, with the accounts that they have",
            storages,
        ),
        Route::act(
            Method::POST,
            "/storages",
            "storage.add",
            "Makes a storage, enabled",
            add_storage,
        ),
        Route::act(
            Method::PATCH,
            "/storages/{name}",
            "storage.edit",
            "Enables or disables a storage; a disabled one takes no new accounts",
            edit_storage,
        ),
        Route::act(
            Method::DELETE,
            "/storages/{name}",
            "storage.remove",
            "Removes a storage that nothing uses",
            remove_storage,
        ),
    ]
}

/// A profile that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewProfile {
    /// What to call it.
    name: String,
    /// Active accounts that it may have; null: any number.
    max_users: Option<u32>,
    /// Quota of its accounts in GB; 0 and null are unlimited.
    quota_gb: Option<u32>,
    /// Days after which a preserved account is deleted; null: never.
    delete_after_days: Option<NonZeroU32>,
}

/// What changes of a profile; what is absent stays.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct ProfileEdit {
    /// Another name.
    name: Option<String>,
    /// Active accounts that it may have; null: any number.
    #[serde(default, deserialize_with = "given")]
    max_users: Option<Option<u32>>,
    /// Quota of its accounts in GB; 0 and null are unlimited.
    #[serde(default, deserialize_with = "given")]
    quota_gb: Option<Option<u32>>,
    /// Days after which a preserved account is deleted; null: never.
    #[serde(default, deserialize_with = "given")]
    delete_after_days: Option<Option<NonZeroU32>>,
}

async fn profiles(call: Call) -> Result<Shown<List<Profile>>, Failure> {
    Ok(Shown(call.directory.profiles()?.into_iter().collect()))
}

async fn add_profile(call: Call<Nothing, NewProfile>) -> Result<Created<Profile>, Failure> {
    let new = call.body;
    let settings = Settings {
        name: None,
        max_users: Some(new.max_users.map(i64::from)),
        quota_gb: Some(new.quota_gb.map(i64::from)),
        delete_after_days: Some(new.delete_after_days.map(|days| days.get().into())),
    };
    let made = call
        .directory
        .add_profile(&call.origin, &new.name, settings);
    Ok(Created(made.await?, None))
}

async fn edit_profile(call: Call<Nothing, ProfileEdit>) -> Result<Shown<Profile>, Failure> {
    let edit = call.body;
    let plain = |limit: Option<Option<u32>>| limit.map(|limit| limit.map(i64::from));
    let settings = Settings {
        name: edit.name,
        max_users: plain(edit.max_users),
        quota_gb: plain(edit.quota_gb),
        delete_after_days: plain(edit.delete_after_days.map(|days| days.map(NonZeroU32::get))),
    };
    let (directory, name) = (&call.directory, &call.subject);
    let edited = directory.edit_profile(&call.origin, name, settings).await?;
    Ok(Shown(edited))
}

async fn remove_profile(call: Call) -> Result<Done, Failure> {
    let removed = call.directory.remove_profile(&call.origin, &call.subject);
    removed.await?;
    Ok(Done)
}

async fn seats(call: Call) -> Result<Shown<Taken>, Failure> {
    Ok(Shown(call.directory.seats()?))
}

/// A storage that is to be made.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct NewStorage {
    /// What to call it.
    name: String,
}

/// What changes of a storage.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
struct StorageEdit {
    /// Whether it takes new accounts.
    enabled: bool,
}

async fn storages(call: Call) -> Result<Shown<List<Storage>>, Failure> {
    Ok(Shown(call.directory.storages()?.into_iter().collect()))
}

async fn add_storage(call: Call<Nothing, NewStorage>) -> Result<Created<Storage>, Failure> {
    let made = call.directory.add_storage(&call.origin, &call.body.name);
    Ok(Created(made.await?, None))
}

async fn edit_storage(call: Call<Nothing, StorageEdit>) -> Result<Shown<Storage>, Failure> {
    let (directory, name, enabled) = (&call.directory, &call.subject, call.body.enabled);
    let edited = directory.edit_storage(&call.origin, name, enabled).await?;
    Ok(Shown(edited))
}

async fn remove_storage(call: Call) -> Result<Done, Failure> {
    let removed = call.directory.remove_storage(&call.origin, &call.subject);
    removed.await?;
    Ok(Done)
}

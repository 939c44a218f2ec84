//! Accounts that an administrator makes by hand. SCIM sees them like any other; the first write by the identity provider
//! adopts them (design §3.9).

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::json;

use super::account::text;
use super::accounts::{Listed, listed};
use super::audit::{Entry, Origin};
use super::lifecycle::{self, Event};
use super::names::bounded;
use super::users::{Change, refuse_long_name, taken};
use super::{Directory, Refusal, changed, storable};
use crate::scim::schema::{Schemas, USER_PRINCIPAL_NAME};
use crate::scim::{Error, Object, ScimType};
pub use crate::store::users::PreservedBy;
use crate::store::users::{self, Assignment, Standing};
use crate::store::{profiles, profiles::Profile, storages, storages::Storage};

/// Letters of an address or a name that a person types: the longest address of mail has 320.
const LETTERS: usize = 320;
/// What an account gets whose profile or storage nobody names.
const DEFAULT: &str = "Default";

/// What the administrator says of a new account.
#[derive(Debug, Clone, Default)]
pub struct ByHand {
    /// userName and email.
    pub email: String,
    /// displayName.
    pub name: Option<String>,
    /// userPrincipalName.
    pub upn: Option<String>,
    /// externalId, by which the identity provider knows the person.
    pub external_id: Option<String>,
    /// Name of the profile, else `Default`.
    pub profile: Option<String>,
    /// Name of the storage, else `Default`.
    pub storage: Option<String>,
    /// Its quota.
    pub quota: Quota,
    /// Who preserved it, and since when if not from now on; none: it is active.
    pub preserved: Option<(PreservedBy, Option<Timestamp>)>,
    /// Whether the identity provider deleted the user, so that SCIM does not see it.
    pub removed: bool,
    /// Whether it is under legal hold.
    pub legal_hold: bool,
}

/// The quota of a new account in GB; 0 is unlimited.
#[derive(Debug, Clone, Copy, Default)]
pub enum Quota {
    /// The profile's.
    #[default]
    OfProfile,
    /// Its own.
    Own(i64),
    /// The one in force, as an export tells it: where it is the profile's, the account follows the profile.
    InForce(i64),
}

/// A new account that nothing but the want of room speaks against.
pub(super) struct Plan {
    pub(super) attributes: Object,
    pub(super) standing: Standing,
    /// Why it is preserved, where it is.
    pub(super) reason: &'static str,
    pub(super) assignment: Assignment,
}

impl Directory {
    /// Makes an account by hand. Its name has to be free, its profile to have a place and its storage to be enabled.
    pub async fn add_account(&self, origin: &Origin, account: ByHand) -> Result<Listed, Refusal> {
        let mut entry = Entry::new("account.add", 0);
        entry.target_name = Some(account.email.clone());
        self.make_account(origin, entry, typed(account)).await
    }

    /// Makes the account that an administrator describes; `Err` is a description with a mistake.
    pub(super) async fn make_account(
        &self,
        origin: &Origin,
        entry: Entry,
        account: Result<ByHand, Refusal>,
    ) -> Result<Listed, Refusal> {
        let (schemas, seats) = (self.view.schemas.clone(), self.settings.seats);
        let entry = entry.about("User", None);
        self.change(origin, entry, move |connection, entry, now| {
            let account = account?;
            let plan = plan(connection, &account, &schemas, now)?;
            let user = Change {
                connection,
                entry: &mut *entry,
                now,
                schemas: &schemas,
                seats,
            }
            .insert(plan.attributes, plan.standing, plan.assignment, plan.reason)?;
            let account = listed(connection, &user.id)?;
            entry.because("made by hand; the identity provider adopts it with its first write");
            entry.changes = Some(changed(&serde_json::Value::Null, &account.fields()?));
            Ok(account)
        })
        .await
    }
}

/// What a person typed: without blanks around it, not longer than an address is, and without control characters.
fn typed(account: ByHand) -> Result<ByHand, Refusal> {
    let text =
        |what, text: Option<String>| text.map(|text| bounded(what, &text, LETTERS)).transpose();
    Ok(ByHand {
        email: bounded("the email", &account.email, LETTERS)?,
        name: text("the name", account.name)?,
        external_id: text("the external id", account.external_id)?,
        upn: text("the UPN", account.upn)?,
        ..account
    })
}

/// What is to be made of a description, if its values are good, its name is free and its profile and storage are there.
pub(super) fn plan(
    connection: &Connection,
    account: &ByHand,
    schemas: &Schemas,
    now: Timestamp,
) -> Result<Plan, Refusal> {
    let attributes = attributes(account, schemas);
    refuse_long_name(&attributes)?;
    storable(&attributes)?;
    let preserved = account
        .preserved
        .map(|(by, since)| (by, since.unwrap_or(now)));
    let made = Event::Made {
        preserved,
        removed: account.removed,
        legal_hold: account.legal_hold,
    };
    let standing = lifecycle::after(lifecycle::NEW, made, now)?;
    let user_name = text(&attributes, "userName").unwrap_or_default();
    let external_id = text(&attributes, "externalId");
    if standing.visible {
        if let Some(present) = users::named(connection, user_name)? {
            return Err(taken(user_name, &present));
        }
    } else if users::hidden_same(connection, user_name, external_id)? {
        return Err(uniqueness(format!(
            "the account of the deleted user {user_name} is there already"
        )));
    }
    Ok(Plan {
        reason: made.reason(),
        attributes,
        standing,
        assignment: assignment(connection, account)?,
    })
}

/// The resource that SCIM shows. Its texts may be any that SCIM takes, so that an export is a list.
fn attributes(account: &ByHand, schemas: &Schemas) -> Object {
    let mut attributes = Object::new();
    for (name, value) in [
        ("userName", Some(&account.email)),
        ("displayName", account.name.as_ref()),
        ("externalId", account.external_id.as_ref()),
    ] {
        if let Some(value) = value {
            attributes.insert(name.to_owned(), value.clone().into());
        }
    }
    if let Some(upn) = &account.upn {
        let extension = json!({ (USER_PRINCIPAL_NAME): upn });
        attributes.insert(schemas.custom_urn().to_owned(), extension);
    }
    let active = account.preserved.is_none();
    attributes.insert("active".to_owned(), active.into());
    attributes
}

fn assignment(connection: &Connection, account: &ByHand) -> Result<Assignment, Refusal> {
    let profile = profile_named(connection, account.profile.as_deref().unwrap_or(DEFAULT))?;
    let storage = storage_named(connection, account.storage.as_deref().unwrap_or(DEFAULT))?;
    if !storage.enabled {
        return Err(Refusal::Forbidden(format!(
            "storage {:?} is disabled; enable it or name another",
            storage.name
        )));
    }
    let quota_gb = match account.quota {
        Quota::OfProfile => None,
        Quota::Own(quota) => Some(quota),
        Quota::InForce(quota) => (quota != profile.quota_gb.unwrap_or(0)).then_some(quota),
    };
    Ok(Assignment {
        profile: profile.id,
        storage: storage.id,
        quota_gb,
        mapping: None,
        activation_email: false,
    })
}

/// The profile of this name; the refusal says which there are.
pub(super) fn profile_named(connection: &Connection, name: &str) -> Result<Profile, Refusal> {
    if let Some(profile) = profiles::named(connection, name)? {
        return Ok(profile);
    }
    let present = profiles::all(connection)?.into_iter();
    Err(absent("profile", name, present.map(|profile| profile.name)))
}

/// The storage of this name; the refusal says which there are.
pub(super) fn storage_named(connection: &Connection, name: &str) -> Result<Storage, Refusal> {
    if let Some(storage) = storages::named(connection, name)? {
        return Ok(storage);
    }
    let present = storages::all(connection)?.into_iter();
    Err(absent("storage", name, present.map(|storage| storage.name)))
}

/// The refusal of a profile or storage that is not there: it says which are.
fn absent(what: &str, name: &str, present: impl Iterator<Item = String>) -> Refusal {
    let present: Vec<_> = present.map(|name| format!("{name:?}")).collect();
    invalid(format!(
        "there is no {what} {name:?}; name one of these: {}",
        present.join(", ")
    ))
}

fn invalid(why: String) -> Refusal {
    Error::new(ScimType::InvalidValue, why).into()
}

/// The refusal of an account that is there already.
pub(super) fn uniqueness(why: String) -> Refusal {
    Error::new(ScimType::Uniqueness, why).into()
}

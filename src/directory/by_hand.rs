//! Accounts that an administrator makes by hand. SCIM sees them like any other; the first write by the identity provider
//! adopts them (design §3.9).

use rusqlite::Connection;

use super::accounts::{Listed, listed};
use super::audit::{Entry, Origin};
use super::lifecycle;
use super::names::bounded;
use super::users::{Change, taken};
use super::{Directory, Refusal, changed};
use crate::scim::{Error, Object, ScimType};
use crate::store::users::{self, Assignment, ManagedBy, Standing};
use crate::store::{profiles, profiles::Profile, storages, storages::Storage};

/// Letters of an address or a name at the most: the longest address of mail has 320.
const LETTERS: usize = 320;
/// What an account gets whose profile or storage nobody names.
const DEFAULT: &str = "Default";

/// What the administrator says of a new account.
#[derive(Debug, Clone)]
pub struct ByHand {
    /// userName and email.
    pub email: String,
    /// displayName.
    pub name: Option<String>,
    /// Name of the profile, else `Default`.
    pub profile: Option<String>,
    /// Name of the storage, else `Default`.
    pub storage: Option<String>,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
}

impl Directory {
    /// Makes an account by hand. Its name has to be free, its profile to have a place and its storage to be enabled.
    pub async fn add_account(&self, origin: &Origin, account: ByHand) -> Result<Listed, Refusal> {
        let schemas = self.view.schemas.clone();
        let entry = Entry::new("account.add", 0).about("User", None);
        self.change(origin, entry, move |connection, entry, now| {
            entry.target_name = Some(account.email.chars().take(LETTERS).collect());
            let attributes = attributes(&account)?;
            if let Some(present) = users::named(connection, account.email.trim())? {
                return Err(taken(account.email.trim(), &present));
            }
            let assignment = assignment(connection, &account)?;
            let standing = Standing {
                managed_by: ManagedBy::Manual,
                ..lifecycle::NEW
            };
            let user = Change {
                connection,
                entry: &mut *entry,
                now,
                schemas: &schemas,
            }
            .insert(attributes, standing, assignment)?;
            let account = listed(connection, &user.id)?;
            entry.changes = Some(changed(&serde_json::Value::Null, &account.fields()?));
            Ok(account)
        })
        .await
    }
}

/// The resource that SCIM shows.
fn attributes(account: &ByHand) -> Result<Object, Refusal> {
    let mut attributes = Object::new();
    let email = bounded("the email", &account.email, LETTERS)?;
    attributes.insert("userName".to_owned(), email.into());
    if let Some(name) = &account.name {
        let name = bounded("the name", name, LETTERS)?;
        attributes.insert("displayName".to_owned(), name.into());
    }
    attributes.insert("active".to_owned(), true.into());
    Ok(attributes)
}

fn assignment(connection: &Connection, account: &ByHand) -> Result<Assignment, Refusal> {
    let profile = profile_named(connection, account.profile.as_deref().unwrap_or(DEFAULT))?;
    let storage = storage_named(connection, account.storage.as_deref().unwrap_or(DEFAULT))?;
    if !storage.enabled {
        return Err(Refusal::Forbidden(format!(
            "storage {:?} is disabled; enable it or name another with --storage",
            storage.name
        )));
    }
    Ok(Assignment {
        profile: profile.id,
        storage: storage.id,
        quota_gb: account.quota_gb,
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
    Err(absent(
        "storage",
        name,
        present.map(|listed| listed.storage.name),
    ))
}

/// The refusal of a profile or storage that is not there: it says which are.
fn absent(what: &str, name: &str, present: impl Iterator<Item = String>) -> Refusal {
    let present: Vec<_> = present.map(|name| format!("{name:?}")).collect();
    Refusal::Invalid(Error::new(
        ScimType::InvalidValue,
        format!(
            "there is no {what} {name:?}; name one with --{what}: {}",
            present.join(", ")
        ),
    ))
}

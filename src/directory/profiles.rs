//! Profiles: the administrator's acts on them.

use serde_json::Value;

use super::audit::{Entry, Origin};
use super::names::{checked, in_use, taken};
use super::{Directory, Refusal, changed};
use crate::scim::{Error, ScimType};
pub use crate::store::profiles::Profile;
use crate::store::profiles::{self as table, Counts};

/// The settings of a profile that an act gives; what is none stays as it is, and is unset in a new profile. A limit of
/// `Some(None)` is taken away.
#[derive(Debug, Clone, Default)]
pub struct Settings {
    /// Another name.
    pub name: Option<String>,
    /// Active accounts that it may have.
    pub max_users: Option<Option<i64>>,
    /// Quota of its accounts in GB; 0 is unlimited.
    pub quota_gb: Option<Option<i64>>,
    /// Days after which a preserved account is deleted.
    pub delete_after_days: Option<Option<i64>>,
}

/// Days after which a preserved account is deleted at the most: a hundred years, whose end every calendar knows.
const DAYS: i64 = 36_500;

impl Settings {
    fn checked(&self) -> Result<(), Refusal> {
        match self.delete_after_days.flatten() {
            None | Some(..=DAYS) => Ok(()),
            Some(_) => Err(Refusal::Invalid(Error::new(
                ScimType::InvalidValue,
                format!("a preserved account is deleted after {DAYS} days at the most, or never"),
            ))),
        }
    }

    fn apply(self, profile: &mut Profile) {
        if let Some(name) = self.name {
            profile.name = name;
        }
        for (setting, place) in [
            (self.max_users, &mut profile.max_users),
            (self.quota_gb, &mut profile.quota_gb),
            (self.delete_after_days, &mut profile.delete_after_days),
        ] {
            if let Some(setting) = setting {
                *place = setting;
            }
        }
    }
}

/// A profile as scripts see it.
pub fn to_json(profile: &Profile) -> Value {
    // Its fields always serialise.
    serde_json::to_value(profile).unwrap_or_default()
}

impl Directory {
    /// Makes a profile.
    pub async fn add_profile(
        &self,
        origin: &Origin,
        name: &str,
        settings: Settings,
    ) -> Result<Profile, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("profile.add", 0).about("profile", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.trim().to_owned());
            let name = checked("profile", &name)?;
            settings.checked()?;
            if table::named(connection, &name)?.is_some() {
                return Err(taken("profile", &name));
            }
            let mut profile = Profile {
                id: 0,
                name,
                max_users: None,
                quota_gb: None,
                delete_after_days: None,
                accounts: Counts::default(),
            };
            settings.apply(&mut profile);
            table::write(connection, &profile)?;
            entry.changes = Some(changed(&Value::Null, &to_json(&profile)));
            Ok(profile)
        })
        .await
    }

    /// Changes the settings of a profile. Its accounts follow at once; none is preserved for a smaller limit.
    pub async fn edit_profile(
        &self,
        origin: &Origin,
        name: &str,
        mut settings: Settings,
    ) -> Result<Profile, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("profile.edit", 0).about("profile", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            if let Some(name) = &mut settings.name {
                *name = checked("profile", name)?;
            }
            settings.checked()?;
            let before = existing(connection, &name)?;
            let mut after = before.clone();
            settings.apply(&mut after);
            if after.name != before.name && table::named(connection, &after.name)?.is_some() {
                return Err(taken("profile", &after.name));
            }
            entry.record(changed(&to_json(&before), &to_json(&after)));
            table::write(connection, &after)?;
            Ok(after)
        })
        .await
    }

    /// Removes a profile that no account and no mapping has.
    pub async fn remove_profile(&self, origin: &Origin, name: &str) -> Result<(), Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("profile.remove", 0).about("profile", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            let profile = existing(connection, &name)?;
            match table::uses(connection, profile.id)? {
                (0, 0) => {}
                uses => return Err(in_use("profile", &name, uses)),
            }
            entry.changes = Some(changed(&to_json(&profile), &Value::Null));
            Ok(table::remove(connection, profile.id)?)
        })
        .await
    }

    /// All profiles, by name.
    pub fn profiles(&self) -> Result<Vec<Profile>, Refusal> {
        Ok(self.store.readers.short(table::all)?)
    }
}

/// The profile of this name.
pub(super) fn existing(connection: &rusqlite::Connection, name: &str) -> Result<Profile, Refusal> {
    table::named(connection, name)?.ok_or_else(|| Refusal::NotFound {
        what: "profile",
        id: name.to_owned(),
    })
}

//! Storages: the administrator's acts on them.

use serde_json::Value;

use super::audit::{Entry, Origin};
use super::names::{checked, in_use, taken};
use super::{Directory, Refusal, changed};
use crate::store::profiles::Counts;
use crate::store::storages as table;
pub use crate::store::storages::Storage;

/// A storage as scripts see it.
pub fn to_json(storage: &Storage) -> Value {
    // Its fields always serialise.
    serde_json::to_value(storage).unwrap_or_default()
}

impl Directory {
    /// Makes a storage, enabled.
    pub async fn add_storage(&self, origin: &Origin, name: &str) -> Result<Storage, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("storage.add", 0).about("storage", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.trim().to_owned());
            let name = checked("storage", &name)?;
            if table::named(connection, &name)?.is_some() {
                return Err(taken("storage", &name));
            }
            let storage = Storage {
                id: 0,
                name,
                enabled: true,
                accounts: Counts::default(),
            };
            table::write(connection, &storage)?;
            entry.changes = Some(changed(&Value::Null, &to_json(&storage)));
            Ok(storage)
        })
        .await
    }

    /// Enables or disables a storage. A disabled one takes no new accounts; those that it has stay.
    pub async fn edit_storage(
        &self,
        origin: &Origin,
        name: &str,
        enabled: bool,
    ) -> Result<Storage, Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("storage.edit", 0).about("storage", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            let before = existing(connection, &name)?;
            let after = Storage {
                enabled,
                ..before.clone()
            };
            entry.record(changed(&to_json(&before), &to_json(&after)));
            table::write(connection, &after)?;
            Ok(after)
        })
        .await
    }

    /// Removes a storage that no account and no mapping has.
    pub async fn remove_storage(&self, origin: &Origin, name: &str) -> Result<(), Refusal> {
        let name = name.to_owned();
        let entry = Entry::new("storage.remove", 0).about("storage", None);
        self.change(origin, entry, move |connection, entry, _| {
            entry.target_name = Some(name.clone());
            let storage = existing(connection, &name)?;
            match table::uses(connection, storage.id)? {
                (0, 0) => {}
                uses => return Err(in_use("storage", &name, uses)),
            }
            entry.changes = Some(changed(&to_json(&storage), &Value::Null));
            Ok(table::remove(connection, storage.id)?)
        })
        .await
    }

    /// All storages, by name.
    pub fn storages(&self) -> Result<Vec<Storage>, Refusal> {
        Ok(self.store.readers.short(table::all)?)
    }
}

/// The storage of this name.
pub(super) fn existing(connection: &rusqlite::Connection, name: &str) -> Result<Storage, Refusal> {
    table::named(connection, name)?.ok_or_else(|| Refusal::NotFound {
        what: "storage",
        id: name.to_owned(),
    })
}

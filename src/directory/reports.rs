//! Reports for people who answer for the accounts: what was provisioned, and what is preserved.

use serde::Serialize;

use super::Directory;
use super::accounts::{Listed, Status};
use crate::store::users::{ManagedBy, PreservedBy};
use crate::store::{self, accounts, audit, lower};

/// One account of the report on what was provisioned.
#[derive(Debug, Serialize)]
pub struct Provisioned {
    /// The person.
    pub name: String,
    /// The address.
    pub email: String,
    /// Name of the profile.
    pub profile: String,
    /// Name of the storage.
    pub storage: String,
    /// Active or preserved.
    pub status: Status,
    /// When it was created.
    pub created: String,
    /// Who looks after it.
    pub managed_by: ManagedBy,
}

/// One account of the report on what is preserved.
#[derive(Debug, Serialize)]
pub struct Preserved {
    /// The person.
    pub name: String,
    /// The address.
    pub email: String,
    /// Name of the profile.
    pub profile: String,
    /// Name of the storage.
    pub storage: String,
    /// Whether the identity provider or an administrator preserved it.
    pub mode: Option<PreservedBy>,
    /// When.
    pub preserved_on: Option<String>,
    /// The token or the administrator that did, as the audit names it.
    pub by_whom: Option<String>,
    /// When its profile deletes it; none: never, or it is under legal hold.
    pub auto_delete_on: Option<String>,
}

impl Directory {
    /// Gives every account to `each`, the oldest first. They are read on the calling thread, one at a time.
    pub fn report_provisioning<E: From<store::Error>>(
        &self,
        mut each: impl FnMut(Provisioned) -> Result<(), E>,
    ) -> Result<(), E> {
        self.report(None, |_, account| {
            each(Provisioned {
                name: account.name,
                email: account.email,
                profile: account.profile,
                storage: account.storage,
                status: account.status,
                created: account.created,
                managed_by: account.managed_by,
            })
        })
    }

    /// Gives every preserved account to `each`, the oldest first. They are read on the calling thread, one at a time.
    pub fn report_preserved<E: From<store::Error>>(
        &self,
        mut each: impl FnMut(Preserved) -> Result<(), E>,
    ) -> Result<(), E> {
        self.report(Some(Status::Preserved), |connection, account| {
            let by_whom = match (account.preserved_by, &account.preserved_at) {
                (Some(by), Some(at)) => audit::preserver(connection, &account.id, by, at)?,
                _ => None,
            };
            each(Preserved {
                name: account.name,
                email: account.email,
                profile: account.profile,
                storage: account.storage,
                mode: account.preserved_by,
                preserved_on: account.preserved_at,
                by_whom,
                auto_delete_on: account.delete_due,
            })
        })
    }

    fn report<E: From<store::Error>>(
        &self,
        status: Option<Status>,
        mut each: impl FnMut(&rusqlite::Connection, Listed) -> Result<(), E>,
    ) -> Result<(), E> {
        let everyone = lower::condition_of_accounts(None, self.schemas());
        self.store.readers.short(|connection| {
            accounts::each(connection, status, &everyone, |account| {
                each(connection, account)
            })
        })
    }
}

//! Reports for people who answer for the accounts: what was provisioned, and what is preserved.

use schemars::JsonSchema;
use serde::Serialize;

use super::accounts::{Listed, Selection, Status};
use super::paging::{Page, Span};
use super::{Directory, Refusal};
use crate::store;
use crate::store::users::{ManagedBy, PreservedBy};

/// One account of the report on what was provisioned.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ProvisionedAccount")]
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
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "PreservedAccount")]
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
    /// Why it was preserved, in a sentence.
    pub reason: Option<String>,
}

impl From<Listed> for Provisioned {
    fn from(account: Listed) -> Self {
        Self {
            name: account.name,
            email: account.email,
            profile: account.profile,
            storage: account.storage,
            status: account.status,
            created: account.created,
            managed_by: account.managed_by,
        }
    }
}

impl From<Listed> for Preserved {
    fn from(account: Listed) -> Self {
        Self {
            name: account.name,
            email: account.email,
            profile: account.profile,
            storage: account.storage,
            mode: account.preserved_by,
            preserved_on: account.preserved_at,
            by_whom: account.preserved_actor,
            auto_delete_on: account.delete_due,
            reason: account.preserved_reason,
        }
    }
}

/// What is preserved.
const PRESERVED: Selection = Selection {
    status: Some(Status::Preserved),
    filter: None,
};

impl Directory {
    /// Gives every account to `each`, the oldest first. They are read on the calling thread, one at a time.
    pub fn report_provisioning<E: From<store::Error>>(
        &self,
        mut each: impl FnMut(Provisioned) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_account(&Selection::default(), |account| each(account.into()))
    }

    /// A page of the same report.
    pub async fn provisioned(&self, span: Span) -> Result<Page<Provisioned>, Refusal> {
        let accounts = self.accounts(&Selection::default(), span).await?;
        Ok(accounts.map(Provisioned::from))
    }

    /// Gives every preserved account to `each`, the oldest first. They are read on the calling thread, one at a time.
    pub fn report_preserved<E: From<store::Error>>(
        &self,
        mut each: impl FnMut(Preserved) -> Result<(), E>,
    ) -> Result<(), E> {
        self.each_account(&PRESERVED, |account| each(account.into()))
    }

    /// A page of the same report.
    pub async fn preserved(&self, span: Span) -> Result<Page<Preserved>, Refusal> {
        let accounts = self.accounts(&PRESERVED, span).await?;
        Ok(accounts.map(Preserved::from))
    }
}

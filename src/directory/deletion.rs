//! Deleting an account for good (design §3.10): an administrator's act with a reason. Nothing brings it back; what stays
//! is its audit.

use rusqlite::Connection;
use serde_json::Value;

use super::accounts::{Listed, existing, found, listed};
use super::audit::{Entry, Origin, listed as in_words};
use super::{Directory, Refusal, changed, lifecycle};
use crate::scim::{Error, ScimType};
use crate::store::{groups, users};

/// Letters of a reason: enough to say something, few enough to read.
const REASON_LETTERS: std::ops::RangeInclusive<usize> = 10..=150;

/// What a deletion takes away.
#[derive(Debug)]
pub struct Deletion {
    /// The account as it was.
    pub account: Listed,
    /// Names of the groups that it leaves.
    pub groups: Vec<String>,
}

impl Directory {
    /// Deletes a preserved account that is under no legal hold, for a reason of 10 to 150 letters.
    pub async fn delete_account(
        &self,
        origin: &Origin,
        id: &str,
        reason: &str,
    ) -> Result<Deletion, Refusal> {
        let entry = Entry::new("account.delete", 0).about("User", Some(id));
        let (id, reason) = (id.to_owned(), reason.to_owned());
        self.change(origin, entry, move |connection, entry, now| {
            let user = existing(connection, entry, &id)?;
            entry.because(sufficient(&reason)?);
            remove(connection, entry, &user, now)
        })
        .await
    }

    /// What [`Directory::delete_account`] would take away, or why it would not. Changes nothing.
    pub fn deletion(&self, id: &str, reason: &str) -> Result<Deletion, Refusal> {
        self.store.readers.short(|connection| {
            let user = found(connection, id)?;
            sufficient(reason)?;
            lifecycle::may_be_deleted(user.standing)?;
            let groups = groups::groups_of_user(connection, user.seq)?;
            let direct = groups.into_iter().filter(|group| group.direct);
            Ok(Deletion {
                account: listed(connection, id)?,
                groups: direct.map(|group| group.display).collect(),
            })
        })
    }
}

/// The reason without blanks around it, if it is one.
fn sufficient(reason: &str) -> Result<&str, Refusal> {
    let reason = reason.trim();
    if REASON_LETTERS.contains(&reason.chars().count()) && !reason.contains(char::is_control) {
        return Ok(reason);
    }
    Err(Refusal::Invalid(Error::new(
        ScimType::InvalidValue,
        format!(
            "the reason must have {} to {} characters, and no control characters",
            REASON_LETTERS.start(),
            REASON_LETTERS.end()
        ),
    )))
}

/// Removes a user from the file, in the caller's transaction.
pub(super) fn remove(
    connection: &Connection,
    entry: &mut Entry,
    user: &users::User,
    now: jiff::Timestamp,
) -> Result<Deletion, Refusal> {
    lifecycle::may_be_deleted(user.standing)?;
    let account = listed(connection, &user.id)?;
    let groups = groups::leave_all(connection, user.seq, now)?;
    if !groups.is_empty() {
        entry.because(format!("no longer in {}", in_words(&groups)));
    }
    users::delete(connection, user)?;
    entry.changes = Some(changed(&account.fields()?, &Value::Null));
    entry.account(connection, Some(user), None)?;
    Ok(Deletion { account, groups })
}

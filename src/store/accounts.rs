//! Accounts as the local product and the administrator see them: the public view `accounts`, and the mapping that decided.

use std::ops::ControlFlow;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};
use schemars::JsonSchema;
use serde::{Serialize, Serializer};

use super::lower::Condition;
use super::users::{Assignment, ManagedBy, PreservedBy, Status, User};
use super::{Error, id, open::optional, text};

/// An account in the words of the contract for scripts (design §5); its fields are their keys.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
#[schemars(rename = "Account")]
pub struct Listed {
    /// Its place in lists.
    #[serde(skip)]
    pub seq: i64,
    /// The key to use.
    pub id: String,
    /// userName with the characters that a file name cannot hold replaced.
    pub username: String,
    /// userName.
    pub email: String,
    /// displayName, or what stands in for it.
    pub name: String,
    /// userPrincipalName.
    pub upn: Option<String>,
    /// Active or preserved.
    pub status: Status,
    /// Who preserved it.
    pub preserved_by: Option<PreservedBy>,
    /// When it was preserved.
    pub preserved_at: Option<String>,
    /// Name of its profile.
    pub profile: String,
    /// Name of its storage.
    pub storage: String,
    /// The quota in force in GB; 0 is unlimited.
    pub quota_gb: i64,
    /// Who looks after it.
    pub managed_by: ManagedBy,
    /// Name of the mapping that decided, at that time.
    pub mapping: Option<String>,
    /// Whether nobody may delete it for good.
    pub legal_hold: bool,
    /// Whether SCIM sees it.
    pub scim_visible: bool,
    /// externalId.
    pub external_id: Option<String>,
    /// When it was created.
    pub created: String,
    /// When it was changed last.
    pub modified: String,
    /// When its profile would delete it.
    #[serde(skip)]
    pub delete_due: Option<String>,
    /// The token or administrator that preserved it.
    #[serde(skip)]
    pub preserved_actor: Option<String>,
    /// Why it did, in a sentence.
    #[serde(skip)]
    pub preserved_reason: Option<String>,
}

/// The account before and after a change, as a row of the audit keeps them: JSON with all of it as it is after, and of
/// before only what was different; all of it where it is gone. They are the fields of [`Listed`], and `activation_email`:
/// whether an activation mail is wanted.
pub fn together(
    connection: &Connection,
    before: Option<&User>,
    after: Option<&User>,
) -> Result<String, Error> {
    let place = |user: &User| Place::of(connection, &user.assignment);
    let is_at = after.map(place).transpose()?;
    let moved = |before: &&User| {
        after.is_none_or(|after| {
            let (was, is) = (&before.assignment, &after.assignment);
            (was.profile, was.storage) != (is.profile, is.storage)
        })
    };
    let was_at = before.filter(moved).map(place).transpose()?;
    let is = is_at.as_ref().zip(after);
    let is = is.map(|(place, user)| fields(user, place));
    let was = was_at.as_ref().or(is_at.as_ref()).zip(before);
    let was = was.map(|(place, user)| {
        let was = fields(user, place).into_iter();
        let mut others = is.iter().flatten();
        Fields(was.filter(|field| others.next() != Some(field)).collect())
    });
    let together = Together {
        before: was,
        after: is.map(|is| Fields(is.into())),
    };
    serde_json::to_string(&together).map_err(|error| Error::Sqlite(error.to_string()))
}

/// What a row of the audit keeps of an account.
#[derive(Serialize)]
struct Together<'a> {
    before: Option<Fields<'a>>,
    after: Option<Fields<'a>>,
}

/// Names and values.
struct Fields<'a>(Vec<(&'static str, Field<'a>)>);

impl Serialize for Fields<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().map(|(name, value)| (name, value)))
    }
}

/// The value of a field.
#[derive(PartialEq, Serialize)]
#[serde(untagged)]
enum Field<'a> {
    Text(Option<&'a str>),
    #[serde(serialize_with = "written")]
    Instant(Option<Timestamp>),
    Number(i64),
    Flag(bool),
}

/// An instant as the tables hold it.
fn written<S: Serializer>(at: &Option<Timestamp>, serializer: S) -> Result<S::Ok, S::Error> {
    at.map(text::instant).serialize(serializer)
}

/// What the assignment of an account means to the local product.
struct Place {
    profile: String,
    storage: String,
    /// Quota of the profile.
    quota_gb: Option<i64>,
}

impl Place {
    fn of(connection: &Connection, assignment: &Assignment) -> Result<Self, Error> {
        let mut statement = connection.prepare_cached(
            "SELECT profile.name, storage.name, profile.quota_gb FROM profile, storage
             WHERE profile.id = ?1 AND storage.id = ?2",
        )?;
        let row = [assignment.profile, assignment.storage];
        Ok(statement.query_row(row, |row| {
            Ok(Self {
                profile: row.get(0)?,
                storage: row.get(1)?,
                quota_gb: row.get(2)?,
            })
        })?)
    }
}

/// The fields of the account of `user`, as the view `accounts` would give them.
fn fields<'a>(user: &'a User, place: &'a Place) -> [(&'static str, Field<'a>); 19] {
    let text = |value| Field::Text(Some(value));
    let (account, standing, assignment) = (&user.account, &user.standing, &user.assignment);
    let (by, at) = standing.preserved.unzip();
    let quota_gb = assignment.quota_gb.or(place.quota_gb).unwrap_or(0);
    [
        ("id", text(&user.id)),
        ("username", text(&account.username)),
        ("email", text(&account.email)),
        ("name", text(&account.name)),
        ("upn", Field::Text(account.upn.as_deref())),
        ("status", text(standing.status().as_str())),
        ("preserved_by", Field::Text(by.map(PreservedBy::as_str))),
        ("preserved_at", Field::Instant(at)),
        ("profile", text(&place.profile)),
        ("storage", text(&place.storage)),
        ("quota_gb", Field::Number(quota_gb)),
        ("managed_by", text(standing.managed_by.as_str())),
        ("mapping", Field::Text(assignment.mapping.as_deref())),
        ("legal_hold", Field::Flag(standing.legal_hold)),
        ("scim_visible", Field::Flag(standing.visible)),
        ("external_id", Field::Text(user.text("externalId"))),
        ("created", Field::Instant(Some(user.created))),
        ("modified", Field::Instant(Some(user.modified))),
        ("activation_email", Field::Flag(assignment.activation_email)),
    ]
}

impl Listed {
    /// The fields as the audit compares them: without `modified`, which the row says itself.
    pub fn fields(&self) -> Result<serde_json::Value, Error> {
        let mut fields =
            serde_json::to_value(self).map_err(|error| Error::Sqlite(error.to_string()))?;
        if let Some(fields) = fields.as_object_mut() {
            fields.shift_remove("modified");
        }
        Ok(fields)
    }
}

/// What every statement here selects.
const SELECT: &str = "SELECT accounts.id, accounts.username, accounts.email, accounts.name, accounts.upn,
     accounts.status, accounts.preserved_by, accounts.preserved_at, accounts.profile, accounts.storage,
     accounts.quota_gb, accounts.managed_by, owner.mapping, accounts.legal_hold, accounts.scim_visible,
     accounts.external_id, accounts.created, accounts.modified, accounts.delete_due, owner.seq,
     owner.preserved_actor, owner.preserved_reason";

fn read(row: &Row<'_>) -> Result<Listed, rusqlite::Error> {
    Ok(Listed {
        id: row.get(0)?,
        username: row.get(1)?,
        email: row.get(2)?,
        name: row.get(3)?,
        upn: row.get(4)?,
        status: row.get(5)?,
        preserved_by: row.get(6)?,
        preserved_at: row.get(7)?,
        profile: row.get(8)?,
        storage: row.get(9)?,
        quota_gb: row.get(10)?,
        managed_by: row.get(11)?,
        mapping: row.get(12)?,
        legal_hold: row.get(13)?,
        scim_visible: row.get(14)?,
        external_id: row.get(15)?,
        created: row.get(16)?,
        modified: row.get(17)?,
        delete_due: row.get(18)?,
        seq: row.get(19)?,
        preserved_actor: row.get(20)?,
        preserved_reason: row.get(21)?,
    })
}

/// The account with this id.
pub fn get(connection: &Connection, id: &str) -> Result<Option<Listed>, Error> {
    let sql = format!(
        "{SELECT} FROM user AS owner JOIN accounts ON accounts.id = owner.id
         WHERE owner.seq = ?1 AND owner.id = ?2"
    );
    optional(
        connection
            .prepare_cached(&sql)?
            .query_row(id::key(id), read),
    )
}

/// Ids of at most `most` accounts that their profiles would have deleted by `now`.
pub fn due(connection: &Connection, now: Timestamp, most: usize) -> Result<Vec<String>, Error> {
    // Where no profile deletes anything, no account is read.
    let mut statement = connection.prepare_cached(
        "SELECT id FROM accounts WHERE EXISTS (SELECT 1 FROM profile WHERE delete_after_days IS NOT NULL)
             AND delete_due <= ?1 LIMIT ?2",
    )?;
    let most = i64::try_from(most).unwrap_or(i64::MAX);
    let rows = statement.query_map((text::instant(now), most), |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives each account of this status, of any if there is none, that `condition` selects to `each`, the oldest behind row
/// `after` first, until `each` has enough.
pub fn each<E: From<Error>>(
    connection: &Connection,
    status: Option<Status>,
    condition: &Condition,
    after: i64,
    mut each: impl FnMut(Listed) -> Result<ControlFlow<()>, E>,
) -> Result<(), E> {
    let status = status.map_or(Value::Null, |status| status.as_str().to_owned().into());
    let span = [after.into(), status];
    let parameters = span.iter().chain(&condition.parameters);
    condition.run(connection, &sql_of_each(condition), |statement| {
        let rows = statement
            .query_map(params_from_iter(parameters), read)
            .map_err(Error::from)?;
        for row in rows {
            if each(row.map_err(Error::from)?)?.is_break() {
                break;
            }
        }
        Ok(())
    })
}

/// What [`each`] asks; its parameters are a row number, a status or null, and those of the condition.
pub fn sql_of_each(condition: &Condition) -> String {
    // The condition has a query of its own, in which its bare column names mean those of `user`. CROSS JOIN keeps the
    // order of the tables, so that rows come as they are found and nothing is sorted or held.
    format!(
        "{SELECT} FROM (SELECT seq, id, mapping, preserved_actor, preserved_reason
             FROM user WHERE seq > ? AND coalesce(status = ?, 1) AND {}
             ORDER BY seq) AS owner
         CROSS JOIN accounts ON accounts.id = owner.id ORDER BY owner.seq",
        condition.sql
    )
}

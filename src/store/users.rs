//! Statements over `user` and `user_email`.

use jiff::Timestamp;
use rusqlite::{Connection, Params, Row, params, params_from_iter};
use serde_json::Value;

use super::list::Stored;
use super::lower::Condition;
use super::text::{self, words};
use super::{Error, id, open::optional};
use crate::scim::Object;
use crate::scim::fold::fold;

words! {
    /// Whether the local product serves the account.
    Status {
        /// In use.
        Active = "active",
        /// Stopped, with everything kept.
        Preserved = "preserved",
    }
}

words! {
    /// Who preserved an account.
    PreservedBy {
        /// The identity provider, by `active: false` or DELETE.
        Idp = "idp",
        /// An administrator; the identity provider cannot undo it.
        Admin = "admin",
    }
}

words! {
    /// Who looks after an account.
    ManagedBy {
        /// The identity provider.
        Idp = "idp",
        /// An administrator, by hand, until the identity provider adopts it.
        Manual = "manual",
    }
}

/// The account's own words, derived from the resource (design §3.1).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Account {
    /// userName with the characters that a file name cannot hold replaced.
    pub username: String,
    /// userName.
    pub email: String,
    /// displayName, or what stands in for it, with the same replacement.
    pub name: String,
    /// The extension's userPrincipalName.
    pub upn: Option<String>,
}

/// Where an account stands in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Standing {
    /// Who preserved it and when; none: it is active.
    pub preserved: Option<(PreservedBy, Timestamp)>,
    /// Who looks after it.
    pub managed_by: ManagedBy,
    /// Whether SCIM sees it: false after DELETE.
    pub visible: bool,
    /// Whether nobody may delete it for good.
    pub legal_hold: bool,
}

impl Standing {
    /// The word for the account's status.
    pub fn status(&self) -> Status {
        match self.preserved {
            None => Status::Active,
            Some(_) => Status::Preserved,
        }
    }
}

/// What the account was given: by a mapping when it was created, or by hand.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Assignment {
    /// Row of `profile`.
    pub profile: i64,
    /// Row of `storage`.
    pub storage: i64,
    /// The account's own quota in GB; 0 is unlimited; none follows the profile.
    pub quota_gb: Option<i64>,
    /// Name of the mapping that decided; none if an administrator did.
    pub mapping: Option<String>,
    /// Whether the local product shall send an activation mail.
    pub activation_email: bool,
}

/// One row of `user`.
#[derive(Debug, Clone, PartialEq)]
pub struct User {
    /// Row number, in the order of creation.
    pub seq: i64,
    /// The resource's id, as [`id::next`] gives it.
    pub id: String,
    /// The attributes as sent.
    pub resource: Object,
    /// Counts the changes; the entity tag.
    pub version: i64,
    /// The account's words.
    pub account: Account,
    /// Where it stands.
    pub standing: Standing,
    /// What it was given.
    pub assignment: Assignment,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
}

impl User {
    /// The resource's text attribute `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.resource.get(name).and_then(Value::as_str)
    }

    /// What the members of a group show of the user.
    pub fn display(&self) -> &str {
        self.text("displayName").unwrap_or(&self.account.name)
    }

    /// Its row as lists read it; `resource` is the text of its attributes.
    pub fn stored(&self, resource: String) -> Stored {
        let instants = [self.created, self.modified];
        Stored::new(self.seq, &self.id, resource, self.version, instants)
    }

    fn email_keys(&self) -> Vec<String> {
        let emails = self.resource.get("emails").and_then(Value::as_array);
        let values = emails.into_iter().flatten();
        let mut keys: Vec<String> = values
            .filter_map(|email| email.get("value")?.as_str())
            .map(|value| fold(value).into_owned())
            .collect();
        keys.sort_unstable();
        keys.dedup();
        keys
    }
}

/// `text` with each of `? * / \ < >` replaced by `_` (design §3.1), and each control character, which would end a line
/// or a text in the programs that read accounts.
pub fn sanitised(text: &str) -> String {
    text.replace(|c: char| c.is_control() || "?*/\\<>".contains(c), "_")
}

/// The key of the account's name that a userName gives.
pub fn username_key(user_name: &str) -> String {
    fold(&sanitised(user_name)).into_owned()
}

/// The table, as SQL writes it.
pub const TABLE: &str = "user";
/// Which of its rows SCIM sees.
pub const VISIBLE: &str = "scim_visible = 1";
/// The columns that [`read`] takes, in its order.
const COLUMNS: &str = "user.id, user.resource, user.version, user.username, user.email, user.name, user.upn,
    user.preserved_by, user.preserved_at, user.managed_by, user.scim_visible, user.profile, user.storage,
    user.quota_gb, user.mapping, user.activation_email, user.created, user.modified, user.seq,
    user.legal_hold";

/// Reads a row of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<User, rusqlite::Error> {
    let resource = row.get_ref(1)?.as_str()?;
    let instant = |column| text::parse_instant(column, row.get_ref(column)?.as_str()?);
    let preserved = match row.get::<_, Option<PreservedBy>>(7)? {
        Some(by) => Some((by, instant(8)?)),
        None => None,
    };
    Ok(User {
        seq: row.get(18)?,
        id: row.get(0)?,
        resource: text::parse_object(1, resource)?,
        version: row.get(2)?,
        account: Account {
            username: row.get(3)?,
            email: row.get(4)?,
            name: row.get(5)?,
            upn: row.get(6)?,
        },
        standing: Standing {
            preserved,
            managed_by: row.get(9)?,
            visible: row.get(10)?,
            legal_hold: row.get(19)?,
        },
        assignment: Assignment {
            profile: row.get(11)?,
            storage: row.get(12)?,
            quota_gb: row.get(13)?,
            mapping: row.get(14)?,
            activation_email: row.get(15)?,
        },
        created: instant(16)?,
        modified: instant(17)?,
    })
}

fn one(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> Result<Option<User>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM user WHERE {condition}");
    optional(connection.prepare_cached(&sql)?.query_row(values, read))
}

/// The user with this id, hidden or not.
pub fn get(connection: &Connection, id: &str) -> Result<Option<User>, Error> {
    one(connection, "seq = ?1 AND id = ?2", id::key(id))
}

/// The user that SCIM sees under `id`.
pub fn visible(connection: &Connection, id: &str) -> Result<Option<User>, Error> {
    let visible = "seq = ?1 AND id = ?2 AND scim_visible = 1";
    one(connection, visible, id::key(id))
}

/// The visible user with this userName, else the one whose account has the name that it gives.
pub fn named(connection: &Connection, user_name: &str) -> Result<Option<User>, Error> {
    namesake(connection, user_name, "")
}

/// The same, beside the user with this id: what the id's user cannot be called for.
pub fn namesake(connection: &Connection, user_name: &str, id: &str) -> Result<Option<User>, Error> {
    let find = |column: &str, key: &str| {
        let sql = format!(
            "SELECT {COLUMNS} FROM user WHERE {column} = ?1 AND scim_visible = 1 AND id <> ?2"
        );
        optional(connection.prepare_cached(&sql)?.query_row([key, id], read))
    };
    match find("user_name_key", &fold(user_name))? {
        Some(user) => Ok(Some(user)),
        None => find("username_key", &username_key(user_name)),
    }
}

/// The hidden account with this externalId that was removed last (design §8, who comes back).
pub fn hidden_by_external_id(
    connection: &Connection,
    external_id: &str,
) -> Result<Option<User>, Error> {
    one(
        connection,
        "external_id = ?1 AND scim_visible = 0 ORDER BY removed DESC LIMIT 1",
        [external_id],
    )
}

/// The hidden account with this userName and no externalId that was removed last.
pub fn hidden_by_user_name(
    connection: &Connection,
    user_name: &str,
) -> Result<Option<User>, Error> {
    one(
        connection,
        "user_name_key = ?1 AND scim_visible = 0 AND external_id IS NULL
         ORDER BY removed DESC LIMIT 1",
        [fold(user_name)],
    )
}

/// Whether there is a hidden account with this userName and this externalId, or without one.
pub fn hidden_same(
    connection: &Connection,
    user_name: &str,
    external_id: Option<&str>,
) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT 1 FROM user WHERE user_name_key = ?1 AND scim_visible = 0 AND external_id IS ?2",
    )?;
    Ok(statement.exists((fold(user_name), external_id))?)
}

/// Ids of the hidden accounts of the name that this userName gives, the oldest first.
pub fn hidden_ids(connection: &Connection, user_name: &str) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT id FROM user WHERE username_key = ?1 AND scim_visible = 0 ORDER BY seq",
    )?;
    let rows = statement.query_map([username_key(user_name)], |row| row.get(0))?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// Gives the users that SCIM sees and `condition` selects to `each`, one at a time and the oldest first: those behind row
/// `after`, `most` of them if that is said.
pub fn each_present<E: From<Error>>(
    connection: &Connection,
    condition: &Condition,
    after: i64,
    most: Option<u64>,
    mut each: impl FnMut(User) -> Result<(), E>,
) -> Result<(), E> {
    let most = most.and_then(|most| i64::try_from(most).ok()).unwrap_or(-1);
    let (after, most) = (after.into(), most.into());
    let parameters = std::iter::once(&after)
        .chain(&condition.parameters)
        .chain([&most]);
    condition.run(connection, &sql_of_present(condition), |statement| {
        let rows = statement
            .query_map(params_from_iter(parameters), read)
            .map_err(Error::from)?;
        for row in rows {
            each(row.map_err(Error::from)?)?;
        }
        Ok(())
    })
}

/// What [`each_present`] asks; its parameters are a row number, those of the condition, and how many to take.
pub fn sql_of_present(condition: &Condition) -> String {
    format!(
        "SELECT {COLUMNS} FROM user WHERE {VISIBLE} AND seq > ? AND {} ORDER BY seq LIMIT ?",
        condition.sql
    )
}

/// Takes a user out of the file for good, with its addresses and memberships.
pub fn delete(connection: &Connection, user: &User) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM user WHERE seq = ?1")?
        .execute([user.seq])?;
    Ok(())
}

/// Who writes a user, and why it is preserved then, where it was not so before.
#[derive(Debug, Clone, Copy)]
pub struct Author<'a> {
    /// The token or administrator, as the audit names it.
    pub actor: &'a str,
    /// The reason, in a sentence.
    pub reason: &'a str,
    /// The row of `audit` that tells of it.
    pub row: i64,
}

/// Adds a user, whose resource is `text` as JSON, and gives its row, without what lists do not read.
/// Where it is preserved, `author` did that.
pub fn insert(
    connection: &Connection,
    user: &User,
    text: String,
    author: Author<'_>,
) -> Result<Stored, Error> {
    write(
        connection,
        "INSERT INTO user (id, resource, user_name_key, username_key, display_name_key, external_id, version, username,
             email, name, upn, status, preserved_by, preserved_at, profile, storage, quota_gb, mapping,
             activation_email, managed_by, scim_visible, legal_hold, created, modified, preserved_actor,
             preserved_reason, removed, seq)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14, ?15, ?16, ?17, ?18, ?19, ?20, ?21, ?22,
             ?23, ?24, CASE WHEN ?13 IS NOT NULL THEN ?25 END, CASE WHEN ?13 IS NOT NULL THEN ?26 END,
             iif(?21, NULL, ?27), ?28)",
        user,
        &text,
        author,
    )?;
    insert_emails(connection, user)?;
    Ok(user.stored(text))
}

/// What of a user's row a change touches besides its resource, its version and its instant. Columns that are set have
/// their indexes written again, whether or not they differ.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Touched {
    /// Any other column.
    pub columns: bool,
    /// The addresses.
    pub emails: bool,
}

impl Touched {
    /// Columns alone: what an administrator does.
    pub const COLUMNS: Self = Self {
        columns: true,
        emails: false,
    };
}

/// Writes a user, whose resource is `text` as JSON, over its row and gives the row that it has then, without what lists do
/// not read. Where it is preserved as it was not before, `author` did that.
pub fn update(
    connection: &Connection,
    user: &User,
    text: String,
    touched: Touched,
    author: Author<'_>,
) -> Result<Stored, Error> {
    let stored = user.stored(text);
    if touched.columns {
        update_columns(connection, user, &stored.resource, author)?;
    } else {
        connection
            .prepare_cached(
                "UPDATE user SET resource = ?2, version = ?3, modified = ?4 WHERE seq = ?1",
            )?
            .execute((user.seq, &stored.resource, user.version, &stored.modified))?;
    }
    if touched.emails {
        connection
            .prepare_cached("DELETE FROM user_email WHERE user = ?1")?
            .execute([user.seq])?;
        insert_emails(connection, user)?;
    }
    Ok(stored)
}

fn update_columns(
    connection: &Connection,
    user: &User,
    text: &str,
    author: Author<'_>,
) -> Result<(), Error> {
    write(
        connection,
        "UPDATE user SET resource = ?2, user_name_key = ?3, username_key = ?4, display_name_key = ?5, external_id = ?6,
             version = ?7, username = ?8, email = ?9, name = ?10, upn = ?11, status = ?12, preserved_by = ?13,
             preserved_at = ?14, profile = ?15, storage = ?16, quota_gb = ?17, mapping = ?18, activation_email = ?19,
             managed_by = ?20, scim_visible = ?21, legal_hold = ?22, created = ?23, modified = ?24,
             preserved_actor = CASE
                 WHEN ?13 IS NULL THEN NULL WHEN ?13 IS preserved_by THEN preserved_actor ELSE ?25 END,
             preserved_reason = CASE
                 WHEN ?13 IS NULL THEN NULL WHEN ?13 IS preserved_by THEN preserved_reason ELSE ?26 END,
             removed = iif(?21, NULL, coalesce(removed, ?27))
         WHERE seq = ?28",
        user,
        text,
        author,
    )
}

/// Runs a statement that sets all columns of a row of `user`, its resource as `text`. Parameters go by place: SQLite looks
/// names up one by one. Nothing is returned: SQLite would make a table for it.
fn write(
    connection: &Connection,
    sql: &str,
    user: &User,
    text: &str,
    author: Author<'_>,
) -> Result<(), Error> {
    let user_name = user.text("userName").unwrap_or_default();
    let (account, standing, assignment) = (&user.account, &user.standing, &user.assignment);
    connection.prepare_cached(sql)?.execute(params![
        user.id,
        text,
        fold(user_name),
        username_key(user_name),
        user.text("displayName").map(fold),
        user.text("externalId"),
        user.version,
        account.username,
        account.email,
        account.name,
        account.upn,
        standing.status(),
        standing.preserved.map(|(by, _)| by),
        standing.preserved.map(|(_, at)| text::instant(at)),
        assignment.profile,
        assignment.storage,
        assignment.quota_gb,
        assignment.mapping,
        assignment.activation_email,
        standing.managed_by,
        standing.visible,
        standing.legal_hold,
        text::instant(user.created),
        text::instant(user.modified),
        author.actor,
        author.reason,
        author.row,
        user.seq,
    ])?;
    Ok(())
}

fn insert_emails(connection: &Connection, user: &User) -> Result<(), Error> {
    let mut insert =
        connection.prepare_cached("INSERT INTO user_email (user, value_key) VALUES (?1, ?2)")?;
    for key in user.email_keys() {
        insert.execute((user.seq, key))?;
    }
    Ok(())
}

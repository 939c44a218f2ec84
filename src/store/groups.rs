//! Statements over `group`, `group_user` and `group_group`. Members are rows: a change of one never reads the others.

use std::collections::BTreeMap;

use jiff::Timestamp;
use rusqlite::{Connection, Params, Row, params};
use serde_json::Value;

use super::list::Stored;
use super::{Error, open::optional};
use super::{id, text};
use crate::scim::Object;
use crate::scim::fold::fold;
use crate::scim::schema::ResourceType;

/// One row of `group`.
#[derive(Debug, Clone, PartialEq)]
pub struct Group {
    /// Row number, in the order of creation.
    pub seq: i64,
    /// The resource's id, as [`id::next`] gives it.
    pub id: String,
    /// The attributes as sent, without members.
    pub resource: Object,
    /// Counts the changes; the entity tag.
    pub version: i64,
    /// When it was created.
    pub created: Timestamp,
    /// When it was changed last.
    pub modified: Timestamp,
}

impl Group {
    /// The resource's text attribute `name`.
    pub fn text(&self, name: &str) -> Option<&str> {
        self.resource.get(name).and_then(Value::as_str)
    }

    /// Its row as lists read it; `resource` is the text of its attributes.
    pub fn stored(&self, resource: String) -> Stored {
        let instants = [self.created, self.modified];
        Stored::new(self.seq, &self.id, resource, self.version, instants)
    }
}

/// The table, as SQL writes it.
pub const TABLE: &str = "\"group\"";
/// Which of its rows SCIM sees: all.
pub const VISIBLE: &str = "1";
/// The columns that [`read`] takes, in its order.
const COLUMNS: &str = "seq, id, resource, version, created, modified";

/// Reads a row of [`COLUMNS`].
fn read(row: &Row<'_>) -> Result<Group, rusqlite::Error> {
    let instant = |column| text::parse_instant(column, row.get_ref(column)?.as_str()?);
    let resource = row.get_ref(2)?.as_str()?;
    Ok(Group {
        seq: row.get(0)?,
        id: row.get(1)?,
        resource: text::parse_object(2, resource)?,
        version: row.get(3)?,
        created: instant(4)?,
        modified: instant(5)?,
    })
}

fn one(
    connection: &Connection,
    condition: &str,
    values: impl Params,
) -> Result<Option<Group>, Error> {
    let sql = format!("SELECT {COLUMNS} FROM \"group\" WHERE {condition}");
    optional(connection.prepare_cached(&sql)?.query_row(values, read))
}

/// The group with this id.
pub fn get(connection: &Connection, id: &str) -> Result<Option<Group>, Error> {
    one(connection, "seq = ?1 AND id = ?2", id::key(id))
}

/// The group with this displayName, in any letter case.
pub fn named(connection: &Connection, display_name: &str) -> Result<Option<Group>, Error> {
    one(connection, "display_name_key = ?1", [fold(display_name)])
}

/// Adds a group, whose resource is `text` as JSON, and gives its row.
pub fn insert(connection: &Connection, group: &Group, text: String) -> Result<Stored, Error> {
    write(
        connection,
        "INSERT INTO \"group\" (seq, id, resource, display_name_key, external_id, version, created, modified)
         VALUES (?1, ?2, ?3, ?4, ?5, ?6, ?7, ?8)",
        group,
        text,
    )
}

/// Writes a group, whose resource is `text` as JSON, over its row and gives the row that it has then.
pub fn update(connection: &Connection, group: &Group, text: String) -> Result<Stored, Error> {
    write(
        connection,
        "UPDATE \"group\" SET resource = ?3, display_name_key = ?4, external_id = ?5, version = ?6, created = ?7,
             modified = ?8
         WHERE seq = ?1",
        group,
        text,
    )
}

fn write(connection: &Connection, sql: &str, group: &Group, text: String) -> Result<Stored, Error> {
    let display_name = group.text("displayName").unwrap_or_default();
    let stored = group.stored(text);
    connection.prepare_cached(sql)?.execute(params![
        stored.seq,
        stored.id,
        stored.resource,
        fold(display_name),
        group.text("externalId"),
        stored.version,
        stored.created,
        stored.modified,
    ])?;
    Ok(stored)
}

/// Removes a group; who was a member is no more.
pub fn delete(connection: &Connection, group: &Group) -> Result<(), Error> {
    connection
        .prepare_cached("DELETE FROM \"group\" WHERE seq = ?1")?
        .execute([group.seq])?;
    Ok(())
}

/// Who can be a member: a visible user or a group.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemberRow {
    /// Of which table.
    pub kind: ResourceType,
    /// In which row.
    pub seq: i64,
}

/// The visible user or the group with this id.
pub fn find_member(connection: &Connection, id: &str) -> Result<Option<MemberRow>, Error> {
    let (seq, id) = id::key(id);
    let find = |sql, kind| -> Result<Option<MemberRow>, Error> {
        let mut statement = connection.prepare_cached(sql)?;
        let found = statement.exists((seq, id))?;
        Ok(found.then_some(MemberRow { kind, seq }))
    };
    let user = find(
        "SELECT 1 FROM user WHERE seq = ?1 AND id = ?2 AND scim_visible = 1",
        ResourceType::User,
    )?;
    match user {
        Some(user) => Ok(Some(user)),
        None => find(
            "SELECT 1 FROM \"group\" WHERE seq = ?1 AND id = ?2",
            ResourceType::Group,
        ),
    }
}

/// The members of a group, by their ids.
pub fn member_ids(
    connection: &Connection,
    group: i64,
) -> Result<BTreeMap<String, MemberRow>, Error> {
    let mut members = BTreeMap::new();
    for (kind, sql) in [
        (
            ResourceType::User,
            "SELECT user.id, user.seq FROM group_user JOIN user ON user.seq = group_user.user WHERE \"group\" = ?1",
        ),
        (
            ResourceType::Group,
            "SELECT sub.id, sub.seq FROM group_group JOIN \"group\" AS sub ON sub.seq = group_group.subgroup
             WHERE group_group.\"group\" = ?1",
        ),
    ] {
        let mut statement = connection.prepare_cached(sql)?;
        let rows = statement.query_map([group], |row| {
            let seq = row.get(1)?;
            Ok((row.get(0)?, MemberRow { kind, seq }))
        })?;
        for row in rows {
            let (id, member) = row?;
            members.insert(id, member);
        }
    }
    Ok(members)
}

/// Takes all members out of a group.
pub fn clear(connection: &Connection, group: i64) -> Result<(), Error> {
    for sql in [
        "DELETE FROM group_user WHERE \"group\" = ?1",
        "DELETE FROM group_group WHERE \"group\" = ?1",
    ] {
        connection.prepare_cached(sql)?.execute([group])?;
    }
    Ok(())
}

/// Makes `member` one of `group`. `false` if it was one.
pub fn add_member(connection: &Connection, group: i64, member: MemberRow) -> Result<bool, Error> {
    let sql = match member.kind {
        ResourceType::User => "INSERT OR IGNORE INTO group_user (\"group\", user) VALUES (?1, ?2)",
        ResourceType::Group => {
            "INSERT OR IGNORE INTO group_group (\"group\", subgroup) VALUES (?1, ?2)"
        }
    };
    let changed = connection
        .prepare_cached(sql)?
        .execute((group, member.seq))?;
    Ok(changed > 0)
}

/// Takes `member` out of `group`. `false` if it was not in it.
pub fn remove_member(
    connection: &Connection,
    group: i64,
    member: MemberRow,
) -> Result<bool, Error> {
    let sql = match member.kind {
        ResourceType::User => "DELETE FROM group_user WHERE \"group\" = ?1 AND user = ?2",
        ResourceType::Group => "DELETE FROM group_group WHERE \"group\" = ?1 AND subgroup = ?2",
    };
    let changed = connection
        .prepare_cached(sql)?
        .execute((group, member.seq))?;
    Ok(changed > 0)
}

/// Another resource as a `members` or `groups` element shows it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Reference {
    /// What it is.
    pub kind: ResourceType,
    /// Its id.
    pub id: String,
    /// Its name.
    pub display: String,
    /// Whether it is a member itself, and not by way of another group.
    pub direct: bool,
}

fn references(
    connection: &Connection,
    sql: &str,
    seq: i64,
    kind: ResourceType,
) -> Result<Vec<Reference>, Error> {
    let mut statement = connection.prepare_cached(sql)?;
    let rows = statement.query_map([seq], |row| {
        Ok(Reference {
            kind,
            id: row.get(0)?,
            display: row.get(1)?,
            direct: row.get(2)?,
        })
    })?;
    Ok(rows.collect::<Result<_, _>>()?)
}

/// The members of a group: its users, then its groups, each in the order of their creation.
pub fn members(connection: &Connection, group: i64) -> Result<Vec<Reference>, Error> {
    let mut members = references(
        connection,
        "SELECT user.id, coalesce(user.resource ->> '$.displayName', user.name), 1
         FROM group_user JOIN user ON user.seq = group_user.user WHERE \"group\" = ?1 ORDER BY user.seq",
        group,
        ResourceType::User,
    )?;
    members.extend(references(
        connection,
        "SELECT sub.id, sub.resource ->> '$.displayName', 1
         FROM group_group JOIN \"group\" AS sub ON sub.seq = group_group.subgroup
         WHERE group_group.\"group\" = ?1 ORDER BY sub.seq",
        group,
        ResourceType::Group,
    )?);
    Ok(members)
}

/// How many members a group has.
pub fn member_count(connection: &Connection, group: i64) -> Result<i64, Error> {
    Ok(connection
        .prepare_cached(
            "SELECT (SELECT count(*) FROM group_user WHERE \"group\" = ?1)
                  + (SELECT count(*) FROM group_group WHERE \"group\" = ?1)",
        )?
        .query_row([group], |row| row.get(0))?)
}

/// The groups that a user belongs to, itself or by way of another group, in the order of their creation.
pub fn groups_of_user(connection: &Connection, user: i64) -> Result<Vec<Reference>, Error> {
    let direct = references(
        connection,
        "SELECT \"group\".id, \"group\".resource ->> '$.displayName', 1
         FROM group_user JOIN \"group\" ON \"group\".seq = group_user.\"group\" WHERE user = ?1
         ORDER BY group_user.\"group\"",
        user,
        ResourceType::Group,
    )?;
    // Groups in groups are rare, and looked for in a way that costs more than all else of a lookup.
    if direct.is_empty() || !is_in_subgroup(connection, user)? {
        return Ok(direct);
    }
    references(
        connection,
        "WITH RECURSIVE above (seq, direct) AS (
             SELECT \"group\", 1 FROM group_user WHERE user = ?1
             UNION
             SELECT group_group.\"group\", 0 FROM group_group JOIN above ON group_group.subgroup = above.seq
         )
         SELECT \"group\".id, \"group\".resource ->> '$.displayName', max(above.direct)
         FROM above JOIN \"group\" USING (seq) GROUP BY \"group\".seq ORDER BY \"group\".seq",
        user,
        ResourceType::Group,
    )
}

/// Whether the user belongs to a group that belongs to another.
fn is_in_subgroup(connection: &Connection, user: i64) -> Result<bool, Error> {
    let mut statement = connection.prepare_cached(
        "SELECT EXISTS (SELECT 1 FROM group_user JOIN group_group ON group_group.subgroup = group_user.\"group\"
         WHERE user = ?1)",
    )?;
    Ok(statement.query_row([user], |row| row.get(0))?)
}

/// Counts a change in each group that has the user as a member. Tells their names.
pub fn touch_of_user(
    connection: &Connection,
    user: i64,
    now: Timestamp,
) -> Result<Vec<String>, Error> {
    let mut statement = connection.prepare_cached(
        "UPDATE \"group\" SET version = version + 1, modified = ?2
         WHERE seq IN (SELECT \"group\" FROM group_user WHERE user = ?1) RETURNING resource ->> '$.displayName'",
    )?;
    let names = statement.query_map((user, text::instant(now)), |row| row.get(0))?;
    Ok(names.collect::<Result<_, _>>()?)
}

/// Takes a user out of every group, each of which thereby changes at `now`. Tells the names of the groups.
pub fn leave_all(connection: &Connection, user: i64, now: Timestamp) -> Result<Vec<String>, Error> {
    let names = touch_of_user(connection, user, now)?;
    if !names.is_empty() {
        connection
            .prepare_cached("DELETE FROM group_user WHERE user = ?1")?
            .execute([user])?;
    }
    Ok(names)
}

/// Counts a change in each group that has `group` as a member.
pub fn touch_parents(connection: &Connection, group: i64, now: Timestamp) -> Result<(), Error> {
    connection
        .prepare_cached(
            "UPDATE \"group\" SET version = version + 1, modified = ?2
             WHERE seq IN (SELECT \"group\" FROM group_group WHERE subgroup = ?1)",
        )?
        .execute((group, text::instant(now)))?;
    Ok(())
}

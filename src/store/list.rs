//! One page of a table's resources, by index or by cursor, sorted or in the order of creation. One mechanism for users
//! and groups.
//!
//! Where SQL alone can tell what matches and in which order, SQL pages. Otherwise each row that the condition leaves is
//! judged in memory, and only the ranks of one page are held.

#[cfg(test)]
mod tests;

use std::collections::BinaryHeap;

use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::lower::Condition;
use super::{Error, groups, open::optional, text, users};
use crate::scim::Object;
use crate::scim::query::sort::Rank;
use crate::scim::schema::ResourceType;

/// Bytes of stored resources on a page at the most, whatever their number; a page has one at the least. What a page
/// leaves out for this, the next one has.
pub const PAGE_BYTES: usize = 8 * 1024 * 1024;

/// A resource as it is stored: its text, which nobody has read.
#[derive(Debug, Clone)]
pub struct Stored {
    /// Row number, in the order of creation.
    pub seq: i64,
    /// The resource's id.
    pub id: String,
    /// The attributes as sent: a JSON object.
    pub resource: String,
    /// Counts the changes.
    pub version: i64,
    /// When it was created, RFC 3339.
    pub created: String,
    /// When it was changed last, RFC 3339.
    pub modified: String,
}

impl Stored {
    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            resource: row.get(2)?,
            version: row.get(3)?,
            created: row.get(4)?,
            modified: row.get(5)?,
        })
    }

    /// The attributes, read.
    pub fn attributes(&self) -> Result<Object, Error> {
        Ok(text::parse_object(2, &self.resource)?)
    }
}

/// The columns that [`Stored::read`] takes, in its order.
const COLUMNS: &str = "seq, id, resource, version, created, modified";

/// A table of resources.
pub struct Table {
    /// Its name, as SQL writes it.
    pub name: &'static str,
    /// Which rows SCIM sees.
    pub visible: &'static str,
}

/// The users that SCIM sees.
const USERS: Table = Table {
    name: users::TABLE,
    visible: users::VISIBLE,
};

/// The groups.
const GROUPS: Table = Table {
    name: groups::TABLE,
    visible: groups::VISIBLE,
};

/// The table of a resource type.
pub fn table(resource_type: ResourceType) -> &'static Table {
    match resource_type {
        ResourceType::User => &USERS,
        ResourceType::Group => &GROUPS,
    }
}

/// Where a page starts.
pub enum Start {
    /// Behind so many resources.
    Index(u64),
    /// At the first resource, with a cursor for the next page.
    First,
    /// Behind the resource of this rank.
    After(Rank),
}

/// A page.
#[derive(Debug)]
pub struct Page {
    /// Resources that match in all.
    pub total: u64,
    /// Those on the page.
    pub resources: Vec<Stored>,
    /// Rank of the last of them if more follow; only where the page does not start by index.
    pub last: Option<Rank>,
}

impl Table {
    /// The resource with this id that SCIM sees.
    pub fn get(&self, connection: &Connection, id: &str) -> Result<Option<Stored>, Error> {
        let sql = format!(
            "SELECT {COLUMNS} FROM {} WHERE id = ?1 AND {}",
            self.name, self.visible
        );
        optional(
            connection
                .prepare_cached(&sql)?
                .query_row([id], Stored::read),
        )
    }

    /// The page of the resources that `condition` selects, in the order of creation.
    pub fn page(
        &self,
        connection: &Connection,
        condition: &Condition,
        start: &Start,
        count: u64,
    ) -> Result<Page, Error> {
        let (bound, skip, limit) = match start {
            Start::Index(skip) => (i64::MIN, *skip, count),
            Start::First => (i64::MIN, 0, count.saturating_add(1)),
            Start::After(rank) => (rank.seq, 0, count.saturating_add(1)),
        };
        let number = |number: u64| Value::Integer(number.try_into().unwrap_or(i64::MAX));
        let tail = [Value::Integer(bound), number(limit), number(skip)];
        let parameters = condition.parameters.iter().chain(&tail);
        let mut statement = connection.prepare_cached(&self.page_sql(condition))?;
        let rows = statement.query_map(params_from_iter(parameters), Stored::read)?;
        let (mut resources, cut) = self.fitting(rows)?;
        let found = resources.len() as u64;
        // A first page that is not full tells the total by itself.
        let complete = !cut && found < limit && (found > 0 || skip == 0);
        let total = match bound == i64::MIN && complete {
            true => skip + found,
            false => self.count(connection, condition)?,
        };
        let more = !matches!(start, Start::Index(_)) && (cut || found > count);
        if found > count {
            resources.pop();
        }
        let last = resources.last().filter(|_| more).map(|last| Rank {
            key: None,
            seq: last.seq,
            descending: false,
        });
        Ok(Page {
            total,
            resources,
            last,
        })
    }

    /// The page of those resources out of `condition` to which `judge` gives a rank, in the order of the ranks.
    pub fn judged_page<E: From<Error>>(
        &self,
        connection: &Connection,
        condition: &Condition,
        start: &Start,
        count: u64,
        mut judge: impl FnMut(&Stored) -> Result<Option<Rank>, E>,
    ) -> Result<Page, E> {
        let (skip, limit) = match start {
            Start::Index(skip) => (*skip, skip.saturating_add(count)),
            Start::First | Start::After(_) => (0, count.saturating_add(1)),
        };
        let mut total = 0;
        let mut ranks = BinaryHeap::new();
        let sql = self.judged_sql(condition);
        let mut statement = connection.prepare_cached(&sql).map_err(Error::from)?;
        let rows = statement
            .query_map(params_from_iter(&condition.parameters), Stored::read)
            .map_err(Error::from)?;
        for resource in rows {
            let Some(rank) = judge(&resource.map_err(Error::from)?)? else {
                continue;
            };
            total += 1;
            if matches!(start, Start::After(place) if rank <= *place) {
                continue;
            }
            ranks.push(rank);
            if ranks.len() as u64 > limit {
                ranks.pop();
            }
        }
        let mut ranks = ranks.into_sorted_vec();
        let by_cursor = !matches!(start, Start::Index(_));
        let mut more = by_cursor && ranks.len() as u64 > count;
        if more {
            ranks.pop();
        }
        let skip = usize::try_from(skip).unwrap_or(usize::MAX);
        ranks.drain(..skip.min(ranks.len()));
        let rows = ranks.iter().map(|rank| self.row(connection, rank.seq));
        let (resources, cut) = self.fitting(rows)?;
        if cut {
            more = by_cursor;
            ranks.truncate(resources.len());
        }
        Ok(Page {
            total,
            resources,
            last: ranks.pop().filter(|_| more),
        })
    }

    /// The rows that fit on a page, and whether there were more.
    fn fitting<E: Into<Error>>(
        &self,
        rows: impl Iterator<Item = Result<Stored, E>>,
    ) -> Result<(Vec<Stored>, bool), Error> {
        let mut resources = Vec::new();
        let mut bytes = 0;
        for row in rows {
            let row = row.map_err(Into::into)?;
            bytes += row.resource.len();
            if bytes > PAGE_BYTES && !resources.is_empty() {
                return Ok((resources, true));
            }
            resources.push(row);
        }
        Ok((resources, false))
    }

    /// One page; its parameters are those of the condition, the row before it, and how many to take and to skip.
    fn page_sql(&self, condition: &Condition) -> String {
        format!(
            "SELECT {COLUMNS} {} AND seq > ? ORDER BY seq LIMIT ? OFFSET ?",
            self.matching(condition)
        )
    }

    /// Everything that is to be judged.
    fn judged_sql(&self, condition: &Condition) -> String {
        format!("SELECT {COLUMNS} {} ORDER BY seq", self.matching(condition))
    }

    fn matching(&self, condition: &Condition) -> String {
        format!(
            "FROM {} WHERE {} AND {}",
            self.name, self.visible, condition.sql
        )
    }

    fn count(&self, connection: &Connection, condition: &Condition) -> Result<u64, Error> {
        let sql = format!("SELECT count(*) {}", self.matching(condition));
        let count: i64 = connection
            .prepare_cached(&sql)?
            .query_row(params_from_iter(&condition.parameters), |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn row(&self, connection: &Connection, seq: i64) -> Result<Stored, Error> {
        let sql = format!("SELECT {COLUMNS} FROM {} WHERE seq = ?1", self.name);
        Ok(connection
            .prepare_cached(&sql)?
            .query_row([seq], Stored::read)?)
    }
}

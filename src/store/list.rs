//! A table's resources from some place on, by index or by cursor, sorted or in the order of creation. One mechanism for
//! users and groups. Who takes them says how many fit on a page.
//!
//! Where SQL alone can tell what matches and in which order, SQL pages. Otherwise each row that the condition leaves is
//! judged in memory, and only the ranks of one page are held.

#[cfg(test)]
mod tests;

use std::borrow::Cow;
use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::ops::ControlFlow;
use std::sync::LazyLock;

use jiff::Timestamp;
use rusqlite::types::Value;
use rusqlite::{Connection, Row, params_from_iter};

use super::lower::Condition;
use super::{Error, groups, id, open::optional, text, users};
use crate::scim::Object;
use crate::scim::query::sort::Rank;
use crate::scim::schema::ResourceType;

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
    /// False for a user who is known to belong to no group.
    pub grouped: bool,
}

impl Stored {
    /// The row with these values; `resource` is JSON, and `instants` are those of the creation and of the last change.
    pub(super) fn new(
        seq: i64,
        id: &str,
        resource: String,
        version: i64,
        instants: [Timestamp; 2],
    ) -> Self {
        let [created, modified] = instants.map(text::instant);
        Self {
            seq,
            id: id.to_owned(),
            resource,
            version,
            created,
            modified,
            grouped: true,
        }
    }

    fn read(row: &Row<'_>) -> Result<Self, rusqlite::Error> {
        Ok(Self {
            seq: row.get(0)?,
            id: row.get(1)?,
            resource: row.get(2)?,
            version: row.get(3)?,
            created: row.get(4)?,
            modified: row.get(5)?,
            grouped: row.get(6)?,
        })
    }

    /// The attributes, read.
    pub fn attributes(&self) -> Result<Object, Error> {
        Ok(text::parse_object(2, &self.resource)?)
    }
}

/// The columns that [`Stored::read`] takes, in its order, before what tells whether it is `grouped`.
const COLUMNS: &str = "seq, id, resource, version, created, modified";

/// A table of resources.
pub struct Table {
    /// Its name, as SQL writes it.
    pub name: &'static str,
    /// Which rows SCIM sees.
    pub visible: &'static str,
    /// How many those are, counted by triggers.
    count: &'static str,
    /// The row number, as the index has it by which a list over all comes to its place; itself, if there is none.
    place: &'static str,
    /// What [`Stored::read`] reads.
    select: String,
    /// One row, by its id.
    by_id: String,
}

/// The users that SCIM sees.
static USERS: LazyLock<Table> = LazyLock::new(|| {
    let grouped = "EXISTS (SELECT 1 FROM group_user WHERE group_user.user = user.seq)";
    let count = "SELECT users FROM appliance";
    Table::new(users::TABLE, users::VISIBLE, grouped, count, "seq + 0")
});

/// The groups.
static GROUPS: LazyLock<Table> = LazyLock::new(|| {
    let count = "SELECT groups FROM appliance";
    Table::new(groups::TABLE, groups::VISIBLE, "TRUE", count, "seq")
});

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

/// A number as SQLite has it.
fn number(number: u64) -> Value {
    Value::Integer(number.try_into().unwrap_or(i64::MAX))
}

impl Table {
    /// A table whose rows are `grouped` by that expression.
    fn new(
        name: &'static str,
        visible: &'static str,
        grouped: &str,
        count: &'static str,
        place: &'static str,
    ) -> Self {
        let select = format!("SELECT {COLUMNS}, {grouped}");
        Self {
            by_id: format!("{select} FROM {name} WHERE seq = ?1 AND id = ?2 AND {visible}"),
            name,
            visible,
            count,
            place,
            select,
        }
    }

    /// The resource with this id that SCIM sees.
    pub fn get(&self, connection: &Connection, id: &str) -> Result<Option<Stored>, Error> {
        optional(
            connection
                .prepare_cached(&self.by_id)?
                .query_row(id::key(id), Stored::read),
        )
    }

    /// Gives the resources that `condition` selects to `take` with their ranks, in the order of creation, until it has
    /// enough: `count` of them and the one behind, by which it learns that there are more. Tells how many there are in
    /// all.
    pub fn page<E: From<Error>>(
        &self,
        connection: &Connection,
        condition: &Condition,
        start: &Start,
        count: u64,
        mut take: impl FnMut(Rank, Stored) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let (from, skipped) = match start {
            Start::First | Start::Index(0) => (i64::MIN, Some(0)),
            Start::Index(skip) => match self.place(connection, condition, *skip)? {
                Some(seq) => (seq, Some(*skip)),
                None => return Ok(self.count(connection, condition)?),
            },
            Start::After(rank) => (rank.seq.saturating_add(1), None),
        };
        let tail = [Value::Integer(from), number(count.saturating_add(1))];
        let parameters = condition.parameters.iter().chain(&tail);
        let (mut found, mut cut) = (0, false);
        condition.run(connection, &self.page_sql(condition), |statement| {
            let rows = statement
                .query_map(params_from_iter(parameters), Stored::read)
                .map_err(Error::from)?;
            for stored in rows {
                let stored = stored.map_err(Error::from)?;
                let rank = Rank {
                    key: None,
                    seq: stored.seq,
                    descending: false,
                };
                if take(rank, stored)?.is_break() {
                    cut = true;
                    break;
                }
                found += 1;
            }
            Ok::<_, E>(())
        })?;
        // A page that nothing follows tells the total by itself, where it is known what is before it.
        match skipped.filter(|_| !cut) {
            Some(skipped) => Ok(skipped + found),
            None => Ok(self.count(connection, condition)?),
        }
    }

    /// The row of the resource behind `skip` others.
    fn place(
        &self,
        connection: &Connection,
        condition: &Condition,
        skip: u64,
    ) -> Result<Option<i64>, Error> {
        let skip = number(skip);
        let parameters = condition.parameters.iter().chain([&skip]);
        condition.run(connection, &self.place_sql(condition), |statement| {
            optional(statement.query_row(params_from_iter(parameters), |row| row.get(0)))
        })
    }

    /// The same for those resources out of `condition` to which `judge` gives a rank, in the order of the ranks.
    pub fn judged_page<E: From<Error>>(
        &self,
        connection: &Connection,
        condition: &Condition,
        start: &Start,
        count: u64,
        mut judge: impl FnMut(Stored) -> Result<Option<Rank>, E>,
        mut take: impl FnMut(Rank, Stored) -> Result<ControlFlow<()>, E>,
    ) -> Result<u64, E> {
        let skip = match start {
            Start::Index(skip) => *skip,
            Start::First | Start::After(_) => 0,
        };
        let most = self.count_all(connection)?;
        let mut total = 0;
        let mut ranks = Ranks::new(skip, count.saturating_add(1), most);
        condition.run(connection, &self.judged_sql(condition), |statement| {
            let rows = statement
                .query_map(params_from_iter(&condition.parameters), Stored::read)
                .map_err(Error::from)?;
            for resource in rows {
                let Some(rank) = judge(resource.map_err(Error::from)?)? else {
                    continue;
                };
                total += 1;
                if matches!(start, Start::After(place) if rank <= *place) {
                    continue;
                }
                ranks.push(rank);
            }
            Ok::<_, E>(())
        })?;
        for rank in ranks.behind(skip) {
            let stored = self.row(connection, rank.seq)?;
            if take(rank, stored)?.is_break() {
                break;
            }
        }
        Ok(total)
    }

    /// One page; its parameters are those of the condition, its first row, and how many to take.
    fn page_sql(&self, condition: &Condition) -> String {
        let tail = " AND seq >= ? ORDER BY seq LIMIT ?";
        [&*self.select, " ", &self.matching(condition), tail].concat()
    }

    /// Where a page starts; its parameters are those of the condition, and how many to skip.
    fn place_sql(&self, condition: &Condition) -> String {
        let seq = match condition.is_met_by_all() {
            true => self.place,
            false => "seq",
        };
        format!(
            "SELECT {seq} {} ORDER BY {seq} LIMIT 1 OFFSET ?",
            self.matching(condition)
        )
    }

    /// Everything that is to be judged.
    fn judged_sql(&self, condition: &Condition) -> String {
        format!(
            "SELECT {COLUMNS}, TRUE {} ORDER BY seq",
            self.matching(condition)
        )
    }

    fn matching(&self, condition: &Condition) -> String {
        let Self { name, visible, .. } = *self;
        ["FROM ", name, " WHERE ", visible, " AND ", &condition.sql].concat()
    }

    /// How many there are that SCIM sees.
    fn count_all(&self, connection: &Connection) -> Result<u64, Error> {
        let mut statement = connection.prepare_cached(self.count)?;
        let count: i64 = statement.query_row([], |row| row.get(0))?;
        Ok(count.unsigned_abs())
    }

    fn count(&self, connection: &Connection, condition: &Condition) -> Result<u64, Error> {
        if condition.is_met_by_all() {
            return self.count_all(connection);
        }
        let sql = format!("SELECT count(*) {}", self.matching(condition));
        condition.run(connection, &sql, |statement| {
            let parameters = params_from_iter(&condition.parameters);
            let count: i64 = statement.query_row(parameters, |row| row.get(0))?;
            Ok(count.unsigned_abs())
        })
    }

    /// `condition`, if SQLite takes the statements that are made of it; else one that leaves all to memory.
    pub fn within_bounds<'c>(
        &self,
        connection: &Connection,
        condition: &'c Condition,
    ) -> Cow<'c, Condition> {
        condition.within_bounds(connection, |condition| self.page_sql(condition))
    }

    fn row(&self, connection: &Connection, seq: i64) -> Result<Stored, Error> {
        let sql = format!("{} FROM {} WHERE seq = ?1", self.select, self.name);
        Ok(connection
            .prepare_cached(&sql)?
            .query_row([seq], Stored::read)?)
    }
}

/// The ranks of a page out of a long order, while those of all come by in any order. Those up to the end of the page are
/// kept or, where these are fewer, those from its beginning on.
struct Ranks {
    /// So many are kept.
    kept: usize,
    first: BinaryHeap<Rank>,
    last: BinaryHeap<Reverse<Rank>>,
    from_end: bool,
    seen: u64,
}

impl Ranks {
    /// To keep `count` behind `skip` others, out of `most` at the most.
    fn new(skip: u64, count: u64, most: u64) -> Self {
        let (from_start, from_end) = (skip.saturating_add(count), most.saturating_sub(skip));
        Self {
            kept: usize::try_from(from_start.min(from_end)).unwrap_or(usize::MAX),
            first: BinaryHeap::new(),
            last: BinaryHeap::new(),
            from_end: from_end < from_start,
            seen: 0,
        }
    }

    fn push(&mut self, rank: Rank) {
        self.seen += 1;
        if self.from_end {
            self.last.push(Reverse(rank));
            if self.last.len() > self.kept {
                self.last.pop();
            }
        } else {
            self.first.push(rank);
            if self.first.len() > self.kept {
                self.first.pop();
            }
        }
    }

    /// Those behind the first `skip` of all that came, in their order, as far as they were kept.
    fn behind(self, skip: u64) -> impl Iterator<Item = Rank> {
        let gone = match self.from_end {
            true => self.seen - self.last.len() as u64,
            false => 0,
        };
        let skip = usize::try_from(skip.saturating_sub(gone)).unwrap_or(usize::MAX);
        let last = self.last.into_sorted_vec().into_iter().rev();
        let ranks = self.first.into_sorted_vec().into_iter();
        ranks.chain(last.map(|Reverse(rank)| rank)).skip(skip)
    }
}

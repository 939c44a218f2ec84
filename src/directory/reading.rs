//! Reads of users and groups: one by its id, and lists (RFC 7644 §3.4).

#[cfg(test)]
mod tests;

use std::ops::ControlFlow;

use rusqlite::Connection;

use super::paging::{Filling, Span};
use super::view::View;
use super::{Directory, Refusal};
use crate::scim::query::cursor::Place;
use crate::scim::query::sort::Rank;
use crate::scim::query::{Page, Projection, Query};
use crate::scim::schema::ResourceType;
use crate::scim::{Error, Object, ScimType};
use crate::store::list::{self, Start, Stored};
use crate::store::lower;

/// Resources on a page that asks for no number.
pub const PAGE: u64 = 100;
/// Resources on a page at the most: what bounds the memory of one answer.
pub const PAGE_LIMIT: u64 = 1000;

/// A resource as the client wants to see it.
#[derive(Debug)]
pub struct Shown {
    /// Its weak entity tag.
    pub etag: String,
    /// What the client sees of it.
    pub json: Vec<u8>,
}

/// One page of a list.
#[derive(Debug)]
pub struct Listing {
    /// How many match in all.
    pub total: u64,
    /// Those on this page, as the query wants to see them: JSON.
    pub resources: Vec<Vec<u8>>,
    /// Cursor of the next page, if there is one and the query pages by cursor.
    pub next: Option<String>,
}

impl Directory {
    /// The visible resource with this id, as `projection` wants to see it.
    pub async fn read(
        &self,
        resource_type: ResourceType,
        id: &str,
        projection: &Projection,
    ) -> Result<Shown, Refusal> {
        let (view, id, projection) = (self.view.clone(), id.to_owned(), projection.clone());
        let read = move |connection: &Connection| {
            let stored = list::table(resource_type)
                .get(connection, &id)?
                .ok_or_else(|| not_found(resource_type, &id))?;
            shown(&view, connection, resource_type, stored, &projection)
        };
        self.store.readers.indexed(read).await
    }

    /// The visible resources that a query names.
    pub async fn list(
        &self,
        resource_type: ResourceType,
        query: &Query,
    ) -> Result<Listing, Refusal> {
        let list = List::new(self.view.clone(), resource_type, query.clone());
        let indexed = list.condition.indexed;
        let read = move |connection: &Connection| list.run(connection);
        match indexed {
            true => self.store.readers.indexed(read).await,
            false => self.store.readers.long(read).await,
        }
    }

    /// The visible users that one query names and, behind them, the groups that the other names: one list, by the page
    /// of the first, which has to be by index.
    pub async fn everything(&self, users: &Query, groups: &Query) -> Result<Listing, Refusal> {
        let list = |kind, query: &Query| List::new(self.view.clone(), kind, query.clone());
        let lists = [
            list(ResourceType::User, users),
            list(ResourceType::Group, groups),
        ];
        let Page::Index { start, count } = users.page else {
            let detail = "a query over all resources pages by startIndex; /Users and /Groups page by cursor too";
            return Err(Error::new(ScimType::InvalidCursor, detail).into());
        };
        let (skip, count) = (start.saturating_sub(1), items(count));
        let read = move |connection: &Connection| {
            let mut page = page(count);
            let mut total: u64 = 0;
            for list in &lists {
                let start = Start::Index(skip.saturating_sub(total));
                let found = list.fill(connection, &start, count, &mut page)?;
                total = total.saturating_add(found);
            }
            let (resources, _) = page.parts();
            Ok(Listing {
                total,
                resources,
                next: None,
            })
        };
        self.store.readers.long(read).await
    }
}

/// A stored resource as `projection` shows it.
fn shown(
    view: &View,
    connection: &Connection,
    resource_type: ResourceType,
    stored: Stored,
    projection: &Projection,
) -> Result<Shown, Refusal> {
    // The groups of a user are a part of its version, whether or not they are shown.
    let connected = resource_type == ResourceType::User || projection.wants("members");
    let of = view.read(connection, resource_type, stored, connected)?;
    let json = view.json(&of, projection)?;
    Ok(Shown {
        etag: of.etag,
        json,
    })
}

/// Resources on a page for which a query asks for so many.
fn items(count: Option<u64>) -> u64 {
    count.unwrap_or(PAGE).min(PAGE_LIMIT)
}

/// An empty page of at most so many resources.
fn page(count: u64) -> Filling<Vec<u8>, Rank> {
    Filling::within(Span::page(0, usize::try_from(count).unwrap_or(usize::MAX)))
}

/// Nothing that SCIM sees has this id.
pub(super) fn not_found(resource_type: ResourceType, id: &str) -> Refusal {
    Refusal::NotFound {
        what: resource_type.name(),
        id: id.to_owned(),
    }
}

/// A list under way.
struct List {
    view: View,
    resource_type: ResourceType,
    condition: lower::Condition,
    query: Query,
    looks_at: Sight,
}

/// What the filter and the order look at of a resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Sight {
    /// What is stored.
    Stored,
    /// What is made of it, too.
    Made,
    /// And the resources that it is connected to.
    Connected,
}

impl List {
    fn new(view: View, resource_type: ResourceType, query: Query) -> Self {
        let condition = lower::condition(query.filter.as_ref(), resource_type, &view.schemas);
        let looks_at = sight(&query, resource_type);
        Self {
            view,
            resource_type,
            condition,
            query,
            looks_at,
        }
    }

    /// One page.
    fn run(&self, connection: &Connection) -> Result<Listing, Refusal> {
        let (start, count) = self.start()?;
        let mut page = page(count);
        let total = self.fill(connection, &start, count, &mut page)?;
        let (resources, last) = page.parts();
        let last = last.filter(|_| !matches!(start, Start::Index(_)));
        Ok(Listing {
            total,
            resources,
            next: last.map(|rank| {
                let place = Place {
                    seq: rank.seq,
                    sorted_by: rank.value(),
                };
                self.query.cursor_after(&place, self.resource_type)
            }),
        })
    }

    /// Adds what matches to `page`, from `start` on. Tells how many match in all.
    fn fill(
        &self,
        connection: &Connection,
        start: &Start,
        count: u64,
        page: &mut Filling<Vec<u8>, Rank>,
    ) -> Result<u64, Refusal> {
        let (kind, table) = (self.resource_type, list::table(self.resource_type));
        let take = |rank: Rank, stored: Stored| {
            if page.is_full() {
                return Ok(ControlFlow::Break(()));
            }
            let projection = &self.query.projection;
            let shown = shown(&self.view, connection, kind, stored, projection)?;
            Ok(page.take_sized(rank, shown.json.len(), shown.json))
        };
        let condition = table.within_bounds(connection, &self.condition);
        // SQL cannot tell all of the filter, or the order.
        match !condition.exact || self.query.sort_by.is_some() {
            false => table.page(connection, &condition, start, count, take),
            true => {
                let judge = |stored: Stored| {
                    let seq = stored.seq;
                    let read = |stored, connected| {
                        let of = self.view.read(connection, kind, stored, connected)?;
                        self.view.whole(&of)
                    };
                    let resource = match self.looks_at {
                        Sight::Stored => stored.attributes()?,
                        Sight::Made => read(stored, false)?,
                        Sight::Connected => read(stored, true)?,
                    };
                    Ok(self.judge(&resource, seq, condition.exact))
                };
                table.judged_page(connection, &condition, start, count, judge, take)
            }
        }
    }

    /// The rank of a resource that matches, as it is known to where it was `selected`.
    fn judge(&self, resource: &Object, seq: i64, selected: bool) -> Option<Rank> {
        let (kind, schemas) = (self.resource_type, &self.view.schemas);
        let filter = self.query.filter.as_ref();
        let matches =
            selected || filter.is_none_or(|filter| filter.matches(resource, kind, schemas));
        matches.then(|| self.query.rank(resource, seq, kind, schemas))
    }

    /// Where the page starts and how many resources it may have.
    fn start(&self) -> Result<(Start, u64), Refusal> {
        let schemas = &self.view.schemas;
        let (start, count) = match &self.query.page {
            Page::Index { start, count } => (Start::Index(start.saturating_sub(1)), count),
            Page::Cursor { count, .. } => match self.query.place(self.resource_type)? {
                None => (Start::First, count),
                Some(place) => {
                    let value = Some(&place.sorted_by);
                    let rank = self
                        .query
                        .rank_of(value, place.seq, self.resource_type, schemas);
                    (Start::After(rank), count)
                }
            },
        };
        Ok((start, items(*count)))
    }
}

/// What a query looks at to tell whether a resource matches, and its place.
fn sight(query: &Query, resource_type: ResourceType) -> Sight {
    let mentions = |names: &[&str]| {
        names.iter().any(|name| {
            let filter = query.filter.as_ref();
            let sort_by = query.sort_by.as_ref();
            filter.is_some_and(|filter| filter.mentions(name))
                || sort_by.is_some_and(|attr| attr.name.eq_ignore_ascii_case(name))
        })
    };
    // The groups of a user are a part of its version.
    let connected: &[_] = match resource_type {
        ResourceType::User => &["groups", "meta"],
        ResourceType::Group => &["members"],
    };
    match mentions(connected) {
        true => Sight::Connected,
        false if mentions(&["schemas", "id", "meta", "manager"]) => Sight::Made,
        false => Sight::Stored,
    }
}

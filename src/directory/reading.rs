//! Reads of users and groups: one by its id, and lists (RFC 7644 §3.4).

#[cfg(test)]
mod tests;

use rusqlite::Connection;

use super::view::{Shown, View};
use super::{Directory, Refusal};
use crate::scim::query::cursor::Place;
use crate::scim::query::sort::Rank;
use crate::scim::query::{Page, Projection, Query};
use crate::scim::schema::ResourceType;
use crate::store::list::{self, Start};
use crate::store::lower;

/// Resources on a page that asks for no number.
pub const PAGE: u64 = 100;
/// Resources on a page at the most: what bounds the memory of one answer.
pub const PAGE_LIMIT: u64 = 1000;

/// One page of a list.
#[derive(Debug)]
pub struct Listing {
    /// How many match in all.
    pub total: u64,
    /// Those on this page, as the query wants to see them.
    pub resources: Vec<Shown>,
    /// Cursor of the next page, if there is one and the query pages by cursor.
    pub next: Option<String>,
}

impl Directory {
    /// The visible resource with this id, as `projection` wants to see it.
    pub fn read(
        &self,
        resource_type: ResourceType,
        id: &str,
        projection: &Projection,
    ) -> Result<Shown, Refusal> {
        self.store.readers.short(|connection| {
            let stored = list::table(resource_type)
                .get(connection, id)?
                .ok_or_else(|| not_found(resource_type, id))?;
            Ok(self
                .view
                .shown(connection, resource_type, &stored, projection)?)
        })
    }

    /// The visible resources that a query names.
    pub async fn list(
        &self,
        resource_type: ResourceType,
        query: &Query,
    ) -> Result<Listing, Refusal> {
        let listing = List {
            view: self.view.clone(),
            resource_type,
            condition: lower::condition(query.filter.as_ref(), resource_type, &self.view.schemas),
            query: query.clone(),
        };
        // Many may share a value that an index finds, and a group may have many members: those are long reads.
        let members = resource_type == ResourceType::Group
            && (query.projection.wants("members")
                || listing.judges() && listing.mentions("members"));
        match listing.condition.unique && !members {
            true => self
                .store
                .readers
                .short(|connection| listing.run(connection)),
            false => {
                self.store
                    .readers
                    .long(move |connection| listing.run(connection))
                    .await
            }
        }
    }
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
}

impl List {
    /// One page.
    fn run(&self, connection: &Connection) -> Result<Listing, Refusal> {
        let (start, count) = self.start()?;
        let (kind, table) = (self.resource_type, list::table(self.resource_type));
        let page = match self.judges() {
            false => table.page(connection, &self.condition, &start, count)?,
            true => {
                // Other resources are read only where the filter or the order looks at them.
                let connected = match kind {
                    ResourceType::User => self.mentions("groups") || self.mentions("meta"),
                    ResourceType::Group => self.mentions("members"),
                };
                table.judged_page(connection, &self.condition, &start, count, |stored| {
                    let whole = self.view.whole(connection, kind, stored, connected)?;
                    Ok::<_, Refusal>(self.judge(&whole.resource, stored.seq))
                })?
            }
        };
        let resources = page.resources.iter();
        let resources = resources.map(|stored| {
            self.view
                .shown(connection, kind, stored, &self.query.projection)
        });
        Ok(Listing {
            total: page.total,
            resources: resources.collect::<Result<_, _>>()?,
            next: page.last.map(|rank| {
                let place = Place {
                    seq: rank.seq,
                    sorted_by: rank.value(),
                };
                self.query.cursor_after(&place, kind)
            }),
        })
    }

    /// Whether each row has to be looked at in memory: SQL cannot tell all of the filter, or the order.
    fn judges(&self) -> bool {
        !self.condition.exact || self.query.sort_by.is_some()
    }

    fn mentions(&self, name: &str) -> bool {
        let filter = self.query.filter.as_ref();
        let sort_by = self.query.sort_by.as_ref();
        filter.is_some_and(|filter| filter.mentions(name))
            || sort_by.is_some_and(|attr| attr.name.eq_ignore_ascii_case(name))
    }

    /// The rank of a resource that matches.
    fn judge(&self, resource: &crate::scim::Object, seq: i64) -> Option<Rank> {
        let (kind, schemas) = (self.resource_type, &self.view.schemas);
        let filter = self.query.filter.as_ref();
        let matches = self.condition.exact
            || filter.is_none_or(|filter| filter.matches(resource, kind, schemas));
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
        Ok((start, count.unwrap_or(PAGE).min(PAGE_LIMIT)))
    }
}

//! Lists on the wire: one page at a time, and an opaque cursor that leads to the next.

use std::num::NonZeroU32;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::directory::paging::{Page, Span};

/// Items on a page that asks for no number.
const PAGE: usize = 100;
/// Items on a page at the most: what bounds the memory of one answer.
pub const PAGE_LIMIT: usize = 1000;

/// Where the next page starts. Clients send it back as it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "String")]
pub struct Cursor(i64);

impl Cursor {
    /// The one behind the item at this place.
    pub fn at(place: i64) -> Self {
        Self(place)
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let digits = text.bytes().all(|byte| byte.is_ascii_digit());
        match text.parse() {
            Ok(place) if digits => Ok(Self(place)),
            _ => Err(de::Error::custom(
                "no place in this list; take the `next` of the page before, or leave it out to start again",
            )),
        }
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&self.0)
    }
}

/// The query of a list that is paged.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Paging {
    /// `next` of the page before; without it, the first page.
    cursor: Option<Cursor>,
    /// Items on the page: 100 unless told otherwise, 1000 at the most.
    limit: Option<NonZeroU32>,
}

impl Paging {
    /// The part of the list that is asked for.
    pub fn span(&self) -> Span {
        span(self.cursor, self.limit)
    }
}

/// The part of a list behind `cursor`, of at most `limit` items.
pub fn span(cursor: Option<Cursor>, limit: Option<NonZeroU32>) -> Span {
    Span::page(cursor.map_or(0, |cursor| cursor.0), most(limit))
}

/// So many items on a page that asks for `limit`.
pub fn most(limit: Option<NonZeroU32>) -> usize {
    let wanted = limit.map(|limit| usize::try_from(limit.get()).unwrap_or(PAGE_LIMIT));
    wanted.unwrap_or(PAGE).min(PAGE_LIMIT)
}

/// A list, or a page of one.
#[derive(Debug, Serialize, JsonSchema)]
#[schemars(rename = "ListOf{T}")]
pub struct List<T> {
    /// The items, in the order of the list.
    items: Vec<T>,
    /// Where the next page starts; null: this is the last.
    next: Option<Cursor>,
}

impl<T> From<Page<T>> for List<T> {
    fn from(page: Page<T>) -> Self {
        Self {
            items: page.items,
            next: page.next.map(Cursor::at),
        }
    }
}

impl<T> FromIterator<T> for List<T> {
    /// A list that an administrator keeps short enough to be given whole.
    fn from_iter<I: IntoIterator<Item = T>>(items: I) -> Self {
        Self {
            items: items.into_iter().collect(),
            next: None,
        }
    }
}

/// Reads a member that is there: null takes a setting away, and a member that is absent leaves it (RFC 7396).
pub fn given<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
) -> Result<Option<T>, D::Error> {
    T::deserialize(deserializer).map(Some)
}

//! What a client asks of a list (RFC 7644 §§3.4.2, 3.4.3, RFC 9865), and of each resource in it: [`Projection`].
//! Parameters come from a URL or from a SearchRequest; this reads them, and the store answers them. How large a page
//! may be is the server's business.

pub mod cursor;
mod projection;
pub mod sort;
#[cfg(test)]
mod tests;

use std::borrow::Cow;

use serde_json::Value;

use super::filter::Filter;
use super::path::AttrPath;
use super::schema::{ResourceType, Schemas};
use super::{Error, ScimType};

pub use projection::Projection;

/// A query on the resources of one type.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Query {
    /// Which resources.
    pub filter: Option<Filter>,
    /// The attribute that orders them.
    pub sort_by: Option<AttrPath>,
    /// Ordered from the highest to the lowest.
    pub descending: bool,
    /// Which part of them.
    pub page: Page,
    /// Which attributes of each.
    pub projection: Projection,
}

/// A part of the resources that match.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Page {
    /// By position (RFC 7644 §3.4.2.4).
    Index {
        /// Position of the first, from 1.
        start: u64,
        /// How many at most; 0 asks for the number of matches alone.
        count: Option<u64>,
    },
    /// By cursor (RFC 9865 §2).
    Cursor {
        /// Where the page before ended; none for the first page.
        cursor: Option<String>,
        /// How many at most, 1 or more.
        count: Option<u64>,
    },
}

impl Query {
    /// Reads the decoded parameters of a URL. Unknown ones are ignored (C-110); of one that is repeated the last
    /// counts, but a second `filter` is refused, because to drop one is to answer with too much.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        Parameters::from_pairs(pairs)?.query(resource_type, schemas)
    }

    /// Reads the body of a SearchRequest (RFC 7644 §3.4.3). Its `schemas` is not looked at: the endpoint says what
    /// the body is.
    pub fn from_search(
        body: Value,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        let Value::Object(body) = body else {
            return Err(Error::new(
                ScimType::InvalidSyntax,
                "a SearchRequest is a JSON object",
            ));
        };
        let mut parameters = Parameters::default();
        for (name, value) in body {
            if let Some(place) = parameters.place(&name) {
                *place = text(value).map_err(|what| {
                    Error::new(ScimType::InvalidValue, format!("`{name}` is not {what}"))
                })?;
            }
        }
        parameters.query(resource_type, schemas)
    }
}

/// A value of a SearchRequest as a URL would hold it, a list with commas; none for null.
fn text(value: Value) -> Result<Option<String>, &'static str> {
    match value {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text)),
        Value::Number(number) => Ok(Some(number.to_string())),
        Value::Array(items) => items
            .iter()
            .map(|item| item.as_str().ok_or("a list of attribute names"))
            .collect::<Result<Vec<_>, _>>()
            .map(|names| Some(names.join(","))),
        Value::Bool(_) | Value::Object(_) => Err("a text, a number or a list"),
    }
}

/// The parameters of a query before they are read.
#[derive(Default)]
struct Parameters {
    filter: Option<String>,
    sort_by: Option<String>,
    sort_order: Option<String>,
    start_index: Option<String>,
    count: Option<String>,
    cursor: Option<String>,
    attributes: Option<String>,
    excluded: Option<String>,
}

impl Parameters {
    fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
    ) -> Result<Self, Error> {
        let mut parameters = Self::default();
        for (name, value) in pairs {
            if parameters.filter.is_some() && name.eq_ignore_ascii_case("filter") {
                return Err(Error::new(
                    ScimType::InvalidFilter,
                    "`filter` is given twice: join the filters with `and`",
                ));
            }
            if let Some(place) = parameters.place(&name) {
                *place = Some(value.into_owned());
            }
        }
        Ok(parameters)
    }

    /// Where the parameter `name`, in any letter case, is kept; nowhere if there is no such parameter.
    fn place(&mut self, name: &str) -> Option<&mut Option<String>> {
        match name.to_ascii_lowercase().as_str() {
            "filter" => Some(&mut self.filter),
            "sortby" => Some(&mut self.sort_by),
            "sortorder" => Some(&mut self.sort_order),
            "startindex" => Some(&mut self.start_index),
            "count" => Some(&mut self.count),
            "cursor" => Some(&mut self.cursor),
            "attributes" => Some(&mut self.attributes),
            "excludedattributes" => Some(&mut self.excluded),
            _ => None,
        }
    }

    fn query(self, resource_type: ResourceType, schemas: &Schemas) -> Result<Query, Error> {
        Ok(Query {
            page: self.page()?,
            projection: Projection::parse(
                self.attributes.as_deref(),
                self.excluded.as_deref(),
                resource_type,
                schemas,
            )?,
            descending: self.descending()?,
            sort_by: self
                .sort_by
                .filter(|text| !text.is_empty())
                .map(|text| AttrPath::parse(&text))
                .transpose()?,
            filter: self
                .filter
                .map(|text| Filter::parse(&text, resource_type, schemas))
                .transpose()?,
        })
    }

    /// The page. A `cursor`, even an empty one, asks for paging by cursor, whatever `startIndex` says. There, a count
    /// below 1 is `invalidCount` (RFC 9865 §2.1); by index it counts as 0, as a start below 1 counts as 1 (C-75).
    fn page(&self) -> Result<Page, Error> {
        let Some(cursor) = &self.cursor else {
            let count = number("count", self.count.as_deref())?;
            let start = number("startIndex", self.start_index.as_deref())?;
            return Ok(Page::Index {
                start: start.unwrap_or(1).max(1),
                count,
            });
        };
        match number("count", self.count.as_deref()) {
            Ok(count) if count != Some(0) => Ok(Page::Cursor {
                cursor: Some(cursor.clone()).filter(|cursor| !cursor.is_empty()),
                count,
            }),
            _ => Err(Error::new(
                ScimType::InvalidCount,
                "`count` is a whole number of 1 or more",
            )),
        }
    }

    fn descending(&self) -> Result<bool, Error> {
        match self.sort_order.as_deref() {
            None | Some("") => Ok(false),
            Some(order) if order.eq_ignore_ascii_case("ascending") => Ok(false),
            Some(order) if order.eq_ignore_ascii_case("descending") => Ok(true),
            Some(_) => Err(Error::new(
                ScimType::InvalidValue,
                "`sortOrder` is ascending or descending",
            )),
        }
    }
}

/// A whole number, 0 if it is negative. No table is so long that more than an `i64` of it could be asked for.
fn number(name: &str, text: Option<&str>) -> Result<Option<u64>, Error> {
    let Some(text) = text.map(str::trim).filter(|text| !text.is_empty()) else {
        return Ok(None);
    };
    let Ok(number) = text.parse::<i128>() else {
        return Err(Error::new(
            ScimType::InvalidValue,
            format!("`{name}` is a whole number"),
        ));
    };
    Ok(u64::try_from(number.clamp(0, i64::MAX.into())).ok())
}

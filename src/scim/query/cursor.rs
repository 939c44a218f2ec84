//! Cursors (RFC 9865): the place after which the next page starts. A cursor is opaque to clients and holds no more than
//! the answer before it showed; one that belongs to another query is refused.

use std::fmt::Write;
use std::hash::{DefaultHasher, Hash, Hasher};

use serde_json::Value;

use super::{Page, Query};
use crate::scim::schema::ResourceType;
use crate::scim::{Error, ScimType};

/// Where a page ended.
#[derive(Debug, Clone, PartialEq)]
pub struct Place {
    /// Row of its last resource.
    pub seq: i64,
    /// The value by which that resource was sorted: null where it has none, or nothing is sorted.
    pub sorted_by: Value,
}

impl Query {
    /// The cursor of the page after one that ended at `place`.
    pub fn cursor_after(&self, place: &Place, resource_type: ResourceType) -> String {
        let text = Value::from(vec![
            self.fingerprint(resource_type).into(),
            place.seq.into(),
            place.sorted_by.clone(),
        ])
        .to_string();
        text.bytes()
            .fold(String::with_capacity(text.len() * 2), |mut hex, byte| {
                // Writing to a String cannot fail.
                let _ = write!(hex, "{byte:02x}");
                hex
            })
    }

    /// Where the page that this query asks for starts: none for the first, and for one by index.
    pub fn place(&self, resource_type: ResourceType) -> Result<Option<Place>, Error> {
        let Page::Cursor {
            cursor: Some(cursor),
            ..
        } = &self.page
        else {
            return Ok(None);
        };
        match read(cursor) {
            Some((fingerprint, place)) if fingerprint == self.fingerprint(resource_type) => {
                Ok(Some(place))
            }
            _ => Err(Error::new(
                ScimType::InvalidCursor,
                "the cursor is not one of this query; start again without a value",
            )),
        }
    }

    /// What has to be the same in each page of a list.
    fn fingerprint(&self, resource_type: ResourceType) -> u64 {
        let mut hasher = DefaultHasher::new();
        let filter = self.filter.as_ref().map(ToString::to_string);
        let sort_by = self.sort_by.as_ref().map(ToString::to_string);
        (resource_type, filter, sort_by, self.descending).hash(&mut hasher);
        hasher.finish()
    }
}

fn read(cursor: &str) -> Option<(u64, Place)> {
    let (pairs, []) = cursor.as_bytes().as_chunks::<2>() else {
        return None;
    };
    let bytes: Vec<u8> = pairs
        .iter()
        .map(|pair| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok())
        .collect::<Option<_>>()?;
    let (fingerprint, seq, sorted_by) = serde_json::from_slice(&bytes).ok()?;
    Some((fingerprint, Place { seq, sorted_by }))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{CUSTOM_URN, Schemas};

    fn query(text: &str) -> Query {
        let schemas = Schemas::new(CUSTOM_URN, &[]);
        let pairs = form_urlencoded::parse(text.as_bytes());
        Query::from_pairs(pairs, ResourceType::User, &schemas).unwrap()
    }

    #[test]
    fn a_cursor_leads_back_to_its_place() {
        let place = Place {
            seq: 42,
            sorted_by: "Ö\"".into(),
        };
        let cursor = query("cursor&sortBy=userName").cursor_after(&place, ResourceType::User);
        let next = query(&format!("sortBy=userName&cursor={cursor}&count=5"));
        assert_eq!(next.place(ResourceType::User).unwrap(), Some(place));
        assert_eq!(query("cursor").place(ResourceType::User).unwrap(), None);
        let error = next.place(ResourceType::Group).unwrap_err();
        assert_eq!(error.kind, ScimType::InvalidCursor);
    }

    #[test]
    fn a_cursor_of_another_query_is_refused() {
        let place = Place {
            seq: 42,
            sorted_by: Value::Null,
        };
        let cursor = query("cursor&filter=active eq true").cursor_after(&place, ResourceType::User);
        for wrong in [
            cursor.as_str(),
            "ab",
            "a",
            "zz",
            "ü0",
            "5b5d",
            "5b302c302c305d",
        ] {
            let query = query(&format!("cursor={wrong}"));
            let error = query.place(ResourceType::User).unwrap_err();
            assert_eq!(error.kind, ScimType::InvalidCursor, "{wrong}");
        }
    }
}

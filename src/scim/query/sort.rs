//! The order of a sorted list (RFC 7644 §3.4.2.3).

use std::borrow::Cow;
use std::cmp::Ordering;

use serde_json::Value;

use super::Query;
use crate::scim::Object;
use crate::scim::filter::Scope;
use crate::scim::filter::evaluate::{Collation, Key, sorted_by};
use crate::scim::schema::{ResourceType, Schemas};

/// Bytes of a text that take part in the order, under its collation; a cursor holds them, and has to fit into a URL.
const KEY: usize = 256;

/// A resource's place in a list: its key, then the order of creation. What has no key comes last, or first where the
/// order is descending.
#[derive(Debug, Clone, PartialEq)]
pub struct Rank {
    /// What the list is sorted by; none too where it is not sorted.
    pub key: Option<Key<'static>>,
    /// Row of the resource.
    pub seq: i64,
    /// The highest key first.
    pub descending: bool,
}

impl Eq for Rank {}

impl PartialOrd for Rank {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Rank {
    fn cmp(&self, other: &Self) -> Ordering {
        let keys = match (&self.key, &other.key) {
            (Some(a), Some(b)) => a.partial_cmp(b).unwrap_or(Ordering::Equal),
            (Some(_), None) => Ordering::Less,
            (None, Some(_)) => Ordering::Greater,
            (None, None) => Ordering::Equal,
        };
        let keys = match self.descending {
            true => keys.reverse(),
            false => keys,
        };
        keys.then(self.seq.cmp(&other.seq))
    }
}

impl Query {
    /// The rank of the resource in row `seq`.
    pub fn rank(
        &self,
        resource: &Object,
        seq: i64,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Rank {
        let scope = Scope::Resource(resource_type, schemas);
        let value = self
            .sort_by
            .as_ref()
            .and_then(|attr| sorted_by(scope, resource, attr));
        self.rank_of(value, seq, resource_type, schemas)
    }

    /// The rank of what has this sort value: one of a resource, or one out of a cursor.
    pub fn rank_of(
        &self,
        value: Option<&Value>,
        seq: i64,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Rank {
        let scope = Scope::Resource(resource_type, schemas);
        let collation = self
            .sort_by
            .as_ref()
            .and_then(|attr| Collation::of(scope.meaning(attr).compared()?))
            // What no schema describes is sorted as text.
            .unwrap_or(Collation::Folded);
        Rank {
            key: value.and_then(|value| collation.key(value)).map(owned),
            seq,
            descending: self.descending,
        }
    }
}

impl Rank {
    /// The key as a value that a cursor can hold; it gives the same key again.
    pub fn value(&self) -> Value {
        match &self.key {
            None => Value::Null,
            Some(Key::Text(text)) => text.as_ref().into(),
            Some(Key::Boolean(boolean)) => (*boolean).into(),
            Some(Key::Instant(at)) => at.to_string().into(),
            Some(Key::Number(number)) => (*number).into(),
        }
    }
}

/// A key by itself. Of a text it keeps the beginning, here as in every rank, so that what comes out of a cursor compares
/// like what it was made of.
fn owned(key: Key<'_>) -> Key<'static> {
    match key {
        Key::Text(text) => {
            let beginning = text.get(..text.floor_char_boundary(KEY));
            Key::Text(Cow::Owned(beginning.unwrap_or_default().to_owned()))
        }
        Key::Boolean(boolean) => Key::Boolean(boolean),
        Key::Instant(at) => Key::Instant(at),
        Key::Number(number) => Key::Number(number),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::CUSTOM_URN;
    use serde_json::json;

    fn order(text: &str, resources: &[Value]) -> Vec<i64> {
        let schemas = Schemas::new(CUSTOM_URN, &[]);
        let pairs = form_urlencoded::parse(text.as_bytes());
        let query = Query::from_pairs(pairs, ResourceType::User, &schemas).unwrap();
        let mut ranks: Vec<_> = resources
            .iter()
            .zip(0..)
            .map(|(resource, seq)| {
                let resource = resource.as_object().unwrap();
                query.rank(resource, seq, ResourceType::User, &schemas)
            })
            .collect();
        ranks.sort();
        for rank in &ranks {
            let again = query.rank_of(Some(&rank.value()), rank.seq, ResourceType::User, &schemas);
            assert_eq!(*rank, again);
        }
        ranks.iter().map(|rank| rank.seq).collect()
    }

    #[test]
    fn sorts_by_text_primary_and_instant() {
        let people = [
            json!({"userName": "Zoe", "emails": [{"value": "b"}, {"value": "a", "primary": true}]}),
            json!({"userName": "anna", "meta": {"created": "2026-01-01T00:00:00+02:00"}}),
            json!({"userName": "Bea", "emails": [{"value": "B"}], "meta": {"created": "2025-12-31T23:00:00Z"}}),
            json!({"userName": "ANNA"}),
        ];
        for (query, expected) in [
            ("sortBy=userName", [1, 3, 2, 0]),
            ("sortBy=userName&sortOrder=descending", [0, 2, 1, 3]),
            ("sortBy=emails", [0, 2, 1, 3]),
            ("sortBy=emails.value&sortOrder=descending", [1, 3, 2, 0]),
            ("sortBy=meta.created", [1, 2, 0, 3]),
            ("", [0, 1, 2, 3]),
        ] {
            assert_eq!(order(query, &people), expected, "{query}");
        }
    }
}

//! Parameters of lists and searches, and cursors.

use std::borrow::Cow;

use scimlite::scim::query::cursor::Place;
use scimlite::scim::query::{Page, Query};
use scimlite::scim::schema::ResourceType;
use scimlite::scim::{Object, ScimType};
use serde_json::json;

use super::{SCHEMAS, TYPES, shown, world};

/// Any text as the query of a URL.
pub fn check(data: &[u8]) {
    let pairs: Vec<(Cow<str>, Cow<str>)> = form_urlencoded::parse(data).collect();
    for resource_type in TYPES {
        let query = Query::from_pairs(pairs.iter().cloned(), resource_type, &SCHEMAS);
        // A search with the same parameters is the same query; only a URL can hold a filter twice.
        let filters = pairs
            .iter()
            .filter(|(name, _)| name.eq_ignore_ascii_case("filter"));
        if filters.count() < 2 {
            let parameters = pairs
                .iter()
                .map(|(name, value)| (name.to_ascii_lowercase(), value.as_ref().into()));
            let search = Query::from_search(
                Object::from_iter(parameters).into(),
                resource_type,
                &SCHEMAS,
            );
            assert_eq!(search, query);
        }
        if let Ok(query) = query {
            check_page(&query, resource_type);
            check_order(&query, resource_type);
            check_projection(&query, resource_type);
        }
    }
}

fn check_page(query: &Query, resource_type: ResourceType) {
    match &query.page {
        Page::Index { start, count } => {
            assert!((1..=i64::MAX as u64).contains(start));
            assert!(count.is_none_or(|count| i64::try_from(count).is_ok()));
        }
        Page::Cursor { count, .. } => assert_ne!(*count, Some(0)),
    }
    if let Err(error) = query.place(resource_type) {
        assert_eq!(error.kind, ScimType::InvalidCursor);
    }
}

/// The order is one, and the cursor of any place leads back to it.
fn check_order(query: &Query, resource_type: ResourceType) {
    let resources = match resource_type {
        ResourceType::User => [world::person(), Object::new()],
        ResourceType::Group => [world::team(), Object::new()],
    };
    let mut ranks = Vec::new();
    for (resource, seq) in resources.iter().zip(1..) {
        let rank = query.rank(
            &shown(resource, resource_type),
            seq,
            resource_type,
            &SCHEMAS,
        );
        let place = Place {
            seq,
            sorted_by: rank.value(),
        };
        let mut next = query.clone();
        next.page = Page::Cursor {
            cursor: Some(query.cursor_after(&place, resource_type)),
            count: None,
        };
        assert_eq!(next.place(resource_type), Ok(Some(place)));
        next.descending = !next.descending;
        assert!(
            next.place(resource_type).is_err(),
            "a cursor of another order"
        );
        let value = rank.value();
        assert_eq!(
            query.rank_of(Some(&value), seq, resource_type, &SCHEMAS),
            rank
        );
        ranks.push(rank);
    }
    assert_eq!(
        ranks.first().cmp(&ranks.last()),
        ranks.last().cmp(&ranks.first()).reverse()
    );
    assert_ne!(ranks.first(), ranks.last());
}

/// A projection leaves out and adds nothing, keeps what is always returned, and done twice is done once.
fn check_projection(query: &Query, resource_type: ResourceType) {
    let mut whole = match resource_type {
        ResourceType::User => shown(&world::person(), resource_type),
        ResourceType::Group => shown(&world::team(), resource_type),
    };
    if resource_type == ResourceType::User {
        whole.insert("groups".to_owned(), json!([{"value": "1"}]));
    }
    let seen = query
        .projection
        .apply(whole.clone(), resource_type, &SCHEMAS);
    assert!(seen.contains_key("id") && seen.contains_key("schemas"));
    assert!(seen.keys().all(|name| whole.contains_key(name)));
    for name in ["members", "groups"] {
        assert!(
            query.projection.wants(name) || !seen.contains_key(name),
            "{name} was not to be read"
        );
    }
    assert_eq!(
        query
            .projection
            .apply(seen.clone(), resource_type, &SCHEMAS),
        seen
    );
}

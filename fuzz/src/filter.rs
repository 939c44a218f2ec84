//! Filters: text, tree, evaluation in memory and in SQL.

use scimlite::scim::filter::Filter;
use scimlite::scim::filter::parse::{MAX_DEPTH, MAX_TERMS};
use scimlite::scim::schema::ResourceType;
use scimlite::scim::{Object, ScimType};

use super::{SCHEMAS, TYPES, world};

/// Any text as a filter.
pub fn check(data: &[u8]) {
    let text = String::from_utf8_lossy(data);
    for resource_type in TYPES {
        match Filter::parse(&text, resource_type, &SCHEMAS) {
            Ok(filter) => check_filter(&filter, resource_type),
            Err(error) => assert_eq!(error.kind, ScimType::InvalidFilter),
        }
    }
}

/// It prints as it parses, keeps the limits, and finds the same in memory as SQL does.
fn check_filter(filter: &Filter, resource_type: ResourceType) {
    let printed = filter.to_string();
    let again = Filter::parse(&printed, resource_type, &SCHEMAS);
    assert_eq!(again.as_ref(), Ok(filter), "{printed}");
    let (terms, depth) = size(filter);
    // Besides what nests by itself, `and` and `or` stand on levels of their own.
    assert!(
        terms <= MAX_TERMS && depth <= 3 * MAX_DEPTH,
        "{terms} terms, {depth} deep"
    );
    let not = Filter::Not(Box::new(filter.clone()));
    let matches =
        |filter: &Filter, resource: &Object| filter.matches(resource, resource_type, &SCHEMAS);
    world::each(resource_type, |resource| {
        assert_ne!(matches(filter, resource), matches(&not, resource));
    });
    for filter in [filter, &not] {
        world::assert_sql_agrees(filter, resource_type);
    }
}

/// Comparisons and levels of a tree.
fn size(filter: &Filter) -> (usize, usize) {
    match filter {
        Filter::Present(_) | Filter::Compare { .. } => (1, 0),
        Filter::Not(inner) | Filter::Element { filter: inner, .. } => {
            let (terms, depth) = size(inner);
            (terms, depth + 1)
        }
        Filter::And(inner) | Filter::Or(inner) => {
            assert!(inner.len() > 1, "one term alone");
            let sizes = || inner.iter().map(size);
            let terms = sizes().map(|(terms, _)| terms).sum();
            (
                terms,
                1 + sizes().map(|(_, depth)| depth).max().unwrap_or(0),
            )
        }
    }
}

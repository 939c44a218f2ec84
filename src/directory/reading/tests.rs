//! That the lists of SQL and memory together are those of memory alone: what a filter selects, by whichever way, is
//! what [`Filter::matches`] says of every visible resource, and pages of any size hold it once, in one order.
//!
//! [`Filter::matches`]: crate::scim::filter::Filter::matches

mod asked;
mod made;

use std::borrow::Cow;

use proptest::collection::vec;
use proptest::prelude::*;
use rusqlite::params_from_iter;

use super::*;
use asked::asked;
use made::{crowds, directory, people};

fn query(pairs: &[(&str, &str)], resource_type: ResourceType, view: &View) -> Query {
    let pairs = pairs
        .iter()
        .map(|(name, value)| (Cow::from(*name), Cow::from(*value)));
    Query::from_pairs(pairs, resource_type, &view.schemas).unwrap_or_else(|error| panic!("{error}"))
}

fn list(
    connection: &Connection,
    view: &View,
    resource_type: ResourceType,
    query: Query,
) -> Listing {
    List::new(view.clone(), resource_type, query)
        .run(connection)
        .unwrap()
}

fn ids(listing: &Listing) -> Vec<String> {
    listing
        .resources
        .iter()
        .map(|shown| id(&resource(shown)))
        .collect()
}

fn id(resource: &Object) -> String {
    resource["id"].as_str().unwrap().to_owned()
}

fn resource(json: &[u8]) -> Object {
    serde_json::from_slice(json).unwrap()
}

/// Every visible resource of a type, whole, in the order of creation.
fn everything(connection: &Connection, view: &View, resource_type: ResourceType) -> Vec<Object> {
    let table = list::table(resource_type);
    let sql = format!(
        "SELECT id FROM {} WHERE {} ORDER BY seq",
        table.name, table.visible
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let ids = statement
        .query_map([], |row| row.get::<_, String>(0))
        .unwrap();
    ids.map(|id| {
        let stored = table.get(connection, &id.unwrap()).unwrap().unwrap();
        let of = view.read(connection, resource_type, stored, true).unwrap();
        view.whole(&of).unwrap()
    })
    .collect()
}

/// The ids that the SQL condition selects by itself.
fn by_sql(
    connection: &Connection,
    condition: &lower::Condition,
    resource_type: ResourceType,
) -> Vec<String> {
    let table = list::table(resource_type);
    let sql = format!(
        "SELECT id FROM {} WHERE {} AND {} ORDER BY seq",
        table.name, table.visible, condition.sql
    );
    let mut statement = connection.prepare(&sql).unwrap();
    let rows = statement
        .query_map(params_from_iter(&condition.parameters), |row| row.get(0))
        .unwrap();
    rows.map(Result::unwrap).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn sql_and_memory_agree(
        people in vec(people(), 0..9),
        crowds in vec(crowds(), 0..4),
        asked in vec(asked(), 12),
        count in 1..5usize,
    ) {
        let (connection, view) = directory(people, crowds);
        for (kind, filter, order, descending) in asked {
            let direction = if descending { "descending" } else { "ascending" };
            let base = [("filter", filter.as_str()), ("sortBy", order), ("sortOrder", direction)];
            let with = |more: &[(&str, &str)]| query(&[&base[..], more].concat(), kind, &view);
            let parsed = with(&[]).filter.unwrap();

            let expected: Vec<_> = everything(&connection, &view, kind)
                .into_iter()
                .filter(|shown| parsed.matches(shown, kind, &view.schemas))
                .collect();
            let expected_ids: Vec<_> = expected.iter().map(id).collect();
            let condition = lower::condition(Some(&parsed), kind, &view.schemas);
            let selected = by_sql(&connection, &condition, kind);
            if condition.exact {
                prop_assert_eq!(&selected, &expected_ids, "{} by SQL alone", filter);
            } else {
                prop_assert!(expected_ids.iter().all(|id| selected.contains(id)), "{} leaves out", filter);
            }

            let whole = list(&connection, &view, kind, with(&[("count", "1000")]));
            prop_assert_eq!(whole.total, expected.len() as u64, "{}", filter);
            for shown in &whole.resources {
                let resource = resource(shown);
                let same = expected.iter().find(|other| other["id"] == resource["id"]);
                let same = same.expect("one that matches");
                // In the same order, too.
                prop_assert_eq!(
                    serde_json::to_vec(same).unwrap(),
                    shown.as_slice(),
                    "{}",
                    filter
                );
            }
            let mut sorted = ids(&whole);
            if !order.is_empty() {
                sorted.sort_by_key(|id| expected_ids.iter().position(|other| other == id));
            }
            prop_assert_eq!(&sorted, &expected_ids, "{}", filter);

            let size = count.to_string();
            let (mut by_index, mut by_cursor, mut cursor) = (Vec::new(), Vec::new(), Some(String::new()));
            for start in (1..=expected.len()).step_by(count) {
                let start = start.to_string();
                let page = list(&connection, &view, kind, with(&[("startIndex", &start), ("count", &size)]));
                prop_assert_eq!(page.total, whole.total);
                by_index.extend(ids(&page));
            }
            while let Some(place) = cursor {
                let page = list(&connection, &view, kind, with(&[("cursor", &place), ("count", &size)]));
                prop_assert_eq!(page.total, whole.total);
                by_cursor.extend(ids(&page));
                cursor = page.next;
            }
            prop_assert_eq!(&by_index, &ids(&whole), "{} sorted by {} {}", filter, order, direction);
            prop_assert_eq!(&by_cursor, &ids(&whole), "{} sorted by {} {}", filter, order, direction);
        }
    }
}

//! That the filters of identity providers find their rows by an index. What SQLite plans is asked of the statements
//! that lists run, because `ORDER BY seq LIMIT` tempts it to walk the table in that order.

use proptest::collection::vec;
use proptest::prelude::*;
use proptest::sample::select;
use rusqlite::Connection;

use super::*;
use crate::scim::filter::Filter;
use crate::scim::schema::{CUSTOM_URN, ResourceType, Schemas};
use crate::store::lower;
use crate::store::open::SCHEMA;

/// What SQLite says that it does for a statement, line by line.
fn plan(connection: &Connection, sql: &str) -> Vec<String> {
    let mut statement = connection
        .prepare(&format!("EXPLAIN QUERY PLAN {sql}"))
        .unwrap();
    let lines = statement.raw_query();
    lines
        .mapped(|row| row.get("detail"))
        .map(Result::unwrap)
        .collect()
}

fn condition(text: &str, resource_type: ResourceType) -> Condition {
    let schemas = Schemas::new(CUSTOM_URN, &[]);
    let filter = Filter::parse(text, resource_type, &schemas).unwrap();
    lower::condition(Some(&filter), resource_type, &schemas)
}

/// Asserts that no statement of a list under this condition walks through `table`; their plans.
fn no_walk(table: &Table, condition: &Condition) -> Vec<Vec<String>> {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let count = format!("SELECT count(*) {}", table.matching(condition));
    let statements = [
        table.page_sql(condition),
        table.judged_sql(condition),
        table.place_sql(condition),
        count,
    ];
    statements
        .map(|sql| {
            let plan = plan(&connection, &sql);
            let search = format!("SEARCH {} ", table.name.trim_matches('"'));
            for line in &plan {
                let many = ["(rowid>?)", "user_status", "(modified>", "(modified<"];
                let walks = line.starts_with("SCAN ") && line != "SCAN below"
                    || line.starts_with(&search) && many.iter().any(|part| line.contains(part));
                assert!(!walks, "{sql}: {plan:#?}");
            }
            plan
        })
        .to_vec()
}

/// Asserts that a filter finds its rows in this way, whatever the list.
fn finds(table: &Table, resource_type: ResourceType, text: &str, by: &str) {
    let condition = condition(text, resource_type);
    assert!(condition.indexed, "{text}");
    for plan in no_walk(table, &condition) {
        let found = plan.iter().any(|line| line.contains(by));
        assert!(found, "{text}: {plan:#?}");
    }
}

/// How SQLite finds out whether a user belongs to a group.
const GROUPED: &str = "SEARCH group_user USING COVERING INDEX group_user_user (user=?)";

#[test]
fn a_list_by_index_comes_to_its_place_by_the_index_for_that() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let schemas = Schemas::new(CUSTOM_URN, &[]);
    let all = lower::condition(None, ResourceType::User, &schemas);
    assert_eq!(
        plan(&connection, &USERS.place_sql(&all)),
        ["SCAN user USING COVERING INDEX user_place"]
    );
    assert_eq!(
        plan(&connection, &USERS.page_sql(&all)),
        [
            "SEARCH user USING INTEGER PRIMARY KEY (rowid>?)",
            "CORRELATED SCALAR SUBQUERY 1",
            GROUPED
        ]
    );
    assert_eq!(plan(&connection, &USERS.judged_sql(&all)), ["SCAN user"]);
    let all = lower::condition(None, ResourceType::Group, &schemas);
    assert_eq!(plan(&connection, &GROUPS.place_sql(&all)), ["SCAN group"]);
}

#[test]
fn users_are_found_by_index() {
    for (filter, by) in [
        ("userName eq \"a\"", "user_visible_name (user_name_key=?"),
        ("id eq \"a\"", "(rowid=?"),
        ("externalId eq \"a\"", "user_external_id (external_id=?"),
        (
            "displayName eq \"a\"",
            "user_display_name (display_name_key=?",
        ),
        ("emails eq \"a\"", "user_email_value (value_key=?"),
        ("emails.value eq \"a\"", "user_email_value (value_key=?"),
        (
            "emails[type eq \"work\"].value eq \"a\"",
            "user_email_value (value_key=?",
        ),
        (
            "emails[type eq \"work\" and value eq \"a\"]",
            "user_email_value (value_key=?",
        ),
        (
            "meta.lastModified eq \"2026-01-01T00:00:00Z\"",
            "user_modified (modified=?",
        ),
        ("id eq \"a\" and manager eq \"b\"", "(rowid=?"),
        ("userName eq \"a\" and active eq true", "user_name_key=?"),
        ("externalId eq \"a\" and active eq true", "external_id=?"),
        (
            "(id eq \"a\" or displayName eq \"b\") and active eq true",
            "display_name_key=?",
        ),
        (
            "userName eq \"a\" or externalId eq \"b\"",
            "user_external_id (external_id=?",
        ),
        ("userName eq \"a\" or userName eq \"b\"", "user_name_key=?"),
        ("emails eq \"a\" or userName eq \"a\"", "user_email_value"),
    ] {
        finds(&USERS, ResourceType::User, filter, by);
    }
}

#[test]
fn groups_are_found_by_index() {
    for (filter, by) in [
        ("displayName eq \"a\"", "(display_name_key=?"),
        ("id eq \"a\"", "(rowid=?"),
        ("externalId eq \"a\"", "group_external_id (external_id=?"),
        ("members eq \"a\"", "group_user_user (user=?"),
        ("members.value eq \"a\"", "group_group_subgroup (subgroup=?"),
        ("id eq \"g\" and members eq \"a\"", "(rowid=?"),
        (
            "meta.lastModified eq \"2026-01-01T00:00:00Z\"",
            "group_modified (modified=?",
        ),
        (
            "displayName eq \"a\" or displayName eq \"b\"",
            "display_name_key=?",
        ),
    ] {
        finds(&GROUPS, ResourceType::Group, filter, by);
    }
}

/// A group may have 100,000 members: they are found by their group, and are not said to be few.
#[test]
fn users_of_a_group_are_found_by_it() {
    let condition = condition("groups eq \"g\"", ResourceType::User);
    assert!(!condition.indexed);
    for plan in no_walk(&USERS, &condition) {
        let by_group =
            |line: &String| line.contains("SEARCH group_user USING PRIMARY KEY (group=?");
        assert!(plan.iter().any(by_group), "{plan:#?}");
    }
}

/// Half of all users may be active: that filter finds by an index too, but is none that selects few.
#[test]
fn active_users_are_found_by_index_in_order() {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    let condition = condition("active eq true", ResourceType::User);
    assert!(!condition.indexed);
    let plan = plan(&connection, &USERS.page_sql(&condition));
    assert_eq!(
        plan,
        [
            "SEARCH user USING INDEX user_status (status=? AND rowid>?)",
            "CORRELATED SCALAR SUBQUERY 1",
            GROUPED
        ]
    );
}

/// Filters within the limits of their grammar, some of which exceed those of a statement.
#[test]
fn what_is_too_much_for_a_statement_is_left_to_memory() {
    let nested = |depth: usize, wrap: fn(String) -> String| {
        (0..depth).fold("userName eq \"x\"".to_owned(), |filter, _| wrap(filter))
    };
    let joined = |count: usize, word: &str, term: &str| vec![term; count].join(word);
    let by_index = |filter| format!("({filter} or externalId eq \"q\") and emails.value eq \"y\"");
    let wide = |filter| {
        let terms = ["emails.value eq \"y\""; 22].join(" and ");
        format!("({filter} or externalId eq \"q\") and {terms}")
    };
    for (filter, fits) in [
        (nested(25, by_index), false),
        (nested(3, by_index), true),
        (nested(9, wide), false),
        (joined(256, " or ", "groups.value eq \"g\""), false),
        (joined(256, " and ", "groups.value eq \"g\""), false),
        (joined(256, " or ", "userName eq \"a\""), true),
        (joined(256, " and ", "not (active eq true)"), true),
    ] {
        let connection = Connection::open_in_memory().unwrap();
        connection.execute_batch(SCHEMA).unwrap();
        let condition = condition(&filter, ResourceType::User);
        let taken = USERS.within_bounds(&connection, &condition);
        let start = filter.get(..60).unwrap_or(&filter);
        assert_eq!(!taken.is_met_by_all(), fits, "{start}");
        assert!(fits || !taken.exact, "{start}");
        for sql in [
            USERS.page_sql(&taken),
            USERS.judged_sql(&taken),
            USERS.place_sql(&taken),
            format!("SELECT count(*) {}", USERS.matching(&taken)),
        ] {
            let run = taken.run(&connection, &sql, |_| Ok::<_, Error>(()));
            assert!(run.is_ok(), "{start}: {run:?}");
        }
    }
}

fn filters(terms: &'static [&'static str]) -> impl Strategy<Value = String> {
    let leaf = select(terms).prop_map(str::to_owned);
    leaf.prop_recursive(3, 10, 3, |inner| {
        let joined =
            |word: &'static str| move |terms: Vec<String>| format!("({})", terms.join(word));
        prop_oneof![
            3 => vec(inner.clone(), 2..4).prop_map(joined(" and ")),
            3 => vec(inner.clone(), 2..4).prop_map(joined(" or ")),
            1 => inner.prop_map(|term| format!("not ({term})")),
        ]
    })
}

const USER_TERMS: [&str; 11] = [
    "id eq \"a\"",
    "userName eq \"a\"",
    "externalId eq \"a\"",
    "displayName eq \"a\"",
    "emails eq \"a\"",
    "emails[type eq \"work\" and value eq \"a\"]",
    "groups eq \"a\"",
    "active eq true",
    "meta.lastModified eq \"2026-01-01T00:00:00Z\"",
    "meta.lastModified gt \"2026-01-01T00:00:00Z\"",
    "title eq \"a\"",
];
const GROUP_TERMS: [&str; 6] = [
    "id eq \"a\"",
    "displayName eq \"a\"",
    "externalId eq \"a\"",
    "members eq \"a\"",
    "meta.lastModified lt \"2026-01-01T00:00:00Z\"",
    "members[type eq \"User\"]",
];

proptest! {
    #[test]
    fn what_is_said_to_be_few_is_never_found_by_a_walk(user in filters(&USER_TERMS), group in filters(&GROUP_TERMS)) {
        let condition = condition(&user, ResourceType::User);
        if condition.indexed {
            no_walk(&USERS, &condition);
        }
        let condition = self::condition(&group, ResourceType::Group);
        if condition.indexed {
            no_walk(&GROUPS, &condition);
        }
    }

    #[test]
    fn ranks_that_are_kept_are_those_of_the_page(
        order in Just((0..60_i64).collect::<Vec<_>>()).prop_shuffle(),
        seen in 0..60_usize,
        skip in 0..70_u64,
        count in 0..70_u64,
    ) {
        let rank = |seq: &i64| Rank { key: None, seq: *seq, descending: false };
        let mut ranks = Ranks::new(skip, count, 60);
        let mut sorted = order[..seen].to_vec();
        sorted.iter().for_each(|seq| ranks.push(rank(seq)));
        prop_assert!(ranks.first.len() + ranks.last.len() <= (60 + count as usize) / 2);
        sorted.sort_unstable();
        let page = |ranks: &mut dyn Iterator<Item = i64>| ranks.take(count as usize).collect::<Vec<_>>();
        let found = page(&mut ranks.behind(skip).map(|rank| rank.seq));
        prop_assert_eq!(found, page(&mut sorted.into_iter().skip(skip as usize)));
    }
}

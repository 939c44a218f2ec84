//! What holds for every filter: it prints as it parses, and no text makes the parser or the evaluation panic.

use proptest::prelude::*;
use serde_json::{Number, Value};

use super::tests::{parse, schemas, user};
use super::{CompareOp, Filter, Literal};
use crate::scim::path::AttrPath;
use crate::scim::schema::{self, CUSTOM_URN, ENTERPRISE_URN, ResourceType, USER, USER_URN};

fn literals() -> impl Strategy<Value = Literal> {
    prop_oneof![
        any::<String>().prop_map(Literal::String),
        "[a-z0-9.@+-]{0,6}".prop_map(Literal::String),
        any::<bool>().prop_map(Literal::Boolean),
        any::<u64>().prop_map(|number| Literal::Number(number.into())),
        any::<i64>().prop_map(|number| Literal::Number(number.into())),
        (-1e300..1e300).prop_map(|number| Literal::Number(Number::from_f64(number).unwrap())),
    ]
}

fn names(names: &'static [&'static str]) -> impl Strategy<Value = String> {
    prop_oneof![
        proptest::sample::select(names).prop_map(str::to_owned),
        "[x-z][a-zA-Z0-9_$-]{1,6}",
        Just("not".to_owned()),
        Just("OR".to_owned()),
    ]
}

/// A `pr`, or a comparison that fits a text attribute.
fn comparisons(attr: impl Strategy<Value = AttrPath>) -> impl Strategy<Value = Filter> {
    (attr, 0..10usize, literals()).prop_map(|(attr, op, value)| match CompareOp::ALL.get(op) {
        Some(&op) => Filter::Compare { attr, op, value },
        None => Filter::Present(attr),
    })
}

fn trees(leaf: impl Strategy<Value = Filter> + 'static) -> impl Strategy<Value = Filter> {
    leaf.prop_recursive(5, 40, 4, |inner| {
        prop_oneof![
            proptest::collection::vec(inner.clone(), 2..5).prop_map(Filter::And),
            proptest::collection::vec(inner.clone(), 2..5).prop_map(Filter::Or),
            inner.prop_map(|filter| Filter::Not(Box::new(filter))),
        ]
    })
}

fn attr_path(urn: Option<&str>, name: String) -> AttrPath {
    AttrPath {
        urn: urn.map(Into::into),
        name,
        sub: None,
    }
}

fn filters() -> impl Strategy<Value = Filter> {
    let sub = names(&["type", "Value", "display"]).prop_map(|name| attr_path(None, name));
    let element = trees(comparisons(sub)).prop_map(|filter| Filter::Element {
        attr: attr_path(None, "emails".to_owned()),
        filter: Box::new(filter),
    });
    let plain = names(&["userName", "EMAILS", "title", "manager", "id"])
        .prop_map(|name| attr_path(None, name));
    let qualified = (
        proptest::sample::select(&[USER_URN, ENTERPRISE_URN, CUSTOM_URN, "urn:x:2.0:User"][..]),
        names(&["nickName", "department"]),
    )
        .prop_map(|(urn, name)| attr_path(Some(urn), name));
    let leaf = prop_oneof![
        3 => comparisons(plain),
        2 => comparisons(qualified),
        1 => element,
    ];
    trees(leaf)
}

proptest! {
    #[test]
    fn prints_as_it_parses(filter in filters()) {
        let printed = filter.to_string();
        prop_assert_eq!(parse(&printed), Ok(filter), "{}", printed);
    }

    #[test]
    fn evaluates_alike_after_printing_and_never_panics(filter in filters()) {
        let printed = parse(&filter.to_string()).unwrap();
        let matches = |filter: &Filter| filter.matches(&user(), ResourceType::User, &schemas());
        prop_assert_eq!(matches(&filter), matches(&printed));
    }

    #[test]
    fn what_is_implied_matches(filter in trees(comparisons(
        names(&["type", "value"]).prop_map(|name| attr_path(None, name)),
    ))) {
        let emails = schema::find(&USER.attributes, "emails").unwrap();
        if let Some(element) = filter.implied(emails) {
            prop_assert!(filter.matches_element(&Value::Object(element), emails));
        }
    }

    #[test]
    fn no_text_panics(text in any::<String>(), tokens in proptest::collection::vec(
        proptest::sample::select(&[
            "emails", "userName", "é", "[", "]", "(", ")", ".", ":", " ", "\"", "\\", "not", "and", "or", "eq",
            "pr", "gt", "true", "null", "1e9", "\u{1F600}", "\"x\"", "\t",
        ][..]),
        0..24,
    )) {
        let _ = parse(&text);
        let text = tokens.concat();
        if let Ok(filter) = parse(&text) {
            prop_assert_eq!(parse(&filter.to_string()), Ok(filter), "{}", text);
        }
    }

    #[test]
    fn no_mutation_of_a_filter_panics(
        filter in filters(),
        edits in proptest::collection::vec((any::<proptest::sample::Index>(), any::<Option<char>>()), 1..6),
    ) {
        let mut text: Vec<char> = filter.to_string().chars().collect();
        for (at, edit) in edits {
            let at = at.index(text.len() + 1);
            match edit {
                Some(c) => text.insert(at, c),
                None if at < text.len() => {
                    text.remove(at);
                }
                None => {}
            }
        }
        let text: String = text.into_iter().collect();
        if let Ok(filter) = parse(&text) {
            prop_assert_eq!(parse(&filter.to_string()), Ok(filter), "{}", text);
        }
    }
}

//! What holds for every user and any mappings: what is sure by what is stored is what the mappings said, or would have
//! said, of all that was sent, whatever was dropped.

use proptest::prelude::*;
use proptest::sample::select;
use serde_json::{Value, json};

use super::*;
use crate::scim::resource;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN};

const KEPT_URN: &str = "urn:example:kept";

/// Attributes that are kept: by a schema, by the configuration, in an extension that is kept whole.
const KEPT: &[&str] = &[
    "title",
    "nickName",
    "team",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:userPrincipalName",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:team",
    "urn:example:kept:floor",
];
/// Attributes that are dropped, some of them under the name of one that is kept elsewhere.
const DROPPED: &[&str] = &[
    "company",
    "Company",
    "department",
    "userPrincipalName",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:company",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:title",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:userPrincipalName",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:team",
    "urn:ietf:params:scim:schemas:core:2.0:User:company",
    "urn:example:other:2.0:User:floor",
];
/// What a mapping may call an attribute.
const NAMES: &[&str] = &[
    "title",
    "Title",
    "team",
    "department",
    "company",
    "userPrincipalName",
    "floor",
    "urn:ietf:params:scim:schemas:core:2.0:User:title",
    "urn:ietf:params:scim:schemas:core:2.0:User:company",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "URN:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:userPrincipalName",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:company",
    "urn:example:kept:floor",
    "urn:example:other:2.0:User:floor",
];

/// What a mapping may call an attribute whose letter case nobody sends otherwise.
const PLAIN: &[&str] = &[
    "title",
    "team",
    "department",
    "userPrincipalName",
    "floor",
    "urn:ietf:params:scim:schemas:core:2.0:User:title",
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:title",
    "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:userPrincipalName",
    "urn:example:kept:floor",
    "urn:example:other:2.0:User:floor",
];

fn schemas() -> Schemas {
    Schemas::new(CUSTOM_URN, &[KEPT_URN.to_owned(), "team".to_owned()])
}

/// Some of `names` with a value each.
fn some(
    names: &'static [&'static str],
) -> impl Strategy<Value = Vec<(&'static str, &'static str)>> {
    proptest::collection::vec((select(names), select(&["a", "b"][..])), 0..5)
}

fn parse(attributes: &[(&str, &str)]) -> Parsed {
    let mut body = json!({"userName": "anna@example.test"});
    for (name, value) in attributes {
        body[*name] = Value::from(*value);
    }
    resource::parse(body, ResourceType::User, &schemas()).unwrap()
}

fn filters() -> impl Strategy<Value = String> {
    let term = (
        select(NAMES),
        select(&["eq \"a\"", "ne \"a\"", "pr", "sw \"b\"", "eq null"][..]),
    )
        .prop_map(|(name, test)| format!("{name} {test}"));
    term.prop_recursive(3, 12, 3, |inner| {
        let two = (inner.clone(), select(&["and", "or"][..]), inner.clone());
        prop_oneof![
            two.prop_map(|(one, word, other)| format!("({one}) {word} ({other})")),
            inner.prop_map(|term| format!("not ({term})")),
        ]
    })
}

fn conditions() -> impl Strategy<Value = Condition> {
    let values = proptest::collection::vec(select(&["a", "b"][..]).prop_map(str::to_owned), 0..2);
    prop_oneof![
        1 => Just(Condition::Any),
        5 => (select(NAMES), values).prop_map(|(name, values)| Condition::Attribute {
            name: name.to_owned(),
            values,
        }),
        5 => filters().prop_map(Condition::Filter),
    ]
}

fn mappings(conditions: Vec<Condition>) -> Vec<Mapping> {
    let mapping = |(condition, id): (Condition, i64)| Mapping {
        id,
        name: id.to_string(),
        condition,
        profile: 1,
        storage: 1,
        profile_name: "Default".to_owned(),
        storage_name: "Default".to_owned(),
        quota_gb: None,
        activation_email: false,
    };
    conditions.into_iter().zip(1..).map(mapping).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2_000))]

    #[test]
    fn what_is_sure_by_what_is_stored_is_true_of_all_that_was_sent(
        conditions in proptest::collection::vec(conditions(), 1..4),
        kept in some(KEPT),
        dropped in some(DROPPED),
    ) {
        let schemas = schemas();
        let rules = Rules::new(mappings(conditions), &schemas);
        let stored = parse(&kept).attributes;
        let sent = parse(&[kept, dropped].concat());
        prop_assert_eq!(&sent.attributes, &stored, "nothing of the rest is kept");

        let known = rules.decide(Seen::Stored(&stored));
        let told = rules.decide(Seen::Sent(&sent));
        prop_assert!(told.known);
        for (known, told) in known.tried.iter().zip(&told.tried) {
            prop_assert!(known.matched.is_none() || known.matched == told.matched, "{:?} {:?}", known, told);
        }
        if known.known {
            prop_assert_eq!(known.winner, told.winner);
        }
    }

    /// A filter and an attribute look a name up alike, and know alike whether what they find is all.
    #[test]
    fn a_filter_finds_what_an_attribute_finds(name in select(PLAIN), kept in some(KEPT), dropped in some(DROPPED)) {
        let schemas = schemas();
        let stored = parse(&kept).attributes;
        let sent = parse(&[kept, dropped].concat());
        let [attribute, filter] = [
            Condition::Attribute { name: name.to_owned(), values: vec!["a".to_owned()] },
            Condition::Filter(format!("{name} eq \"a\"")),
        ].map(|condition| {
            let rules = Rules::new(mappings(vec![condition]), &schemas);
            [Seen::Sent(&sent), Seen::Stored(&stored)].map(|seen| rules.decide(seen).tried[0].matched)
        });
        prop_assert_eq!(attribute, filter);
    }

    /// What is unknown is so for a reason: an attribute alone may be matched or not, by what was dropped (or was, before the
    /// configuration kept it).
    #[test]
    fn what_is_unknown_of_an_attribute_may_be_either(name in select(NAMES), kept in some(KEPT)) {
        let schemas = schemas();
        let values = vec!["mine".to_owned()];
        let condition = Condition::Attribute { name: name.to_owned(), values };
        let rules = Rules::new(mappings(vec![condition]), &schemas);
        let stored = parse(&kept).attributes;
        let is_kept = name.starts_with(KEPT_URN) || name.ends_with("team");
        if is_kept || rules.decide(Seen::Stored(&stored)).known {
            return Ok(());
        }
        let matched = |value| {
            let bare = name.rsplit(':').next().unwrap();
            let places = [
                name.to_owned(),
                bare.to_owned(),
                format!("{CUSTOM_URN}:{bare}"),
                format!("{ENTERPRISE_URN}:{bare}"),
            ];
            places.iter().any(|place| {
                let sent = parse(&[kept.as_slice(), &[(place.as_str(), value)]].concat());
                sent.attributes == stored && rules.decide(Seen::Sent(&sent)).winner.is_some()
            })
        };
        prop_assert!(matched("mine") && !matched("other"), "{} {:?}", name, kept);
    }
}

#[test]
fn a_name_is_sure_where_no_place_before_its_value_is_dropped() {
    let schemas = schemas();
    for (name, kept, expected) in [
        // The first place of a bare name is the custom extension, which drops nearly all.
        ("title", &["title"][..], None),
        (
            "department",
            &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"],
            None,
        ),
        ("company", &[], None),
        // What the configuration keeps is known, in the custom extension and at the root; not in the enterprise one.
        (
            "team",
            &["urn:ietf:params:scim:schemas:extension:Druva:2.0:User:team"],
            Some(true),
        ),
        ("team", &["team"], None),
        (
            "userPrincipalName",
            &["urn:ietf:params:scim:schemas:extension:Druva:2.0:User:userPrincipalName"],
            Some(true),
        ),
        ("userPrincipalName", &[], None),
        // A name behind the URN of a schema means that schema alone.
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:title",
            &["title"],
            Some(true),
        ),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:title",
            &[],
            Some(false),
        ),
        (
            "urn:ietf:params:scim:schemas:core:2.0:User:company",
            &[],
            None,
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            &["urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department"],
            Some(true),
        ),
        (
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department",
            &[],
            Some(false),
        ),
        (
            "urn:example:kept:floor",
            &["urn:example:kept:floor"],
            Some(true),
        ),
        // That may have been dropped before the configuration kept it.
        ("urn:example:kept:floor", &[], None),
        (
            "urn:ietf:params:scim:schemas:extension:Druva:2.0:User:team",
            &[],
            None,
        ),
        ("urn:example:other:2.0:User:floor", &[], None),
    ] {
        let condition = Condition::Attribute {
            name: name.to_owned(),
            values: vec!["a".to_owned()],
        };
        let rules = Rules::new(mappings(vec![condition]), &schemas);
        let kept: Vec<_> = kept.iter().map(|name| (*name, "a")).collect();
        let decision = rules.decide(Seen::Stored(&parse(&kept).attributes));
        assert_eq!(decision.tried[0].matched, expected, "{name} {kept:?}");
        if expected.is_none() {
            assert!(decision.tried[0].why.contains("is kept; cannot know"));
            assert!(!decision.known && decision.winner.is_none());
        }
    }
}

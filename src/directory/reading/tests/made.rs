//! Directories in memory, with few different values, so that comparisons hit.

use jiff::Timestamp;
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::directory::view::View;
use crate::scim::Object;
use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, ResourceType, Schemas};
use crate::store::audit;
use crate::store::groups::{self, Group, MemberRow};
use crate::store::open::SCHEMA;
use crate::store::users::{self, Account, Assignment, ManagedBy, PreservedBy, Standing, User};

/// Names and other texts, many of them the same but for letter case, composition or what a file name cannot hold.
pub const WORDS: [&str; 13] = [
    "anna",
    "Anna",
    "ANNA",
    "änne",
    "A\u{308}NNE",
    "straße",
    "STRASSE",
    "a?b",
    "a*b",
    "A_B",
    "b",
    "u1",
    "g1",
];
pub const ADDRESSES: [&str; 4] = ["a@x.test", "A@X.test", "straße@x.test", "b@x.test"];
pub const TYPES: [&str; 3] = ["work", "Home", "other"];
/// When things happened, a millisecond apart.
const INSTANTS: [&str; 3] = [
    "2026-01-01T00:00:00Z",
    "2026-01-01T00:00:00.001Z",
    "2026-01-01T00:00:00.002Z",
];
/// A person, from which a row is made.
#[derive(Debug, Clone)]
pub struct Person {
    attributes: Object,
    visible: bool,
    modified: usize,
}

/// A group, its members by their place among the people and then the groups.
#[derive(Debug, Clone)]
pub struct Crowd {
    name: String,
    external_id: Option<&'static str>,
    members: Vec<usize>,
    modified: usize,
}

pub fn people() -> impl Strategy<Value = Person> {
    let word = || option::of(select(&WORDS[..]));
    let email = (
        select(&ADDRESSES[..]),
        option::of(select(&TYPES[..])),
        any::<bool>(),
    );
    let texts = [word(), word(), word(), word(), word()];
    (select(&WORDS[..]), texts, vec(email, 0..3), any::<bool>(), 0..10usize, 0..3usize).prop_map(
        |(user_name, [display, external, title, given, department], emails, active, seen, modified)| {
            let emails: Vec<_> = emails
                .into_iter()
                .map(|(value, kind, primary)| without_nulls(json!({"value": value, "type": kind, "primary": primary})))
                .collect();
            let body = json!({
                "userName": user_name, "displayName": display, "externalId": external, "title": title,
                "active": active, "name": given.map(|given| json!({"givenName": given})),
                "emails": (!emails.is_empty()).then_some(emails),
                ENTERPRISE_URN: department.map(|department| json!({"department": department})),
            });
            Person { attributes: without_nulls(body), visible: seen > 0, modified }
        },
    )
}

fn without_nulls(value: Value) -> Object {
    let Value::Object(mut members) = value else {
        unreachable!("it is made as an object")
    };
    members.retain(|_, member| !member.is_null());
    members
}

pub fn crowds() -> impl Strategy<Value = Crowd> {
    (
        select(&WORDS[..]),
        option::of(select(&WORDS[..])),
        vec(0..12usize, 0..5),
        0..3usize,
    )
        .prop_map(|(name, external_id, members, modified)| Crowd {
            name: name.to_owned(),
            external_id,
            members,
            modified,
        })
}

/// Ids that users may have.
pub const U0: &str = "user--------------------000000000001";
pub const U1: &str = "user--------------------000000000002";
pub const U2: &str = "user--------------------000000000003";
/// Ids that groups may have.
pub const G0: &str = "group-------------------000000000001";
pub const G1: &str = "group-------------------000000000002";
pub const G2: &str = "group-------------------000000000003";
/// Ids that nobody has, but a user and a group in other letters.
pub const OTHER_USER: &str = "USER--------------------000000000002";
pub const OTHER_GROUP: &str = "GROUP-------------------000000000002";

/// A directory of such people and groups in memory, with the ids [`U0`]… and [`G0`]….
pub fn directory(people: Vec<Person>, crowds: Vec<Crowd>) -> (Connection, View) {
    let connection = Connection::open_in_memory().unwrap();
    connection.execute_batch(SCHEMA).unwrap();
    connection
        .execute_batch(
            "PRAGMA foreign_keys = ON; INSERT INTO profile (id, name) VALUES (1, 'p');
             INSERT INTO storage (id, name, enabled) VALUES (1, 's', 1);",
        )
        .unwrap();
    let at = |index: usize| INSTANTS[index].parse::<Timestamp>().unwrap();
    audit::insert_genesis(&connection, at(0)).unwrap();
    let mut members = Vec::new();
    for (number, person) in people.into_iter().enumerate() {
        let user_name = person.attributes["userName"].as_str().unwrap().to_owned();
        if person.visible && users::named(&connection, &user_name).unwrap().is_some() {
            continue;
        }
        let active = person.attributes["active"] == true;
        let seq = number as i64 + 1;
        let user = User {
            seq,
            id: format!("user--------------------{seq:012}"),
            resource: person.attributes,
            version: number as i64,
            account: Account {
                username: user_name.clone(),
                email: user_name.clone(),
                name: user_name,
                upn: None,
            },
            standing: Standing {
                preserved: (!active).then_some((PreservedBy::Idp, at(0))),
                managed_by: ManagedBy::Idp,
                visible: person.visible,
                legal_hold: false,
            },
            assignment: Assignment {
                profile: 1,
                storage: 1,
                quota_gb: None,
                mapping: None,
                activation_email: false,
            },
            created: at(0),
            modified: at(person.modified),
        };
        let author = users::Author {
            actor: "test",
            reason: "a test",
            row: 1,
        };
        users::insert(&connection, &user, json!(user.resource).to_string(), author).unwrap();
        if person.visible {
            members.push(MemberRow {
                kind: ResourceType::User,
                seq,
            });
        }
    }
    let mut made = Vec::new();
    for (number, crowd) in crowds.into_iter().enumerate() {
        if groups::named(&connection, &crowd.name).unwrap().is_some() {
            continue;
        }
        let seq = number as i64 + 1;
        let group = Group {
            seq,
            id: format!("group-------------------{seq:012}"),
            resource: without_nulls(
                json!({"displayName": crowd.name, "externalId": crowd.external_id}),
            ),
            version: 1,
            created: at(0),
            modified: at(crowd.modified),
        };
        groups::insert(&connection, &group, json!(group.resource).to_string()).unwrap();
        members.push(MemberRow {
            kind: ResourceType::Group,
            seq,
        });
        made.push((seq, crowd.members));
    }
    for (group, wanted) in made {
        for member in wanted.into_iter().filter_map(|index| members.get(index)) {
            groups::add_member(&connection, group, *member).unwrap();
        }
    }
    let view = View {
        schemas: Schemas::new(CUSTOM_URN, &[]).into(),
        base: "https://scim.example.test/scim".into(),
    };
    (connection, view)
}

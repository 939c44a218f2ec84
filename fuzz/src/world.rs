//! A few users and groups in a database, and what SCIM shows of them.

use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::{Connection, params_from_iter};
use scimlite::directory::view::View;
use scimlite::scim::Object;
use scimlite::scim::filter::Filter;
use scimlite::scim::resource;
use scimlite::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, ResourceType};
use scimlite::store::users::{self, Account, Assignment, ManagedBy, PreservedBy, Standing, User};
use scimlite::store::{groups, list, lower, mappings, open};
use serde_json::{Value, json};

use super::{OPEN_URN, SCHEMAS, text};

/// A stored user that has a bit of everything.
pub fn person() -> Object {
    stored(
        json!({
            "userName": "Anna@example.test", "externalId": "A1", "active": true, "displayName": "Änna",
            "name": {"givenName": "Anna", "familyName": "Straße"}, "title": "v4lue", "company": {"a": 1, "b": ["x"]},
            "emails": [
                {"value": "anna@example.test", "type": "work", "primary": true},
                {"value": "a@home.test", "type": "home"}
            ],
            "addresses": [{"type": "work", "locality": "v4lue", "formatted": "a\nb"}],
            "roles": [{"value": "v4lue", "primary": true}, {"value": "admin", "display": "Admin"}],
            ENTERPRISE_URN: {"department": "v4lue", "manager": {"value": "1", "displayName": "Boss"}},
            CUSTOM_URN: {"userPrincipalName": "anna@upn.test"},
            OPEN_URN: {"size": {"a": 1, "b": "2"}, "Count": 7, "on": true},
        }),
        ResourceType::User,
    )
}

/// A stored group with members in its attributes.
pub fn team() -> Object {
    let members = json!([{"value": "1", "type": "User"}, {"value": "2"}]);
    stored(
        json!({"displayName": "v4lue", "externalId": "G1", "members": members}),
        ResourceType::Group,
    )
}

fn stored(body: Value, resource_type: ResourceType) -> Object {
    resource::parse(body, resource_type, &SCHEMAS)
        .expect("a body")
        .attributes
}

struct World {
    connection: Connection,
    users: Vec<(String, Object)>,
    groups: Vec<(String, Object)>,
}

thread_local! {
    static WORLD: World = World::new().expect("a database");
}

impl World {
    fn new() -> Result<Self, scimlite::store::Error> {
        let connection = Connection::open_in_memory()?;
        connection.execute_batch(open::SCHEMA)?;
        mappings::insert_defaults(&connection)?;
        let view = View {
            schemas: Arc::new(SCHEMAS.clone()),
            base: "https://scim.example.test/scim".into(),
        };
        let bodies = [
            Value::Object(person()),
            json!({"userName": "bob*", "active": false, "title": "v4lue", "emails": [{"value": "ANNA@example.test"}]}),
            json!({"userName": "STRASSE", "active": true, "externalId": "a1", "roles": [{"value": "admin"}]}),
            json!({"userName": "straße/?", "active": true, "name": {"formatted": "x"}}),
        ];
        let mut people = Vec::new();
        for (body, number) in bodies.into_iter().zip(1..) {
            let user = user(stored(body, ResourceType::User), number);
            let author = users::Author {
                actor: "test",
                reason: "a test",
                row: 1,
            };
            users::insert(&connection, &user, text(&user.resource), author)?;
            people.push(user);
        }
        let mut teams = Vec::new();
        for (number, members) in [(8, &[1, 2][..]), (9, &[8, 3])] {
            let resource = stored(
                json!({"displayName": format!("Team {number}")}),
                ResourceType::Group,
            );
            let at = instant(number);
            let group = groups::Group {
                seq: number,
                id: id(number),
                resource,
                version: 1,
                created: at,
                modified: at,
            };
            groups::insert(&connection, &group, text(&group.resource))?;
            for number in members {
                let member = groups::find_member(&connection, &id(*number))?.expect("a member");
                groups::add_member(&connection, group.seq, member)?;
            }
            teams.push(group);
        }
        let whole = |resource_type, id: &str| {
            let stored = list::table(resource_type)
                .get(&connection, id)?
                .expect("it was stored");
            let whole = view.read(&connection, resource_type, stored, true)?;
            let resource = view.whole(&whole)?;
            Ok((whole.stored.id, resource))
        };
        let users = people
            .iter()
            .map(|user| whole(ResourceType::User, &user.id));
        let users = users.collect::<Result<_, scimlite::store::Error>>()?;
        let groups = teams
            .iter()
            .map(|group| whole(ResourceType::Group, &group.id));
        let groups = groups.collect::<Result<_, scimlite::store::Error>>()?;
        Ok(Self {
            connection,
            users,
            groups,
        })
    }

    fn resources(&self, resource_type: ResourceType) -> &[(String, Object)] {
        match resource_type {
            ResourceType::User => &self.users,
            ResourceType::Group => &self.groups,
        }
    }

    /// The ids that an SQL condition selects.
    fn selected(&self, resource_type: ResourceType, condition: &lower::Condition) -> Vec<String> {
        let list::Table { name, visible, .. } = list::table(resource_type);
        let sql = format!(
            "SELECT id FROM {name} WHERE {visible} AND {}",
            condition.sql
        );
        let mut statement = self.connection.prepare(&sql).expect("a statement");
        let ids = statement.query_map(params_from_iter(&condition.parameters), |row| row.get(0));
        ids.and_then(Iterator::collect).expect("rows")
    }
}

fn user(resource: Object, number: i64) -> User {
    let name = resource["userName"].as_str().unwrap_or_default();
    let at = instant(number);
    User {
        seq: number,
        id: id(number),
        version: 1,
        account: Account {
            username: users::sanitised(name),
            email: name.to_owned(),
            name: name.to_owned(),
            upn: None,
        },
        standing: Standing {
            preserved: (resource["active"] == false).then_some((PreservedBy::Idp, at)),
            managed_by: ManagedBy::Idp,
            visible: true,
            legal_hold: false,
        },
        assignment: Assignment {
            profile: 1,
            storage: 1,
            quota_gb: None,
            mapping: None,
            activation_email: false,
        },
        created: at,
        modified: at,
        resource,
    }
}

/// The id of the row with this number.
fn id(number: i64) -> String {
    format!("{number:036}")
}

fn instant(number: i64) -> Timestamp {
    Timestamp::from_millisecond(1_769_860_800_000 + number).expect("an instant")
}

/// Shows every resource of a type.
pub fn each(resource_type: ResourceType, show: impl Fn(&Object)) {
    WORLD.with(|world| {
        world
            .resources(resource_type)
            .iter()
            .for_each(|(_, resource)| show(resource))
    });
}

/// The SQL condition of a filter leaves out nothing that matches in memory and, where it says that it is exact, selects
/// nothing else.
pub fn assert_sql_agrees(filter: &Filter, resource_type: ResourceType) {
    WORLD.with(|world| {
        let condition = lower::condition(Some(filter), resource_type, &SCHEMAS);
        let selected = world.selected(resource_type, &condition);
        for (id, resource) in world.resources(resource_type) {
            let matches = filter.matches(resource, resource_type, &SCHEMAS);
            let selected = selected.contains(id);
            assert!(
                selected || !matches,
                "`{filter}` loses {id} in SQL: {}",
                condition.sql
            );
            assert!(
                matches || !selected || !condition.exact,
                "`{filter}` finds {id} in SQL: {}",
                condition.sql
            );
        }
    });
}

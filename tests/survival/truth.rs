//! What the audit says the data must be: its rows played into a model, and the model held against the tables and against
//! what clients were told.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use serde_json::{Map, Value};

use crate::db::unbroken;
use crate::home::{Home, sound};
use crate::traffic::{Acknowledged, Outcome};

type Attributes = BTreeMap<String, Value>;

#[derive(Debug, Default, PartialEq)]
struct Person {
    attributes: Attributes,
    visible: bool,
}

#[derive(Debug, Default, PartialEq)]
struct Team {
    attributes: Attributes,
    members: BTreeSet<String>,
}

/// The model, up to a row of the audit.
#[derive(Default)]
pub struct Truth {
    seq: i64,
    people: BTreeMap<String, Person>,
    teams: BTreeMap<String, Team>,
    /// The rows of each request.
    requests: HashMap<String, Vec<Outcome>>,
}

impl Truth {
    /// Asserts all that must hold of a file after a restart.
    #[track_caller]
    pub fn holds(&mut self, home: &Home, acknowledged: &Acknowledged) {
        sound(&home.database());
        unbroken(&home.database());
        self.play(home);
        self.same(home);
        self.told(acknowledged);
    }

    /// Plays the rows that are new. Each old value has to be the one that the rows before it led to.
    #[track_caller]
    fn play(&mut self, home: &Home) {
        let query = "SELECT seq, request_id, action, target_id, verdict, status, changes FROM audit
                     WHERE seq > ?1 ORDER BY seq";
        for row in home.rows(query, [self.seq]) {
            let text = |key: &str| row[key].as_str().unwrap_or_default().to_owned();
            self.seq = row["seq"].as_i64().unwrap();
            let id = text("target_id");
            let status = row["status"].as_u64().unwrap() as u16;
            let known = row["target_id"].as_str().map(str::to_owned);
            let rows = self.requests.entry(text("request_id")).or_default();
            rows.push((status, known));
            if text("verdict") != "applied" {
                assert_eq!(row["changes"], Value::Null, "{row}");
                continue;
            }
            let no_changes = Map::new();
            let changes = row["changes"].as_object().unwrap_or(&no_changes);
            match text("action").as_str() {
                "user.create" | "user.patch" | "user.delete" => {
                    let person = self.people.entry(id.clone()).or_default();
                    person.visible = text("action") != "user.delete";
                    for (name, sides) in changes {
                        replace(&mut person.attributes, name, sides, &row);
                    }
                    if !person.visible {
                        for team in self.teams.values_mut() {
                            team.members.remove(&id);
                        }
                    }
                }
                "group.create" => {
                    let team = self.teams.entry(id).or_default();
                    for (name, sides) in changes {
                        match name.as_str() {
                            "members" => team.members.extend(ids(&sides["new"])),
                            _ => replace(&mut team.attributes, name, sides, &row),
                        }
                    }
                }
                action => assert!(
                    !action.starts_with("user.") && !action.starts_with("group."),
                    "{action} is unknown to this model"
                ),
            }
        }
    }

    /// The tables are what the rows led to, and the counts what the tables are.
    #[track_caller]
    fn same(&self, home: &Home) {
        let rows = home.rows("SELECT id, resource, scim_visible FROM user", []);
        let people: BTreeMap<_, _> = rows.iter().map(person).collect();
        differ(&self.people, &people);
        let query = "SELECT id, resource, (SELECT json_group_array(user.id) FROM group_user AS membership
                     JOIN user ON user.seq = membership.user WHERE membership.\"group\" = \"group\".seq) AS members
                     FROM \"group\"";
        let rows = home.rows(query, []);
        let teams: BTreeMap<_, _> = rows.iter().map(team).collect();
        differ(&self.teams, &teams);
        for table in ["profile", "storage"] {
            let count = |status| {
                format!(
                    "(SELECT count(*) FROM user WHERE user.{table} = {table}.id AND status = '{status}')"
                )
            };
            let (active, preserved) = (count("active"), count("preserved"));
            let wrong = format!(
                "SELECT name, active_accounts, preserved_accounts, {active} AS active, {preserved} AS preserved
                 FROM {table} WHERE active_accounts <> {active} OR preserved_accounts <> {preserved}"
            );
            assert_eq!(home.rows(&wrong, []), [] as [Value; 0], "{table}");
        }
        let seen =
            "SELECT users, groups, (SELECT count(*) FROM user WHERE scim_visible = 1) AS seen,
                        (SELECT count(*) FROM \"group\") AS there FROM appliance";
        let counted = &home.rows(seen, [])[0];
        assert_eq!(
            [&counted["users"], &counted["groups"]],
            [&counted["seen"], &counted["there"]]
        );
    }

    /// Each acknowledged change has its row.
    #[track_caller]
    fn told(&self, acknowledged: &Acknowledged) {
        for (request, outcomes) in acknowledged {
            let none = Vec::new();
            let mut rows = self.requests.get(request).unwrap_or(&none).clone();
            for outcome in outcomes {
                // A refused operation that made nothing has no id in the answer, or none in the row.
                let place = rows.iter().position(|(status, id)| {
                    *status == outcome.0 && (*status >= 300 || *id == outcome.1)
                });
                match place {
                    Some(place) => drop(rows.swap_remove(place)),
                    None => panic!("{outcome:?} of {request} was acknowledged; rows: {rows:?}"),
                }
            }
        }
    }
}

/// Gives an attribute the new side of a change, after a look at the old one.
#[track_caller]
fn replace(attributes: &mut Attributes, name: &str, sides: &Value, row: &Value) {
    assert_eq!(attributes.get(name), sides.get("old"), "{name} in {row}");
    match sides.get("new") {
        Some(new) => drop(attributes.insert(name.to_owned(), new.clone())),
        None => drop(attributes.remove(name)),
    }
}

fn person(row: &Value) -> (String, Person) {
    let person = Person {
        attributes: attributes(row),
        visible: row["scim_visible"] == 1,
    };
    (row["id"].as_str().unwrap().to_owned(), person)
}

fn team(row: &Value) -> (String, Team) {
    let members: Value = serde_json::from_str(row["members"].as_str().unwrap()).unwrap();
    let team = Team {
        attributes: attributes(row),
        members: ids(&members).collect(),
    };
    (row["id"].as_str().unwrap().to_owned(), team)
}

/// A stored resource under the names that the audit uses: attributes of an extension as `urn:name`.
fn attributes(row: &Value) -> Attributes {
    let resource: Map<String, Value> =
        serde_json::from_str(row["resource"].as_str().unwrap()).unwrap();
    let mut attributes = Attributes::new();
    for (name, value) in resource {
        match value {
            Value::Object(inner) if name.contains(':') => attributes.extend(
                inner
                    .into_iter()
                    .map(|(inner, value)| (format!("{name}:{inner}"), value)),
            ),
            value => drop(attributes.insert(name, value)),
        }
    }
    attributes
}

fn ids(list: &Value) -> impl Iterator<Item = String> + '_ {
    let list = list.as_array().into_iter().flatten();
    list.map(|id| id.as_str().unwrap().to_owned())
}

/// Asserts that both are the same, and shows no more than the first that differs.
#[track_caller]
fn differ<T: std::fmt::Debug + PartialEq>(
    audit: &BTreeMap<String, T>,
    table: &BTreeMap<String, T>,
) {
    let ids: BTreeSet<_> = audit.keys().chain(table.keys()).collect();
    for id in ids {
        assert_eq!(audit.get(id), table.get(id), "{id}: audit and table");
    }
}

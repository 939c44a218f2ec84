//! Clients that write until the server is gone: POST, PATCH, DELETE and Bulk, each client with people of its own.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::chance::Chance;
use crate::client::{Answer, Client};

const WRITERS: u64 = 12;
const TITLES: [&str; 4] = ["Captain", "Major", "Engineer", "Doctor"];

/// What came of one change: its status and the id of the resource.
pub type Outcome = (u16, Option<String>);

/// The changes that were acknowledged, by request.
pub type Acknowledged = BTreeMap<String, Vec<Outcome>>;

/// Clients at work.
pub struct Traffic {
    writers: JoinSet<Acknowledged>,
    answers: Arc<AtomicUsize>,
}

impl Traffic {
    /// Starts the clients; `name` is unique for the data directory.
    pub fn start(app: &TestApp, name: &str, chance: &mut Chance) -> Self {
        let answers = Arc::new(AtomicUsize::new(0));
        let mut writers = JoinSet::new();
        for number in 0..WRITERS {
            let client = match number % 2 {
                0 => app.new_client(),
                _ => app.http1.clone(),
            };
            let writer = Writer {
                client,
                name: format!("{name}w{number}"),
                chance: chance.part(),
                made: 0,
                people: Vec::new(),
            };
            writers.spawn(writer.write(Arc::clone(&answers)));
        }
        Self { writers, answers }
    }

    /// Waits until there were so many answers in all.
    pub async fn answered(&self, count: usize) {
        let deadline = Instant::now() + Duration::from_secs(60);
        while self.answers.load(Ordering::Relaxed) < count {
            assert!(Instant::now() < deadline, "fewer than {count} answers");
            tokio::time::sleep(Duration::from_millis(1)).await;
        }
    }

    /// What was acknowledged, once the server is gone.
    pub async fn ended(self) -> Acknowledged {
        let all = self.writers.join_all().await;
        all.into_iter().flatten().collect()
    }
}

struct Writer {
    client: Client,
    name: String,
    chance: Chance,
    /// How many names it has used.
    made: usize,
    /// Ids of its visible people.
    people: Vec<String>,
}

impl Writer {
    /// Sends one change after another until there is no answer.
    async fn write(mut self, answers: Arc<AtomicUsize>) -> Acknowledged {
        let mut acknowledged = Acknowledged::new();
        loop {
            let (method, path, body) = self.next();
            let Ok(answer) = self.client.try_scim(method, &path, body).await else {
                return acknowledged;
            };
            // A disk that fails, or a server that drains, is told by 503 and nothing else.
            if answer.status >= 500 {
                assert_eq!(answer.status, 503, "{}", answer.json);
                tokio::time::sleep(Duration::from_millis(5)).await;
                continue;
            }
            self.people.extend(people(&answer.json));
            let outcomes = outcomes(&answer, &path);
            acknowledged.insert(answer.request_id().to_owned(), outcomes);
            answers.fetch_add(1, Ordering::Relaxed);
        }
    }

    fn next(&mut self) -> (&'static str, String, Value) {
        match self.chance.below(10) {
            0..4 => ("POST", "/Users".to_owned(), self.person()),
            4..6 => {
                let count = 1 + self.chance.below(12);
                let operations: Vec<_> = (0..count).map(|place| self.operation(place)).collect();
                (
                    "POST",
                    "/Bulk".to_owned(),
                    json!({"Operations": operations}),
                )
            }
            6 => match self.leaver() {
                Some(path) => ("DELETE", path, Value::Null),
                None => ("POST", "/Users".to_owned(), self.person()),
            },
            _ => match self.somebody() {
                Some(path) => ("PATCH", path, self.patch()),
                None => ("POST", "/Users".to_owned(), self.person()),
            },
        }
    }

    /// An operation of a bulk request; every third group has the person of the operation before it as member.
    fn operation(&mut self, place: u64) -> Value {
        let group = place > 0 && place.is_multiple_of(3);
        let change = match self.chance.below(4) {
            0 if !group => self.somebody().map(|path| ("PATCH", path, self.patch())),
            1 if !group => self.leaver().map(|path| ("DELETE", path, Value::Null)),
            _ => None,
        };
        match change {
            Some((method, path, Value::Null)) => json!({"method": method, "path": path}),
            Some((method, path, data)) => json!({"method": method, "path": path, "data": data}),
            None if group => {
                self.made += 1;
                let name = format!("{}-{}", self.name, self.made);
                let members = match self.people.last() {
                    Some(id) => json!([{"value": id}]),
                    None => json!([]),
                };
                json!({
                    "method": "POST", "path": "/Groups", "bulkId": format!("b{place}"),
                    "data": {"displayName": name, "members": members},
                })
            }
            None => json!({
                "method": "POST", "path": "/Users", "bulkId": format!("b{place}"), "data": self.person(),
            }),
        }
    }

    fn person(&mut self) -> Value {
        self.made += 1;
        let name = format!("{}-{}@example.test", self.name, self.made);
        json!({
            "userName": name, "externalId": name, "title": self.chance.one(&TITLES),
            "emails": [{"type": "work", "value": name, "primary": true}],
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {"department": "Sales"},
        })
    }

    fn patch(&mut self) -> Value {
        let operation = match self.chance.below(3) {
            0 => json!({"op": "Replace", "path": "active", "value": self.chance.below(2) == 0}),
            1 => json!({"op": "Remove", "path": "title"}),
            _ => json!({"op": "Add", "path": "title", "value": self.chance.one(&TITLES)}),
        };
        json!({"Operations": [operation]})
    }

    fn somebody(&mut self) -> Option<String> {
        match self.people.is_empty() {
            true => None,
            false => Some(format!("/Users/{}", self.chance.one(&self.people))),
        }
    }

    /// Somebody who is not asked for again.
    fn leaver(&mut self) -> Option<String> {
        match self.people.is_empty() {
            true => None,
            false => {
                let place = self.chance.below(self.people.len() as u64) as usize;
                Some(format!("/Users/{}", self.people.swap_remove(place)))
            }
        }
    }
}

/// The people that an answer says were created: by a request, or by the operations of a bulk request.
fn people(answer: &Value) -> Vec<String> {
    let made = |resource: &Value| {
        let location = resource["location"].as_str()?;
        let (_, id) = location.rsplit_once("/Users/")?;
        Some(id.to_owned())
    };
    match answer["Operations"].as_array() {
        Some(operations) => operations
            .iter()
            .filter(|operation| operation["status"] == "201")
            .filter_map(made)
            .collect(),
        // A user that was patched is known already.
        None if answer["meta"]["version"] == "W/\"1\"" => {
            made(&answer["meta"]).into_iter().collect()
        }
        None => Vec::new(),
    }
}

/// What an answer acknowledges: one change, or each of a bulk request. An operation for which there was no time or no disk
/// is not among them.
fn outcomes(answer: &Answer, path: &str) -> Vec<Outcome> {
    let last = |path: &str| path.rsplit('/').next().unwrap().to_owned();
    let Some(operations) = answer.json["Operations"].as_array() else {
        let id = match answer.json["id"].as_str() {
            Some(id) => id.to_owned(),
            None => last(path),
        };
        return vec![(answer.status, Some(id))];
    };
    let outcome = |operation: &Value| {
        let status = operation["status"].as_str().unwrap().parse().unwrap();
        (status, operation["location"].as_str().map(last))
    };
    let all = operations.iter().map(outcome);
    all.filter(|(status, _)| *status < 500).collect()
}

//! The operations, and the table they print.

use std::sync::Arc;
use std::time::{Duration, Instant};

use hyper::Method;
use serde_json::json;

use crate::appliance::{Appliance, Server};
use crate::client::{Asked, Measured};
use crate::limits::Written;
use crate::people::{bulk, create, external_id, find, group, patch, user_name};
use crate::{fairness, limits};

/// Users in one bulk request: the most it may have.
const BULK: usize = 1000;
/// Sizes of the groups that members are added to and removed from, and how many groups there are of each.
const GROUPS: [(usize, usize); 3] = [(10, 500), (1000, 10), (100_000, 1)];
/// Connections that send bulk requests: what one holds in memory is a thousand times a request.
const BULK_CONNECTIONS: usize = 4;

/// Turns that an operation and its limits take: the machine's own speed changes from second to second.
const TURNS: u32 = 4;

/// A table under way.
pub struct Run {
    connections: Vec<usize>,
    time: Duration,
    only: Option<String>,
    /// Whether single changes are measured beside a server that only writes.
    floor: bool,
    appliance: Appliance,
    server: Server,
    bare: Server,
    empty: u64,
    /// Ids of the people; the place is the number.
    ids: Arc<Vec<String>>,
    /// Number of the next person who is made.
    next: usize,
    /// Groups of earlier rounds: names are unique.
    round: usize,
}

impl Run {
    /// Starts an appliance and the bare server, and measures what happens once.
    pub async fn start(
        connections: Vec<usize>,
        time: Duration,
        only: Option<String>,
        floor: bool,
    ) -> Self {
        let appliance = Appliance::init();
        let bare = limits::bare(&appliance, None);
        let server = appliance.serve();
        println!(
            "start-up of an empty appliance {:.0} ms",
            server.start_up.as_secs_f64() * 1000.0
        );
        let mut connection = server.client.connect().await;
        let mut first = Vec::new();
        for _ in 0..2 {
            let began = Instant::now();
            server
                .client
                .send(&mut connection, find("userName", "nobody"))
                .await;
            first.push(began.elapsed().as_secs_f64() * 1000.0);
        }
        println!(
            "first request with a token (argon2id) {:.1} ms, the second {:.1} ms",
            first[0], first[1]
        );
        Self {
            empty: appliance.bytes(),
            connections,
            time,
            only,
            floor,
            appliance,
            server,
            bare,
            ids: Arc::default(),
            next: 0,
            round: 0,
        }
    }

    /// Makes people by bulk requests until there are `people`, and starts the server again.
    pub async fn fill(&mut self, people: usize) {
        let began = Instant::now();
        let missing = people.saturating_sub(self.next);
        let first = self.next;
        if missing > 0 {
            let measured = self
                .server
                .client
                .measure(
                    BULK_CONNECTIONS,
                    Duration::MAX,
                    missing.div_ceil(BULK),
                    move |number| {
                        let start = first + number * BULK;
                        bulk(start..(start + BULK).min(people))
                    },
                )
                .await;
            self.next = people;
            println!(
                "\n{missing} people by bulk requests over {BULK_CONNECTIONS} connections: {:.0} people/s, p99 {:.0} ms",
                missing as f64 / began.elapsed().as_secs_f64(),
                measured.ms(0.99)
            );
        }
        self.know_ids();
        let bytes = self.appliance.bytes() - self.empty;
        println!(
            "{}, {} bytes of disk a person",
            self.memory(),
            bytes / people.max(1) as u64
        );
        self.server = self.appliance.serve_again(&mut self.server);
        println!(
            "start-up with {people} people {:.0} ms",
            self.server.start_up.as_secs_f64() * 1000.0
        );
    }

    fn know_ids(&mut self) {
        let database = self.appliance.database();
        let mut statement = database
            .prepare("SELECT id FROM user ORDER BY seq")
            .unwrap();
        let ids = statement.query_map([], |row| row.get(0)).unwrap();
        self.ids = Arc::new(ids.map(Result::unwrap).collect());
        self.next = self.ids.len();
    }

    /// Runs all operations and prints a line for each.
    pub async fn all(&mut self) {
        println!(
            "\n{:30} {:>5} {:>9} {:>9} {:>9} {:>9} {:>6} {:>6} {:>8}{}",
            format!("{} people", self.ids.len()),
            "conns",
            "per s",
            "p50 ms",
            "p99 ms",
            "limit/s",
            "ratio",
            "batch",
            "cpu µs",
            if self.floor { "   floor/s  ratio" } else { "" }
        );
        for connections in self.connections.clone() {
            self.reads(connections).await;
            self.users(connections).await;
            self.groups(connections).await;
            self.cycle(connections).await;
        }
        println!("{}", self.memory());
    }

    /// What the server takes, in words.
    fn memory(&self) -> String {
        let [now, most] = self.server.resident_mib();
        format!("memory {now:.0} MiB, {most:.0} at the most")
    }

    /// Measures what single requests feel of large ones.
    pub async fn fairness(&self) {
        let ids = Arc::clone(&self.ids);
        fairness::measure(&self.server.client, ids, self.next, self.time).await;
    }

    async fn reads(&self, connections: usize) {
        let ids = Arc::clone(&self.ids);
        let people = ids.len();
        // A stride that meets everybody, in no order that a cache could like.
        let someone = move |number: usize| number.wrapping_mul(7919) % people;
        self.read("OPTIONS, nothing read", connections, |_| {
            (Method::OPTIONS, "/Users".to_owned(), None)
        })
        .await;
        self.read("GET by id", connections, move |number| {
            (
                Method::GET,
                format!("/Users/{}", ids[someone(number)]),
                None,
            )
        })
        .await;
        self.read("filter userName eq", connections, move |number| {
            find("userName", &user_name(someone(number)))
        })
        .await;
        self.read("filter externalId eq", connections, move |number| {
            find("externalId", &external_id(someone(number)))
        })
        .await;
        self.read("filter emails eq", connections, move |number| {
            find("emails.value", &user_name(someone(number)))
        })
        .await;
        self.read("list, 100 from anywhere", connections, move |number| {
            let start = someone(number) + 1;
            (
                Method::GET,
                format!("/Users?startIndex={start}&count=100"),
                None,
            )
        })
        .await;
        self.read("list, 100 by cursor", connections, |_| {
            (Method::GET, "/Users?cursor&count=100".to_owned(), None)
        })
        .await;
    }

    async fn users(&mut self, connections: usize) {
        let first = self.next;
        let made = self
            .write("POST", connections, 1, usize::MAX, move |number| {
                create(first + number)
            })
            .await;
        self.next += made;
        let operations = [
            ("PATCH with a path", "Replace", json!("title"), 0),
            ("PATCH without a path", "replace", json!(null), 1),
            ("disable and enable", "Replace", json!("active"), 2),
        ];
        for (name, op, path, kind) in operations {
            let (ids, path) = (Arc::clone(&self.ids), path.clone());
            let round = self.round;
            self.write(name, connections, 1, usize::MAX, move |number| {
                let id = &ids[number % ids.len()];
                let title = format!("Title {kind} {connections} {round} {number}");
                let switched = if number / ids.len() % 2 == 0 {
                    "False"
                } else {
                    "True"
                };
                let operation = match kind {
                    0 => json!({"op": op, "path": path, "value": title}),
                    1 => json!({"op": op, "value": {"title": title}}),
                    _ => json!({"op": op, "path": path, "value": switched}),
                };
                patch("Users", id, operation)
            })
            .await;
        }
        let first = self.next;
        let some = connections.min(BULK_CONNECTIONS);
        let made = self
            .write(
                "bulk of 1,000 POSTs",
                some,
                BULK,
                usize::MAX,
                move |number| {
                    let start = first + number * BULK;
                    bulk(start..start + BULK)
                },
            )
            .await;
        self.next += made * BULK;
    }

    async fn groups(&mut self, connections: usize) {
        if self.skips("member") {
            return;
        }
        let largest = GROUPS.map(|(size, _)| size).into_iter().max().unwrap_or(0);
        if self.ids.len() < largest + BULK {
            let people = largest + BULK;
            let first = self.next;
            let missing = (people - self.ids.len()).div_ceil(BULK);
            self.server
                .client
                .measure(BULK_CONNECTIONS, Duration::MAX, missing, move |number| {
                    let start = first + number * BULK;
                    bulk(start..start + BULK)
                })
                .await;
        }
        self.know_ids();
        for (size, count) in GROUPS {
            self.round += 1;
            // From the last of them on: the first page of a list is then not one of people with a thousand groups each.
            let ids: Arc<Vec<_>> = Arc::new(self.ids.iter().rev().cloned().collect());
            let groups = Arc::new(self.make_groups(&ids[..size], count).await);
            // A tenth more, so that the size stays what it is called.
            let most = (size / 10 * count).min(ids.len() - size);
            for (what, op) in [("add to", "Add"), ("remove from", "Remove")] {
                let (ids, groups) = (Arc::clone(&ids), Arc::clone(&groups));
                let name = format!("member {what} {size}");
                self.write(&name, connections, 1, most, move |number| {
                    let member = &ids[size + number / count];
                    let members = json!([{"value": member}]);
                    let operation = json!({"op": op, "path": "members", "value": members});
                    patch("Groups", &groups[number % count], operation)
                })
                .await;
            }
        }
    }

    async fn make_groups(&self, members: &[String], count: usize) -> Vec<String> {
        let mut connection = self.server.client.connect().await;
        let mut groups = Vec::new();
        for number in 0..count {
            let name = format!("group {} of {}, {number}", self.round, members.len());
            let mut parts = members.chunks(BULK * 10);
            let made = group(&name, parts.next().unwrap());
            let made = self.server.client.send(&mut connection, made).await;
            assert_eq!(made.status, 201, "{:?}", made.body);
            let id = made.json()["id"].as_str().unwrap().to_owned();
            for part in parts {
                let members: Vec<_> = part.iter().map(|id| json!({"value": id})).collect();
                let more = patch(
                    "Groups",
                    &id,
                    json!({"op": "Add", "path": "members", "value": members}),
                );
                let added = self.server.client.send(&mut connection, more).await;
                assert_eq!(added.status, 204, "{:?}", added.body);
            }
            groups.push(id);
        }
        groups
    }

    /// What Entra does first: for each person a search and a POST, then a membership.
    async fn cycle(&mut self, connections: usize) {
        const NAME: &str = "initial cycle, people";
        if self.skips(NAME) {
            return;
        }
        self.round += 1;
        let name = format!("group {} of the initial cycle", self.round);
        let mut connection = self.server.client.connect().await;
        let made = self
            .server
            .client
            .send(&mut connection, group(&name, &[]))
            .await;
        let group = made.json()["id"].as_str().unwrap().to_owned();
        let first = self.next;
        let (client, copy) = (self.server.client.clone(), self.appliance.copy());
        let commits = self.server.commits().await;
        let before = self.server.processor_time();
        let people = client
            .measure(connections, self.time, usize::MAX, move |number| {
                match number % 2 {
                    0 => find("userName", &user_name(first + number / 2)),
                    _ => create(first + number / 2),
                }
            })
            .await;
        self.know_ids();
        let (ids, known) = (Arc::clone(&self.ids), first);
        let members = client
            .measure(
                connections,
                Duration::MAX,
                self.next - first,
                move |number| {
                    let value = json!([{"value": ids[known + number]}]);
                    patch(
                        "Groups",
                        &group,
                        json!({"op": "Add", "path": "members", "value": value}),
                    )
                },
            )
            .await;
        let used = self.server.processor_time() - before;
        let search = self
            .limit(connections, self.time, people.answer())
            .await
            .rate();
        let batch = self.server.batch(commits).await;
        let write = limits::bare_writer(&self.appliance, &copy, batch);
        Line {
            name: NAME,
            connections,
            rate: members.times.len() as f64 / (people.took + members.took).as_secs_f64(),
            measured: &people,
            limit: 1.0 / (1.0 / search + 2.0 / write.rate()),
            batch,
            cpu: used / u32::try_from(members.times.len()).unwrap(),
            floor: None,
        }
        .print();
    }

    fn skips(&self, name: &str) -> bool {
        self.only
            .as_ref()
            .is_some_and(|only| !name.contains(only.as_str()))
    }

    async fn read(
        &self,
        name: &str,
        connections: usize,
        make: impl Fn(usize) -> Asked + Clone + Send + 'static,
    ) {
        if self.skips(name) {
            return;
        }
        let (mut measured, mut limit) = (Measured::nothing(), Measured::nothing());
        let (mut used, time) = (Duration::ZERO, self.time / TURNS);
        for _ in 0..TURNS {
            let (make, first) = (make.clone(), measured.times.len() as usize);
            let before = self.server.processor_time();
            let turn = self
                .server
                .client
                .measure(connections, time, usize::MAX, move |number| {
                    make(first + number)
                });
            measured.add(&turn.await);
            used += self.server.processor_time() - before;
            limit.add(&self.limit(connections, time, measured.answer()).await);
        }
        Line {
            name,
            connections,
            rate: measured.rate(),
            measured: &measured,
            limit: limit.rate(),
            batch: 0,
            cpu: used / u32::try_from(measured.times.len()).unwrap(),
            floor: None,
        }
        .print();
    }

    /// What the bare server does in `time` with bodies of `size` bytes.
    async fn limit(&self, connections: usize, time: Duration, size: usize) -> Measured {
        let make = move |_| (Method::GET, format!("/{size}"), None);
        self.bare
            .client
            .measure(connections, time, usize::MAX, make)
            .await
    }

    /// Measures a write of `changes` each beside SQLite, and tells how many requests were sent, `most` at the most. SQLite
    /// writes the changes of a turn after it, so that its copy is again what the server has.
    async fn write(
        &self,
        name: &str,
        connections: usize,
        changes: usize,
        most: usize,
        make: impl Fn(usize) -> Asked + Clone + Send + 'static,
    ) -> usize {
        if self.skips(name) {
            return 0;
        }
        let (mut measured, mut used) = (Measured::nothing(), Duration::ZERO);
        let (mut sqlite, mut floor) = (Written::default(), Measured::nothing());
        let copy = self.appliance.copy();
        let beside = (self.floor && changes == 1).then(|| self.appliance.copy_of(&copy));
        let commits = self.server.commits().await;
        for _ in 0..TURNS {
            let first = measured.times.len() as usize;
            if first >= most {
                break;
            }
            let asked = {
                let make = make.clone();
                move |number| make(first + number)
            };
            let (time, before) = (self.time / TURNS, self.server.processor_time());
            let client = &self.server.client;
            let turn = client
                .measure(connections, time, most - first, asked.clone())
                .await;
            used += self.server.processor_time() - before;
            measured.add(&turn);
            let batch = self.server.batch(commits).await;
            sqlite += limits::bare_writer(&self.appliance, &copy, batch);
            if let Some(beside) = &beside {
                let bare = limits::bare(&self.appliance, Some(beside));
                let size = turn.answer();
                let same = move |number| {
                    let (method, _, body) = asked(number);
                    (method, format!("/{size}"), body)
                };
                let changes = (turn.times.len() as usize).min(limits::MOST);
                let turn = bare
                    .client
                    .measure(connections, Duration::MAX, changes, same);
                floor.add(&turn.await);
            }
        }
        let requests = measured.times.len();
        Line {
            name,
            connections,
            rate: measured.rate(),
            measured: &measured,
            limit: sqlite.rate() / changes as f64,
            batch: self.server.batch(commits).await,
            cpu: used / u32::try_from(requests).unwrap(),
            floor: beside.map(|_| floor.rate()),
        }
        .print();
        usize::try_from(requests).unwrap()
    }
}

/// A line of the table.
struct Line<'a> {
    name: &'a str,
    connections: usize,
    /// A second.
    rate: f64,
    measured: &'a Measured,
    /// A second, of what this is the limit of.
    limit: f64,
    /// Changes that shared a transaction; 0 where nothing is written.
    batch: usize,
    /// The server's processor time for each.
    cpu: Duration,
    /// A second, of a server that only writes.
    floor: Option<f64>,
}

impl Line<'_> {
    fn print(&self) {
        print!(
            "{:30} {:>5} {:>9.0} {:>9.2} {:>9.2} {:>9.0} {:>6.2} {:>6} {:>8.0}",
            self.name,
            self.connections,
            self.rate,
            self.measured.ms(0.5),
            self.measured.ms(0.99),
            self.limit,
            self.rate / self.limit,
            self.batch,
            self.cpu.as_secs_f64() * 1e6,
        );
        match self.floor {
            Some(floor) => println!(" {floor:>9.0} {:>6.2}", floor / self.limit),
            None => println!(),
        }
    }
}

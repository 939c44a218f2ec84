//! What single requests feel of clients that send the largest bulk requests, or large changes of a group, without end.

use std::sync::Arc;
use std::thread::JoinHandle;
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::client::{Asked, Client, Measured};
use crate::people::{bulk, create, group, patch};

/// Connections that send bulk requests.
const GREEDY: usize = 8;
/// Operations of each.
const OPERATIONS: usize = 1000;
/// Bytes that fill each person up, so that the request is nearly as large as it may be.
const FILLING: usize = 3300;
/// Connections that read, and connections that write.
const READERS: usize = 64;
const WRITERS: usize = 8;

/// Members that come and go at a time.
const MEMBERS: usize = 10_000;
/// Connections that send those requests.
const CROWDS: usize = 2;

/// Measures single requests alone, and again beside greedy clients. `next` is the first number that no person has.
pub async fn measure(client: &Client, ids: Arc<Vec<String>>, next: usize, time: Duration) {
    println!(
        "\n{:40} {:>9} {:>9} {:>9} {:>9}",
        "fairness", "per s", "p50 ms", "p99 ms", "most ms"
    );
    singles(client, &ids, next, time, "alone").await;
    let first = next + 10_000_000;
    let flood = beside(client.clone(), GREEDY, time, move |number| {
        let start = first + number * OPERATIONS;
        let (method, path, body) = bulk(start..start + OPERATIONS);
        let mut body = body.unwrap();
        for operation in body["Operations"].as_array_mut().unwrap() {
            operation["data"]["title"] = json!("x".repeat(FILLING));
        }
        (method, path, Some(body))
    })
    .await;
    singles(client, &ids, next + 1_000_000, time, "beside bulk").await;
    let flood = flood.join().unwrap();
    show(&format!("bulk itself, {GREEDY} connections"), &flood);

    let crowd = ids.iter().take(MEMBERS);
    let members: Vec<_> = crowd.map(|id| json!({"value": id})).collect();
    let mut connection = client.connect().await;
    let mut paths = Vec::new();
    for number in 0..CROWDS {
        let crowd = group(&format!("crowd {number}"), &[]);
        let made = client.send(&mut connection, crowd).await;
        paths.push(made.json()["id"].as_str().unwrap().to_owned());
    }
    let size = members.len();
    let flood = beside(client.clone(), CROWDS, time, move |number| {
        let op = ["Add", "Remove"][number / CROWDS % 2];
        let operation = json!({"op": op, "path": "members", "value": members});
        patch("Groups", &paths[number % CROWDS], operation)
    })
    .await;
    singles(client, &ids, next + 2_000_000, time, "beside crowds").await;
    let flood = flood.join().unwrap();
    let name = format!("PATCH of {size} members, {CROWDS} connections");
    show(&name, &flood);
}

/// Sends what `make` makes for as long as [`singles`] takes, on a thread of its own: what it costs to write such requests
/// down must not be felt by those who measure.
async fn beside(
    client: Client,
    connections: usize,
    time: Duration,
    make: impl Fn(usize) -> Asked + Clone + Send + 'static,
) -> JoinHandle<Measured> {
    let flood = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        runtime.block_on(client.measure(connections, time * 2 + time / 2, usize::MAX, make))
    });
    tokio::time::sleep(time / 4).await;
    flood
}

async fn singles(client: &Client, ids: &Arc<Vec<String>>, next: usize, time: Duration, when: &str) {
    let people = Arc::clone(ids);
    let reads = client.measure(READERS, time, usize::MAX, move |number| {
        let id = &people[number.wrapping_mul(7919) % people.len()];
        (Method::GET, format!("/Users/{id}"), None)
    });
    show(
        &format!("GET by id, {READERS} connections, {when}"),
        &reads.await,
    );
    let writes = client.measure(WRITERS, time, usize::MAX, move |number| {
        create(next + number)
    });
    show(
        &format!("POST, {WRITERS} connections, {when}"),
        &writes.await,
    );
}

fn show(name: &str, measured: &Measured) {
    println!(
        "{name:40} {:>9.0} {:>9.2} {:>9.2} {:>9.2}",
        measured.rate(),
        measured.ms(0.5),
        measured.ms(0.99),
        measured.ms(1.0)
    );
}

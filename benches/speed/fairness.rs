//! What single requests feel of a client that sends the largest bulk requests without end.

use std::sync::Arc;
use std::time::Duration;

use hyper::Method;
use serde_json::json;

use crate::client::{Client, Measured};
use crate::people::{bulk, create};

/// Connections that send bulk requests.
const GREEDY: usize = 8;
/// Operations of each.
const OPERATIONS: usize = 1000;
/// Bytes that fill each person up, so that the request is nearly as large as it may be.
const FILLING: usize = 3300;
/// Connections that read, and connections that write.
const READERS: usize = 64;
const WRITERS: usize = 8;

/// Measures single requests alone, and again beside the greedy client. `next` is the first number that no person has.
pub async fn measure(client: &Client, ids: Arc<Vec<String>>, next: usize, time: Duration) {
    println!(
        "\n{:40} {:>9} {:>9} {:>9} {:>9}",
        "fairness", "per s", "p50 ms", "p99 ms", "most ms"
    );
    singles(client, &ids, next, time, "alone").await;
    let greedy = client.clone();
    // On a thread of its own: what it costs to write such requests down must not be felt by those who measure.
    let greedy = std::thread::spawn(move || {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .unwrap();
        let first = next + 10_000_000;
        let flood = greedy.measure(GREEDY, time * 2 + time / 2, usize::MAX, move |number| {
            let start = first + number * OPERATIONS;
            let (method, path, body) = bulk(start..start + OPERATIONS);
            let mut body = body.unwrap();
            for operation in body["Operations"].as_array_mut().unwrap() {
                operation["data"]["title"] = json!("x".repeat(FILLING));
            }
            (method, path, Some(body))
        });
        runtime.block_on(flood)
    });
    tokio::time::sleep(time / 4).await;
    singles(client, &ids, next + 5_000_000, time, "beside bulk").await;
    let flood = greedy.join().unwrap();
    show(&format!("bulk itself, {GREEDY} connections"), &flood);
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

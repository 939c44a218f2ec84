//! How long a refused authentication takes: an unknown id, a wrong secret and an expired token beside one another, over
//! one connection. The first of each kind from an address, which has a row of its own in the audit, is measured apart,
//! from one address after the other. What a stranger could learn from the time is to be seen here; nothing is asserted.

use std::io::{BufRead, BufReader};
use std::net::IpAddr;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::Instant;

use hdrhistogram::Histogram;
use reqwest::Certificate;
use serde_json::Value;

/// Addresses from which the first of each kind are measured: fewer kinds than the audit counts apart.
const ADDRESSES: u8 = 40;

/// Requests of each kind after the first ones.
const REQUESTS: u32 = 3000;

/// Killed at the end.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

fn scimlite(directory: &Path, arguments: &[&str]) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimlite"));
    command.args(arguments).arg("--data").arg(directory);
    command
}

fn json(directory: &Path, arguments: &[&str]) -> Value {
    let output = scimlite(directory, arguments)
        .arg("--json")
        .output()
        .unwrap();
    serde_json::from_slice(&output.stdout).expect("JSON")
}

/// A token of this id with another secret.
fn wrong(token: &str) -> String {
    let id = token.split('_').nth(1).unwrap();
    format!("slt_{id}_{}", "z".repeat(40))
}

/// Measures them, and prints a table.
pub async fn measure() {
    let data = tempfile::tempdir().unwrap();
    let directory = data.path().join("data");
    let init = json(&directory, &["init"]);
    let short = ["token", "create", "over", "--scope", "read"];
    let over = json(&directory, &short)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let unseen = json(&directory, &short)["token"]
        .as_str()
        .unwrap()
        .to_owned();
    let end = "UPDATE token SET expires = '2026-01-31T09:30:00.000Z' WHERE id = ?1";
    let db = rusqlite::Connection::open(directory.join("scimlite.db")).unwrap();
    db.execute(end, [over.split('_').nth(1).unwrap()]).unwrap();
    drop(db);

    let free = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let mut child = scimlite(&directory, &free)
        .env("SCIMLITE_THROTTLE_FAILURES", "10000")
        .env("SCIMLITE_THROTTLE_RECOVERY", "1s")
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let mut line = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    let _server = Server(child);
    stdout.read_line(&mut line).unwrap();
    let ready: Value = serde_json::from_str(&line).expect("serve prints its ready line");
    let url = format!("{}/Users/x", ready["scim"].as_str().unwrap());
    let ca = std::fs::read(init["ca_file"].as_str().unwrap()).unwrap();
    let ca = Certificate::from_pem_bundle(&ca).unwrap();
    let right = init["secret_token"].as_str().unwrap();
    let client = |address: [u8; 4]| {
        let client = reqwest::Client::builder()
            .tls_certs_only(ca.clone())
            .local_address(IpAddr::from(address))
            .no_proxy()
            .build()
            .unwrap();
        let warm = client.get(&url).bearer_auth(right);
        async move {
            // Connected, and the right token verified.
            assert_eq!(warm.send().await.unwrap().status(), 404);
            client
        }
    };
    let kinds = [
        ("unknown id", wrong("slt_zzzzzzzzzz_")),
        ("wrong secret, verified token", wrong(right)),
        ("wrong secret, other token", wrong(&unseen)),
        ("expired token", over.clone()),
        ("expired token, wrong secret", wrong(&over)),
    ];
    let refused = async |client: &reqwest::Client, (kind, token): &(&str, String)| {
        let begun = Instant::now();
        let answer = client.get(&url).bearer_auth(token).send().await.unwrap();
        let taken = begun.elapsed();
        assert!([401, 429].contains(&answer.status().as_u16()), "{kind}");
        taken.as_micros() as u64
    };
    let histograms = || kinds.each_ref().map(|_| Histogram::<u64>::new(3).unwrap());
    let (mut first, mut later) = (histograms(), histograms());
    for address in 0..ADDRESSES {
        let client = client([127, 0, 1, address]).await;
        // Each kind is the first of all as often as the others.
        for turn in 0..kinds.len() {
            let kind = (turn + usize::from(address)) % kinds.len();
            let taken = refused(&client, &kinds[kind]).await;
            first[kind].record(taken).unwrap();
        }
    }
    let client = client([127, 0, 0, 1]).await;
    for kind in &kinds {
        refused(&client, kind).await;
    }
    for _ in 0..REQUESTS {
        // By turns, so that what else the machine does meets all alike.
        for (times, kind) in later.iter_mut().zip(&kinds) {
            times.record(refused(&client, kind).await).unwrap();
        }
    }
    for (title, times) in [("first of a kind, us", first), ("later ones, us", later)] {
        println!("{title:<30} {:>9} {:>9} {:>9}", "p50", "p90", "p99");
        for (times, (kind, _)) in times.iter().zip(&kinds) {
            let [p50, p90, p99] = [0.5, 0.9, 0.99].map(|share| times.value_at_quantile(share));
            println!("{kind:<30} {p50:>9} {p90:>9} {p99:>9}");
        }
    }
}

//! A long run of mixed traffic: memory and open files do not grow.

use std::time::{Duration, Instant};

use serde_json::Value;

use crate::app::TestApp;
use crate::chance::{Chance, from_environment};
use crate::client::Client;
use crate::traffic::Traffic;
use crate::truth::Truth;

/// KiB by which the resident memory may differ between the middle and the end of a run: caches and the allocator's slack.
const SLACK: u64 = 24 * 1024;
/// Open files by which they may differ: readers' connections (three each) and clients that come and go.
const FILES: u64 = 24;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn memory_and_open_files_stay_flat() {
    let mut chance = Chance::seeded("soak");
    let length = Duration::from_secs(from_environment("SCIMLITE_SOAK_SECONDS", 24));
    let mut app = TestApp::start();
    let traffic = Traffic::start(&app, "s", &mut chance);
    let readers: Vec<_> = (0..4)
        .map(|_| tokio::spawn(read(app.new_client())))
        .collect();
    // Most of a third each: to warm up, to look at, to compare with it.
    let mut most = [(0, 0); 3];
    let began = Instant::now();
    while began.elapsed() < length {
        // Connections come and go as well.
        let fresh = app.new_client();
        fresh.get("/ServiceProviderConfig").await.expect(200);
        let third = (began.elapsed().as_millis() * 3 / length.as_millis().max(1)).min(2) as usize;
        let (memory, files) = most[third];
        most[third] = (resident(&app).max(memory), open_files(&app).max(files));
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
    eprintln!("KiB resident and open files by thirds: {most:?}");
    let [_, (memory, files), (later_memory, later_files)] = most;
    assert!(memory > 0 && files > 0, "{most:?}");
    assert!(later_memory <= memory + SLACK, "{most:?}");
    assert!(later_files <= files + FILES, "{most:?}");
    readers.iter().for_each(tokio::task::JoinHandle::abort);
    app.kill();
    let acknowledged = traffic.ended().await;
    app.resume();
    Truth::default().holds(&app, &acknowledged);
}

/// Reads as identity providers do, until it is ended.
async fn read(client: Client) {
    for number in 0_u64.. {
        let path = match number % 3 {
            0 => "/Users?filter=userName+eq+%22sw1-1@example.test%22",
            1 => "/Users?count=50&startIndex=1&attributes=userName",
            _ => "/Groups?count=10",
        };
        if client.try_scim("GET", path, Value::Null).await.is_err() {
            return;
        }
    }
}

/// KiB of memory that the server has in RAM.
fn resident(app: &TestApp) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", app.pid())).unwrap();
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"));
    let words = line.unwrap().split_whitespace().next();
    words.unwrap().parse().unwrap()
}

fn open_files(app: &TestApp) -> u64 {
    let directory = std::fs::read_dir(format!("/proc/{}/fd", app.pid()));
    directory.unwrap().count() as u64
}

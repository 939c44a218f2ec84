//! The snapshots that the server makes by itself (`[backup]`): each can be copied by `cp` at any moment, there are as
//! many as the configuration says, and what goes wrong with them does not reach those who are served.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::app::TestApp;
use crate::backup::{cp, names, whole};
use crate::durable::{acknowledged, busy};
use crate::home::Home;

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(30);
/// Copies by `cp` under load.
const COPIES: usize = 200;

/// The snapshots that are there.
fn snapshots(app: &TestApp) -> Vec<PathBuf> {
    let directory = app.data().join("snapshots");
    if !directory.exists() {
        return Vec::new();
    }
    let snapshot = |name: &String| name.starts_with("scimlite-") && name.ends_with(".db");
    let names = names(&directory).into_iter().filter(snapshot);
    names.map(|name| directory.join(name)).collect()
}

/// Waits until `there` says so.
async fn until(what: &str, mut there: impl FnMut() -> bool) {
    let deadline = Instant::now() + DEADLINE;
    while !there() {
        assert!(Instant::now() < deadline, "{what}");
        tokio::time::sleep(Duration::from_millis(10)).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_snapshot_can_be_copied_at_any_moment() {
    let mut app = TestApp::on(
        Home::new().configured("[backup]\nevery = '1s'\nkeep = 2"),
        |_| {},
    );
    let writers = busy(&app, 0).await;
    let copy = app.beside("copy.db");
    // What each snapshot held when it was copied first: it never changes, and that it is whole need be seen once.
    let mut seen = BTreeMap::new();
    let mut copies = 0;
    let deadline = Instant::now() + DEADLINE;
    while copies < COPIES || seen.len() < 4 {
        assert!(
            Instant::now() < deadline,
            "{copies} copies of {} snapshots",
            seen.len()
        );
        for snapshot in snapshots(&app) {
            // It may have been one too many just now.
            if cp(&snapshot, &copy) {
                copies += 1;
                let content = std::fs::read(&copy).unwrap();
                let first = seen.entry(snapshot).or_insert_with(|| {
                    whole(&copy);
                    content.clone()
                });
                assert!(*first == content, "a snapshot changed");
                std::fs::remove_file(&copy).unwrap();
            }
        }
    }
    app.stop();
    let users = acknowledged(writers).await;
    assert!(!users.is_empty());
    assert_eq!(snapshots(&app).len(), 2);
    let directory = names(&app.data().join("snapshots"));
    assert_eq!(directory.len(), 2, "nothing unfinished: {directory:?}");
    assert!(!app.stderr().contains("ERROR"), "{}", app.stderr());
}

#[tokio::test]
async fn a_restart_makes_none_too_many_and_others_files_stay() {
    let mut app = TestApp::start();
    until("no first snapshot", || !snapshots(&app).is_empty()).await;
    let first = snapshots(&app);
    app.restart();
    let user = json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);
    app.stop();
    assert_eq!(snapshots(&app), first);

    let directory = app.data().join("snapshots");
    let others = [
        "scimlite-20200101T000000Z.db.mine",
        "scimlite-2020.db",
        "scimlite-20200101T000000z.db",
        "Scimlite-20200101T000000Z.db",
        "notes.txt",
    ];
    let old = [
        "scimlite-20200101T000000Z.db",
        "scimlite-20210101T000000Z.db",
    ];
    let unfinished = ["scimlite-20200101T000000Z.db.new-4194999"];
    for name in others.iter().chain(&old).chain(&unfinished) {
        std::fs::write(directory.join(name), name).unwrap();
    }
    std::fs::remove_file(&first[0]).unwrap();
    std::fs::write(app.data().join("scimlite.toml"), "[backup]\nkeep = 2").unwrap();
    app.resume();
    until("not pruned", || !directory.join(old[0]).exists()).await;
    let there: BTreeSet<_> = names(&directory).into_iter().collect();
    assert_eq!(there.len(), others.len() + 2, "{there:?}");
    for name in others.iter().chain(&old[1..]) {
        assert!(there.contains(*name), "{name} in {there:?}");
    }
    assert_eq!(whole(snapshots(&app).last().unwrap()), 1);
}

#[tokio::test]
async fn where_none_can_be_made_the_server_serves_and_tries_again() {
    let home = Home::new();
    let in_the_way = home.beside("in-the-way");
    std::fs::write(&in_the_way, "no directory").unwrap();
    let configuration = format!(
        "[backup]\nevery = '1s'\ndir = '{}/snapshots'",
        in_the_way.display()
    );
    let app = TestApp::on(home.configured(&configuration), |_| {});
    until("no word of it", || {
        app.stderr().contains("no snapshot could be made")
    })
    .await;
    let user = json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);
    std::fs::remove_file(&in_the_way).unwrap();
    let made = in_the_way.join("snapshots");
    until("none later", || made.exists() && !names(&made).is_empty()).await;
    app.client.find("userName eq \"anna@example.test\"").await;
}

#[tokio::test]
async fn none_are_made_where_none_are_kept() {
    let mut app = TestApp::on(
        Home::new().configured("[backup]\nkeep = 0\nevery = '1s'"),
        |_| {},
    );
    let user = json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);
    app.restart();
    assert!(!app.data().join("snapshots").exists());
}

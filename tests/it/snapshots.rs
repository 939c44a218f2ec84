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
    assert_eq!(
        directory.len(),
        3,
        "the mark, and nothing unfinished: {directory:?}"
    );
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
    assert_eq!(there.len(), others.len() + 3, "{there:?}");
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
    let is_one = |name: &String| name.ends_with(".db");
    until("none later", || {
        made.exists() && names(&made).iter().any(is_one)
    })
    .await;
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

#[tokio::test]
async fn two_appliances_do_not_share_a_directory() {
    let first = Home::new();
    let directory = first.beside("shared");
    let configuration = format!(
        "[backup]\nevery = '1s'\nkeep = 1\ndir = '{}'",
        directory.display()
    );
    let mut first = TestApp::on(first.configured(&configuration), |_| {});
    let there = || {
        let names = if directory.exists() {
            names(&directory)
        } else {
            Vec::new()
        };
        names
            .into_iter()
            .filter(|name| name.ends_with(".db"))
            .collect::<Vec<_>>()
    };
    until("no snapshot", || !there().is_empty()).await;
    let mut second = TestApp::on(Home::new().configured(&configuration), |_| {});
    let told = |second: &TestApp| {
        second
            .stderr()
            .matches("another appliance makes its")
            .count()
    };
    until("no word of it", || told(&second) > 0).await;
    let user = json!({"userName": "anna@example.test"});
    second.client.create(user).await.expect(201);
    for said in [
        second.cli(["status"]),
        second.cli(["check", "--listen", "127.0.0.1:0"]),
    ] {
        let stdout = String::from_utf8_lossy(&said.stdout).into_owned();
        assert!(stdout.contains("FAIL backup: "), "{stdout}");
        assert!(stdout.contains("another appliance"), "{stdout}");
    }
    let status = second.cli(["status", "--json"]);
    let status: serde_json::Value = serde_json::from_slice(&status.stdout).unwrap();
    assert!(status["last_snapshot"].is_null(), "{status}");
    // Neither while the first one runs, nor when it is gone.
    first.stop();
    let (left, before) = (there(), told(&second));
    second.restart();
    until("no word of it", || told(&second) > before).await;
    assert_eq!(there(), left);
}

/// A new appliance has its first snapshot when a backup of another one is restored into it.
#[tokio::test]
async fn a_restored_appliance_goes_on_where_the_replaced_one_was() {
    let old = Home::new();
    let backup = old.beside("backup.db");
    old.cli_json(["backup", backup.to_str().unwrap()]);
    let configuration = "[backup]\nevery = '1s'";
    let mut app = TestApp::on(Home::new().configured(configuration), |_| {});
    until("no snapshot", || !snapshots(&app).is_empty()).await;
    app.stop();
    app.cli_json(["restore", backup.to_str().unwrap()]);
    let before = snapshots(&app).len();
    app.resume();
    until("none later", || snapshots(&app).len() > before).await;
}

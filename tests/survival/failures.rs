//! Writes and fsyncs that fail below SQLite, now and then or for a while: whoever writes is told by a 503, reads go on, and
//! once the disk works again so does the appliance, with nothing lost.

use std::time::{Duration, Instant};

use serde_json::json;

use crate::app::TestApp;
use crate::chance::Chance;
use crate::home::Home;
use crate::shim::{EIO, ENOSPC, EROFS, Orders, Shim};
use crate::traffic::Traffic;
use crate::truth::Truth;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_disk_that_fails_costs_nothing_acknowledged() {
    let mut chance = Chance::seeded("failures");
    let shim = Shim::new(Orders::default());
    let mut app = TestApp::on(Home::new(), |command| shim.under(command));
    let traffic = Traffic::start(&app, "f", &mut chance);
    traffic.answered(20).await;
    for (write_error, sync_error) in [
        (ENOSPC, 0),
        (EIO, 0),
        (0, EIO),
        (EROFS, 0),
        (ENOSPC, ENOSPC),
    ] {
        for _ in 0..4 {
            // Somewhere in a transaction, or in a checkpoint.
            let spare = chance.below(40) as i32;
            shim.tell(Orders {
                write_error,
                sync_error,
                spare,
                ..Orders::default()
            });
            refused(&app).await;
            assert_eq!(app.client.get("/Users?count=1").await.status, 200);
            shim.tell(Orders::default());
            recovered(&app).await;
        }
    }
    app.kill();
    let acknowledged = traffic.ended().await;
    app.resume();
    Truth::default().holds(&app, &acknowledged);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_a_disk_lost_of_a_moved_wal_is_moved_again_by_the_next_start() {
    let mut chance = Chance::seeded("moving");
    let shim = Shim::new(Orders {
        sync_error: EIO,
        moving: true,
        keep: true,
        ..Orders::default()
    });
    let home = Home::new();
    let database = home.database();
    let synced = database.with_extension("db.synced");
    std::fs::copy(&database, &synced).unwrap();
    let mut app = TestApp::on(home, |command| shim.under(command));
    let traffic = Traffic::start(&app, "m", &mut chance);
    let ended = tokio::task::block_in_place(|| app.wait());
    assert_eq!(ended.code(), Some(1));
    let acknowledged = traffic.ended().await;
    // All is lost that was moved and not synced.
    let moved = std::fs::read(&database).unwrap();
    assert_ne!(std::fs::read(&synced).unwrap(), moved);
    std::fs::copy(&synced, &database).unwrap();
    app.resume();
    Truth::default().holds(&app, &acknowledged);
}

/// The status of a probe of the admin listener.
async fn probe(app: &TestApp, path: &str) -> u16 {
    let admin = app.admin_client();
    admin.exchange("GET", path, &[], None).await.unwrap().status
}

#[tokio::test]
async fn ready_is_who_can_make_changes() {
    let shim = Shim::new(Orders::default());
    let app = TestApp::on(Home::new(), |command| shim.under(command));
    for (write_error, sync_error) in [(ENOSPC, 0), (EROFS, 0), (0, EIO)] {
        assert_eq!(probe(&app, "/readyz").await, 200);
        assert!(app.cli(["status"]).status.success());
        shim.tell(Orders {
            write_error,
            sync_error,
            ..Orders::default()
        });
        refused(&app).await;
        for _ in 0..3 {
            assert_eq!(probe(&app, "/readyz").await, 503);
        }
        assert_eq!(probe(&app, "/healthz").await, 200);
        let status = app.cli(["status"]);
        assert_eq!(status.status.code(), Some(1));
        let shown = String::from_utf8(status.stdout).unwrap();
        assert!(
            shown.contains("the database does not take writes"),
            "{shown}"
        );
        // It comes back without anybody who writes.
        shim.tell(Orders::default());
        until(async || probe(&app, "/readyz").await == 200).await;
        recovered(&app).await;
    }
}

/// Waits until a write is refused, as it has to be: 503 and when to come back.
async fn refused(app: &TestApp) {
    until(async || {
        let answer = app.client.create(person()).await;
        if answer.status == 503 {
            assert!(!answer.header("retry-after").is_empty());
            return true;
        }
        answer.expect(201);
        false
    })
    .await;
}

/// Waits until a write succeeds.
async fn recovered(app: &TestApp) {
    until(async || app.client.create(person()).await.status == 201).await;
}

fn person() -> serde_json::Value {
    use std::sync::atomic::{AtomicUsize, Ordering};
    static NUMBER: AtomicUsize = AtomicUsize::new(0);
    let number = NUMBER.fetch_add(1, Ordering::Relaxed);
    json!({"userName": format!("p{number}@example.test")})
}

async fn until(mut done: impl AsyncFnMut() -> bool) {
    let deadline = Instant::now() + Duration::from_secs(60);
    while !done().await {
        assert!(Instant::now() < deadline, "not within a minute");
        tokio::time::sleep(Duration::from_millis(5)).await;
    }
}

#[tokio::test]
async fn a_start_on_a_disk_that_cannot_be_written_says_so() {
    // The start has its row in the audit, so what does not sync is no better.
    for (write_error, sync_error) in [(ENOSPC, 0), (EROFS, 0), (EIO, 0), (0, EIO)] {
        let home = Home::new();
        let shim = Shim::new(Orders {
            write_error,
            sync_error,
            ..Orders::default()
        });
        let mut command = home.command(["serve", "--listen", "127.0.0.1:0"]);
        command.args(["--admin-listen", "127.0.0.1:0"]);
        shim.under(&mut command);
        let output = crate::home::run(command);
        let said = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(1), "{said}");
        let last = said.lines().last().unwrap_or_default();
        assert!(last.contains("database: "), "{said}");
        let app = TestApp::on(home, |_| {});
        app.client.create(person()).await.expect(201);
    }
}

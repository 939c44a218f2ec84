//! A WAL that is cut short: what was moved into the file is there, and the rest is a beginning of what happened.

use std::path::Path;

use crate::app::TestApp;
use crate::chance::{Chance, from_environment};
use crate::traffic::{Acknowledged, Traffic};
use crate::truth::Truth;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_wal_cut_short_leaves_a_beginning_of_history() {
    let mut chance = Chance::seeded("wal");
    let rounds = from_environment("SCIMLITE_SURVIVAL_ROUNDS", 50) / 5;
    let mut app = TestApp::start();
    let database = app.database();
    let wal = database.with_extension("db-wal");
    for round in 0..rounds {
        let traffic = Traffic::start(&app, &format!("r{round}"), &mut chance);
        traffic.answered(50).await;
        app.kill();
        traffic.ended().await;
        // The history with all of the WAL, and without any of it.
        let whole = history(&app, &database, Some(&wal));
        let moved = history(&app, &database, None);
        let size = std::fs::metadata(&wal).unwrap().len();
        let cut = chance.below(size + 1);
        let file = std::fs::File::options().write(true).open(&wal).unwrap();
        file.set_len(cut).unwrap();
        app.resume();
        Truth::default().holds(&app, &Acknowledged::new());
        let left = history(&app, &database, Some(&wal));
        assert!(left.len() >= moved.len(), "{cut} of {size} bytes");
        assert!(whole.starts_with(&left), "{cut} of {size} bytes");
        // Now and then the next round begins with an empty WAL.
        if round % 2 == 0 {
            app.restart();
        }
    }
}

/// The hashes of the audit in a copy of the file, with a copy of its WAL.
fn history(app: &TestApp, database: &Path, wal: Option<&Path>) -> Vec<String> {
    let copy = app.beside("copy.db");
    let copied_wal = copy.with_extension("db-wal");
    for stale in [&copied_wal, &copy.with_extension("db-shm")] {
        let _ = std::fs::remove_file(stale);
    }
    std::fs::copy(database, &copy).unwrap();
    if let Some(wal) = wal.filter(|wal| wal.exists()) {
        std::fs::copy(wal, &copied_wal).unwrap();
    }
    let db = rusqlite::Connection::open(&copy).unwrap();
    let mut rows = db.prepare("SELECT hash FROM audit ORDER BY seq").unwrap();
    let hashes = rows.query_map([], |row| row.get(0)).unwrap();
    hashes.map(Result::unwrap).collect()
}

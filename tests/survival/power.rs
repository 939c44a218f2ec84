//! Loss of power: of what was written since the last fsync, any part may be on the disk and any may not.

use std::path::{Path, PathBuf};

use crate::app::TestApp;
use crate::chance::{Chance, from_environment};
use crate::home::Home;
use crate::shim::{Orders, Shim};
use crate::traffic::{Acknowledged, Traffic};
use crate::truth::Truth;

/// What a disk writes whole or not at all.
const SECTOR: usize = 512;
/// Bytes of a WAL from which on the appliance moves it into the file while it goes on.
const MOVED: u64 = 4000 * 4096;

fn beside(path: &Path, ending: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(ending);
    name.into()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn acknowledged_is_on_the_disk_when_the_power_goes() {
    let mut chance = Chance::seeded("power");
    let rounds = from_environment("SCIMLITE_SURVIVAL_ROUNDS", 50) / 5;
    let shim = Shim::new(Orders {
        keep: true,
        ..Orders::default()
    });
    let home = Home::new();
    let database = home.database();
    std::fs::copy(&database, beside(&database, ".synced")).unwrap();
    let mut app = TestApp::on(home, |command| shim.under(command));
    let mut all = Acknowledged::new();
    let mut truth = Truth::default();
    for round in 0..rounds {
        let traffic = Traffic::start(&app, &format!("r{round}"), &mut chance);
        let mut answers = 1 + chance.below(150) as usize;
        traffic.answered(answers).await;
        let wal = beside(&database, "-wal");
        while round % 5 == 4 && wal.metadata().unwrap().len() <= MOVED {
            answers += 100;
            traffic.answered(answers).await;
        }
        app.kill();
        all.append(&mut traffic.ended().await);
        lose_power(&database, &mut chance);
        app.resume_with(|command| shim.under(command));
        truth.holds(&app, &all);
    }
}

/// Makes the database and its WAL what a disk may hold: what was synced, and sector by sector perhaps what came after.
fn lose_power(database: &Path, chance: &mut Chance) {
    for file in [database.to_owned(), beside(database, "-wal")] {
        let Ok(synced) = std::fs::read(beside(&file, ".synced")) else {
            let _ = std::fs::remove_file(&file);
            continue;
        };
        let mut left = synced;
        let late = std::fs::read(&file).unwrap_or_default();
        // Nothing, all, or about half of what came late.
        let (luck, of) = *chance.one(&[(0, 1), (1, 1), (1, 2)]);
        for at in (0..late.len()).step_by(SECTOR) {
            let end = (at + SECTOR).min(late.len());
            if chance.below(of) < luck {
                if left.len() < end {
                    left.resize(end, 0);
                }
                left[at..end].copy_from_slice(&late[at..end]);
            }
        }
        std::fs::write(&file, &left).unwrap();
        std::fs::write(beside(&file, ".synced"), &left).unwrap();
    }
    let _ = std::fs::remove_file(beside(database, "-shm"));
}

//! kill -9 at random moments, again and again on one file, with a backup beside it now and then.

use std::time::Duration;

use crate::app::TestApp;
use crate::chance::{Chance, from_environment};
use crate::db::unbroken;
use crate::home::sound;
use crate::traffic::{Acknowledged, Traffic};
use crate::truth::Truth;

/// Rounds on one file at the most: after each all that is in it is looked at.
const OF_A_FILE: usize = 200;

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn kill_after_kill_loses_nothing_and_leaves_nothing_by_half() {
    let mut chance = Chance::seeded("kills");
    let rounds = from_environment("SCIMLITE_SURVIVAL_ROUNDS", 50);
    let anew = || (TestApp::start(), Truth::default(), Acknowledged::new());
    let (mut app, mut truth, mut all) = anew();
    for round in 0..rounds {
        if round > 0 && round % OF_A_FILE == 0 {
            eprintln!("{round} rounds held");
            (app, truth, all) = anew();
        }
        let traffic = Traffic::start(&app, &format!("r{round}"), &mut chance);
        traffic.answered(1 + chance.below(100) as usize).await;
        let backup = (round % 5 == 0).then(|| {
            let file = app.beside(&format!("backup-{round}.db"));
            let arguments = ["backup", file.to_str().unwrap()];
            let mut command = app.command(arguments);
            let child = command.stdout(std::process::Stdio::null()).spawn();
            (file.clone(), child.unwrap())
        });
        tokio::time::sleep(Duration::from_micros(chance.below(100_000))).await;
        app.kill();
        all.append(&mut traffic.ended().await);
        // A start is killed as well: what it recovers has to be recovered again.
        if round % 3 == 0 {
            let mut start = app.command(["serve", "--listen", "127.0.0.1:0"]);
            let mut start = start
                .stdout(std::process::Stdio::null())
                .stderr(std::process::Stdio::null())
                .spawn()
                .unwrap();
            tokio::time::sleep(Duration::from_micros(chance.below(150_000))).await;
            start.kill().unwrap();
            start.wait().unwrap();
        }
        app.resume();
        if let Some((file, mut child)) = backup {
            assert!(child.wait().unwrap().success());
            sound(&file);
            unbroken(&file);
        }
        truth.holds(&app, &all);
        assert!(all.len() > round % OF_A_FILE, "{} requests", all.len());
    }
}

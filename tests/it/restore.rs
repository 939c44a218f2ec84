//! `scimlite restore`: the way back, from a clean stop, from a kill and from a ruined file; and everything that it
//! refuses, each time leaving all as it was.

use std::path::Path;
use std::process::Output;
use std::time::{Duration, Instant};

use rusqlite::Connection;
use serde_json::{Value, json};

use crate::app::TestApp;
use crate::backup::{companions, names, whole};
use crate::cli::refused;
use crate::db::unbroken;
use crate::home::{Home, sound};

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(30);

async fn create(app: &TestApp, name: &str) {
    let user = json!({"userName": format!("{name}@example.test")});
    app.client.create(user).await.expect(201);
}

async fn people(app: &TestApp) -> Vec<String> {
    let list = app.client.get("/Users").await.expect(200);
    let people = list.json["Resources"].as_array().unwrap();
    let name = |user: &Value| user["userName"].as_str().unwrap().to_owned();
    people.iter().map(name).collect()
}

fn restore(home: &Home, file: &Path) -> Output {
    home.cli(["restore", file.to_str().unwrap(), "--json"])
}

/// A server with Anna in it and in a backup, and then Bert, who is not.
async fn with_backup() -> (TestApp, std::path::PathBuf) {
    let app = TestApp::start();
    create(&app, "anna").await;
    let file = app.beside("backup.db");
    app.cli_json(["backup", file.to_str().unwrap()]);
    create(&app, "bert").await;
    (app, file)
}

#[tokio::test]
async fn a_restore_brings_back_what_was_and_keeps_what_is() {
    let (mut app, file) = with_backup().await;
    app.stop();
    let backup = std::fs::read(&file).unwrap();
    let rows = app.row(
        "SELECT audit_seq AS seq, audit_hash AS hash FROM appliance",
        [],
    );
    let done = crate::home::json(&restore(&app, &file));
    assert_eq!(done["audit_seq_before"], rows["seq"]);
    let kept = done["kept"].as_str().unwrap();
    assert_eq!(whole(Path::new(kept)), 2);
    assert_eq!(whole(&app.database()), 1);
    assert_eq!(
        std::fs::read(&file).unwrap(),
        backup,
        "the backup is as it was"
    );

    app.resume();
    assert_eq!(people(&app).await, ["anna@example.test"]);
    create(&app, "clara").await;
    let row = app.row(
        "SELECT seq, actor, source, verdict, reason, changes FROM audit WHERE action = 'appliance.restore'",
        [],
    );
    assert_eq!(row["seq"], done["audit_seq"].as_i64().unwrap() + 1);
    assert_eq!(
        (&row["source"], &row["verdict"]),
        (&json!("cli"), &json!("applied"))
    );
    assert!(
        row["reason"].as_str().unwrap().contains("backup.db"),
        "{row}"
    );
    assert_eq!(row["changes"]["audit_hash"]["old"], rows["hash"]);
    assert_eq!(row["changes"]["audit_seq"]["new"], done["audit_seq"]);
    app.stop();

    // And back again.
    assert!(restore(&app, Path::new(kept)).status.success());
    app.resume();
    assert_eq!(
        people(&app).await,
        ["anna@example.test", "bert@example.test"]
    );
}

#[tokio::test]
async fn after_a_kill_the_wal_goes_to_the_old_file_and_never_meets_the_new_one() {
    let (mut app, file) = with_backup().await;
    app.kill();
    let [wal, ..] = companions(&app.database());
    assert!(wal.metadata().unwrap().len() > 0, "a WAL that is needed");
    let done = crate::home::json(&restore(&app, &file));
    assert!(!wal.exists());
    assert_eq!(whole(&app.database()), 1);
    assert_eq!(whole(Path::new(done["kept"].as_str().unwrap())), 2);
    app.resume();
    assert_eq!(people(&app).await, ["anna@example.test"]);
}

#[tokio::test]
async fn a_ruined_database_is_replaced_and_its_wal_goes_with_it() {
    let (mut app, file) = with_backup().await;
    app.kill();
    let [wal, ..] = companions(&app.database());
    let log = std::fs::read(&wal).unwrap();
    let database = app.database();
    std::fs::write(&database, b"a letter to a friend\n".repeat(500)).unwrap();
    let done = crate::home::json(&restore(&app, &file));
    assert_eq!(done["audit_seq_before"], Value::Null);
    assert_eq!(whole(&database), 1);
    let kept = Path::new(done["kept"].as_str().unwrap());
    assert!(std::fs::read(kept).unwrap().starts_with(b"a letter"));
    assert_eq!(std::fs::read(&companions(kept)[0]).unwrap(), log);
    app.resume();
    assert_eq!(people(&app).await, ["anna@example.test"]);
}

#[tokio::test]
async fn a_lost_database_is_restored_even_where_its_wal_is_left() {
    let (mut app, file) = with_backup().await;
    app.kill();
    let database = app.database();
    std::fs::remove_file(&database).unwrap();
    let done = crate::home::json(&restore(&app, &file));
    assert_eq!(done["kept"], Value::Null);
    assert_eq!(whole(&database), 1);
    app.resume();
    assert_eq!(people(&app).await, ["anna@example.test"]);
}

#[tokio::test]
async fn nothing_is_restored_under_a_running_server_or_an_open_file() {
    let (mut app, file) = with_backup().await;
    let stderr = refused(&restore(&app, &file));
    assert!(stderr.contains("a server runs"), "{stderr}");
    create(&app, "clara").await;
    app.stop();

    // Another program reads the file: SQLite's own locks tell.
    let reader = Connection::open(app.database()).unwrap();
    let mode = "PRAGMA journal_mode = WAL; SELECT count(*) FROM user";
    reader.execute_batch(mode).unwrap();
    let stderr = refused(&restore(&app, &file));
    assert!(stderr.contains("another program"), "{stderr}");

    // A command waits for that program's lock, and has the file meanwhile.
    reader.execute_batch("BEGIN IMMEDIATE").unwrap();
    let add = || app.command(["storage", "add", "Berlin"]).spawn().unwrap();
    let mut command = add();
    let deadline = Instant::now() + DEADLINE;
    while !refused(&restore(&app, &file)).contains("a command of Scimlite") {
        assert!(
            Instant::now() < deadline,
            "the command does not hold the file"
        );
        // The restore may have been the faster of the two, and then refused the command.
        if command.try_wait().unwrap().is_some() {
            command = add();
        }
    }
    reader.execute_batch("COMMIT").unwrap();
    drop(reader);
    assert!(command.wait().unwrap().success());
    let storages = app.cli_json(["storage", "list"]);
    assert_eq!(storages.as_array().unwrap().len(), 2);
    app.resume();
    assert_eq!(people(&app).await.len(), 3);
}

#[test]
fn what_cannot_be_restored_leaves_all_as_it_was() {
    let home = Home::new();
    let good = home.beside("good.db");
    assert!(
        home.cli(["backup", good.to_str().unwrap()])
            .status
            .success()
    );
    let content = std::fs::read(&good).unwrap();
    let bad = home.beside("bad.db");
    let change = |statements: &str| {
        Connection::open(&bad)
            .unwrap()
            .execute_batch(statements)
            .unwrap()
    };
    let flip = |at: usize| {
        let mut flipped = content.clone();
        flipped[at] ^= 0x40;
        std::fs::write(&bad, flipped).unwrap();
    };
    let [_, _, journal] = companions(&bad);
    type Harm<'a> = &'a dyn Fn();
    let harms: [(&str, Harm); 17] = [
        ("newer", &|| change("PRAGMA user_version = 99")),
        ("scimlite-schema-1-", &|| change("PRAGMA user_version = 2")),
        ("a row of mapping refers to none of profile", &|| {
            change("PRAGMA foreign_keys = OFF; DELETE FROM profile")
        }),
        ("profile Default counts other accounts", &|| {
            change("UPDATE profile SET preserved_accounts = 3")
        }),
        ("storage Default counts other accounts", &|| {
            change("UPDATE storage SET active_accounts = 3")
        }),
        ("bad.db: broken", &|| flip(18)),
        ("bad.db", &|| flip(16)),
        ("bad.db-journal: lies beside", &|| {
            std::fs::write(&journal, "junk").unwrap()
        }),
        ("bad.db: is no regular file", &|| {
            std::fs::remove_file(&bad).unwrap();
            let mut pipe = std::process::Command::new("mkfifo");
            pipe.arg(&bad);
            assert!(crate::home::run(pipe).status.success());
        }),
        ("not a Scimlite database", &|| {
            change("PRAGMA application_id = 7")
        }),
        ("row 2", &|| {
            change("UPDATE audit SET reason = 'x' WHERE seq = 2")
        }),
        ("row 3 of the audit", &|| {
            change("DELETE FROM audit WHERE seq = 3")
        }),
        ("table stray", &|| change("CREATE TABLE stray (x)")),
        ("broken", &|| {
            let mut broken = content.clone();
            let middle = broken.len() / 2;
            broken[middle..].fill(7);
            std::fs::write(&bad, broken).unwrap();
        }),
        ("bad.db", &|| {
            std::fs::write(&bad, &content[..content.len() / 3]).unwrap()
        }),
        ("not a Scimlite database", &|| {
            std::fs::write(&bad, "").unwrap()
        }),
        ("No such file", &|| std::fs::remove_file(&bad).unwrap()),
    ];
    let before = home.files();
    for (said, harm) in harms {
        let _ = std::fs::remove_file(&bad);
        let _ = std::fs::remove_file(&journal);
        std::fs::write(&bad, &content).unwrap();
        harm();
        let stderr = refused(&restore(&home, &bad));
        assert!(stderr.contains(said), "{said}: {stderr}");
        assert!(home.files() == before, "{said}");
    }
    let stderr = refused(&restore(&home, &home.beside("")));
    assert!(stderr.contains("is no regular file"), "{stderr}");
    let stderr = refused(&restore(&home, &home.database()));
    assert!(stderr.contains("itself"), "{stderr}");
    assert!(home.files() == before);
    assert_eq!(names(&home.beside("")), ["data", "good.db"]);
}

#[test]
fn a_backup_is_restored_into_a_new_appliance() {
    let (old, new) = (Home::new(), Home::new());
    old.cli_json(["user", "add", "anna@example.test"]);
    let file = old.beside("backup of – 1#?.db");
    assert!(old.cli(["backup", file.to_str().unwrap()]).status.success());
    assert!(restore(&new, &file).status.success());
    let users = new.cli_json(["user", "list"]);
    assert_eq!(users[0]["username"], "anna@example.test");
    let tokens = |home: &Home| home.cli_json(["token", "list"]);
    assert_eq!(tokens(&old), tokens(&new));
}

#[tokio::test]
async fn a_restore_that_is_killed_leaves_the_old_or_the_new_whole() {
    let (mut app, file) = with_backup().await;
    app.kill();
    let database = app.database();
    let [wal, shm, _] = companions(&database);
    let (old, log) = (
        std::fs::read(&database).unwrap(),
        std::fs::read(&wal).unwrap(),
    );
    assert!(!log.is_empty(), "a WAL that is needed");
    let again = || {
        // As the kill left it. The index of the WAL is made anew.
        let _ = std::fs::remove_file(&shm);
        std::fs::write(&database, &old).unwrap();
        std::fs::write(&wal, &log).unwrap();
        for name in names(&app.data()) {
            if name.contains(".before-") || name.contains(".new-") {
                std::fs::remove_file(app.data().join(name)).unwrap();
            }
        }
    };
    again();
    let begun = Instant::now();
    assert!(restore(&app, &file).status.success());
    let whole_run = begun.elapsed();
    for number in 0..20 {
        again();
        let mut child = app
            .command(["restore", file.to_str().unwrap()])
            .spawn()
            .unwrap();
        std::thread::sleep(whole_run * number / 20);
        child.kill().unwrap();
        child.wait().unwrap();
        let users = app.cli_json(["user", "list"]).as_array().unwrap().len();
        // An empty journal may be left: the restore was about to write the first page. SQLite never plays it in.
        assert!(!wal.exists());
        sound(&database);
        unbroken(&database);
        let restored = app.rows(
            "SELECT seq FROM audit WHERE action = 'appliance.restore'",
            [],
        );
        assert_eq!(users, 2 - restored.len());
        assert!(
            restore(&app, &file).status.success(),
            "after round {number}"
        );
    }
}

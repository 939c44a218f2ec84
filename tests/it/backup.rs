//! `scimlite backup`: copies made while everybody writes are whole, and one file each; what is refused and what a
//! killed one leaves. And the third way: the database itself as one file, after a stop and after quiet seconds.

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::json;

use crate::app::TestApp;
use crate::cli::refused;
use crate::db::unbroken;
use crate::durable::{acknowledged, busy};
use crate::home::{Home, run, sound};

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(30);

/// Files that SQLite puts beside a database.
pub fn companions(database: &Path) -> [PathBuf; 3] {
    ["-wal", "-shm", "-journal"].map(|suffix| {
        let mut path = database.as_os_str().to_owned();
        path.push(suffix);
        path.into()
    })
}

/// Asserts that a file is a whole database by itself: sound, with an unbroken audit that fits the users in it. Gives
/// the number of users.
#[track_caller]
pub fn whole(file: &Path) -> i64 {
    for companion in companions(file) {
        assert!(!companion.exists(), "{}", companion.display());
    }
    sound(file);
    unbroken(file);
    let db = Connection::open_with_flags(file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
    let (users, made): (i64, i64) = db
        .query_row(
            "SELECT (SELECT count(*) FROM user), (SELECT count(*) FROM audit WHERE status = 201)",
            [],
            |row| Ok((row.get(0)?, row.get(1)?)),
        )
        .unwrap();
    assert_eq!(users, made, "each user has the audit row of its creation");
    users
}

/// `cp` as an operator or a backup program does it.
pub fn cp(from: &Path, to: &Path) -> bool {
    let mut command = Command::new("cp");
    command.arg(from).arg(to);
    run(command).status.success()
}

/// Names in a directory.
pub fn names(directory: &Path) -> Vec<String> {
    let mut names: Vec<_> = std::fs::read_dir(directory)
        .unwrap()
        .map(|entry| entry.unwrap().file_name().into_string().unwrap())
        .collect();
    names.sort();
    names
}

fn text(path: &Path) -> &str {
    path.to_str().unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_backup_under_load_is_whole() {
    let mut app = TestApp::start();
    let writers = busy(&app, 0).await;
    let mut before = 0;
    for number in 0..10 {
        let file = app.beside(&format!("{number}.db"));
        let made = app.cli_json(["backup", text(&file)]);
        assert_eq!(made["bytes"], file.metadata().unwrap().len());
        assert_eq!(file.metadata().unwrap().permissions().mode() & 0o777, 0o600);
        let db = Connection::open_with_flags(&file, OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap();
        let head: (i64, String) = db
            .query_row(
                "SELECT seq, hash FROM audit ORDER BY seq DESC LIMIT 1",
                [],
                |row| Ok((row.get(0)?, row.get(1)?)),
            )
            .unwrap();
        assert_eq!(
            (&made["audit_seq"], &made["audit_hash"]),
            (&json!(head.0), &json!(head.1))
        );
        drop(db);
        let users = whole(&file);
        assert!(
            users > before,
            "{users} users, and {before} in the backup before"
        );
        before = users;
    }
    app.stop();
    let acknowledged = acknowledged(writers).await;
    assert!(whole(&app.database()) >= acknowledged.len() as i64);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn after_a_stop_the_database_is_one_file() {
    let mut app = TestApp::start();
    let writers = busy(&app, 0).await;
    app.stop();
    let acknowledged = acknowledged(writers).await;
    for companion in companions(&app.database()) {
        assert!(!companion.exists(), "{}", companion.display());
    }
    let copy = app.beside("copy.db");
    assert!(cp(&app.database(), &copy));
    assert!(whole(&copy) >= acknowledged.len() as i64);
}

#[tokio::test]
async fn after_quiet_seconds_the_database_is_one_file() {
    let app = TestApp::start();
    let [wal, ..] = companions(&app.database());
    for round in 1..=2 {
        let user = json!({"userName": format!("{round}@example.test")});
        app.client.create(user).await.expect(201);
        let deadline = Instant::now() + DEADLINE;
        while wal.metadata().unwrap().len() > 0 {
            assert!(Instant::now() < deadline, "the WAL is not emptied");
            tokio::time::sleep(Duration::from_millis(20)).await;
        }
        let copy = app.beside(&format!("{round}.db"));
        assert!(cp(&app.database(), &copy));
        assert_eq!(whole(&copy), round);
    }
}

#[test]
fn a_command_leaves_one_file() {
    let home = Home::new();
    let file = home.beside("backup.db");
    let junk = home.beside("junk.json");
    std::fs::write(&junk, "{").unwrap();
    for (args, code) in [
        (&["user", "add", "anna@example.test"][..], 0),
        (&["user", "list"], 0),
        (&["backup", text(&file)], 0),
        (&["backup", text(&file)], 1),
        (&["user", "show", "nobody"], 1),
        (&["mapping", "test", text(&junk)], 1),
    ] {
        let output = home.cli(args.iter().copied());
        assert_eq!(output.status.code(), Some(code), "{args:?}: {output:?}");
        for companion in companions(&home.database()) {
            assert!(!companion.exists(), "{args:?}: {}", companion.display());
        }
    }
}

#[test]
fn a_backup_replaces_a_file_only_when_it_is_told_to() {
    let home = Home::new();
    let file = home.beside("backup.db");
    std::fs::write(&file, "").unwrap();
    for _ in 0..2 {
        let stderr = refused(&home.cli(["backup", text(&file)]));
        assert!(stderr.contains("--force"), "{stderr}");
        let forced = home.cli(["backup", text(&file), "--force"]);
        assert!(forced.status.success());
        whole(&file);
    }
    assert_eq!(names(&home.beside("")), ["backup.db", "data"]);
}

/// Not by force either: what is no backup is not replaced by one.
#[test]
fn a_backup_replaces_nothing_but_a_backup() {
    let home = Home::new();
    let data = home.data();
    let [letter, link, pipe, live] =
        ["letter", "link", "pipe", "live.db"].map(|name| home.beside(name));
    std::fs::write(&letter, "a letter to a friend\n".repeat(50)).unwrap();
    std::os::unix::fs::symlink(&letter, &link).unwrap();
    let mut made = Command::new("mkfifo");
    made.arg(&pipe);
    assert!(run(made).status.success());
    assert!(cp(&home.database(), &live));
    std::fs::write(home.beside("live.db-wal"), "").unwrap();
    let [wal, shm, journal] = companions(&home.database());
    // From its first opening on, the database says that it is in WAL mode.
    home.cli_json(["user", "list"]);
    let before = home.files();
    let roundabout = data.join("../data/scimlite.db-wal");
    for file in [
        &letter,
        &link,
        &pipe,
        &live,
        &data.join("server.key"),
        &data.join("scimlite.toml"),
        &wal,
        &shm,
        &journal,
        &roundabout,
        Path::new("/dev/full"),
    ] {
        let stderr = refused(&home.cli(["backup", text(file), "--force"]));
        assert!(stderr.contains(text(file)), "{stderr}");
        assert!(home.files() == before, "{}", file.display());
    }
    let stderr = refused(&home.cli(["backup", text(&wal)]));
    assert!(stderr.contains("the database itself"), "{stderr}");
    assert!(std::fs::read(&letter).unwrap().starts_with(b"a letter"));
}

#[test]
fn what_a_backup_refuses_leaves_nothing() {
    let home = Home::new();
    let before = home.files();
    let missing = home.beside("missing/backup.db");
    let itself = home.database();
    for file in [missing.as_path(), &itself, Path::new("/"), Path::new("..")] {
        for force in [&[][..], &["--force"]] {
            refused(&home.cli(["backup", text(file)].iter().chain(force).copied()));
        }
    }
    home.sql("UPDATE audit SET reason = 'another' WHERE seq = 2");
    let file = home.beside("backup.db");
    let stderr = refused(&home.cli(["backup", text(&file)]));
    assert!(stderr.contains("scimlite.db: broken: row 2"), "{stderr}");
    assert_eq!(names(&home.beside("")), ["data"]);
    let (before, after) = (before.iter(), home.files());
    assert!(
        before
            .map(|(path, _)| path)
            .eq(after.iter().map(|(path, _)| path))
    );
}

#[test]
fn a_killed_backup_leaves_no_half_file_and_the_next_removes_the_rest() {
    let home = Home::new();
    let directory = home.beside("backups");
    std::fs::create_dir(&directory).unwrap();
    let file = directory.join("b.db");
    let args = ["backup", text(&file), "--force"];
    let whole_run = Instant::now();
    assert!(home.cli(args).status.success());
    let whole_run = whole_run.elapsed();
    for number in 0..20 {
        std::fs::remove_file(&file).unwrap_or_default();
        let mut child = home.command(args).spawn().unwrap();
        std::thread::sleep(whole_run * number / 20);
        child.kill().unwrap();
        child.wait().unwrap();
        if file.exists() {
            whole(&file);
        }
    }
    // One that was certainly cut off: its number belongs to no process any more.
    let mut gone = Command::new("true").spawn().unwrap();
    gone.wait().unwrap();
    let left = format!("b.db.new-{}", gone.id());
    for name in [left.clone(), format!("{left}-journal")] {
        std::fs::write(directory.join(name), "half").unwrap();
    }
    // What is being made by another process, and what only looks alike, stay.
    let others = [
        format!("b.db.new-{}", std::process::id()),
        "b.db.new-x".to_owned(),
        "c.db.new-1".to_owned(),
    ];
    for name in &others {
        std::fs::write(directory.join(name), "another's").unwrap();
    }
    assert!(home.cli(args).status.success());
    whole(&file);
    let mut expected = others.to_vec();
    expected.push("b.db".to_owned());
    expected.sort();
    assert_eq!(names(&directory), expected);
}

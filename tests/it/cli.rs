//! `init` and `serve` as a script meets them: what they print, what they leave, and how they refuse (design §5).

use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::Output;

use rusqlite::Connection;
use tempfile::TempDir;
use x509_parser::pem::Pem;

use crate::app::TestApp;
use crate::home::{Home, json, run, scimlite};

/// Asserts a refusal as the contract has it: exit 1, nothing on stdout, one line on stderr.
#[track_caller]
pub fn refused(output: &Output) -> String {
    let stderr = String::from_utf8_lossy(&output.stderr).into_owned();
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(output.stdout.is_empty());
    assert_eq!(stderr.lines().count(), 1, "{stderr}");
    assert!(!stderr.contains("panicked"), "{stderr}");
    stderr
}

/// `serve` on free ports, on a directory that it has to refuse.
fn serve(home: &Home) -> Output {
    let listen = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    home.cli(["serve"].into_iter().chain(listen))
}

fn names(files: &[(PathBuf, Vec<u8>)]) -> Vec<&PathBuf> {
    files.iter().map(|(path, _)| path).collect()
}

#[test]
fn init_prints_five_keys() {
    let home = Home::new();
    let mut keys: Vec<_> = home.init.as_object().unwrap().keys().collect();
    keys.sort();
    let expected = [
        "admin_token",
        "admin_url",
        "ca_file",
        "secret_token",
        "tenant_url",
    ];
    assert_eq!(keys, expected);
    assert!(home.ca().starts_with(b"-----BEGIN CERTIFICATE-----"));
}

#[test]
fn a_second_init_prints_no_secrets_and_changes_nothing() {
    let home = Home::new();
    let before = home.files();
    let output = home.cli(["init", "--json"]);
    let again = json(&output);
    for key in ["secret_token", "admin_token"] {
        assert!(again[key].is_null(), "{again}");
        let printed = [output.stdout.as_slice(), &output.stderr].concat();
        let printed = String::from_utf8_lossy(&printed).into_owned();
        assert!(!printed.contains("slt_"), "{printed}");
    }
    assert_eq!(again["tenant_url"], home.init["tenant_url"]);
    assert_eq!(again["ca_file"], home.init["ca_file"]);
    let after = home.files();
    assert_eq!(names(&before), names(&after));
    for ((path, before), (_, after)) in before.iter().zip(&after) {
        assert!(before == after, "{} has changed", path.display());
    }
}

#[test]
fn of_many_at_once_one_makes_the_appliance_and_all_end_well() {
    for _ in 0..5 {
        let root = TempDir::new().unwrap();
        let data = root.path().join("data");
        let init = || scimlite(["init", "--json", "--data", data.to_str().unwrap()]);
        let all: Vec<_> = (0..4)
            .map(|_| {
                std::thread::spawn({
                    let init = init();
                    move || run(init)
                })
            })
            .collect();
        let all: Vec<_> = all
            .into_iter()
            .map(|one| json(&one.join().unwrap()))
            .collect();
        let made = all
            .iter()
            .filter(|printed| printed["secret_token"].is_string());
        assert_eq!(made.count(), 1, "{all:?}");
        let read = |name: &str| std::fs::read(data.join(name)).unwrap();
        let [ca, server] = ["ca.crt", "server.crt"]
            .map(|name| Pem::iter_from_buffer(&read(name)).next().unwrap().unwrap());
        let [ca, server] = [&ca, &server].map(|pem| pem.parse_x509().unwrap());
        server.verify_signature(Some(ca.public_key())).unwrap();
    }
}

#[test]
fn only_the_owner_may_look_into_the_data_directory() {
    let app = TestApp::start();
    let mode = |path: &PathBuf| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
    assert_eq!(mode(&app.data()), 0o700);
    for (path, _) in app.files() {
        assert_eq!(mode(&path), 0o600, "{}", path.display());
    }
}

#[test]
fn wrong_usage_exits_2_and_does_nothing() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let data = data.to_str().unwrap();
    for args in [
        &[][..],
        &["bogus"],
        &["init", "--data"],
        &["init", "--data", data, "--bogus"],
        &["serve", "--data", data, "--listen"],
        &["token", "--data", data],
        &["token", "create", "--data", data],
        &["token", "create", "x", "--data", data],
        &[
            "token", "create", "x", "--scope", "sideways", "--data", data,
        ],
        &["token", "rotate", "--data", data],
    ] {
        let output = run(scimlite(args));
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(!output.stderr.is_empty(), "{args:?}");
        assert!(output.stdout.is_empty(), "{args:?}");
    }
    assert!(!root.path().join("data").exists());
}

#[test]
fn help_and_version_exit_0() {
    for args in [&["--help"][..], &["--version"], &["serve", "--help"]] {
        let output = run(scimlite(args));
        assert_eq!(output.status.code(), Some(0), "{args:?}");
        assert!(!output.stdout.is_empty(), "{args:?}");
    }
}

#[test]
fn commands_on_a_missing_directory_are_refused_and_make_none() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("missing");
    let name = data.to_str().unwrap();
    for args in [
        &["serve", "--data", name][..],
        &["token", "create", "x", "--scope", "read", "--data", name],
    ] {
        let stderr = refused(&run(scimlite(args)));
        assert!(stderr.contains("init"), "says what to do: {stderr}");
        assert!(!data.exists());
    }
}

#[test]
fn a_file_that_is_no_database_is_refused_and_left_alone() {
    let home = Home::new();
    let database = home.database();
    let junk = b"this is a letter to a friend\n".repeat(100);
    std::fs::write(&database, &junk).unwrap();
    refused(&serve(&home));
    assert_eq!(std::fs::read(&database).unwrap(), junk);
}

#[test]
fn a_database_of_something_else_is_refused_and_left_alone() {
    let home = Home::new();
    let database = home.database();
    std::fs::remove_file(&database).unwrap();
    let db = Connection::open(&database).unwrap();
    db.execute_batch("CREATE TABLE recipe(name TEXT); INSERT INTO recipe VALUES ('soup');")
        .unwrap();
    drop(db);
    let before = std::fs::read(&database).unwrap();
    refused(&serve(&home));
    assert!(std::fs::read(&database).unwrap() == before, "was changed");
}

#[test]
fn a_newer_database_is_refused_and_left_alone() {
    let home = Home::new();
    let database = home.database();
    let db = Connection::open(&database).unwrap();
    let version: i64 = db
        .query_row("PRAGMA user_version", [], |row| row.get(0))
        .unwrap();
    assert!(version > 0, "a version to count up from");
    db.pragma_update(None, "user_version", version + 1).unwrap();
    drop(db);
    let before = std::fs::read(&database).unwrap();
    let stderr = refused(&serve(&home));
    assert!(stderr.contains("newer"), "{stderr}");
    assert!(std::fs::read(&database).unwrap() == before, "was changed");
}

#[test]
fn a_database_with_another_schema_is_refused() {
    let home = Home::new();
    let db = Connection::open(home.database()).unwrap();
    db.execute_batch("CREATE TABLE stray(x TEXT) STRICT;")
        .unwrap();
    drop(db);
    refused(&serve(&home));
}

#[test]
fn a_port_in_use_is_refused() {
    let app = TestApp::start();
    let taken = format!("127.0.0.1:{}", crate::app::port(&app.ready["scim"]));
    let other = Home::new();
    let output = other.cli(["serve", "--listen", &taken, "--admin-listen", "127.0.0.1:0"]);
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(1), "{stderr}");
    assert!(stderr.contains(&taken), "{stderr}");
}

#[tokio::test]
async fn a_second_server_on_a_directory_is_refused_and_the_first_goes_on() {
    let mut app = TestApp::start();
    for _ in 0..2 {
        let stderr = refused(&serve(&app));
        assert!(stderr.contains("another server"), "{stderr}");
    }
    let user = serde_json::json!({"userName": "anna@example.test"});
    app.client.create(user).await.expect(201);
    app.kill();
    app.resume();
    assert_eq!(app.client.get("/Users").await.total(), 1);
}

#[test]
fn init_takes_no_host_that_no_certificate_can_have() {
    let root = TempDir::new().unwrap();
    let data = root.path().join("data");
    let init = |host: &str| {
        let mut command = scimlite(["init", "--host", host, "--json", "--data"]);
        command.arg(&data);
        run(command)
    };
    for host in ["bad host", "", "x/y", "host:8443"] {
        let output = init(host);
        assert_eq!(output.status.code(), Some(2), "{host}: {output:?}");
        assert!(!data.exists(), "{host}");
    }
    let made = json(&init("good.example.test"));
    assert_eq!(made["tenant_url"], "https://good.example.test:8443/scim");
}

#[test]
fn a_user_to_test_may_begin_with_a_byte_order_mark() {
    let home = Home::new();
    let file = home.beside("user.json");
    std::fs::write(&file, "\u{feff}{\"userName\": \"a@x.test\"}\r\n").unwrap();
    let told = home.cli_json(["mapping", "test", file.to_str().unwrap()]);
    assert_eq!(told["mapping"], "Default");
}

//! `check`: all that can be known before a start, in one run.

use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::path::Path;
use std::process::Output;

use serde_json::{Value, json};

use crate::app::{TestApp, port};
use crate::cli::refused;
use crate::home::{Home, run};
use crate::tls::{Authority, Pair, put};

const FREE: [&str; 4] = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];

/// What `check --json` finds, whether or not it fails: check, verdict and text.
#[track_caller]
fn found(output: &Output) -> Vec<(String, String, String)> {
    let stdout = String::from_utf8_lossy(&output.stdout);
    let findings: Vec<Value> = serde_json::from_str(&stdout).unwrap();
    let text = |finding: &Value, key: &str| finding[key].as_str().unwrap().to_owned();
    let failed = findings.iter().any(|finding| finding["verdict"] == "fail");
    assert_eq!(output.status.code(), Some(i32::from(failed)), "{stdout}");
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(stderr.lines().count(), usize::from(failed), "{stderr}");
    let findings = findings.iter();
    findings
        .map(|finding| {
            (
                text(finding, "check"),
                text(finding, "verdict"),
                text(finding, "text"),
            )
        })
        .collect()
}

fn check(home: &Home) -> Vec<(String, String, String)> {
    found(&home.cli(["check", "--json"].into_iter().chain(FREE)))
}

/// The findings of one verdict, as check and text.
fn of<'a>(findings: &'a [(String, String, String)], verdict: &str) -> Vec<(&'a str, &'a str)> {
    let of = findings.iter().filter(|(_, found, _)| found == verdict);
    of.map(|(check, _, text)| (check.as_str(), text.as_str()))
        .collect()
}

#[test]
fn what_init_made_is_sound() {
    let home = Home::new();
    let findings = check(&home);
    assert_eq!(of(&findings, "fail"), []);
    let checks: Vec<_> = of(&findings, "ok")
        .into_iter()
        .map(|(check, _)| check)
        .collect();
    for expected in [
        "configuration",
        "certificate",
        "permissions",
        "ports",
        "database",
        "space",
    ] {
        assert!(checks.contains(&expected), "{expected} of {findings:#?}");
    }
    let [(_, trial)] = of(&findings, "warn")[..] else {
        panic!("{findings:#?}");
    };
    assert!(trial.contains("no intermediate"), "{trial}");
    let text = home.cli(["check"].into_iter().chain(FREE));
    let text = String::from_utf8(text.stdout).unwrap();
    assert_eq!(text.lines().count(), findings.len());
    for line in text.lines() {
        assert!(
            line.starts_with("ok   ") || line.starts_with("warn "),
            "{line}"
        );
    }
    assert!(!home.data().join("scimlite.db-wal").exists());
}

#[test]
fn a_running_server_holds_its_ports_and_others_hold_theirs() {
    let app = TestApp::start();
    let at = |key: &str| format!("127.0.0.1:{}", port(&app.ready[key]));
    let (scim, admin) = (at("scim"), at("admin"));
    let ask = |scim: &str| {
        let args = [
            "check",
            "--json",
            "--listen",
            scim,
            "--admin-listen",
            &admin,
        ];
        found(&app.cli(args))
    };
    let findings = ask(&scim);
    let ports = of(&findings, "ok")
        .into_iter()
        .filter(|(check, _)| *check == "ports");
    let held = ports.filter(|(_, text)| text.contains("the server that runs on this directory"));
    assert_eq!(held.count(), 2, "{findings:#?}");
    let other = TcpListener::bind("127.0.0.1:0").unwrap();
    let taken = other.local_addr().unwrap().to_string();
    let findings = ask(&taken);
    let failed = of(&findings, "fail");
    assert!(
        matches!(failed[..], [("ports", text)] if text.contains(&taken)),
        "{failed:?}"
    );
}

/// A server that was killed leaves its note of the ports; the lock alone tells that it runs.
#[test]
fn a_killed_server_holds_nothing() {
    let mut app = TestApp::start();
    let number = port(&app.ready["scim"]);
    app.kill();
    let Ok(_other) = TcpListener::bind(("127.0.0.1", number)) else {
        // Somebody else was faster: it is taken all the same.
        return;
    };
    let scim = format!("127.0.0.1:{number}");
    let args = [
        "check",
        "--json",
        "--listen",
        &scim,
        "--admin-listen",
        "127.0.0.1:0",
    ];
    let findings = found(&app.cli(args));
    let failed = of(&findings, "fail");
    assert!(matches!(failed[..], [("ports", _)]), "{failed:?}");
    app.resume();
}

#[test]
fn everything_wrong_is_found_in_one_run() {
    let home = Home::new();
    let data = home.data();
    let authority = Authority::new("root");
    put(&data, &authority.sign("other.example.test", -1));
    let mode = |path: &Path, mode| {
        std::fs::set_permissions(path, std::fs::Permissions::from_mode(mode)).unwrap();
    };
    mode(&data.join("server.key"), 0o644);
    mode(&home.database(), 0o604);
    let stray = rusqlite::Connection::open(home.database()).unwrap();
    stray
        .execute_batch("CREATE TABLE stray(x TEXT) STRICT;")
        .unwrap();
    drop(stray);
    let mut command = home.command(["check", "--json"].into_iter().chain(FREE));
    command.env("SCIMLITE_LIMIT_IDLE", "3s");
    let findings = found(&run(command));
    let failed = of(&findings, "fail");
    for (check, says) in [
        ("certificate", "it is not good for localhost"),
        ("certificate", "ended at"),
        ("permissions", "chmod 640"),
        ("permissions", "chmod 600"),
        ("database", "table stray"),
    ] {
        let one = |found: &(&str, &str)| found.0 == check && found.1.contains(says);
        assert!(failed.iter().any(one), "{check}: {says}: {findings:#?}");
    }
    assert_eq!(failed.len(), 5, "{failed:#?}");
    let warned = of(&findings, "warn");
    let stray = |found: &(&str, &str)| found.1.contains("SCIMLITE_LIMITS_IDLE?");
    assert!(warned.iter().any(stray), "{warned:#?}");
}

#[test]
fn mistakes_in_the_configuration_are_all_told() {
    let home = Home::new();
    let file = home.data().join("scimlite.toml");
    std::fs::write(&file, "hots = 'x'\n[limits]\nidle = 'soon'\n").unwrap();
    std::fs::write(
        home.database(),
        "a letter to a friend, long enough to be no database",
    )
    .unwrap();
    let output = home.cli(["check", "--json"].into_iter().chain(FREE));
    let findings = found(&output);
    let failed = of(&findings, "fail");
    let checks: Vec<_> = failed.iter().map(|(check, _)| *check).collect();
    assert_eq!(checks, ["configuration", "configuration", "database"]);
    let said = "scimlite.toml:1: hots: there is no such key; did you mean host?";
    assert_eq!(failed[0].1, said);
    let stderr = refused(&home.cli(["check", "--print"]));
    assert!(
        stderr.contains(said) && stderr.contains("scimlite.toml:3: "),
        "{stderr}"
    );
}

#[test]
fn the_chain_has_to_be_in_order_and_last() {
    let home = Home::new();
    let root = Authority::new("root");
    let intermediate = root.below("intermediate");
    let of_chain = |own: &Pair, rest: &[&str]| Pair {
        certificate: [&[own.certificate.as_str()], rest].concat().concat(),
        key: own.key.clone(),
    };
    let (long, short) = (
        intermediate.sign("localhost", 90),
        intermediate.sign("localhost", 20),
    );
    let (middle, top) = (intermediate.certificate.as_str(), root.certificate.as_str());
    for (own, rest, verdict, says) in [
        (&long, &[middle][..], "ok", "the chain of 2 is in order"),
        (&long, &[middle, top], "ok", "the chain of 3 is in order"),
        (&long, &[top, middle], "fail", "`CN=intermediate`"),
        (&long, &[top], "fail", "out of order"),
        (&long, &[], "warn", "no intermediate certificate follows"),
        (&short, &[middle], "warn", "ends in 20 days"),
    ] {
        put(&home.data(), &of_chain(own, rest));
        let findings = check(&home);
        let one = |(check, text): &(&str, &str)| *check == "certificate" && text.contains(says);
        let verdicts = of(&findings, verdict);
        assert!(verdicts.iter().any(one), "{says}: {findings:#?}");
        assert_eq!(
            verdict == "fail",
            !of(&findings, "fail").is_empty(),
            "{findings:#?}"
        );
    }
}

#[test]
fn what_is_in_force_is_shown_with_where_it_comes_from() {
    let home = Home::new();
    let file = home.data().join("scimlite.toml");
    std::fs::write(&file, "host = 'scim.example.test'\n[limits]\nstreams = 7\n").unwrap();
    let credentials = home.data().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::write(credentials.join("tls.key"), "the secret key").unwrap();
    let command = |json: &'static [&'static str]| {
        let args = ["check", "--print", "--listen", "127.0.0.1:9"];
        let mut command = home.command(args.into_iter().chain(json.iter().copied()));
        command.env("SCIMLITE_LOG_LEVEL", "debug");
        command.env("CREDENTIALS_DIRECTORY", &credentials);
        run(command)
    };
    let output = command(&[]);
    let text = String::from_utf8(output.stdout).unwrap();
    for line in [
        "host = \"scim.example.test\"  # scimlite.toml:1",
        "streams = 7  # scimlite.toml:3",
        "level = \"debug\"  # SCIMLITE_LOG_LEVEL",
        "scim = \"127.0.0.1:9\"  # --listen",
        "admin = \"127.0.0.1:8444\"  # default",
    ] {
        assert!(text.lines().any(|found| found == line), "{line}: {text}");
    }
    assert!(
        text.contains("/credentials/tls.key\"  # credential\n"),
        "{text}"
    );
    assert!(!text.contains("the secret key"));
    let listed: Value = serde_json::from_slice(&command(&["--json"]).stdout).unwrap();
    let streams = json!({"key": "limits.streams", "value": 7, "source": "scimlite.toml:3"});
    assert!(listed.as_array().unwrap().contains(&streams), "{listed}");
    // What is shown can be the file.
    std::fs::write(&file, &text).unwrap();
    let again = home.cli_json(["check", "--print"]);
    let values = |listed: &Value| -> Vec<Value> {
        let listed = listed.as_array().unwrap().iter();
        listed.map(|one| one["value"].clone()).collect()
    };
    assert_eq!(values(&again), values(&listed));
}

/// What ends `serve`, or takes from what it does, is found before.
#[test]
fn what_the_configuration_names_has_to_be_there() {
    for (configuration, check, says) in [
        (
            "[audit]\nsyslog = 'tls://siem.example.test'\nsyslog_ca = 'missing.pem'",
            "syslog",
            "missing.pem",
        ),
        (
            "[backup]\ndir = 'scimlite.db/snapshots'",
            "backup",
            "it is no directory",
        ),
        (
            "[audit]\nanchor_file = 'nowhere/anchor.json'",
            "anchor",
            "cannot write into",
        ),
        ("[audit]\nanchor_file = '.'", "anchor", "is no regular file"),
    ] {
        let home = Home::new().configured(configuration);
        let findings = self::check(&home);
        let failed = of(&findings, "fail");
        assert!(
            matches!(failed[..], [(found, text)] if found == check && text.contains(says)),
            "{configuration}: {findings:#?}"
        );
    }
    let home = Home::new().configured("[backup]\ndir = 'scimlite.db/snapshots'\nkeep = 0");
    assert_eq!(of(&check(&home), "fail"), []);
}

#[test]
fn both_listeners_need_a_port() {
    let home = Home::new();
    let free = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = free.local_addr().unwrap().port();
    drop(free);
    let (all, one) = (format!("0.0.0.0:{port}"), format!("127.0.0.1:{port}"));
    let args = ["check", "--json", "--listen", &all, "--admin-listen", &one];
    let findings = found(&home.cli(args));
    let failed = of(&findings, "fail");
    assert!(
        matches!(failed[..], [("ports", text)] if text.contains(&one)),
        "{findings:#?}"
    );
}

/// Whoever is root reads every file, the service does not.
#[test]
fn what_the_user_of_the_service_cannot_read_is_a_warning() {
    let home = Home::new();
    let data = home.data();
    // Another than root cannot do what this is about.
    if std::os::unix::fs::chown(&data, Some(65534), Some(65534)).is_err() {
        return;
    }
    let open = std::fs::Permissions::from_mode(0o755);
    std::fs::set_permissions(home.beside(""), open).unwrap();
    let files = ["scimlite.toml", "scimlite.db", "server.crt", "server.key"];
    let findings = check(&home);
    let warned = of(&findings, "warn");
    for name in files {
        let one =
            |found: &(&str, &str)| found.1.contains(&format!("{name} cannot be used by user"));
        assert!(warned.iter().any(one), "{name}: {findings:#?}");
    }
    // What is made now belongs to that user.
    for name in files {
        std::fs::remove_file(data.join(name)).unwrap();
    }
    home.cli_json(["init"]);
    assert!(
        home.cli(["cert", "self-signed", "--force"])
            .status
            .success()
    );
    let findings = check(&home);
    let denied = |found: &(&str, &str)| found.1.contains("cannot be used");
    assert!(!of(&findings, "warn").iter().any(denied), "{findings:#?}");
}

/// Only the service has its credentials in its environment.
#[test]
fn the_credentials_of_the_running_server_count() {
    let home = Home::new().configured("[tls]\nkey = 'elsewhere.pem'");
    let credentials = home.data().join("credentials");
    std::fs::create_dir(&credentials).unwrap();
    std::fs::rename(home.data().join("server.key"), credentials.join("tls.key")).unwrap();
    let mut app = TestApp::on(home, |command| {
        command.env("CREDENTIALS_DIRECTORY", &credentials);
    });
    let certificate = |app: &TestApp| {
        let findings = check(app);
        let failed = of(&findings, "fail").into_iter();
        failed.filter(|(check, _)| *check == "certificate").count()
    };
    assert_eq!(certificate(&app), 0);
    assert!(app.cli(["status"]).status.success());
    app.stop();
    assert_eq!(certificate(&app), 1);
}

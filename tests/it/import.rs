//! `user import`: a list of people becomes accounts, line by line; what is refused is named and hurts no other line.

use std::io::Write;
use std::os::unix::fs::PermissionsExt;
use std::process::{Output, Stdio};

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::home::Home;

/// Runs `user import` with these arguments on a list that it reads from the standard input.
pub fn import(home: &Home, list: &str, args: &[&str]) -> Output {
    let mut command = home.command(["user", "import", "-"].iter().chain(args).copied());
    let piped = command.stdin(Stdio::piped()).stdout(Stdio::piped());
    let mut child = piped.stderr(Stdio::piped()).spawn().unwrap();
    let mut stdin = child.stdin.take().unwrap();
    let list = list.to_owned();
    // A command that refuses its arguments does not read.
    let written = std::thread::spawn(move || drop(stdin.write_all(list.as_bytes())));
    let output = child.wait_with_output().unwrap();
    written.join().unwrap();
    output
}

/// The outcome of an import that says it by this exit code.
#[track_caller]
pub fn outcome(output: &Output, code: i32) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert_eq!(output.status.code(), Some(code), "{stderr}");
    assert_eq!(stderr.lines().count(), usize::from(code != 0), "{stderr}");
    serde_json::from_slice(&output.stdout).unwrap()
}

/// The refused lines with a part of each reason.
#[track_caller]
pub fn refused(outcome: &Value, expected: &[(u64, &str)]) {
    let refusals = outcome["refusals"].as_array().unwrap();
    let lines: Vec<_> = refusals.iter().map(|line| line["line"].as_u64()).collect();
    let wanted: Vec<_> = expected.iter().map(|(line, _)| Some(*line)).collect();
    assert_eq!(lines, wanted, "{outcome}");
    assert_eq!(outcome["refused"], expected.len());
    for (refusal, (_, part)) in refusals.iter().zip(expected) {
        assert!(
            refusal["reason"].as_str().unwrap().contains(part),
            "{refusal}"
        );
    }
}

pub fn audit_rows(home: &Home) -> Vec<Value> {
    home.rows("SELECT action, verdict, request_id, target_name, reason FROM audit WHERE action LIKE 'account%'", [])
}

const LIST: &str = "email,name,profile,storage,quota_gb,upn,external_id\n\
    one@x.test,One,Small,Default,7,one@corp.test,ext-1\n\
    two@x.test,Two,Nowhere,,,,\n\
    three@x.test,Three,,,many,,\n\
    ONE@x.test,Again,,,,,\n\
    present@x.test,Present,,,,,\n\
    four@x.test,Four,Small,,,,\n\
    five@x.test,Five,Small,,,,\n\
    \"six@x.test\",\"Six, \"\"the last\"\"\",,,0,,\n";

const REFUSED: [(u64, &str); 5] = [
    (3, "Nowhere"),
    (4, "quota_gb"),
    (5, ""),
    (6, "taken"),
    (8, "full"),
];

#[tokio::test]
async fn a_list_is_foreseen_and_made_line_by_line() {
    let app = TestApp::start();
    app.cli_json([
        "profile",
        "add",
        "Small",
        "--max-users",
        "2",
        "--quota-gb",
        "5",
    ]);
    app.client
        .create(json!({"userName": "Present@x.test"}))
        .await
        .expect(201);

    let foreseen = outcome(&import(&app, LIST, &["--dry-run", "--json"]), 1);
    assert_eq!(
        (&foreseen["dry_run"], &foreseen["made"]),
        (&json!(true), &json!(3))
    );
    refused(&foreseen, &REFUSED);
    assert_eq!(
        foreseen["refusals"][2]["reason"],
        "it is the account of line 2"
    );
    assert_eq!(audit_rows(&app), [] as [Value; 0], "nothing was done");

    let report = app.data().join("refused.csv");
    let report_to = report.to_str().unwrap();
    let made = outcome(
        &import(&app, LIST, &["--yes", "--json", "--report", report_to]),
        1,
    );
    assert_eq!(
        (&made["dry_run"], &made["made"]),
        (&json!(false), &json!(3))
    );
    refused(&made, &REFUSED);
    assert_eq!(made["refusals"][1]["email"], "three@x.test");
    let mode = report.metadata().unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600);
    let report = std::fs::read_to_string(report).unwrap();
    assert!(
        report.starts_with("line,email,reason\n3,two@x.test,"),
        "{report}"
    );
    assert_eq!(report.lines().count(), 6, "{report}");

    let rows = audit_rows(&app);
    assert_eq!(rows[2]["target_name"], "three@x.test");
    let verdicts: Vec<_> = rows
        .iter()
        .map(|row| row["verdict"].as_str().unwrap())
        .collect();
    let (yes, no) = ("applied", "refused");
    assert_eq!(verdicts, [yes, no, no, no, no, yes, no, yes]);
    assert!(
        rows.iter()
            .all(|row| row["request_id"] == rows[0]["request_id"])
    );
    assert!(
        rows[6]["reason"].as_str().unwrap().contains("line 8"),
        "{}",
        rows[6]
    );

    let one = app.cli_json(["user", "show", "one@x.test"]);
    for (key, value) in [
        ("name", json!("One")),
        ("upn", json!("one@corp.test")),
        ("external_id", json!("ext-1")),
        ("profile", json!("Small")),
        ("quota_gb", json!(7)),
        ("status", json!("active")),
        ("managed_by", json!("manual")),
    ] {
        assert_eq!(one[key], value, "{key}");
    }
    let six = app.cli_json(["user", "show", "six@x.test"]);
    assert_eq!(six["name"], "Six, \"the last\"");
    // SCIM finds the imported by what the identity provider knows, and adopts them.
    let found = app.client.find("externalId eq \"ext-1\"").await;
    assert_eq!(found.json["Resources"][0]["id"], one["id"]);
    let sent = json!({"userName": "one@x.test", "externalId": "ext-1"});
    assert_eq!(
        app.client.create(sent).await.expect(201).id(),
        one["id"].as_str().unwrap()
    );
    assert_eq!(
        app.cli_json(["user", "show", "one@x.test"])["managed_by"],
        "idp"
    );
}

#[test]
fn without_a_terminal_it_wants_to_be_told() {
    let home = Home::new();
    let output = import(&home, "email\na@x.test\n", &[]);
    assert_eq!(output.status.code(), Some(1));
    let stderr = String::from_utf8(output.stderr).unwrap();
    assert!(
        stderr.contains("--yes") && stderr.lines().count() == 1,
        "{stderr}"
    );
    let output = import(&home, "email\na@x.test\n", &["--yes", "--dry-run"]);
    assert_eq!(output.status.code(), Some(2));
    for (list, said) in [
        ("email,shoe\na@x.test,41\n", "shoe"),
        ("name\nA\n", "email"),
        ("[{]", "JSON"),
    ] {
        let output = import(&home, list, &["--yes"]);
        assert_eq!(output.status.code(), Some(1));
        let stderr = String::from_utf8(output.stderr).unwrap();
        assert!(
            stderr.contains(said) && stderr.lines().count() == 1,
            "{stderr}"
        );
        assert!(output.stdout.is_empty());
    }
    let missing = home.cli(["user", "import", "nowhere.csv", "--yes"]);
    assert_eq!(missing.status.code(), Some(1));
    assert_eq!(home.cli_json(["user", "list"]), json!([]));

    let table = import(&home, "email\na@x.test\na@x.test\n", &["--yes"]);
    assert_eq!(table.status.code(), Some(1));
    let table = String::from_utf8(table.stdout).unwrap();
    assert!(
        table.starts_with("Accounts made: 1; lines refused: 1.\nLINE"),
        "{table}"
    );
    assert!(table.lines().nth(2).unwrap().starts_with("3  "), "{table}");
    assert_eq!(
        outcome(&import(&home, "[]", &["--yes", "--json"]), 0)["made"],
        0
    );
}

/// What an export says of the accounts, without what a new account has by itself.
pub fn exported(home: &Home) -> Vec<Value> {
    let mut accounts = home.cli_json(["user", "export"]);
    for account in accounts.as_array_mut().unwrap() {
        for key in ["id", "managed_by", "mapping", "created", "modified"] {
            account.as_object_mut().unwrap().shift_remove(key);
        }
    }
    accounts.as_array().unwrap().clone()
}

#[tokio::test]
async fn an_export_makes_the_same_accounts_in_an_empty_appliance() {
    let app = TestApp::start();
    let profile = [
        "profile",
        "add",
        "Small",
        "--quota-gb",
        "5",
        "--delete-after-days",
        "30",
    ];
    app.cli_json(profile);
    let furnish = "UPDATE user SET profile = (SELECT id FROM profile WHERE name = 'Small')";
    let mut ids = Vec::new();
    for number in 0..6 {
        let user =
            json!({"userName": format!("u{number}@x.test"), "externalId": format!("ext-{number}")});
        ids.push(app.client.create(user).await.expect(201).id());
    }
    app.sql(&format!(
        "{furnish}, quota_gb = CASE WHEN id = '{}' THEN 9 END",
        ids[0]
    ));
    app.client
        .patch(
            &ids[1],
            json!([{"op": "replace", "path": "active", "value": false}]),
        )
        .await
        .expect(200);
    app.cli_json(["user", "preserve", &ids[2]]);
    app.cli_json(["user", "hold", &ids[2]]);
    app.client.delete(&ids[3]).await;
    // The name of the deleted one is another's now.
    let user = json!({"userName": "u3@x.test", "externalId": "other"});
    app.client.create(user).await.expect(201);
    app.sql(
        "UPDATE user SET preserved_at = '2026-01-31T09:30:00.000Z' WHERE preserved_at IS NOT NULL",
    );

    for format in ["csv", "json"] {
        let list = app.cli(["user", "export", "--format", format]).stdout;
        let list = String::from_utf8(list).unwrap();
        let other = TestApp::start();
        other.cli_json(profile);
        let made = outcome(&import(&other, &list, &["--yes", "--json"]), 0);
        assert_eq!(made["made"], 7);
        assert_eq!(exported(&other), exported(&app), "{format}");
        // A second time, all are there already.
        let again = outcome(&import(&other, &list, &["--dry-run", "--json"]), 1);
        assert_eq!((&again["made"], &again["refused"]), (&json!(0), &json!(7)));
        let again = outcome(&import(&other, &list, &["--yes", "--json"]), 1);
        assert_eq!((&again["made"], &again["refused"]), (&json!(0), &json!(7)));

        // They follow their profile, and come back as they would have.
        other.cli_json(["profile", "edit", "Small", "--quota-gb", "6"]);
        assert_eq!(other.cli_json(["user", "show", "u0@x.test"])["quota_gb"], 9);
        assert_eq!(other.cli_json(["user", "show", "u1@x.test"])["quota_gb"], 6);
        let back = json!({"userName": "back@x.test", "externalId": "ext-3"});
        let back = other.client.create(back).await.expect(201).id();
        let account = other.cli_json(["user", "show", &back]);
        assert_eq!(
            (&account["status"], &account["managed_by"]),
            (&json!("active"), &json!("idp"))
        );
        assert_eq!(
            other.cli_json(["user", "list"]).as_array().unwrap().len(),
            7
        );
    }
}

#[tokio::test]
async fn a_long_import_beside_a_server_takes_only_the_seats_that_there_are() {
    const LINES: usize = 3000;
    const SEATS: usize = 2000;
    let mut app = TestApp::start();
    app.stop();
    app.configure("seats", "active", &SEATS.to_string());
    app.resume();
    let path = app.data().join("list.csv");
    let lines: String = (0..LINES)
        .map(|number| format!("u{number}@x.test\n"))
        .collect();
    std::fs::write(&path, format!("email\n{lines}")).unwrap();
    let mut command = app.command(["user", "import", path.to_str().unwrap(), "--yes", "--json"]);
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let child = piped.spawn().unwrap();
    let mut made = 0;
    for number in 0..20 {
        let answer = app
            .client
            .create(json!({"userName": format!("scim{number}@x.test")}))
            .await;
        assert!([201, 403].contains(&answer.status), "{}", answer.json);
        made += usize::from(answer.status == 201);
    }
    let outcome = outcome(&child.wait_with_output().unwrap(), 1);
    assert_eq!(outcome["made"], SEATS - made);
    assert_eq!(outcome["refused"], LINES + made - SEATS);
    let last = outcome["refusals"].as_array().unwrap().last().unwrap();
    assert!(last["reason"].as_str().unwrap().contains("seats"), "{last}");
    let there = app.row(
        "SELECT count(*) AS n FROM accounts WHERE status = 'active'",
        [],
    );
    assert_eq!(there["n"], SEATS);
}

#[test]
fn an_import_that_is_killed_or_interrupted_leaves_whole_accounts() {
    const LINES: usize = 20_000;
    for signal in ["-KILL", "-INT"] {
        let home = Home::new();
        let path = home.data().join("list.csv");
        let lines: String = (0..LINES)
            .map(|number| format!("u{number}@x.test\n"))
            .collect();
        std::fs::write(&path, format!("email\n{lines}")).unwrap();
        let mut command =
            home.command(["user", "import", path.to_str().unwrap(), "--yes", "--json"]);
        let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
        let child = piped.spawn().unwrap();
        let made = || {
            home.row("SELECT count(*) AS n FROM accounts", [])["n"]
                .as_u64()
                .unwrap()
        };
        while made() == 0 {
            std::thread::yield_now();
        }
        let id = child.id().to_string();
        assert!(
            std::process::Command::new("kill")
                .args([signal, &id])
                .status()
                .unwrap()
                .success()
        );
        let output = child.wait_with_output().unwrap();
        let made = made();
        assert!(made < LINES as u64, "it was over before");
        if signal == "-INT" {
            let outcome = outcome(&output, 1);
            assert_eq!(outcome["made"], made);
            assert_eq!(outcome["left"], LINES as u64 - made);
        }
        let rows = home.row(
            "SELECT count(*) AS n FROM audit WHERE action = 'account.import'",
            [],
        );
        assert_eq!(rows["n"], made);
        let counted = home.row("SELECT sum(active_accounts) AS n FROM profile", []);
        assert_eq!(counted["n"], made);
        crate::home::sound(&home.database());
        crate::db::unbroken(&home.database());
    }
}

#[test]
fn a_report_takes_the_place_of_nothing() {
    let home = Home::new();
    let list = home.beside("list.csv");
    let text = "email\na@x.test\na@x.test\n";
    std::fs::write(&list, text).unwrap();
    let list_name = list.to_str().unwrap();
    for how in ["--dry-run", "--yes"] {
        let output = home.cli(["user", "import", list_name, how, "--report", list_name]);
        let stderr = crate::cli::refused(&output);
        assert!(stderr.contains("list.csv"), "{stderr}");
        assert_eq!(std::fs::read_to_string(&list).unwrap(), text);
    }
    assert_eq!(home.cli_json(["user", "list"]), json!([]));
}

//! `user import` on a terminal: the question, its answers, and how far it is. `script` makes the terminal.

use std::io::{Read, Write};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::mpsc;
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::home::{Home, wait};

/// How long a command may take on a machine that is busy with other tests.
const DEADLINE: Duration = Duration::from_secs(60);
const QUESTION: &str = "[y/N]";

/// Imports `list` on a terminal and types `answer` once it asks; none hangs up. What the terminal showed, and the end.
fn import(home: &Home, list: &str, options: &str, answer: Option<&str>) -> (String, ExitStatus) {
    let file = home.beside("list.csv");
    std::fs::write(&file, list).unwrap();
    let command = format!(
        "exec {} user import {} --data {} {options}",
        env!("CARGO_BIN_EXE_scimlite"),
        file.display(),
        home.data().display()
    );
    let mut script = Command::new("script");
    script
        .args(["-q", "-e", "-f", "-c", &command, "/dev/null"])
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .env("TERM", "xterm")
        .env("SHELL", "/bin/sh")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped());
    let mut child = script.spawn().unwrap();
    let mut stdin = child.stdin.take();
    let mut stdout = child.stdout.take().unwrap();
    let (say, heard) = mpsc::channel();
    std::thread::spawn(move || {
        let mut piece = [0; 1024];
        while let Ok(count @ 1..) = stdout.read(&mut piece) {
            let _ = say.send(String::from_utf8_lossy(&piece[..count]).into_owned());
        }
    });
    let (mut shown, deadline) = (String::new(), Instant::now() + DEADLINE);
    let mut asked = false;
    while let Ok(piece) = heard.recv_timeout(deadline.saturating_duration_since(Instant::now())) {
        shown.push_str(&piece);
        if !asked && shown.contains(QUESTION) {
            asked = true;
            match answer {
                Some(answer) => stdin
                    .as_mut()
                    .unwrap()
                    .write_all(answer.as_bytes())
                    .unwrap(),
                None => drop(stdin.take()),
            }
        }
    }
    let status = wait(&mut child, DEADLINE).unwrap_or_else(|| panic!("no end: {shown}"));
    (shown, status)
}

fn accounts(home: &Home) -> usize {
    home.cli_json(["user", "list"]).as_array().unwrap().len()
}

const LIST: &str = "email\na@x.test\nb@x.test\na@x.test\n";

#[test]
fn it_asks_and_takes_no_for_an_answer() {
    let home = Home::new();
    for answer in [Some("n\n"), Some("\n"), Some("maybe\n"), None] {
        let report = home.beside("report.csv");
        let options = format!("--report {}", report.display());
        let (shown, status) = import(&home, LIST, &options, answer);
        assert!(shown.contains("that would be made: 2"), "{shown}");
        assert!(shown.contains("it is the account of line 2"), "{shown}");
        assert!(shown.contains("Make 2 accounts? [y/N]"), "{shown}");
        assert!(shown.contains("Nothing was changed."), "{shown}");
        assert!(status.success(), "{answer:?}: {status}");
        assert!(!report.exists(), "{answer:?}");
    }
    // An interrupt at the question.
    let (shown, status) = import(&home, LIST, "", Some("\u{3}"));
    assert!(
        !status.success() && !shown.contains("Accounts made"),
        "{shown}"
    );
    assert_eq!(accounts(&home), 0);
    assert!(
        home.rows("SELECT seq FROM audit WHERE action = 'account.import'", [])
            .is_empty()
    );

    let (shown, status) = import(&home, LIST, "", Some("Y\n"));
    assert!(
        shown.contains("Accounts made: 2; lines refused: 1."),
        "{shown}"
    );
    assert_eq!((status.code(), accounts(&home)), (Some(1), 2));
    // Of a list of which nothing can be made, nothing is asked.
    let (shown, _) = import(&home, LIST, "", None);
    assert!(!shown.contains(QUESTION), "{shown}");
}

#[test]
fn with_json_only_json_is_on_the_standard_output() {
    let home = Home::new();
    let output = home.beside("output.json");
    let options = format!("--json > {}", output.display());
    for (answer, dry_run) in [("n\n", true), ("y\n", false)] {
        let (shown, _) = import(&home, LIST, &options, Some(answer));
        assert!(shown.contains("that would be made: 2"), "{shown}");
        let said = std::fs::read(&output).unwrap();
        let said: Value = serde_json::from_slice(&said).unwrap();
        assert_eq!(
            (&said["dry_run"], &said["made"]),
            (&json!(dry_run), &json!(2))
        );
    }
}

#[test]
fn a_long_import_shows_how_far_it_is() {
    const LINES: usize = 1500;
    let home = Home::new();
    let lines: String = (0..LINES)
        .map(|number| format!("u{number}@x.test\n"))
        .collect();
    let (shown, status) = import(&home, &format!("email\n{lines}"), "--yes", None);
    assert!(status.success(), "{shown}");
    assert!(shown.contains(&format!("/{LINES}")), "{shown}");
    assert!(
        shown.contains(&format!("Accounts made: {LINES}")),
        "{shown}"
    );
    let (shown, _) = import(&home, "email\nshort@x.test\n", "--yes", None);
    assert!(!shown.contains("1/1"), "{shown}");
}

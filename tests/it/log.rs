//! The log: one line for each request with what came of it, whatever the request holds (design §3.12).

use std::collections::HashMap;
use std::io::{BufRead, BufReader};
use std::os::unix::fs::MetadataExt;
use std::process::Stdio;

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::client::{Answer, Client};
use crate::home::Home;

/// Tries to begin a line, end a text, and command a terminal.
const HOSTILE: &str =
    "x\n{\"level\":\"ERROR\",\"message\":\"forged\"}\r\n<0>forged\u{1b}[31m\"\\\u{9b}\u{2028}";
/// The value of an attribute that is dropped.
const DROPPED: &str = "value-that-is-dropped";

/// The lines of a stopped server's log, each a JSON object, by the ids of their requests.
fn requests(app: &TestApp) -> HashMap<String, Vec<Value>> {
    let mut found: HashMap<_, Vec<_>> = HashMap::new();
    for line in app.stderr().lines() {
        let line: Value =
            serde_json::from_str(line).unwrap_or_else(|error| panic!("{error}: {line}"));
        for key in ["timestamp", "level", "message"] {
            assert!(line[key].is_string(), "{line}");
        }
        if line["message"] == "request" {
            let id = line["request_id"].as_str().unwrap().to_owned();
            found.entry(id).or_default().push(line);
        }
    }
    found
}

/// Requests of every kind, each with something hostile where a client has a say.
async fn work(client: Client, task: usize) -> Vec<Answer> {
    // A userName with control characters is refused, and so is said in the log.
    let name = format!("{task}\"}},{{\\ level=ERROR\u{2028}@x.test");
    let user =
        json!({"userName": name, "displayName": HOSTILE, "externalId": HOSTILE, "junk": DROPPED});
    let encoded: String = form_urlencoded::byte_serialize(HOSTILE.as_bytes()).collect();
    let encoded = encoded.replace('+', "%20");
    let made = client.create(user.clone()).await.expect(201);
    let path = format!("/Users/{}", made.id());
    let mut answers = vec![made, client.create(user.clone()).await.expect(409)];
    let refused = client.create(json!({"userName": HOSTILE})).await;
    answers.push(refused.expect(400));
    let patch = json!({"Operations": [{"op": "replace", "path": HOSTILE, "value": HOSTILE}]});
    for (method, path, body) in [
        ("GET", path.clone(), Value::Null),
        ("PATCH", path.clone(), patch),
        ("GET", format!("/Users/{encoded}"), Value::Null),
        ("DELETE", format!("/Users/{encoded}"), Value::Null),
        (
            "GET",
            format!("/Users?filter=title+eq+%22{encoded}%22"),
            Value::Null,
        ),
        ("GET", format!("/Users?filter={encoded}"), Value::Null),
        ("POST", format!("/{encoded}"), user),
        ("DELETE", path, Value::Null),
    ] {
        answers.push(client.scim(method, &path, body).await);
    }
    let hostile = client.with_token("slt_x\"{}\\");
    answers.push(hostile.get("/Users").await.expect(401));
    answers
}

#[tokio::test]
async fn json_lines_cannot_be_forged_under_load() {
    let mut app = TestApp::configured(&[
        ("#format = \"text\"", "format = \"json\""),
        ("#level = \"info\"", "level = \"debug\""),
    ]);
    let mut tasks = JoinSet::new();
    for task in 0..16 {
        tasks.spawn(work(app.client.clone(), task));
    }
    let answers = tasks.join_all().await.concat();
    app.stop();
    let mut lines = requests(&app);
    for answer in answers {
        let id = answer.request_id();
        let lines = lines.remove(id).unwrap_or_default();
        let [line] = lines.as_slice() else {
            panic!("not one line for {id}: {lines:?}");
        };
        assert_eq!(line["status"], answer.status, "{line}");
        let verdict = match answer.status {
            200..400 => ["applied", "unchanged"].contains(&line["verdict"].as_str().unwrap()),
            _ => line["verdict"] == "refused",
        };
        assert!(verdict, "{line}");
        assert!(line["reason"].is_string(), "{line}");
        assert!(line["duration_us"].is_u64(), "{line}");
    }
    assert!(lines.is_empty(), "{lines:?}");
    assert!(!app.stderr().contains(DROPPED));
    assert!(!app.stderr().contains("title eq"), "no query");
}

#[tokio::test]
async fn each_request_has_its_verdict_and_reason() {
    let mut app = TestApp::configured(&[("#format = \"text\"", "format = \"json\"")]);
    let made = app.client.create(json!({"userName": "anna@x.test"})).await;
    let path = format!("/Users/{}", made.id());
    let title = json!([{"op": "replace", "path": "title", "value": "x"}]);
    let changed = app.client.patch(&made.id(), title.clone()).await;
    let same = app.client.patch(&made.id(), title).await;
    let read = app.client.get(&path).await;
    let missing = app.client.get("/Users/nobody").await;
    let bulk = json!({"Operations": [
        {"method": "POST", "path": "/Users", "bulkId": "a", "data": {"userName": "bela@x.test"}},
        {"method": "POST", "path": "/Users", "bulkId": "b", "data": {"userName": "anna@x.test"}},
        {"method": "DELETE", "path": path},
    ]});
    let bulk = app.client.scim("POST", "/Bulk", bulk).await.expect(200);
    app.stop();
    let lines = requests(&app);
    let of = |answer: &Answer| {
        let lines = lines[answer.request_id()].iter().map(|line| {
            let keys = ["level", "method", "path", "status", "verdict"];
            keys.map(|key| line[key].to_string().replace('"', ""))
                .join(" ")
        });
        let mut lines: Vec<_> = lines.collect();
        lines.sort();
        lines
    };
    assert_eq!(of(&made), ["INFO POST /Users 201 applied"]);
    assert_eq!(of(&changed), ["INFO PATCH /Users/{id} 200 applied"]);
    assert_eq!(of(&same), ["INFO PATCH /Users/{id} 200 unchanged"]);
    assert_eq!(of(&read), ["INFO GET /Users/{id} 200 unchanged"]);
    assert_eq!(of(&missing), ["INFO GET /Users/{id} 404 refused"]);
    assert_eq!(
        of(&bulk),
        [
            "INFO DELETE /Users/{id} 204 applied",
            "INFO POST /Bulk 200 applied",
            "INFO POST /Users 201 applied",
            "INFO POST /Users 409 refused",
        ]
    );
    let line = &lines[made.request_id()][0];
    let id = app.told("secret_token").split('_').nth(1).unwrap();
    assert_eq!(line["actor"], format!("token:{id} (entra)"));
    assert_eq!(line["source"], "127.0.0.1");
    assert_eq!(line["reason"], app.audited(made.request_id())["reason"]);
    assert_eq!(lines[read.request_id()][0]["id"], made.id());
}

#[tokio::test]
async fn text_and_logfmt_are_a_line_for_each_event_too() {
    for (format, begin) in [("text", "20"), ("logfmt", "ts=20")] {
        let setting = format!("format = \"{format}\"");
        let mut app = TestApp::configured(&[
            ("#format = \"text\"", &setting),
            ("#level = \"info\"", "level = \"debug\""),
        ]);
        let answers = work(app.client.clone(), 0).await;
        app.stop();
        let log = app.stderr();
        for line in log.lines() {
            assert!(line.starts_with(begin), "{line}");
            assert!(!line.contains(char::is_control), "{line}");
        }
        for answer in answers {
            let lines = log
                .lines()
                .filter(|line| line.contains(answer.request_id()) && line.contains("duration_us"));
            assert_eq!(lines.count(), 1);
        }
        assert!(!log.contains(DROPPED));
    }
}

#[test]
fn the_journal_is_told_the_priority_and_nobody_else() {
    let home = Home::new();
    for (to_journal, begin) in [(true, "<6>20"), (false, "20")] {
        let path = home.data().join("log");
        let file = std::fs::File::create(&path).unwrap();
        let about = file.metadata().unwrap();
        let inode = about.ino() + u64::from(!to_journal);
        let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
        let mut child = home
            .command(["serve"].into_iter().chain(ports))
            .env("JOURNAL_STREAM", format!("{}:{inode}", about.dev()))
            .stdout(Stdio::piped())
            .stderr(file)
            .spawn()
            .unwrap();
        let mut ready = String::new();
        let mut stdout = BufReader::new(child.stdout.take().unwrap());
        stdout.read_line(&mut ready).unwrap();
        let sent = std::process::Command::new("kill")
            .args(["-TERM", &child.id().to_string()])
            .status();
        assert!(sent.unwrap().success());
        assert!(child.wait().unwrap().success());
        let log = std::fs::read_to_string(&path).unwrap();
        assert!(log.lines().count() >= 2, "{log}");
        assert!(log.lines().all(|line| line.starts_with(begin)), "{log}");
    }
}

/// A server whose log goes to `stderr`.
fn logging_to(stderr: impl Into<Stdio>) -> TestApp {
    TestApp::on(Home::new(), |command| {
        command.stderr(stderr);
    })
}

/// Requests of several kinds, more than a pipe has room for lines.
async fn answered(app: &TestApp) {
    let user = json!({"userName": "anna@x.test"});
    let made = app.client.create(user).await.expect(201);
    let path = format!("/Users/{}", made.id());
    for _ in 0..500 {
        app.client.get(&path).await.expect(200);
    }
}

/// SIGTERM, and an end in order.
fn stopped(mut app: TestApp) {
    app.stop();
    let wal = app.database().with_extension("db-wal");
    assert!(!wal.exists());
}

#[tokio::test]
async fn a_log_that_cannot_be_written_harms_nobody() {
    let full = std::fs::File::options().write(true).open("/dev/full");
    let app = logging_to(full.unwrap());
    answered(&app).await;
    stopped(app);

    let (reader, writer) = std::io::pipe().unwrap();
    let app = logging_to(writer);
    drop(reader);
    answered(&app).await;
    stopped(app);
}

#[tokio::test]
async fn a_log_that_nobody_reads_harms_nobody() {
    let (_reader, writer) = std::io::pipe().unwrap();
    let app = logging_to(writer);
    answered(&app).await;
    stopped(app);

    // Whoever reads after all finds whole lines, to the end.
    let (reader, writer) = std::io::pipe().unwrap();
    let mut app = logging_to(writer);
    answered(&app).await;
    app.terminate();
    let lines: Vec<_> = BufReader::new(reader).lines().collect();
    let lines: Vec<_> = lines.into_iter().map(Result::unwrap).collect();
    assert_eq!(app.wait().code(), Some(0));
    assert!(lines.len() > 500, "{}", lines.len());
    assert!(lines.iter().all(|line| line.starts_with("20")));
    assert!(lines.last().unwrap().ends_with("closed"));
}

#[test]
fn a_ready_line_that_cannot_be_written_is_an_error() {
    let home = Home::new();
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let full = std::fs::File::options().write(true).open("/dev/full");
    let child = home
        .command(["serve"].into_iter().chain(ports))
        .stdout(full.unwrap())
        .stderr(Stdio::piped())
        .spawn();
    let output = child.unwrap().wait_with_output().unwrap();
    let said = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(1), "{said}");
    let last = said.lines().last().unwrap();
    assert!(
        last.starts_with("scimlite: cannot write to stdout"),
        "{said}"
    );
    assert!(!home.database().with_extension("db-wal").exists());
}

#[tokio::test]
async fn a_failure_is_in_the_log_once() {
    let mut app = TestApp::start();
    app.client.get("/Users").await.expect(200);
    let lock = rusqlite::Connection::open(app.database()).unwrap();
    lock.execute_batch("BEGIN IMMEDIATE").unwrap();
    let user = json!({"userName": "anna@example.test"});
    let failed = app.client.create(user).await.expect(503);
    drop(lock);
    app.stop();
    let log = app.stderr();
    let errors = log.lines().filter(|line| line.contains(" ERROR "));
    // When tokens were used last is a matter of its own.
    let errors: Vec<_> = errors
        .filter(|line| !line.contains("tried again"))
        .collect();
    assert_eq!(errors.len(), 1, "{errors:?}");
    assert!(errors[0].contains(failed.request_id()), "{errors:?}");
    assert!(errors[0].contains("locked"), "{errors:?}");
}

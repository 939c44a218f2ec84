//! The change feed of the admin API: every applied change once and in order for a consumer that keeps nothing but its
//! cursor, whoever changes something, and whatever is killed meanwhile.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::app::{TestApp, port};
use crate::client::{Answer, Client};
use crate::db::age;
use crate::home::{Home, wait};

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// GET below the admin API; none where nobody answered.
async fn ask(admin: &Client, path: &str) -> Option<Answer> {
    let path = format!("/api/v1{path}");
    admin.exchange("GET", &path, &[], None).await.ok()
}

async fn told(admin: &Client, path: &str) -> Value {
    ask(admin, path).await.unwrap().expect(200).json
}

async fn refused(admin: &Client, path: &str, status: u16) -> Answer {
    ask(admin, path).await.unwrap().expect(status)
}

/// A page's items and the cursor behind them.
fn page(json: &Value) -> (Vec<Value>, String) {
    let items = json["items"].as_array().unwrap().clone();
    (items, json["next"].as_str().unwrap().to_owned())
}

/// Where the feed is now.
async fn end(admin: &Client) -> String {
    page(&told(admin, "/changes").await).1
}

fn seqs(items: &[Value]) -> Vec<i64> {
    items.iter().map(|it| it["seq"].as_i64().unwrap()).collect()
}

/// The numbers of all applied changes behind one.
fn applied(app: &TestApp, after: i64) -> Vec<i64> {
    let sql = "SELECT seq FROM audit WHERE verdict = 'applied' AND seq > ?1 ORDER BY seq";
    seqs(&app.rows(sql, [after]))
}

async fn create(app: &TestApp, name: &str) -> Answer {
    let user = json!({"userName": format!("{name}@x.test")});
    app.client.create(user).await.expect(201)
}

/// The local product: what it stored last, and what it has seen until then.
#[derive(Default)]
struct Product {
    cursor: String,
    seen: Vec<Value>,
    killed: usize,
}

impl Product {
    /// Follows the feed and is killed now and then in the middle of it; then the answer that it waits for is lost.
    async fn follow(&mut self, app: &TestApp, rounds: u64) {
        for round in 0..rounds {
            // A new process has new connections.
            let admin = app.admin_client();
            let life = Duration::from_millis(round * 37 % 90);
            let path = format!("/changes?after={}&wait=30&limit=7", self.cursor);
            match tokio::time::timeout(life, ask(&admin, &path)).await {
                Err(_) => self.killed += 1,
                Ok(answer) => {
                    let (items, next) = page(&answer.unwrap().expect(200).json);
                    self.seen.extend(items);
                    self.cursor = next;
                }
            }
        }
    }

    /// Reads to the end.
    async fn finish(&mut self, app: &TestApp) {
        let admin = app.admin_client();
        loop {
            let path = format!("/changes?after={}", self.cursor);
            let (items, next) = page(&told(&admin, &path).await);
            self.cursor = next;
            if items.is_empty() {
                return;
            }
            self.seen.extend(items);
        }
    }
}

/// Creates, changes, deactivates and deletes users until the server is gone.
async fn provision(client: Client, name: String, done: &AtomicUsize) {
    for number in 0.. {
        let user = json!({"userName": format!("{name}n{number}@x.test")});
        let Ok(made) = client.try_scim("POST", "/Users", user).await else {
            return;
        };
        let path = format!("/Users/{}", made.expect(201).id());
        // Where auto-delete was faster it is not there any more; where the server is gone, the next creation tells.
        for (attribute, value) in [("displayName", json!("Other")), ("active", json!(false))] {
            let operation = json!({"op": "replace", "path": attribute, "value": value});
            let body = json!({"Operations": [operation]});
            let _ = client.try_scim("PATCH", &path, body).await;
        }
        if number % 3 == 0 {
            let _ = client.try_scim("DELETE", &path, Value::Null).await;
        }
        done.fetch_add(1, Ordering::Relaxed);
    }
}

/// Acts of other processes, those of auto-delete among them.
fn administrate(app: &TestApp, round: usize) {
    for number in 0..2 {
        let account = app.cli_json(["user", "add", &format!("hand{round}n{number}@x.test")]);
        app.cli_json(["user", "preserve", account["id"].as_str().unwrap()]);
        app.cli_json(["storage", "add", &format!("s{round}n{number}")]);
    }
    let overdue = "UPDATE user SET preserved_at = '2020-01-01T00:00:00.000Z'
                   WHERE status = 'preserved' AND seq % 2 = 0";
    app.sql(overdue);
    app.cli_json(["user", "auto-delete"]);
}

/// Holds each account before a change against what it was after the one before. What was made overdue was changed
/// beside the feed.
fn in_one_piece(seen: &[Value]) {
    let mut present: BTreeMap<String, Value> = BTreeMap::new();
    let plain = |account: &Value| {
        let mut account = account.clone();
        if let Some(account) = account.as_object_mut() {
            account.shift_remove("preserved_at");
        }
        account
    };
    for change in seen {
        let [before, after] = ["account_before", "account_after"].map(|side| plain(&change[side]));
        if before.is_null() && after.is_null() {
            continue;
        }
        let id = change["target_id"].as_str().unwrap().to_owned();
        assert_eq!(before, present.remove(&id).unwrap_or_default(), "{change}");
        present.insert(id, after);
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_consumer_that_is_killed_misses_nothing_and_sees_nothing_twice() {
    let mut app = TestApp::start();
    app.cli_json(["profile", "edit", "Default", "--delete-after-days", "30"]);
    let mut product = Product {
        cursor: end(&app.admin_client()).await,
        ..Product::default()
    };
    let start = app.row("SELECT audit_seq AS seq FROM appliance", []);
    for round in 0..2 {
        let done = AtomicUsize::new(0);
        let writer = |number| {
            let name = format!("r{round}w{number}");
            provision(app.new_client(), name, &done)
        };
        let work = async {
            let deadline = Instant::now() + DEADLINE;
            while done.load(Ordering::Relaxed) < 20 {
                assert!(Instant::now() < deadline, "nothing is written");
                product.follow(&app, 10).await;
            }
            tokio::task::block_in_place(|| administrate(&app, round));
            product.follow(&app, 20).await;
            app.signal("-KILL");
        };
        tokio::join!(writer(0), writer(1), writer(2), work);
        app.kill();
        app.resume();
    }
    product.finish(&app).await;
    assert!(product.killed > 5, "killed only {} times", product.killed);
    assert_eq!(
        seqs(&product.seen),
        applied(&app, start["seq"].as_i64().unwrap())
    );
    in_one_piece(&product.seen);
    let seen = product.seen.iter().map(|change| &change["action"]);
    let seen: Vec<_> = seen.collect();
    for action in [
        "user.create",
        "user.patch",
        "user.delete",
        "account.add",
        "account.preserve",
        "account.auto_delete",
        "storage.add",
        "server.start",
    ] {
        assert!(seen.contains(&&json!(action)), "{action}");
    }
}

#[tokio::test]
async fn a_wait_ends_with_a_change_by_any_process_or_with_its_time() {
    // It may be longer than a request, and than any silence on a connection.
    let home = Home::new();
    for key in ["request", "idle", "first_byte"] {
        home.configure("limits", key, "\"1s\"");
    }
    let app = TestApp::on(home, |_| {});
    let admin = app.admin_client();
    for list in ["changes", "audit"] {
        let start = end(&admin).await;
        let began = Instant::now();
        let nothing = told(&admin, &format!("/{list}?after={start}&wait=3")).await;
        assert_eq!(nothing, json!({"items": [], "next": start}), "{list}");
        assert!(began.elapsed() >= Duration::from_secs(3), "{list}");

        let path = format!("/{list}?after={start}&wait=60");
        let wait = async {
            let (items, _) = page(&told(&admin, &path).await);
            (items, Instant::now())
        };
        let change = async {
            // It waits by then, or finds the change there; both are right.
            tokio::time::sleep(Duration::from_millis(300)).await;
            let command = app.command(["storage", "add", list]);
            let run = move || crate::home::run(command).status.success();
            assert!(tokio::task::spawn_blocking(run).await.unwrap());
            Instant::now()
        };
        let ((items, woken), done) = tokio::join!(wait, change);
        assert_eq!(items[0]["action"], "storage.add");
        let late = woken.saturating_duration_since(done);
        assert!(late < Duration::from_secs(1), "{list}: {late:?}");
    }
}

#[tokio::test]
async fn rows_that_are_not_wanted_do_not_end_a_wait() {
    let app = TestApp::start();
    let admin = app.admin_client();
    let start = end(&admin).await;
    let path = format!("/audit?after={start}&wait=60&action=user.delete");
    let wait = async { page(&told(&admin, &path).await) };
    let work = async {
        let id = create(&app, "anna").await.id();
        tokio::time::sleep(Duration::from_millis(600)).await;
        app.client.delete(&id).await;
    };
    let ((items, next), ()) = tokio::join!(wait, work);
    assert_eq!(items.len(), 1);
    assert_eq!(items[0]["action"], "user.delete");
    let rest = told(&admin, &format!("/audit?after={next}&wait=0")).await;
    assert_eq!(rest, json!({"items": [], "next": next}));
}

#[tokio::test]
async fn a_stop_ends_those_who_wait_and_their_number_is_bounded() {
    let mut app = TestApp::start();
    let admin = app.admin_client();
    let start = end(&admin).await;
    let mut waiting = tokio::task::JoinSet::new();
    // More than one connection takes of them at once, so over two.
    for number in 0..65 {
        let other = if number % 2 == 0 {
            admin.clone()
        } else {
            app.admin_client()
        };
        let path = format!("/changes?after={start}&wait=60");
        waiting.spawn(async move { ask(&other, &path).await.unwrap() });
    }
    let refused = waiting.join_next().await.unwrap().unwrap().expect(429);
    assert_eq!((refused.header("retry-after"), waiting.len()), ("5", 64));
    // Others are not kept from anything.
    let other = app.admin_client();
    told(&other, "/accounts").await;
    told(&other, &format!("/changes?after={start}")).await;
    let began = Instant::now();
    app.terminate();
    while let Some(answer) = waiting.join_next().await {
        let nothing = answer.unwrap().expect(200).json;
        assert_eq!(nothing, json!({"items": [], "next": start}));
    }
    assert!(app.wait().success());
    assert!(began.elapsed() < Duration::from_secs(15));
}

#[tokio::test]
async fn a_cursor_of_before_a_restore_is_refused() {
    let mut app = TestApp::start();
    let admin = app.admin_client();
    create(&app, "anna").await;
    let backup = app.beside("backup.db");
    app.cli_json(["backup", backup.to_str().unwrap()]);
    create(&app, "bert").await;
    let before = end(&admin).await;
    let seq: i64 = before.split('-').next().unwrap().parse().unwrap();
    for list in ["changes", "audit"] {
        refused(&admin, &format!("/{list}?after={}&wait=30", seq + 1), 410).await;
        for after in ["x", "-1", "1-", "1-x", "%2B1", "99999999999999999999"] {
            refused(&admin, &format!("/{list}?after={after}"), 400).await;
        }
    }
    app.stop();
    app.cli_json(["restore", backup.to_str().unwrap()]);
    app.resume();
    let admin = app.admin_client();
    // Its number is soon another change's; it is known all the same.
    for name in ["cleo", "dora", "emil"] {
        create(&app, name).await;
    }
    let now = end(&admin).await;
    for list in ["changes", "audit"] {
        let refused = refused(&admin, &format!("/{list}?after={before}&wait=30"), 410).await;
        assert!(refused.detail().contains(&now), "{}", refused.detail());
        told(&admin, &format!("/{list}?after={seq}")).await;
    }
}

#[tokio::test]
async fn a_cursor_that_pruning_has_overtaken_is_refused() {
    let mut app = TestApp::start();
    create(&app, "anna").await;
    app.stop();
    let last = age(&app.database(), "-40 days");
    app.cli_json(["audit", "prune", "--older-than", "39"]);
    app.resume();
    let admin = app.admin_client();
    for list in ["changes", "audit"] {
        for after in [0, last - 1] {
            let refused = refused(&admin, &format!("/{list}?after={after}&wait=30"), 410).await;
            let pruned = format!("up to {last} were pruned");
            assert!(refused.detail().contains(&pruned), "{}", refused.detail());
        }
        let (items, _) = page(&told(&admin, &format!("/{list}?after={last}&wait=30")).await);
        assert_eq!(seqs(&items), applied(&app, last), "{list}");
    }
    // Who names no place is told all that there is.
    let all = told(&admin, "/audit").await;
    assert_eq!(seqs(all["items"].as_array().unwrap()), applied(&app, 0));
}

#[tokio::test]
async fn a_change_says_whether_an_activation_mail_is_wanted() {
    let app = TestApp::start();
    let admin = app.admin_client();
    let guests = "mapping add Guests --attribute userType --values Guest --activation-email \
                  --profile Default --storage Default";
    app.cli_json(guests.split_whitespace());
    let start = end(&admin).await;
    for (name, kind) in [("anna", "Guest"), ("bert", "Member")] {
        let user = json!({"userName": format!("{name}@x.test"), "userType": kind});
        app.client.create(user).await.expect(201);
    }
    let (items, next) = page(&told(&admin, &format!("/changes?after={start}&wait=30")).await);
    let wanted = |item: &Value| item["account_after"]["activation_email"].clone();
    assert_eq!(items.iter().map(wanted).collect::<Vec<_>>(), [true, false]);
    assert_eq!(items[0]["account_before"], Value::Null);
    // A row's number does as a cursor, too.
    let (rest, _) = page(&told(&admin, &format!("/changes?after={}", items[0]["seq"])).await);
    assert_eq!(rest, items[1..]);
    let rest = told(&admin, &format!("/changes?after={next}")).await;
    assert_eq!(rest, json!({"items": [], "next": next}));
}

#[tokio::test]
async fn an_answer_with_large_changes_ends_early() {
    const USERS: usize = 8;
    let app = TestApp::start();
    let admin = app.admin_client();
    let mut next = end(&admin).await;
    for number in 0..USERS {
        let name = "x".repeat(700_000);
        let user = json!({"userName": format!("u{number}@x.test"), "displayName": name});
        app.client.create(user).await.expect(201);
    }
    let mut lengths = Vec::new();
    while lengths.iter().sum::<usize>() < USERS {
        let answer = told(&admin, &format!("/changes?after={next}&limit=1000")).await;
        let (items, behind) = page(&answer);
        assert!(!items.is_empty());
        lengths.push(items.len());
        next = behind;
    }
    assert!(
        lengths.len() > 1,
        "8 MiB, and the change that crosses them: {lengths:?}"
    );
}

#[test]
fn the_loop_of_the_readme_follows_and_ends_with_the_server() {
    let mut app = TestApp::start();
    let readme = include_str!("../../README.md");
    let section = readme.split("\n## ").find(|it| it.starts_with("Admin API"));
    let mut scripts = section.unwrap().split("```sh\n").skip(1);
    let mut script = || scripts.next().unwrap().split("```").next().unwrap();
    let names = script().lines().take(3).collect::<Vec<_>>().join("\n");
    let admin = format!("https://127.0.0.1:{}", port(&app.ready["admin"]));
    let follow = format!("{names}\n{}", script())
        .replace("https://127.0.0.1:8444", &admin)
        .replace("/var/lib/scimlite", app.data().to_str().unwrap())
        .replace("slt_…", app.told("admin_token"));
    let (place, seen) = (app.beside("feed.next"), app.beside("seen"));
    let mut shell = std::process::Command::new("sh");
    shell.args(["-uc", &follow]).current_dir(app.beside(""));
    shell.stdout(std::fs::File::create(&seen).unwrap());
    let mut child = shell.stderr(std::process::Stdio::null()).spawn().unwrap();
    let text = |file| std::fs::read_to_string(file).unwrap_or_default();
    let until = |holds: &dyn Fn() -> bool| {
        let deadline = Instant::now() + DEADLINE;
        while !holds() {
            assert!(Instant::now() < deadline, "{}", text(&seen));
            std::thread::sleep(Duration::from_millis(5));
        }
    };
    until(&|| !text(&place).is_empty());
    let start = text(&place);
    app.cli_json(["user", "add", "a@x.test"]);
    until(&|| text(&seen).contains("account.add") && text(&place) != start);
    let last = text(&place);
    app.stop();
    assert!(wait(&mut child, DEADLINE).is_some());
    assert_eq!(text(&place), last, "{}", text(&seen));
}

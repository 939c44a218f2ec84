//! Seats: how many accounts the appliance may have, active and preserved, whichever way they come; and the counts that
//! profiles and storages show (design §3.8, §8 Seats).

use serde_json::{Value, json};
use tokio::task::JoinSet;

use crate::app::TestApp;
use crate::places::{forbidden, in_pune, person, small};
use crate::user::refused;

/// A server with so many seats, and a share of 50 percent for preserved accounts.
fn seated(seats: usize) -> TestApp {
    let mut app = TestApp::start();
    app.stop();
    app.configure("seats", "active", &seats.to_string());
    app.configure("seats", "preserved_percent", "50");
    app.resume();
    app
}

fn active(value: bool) -> Value {
    json!([{"op": "replace", "path": "active", "value": value}])
}

/// Active and preserved accounts as a list shows them under a name.
fn counts(app: &TestApp, list: &str, name: &str) -> (i64, i64) {
    let list = app.cli_json([list, "list"]);
    let mut entries = list.as_array().unwrap().iter();
    let entry = entries.find(|entry| entry["name"] == name).unwrap();
    let count = |key: &str| entry[key].as_i64().unwrap();
    (count("active_accounts"), count("preserved_accounts"))
}

#[tokio::test]
async fn a_seat_is_needed_whichever_way_an_account_becomes_active() {
    let app = seated(2);
    let anna = app.client.create(person("anna")).await.expect(201).id();
    let bela = app.client.create(person("bela")).await.expect(201).id();
    forbidden(&app, app.client.create(person("cleo")).await, "2 seats");
    let why = refused(&app, ["user", "add", "cleo@example.test"]);
    assert!(why.contains("2 seats") && why.contains("[seats]"), "{why}");

    // To preserve frees a seat; what comes back, by whomever, needs one.
    app.client.patch(&anna, active(false)).await.expect(200);
    let cleo = app.client.create(person("cleo")).await.expect(201).id();
    forbidden(&app, app.client.patch(&anna, active(true)).await, "2 seats");
    assert_eq!(app.account(&anna)["status"], "preserved");
    let why = refused(&app, ["user", "activate", &anna]);
    assert!(why.contains("2 seats"), "{why}");
    app.client.delete(&anna).await;
    forbidden(&app, app.client.create(person("anna")).await, "2 seats");
    assert_eq!(app.account(&anna)["scim_visible"], 0);

    // With 2 active and 1 preserved account the appliance has all that it may have, and a leaver is stopped even so.
    app.client.delete(&cleo).await;
    let mut idle = person("idle");
    idle["active"] = false.into();
    forbidden(&app, app.client.create(idle).await, "3 accounts");
    forbidden(&app, app.client.create(person("dora")).await, "3 accounts");
    let off = app.client.patch(&bela, active(false)).await.expect(200);
    let row = app.audited(off.request_id());
    assert_eq!(row["verdict"], "applied");
    let reason = row["reason"].as_str().unwrap();
    assert!(
        reason.contains("3 accounts are preserved, more than the 1"),
        "{reason}"
    );

    // Those that there are come back one by one; for another there is room once one is deleted for good.
    assert_eq!(
        app.client.create(person("anna")).await.expect(201).id(),
        anna
    );
    app.client.patch(&bela, active(true)).await.expect(200);
    let reason = ["--reason", "left the company in spring"];
    let delete = ["user", "delete", &cleo];
    app.cli_json(delete.into_iter().chain(reason));
    app.cli_json(["user", "preserve", &bela]);
    app.client.create(person("dora")).await.expect(201);
    assert_eq!(counts(&app, "profile", "Default"), (2, 1));
}

#[tokio::test]
async fn profiles_and_storages_show_what_they_have() {
    let app = TestApp::start();
    app.sql("INSERT INTO storage (id, name, enabled) VALUES (7, 'Fast', 1)");
    small(&app, 9);
    let in_both = || {
        let lists = [
            ("profile", "Small"),
            ("storage", "Default"),
            ("storage", "Fast"),
        ];
        lists.map(|(list, name)| counts(&app, list, name))
    };
    let one = app.client.create(in_pune("one")).await.expect(201).id();
    let two = app.client.create(in_pune("two")).await.expect(201).id();
    assert_eq!(in_both(), [(2, 0), (2, 0), (0, 0)]);
    app.client.patch(&one, active(false)).await.expect(200);
    assert_eq!(in_both(), [(1, 1), (1, 1), (0, 0)]);
    app.sql(&format!("UPDATE user SET storage = 7 WHERE id = '{one}'"));
    assert_eq!(in_both(), [(1, 1), (1, 0), (0, 1)]);
    app.client.delete(&two).await;
    assert_eq!(in_both(), [(0, 2), (0, 1), (0, 1)]);
    let reason = ["--reason", "left the company in spring"];
    for id in [&one, &two] {
        let delete = ["user", "delete", id];
        app.cli_json(delete.into_iter().chain(reason));
    }
    assert_eq!(in_both(), [(0, 0), (0, 0), (0, 0)]);

    let shown = |list| String::from_utf8(app.cli([list, "list"]).stdout).unwrap();
    for list in ["profile", "storage"] {
        let table = shown(list);
        let header = table.lines().next().unwrap();
        assert!(
            header.contains("ACTIVE") && header.contains("PRESERVED"),
            "{table}"
        );
    }
}

/// The most accounts that were active at one time, and in all, as the audit tells of it.
fn peaks(app: &TestApp) -> (i64, i64) {
    let rows = app.rows(
        "SELECT changes FROM audit WHERE verdict = 'applied' AND target_type = 'User' ORDER BY seq",
        [],
    );
    let (mut active, mut all, mut peaks) = (0, 0, (0, 0));
    for row in rows {
        let status = row["changes"]
            .get("active")
            .or(row["changes"].get("status"));
        let Some(status) = status else { continue };
        let on = |value: &Value| *value == json!(true) || *value == json!("active");
        all += i64::from(status.get("old").is_none());
        active += i64::from(on(&status["new"])) - i64::from(on(&status["old"]));
        peaks = (active.max(peaks.0), all.max(peaks.1));
    }
    peaks
}

#[tokio::test]
async fn no_more_than_there_is_room_for_at_any_moment() {
    const SEATS: usize = 20;
    const PLACES: usize = 6;
    let app = seated(SEATS);
    small(&app, PLACES);
    let mut idle = Vec::new();
    for number in 0..10 {
        let mut user = person(&format!("idle{number}"));
        user["active"] = false.into();
        idle.push(app.client.create(user).await.expect(201).id());
    }

    // 64 at once: activations, and creations in two profiles; and commands of another process beside them.
    let commands: Vec<_> = (0..3)
        .map(|number| {
            let email = format!("hand{number}@example.test");
            let mut command = app.command(["user", "add", &email]);
            command.stderr(std::process::Stdio::null());
            command.stdout(std::process::Stdio::null()).spawn().unwrap()
        })
        .collect();
    let mut requests = JoinSet::new();
    for number in 0..64 {
        let client = match number % 2 {
            0 => app.client.clone(),
            _ => app.http1.clone(),
        };
        let idle = idle.get(number).cloned();
        requests.spawn(async move {
            match idle {
                Some(id) => client.patch(&id, active(true)).await,
                None if number % 3 == 0 => client.create(in_pune(&format!("u{number}"))).await,
                None => client.create(person(&format!("u{number}"))).await,
            }
        });
    }
    for answer in requests.join_all().await {
        assert!([200, 201, 403].contains(&answer.status), "{}", answer.json);
    }
    for mut command in commands {
        command.wait().unwrap();
    }
    let all = "SELECT sum(status = 'active') AS active, sum(profile = 'Small') AS small, count(*) AS n FROM accounts";
    let there = app.row(all, []);
    assert_eq!(there["active"], SEATS, "there were more than enough");
    assert!(there["small"].as_u64().unwrap() <= PLACES as u64, "{there}");

    // They come and go, 64 at once.
    let ids = app.rows("SELECT id FROM accounts ORDER BY id", []);
    let ids: Vec<_> = ids.iter().map(|row| row["id"].as_str().unwrap()).collect();
    let mut requests = JoinSet::new();
    for number in 0..64 {
        let (client, id) = (app.client.clone(), ids[number * 7 % ids.len()].to_owned());
        requests.spawn(async move { client.patch(&id, active(number % 3 != 0)).await });
    }
    requests.join_all().await;
    let (active, all) = peaks(&app);
    assert_eq!(active, SEATS as i64);
    assert!(all <= (SEATS + SEATS / 2) as i64, "{all}");
}

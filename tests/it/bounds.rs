//! What a client may make as long as it likes, and what not: names in resources and in the rows of the audit.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;

/// Bytes of a request's row.
fn size(app: &TestApp, request_id: &str) -> i64 {
    let sql =
        "SELECT sum(length(target_name) + length(reason) + length(coalesce(changes, ''))) AS size
               FROM audit WHERE request_id = ?1";
    app.row(sql, [request_id])["size"].as_i64().unwrap()
}

#[tokio::test]
async fn a_user_name_has_an_end() {
    let app = TestApp::start();
    let named = |length: usize| format!("{}@x.test", "é".repeat(length - 7));
    let id = app
        .client
        .create(json!({"userName": named(1024)}))
        .await
        .expect(201)
        .id();
    let path = format!("/Users/{id}");
    for length in [1025, 450_000] {
        let name = named(length);
        let patch = json!({"Operations": [{"op": "replace", "path": "userName", "value": name}]});
        for (method, path, body) in [
            ("POST", "/Users", json!({"userName": name})),
            ("PUT", &*path, json!({"userName": name})),
            ("PATCH", &*path, patch),
        ] {
            let answer = app.client.scim(method, path, body).await;
            let answer = answer.expect_error(400, "invalidValue");
            assert!(answer.detail().contains("1024"), "{}", answer.detail());
            assert!(size(&app, answer.request_id()) < 2000, "{method}");
        }
    }
    // Who sends one that is there is told whose it is, in a few words.
    let taken = app.client.create(json!({"userName": named(1024)})).await;
    let taken = taken.expect_error(409, "uniqueness");
    assert!(taken.detail().contains(&id) && taken.detail().len() < 2000);
    let row = app.audited(taken.request_id());
    let name = row["target_name"].as_str().unwrap();
    assert_eq!(name.chars().count(), 320);
    assert!(named(1024).starts_with(name));
}

#[tokio::test]
async fn a_refused_act_says_on_what() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let long = "x".repeat(5000);
    let add = |name: &str| {
        let mapping = json!({"name": name, "filter": "userType xx", "profile": "Default", "storage": "Default"});
        let account = json!({"email": name, "name": "two\nlines"});
        [
            ("/profiles", json!({"name": name})),
            ("/storages", json!({"name": name})),
            ("/mappings", mapping),
            ("/accounts", account),
        ]
    };
    for (name, shown) in [("bad\u{7}name", "bad\u{7}name"), (&*long, &long[..320])] {
        for (path, body) in add(name) {
            let answer = admin.call("POST", path, body).await.expect(400);
            let row = app.audited(answer.request_id());
            assert_eq!(
                (&row["verdict"], &row["target_name"]),
                (&json!("refused"), &json!(shown)),
                "{path}"
            );
        }
    }
}

#[tokio::test]
async fn the_days_of_a_preserved_account_have_an_end() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let add = ["profile", "add", "Long", "--delete-after-days"];
    let edit = ["profile", "edit", "Default", "--delete-after-days"];
    for act in [add, edit] {
        let stderr = crate::cli::refused(&app.cli(act.into_iter().chain(["36501"])));
        assert!(stderr.contains("36500"), "{stderr}");
        app.cli_json(act.into_iter().chain(["36500"]));
    }
    for days in [36_501_u32, 3_000_000, u32::MAX] {
        let edit = json!({"delete_after_days": days});
        admin
            .call("PATCH", "/profiles/Default", edit)
            .await
            .expect(400);
    }
    app.client
        .create(json!({"userName": "a@x.test", "active": false}))
        .await
        .expect(201);
    let due = app.cli_json(["report", "preserved"])[0]["auto_delete_on"].clone();
    assert!(due.as_str().unwrap().starts_with("21"), "{due}");
}

#[tokio::test]
async fn who_is_preserved_and_why_does_not_hang_on_the_audit() {
    let mut app = TestApp::start();
    let create = async |name: &str, active: bool| {
        let user = json!({"userName": format!("{name}@x.test"), "active": active});
        app.client.create(user).await.expect(201).id()
    };
    let stop = json!([{"op": "replace", "path": "active", "value": false}]);
    create("from-the-start", false).await;
    let stopped = create("stopped", true).await;
    app.client.patch(&stopped, stop.clone()).await.expect(200);
    app.client.delete(&create("deleted", true).await).await;
    let by_admin = create("by-admin", true).await;
    app.client.patch(&by_admin, stop).await.expect(200);
    app.cli_json(["user", "preserve", &by_admin]);
    // The first reason stays, as the first instant does.
    app.client.delete(&stopped).await;
    let left = create("left", true).await;
    app.cli_json(["user", "preserve", &left]);
    app.client.delete(&left).await;
    app.cli_json(["user", "activate", &left]);
    let back = create("back", false).await;
    app.cli_json(["user", "activate", &back]);
    let list = app.beside("list.csv");
    std::fs::write(&list, "email,status\nimported@x.test,preserved\n").unwrap();
    app.cli_json(["user", "import", list.to_str().unwrap(), "--yes"]);

    app.stop();
    crate::db::age(&app.database(), "-40 days");
    app.cli_json(["audit", "prune", "--older-than", "39"]);
    app.resume();
    let report = app.cli_json(["report", "preserved"]);
    let whys: Vec<_> = report
        .as_array()
        .unwrap()
        .iter()
        .map(|it| (&it["email"], &it["reason"]))
        .collect();
    let expected = [
        (
            "from-the-start@x.test",
            "the identity provider sent active=false",
        ),
        ("stopped@x.test", "the identity provider sent active=false"),
        ("deleted@x.test", "the identity provider deleted the user"),
        ("by-admin@x.test", "an administrator preserved it"),
        (
            "left@x.test",
            "an administrator left it to the identity provider, which had deleted the user",
        ),
        ("imported@x.test", "it was imported as preserved"),
    ]
    .map(|(email, why)| (json!(email), json!(why)));
    assert_eq!(
        whys,
        expected
            .iter()
            .map(|(email, why)| (email, why))
            .collect::<Vec<_>>()
    );
    let admin = Admin::new(&app).await;
    assert_eq!(
        admin.get("/reports/preserved").await.expect(200).json["items"],
        report
    );
    let text = |args: &[&str]| String::from_utf8(app.cli(args.iter().copied()).stdout).unwrap();
    for format in ["csv", "jsonl"] {
        let text = text(&["report", "preserved", "--format", format]);
        assert!(
            text.contains("the identity provider deleted the user"),
            "{text}"
        );
    }
    assert!(text(&["report", "preserved"]).contains("REASON"));
    let shown = text(&["user", "show", &by_admin]);
    assert!(
        shown.contains("because") && shown.contains("an administrator preserved it"),
        "{shown}"
    );
    assert!(!text(&["user", "show", &back]).contains("because"));
    // The contract has no such key.
    assert_eq!(
        app.cli_json(["user", "show", &by_admin])["because"],
        Value::Null
    );
}

#[tokio::test]
async fn who_adopts_one_account_and_leaves_another_is_told() {
    let app = TestApp::start();
    let user = json!({"userName": "old@x.test", "externalId": "h"});
    let hidden = app.client.create(user).await.expect(201).id();
    app.client.delete(&hidden).await;
    let by_hand = app.cli_json(["user", "add", "new@x.test", "--quota-gb", "none"]);
    let user = json!({"userName": "new@x.test", "externalId": "h"});
    let adopted = app.client.create(user).await.expect(201);
    assert_eq!(by_hand["id"], adopted.id());
    let reason = app.audited(adopted.request_id())["reason"].clone();
    let reason = reason.as_str().unwrap();
    assert!(
        reason.contains(&format!(
            "account {hidden} of a deleted user has the same externalId"
        )),
        "{reason}"
    );
    assert_eq!(app.account(&hidden)["scim_visible"], 0);
}

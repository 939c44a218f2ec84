//! Lists of accounts from elsewhere: what SCIM took comes back by an import, and the admin API imports as the command does.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;
use crate::home::Home;
use crate::import::{audit_rows, exported, import, outcome, refused};

#[tokio::test]
async fn what_scim_takes_is_exported_and_imported() {
    let app = TestApp::start();
    let long = "x".repeat(5000);
    for (name, shown) in [
        ("a@x.test", "Lee, \"Anna\"\nof Sales"),
        ("b@x.test", &*long),
        (
            &*format!("{}@x.test", "c".repeat(1000)),
            "tab\tand \u{7}bell",
        ),
    ] {
        let user = json!({"userName": name, "displayName": shown, "externalId": &*long});
        app.client.create(user).await.expect(201);
    }
    for format in ["csv", "json"] {
        let list = app.cli(["user", "export", "--format", format]).stdout;
        let list = String::from_utf8(list).unwrap();
        let other = Home::new();
        let made = outcome(&import(&other, &list, &["--yes", "--json"]), 0);
        assert_eq!(made["made"], 3);
        assert_eq!(exported(&other), exported(&app), "{format}");
    }
    // What a person types is none of that.
    let typed = app.cli(["user", "add", "d@x.test", "--name", "two\nlines"]);
    assert_eq!(typed.status.code(), Some(1));
    let list =
        json!([{"email": "c".repeat(1025)}, {"email": "e@x.test", "name": "x".repeat(1 << 20)}]);
    for how in ["--dry-run", "--yes"] {
        let list = import(&app, &list.to_string(), &[how, "--json"]);
        refused(&outcome(&list, 1), &[(1, "1024"), (2, "larger")]);
    }
}

#[tokio::test]
async fn the_admin_api_imports_as_the_command_does() {
    let (by_command, by_request) = (TestApp::start(), TestApp::start());
    let admin = Admin::new(&by_request).await;
    let list = json!([
        {"email": "one@x.test", "name": "One", "quota_gb": 7, "external_id": "ext-1", "id": "x"},
        {"email": "two@x.test", "profile": "Nowhere"},
        {"email": "three@x.test", "quota_gb": -1},
        {"email": "ONE@x.test"},
        5,
        {"email": "six@x.test", "status": "preserved", "preserved_by": "idp", "preserved_at": "2026-01-31T09:30:00.000Z",
         "scim_visible": false, "legal_hold": true},
    ]);
    for (option, query) in [("--dry-run", "?dry_run=true"), ("--yes", "")] {
        let mut said = outcome(
            &import(&by_command, &list.to_string(), &[option, "--json"]),
            1,
        );
        assert_eq!(
            said.as_object_mut().unwrap().shift_remove("left"),
            Some(json!(0))
        );
        let path = format!("/accounts/import{query}");
        let answer = admin.call("POST", &path, list.clone()).await.expect(200);
        assert_eq!(
            answer.json["refusals"][3],
            json!({"line": 5, "email": "", "reason": "it is not an object"})
        );
        let mut answered = answer.json;
        for told in [&mut said, &mut answered] {
            // Names an id, which differs.
            told["refusals"][2]["reason"].take();
        }
        assert_eq!(said, answered, "{option}");
        if option == "--dry-run" {
            assert_eq!(audit_rows(&by_request), [] as [Value; 0]);
        }
    }
    assert_eq!(exported(&by_request), exported(&by_command));
    let rows = audit_rows(&by_request);
    assert_eq!(rows.len(), 6);
    assert!(
        rows.iter()
            .all(|row| row["request_id"] == rows[0]["request_id"])
    );
    assert_eq!(rows[2]["target_name"], "three@x.test");
    for query in ["", "?dry_run=true"] {
        let path = format!("/accounts/import{query}");
        let unknown = admin
            .call("POST", &path, json!([{"mail": "a@x.test"}]))
            .await;
        let detail = unknown.expect(400).detail().to_owned();
        assert!(
            detail.contains("account 1") && detail.contains("\"mail\""),
            "{detail}"
        );
        admin
            .call("POST", &path, json!({"email": "a@x.test"}))
            .await
            .expect(400);
        admin.call("POST", &path, Value::Null).await.expect(400);
        let large = json!([{"email": "x".repeat(1 << 20)}]);
        admin.call("POST", &path, large).await.expect(413);
        let none = admin.call("POST", &path, json!([])).await.expect(200);
        assert_eq!(none.json["made"], 0);
    }
}

//! Where an account stands and whose it is: what an administrator preserved, what was made by hand, who is the one that
//! comes back, and what the account is called (design §3.1, §3.3, §3.7 to §3.9, §8).

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::Answer;

const CUSTOM: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";

/// An instant that no test takes for its own.
const THEN: &str = "2026-01-31T09:30:00.000Z";

fn replace(path: &str, value: impl Into<Value>) -> Value {
    json!([{"op": "replace", "path": path, "value": value.into()}])
}

/// A user with a name and, unless it is empty, an externalId.
fn person(name: &str, external_id: &str) -> Value {
    json!({"userName": format!("{name}@example.test"), "externalId": external_id})
}

/// The audit's reason for what an answer did.
#[track_caller]
fn reason(app: &TestApp, answer: &Answer) -> String {
    let row = app.audited(answer.request_id());
    row["reason"].as_str().unwrap().to_owned()
}

/// Asserts who preserved an account, null for one that is active, and whether SCIM sees it.
#[track_caller]
fn stands(app: &TestApp, id: &str, preserved_by: impl Into<Value>, visible: bool) {
    let (account, by) = (app.account(id), preserved_by.into());
    let status = if by.is_null() { "active" } else { "preserved" };
    assert_eq!(account["preserved_by"], by, "{account}");
    assert_eq!(account["status"], status, "{account}");
    assert_eq!(account["preserved_at"].is_null(), by.is_null(), "{account}");
    assert_eq!(account["scim_visible"], i64::from(visible), "{account}");
}

/// Gives an account a place of its own, to see whether it keeps it.
fn furnish(app: &TestApp, id: &str) {
    app.sql(&format!(
        "INSERT OR IGNORE INTO profile (id, name) VALUES (7, 'Small');
         INSERT OR IGNORE INTO storage (id, name, enabled) VALUES (7, 'Fast', 1);
         UPDATE user SET profile = 7, storage = 7, quota_gb = 42 WHERE id = '{id}';"
    ));
}

#[track_caller]
fn furnished(app: &TestApp, id: &str) {
    let account = app.account(id);
    let place = [
        &account["profile"],
        &account["storage"],
        &account["quota_gb"],
    ];
    assert_eq!(place, [&json!("Small"), &json!("Fast"), &json!(42)]);
}

#[tokio::test]
async fn what_an_administrator_preserved_stays_so() {
    let app = TestApp::start();
    let client = &app.client;
    let made = client.create(person("anna", "anna")).await.expect(201);
    let id = made.id();
    let path = format!("/Users/{id}");
    app.sql(&format!(
        "UPDATE user SET status = 'preserved', preserved_by = 'admin', preserved_at = '{THEN}',
             resource = json_set(resource, '$.active', json('false')), version = version + 1 WHERE id = '{id}'"
    ));
    let untouched = |visible| {
        stands(&app, &id, "admin", visible);
        assert_eq!(app.account(&id)["preserved_at"], THEN);
    };
    let refused = |answer: Answer| {
        let answer = answer.expect_error(403, Value::Null);
        assert!(
            answer.detail().contains("administrator"),
            "{}",
            answer.detail()
        );
        let row = app.audited(answer.request_id());
        assert_eq!(
            (&row["verdict"], &row["target_id"]),
            (&json!("refused"), &json!(id))
        );
        assert_eq!(
            (&row["status"], &row["changes"]),
            (&json!(403), &Value::Null)
        );
    };
    assert_eq!(client.get(&path).await.expect(200).json["active"], false);

    let both = json!([
        {"op": "replace", "path": "title", "value": "Captain"},
        {"op": "replace", "path": "active", "value": true},
    ]);
    refused(client.patch(&id, both).await);
    let mut put = person("anna", "anna");
    put["title"] = "Captain".into();
    put["active"] = true.into();
    refused(client.scim("PUT", &path, put).await);
    let user = client.get(&path).await.expect(200);
    assert_eq!(user.json["title"], Value::Null, "refused whole");
    untouched(true);

    let off = client
        .patch(&id, replace("active", false))
        .await
        .expect(200);
    assert_eq!(app.audited(off.request_id())["verdict"], "unchanged");
    untouched(true);
    client
        .patch(&id, replace("title", "Captain"))
        .await
        .expect(200);
    let put = client.scim("PUT", &path, person("anna", "anna")).await;
    assert_eq!(put.expect(200).json["active"], false, "left out, it stays");
    untouched(true);

    client.delete(&id).await;
    untouched(false);
    let mut back = person("anna", "anna");
    refused(client.create(back.clone()).await);
    back["active"] = true.into();
    refused(client.create(back.clone()).await);
    untouched(false);
    back["active"] = false.into();
    assert_eq!(client.create(back).await.expect(201).id(), id);
    untouched(true);
    assert_eq!(app.rows("SELECT id FROM user", []).len(), 1);
}

#[tokio::test]
async fn the_identity_provider_stops_an_account_from_its_creation_on_and_starts_it() {
    let app = TestApp::start();
    let mut user = person("anna", "anna");
    user["active"] = false.into();
    let made = app.client.create(user).await.expect(201);
    let id = made.id();
    assert_eq!(made.json["active"], false);
    stands(&app, &id, "idp", true);
    assert_eq!(
        app.account(&id)["preserved_at"],
        app.account(&id)["created"]
    );
    let filter = "userName eq \"anna@example.test\"";
    assert_eq!(app.client.find(filter).await.total(), 1);

    let on = app
        .client
        .patch(&id, replace("active", true))
        .await
        .expect(200);
    assert!(
        reason(&app, &on).contains("active=true"),
        "{}",
        reason(&app, &on)
    );
    stands(&app, &id, Value::Null, true);
    let off = app
        .client
        .patch(&id, replace("active", false))
        .await
        .expect(200);
    assert!(
        reason(&app, &off).contains("preserved"),
        "{}",
        reason(&app, &off)
    );
    stands(&app, &id, "idp", true);
    let first = app.account(&id)["preserved_at"].clone();
    app.client.delete(&id).await;
    stands(&app, &id, "idp", false);
    assert_eq!(app.account(&id)["preserved_at"], first, "it was so already");

    let made = app.client.create(person("bela", "bela")).await.expect(201);
    assert_eq!(made.json["active"], true, "absent means true");
    app.client.delete(&made.id()).await;
    stands(&app, &made.id(), "idp", false);
}

#[tokio::test]
async fn an_account_made_by_hand_is_adopted_with_what_it_has() {
    let app = TestApp::start();
    let mut ids = Vec::new();
    for name in ["anna", "bela", "a?b"] {
        let made = app.client.create(person(name, "")).await.expect(201);
        furnish(&app, &made.id());
        ids.push(made.id());
    }
    app.sql("UPDATE user SET managed_by = 'manual', mapping = NULL");
    let [anna, bela, other] = &ids[..] else {
        unreachable!()
    };
    let managed = |id: &str| app.account(id)["managed_by"].clone();
    assert_eq!(
        app.client.find("userName sw \"a\"").await.total(),
        2,
        "SCIM sees it"
    );
    for id in &ids {
        assert_eq!(managed(id), "manual");
    }

    // Even a PATCH of what is already so is a first word on it.
    let patched = app
        .client
        .patch(anna, replace("active", true))
        .await
        .expect(200);
    assert_eq!(app.audited(patched.request_id())["verdict"], "applied");
    assert!(reason(&app, &patched).contains("hand-made"));

    let mut user = person("Bela", "bela");
    user["displayName"] = "Bela Kun".into();
    let posted = app.client.create(user).await.expect(201);
    assert_eq!(posted.id(), *bela);
    assert_eq!(posted.header("location"), posted.json["meta"]["location"]);
    assert_eq!(posted.json["userName"], "Bela@example.test", "as sent");
    let row = app.audited(posted.request_id());
    assert_eq!(
        (&row["action"], &row["verdict"]),
        (&json!("user.create"), &json!("applied"))
    );
    assert_eq!(
        (&row["target_id"], &row["status"]),
        (&json!(bela), &json!(201))
    );
    assert!(reason(&app, &posted).contains("hand-made"));
    for id in [anna, bela] {
        assert_eq!(managed(id), "idp");
        furnished(&app, id);
    }
    let account = app.account(bela);
    assert_eq!(
        (&account["name"], &account["external_id"]),
        (&json!("Bela Kun"), &json!("bela"))
    );
    app.client
        .create(person("bela", "bela"))
        .await
        .expect_error(409, "uniqueness");

    // The account's name alone is not the person's.
    let refused = app.client.create(person("a*b", "ab")).await;
    let refused = refused.expect_error(409, "uniqueness");
    assert!(
        refused.detail().contains("a_b@example.test"),
        "{}",
        refused.detail()
    );
    assert_eq!(managed(other), "manual");
    assert_eq!(app.rows("SELECT id FROM user", []).len(), 3);
}

#[tokio::test]
async fn who_comes_back_and_who_is_somebody_else() {
    let app = TestApp::start();
    let client = &app.client;
    let nameless = json!({"userName": "anna@example.test"});
    let anna = client.create(nameless.clone()).await.expect(201).id();
    furnish(&app, &anna);
    client.delete(&anna).await;
    stands(&app, &anna, "idp", false);

    // Neither has an externalId: the name says who it is.
    let back = client
        .create(json!({"userName": "ANNA@example.test"}))
        .await
        .expect(201);
    assert_eq!(back.id(), anna);
    assert!(reason(&app, &back).contains("back"));
    stands(&app, &anna, Value::Null, true);
    furnished(&app, &anna);
    client.delete(&anna).await;

    // An externalId of one's own makes another person, beside the hidden one.
    let second = client
        .create(person("anna", "second"))
        .await
        .expect(201)
        .id();
    assert_ne!(second, anna);
    stands(&app, &anna, "idp", false);
    assert_eq!(app.account(&second)["profile"], "Default");
    client.delete(&second).await;
    let third = client
        .create(person("anna", "third"))
        .await
        .expect(201)
        .id();
    assert!(third != anna && third != second);
    client.delete(&third).await;
    let nobody = client.create(nameless).await.expect(201).id();
    assert_eq!(nobody, anna, "of the three, the one without an externalId");

    // The name is another's: the person of the externalId cannot have it, and stays where they are.
    let taken = client.create(person("anna", "second")).await;
    assert!(
        taken
            .expect_error(409, "uniqueness")
            .detail()
            .contains(&anna)
    );
    stands(&app, &second, "idp", false);
    let back = client.create(person("other", "second")).await.expect(201);
    assert_eq!(back.id(), second, "under another name they return");
    assert_eq!(app.account(&second)["email"], "other@example.test");
    assert_eq!(app.rows("SELECT id FROM user", []).len(), 3);

    // Of two with the same externalId, the one who left last.
    client
        .patch(&anna, replace("externalId", "second"))
        .await
        .expect(200);
    client.delete(&second).await;
    app.sql(&format!(
        "UPDATE user SET modified = '{THEN}' WHERE id = '{second}'"
    ));
    client.delete(&anna).await;
    let back = client.create(person("new", "second")).await.expect(201);
    assert_eq!(back.id(), anna);
    stands(&app, &second, "idp", false);
}

#[tokio::test]
async fn the_account_has_a_name_whatever_was_sent() {
    let app = TestApp::start();
    let long = "name.givenName and name.familyName";
    for (attributes, name, from) in [
        (
            json!({"displayName": "Anna Lee", "name": {"formatted": "A. Lee"}}),
            "Anna Lee",
            "",
        ),
        (
            json!({"name": {"formatted": "A. Lee", "givenName": "Anna"}}),
            "A. Lee",
            "name.formatted",
        ),
        (
            json!({"name": {"givenName": "Anna", "familyName": "Lee"}}),
            "Anna Lee",
            long,
        ),
        (
            json!({"name": {"givenName": "Anna"}}),
            "Anna",
            "name.givenName",
        ),
        (
            json!({"name": {"familyName": "Lee"}}),
            "Lee",
            "name.familyName",
        ),
        (
            json!({"displayName": "", "nickName": "Annie"}),
            "a*n_b@x.test",
            "userName",
        ),
        (json!({"displayName": "A/B\\C <D>?"}), "A_B_C _D__", ""),
    ] {
        let mut user = attributes;
        user["userName"] = "a*n_b@x.test".into();
        let made = app.client.create(user).await.expect(201);
        let account = app.account(&made.id());
        let name = name.replace('*', "_");
        assert_eq!(account["name"], name);
        assert_eq!(account["username"], "a_n_b@x.test");
        assert_eq!(account["email"], "a*n_b@x.test");
        let reason = reason(&app, &made);
        match from {
            "" => assert!(!reason.contains("displayName"), "{reason}"),
            from => assert!(
                reason.contains("no displayName") && reason.contains(from),
                "{reason}"
            ),
        }
        app.client.delete(&made.id()).await;
        // The next one is a new person, not this one come back.
        app.sql("UPDATE user SET external_id = id");
    }
}

#[tokio::test]
async fn from_what_an_account_is_named_is_told_when_it_changes() {
    let app = TestApp::start();
    let made = app.client.create(json!({"userName": "anna@x.test"})).await;
    let id = made.expect(201).id();
    for (path, value, told) in [
        ("title", "Major", None),
        ("userName", "bela@x.test", None),
        ("name.givenName", "Anna", Some("named by name.givenName")),
        ("name.givenName", "Bela", None),
        ("displayName", "Anna", None),
        ("title", "Captain", None),
        ("displayName", "", Some("named by name.givenName")),
    ] {
        let change = json!([{"op": "replace", "path": path, "value": value}]);
        let answer = app.client.patch(&id, change).await.expect(200);
        let reason = reason(&app, &answer);
        match told {
            None => assert!(!reason.contains("named by"), "{path}: {reason}"),
            Some(told) => assert!(reason.contains(told), "{path}: {reason}"),
        }
    }
}

#[tokio::test]
async fn a_change_of_names_changes_the_account_and_not_the_id() {
    let app = TestApp::start();
    let id = app
        .client
        .create(person("anna", "anna"))
        .await
        .expect(201)
        .id();
    let all = json!([{"op": "replace", "value": {
        "userName": "anna/young@x.test", "displayName": "Anna Young",
        (CUSTOM): {"userPrincipalName": "anna@corp.test"},
    }}]);
    assert_eq!(app.client.patch(&id, all).await.expect(200).id(), id);
    let account = app.account(&id);
    for (column, value) in [
        ("username", "anna_young@x.test"),
        ("email", "anna/young@x.test"),
        ("name", "Anna Young"),
        ("upn", "anna@corp.test"),
        ("external_id", "anna"),
    ] {
        assert_eq!(account[column], value, "{column}");
    }
    // Its old name is free, its new one is not, in letter case and composition as Unicode has them.
    app.client.create(person("anna", "other")).await.expect(201);
    for (first, second) in [
        ("_\u{338}@x.test", "<\u{338}@x.test"),
        ("É/é@x.test", "e\u{301}?E\u{301}@x.test"),
    ] {
        let user = json!({"userName": first});
        app.client.create(user).await.expect(201);
        let user = json!({"userName": second});
        let refused = app.client.create(user).await;
        refused.expect_error(409, "uniqueness");
    }
}

#[tokio::test]
async fn who_was_removed_last_comes_back_whatever_was_done_to_the_others_since() {
    let app = TestApp::start();
    let mut ids = Vec::new();
    for name in ["anna", "bela"] {
        ids.push(
            app.client
                .create(person(name, "twin"))
                .await
                .expect(201)
                .id(),
        );
    }
    for id in ids.iter().rev() {
        app.client.delete(id).await;
    }
    app.cli_json(["user", "hold", &ids[1]]);
    app.cli_json(["user", "preserve", &ids[1]]);
    let back = app.client.create(person("cleo", "twin")).await;
    assert_eq!(back.expect(201).id(), ids[0]);
}

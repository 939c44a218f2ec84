//! Who may do what: every operation of the admin API and every endpoint of SCIM, by every kind of token. The operations
//! come from the OpenAPI document, so one that nobody expects here fails.

use serde_json::{Value, json};

use crate::admin::Admin;
use crate::app::TestApp;

/// Which tokens an operation takes.
#[derive(Debug, Clone, Copy, PartialEq)]
enum For {
    Anyone,
    Readers,
    Administrators,
}

/// What is expected of an operation: its id, whom it is for, the path to ask for, the body, and the status when it is
/// done. They are done in this order.
fn expected(ids: &Ids) -> Vec<(&'static str, For, String, Value, u16)> {
    use For::{Administrators, Anyone, Readers};
    let Ids {
        user,
        gone,
        rotated,
        revoked,
    } = ids;
    let of = |path: &str| path.replace("{user}", user);
    let none = Value::Null;
    let mapping = json!({"name": "b/ü", "any": true, "profile": "Default", "storage": "Default"});
    vec![
        ("openapi", Anyone, of("/openapi.json"), none.clone(), 200),
        ("account.list", Readers, of("/accounts"), none.clone(), 200),
        (
            "account.show",
            Readers,
            of("/accounts/{user}"),
            none.clone(),
            200,
        ),
        (
            "account.add",
            Administrators,
            of("/accounts"),
            json!({"email": "new@x.test"}),
            201,
        ),
        (
            "account.import",
            Administrators,
            of("/accounts/import"),
            json!([{"email": "listed@x.test"}]),
            200,
        ),
        (
            "account.edit",
            Administrators,
            of("/accounts/{user}"),
            json!({"quota_gb": 7}),
            200,
        ),
        (
            "account.reclassify",
            Administrators,
            of("/accounts/reclassify"),
            json!({"ids": [user]}),
            200,
        ),
        (
            "account.preserve",
            Administrators,
            of("/accounts/{user}/preserve"),
            none.clone(),
            200,
        ),
        (
            "account.hold",
            Administrators,
            of("/accounts/{user}/hold"),
            none.clone(),
            200,
        ),
        (
            "account.release",
            Administrators,
            of("/accounts/{user}/release"),
            json!({}),
            200,
        ),
        (
            "account.activate",
            Administrators,
            of("/accounts/{user}/activate"),
            none.clone(),
            200,
        ),
        (
            "account.delete",
            Administrators,
            format!("/accounts/{gone}?reason=left+the+company"),
            none.clone(),
            200,
        ),
        (
            "account.due",
            Readers,
            of("/accounts/auto-delete"),
            none.clone(),
            200,
        ),
        (
            "account.auto_delete",
            Administrators,
            of("/accounts/auto-delete"),
            none.clone(),
            200,
        ),
        (
            "report.provisioning",
            Readers,
            of("/reports/provisioning"),
            none.clone(),
            200,
        ),
        (
            "report.preserved",
            Readers,
            of("/reports/preserved"),
            none.clone(),
            200,
        ),
        ("audit.list", Readers, of("/audit"), none.clone(), 200),
        ("change.list", Readers, of("/changes"), none.clone(), 200),
        ("profile.list", Readers, of("/profiles"), none.clone(), 200),
        (
            "profile.add",
            Administrators,
            of("/profiles"),
            json!({"name": "a/ü"}),
            201,
        ),
        (
            "profile.edit",
            Administrators,
            of("/profiles/a%2F%C3%BC"),
            json!({"max_users": 7}),
            200,
        ),
        (
            "profile.remove",
            Administrators,
            of("/profiles/a%2F%C3%BC"),
            none.clone(),
            204,
        ),
        ("seats", Readers, of("/seats"), none.clone(), 200),
        ("storage.list", Readers, of("/storages"), none.clone(), 200),
        (
            "storage.add",
            Administrators,
            of("/storages"),
            json!({"name": "a ü"}),
            201,
        ),
        (
            "storage.edit",
            Administrators,
            of("/storages/a%20%C3%BC"),
            json!({"enabled": false}),
            200,
        ),
        (
            "storage.remove",
            Administrators,
            of("/storages/a%20%C3%BC"),
            none.clone(),
            204,
        ),
        ("mapping.list", Readers, of("/mappings"), none.clone(), 200),
        (
            "mapping.test",
            Readers,
            of("/mappings/test"),
            json!({"userName": "x"}),
            200,
        ),
        (
            "mapping.test_user",
            Readers,
            of("/mappings/test?user={user}"),
            none.clone(),
            200,
        ),
        (
            "mapping.impact",
            Readers,
            of("/mappings/impact"),
            json!({}),
            200,
        ),
        ("mapping.add", Administrators, of("/mappings"), mapping, 201),
        // A mapping may have the name of a path.
        (
            "mapping.edit",
            Administrators,
            of("/mappings/b%2f%c3%bc"),
            json!({"name": "test"}),
            200,
        ),
        (
            "mapping.move",
            Administrators,
            of("/mappings/test/move"),
            json!({"to": 2}),
            200,
        ),
        (
            "mapping.remove",
            Administrators,
            of("/mappings/test"),
            none.clone(),
            204,
        ),
        ("token.list", Readers, of("/tokens"), none.clone(), 200),
        (
            "token.create",
            Administrators,
            of("/tokens"),
            json!({"name": "n", "scope": "read"}),
            201,
        ),
        (
            "token.rotate",
            Administrators,
            format!("/tokens/{rotated}/rotate"),
            json!({}),
            201,
        ),
        (
            "token.revoke",
            Administrators,
            format!("/tokens/{revoked}/revoke"),
            none,
            204,
        ),
    ]
}

/// What the operations are done to.
struct Ids {
    user: String,
    gone: String,
    rotated: String,
    revoked: String,
}

/// A token of each kind, with the status that refuses it for reading, and for acts; none where it does.
type Token = (&'static str, Option<String>, Option<u16>, Option<u16>);

fn tokens(app: &TestApp) -> Vec<Token> {
    let made = |name: &str, scope: &str| {
        let token = app.cli_json(["token", "create", name, "--scope", scope]);
        (
            token["id"].as_str().unwrap().to_owned(),
            token["token"].as_str().unwrap().to_owned(),
        )
    };
    let (expired, expired_token) = made("expired", "admin");
    let (revoked, revoked_token) = made("revoked", "admin");
    app.sql(&format!(
        "UPDATE token SET expires = '2020-01-01T00:00:00.000Z' WHERE id = '{expired}'"
    ));
    app.cli_json(["token", "revoke", &revoked]);
    let (_, read) = made("reader", "read");
    let wrong = format!("slt_{expired}_{}", "z".repeat(40));
    let no_such = format!("slt_{}_{}", "z".repeat(10), "z".repeat(40));
    let (no, not_this) = (Some(401), Some(403));
    vec![
        ("none", None, no, no),
        ("shapeless", Some("secret".to_owned()), no, no),
        ("no such", Some(no_such), no, no),
        ("wrong secret", Some(wrong), no, no),
        ("expired", Some(expired_token), no, no),
        ("revoked", Some(revoked_token), no, no),
        (
            "provision",
            Some(app.told("secret_token").to_owned()),
            not_this,
            not_this,
        ),
        ("read", Some(read), None, not_this),
        (
            "admin",
            Some(app.told("admin_token").to_owned()),
            None,
            None,
        ),
    ]
}

#[tokio::test]
async fn every_operation_by_every_token() {
    let app = TestApp::configured(&[("#failures = 50", "failures = 1000")]);
    let admin = Admin::new(&app).await;
    let tokens = tokens(&app);
    let user = |email: &str| {
        app.cli_json(["user", "add", email])["id"]
            .as_str()
            .unwrap()
            .to_owned()
    };
    let token = |name: &str| {
        let token = app.cli_json(["token", "create", name, "--scope", "read"]);
        token["id"].as_str().unwrap().to_owned()
    };
    let ids = Ids {
        user: user("user@x.test"),
        gone: user("gone@x.test"),
        rotated: token("rotated"),
        revoked: token("revoked"),
    };
    app.cli_json(["user", "preserve", &ids.gone]);
    let expected = expected(&ids);
    let mut described: Vec<_> = admin.operations().iter().map(|it| it.id.as_str()).collect();
    let mut known: Vec<_> = expected.iter().map(|(id, ..)| *id).collect();
    described.sort_unstable();
    known.sort_unstable();
    assert_eq!(described, known, "the document, and what is expected here");

    for (id, whom, path, body, done) in expected {
        let operation = admin.operations().iter().find(|it| it.id == id).unwrap();
        let security = &operation.description["security"];
        let scopes = match whom {
            For::Anyone => json!([]),
            For::Readers => json!([{"token": ["read"]}, {"token": ["admin"]}]),
            For::Administrators => json!([{"token": ["admin"]}]),
        };
        assert_eq!(*security, scopes, "{id}");
        for (kind, token, reading, acting) in &tokens {
            let refused = match whom {
                For::Anyone => None,
                For::Readers => *reading,
                For::Administrators => *acting,
            };
            let client = admin.with_token(token.as_deref());
            let answer = client.call(&operation.method, &path, body.clone()).await;
            assert_eq!(
                answer.status,
                refused.unwrap_or(done),
                "{id} by {kind}: {}",
                answer.json
            );
            // Reads leave no row; acts do, refused or done.
            let sql = "SELECT action, verdict, status FROM audit WHERE request_id = ?1";
            let rows = app.rows(sql, [answer.request_id()]);
            let row = match (whom, answer.status) {
                (_, 401) => continue,
                (For::Administrators, 403) => {
                    json!({"action": id, "verdict": "refused", "status": 403})
                }
                // It deleted nothing.
                (For::Administrators, 200) if id == "account.auto_delete" => {
                    json!({"action": id, "verdict": "unchanged", "status": 200})
                }
                (For::Administrators, status) => {
                    json!({"action": id, "verdict": "applied", "status": status})
                }
                _ => Value::Null,
            };
            assert_eq!(rows.first().unwrap_or(&Value::Null), &row, "{id} by {kind}");
        }
    }
}

#[tokio::test]
async fn every_endpoint_of_scim_by_every_token() {
    let app = TestApp::configured(&[("#failures = 50", "failures = 1000")]);
    let tokens = tokens(&app);
    let user = app
        .client
        .create(json!({"userName": "user@x.test"}))
        .await
        .expect(201)
        .id();
    let group = json!({"displayName": "Crew"});
    let group = app
        .client
        .scim("POST", "/Groups", group)
        .await
        .expect(201)
        .id();
    let none = Value::Null;
    let patch = json!({"Operations": [{"op": "replace", "path": "displayName", "value": "Other"}]});
    let bulk = json!({"Operations": []});
    for (method, path, body, reads, done) in [
        ("GET", "/Users".to_owned(), none.clone(), true, 200),
        ("GET", format!("/Users/{user}"), none.clone(), true, 200),
        ("GET", "/Groups".to_owned(), none.clone(), true, 200),
        ("GET", format!("/Groups/{group}"), none.clone(), true, 200),
        ("GET", String::new(), none.clone(), true, 200),
        ("POST", "/.search".to_owned(), json!({}), true, 200),
        ("POST", "/Users/.search".to_owned(), json!({}), true, 200),
        ("POST", "/Groups/.search".to_owned(), json!({}), true, 200),
        (
            "GET",
            "/ServiceProviderConfig".to_owned(),
            none.clone(),
            true,
            200,
        ),
        ("GET", "/ResourceTypes".to_owned(), none.clone(), true, 200),
        ("GET", "/Schemas".to_owned(), none.clone(), true, 200),
        ("GET", "/Me".to_owned(), none.clone(), true, 501),
        ("OPTIONS", "/Users".to_owned(), none.clone(), true, 204),
        (
            "POST",
            "/Users".to_owned(),
            json!({"userName": "new@x.test"}),
            false,
            201,
        ),
        (
            "PUT",
            format!("/Users/{user}"),
            json!({"userName": "user@x.test"}),
            false,
            200,
        ),
        ("PATCH", format!("/Users/{user}"), patch.clone(), false, 200),
        ("DELETE", format!("/Users/{user}"), none.clone(), false, 204),
        (
            "POST",
            "/Groups".to_owned(),
            json!({"displayName": "New"}),
            false,
            201,
        ),
        (
            "PUT",
            format!("/Groups/{group}"),
            json!({"displayName": "Crew"}),
            false,
            200,
        ),
        ("PATCH", format!("/Groups/{group}"), patch, false, 204),
        ("DELETE", format!("/Groups/{group}"), none, false, 204),
        ("POST", "/Bulk".to_owned(), bulk, false, 200),
    ] {
        let (last, others): (Vec<_>, Vec<_>) =
            tokens.iter().partition(|(kind, ..)| *kind == "provision");
        // The one that may write comes last.
        for (kind, token, reading, _) in others.into_iter().chain(last) {
            let refused = match (*kind, reads) {
                ("provision", _) | ("read" | "admin", true) => None,
                ("read" | "admin", false) => Some(403),
                _ => *reading,
            };
            let client = app.client.with_token(token.as_deref());
            let answer = client.scim(method, &path, body.clone()).await;
            let status = refused.unwrap_or(done);
            assert_eq!(
                answer.status, status,
                "{method} {path} by {kind}: {}",
                answer.json
            );
        }
    }
}

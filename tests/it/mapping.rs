//! The mappings by command (design §3.5, §3.6, §8 Mappings): what was typed is shown back before it is saved, and what
//! an administrator should know is said with every look at them and every change.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::home::Home;
use crate::user::{make, refused};

const TARGET: [&str; 4] = ["--profile", "Default", "--storage", "Default"];

fn adding<'a>(name: &'a str, whom: &[&'a str]) -> Vec<&'a str> {
    [&["mapping", "add", name], whom, &TARGET].concat()
}

/// The warnings that a command writes to its standard error, with and without `--json`.
#[track_caller]
fn warned(home: &Home, args: &[&str]) -> String {
    let both = [&[][..], &["--json"]].map(|json: &[&str]| {
        let output = home.cli(args.iter().chain(json).copied());
        assert!(output.status.success(), "{output:?}");
        String::from_utf8(output.stderr).unwrap()
    });
    assert_eq!(both[0], both[1], "{args:?}");
    both[0].clone()
}

#[test]
fn what_was_typed_is_shown_back_before_it_is_saved() {
    let home = Home::new();
    let rows = |home: &Home| home.rows("SELECT * FROM audit", []).len();
    let before = rows(&home);
    for (values, shown, parsed) in [
        ("Sales", r#"department = "Sales""#, json!(["Sales"])),
        (
            " Sales ,IT",
            r#"department = "Sales" or "IT""#,
            json!(["Sales", "IT"]),
        ),
        (
            "Druva,ind; Druva,usa ;",
            r#"department = "Druva,ind" or "Druva,usa""#,
            json!(["Druva,ind", "Druva,usa"]),
        ),
    ] {
        let mut args = adding("x", &["--attribute", "department", "--values", values]);
        args.push("--dry-run");
        let text = String::from_utf8(home.cli(args.iter().copied()).stdout).unwrap();
        assert_eq!(
            text,
            format!("Mapping x would take {shown}; it would be in place 1.\n")
        );
        let told = home.cli_json(args);
        assert_eq!(
            (
                &told["mapping"]["values"],
                &told["position"],
                &told["dry_run"]
            ),
            (&parsed, &json!(1), &json!(true))
        );
    }
    assert_eq!(rows(&home), before, "nothing was made");
    let args = adding("x", &["--attribute", "department", "--values", "a;b"]);
    let text = String::from_utf8(home.cli(args).stdout).unwrap();
    assert_eq!(
        text,
        "Mapping x takes department = \"a\" or \"b\"; it is in place 1.\n"
    );
    assert_eq!(rows(&home), before + 1);
}

#[tokio::test]
async fn what_takes_nobody_or_cannot_be_is_refused() {
    let app = TestApp::start();
    for (whom, why) in [
        (&["--attribute", "department", "--values", ""][..], "empty"),
        (&["--attribute", "department", "--values", " , ,"], "empty"),
        (&["--attribute", " ", "--values", "x"], "attribute"),
        (&["--filter", "title eq"], "byte"),
    ] {
        for dry_run in [&[][..], &["--dry-run"]] {
            let args = [&adding("x", whom)[..], dry_run].concat();
            let said = refused(&app, args);
            assert!(said.contains(why), "{said}");
        }
    }
    let any: &[&str] = &["--any"];
    for (args, why) in [
        (adding("Default", any), "already"),
        (adding(" ", any), "name"),
        (
            [
                "mapping",
                "add",
                "x",
                "--any",
                "--profile",
                "no",
                "--storage",
                "Default",
            ]
            .to_vec(),
            "no",
        ),
        (vec!["mapping", "move", "Default", "--to", "2"], "places"),
        (vec!["mapping", "edit", "nobody", "--name", "x"], "nobody"),
        (vec!["mapping", "remove", "nobody"], "nobody"),
    ] {
        let said = refused(&app, args);
        assert!(said.contains(why), "{said}");
    }
    // Whom it takes never changes, and one thing alone says whom.
    for args in [
        &["mapping", "edit", "Default", "--filter", "title pr"][..],
        &["mapping", "edit", "Default", "--values", "x"],
        &["mapping", "edit", "Default"],
        &["profile", "edit", "Default"],
        &["storage", "edit", "Default"],
        &["mapping", "move", "Default", "--to", "aside"],
        &adding("x", &["--any", "--filter", "title pr"]),
        &adding("x", &["--attribute", "department"]),
        &adding("x", &[]),
    ] {
        assert_eq!(
            app.cli(args.iter().copied()).status.code(),
            Some(2),
            "{args:?}"
        );
    }
    assert_eq!(
        app.cli_json(["mapping", "list"]).as_array().unwrap().len(),
        1
    );
}

#[test]
fn an_administrator_is_warned_with_every_look_and_every_change() {
    let home = Home::new();
    assert_eq!(
        warned(&home, &["mapping", "list"]),
        "",
        "as init makes them"
    );
    let made = home.cli_json(adding("S", &["--filter", "title pr"]));
    assert_eq!(
        (&made["warnings"], &made["position"]),
        (&json!([]), &json!(1))
    );

    let never = "takes any user, so the 1 below it are never reached";
    for args in [
        &["mapping", "move", "Default", "--to", "1"][..],
        &["mapping", "list"],
        &["mapping", "edit", "S", "--quota-gb", "5"],
        &["mapping", "impact"],
    ] {
        assert!(warned(&home, args).contains(never), "{args:?}");
    }
    let made = home.cli_json(adding("T", &["--filter", "title pr"]));
    let warning = made["warnings"][0].as_str().unwrap();
    assert!(warning.contains("the 2 below it"), "{warning}");

    let removed = home.cli(["mapping", "remove", "Default"]);
    let none = "no mapping takes any user: a user that none matches is refused";
    assert!(String::from_utf8(removed.stderr).unwrap().contains(none));
    assert!(warned(&home, &["mapping", "list"]).contains(none));

    home.sql(
        "UPDATE mapping SET attribute = 'city', \"values\" = '[]', filter = NULL WHERE name = 'T'",
    );
    let nobody = "mapping \"T\" has no values and takes nobody";
    assert!(warned(&home, &["mapping", "list"]).contains(nobody));
}

#[test]
fn a_condition_that_cannot_be_what_was_meant_is_warned_of() {
    let home = Home::new();
    let core = "urn:ietf:params:scim:schemas:core:2.0:User";
    let custom = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
    for (whom, warns) in [
        (&["--filter", "groups.value eq \"x\""][..], true),
        (&["--filter", "not (ID pr) or title pr"], true),
        (&["--filter", "meta.created pr"], true),
        (&["--filter", "password pr"], true),
        (&["--filter", "schemas eq \"x\""], true),
        (&["--filter", &format!("{core}:id pr")], true),
        (&["--filter", &format!("{custom}:id pr")], false),
        (&["--filter", "externalId pr and manager.value pr"], false),
        (&["--attribute", "id", "--values", "x"], true),
        (&["--attribute", "groups", "--values", "x"], true),
        (&["--attribute", "password", "--values", "x"], true),
        (&["--attribute", "meta", "--values", "x"], true),
        (&["--attribute", "schemas", "--values", "x"], true),
        (&["--attribute", "name.givenName", "--values", "x"], true),
        (&["--attribute", "name", "--values", "x"], true),
        (
            &["--attribute", &format!("{custom}:id"), "--values", "x"],
            false,
        ),
        (&["--attribute", "manager", "--values", "x"], false),
        (&["--attribute", "emails", "--values", "x"], false),
        (&["--attribute", "desk.floor", "--values", "x"], false),
    ] {
        let mut args = adding("x", whom);
        args.push("--dry-run");
        let said = warned(&home, &args);
        assert_eq!(
            said.contains("mapping \"x\" looks "),
            warns,
            "{whom:?} {said}"
        );
    }
    home.sql(
        "INSERT INTO mapping (position, name, filter, profile, storage, activation_email)
              VALUES (-1, 'broken', 'title eq', 1, 1, 0)",
    );
    let said = warned(&home, &["mapping", "list"]);
    assert!(said.contains("mapping \"broken\" cannot decide"), "{said}");
}

#[tokio::test]
async fn a_mapping_is_edited_and_removed_and_its_accounts_stay() {
    let app = TestApp::start();
    app.cli_json(["profile", "add", "Sales"]);
    let anna = make(&app, json!({"userName": "anna@example.test"})).await;
    let edited = app.cli_json([
        "mapping",
        "edit",
        "Default",
        "--name",
        "Rest",
        "--profile",
        "Sales",
        "--quota-gb",
        "7",
    ]);
    assert_eq!(
        [
            &edited["name"],
            &edited["profile"],
            &edited["quota_gb"],
            &edited["any"]
        ],
        [&json!("Rest"), &json!("Sales"), &json!(7), &json!(true)]
    );
    let sql = "SELECT action, target_name, changes FROM audit ORDER BY seq DESC LIMIT 1";
    let row = app.row(sql, []);
    assert_eq!(row["action"], "mapping.edit");
    assert_eq!(
        row["changes"],
        json!({
            "name": {"old": "Default", "new": "Rest"}, "profile": {"old": "Default", "new": "Sales"},
            "quota_gb": {"new": 7},
        })
    );
    let bela = make(&app, json!({"userName": "bela@example.test"})).await;
    assert_eq!(app.account(&bela)["quota_gb"], 7);
    let edited = app.cli_json(["mapping", "edit", "Rest", "--quota-gb", "none"]);
    assert_eq!(edited["quota_gb"], Value::Null);
    app.cli_json(["mapping", "remove", "Rest"]);
    assert_eq!(app.row(sql, [])["action"], "mapping.remove");
    for (id, profile, quota) in [(&anna, "Default", 0), (&bela, "Sales", 7)] {
        let account = app.account(id);
        assert_eq!(
            (&account["profile"], &account["quota_gb"]),
            (&json!(profile), &json!(quota)),
            "later edits touch later creations only"
        );
        assert_eq!(account["status"], "active");
    }
}

#[test]
fn profiles_and_storages_are_listed() {
    let home = Home::new();
    let profiles = home.cli_json(["profile", "list"]);
    assert_eq!(profiles[0]["name"], "Default");
    let storages = home.cli_json(["storage", "list"]);
    assert_eq!(
        (&storages[0]["name"], &storages[0]["enabled"]),
        (&json!("Default"), &json!(true))
    );
}

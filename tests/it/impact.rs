//! What the mappings would do to the present users, and what an administrator lets them do: `mapping impact`,
//! `mapping test --user`, `user reclassify` and `user edit` (design §3.4–3.6). Whatever was dropped when a user was made
//! makes the answer unknown, and an unknown answer moves nobody.

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::user::{last_row, make, refused};

const CUSTOM: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
const ENTERPRISE: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";

/// Filter of a mapping that looks at what is kept.
const SALES: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"Sales\"";
const LAW: &str =
    "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User:department eq \"Law\"";

/// A profile and a storage beside the default ones.
fn furnished() -> TestApp {
    let app = TestApp::start();
    app.cli_json(["profile", "add", "Sales", "--quota-gb", "20"]);
    app.cli_json(["storage", "add", "Berlin"]);
    app
}

async fn person(app: &TestApp, name: &str, department: &str) -> String {
    let user = json!({
        "userName": format!("{name}@example.test"), (ENTERPRISE): {"department": department},
        (CUSTOM): {"city": "Pune"},
    });
    make(app, user).await
}

fn add<'a>(name: &'a str, whom: [&'a str; 2]) -> Vec<&'a str> {
    let target = ["--profile", "Sales", "--storage", "Berlin"];
    [&["mapping", "add", name], &whom[..], &target].concat()
}

fn impact(app: &TestApp, args: &[&str]) -> Value {
    app.cli_json(["mapping", "impact"].iter().chain(args).copied())
}

/// The counts of an impact or a reclassification that are not 0.
fn tally(value: &Value) -> Value {
    let words = [
        "moved",
        "refused",
        "unmatched",
        "unknown",
        "by_hand",
        "unchanged",
    ];
    let counts = words.map(|word| (word.to_owned(), value[word].clone()));
    counts
        .into_iter()
        .filter(|(_, count)| *count != 0)
        .collect()
}

/// Each mapping with whom it takes and may take.
fn takes(impact: &Value) -> Value {
    let takes = impact["mappings"].as_array().unwrap().iter();
    takes
        .map(|one| json!([one["mapping"], one["takes"], one["may_take"]]))
        .collect()
}

/// The audit rows of an action: target, verdict, changes and the mapping that decided.
fn audited(app: &TestApp, action: &str) -> Vec<Value> {
    let sql = "SELECT target_id, verdict, reason, changes, mapping AS decision FROM audit WHERE action = ?1 ORDER BY seq";
    app.rows(sql, [action])
}

#[tokio::test]
async fn an_impact_is_seen_before_a_mapping_is_made_or_moved() {
    let app = furnished();
    for (name, department) in [("anna", "Sales"), ("bela", "Sales"), ("cleo", "IT")] {
        person(&app, name, department).await;
    }
    app.cli_json(["user", "add", "hand@example.test"]);
    let gone = person(&app, "gone", "Sales").await;
    app.client.delete(&gone).await;
    let before = app.files().len();
    let rows = app.rows("SELECT count(*) AS rows FROM audit", []);

    let present = impact(&app, &[]);
    assert_eq!(present["users"], 4, "those whom SCIM sees");
    assert_eq!(tally(&present), json!({"unchanged": 3, "by_hand": 1}));
    assert_eq!(takes(&present), json!([["Default", 3, 0]]));
    assert_eq!(
        (&present["moves"], &present["warnings"]),
        (&json!([]), &json!([]))
    );

    let new = ["--new", "S", "--filter", SALES];
    let target = [
        "--profile",
        "Sales",
        "--storage",
        "Berlin",
        "--quota-gb",
        "9",
    ];
    let planned = impact(&app, &[&new[..], &target].concat());
    assert_eq!(
        tally(&planned),
        json!({"moved": 2, "by_hand": 1, "unchanged": 1})
    );
    assert_eq!(takes(&planned), json!([["S", 2, 0], ["Default", 1, 0]]));
    let expected = json!([{
        "old": {"mapping": "Default", "profile": "Default", "storage": "Default", "quota_gb": null},
        "new": {"mapping": "S", "profile": "Sales", "storage": "Berlin", "quota_gb": 9},
        "users": 2,
    }]);
    assert_eq!(planned["moves"], expected);

    // Below the one for any user it takes nobody; before it stands, a place is that of `add`.
    let last = impact(&app, &[&new[..], &target, &["--at", "2"]].concat());
    assert_eq!(takes(&last), json!([["Default", 3, 0], ["S", 0, 0]]));
    assert!(
        last["warnings"][0].as_str().unwrap().contains("any user"),
        "{last}"
    );
    app.cli_json(add("S", ["--filter", SALES]));
    let moved = impact(&app, &["--move", "S", "--to", "down"]);
    assert_eq!(takes(&moved), json!([["Default", 3, 0], ["S", 0, 0]]));
    assert_eq!(tally(&moved), json!({"unchanged": 3, "by_hand": 1}));
    let stands = impact(&app, &[]);
    assert_eq!(takes(&stands), json!([["S", 2, 0], ["Default", 1, 0]]));
    assert_eq!(stands, impact(&app, &["--move", "S", "--to", "1"]));

    // A look changes nothing and writes nothing.
    assert_eq!(app.files().len(), before);
    let after = app.rows(
        "SELECT count(*) AS rows FROM audit WHERE action <> 'mapping.add'",
        [],
    );
    assert_eq!(after, rows);
    let text = String::from_utf8(app.cli(["mapping", "impact"]).stdout).unwrap();
    for part in [
        "Default: Default, Default",
        "S: Sales, Berlin",
        "2 would move",
    ] {
        assert!(text.contains(part), "{text}");
    }
}

#[tokio::test]
async fn an_impact_of_what_cannot_be_made_is_refused_and_wrong_usage_is_said() {
    let app = furnished();
    let target = ["--profile", "Sales", "--storage", "Berlin"];
    for (args, why) in [
        (&["--new", "Default", "--any"][..], "already"),
        (&["--new", "x", "--filter", "title eq"], "byte"),
        (&["--new", "x", "--attribute", "a", "--values", ""], "empty"),
        (&["--new", "x", "--any", "--at", "3"], "places"),
    ] {
        let args = [&["mapping", "impact"], args, &target].concat();
        let said = refused(&app, args);
        assert!(said.contains(why), "{said}");
    }
    for (args, why) in [
        (&["--move", "nobody", "--to", "1"][..], "nobody"),
        (&["--move", "Default", "--to", "2"], "places"),
        (
            &[
                "--new",
                "x",
                "--any",
                "--profile",
                "none",
                "--storage",
                "Berlin",
            ],
            "none",
        ),
    ] {
        let said = refused(&app, ["mapping", "impact"].iter().chain(args).copied());
        assert!(said.contains(why), "{said}");
    }
    for args in [
        &["mapping", "impact", "--any"][..],
        &["mapping", "impact", "--new", "x"],
        &["mapping", "impact", "--new", "x", "--any"],
        &["mapping", "impact", "--to", "1"],
        &["mapping", "impact", "--move", "Default"],
        &["mapping", "test"],
        &["mapping", "test", "-", "--user", "x"],
        &["user", "reclassify"],
        &["user", "reclassify", "x", "--all"],
        &["user", "edit", "x"],
    ] {
        let output = app.cli(args.iter().copied());
        assert_eq!(output.status.code(), Some(2), "{args:?}");
        assert!(output.stdout.is_empty());
    }
}

#[tokio::test]
async fn what_was_dropped_makes_the_answer_unknown() {
    let app = furnished();
    app.cli_json(add("city", ["--filter", "city eq \"Pune\""]));
    let anna = person(&app, "anna", "Sales").await;
    person(&app, "bela", "IT").await;
    app.cli_json(add("S", ["--filter", SALES]));
    assert_eq!(
        app.account(&anna)["profile"],
        "Sales",
        "its city was looked at when it was made"
    );

    // Who has the city, nobody can tell any more.
    let stands = impact(&app, &[]);
    assert_eq!(tally(&stands), json!({"unknown": 2}));
    assert_eq!(
        takes(&stands),
        json!([["city", 0, 2], ["S", 0, 1], ["Default", 0, 1]])
    );
    assert_eq!(stands["moves"], json!([]));

    // What is sure above it is sure.
    let moved = impact(&app, &["--move", "S", "--to", "1"]);
    assert_eq!(tally(&moved), json!({"unchanged": 1, "unknown": 1}));
    assert_eq!(
        takes(&moved),
        json!([["S", 1, 0], ["city", 0, 1], ["Default", 0, 1]])
    );

    let told = app.cli_json(["mapping", "test", "--user", "ANNA@example.test"]);
    let tried = json!([
        {"mapping": "city", "matched": null, "why": "the filter looks at city, of which no value is kept; cannot know"},
        {"mapping": "S", "matched": true, "why": "the filter matches"},
    ]);
    assert_eq!(
        (&told["mapping"], &told["known"], &told["tried"]),
        (&Value::Null, &json!(false), &tried)
    );
    app.cli_json(["mapping", "move", "S", "--to", "1"]);
    let told = app.cli_json(["mapping", "test", "--user", &anna]);
    assert_eq!(
        (&told["mapping"], &told["known"], &told["profile"]),
        (&json!("S"), &json!(true), &json!("Sales"))
    );

    // A bare name is looked up in the custom extension first, which keeps nearly nothing.
    let bare = ["--attribute", "department", "--values", "Sales"];
    let args = [&["mapping", "add", "bare"], &bare[..]].concat();
    app.cli_json([&args[..], &["--profile", "Sales", "--storage", "Berlin"]].concat());
    app.cli_json(["mapping", "move", "bare", "--to", "1"]);
    let text = app.cli(["mapping", "test", "--user", &anna]);
    let text = String::from_utf8(text.stdout).unwrap();
    assert!(
        text.contains("bare: unknown: no value of department is kept; cannot know"),
        "{text}"
    );
    let why = refused(&app, ["mapping", "test", "--user", "nobody"]);
    assert!(why.contains("nobody"), "{why}");
}

#[tokio::test]
async fn a_test_of_a_file_is_as_sure_as_a_creation() {
    let app = furnished();
    app.cli_json(add("active", ["--filter", "active eq true"]));
    let file = app.data().join("user.json");
    std::fs::write(&file, "{\"userName\": \"anna@example.test\"}").unwrap();
    let told = app.cli_json(["mapping", "test", file.to_str().unwrap()]);
    assert_eq!(
        (&told["mapping"], &told["known"]),
        (&json!("active"), &json!(true))
    );
    let id = make(&app, json!({"userName": "anna@example.test"})).await;
    let row = app.row("SELECT mapping FROM user WHERE id = ?1", [&id]);
    assert_eq!(row["mapping"], "active");
}

/// What a reclassification tells that refuses somebody: its exit code says so, with one line.
fn refusing(app: &TestApp, args: &[&str]) -> Value {
    let args = ["user", "reclassify", "--json"].iter().chain(args);
    let output = app.cli(args.copied());
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(
        said.contains("2 accounts") && said.lines().count() == 1,
        "{said}"
    );
    serde_json::from_slice(&output.stdout).unwrap()
}

#[tokio::test]
async fn a_dry_run_shows_what_the_real_one_does() {
    let app = furnished();
    app.cli_json(["profile", "edit", "Sales", "--max-users", "2"]);
    app.cli_json(["storage", "add", "Old"]);
    let mut ids = Vec::new();
    for (name, department) in [
        ("anna", "Sales"),
        ("bela", "Sales"),
        ("cleo", "Sales"),
        ("dora", "IT"),
        ("emil", "Law"),
        ("fred", "None"),
    ] {
        ids.push(person(&app, name, department).await);
    }
    // One that needs no place, one that is in the way and leaves, one that stays where it is, one given by hand.
    app.client
        .patch(
            &ids[1],
            json!([{"op": "replace", "path": "active", "value": false}]),
        )
        .await
        .expect(200);
    app.cli_json(["user", "edit", &ids[3], "--profile", "Sales"]);
    app.sql(&format!(
        "UPDATE user SET mapping = 'was' WHERE id = '{}'",
        ids[3]
    ));
    app.cli_json(["user", "edit", &ids[5], "--quota-gb", "3"]);
    let gina = person(&app, "gina", "Sales").await;
    let to = ["--profile", "Default", "--storage", "Old"];
    app.cli_json([&["mapping", "add", "law", "--filter", LAW], &to[..]].concat());
    app.cli_json(["storage", "edit", "Old", "--disable"]);
    app.cli_json(add("S", ["--filter", SALES]));

    let before = app.rows("SELECT * FROM user ORDER BY seq", []);
    let dry = refusing(&app, &["--all", "--dry-run"]);
    assert_eq!(app.rows("SELECT * FROM user ORDER BY seq", []), before);
    assert_eq!(audited(&app, "account.reclassify"), [] as [Value; 0]);
    assert_eq!(tally(&dry), tally(&impact(&app, &[])), "as the impact says");
    assert_eq!(tally(&dry), json!({"moved": 4, "refused": 2, "by_hand": 1}));

    let mut real = refusing(&app, &["--all"]);
    assert_eq!(real["dry_run"], false);
    real["dry_run"] = true.into();
    assert_eq!(real, dry);
    let told = real["accounts"].as_array().unwrap();
    let outcomes: Vec<_> = told
        .iter()
        .map(|told| {
            (
                told["id"].as_str().unwrap(),
                told["outcome"].as_str().unwrap(),
            )
        })
        .collect();
    assert_eq!(
        outcomes,
        [
            (&*ids[0], "moved"),
            (&*ids[1], "moved"),
            (&*ids[2], "refused"),
            (&*ids[3], "moved"),
            (&*ids[4], "refused"),
            (&*gina, "moved"),
        ]
    );
}

#[tokio::test]
async fn a_moved_account_has_a_row_that_says_why() {
    let app = furnished();
    let anna = person(&app, "anna", "Sales").await;
    let bela = person(&app, "bela", "IT").await;
    app.cli_json(add("S", ["--filter", SALES]));
    let before = app.client.get(&format!("/Users/{anna}")).await.json;
    let told = app.cli_json(["user", "reclassify", "--filter", "userName co \"example\""]);
    assert_eq!(tally(&told), json!({"moved": 1, "unchanged": 1}));
    let rows = audited(&app, "account.reclassify");
    let [row] = rows.as_slice() else {
        panic!("{rows:?}")
    };
    assert_eq!(
        (&row["target_id"], &row["verdict"]),
        (&json!(anna), &json!("applied"))
    );
    assert_eq!(
        row["changes"],
        json!({
            "mapping": {"old": "Default", "new": "S"},
            "profile": {"old": "Default", "new": "Sales"},
            "storage": {"old": "Default", "new": "Berlin"},
        })
    );
    assert_eq!(row["decision"]["mapping"], "S");
    let account = app.account(&anna);
    let place = [
        &account["profile"],
        &account["storage"],
        &account["quota_gb"],
    ];
    assert_eq!(place, [&json!("Sales"), &json!("Berlin"), &json!(20)]);
    let after = app.client.get(&format!("/Users/{anna}")).await.json;
    assert_eq!(after["meta"]["lastModified"], account["modified"]);
    assert_eq!(
        (&after["userName"], &after[ENTERPRISE]),
        (&before["userName"], &before[ENTERPRISE])
    );
    assert_eq!(app.account(&bela)["profile"], "Default");

    // Again: nothing to do, which the act's own row says.
    let again = app.cli_json(["user", "reclassify", "--all"]);
    assert_eq!(
        (&again["accounts"], tally(&again)),
        (&json!([]), json!({"unchanged": 2}))
    );
    let rows = audited(&app, "account.reclassify");
    assert_eq!(
        (rows.len(), &rows[1]["verdict"], &rows[1]["target_id"]),
        (2, &json!("unchanged"), &Value::Null)
    );
    assert!(
        rows[1]["reason"]
            .as_str()
            .unwrap()
            .contains("2 as they should be")
    );
}

#[tokio::test]
async fn another_name_of_a_mapping_moves_nobody() {
    let app = furnished();
    let anna = person(&app, "anna", "Sales").await;
    app.cli_json(["mapping", "edit", "Default", "--name", "Everybody"]);
    let before = app.account(&anna);
    assert_eq!(tally(&impact(&app, &[])), json!({"unchanged": 1}));
    let told = app.cli_json(["user", "reclassify", "--all"]);
    assert_eq!(tally(&told), json!({"unchanged": 1}));
    assert_eq!(app.account(&anna), before);

    // One that was given the same place by hand follows the mappings again once it is named.
    let bela = person(&app, "bela", "Sales").await;
    for profile in ["Sales", "Default"] {
        app.cli_json(["user", "edit", &bela, "--profile", profile]);
    }
    let told = app.cli_json(["user", "reclassify", &bela]);
    assert_eq!(tally(&told), json!({"moved": 1}));
    assert_eq!(
        app.cli_json(["user", "show", &bela])["mapping"],
        "Everybody"
    );
}

#[tokio::test]
async fn many_move_at_once_each_with_its_row() {
    let app = furnished();
    for number in 0..40 {
        person(&app, &format!("user{number}"), "Sales").await;
    }
    app.cli_json(["profile", "edit", "Sales", "--max-users", "30"]);
    app.cli_json(add("S", ["--filter", SALES]));
    let output = app.cli(["user", "reclassify", "--all", "--json"]);
    assert_eq!(output.status.code(), Some(1));
    let told: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(tally(&told), json!({"moved": 30, "refused": 10}));
    let emails = told["accounts"].as_array().unwrap().iter();
    let expected = (0..40).map(|number| format!("user{number}@example.test"));
    assert!(
        emails
            .map(|told| told["email"].as_str().unwrap().to_owned())
            .eq(expected),
        "the oldest go first"
    );
    for told in told["accounts"].as_array().unwrap() {
        let profile = match told["outcome"].as_str().unwrap() {
            "moved" => "Sales",
            _ => "Default",
        };
        let account = app.account(told["id"].as_str().unwrap());
        assert_eq!(account["profile"], profile);
    }
    assert_eq!(audited(&app, "account.reclassify").len(), 40);
    app.cli_json(["audit", "verify"]);
}

#[tokio::test]
async fn nobody_else_moves_an_account() {
    let app = furnished();
    let anna = person(&app, "anna", "IT").await;
    app.cli_json(add("S", ["--filter", SALES]));
    let path = format!("{ENTERPRISE}:department");
    let sales = json!([{"op": "replace", "path": path, "value": "Sales"}]);
    app.client.patch(&anna, sales).await.expect(200);
    let mut put = json!({"userName": "anna@example.test", (ENTERPRISE): {"department": "Sales"}});
    put["active"] = true.into();
    let put = app.client.scim("PUT", &format!("/Users/{anna}"), put).await;
    put.expect(200);
    app.cli_json(["mapping", "edit", "Default", "--profile", "Sales"]);
    app.cli_json(["mapping", "remove", "Default"]);
    app.cli_json(["user", "preserve", &anna]);
    app.cli_json(["user", "activate", &anna]);
    assert_eq!(app.account(&anna)["profile"], "Default");
    let told = app.cli_json(["user", "reclassify", &anna]);
    assert_eq!(told["accounts"][0]["outcome"], "moved");
    assert_eq!(app.account(&anna)["profile"], "Sales");
}

#[tokio::test]
async fn whom_no_mapping_takes_and_what_cannot_be_known_stays() {
    let app = furnished();
    let anna = person(&app, "anna", "Sales").await;
    app.cli_json(add("S", ["--filter", LAW]));
    app.cli_json(["mapping", "remove", "Default"]);
    let told = app.cli_json(["user", "reclassify", "--all"]);
    assert_eq!(tally(&told), json!({"unmatched": 1}));
    assert_eq!(told["accounts"][0]["outcome"], "unmatched");
    app.cli_json(add("city", ["--filter", "city pr"]));
    let told = app.cli_json(["user", "reclassify", &anna, &anna]);
    assert_eq!(
        (tally(&told), &told["accounts"]),
        (json!({"unknown": 1}), &json!([]))
    );
    assert_eq!(app.account(&anna)["profile"], "Default");
    let why = refused(&app, ["user", "reclassify", &anna, "nobody"]);
    assert!(why.contains("nobody"), "{why}");
    let rows = audited(&app, "account.reclassify");
    let verdicts: Vec<_> = rows.iter().map(|row| &row["verdict"]).collect();
    assert_eq!(verdicts, ["unchanged", "unchanged", "refused"]);
}

#[tokio::test]
async fn an_administrator_gives_an_account_another_place_by_hand() {
    let app = furnished();
    let anna = person(&app, "anna", "Sales").await;
    let edited = app.cli_json(["user", "edit", &anna, "--profile", "Sales"]);
    assert_eq!(
        [
            &edited["profile"],
            &edited["storage"],
            &edited["quota_gb"],
            &edited["mapping"]
        ],
        [&json!("Sales"), &json!("Default"), &json!(20), &Value::Null]
    );
    let (action, verdict, actor, _, changes) = last_row(&app);
    assert_eq!((&*action, &*verdict), ("account.edit", "applied"));
    assert!(actor.starts_with("administrator:"), "{actor}");
    assert_eq!(
        changes,
        json!({"profile": {"old": "Default", "new": "Sales"}, "mapping": {"old": "Default"}})
    );
    for (quota, shown) in [("7", 7), ("0", 0), ("none", 20)] {
        let edited = app.cli_json(["user", "edit", &anna, "--quota-gb", quota]);
        assert_eq!(edited["quota_gb"], shown);
    }
    app.cli_json([
        "user",
        "edit",
        &anna,
        "--profile",
        "Sales",
        "--storage",
        "Default",
    ]);
    assert_eq!(last_row(&app).1, "unchanged");

    // What was given by hand, the mappings leave, unless the account is named.
    let told = app.cli_json(["user", "reclassify", "--all"]);
    assert_eq!(tally(&told), json!({"by_hand": 1}));
    let told = app.cli_json(["user", "reclassify", &anna]);
    assert_eq!(tally(&told), json!({"moved": 1}));
    assert_eq!(app.account(&anna)["profile"], "Default");

    // A place is claimed where it is needed, a disabled storage takes no new account and keeps those that it has.
    app.cli_json(["profile", "edit", "Sales", "--max-users", "0"]);
    app.cli_json(["storage", "edit", "Berlin", "--disable"]);
    for (args, why) in [
        (["--profile", "Sales"], "full"),
        (["--storage", "Berlin"], "disabled"),
        (["--profile", "none"], "Sales"),
        (["--storage", "none"], "Berlin"),
    ] {
        let said = refused(&app, ["user", "edit", &anna].into_iter().chain(args));
        assert!(said.contains(why), "{said}");
        let (action, verdict, ..) = last_row(&app);
        assert_eq!((&*action, &*verdict), ("account.edit", "refused"));
    }
    app.cli_json(["storage", "edit", "Default", "--disable"]);
    app.cli_json(["user", "preserve", &anna]);
    let edited = app.cli_json(["user", "edit", &anna, "--profile", "Sales"]);
    assert_eq!(
        (&edited["profile"], &edited["storage"]),
        (&json!("Sales"), &json!("Default"))
    );
    let why = refused(&app, ["user", "activate", &anna]);
    assert!(why.contains("full"), "{why}");
}

//! What a PATCH may cost: one that would take long is refused, ordinary ones stay far below the limit.

use std::time::Instant;

use super::*;

/// A user with many values, none of which is ASCII.
fn crowded(emails: usize) -> Object {
    let emails: Vec<_> = (0..emails)
        .map(|n| json!({"value": format!("ü{n}"), "type": "work"}))
        .collect();
    user(json!({"emails": emails}))
}

fn repeated(count: usize, op: &str, path: &str, value: Value) -> Value {
    operations(json!(vec![
        json!({"op": op, "path": path, "value": value});
        count
    ]))
}

/// Carries out a PATCH and prints how long that took: what it takes in a release build is the reason for the limit.
fn timed(case: &str, stored: &Object, body: Value) -> Result<Patched, Error> {
    let patch = parse(body, ResourceType::User, &table())?;
    let started = Instant::now();
    let result = apply(&patch, stored, ResourceType::User, &table());
    println!("{case}: {:?}", started.elapsed());
    result
}

#[test]
fn what_would_take_long_is_refused() {
    let long = "ü".repeat(100_000);
    let terms = |count| {
        let terms: Vec<_> = (0..count).map(|n| format!("value eq \"é{n}\"")).collect();
        terms.join(" or ")
    };
    let addresses: Vec<_> = (0..1_000)
        .map(|n| json!({"locality": "ü", "region": "ü", "country": format!("ü{n}")}))
        .collect();
    let roomy = user(json!({"addresses": addresses}));
    let wordy = user(json!({"title": long, "emails": [{"value": long}]}));
    let emails = crowded(1_000);
    let rows = [
        (
            "adding what is there",
            &emails,
            repeated(930, "add", "emails", json!(vec!["ü999"; 60])),
        ),
        (
            "removing what is not there",
            &emails,
            repeated(930, "remove", "emails", json!(vec!["é"; 60])),
        ),
        (
            "many terms",
            &emails,
            repeated(
                930,
                "replace",
                &format!("emails[{}].display", terms(50)),
                json!("d"),
            ),
        ),
        (
            "one term",
            &emails,
            repeated(
                930,
                "replace",
                "emails[not (value eq \"é\")].display",
                json!("d"),
            ),
        ),
        (
            "no filter",
            &emails,
            repeated(930, "add", "emails.display", json!("d")),
        ),
        (
            "values without a name",
            &roomy,
            repeated(
                100,
                "add",
                "addresses",
                json!(vec![
                    json!({"locality": "ü", "region": "ü", "country": "é"});
                    60
                ]),
            ),
        ),
        (
            "values built anew",
            &roomy,
            repeated(
                930,
                "replace",
                "addresses[type eq \"é\"]",
                json!({"type": null, "locality": "Ü", "region": "Ü", "country": "Ü999"}),
            ),
        ),
        (
            "a long value in a list",
            &wordy,
            repeated(930, "replace", "emails[value eq \"é\"].display", json!("d")),
        ),
        (
            "a long value",
            &wordy,
            repeated(930, "remove", "title", json!("é")),
        ),
        (
            "a long value for all",
            &emails,
            repeated(1, "add", "emails.display", json!(long)),
        ),
        (
            "a long literal",
            &emails,
            repeated(
                1,
                "add",
                &format!("emails[value eq \"{long}\"].display"),
                json!("d"),
            ),
        ),
    ];
    for (case, stored, body) in rows {
        let error = timed(case, stored, body).err().map(|error| error.kind);
        assert_eq!(error, Some(ScimType::TooMany), "{case}");
    }
}

#[test]
fn names_are_counted_over_all_operations() {
    let bag: Object = (0..1_000).map(|n| (format!("a{n}"), n.into())).collect();
    let bags = |count| operations(json!(vec![json!({"op": "add", "value": bag}); count]));
    assert!(parse(bags(10), ResourceType::User, &table()).is_ok());
    let error = parse(bags(11), ResourceType::User, &table()).unwrap_err();
    assert_eq!(error.kind, ScimType::TooMany);
}

#[test]
fn what_clients_send_is_not() {
    let dozen = crowded(12);
    let whole: Vec<_> = (0..1_000).map(|n| format!("é{n}")).collect();
    let rows = [
        (
            "a thousand values changed",
            repeated(
                1_000,
                "replace",
                "emails[type eq \"work\" and primary eq true].value",
                json!("ä"),
            ),
        ),
        (
            "a thousand values added",
            repeated(
                1_000,
                "add",
                "emails",
                json!([{"value": "ü7", "type": "work"}]),
            ),
        ),
        (
            "a thousand names",
            repeated(1_000, "replace", "name.givenName", json!("Zoë")),
        ),
        (
            "a whole list replaced ten times",
            repeated(10, "replace", "emails", json!(whole)),
        ),
        (
            "a whole list added and removed",
            operations(json!([
                {"op": "add", "path": "emails", "value": whole[12..]},
                {"op": "remove", "path": "emails", "value": whole},
            ])),
        ),
    ];
    for (case, body) in rows {
        assert!(timed(case, &dozen, body).is_ok(), "{case}");
    }
}

#[test]
fn a_list_is_told_apart_as_value_by_value() {
    check(&[
        (
            "added at once",
            json!({"emails": [{"value": "Ü", "type": "work"}, {"value": "ü", "type": "home"}, {"display": "Ä"}]}),
            json!([{"op": "add", "path": "emails", "value": [
                {"value": "u\u{308}", "display": "first"}, {"value": "ü", "type": "HOME", "display": "second"},
                {"value": "ü", "type": "other"}, {"value": "Ü", "type": "Other", "display": "third"},
                {"display": "ä"}, {"display": "ü"}, {"display": "Ü"}, {"type": "home"}]}]),
            json!({"emails": [{"value": "u\u{308}", "type": "work", "display": "first"},
                              {"value": "ü", "type": "HOME", "display": "second"}, {"display": "Ä"},
                              {"value": "Ü", "type": "Other", "display": "third"}, {"display": "ü"}, {"type": "home"}]}),
            &[],
        ),
        (
            "removed at once",
            json!({"emails": [{"value": "a", "type": "work"}, {"value": "a", "type": "home"}, {"value": "b", "type": "home"},
                              {"value": "c", "display": "Ü"}, {"value": "Ü", "type": "x"}, {"display": "d"}]}),
            json!([{"op": "remove", "path": "emails", "value": [
                {"value": "A", "type": "Work"}, {"value": "b"}, {"display": "ü"}, "ü"]}]),
            json!({"emails": [{"value": "a", "type": "home"}, {"display": "d"}]}),
            &[],
        ),
        (
            "photos' letter case counts",
            json!({"photos": [{"value": "P"}]}),
            json!([{"op": "add", "path": "photos", "value": ["p", "P"]}, {"op": "remove", "path": "photos", "value": ["P"]}]),
            json!({"photos": [{"value": "p"}]}),
            &[],
        ),
        (
            "unknown names are told once, nulls take away from each",
            json!({"emails": [{"value": "a", "display": "x"}, {"value": "b", "display": "x"}]}),
            json!([{"op": "add", "path": "emails[value pr]", "value": {"floor": 1, "DISPLAY": null, "type": "home"}}]),
            json!({"emails": [{"value": "a", "type": "home"}, {"value": "b", "type": "home"}]}),
            &["emails.floor"],
        ),
    ]);
}

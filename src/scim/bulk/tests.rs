//! Bulk requests as data: what is understood, what is refused and with which words.

use serde_json::{Value, json};

use super::*;

fn bulk(operations: Value) -> Bulk {
    parse(json!({"Operations": operations})).unwrap()
}

fn post(bulk_id: &str, data: Value) -> Value {
    json!({"method": "POST", "path": "/Users", "bulkId": bulk_id, "data": data})
}

fn error(operation: &Operation) -> (ScimType, &str) {
    match &operation.asked {
        Err(Refused::Invalid(error)) => (error.kind, &error.detail),
        other => panic!("{other:?}"),
    }
}

#[test]
fn keys_and_methods_count_in_any_letter_case() {
    let read = parse(json!({
        "SCHEMAS": "anything", "FAILONERRORS": "2",
        "operations": [{"METHOD": "post", "BulkID": "a", "Path": " /Users/ ", "DATA": {"Ab": 1}}],
    }));
    let read = read.unwrap();
    assert_eq!(read.fail_on_errors, Some(2));
    let operation = &read.operations[0];
    assert_eq!(operation.method, Some(Method::Post));
    assert_eq!(operation.bulk_id.as_deref(), Some("a"));
    let asked = operation.asked.as_ref().unwrap();
    assert_eq!(
        (asked.method, asked.path.as_str()),
        (Method::Post, "/Users")
    );
    assert_eq!(asked.data, json!({"Ab": 1}));
}

#[test]
fn a_request_that_is_no_bulk_request_is_refused() {
    let many = json!({"Operations": vec![json!({}); MAX_OPERATIONS + 1]});
    for (body, kind) in [
        (json!([]), ScimType::InvalidSyntax),
        (json!({}), ScimType::InvalidSyntax),
        (json!({"Operations": {}}), ScimType::InvalidSyntax),
        (
            json!({"Operations": [], "failOnErrors": "few"}),
            ScimType::InvalidValue,
        ),
        (many, ScimType::TooMany),
    ] {
        assert_eq!(parse(body).unwrap_err().kind, kind);
    }
    assert!(parse(json!({"Operations": []})).unwrap().order.is_empty());
}

#[test]
fn errors_are_accepted_as_often_as_the_client_says() {
    for (sent, expected) in [
        (Value::Null, None),
        (json!(3), Some(3)),
        (json!("3"), Some(3)),
        (json!(0), Some(1)),
        (json!(-1), None),
    ] {
        let body = json!({"Operations": [], "failOnErrors": sent});
        assert_eq!(parse(body).unwrap().fail_on_errors, expected, "{sent}");
    }
}

#[test]
fn what_is_wrong_with_an_operation_is_its_own_error() {
    for (operation, kind, detail) in [
        (json!(1), ScimType::InvalidSyntax, "must be an object"),
        (json!({}), ScimType::InvalidValue, "method must be"),
        (
            json!({"method": "GET", "path": "/Users"}),
            ScimType::InvalidValue,
            "method must be",
        ),
        (
            json!({"method": "DELETE"}),
            ScimType::InvalidValue,
            "needs a path",
        ),
        (
            json!({"method": "DELETE", "path": 1}),
            ScimType::InvalidValue,
            "needs a path",
        ),
        (
            json!({"method": "POST", "path": "/Users", "data": {}}),
            ScimType::InvalidValue,
            "needs a bulkId",
        ),
        (
            json!({"method": "POST", "path": "/Users", "bulkId": "a", "data": null}),
            ScimType::InvalidValue,
            "needs data",
        ),
        (
            json!({"method": "DELETE", "path": "/Users/1", "version": 3}),
            ScimType::InvalidValue,
            "version must be",
        ),
        (
            post(&"a".repeat(1025), json!({})),
            ScimType::InvalidValue,
            "needs a bulkId",
        ),
        (
            json!({"method": "DELETE", "path": format!("/Users/{}", "a".repeat(1025))}),
            ScimType::InvalidValue,
            "needs a path",
        ),
        (
            post("a", json!({"x": "bulkId:b"})),
            ScimType::InvalidValue,
            "the data has a bulkId that",
        ),
        (
            json!({"method": "DELETE", "path": "/Users/bulkId:b"}),
            ScimType::InvalidValue,
            "the bulkId b",
        ),
    ] {
        let read = bulk(json!([operation.clone(), post("z", json!({}))]));
        let (found, said) = error(&read.operations[0]);
        assert_eq!(found, kind, "{operation}");
        assert!(said.contains(detail), "{operation}: {said}");
        assert!(read.operations[1].asked.is_ok(), "{operation}");
        assert_eq!(read.order, [0, 1]);
    }
}

#[test]
fn a_name_that_two_posts_share_names_neither() {
    let read = bulk(json!([
        post("a", json!({})),
        post("b", json!({"x": "bulkId:a"})),
        post("a", json!({})),
        // Names of operations that create nothing need not differ.
        {"method": "DELETE", "path": "/Users/1", "bulkId": "b"},
    ]));
    for place in [0, 2] {
        let (kind, said) = error(&read.operations[place]);
        assert_eq!(kind, ScimType::InvalidValue);
        assert!(said.contains("more than one POST"), "{said}");
    }
    assert!(
        read.operations[1].asked.is_ok(),
        "it fails when it is tried"
    );
    assert!(read.operations[3].asked.is_ok());
}

#[test]
fn circles_are_refused_and_those_beside_them_are_not() {
    let read = bulk(json!([
        post("a", json!({"x": "bulkId:b"})),
        post("b", json!({"x": ["bulkId:a"]})),
        post("c", json!({"x": "bulkId:a"})),
        post("d", json!({"x": "bulkId:d"})),
        post("e", json!({})),
    ]));
    let circular: Vec<_> = (0..5)
        .filter(|place| matches!(read.operations[*place].asked, Err(Refused::Circular)))
        .collect();
    assert_eq!(circular, [0, 1, 3]);
    assert_eq!(read.order, [0, 1, 2, 3, 4]);
}

#[test]
fn only_what_is_referred_to_comes_before_its_turn() {
    let patch = |path: &str, data: Value| json!({"method": "PATCH", "path": path, "data": data});
    let read = bulk(json!([
        patch("/Groups/1", json!({"x": "bulkId:q"})),
        patch("/Groups/2", json!({})),
        {"method": "DELETE", "path": "groups/1"},
        patch("/Groups/1", json!({})),
        post("q", json!({})),
        {"method": "DELETE", "path": "/Groups/bulkId:q"},
    ]));
    assert_eq!(read.order, [4, 0, 1, 2, 3, 5]);
    assert!(
        read.operations
            .iter()
            .all(|operation| operation.asked.is_ok())
    );
}

#[test]
fn references_are_found_where_ids_stand_and_nowhere_else() {
    let data = json!({
        "whole": "bulkId:a",
        "url": "https://h/scim/Users/bulkId:b/c",
        "filter": "members[value eq \"bulkId:a\" or value eq \"bulkId:d\"]",
        "text": "see bulkId:nobody",
        "open": "\"bulkId:nobody",
        "bulkId:nobody": [{"deep": "bulkId:d"}],
    });
    let mut read = bulk(json!([
        {"method": "PUT", "path": "Groups/bulkId:g", "data": data},
        post("a", json!({})), post("b/c", json!({})), post("d", json!({})), post("g", json!({})),
    ]));
    assert_eq!(read.order, [1, 2, 3, 4, 0]);
    let asked = read.operations[0].asked.as_mut().unwrap();
    let ids = ["", "ID-A", "ID-B", "ID-D", "ID-G"];
    asked.resolve(|place| ids.get(place).copied()).unwrap();
    assert_eq!(asked.path, "Groups/ID-G");
    assert_eq!(
        asked.data,
        json!({
            "whole": "ID-A",
            "url": "https://h/scim/Users/ID-B",
            "filter": "members[value eq \"ID-A\" or value eq \"ID-D\"]",
            "text": "see bulkId:nobody",
            "open": "\"bulkId:nobody",
            "bulkId:nobody": [{"deep": "ID-D"}],
        })
    );
}

#[test]
fn a_reference_to_what_was_not_made_says_which() {
    let mut read = bulk(json!([
        post("a", json!({})),
        post("b", json!({"x": "bulkId:a", "y": "bulkId:a"})),
    ]));
    let asked = read.operations[1].asked.as_mut().unwrap();
    assert_eq!(asked.references().collect::<Vec<_>>(), [0]);
    assert_eq!(asked.resolve(|_| None), Err("a".to_owned()));
    assert_eq!(asked.data["x"], "bulkId:a");
}

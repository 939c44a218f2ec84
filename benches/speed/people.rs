//! The people, groups and messages that the load sends.

use hyper::Method;
use serde_json::{Value, json};

use crate::client::Asked;

/// The person with this number, as Entra sends one.
pub fn person(number: usize) -> Value {
    json!({
        "schemas": [
            "urn:ietf:params:scim:schemas:core:2.0:User",
            "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User"
        ],
        "externalId": external_id(number),
        "userName": user_name(number),
        "displayName": format!("Person Number {number}"),
        "active": true,
        "name": {"givenName": "Person", "familyName": format!("Number {number}")},
        "title": "Engineer",
        "emails": [{"type": "work", "value": user_name(number), "primary": true}],
        "phoneNumbers": [{"type": "mobile", "value": "+49 30 1234567"}],
        "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User": {
            "department": "Sales", "employeeNumber": number.to_string()
        }
    })
}

/// userName of a person.
pub fn user_name(number: usize) -> String {
    format!("person{number}@example.test")
}

/// externalId of a person.
pub fn external_id(number: usize) -> String {
    format!("0a21f0f2-8d2a-4f8e-bf98-{number:012}")
}

/// A query for the users whose `attribute` is `value`.
pub fn find(attribute: &str, value: &str) -> Asked {
    let value = value.replace('@', "%40");
    let path = format!("/Users?filter={attribute}+eq+%22{value}%22");
    (Method::GET, path, None)
}

/// Makes the person with this number.
pub fn create(number: usize) -> Asked {
    (Method::POST, "/Users".to_owned(), Some(person(number)))
}

/// Makes a group with these members.
pub fn group(name: &str, members: &[String]) -> Asked {
    let members: Vec<_> = members.iter().map(|id| json!({"value": id})).collect();
    let schemas = ["urn:ietf:params:scim:schemas:core:2.0:Group"];
    let group = json!({"schemas": schemas, "displayName": name, "members": members});
    (Method::POST, "/Groups".to_owned(), Some(group))
}

/// A PATCH with one operation.
pub fn patch(endpoint: &str, id: &str, operation: Value) -> Asked {
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:PatchOp"];
    let patch = json!({"schemas": schemas, "Operations": [operation]});
    (Method::PATCH, format!("/{endpoint}/{id}"), Some(patch))
}

/// A bulk request that makes the people with these numbers.
pub fn bulk(numbers: std::ops::Range<usize>) -> Asked {
    let operations: Vec<_> = numbers
        .map(|number| {
            json!({"method": "POST", "path": "/Users", "bulkId": number.to_string(), "data": person(number)})
        })
        .collect();
    let schemas = ["urn:ietf:params:scim:api:messages:2.0:BulkRequest"];
    let bulk = json!({"schemas": schemas, "Operations": operations});
    (Method::POST, "/Bulk".to_owned(), Some(bulk))
}

//! The messages that are no resources: errors and lists, and the URNs by which messages are known. Only JSON is made
//! here; status codes and headers are the server's.

use serde::Serialize;
use serde_json::{Value, json};

use super::{Object, ScimType};

/// URN of an error (RFC 7644 §3.12).
pub const ERROR_URN: &str = "urn:ietf:params:scim:api:messages:2.0:Error";
/// URN of a list of resources (RFC 7644 §3.4.2).
pub const LIST_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:ListResponse";
/// URN of a query in a body (RFC 7644 §3.4.3).
pub const SEARCH_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:SearchRequest";
/// URN of a PATCH (RFC 7644 §3.5.2).
pub const PATCH_OP_URN: &str = "urn:ietf:params:scim:api:messages:2.0:PatchOp";
/// URN of a bulk request (RFC 7644 §3.7).
pub const BULK_REQUEST_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkRequest";
/// URN of the answer to a bulk request (RFC 7644 §3.7).
pub const BULK_RESPONSE_URN: &str = "urn:ietf:params:scim:api:messages:2.0:BulkResponse";

/// An error's body (RFC 7644 §3.12). `status` goes out as a string: numbers are not understood everywhere (C-79).
pub fn error(status: u16, scim_type: Option<ScimType>, detail: &str) -> Object {
    let mut body = Object::new();
    body.insert("schemas".into(), json!([ERROR_URN]));
    body.insert("status".into(), status.to_string().into());
    if let Some(scim_type) = scim_type {
        body.insert("scimType".into(), scim_type.as_str().into());
    }
    body.insert("detail".into(), detail.into());
    body
}

/// Where in the whole list a page stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Position {
    /// The page starts at this index, counted from 1 (RFC 7644 §3.4.2.4, C-74).
    Index(u64),
    /// The cursor of the page that follows; none on the last one (RFC 9865 §2).
    Cursor(Option<String>),
}

/// A page of a list as JSON, made of `resources` as JSON (RFC 7644 §3.4.2); `total` counts all pages. An empty list keeps
/// its `Resources` (C-01).
pub fn list_response<R: AsRef<[u8]>>(total: u64, position: Position, resources: &[R]) -> Vec<u8> {
    #[derive(Serialize)]
    #[serde(rename_all = "camelCase")]
    struct Head<'a> {
        schemas: [&'a str; 1],
        total_results: u64,
        #[serde(skip_serializing_if = "Option::is_none")]
        start_index: Option<u64>,
        #[serde(skip_serializing_if = "Option::is_none")]
        next_cursor: Option<String>,
        items_per_page: usize,
    }
    let (start_index, next_cursor) = match position {
        Position::Index(start) => (Some(start), None),
        Position::Cursor(next) => (None, next),
    };
    // Numbers and texts always serialise.
    let mut list = serde_json::to_vec(&Head {
        schemas: [LIST_RESPONSE_URN],
        total_results: total,
        start_index,
        next_cursor,
        items_per_page: resources.len(),
    })
    .unwrap_or_default();
    let bytes = resources.iter().map(|resource| resource.as_ref().len() + 1);
    list.reserve_exact(bytes.sum::<usize>() + 16);
    list.pop();
    list.extend_from_slice(b",\"Resources\":[");
    for (place, resource) in resources.iter().enumerate() {
        if place > 0 {
            list.push(b',');
        }
        list.extend_from_slice(resource.as_ref());
    }
    list.extend_from_slice(b"]}");
    list
}

/// The answer to a bulk request with what came of each operation (RFC 7644 §3.7).
pub fn bulk_response(operations: Vec<Object>) -> Object {
    let operations = operations.into_iter().map(Value::Object).collect();
    let mut body = Object::new();
    body.insert("schemas".into(), json!([BULK_RESPONSE_URN]));
    body.insert("Operations".into(), Value::Array(operations));
    body
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_have_a_string_status() {
        assert_eq!(
            Value::Object(error(409, Some(ScimType::Uniqueness), "taken")),
            json!({"schemas": [ERROR_URN], "status": "409", "scimType": "uniqueness", "detail": "taken"})
        );
        assert_eq!(
            Value::Object(error(404, None, "Resource U9 not found")),
            json!({"schemas": [ERROR_URN], "status": "404", "detail": "Resource U9 not found"})
        );
    }

    #[test]
    fn lists_say_where_they_stand() {
        let read = |list: Vec<u8>| serde_json::from_slice::<Value>(&list).unwrap();
        assert_eq!(
            read(list_response::<&str>(0, Position::Index(1), &[])),
            json!({"schemas": [LIST_RESPONSE_URN], "totalResults": 0, "startIndex": 1, "itemsPerPage": 0,
                   "Resources": []}),
            "C-01"
        );
        let two = [r#"{"id":"U1"}"#, r#"{"id":"U2"}"#];
        assert_eq!(
            read(list_response(7, Position::Cursor(Some("c".into())), &two)),
            json!({"schemas": [LIST_RESPONSE_URN], "totalResults": 7, "nextCursor": "c", "itemsPerPage": 2,
                   "Resources": [{"id": "U1"}, {"id": "U2"}]})
        );
        let last = read(list_response::<&str>(0, Position::Cursor(None), &[]));
        assert!(last.get("nextCursor").is_none());
    }
}

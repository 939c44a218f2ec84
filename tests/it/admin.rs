//! The admin API as a client meets it that reads nothing but the OpenAPI document: every answer of every test is held
//! against that document.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::app::TestApp;
use crate::client::{Answer, Client};

/// Where the API is.
const BASE: &str = "/api/v1";

/// An operation of the document.
pub struct Operation {
    pub id: String,
    pub method: String,
    pub path: String,
    pub description: Value,
    /// Media type and schema of each response that has a body, by status or `default`.
    responses: BTreeMap<String, Option<(String, Value)>>,
}

/// A client of the admin API, with a token.
#[derive(Clone)]
pub struct Admin {
    client: Client,
    document: Arc<Value>,
    operations: Arc<Vec<Operation>>,
}

impl Admin {
    /// A client with the administrator's token.
    pub async fn new(app: &TestApp) -> Self {
        let client = app.admin_client();
        let path = format!("{BASE}/openapi.json");
        let anyone = client.with_token(None);
        let document = anyone.exchange("GET", &path, &[], None).await.unwrap();
        let document = document.expect(200).json;
        Self {
            client,
            operations: Arc::new(operations(&document)),
            document: Arc::new(document),
        }
    }

    /// The same client with another token, none for an anonymous one.
    pub fn with_token<'a>(&self, token: impl Into<Option<&'a str>>) -> Self {
        Self {
            client: self.client.with_token(token),
            ..self.clone()
        }
    }

    /// All operations of the document.
    pub fn operations(&self) -> &[Operation] {
        &self.operations
    }

    /// One request below the base; null for no body.
    pub async fn call(&self, method: &str, path: &str, body: Value) -> Answer {
        let body = (!body.is_null()).then(|| body.to_string().into_bytes());
        let headers = [("content-type", "application/json")];
        let headers = if body.is_some() { &headers[..] } else { &[] };
        self.send(method, path, headers, body).await
    }

    /// GET below the base.
    pub async fn get(&self, path: &str) -> Answer {
        self.call("GET", path, Value::Null).await
    }

    /// One request below the base, whose answer has to be as the document says.
    pub async fn send(
        &self,
        method: &str,
        path: &str,
        headers: &[(&str, &str)],
        body: Option<Vec<u8>>,
    ) -> Answer {
        let url = format!("{BASE}{path}");
        let answer = self.client.exchange(method, &url, headers, body).await;
        let answer = answer.unwrap_or_else(|error| panic!("{method} {path}: {error:?}"));
        self.check(method, path, &answer);
        answer
    }

    #[track_caller]
    fn check(&self, method: &str, path: &str, answer: &Answer) {
        let shown = format!("{method} {path} -> {} {}", answer.status, answer.json);
        assert!(!answer.request_id().is_empty(), "{shown}");
        let media_type = answer.header("content-type");
        if answer.status >= 400 {
            assert_eq!(answer.json["status"], answer.status, "{shown}");
            assert_eq!(answer.json["request_id"], answer.request_id(), "{shown}");
            assert_eq!(media_type, "application/problem+json", "{shown}");
        }
        if answer.status == 401 {
            assert_eq!(answer.header("www-authenticate"), "Bearer", "{shown}");
        }
        let path = path.split('?').next().unwrap();
        let fits =
            |operation: &&Operation| operation.method == method && is_of(&operation.path, path);
        let fitting = self.operations.iter().filter(fits);
        let Some(operation) = fitting.min_by_key(|operation| operation.path.contains('{')) else {
            return;
        };
        let status = answer.status.to_string();
        let responses = &operation.responses;
        let response = responses.get(&status).or_else(|| responses.get("default"));
        match response.unwrap() {
            None => assert!(answer.json.is_null(), "{shown}"),
            Some((described, schema)) => {
                assert_eq!(media_type, described, "{shown}");
                assert_fits(&answer.json, schema, &self.document, &shown);
            }
        }
    }
}

/// Whether a path is one of a template.
fn is_of(template: &str, path: &str) -> bool {
    let (template, path) = (template.split('/'), path.split('/'));
    template.clone().count() == path.clone().count()
        && template
            .zip(path)
            .all(|(template, part)| template.starts_with('{') || template == part)
}

fn operations(document: &Value) -> Vec<Operation> {
    let mut operations = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, description) in item.as_object().unwrap() {
            let responses = description["responses"].as_object().unwrap().iter();
            let responses = responses.map(|(status, response)| {
                let content = response.get("content").map(|content| {
                    let content = content.as_object().unwrap();
                    assert_eq!(content.len(), 1, "{path}");
                    let (media_type, content) = content.iter().next().unwrap();
                    (media_type.clone(), content["schema"].clone())
                });
                (status.clone(), content)
            });
            operations.push(Operation {
                id: description["operationId"].as_str().unwrap().to_owned(),
                method: method.to_uppercase(),
                path: path.clone(),
                responses: responses.collect(),
                description: description.clone(),
            });
        }
    }
    operations
}

/// Asserts that a value is as its JSON Schema in `document` says, an object without members that are not described. A
/// keyword that is not known here fails, so that none is passed over.
fn assert_fits(value: &Value, schema: &Value, document: &Value, at: &str) {
    if let Some(why) = misfit(value, schema, document) {
        panic!("{at}: {why}");
    }
}

/// What is wrong with a value, if anything is.
fn misfit(value: &Value, schema: &Value, document: &Value) -> Option<String> {
    if schema.is_boolean() {
        return (schema == false).then(|| format!("{value} is not described"));
    }
    schema
        .as_object()
        .unwrap()
        .iter()
        .find_map(|(keyword, rule)| {
            let held = match keyword.as_str() {
                "description" | "format" | "default" => true,
                "$ref" => {
                    let pointer = rule.as_str().unwrap().strip_prefix('#').unwrap();
                    return misfit(value, document.pointer(pointer).unwrap(), document);
                }
                "anyOf" => {
                    let mut schemas = rule.as_array().unwrap().iter();
                    schemas.any(|schema| misfit(value, schema, document).is_none())
                }
                "type" => match rule {
                    Value::Array(types) => types.iter().any(|it| is(value, it.as_str().unwrap())),
                    one => is(value, one.as_str().unwrap()),
                },
                "enum" => rule.as_array().unwrap().contains(value),
                "minimum" => value.as_f64().is_none_or(|it| it >= rule.as_f64().unwrap()),
                "maximum" => value.as_f64().is_none_or(|it| it <= rule.as_f64().unwrap()),
                "required" => {
                    let mut names = rule.as_array().unwrap().iter();
                    names.all(|name| value.get(name.as_str().unwrap()).is_some())
                }
                "items" => {
                    let mut items = value.as_array().into_iter().flatten();
                    return items.find_map(|item| misfit(item, rule, document));
                }
                "properties" => {
                    let mut members = value.as_object().into_iter().flatten();
                    return members.find_map(|(name, member)| match rule.get(name) {
                        Some(schema) => {
                            misfit(member, schema, document).map(|it| format!("{name}: {it}"))
                        }
                        None => Some(format!("{name} is not described")),
                    });
                }
                "additionalProperties" => *rule == true || schema.get("properties").is_some(),
                other => panic!("{other} is no keyword that this test knows: {schema}"),
            };
            (!held).then(|| format!("{keyword} {rule} does not hold of {value}"))
        })
}

fn is(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        other => panic!("{other} is no type of JSON Schema"),
    }
}

/// Every reference within a value.
fn references(value: &Value, found: &mut Vec<String>) {
    match value {
        Value::Object(members) => {
            let reference = members.get("$ref").and_then(Value::as_str);
            found.extend(reference.map(str::to_owned));
            members
                .values()
                .for_each(|member| references(member, found));
        }
        Value::Array(items) => items.iter().for_each(|item| references(item, found)),
        _ => {}
    }
}

#[tokio::test]
async fn the_document_is_one_of_openapi_3_1() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let document = &*admin.document;
    assert_eq!(document["openapi"], "3.1.0");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let schemas = document["components"]["schemas"].as_object().unwrap();
    for (name, schema) in schemas {
        assert_eq!(schema["type"], "object", "{name}");
    }
    let mut found = Vec::new();
    references(document, &mut found);
    assert!(!found.is_empty());
    for reference in &found {
        let pointer = reference.strip_prefix('#').unwrap();
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
    for name in schemas.keys() {
        let reference = format!("#/components/schemas/{name}");
        assert!(found.contains(&reference), "nothing refers to {name}");
    }
    let mut ids: Vec<_> = admin.operations().iter().map(|it| &it.id).collect();
    let all = ids.len();
    ids.sort();
    ids.dedup();
    assert_eq!(ids.len(), all, "an operation's id is its own");
    for operation in admin.operations() {
        let description = &operation.description;
        assert!(description["summary"].is_string(), "{}", operation.id);
        let parameters = description["parameters"].as_array();
        let in_path = |it: &&Value| it["in"] == "path";
        let parameters = parameters.map_or(0, |all| all.iter().filter(in_path).count());
        assert_eq!(parameters, operation.path.matches('{').count());
        for response in description["responses"].as_object().unwrap().values() {
            assert!(response["description"].is_string(), "{}", operation.id);
        }
    }
}

#[tokio::test]
async fn every_path_answers_head_options_and_other_methods() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    for operation in admin.operations() {
        let path = operation.path.replace("{id}", "x").replace("{name}", "x");
        let options = admin.call("OPTIONS", &path, Value::Null).await.expect(204);
        let allow = options.header("allow").to_owned();
        assert!(allow.split(", ").any(|it| it == operation.method), "{path}");
        let wrong = admin.call("PUT", &path, json!({})).await.expect(405);
        assert_eq!(wrong.header("allow"), allow, "{path}");
        assert_eq!(wrong.json["type"], "about:blank");
        let audited = app.audited(wrong.request_id());
        assert_eq!(
            (&audited["verdict"], &audited["status"]),
            (&json!("refused"), &json!(405))
        );
        if operation.method == "GET" {
            let got = admin.get(&path).await;
            let url = format!("{BASE}{path}/");
            let head = admin.client.exchange("HEAD", &url, &[], None).await;
            let head = head.unwrap().expect(got.status);
            assert_eq!(head.json, Value::Null);
            assert_eq!(head.header("content-type"), got.header("content-type"));
        }
    }
    admin.get("/nothing").await.expect(404);
    admin.get("/accounts/a/b/c").await.expect(404);
    admin.get("//accounts//").await.expect(200);
    admin.with_token(None).get("/nothing").await.expect(401);
}

#[tokio::test]
async fn a_supervisor_needs_no_token() {
    let app = TestApp::start();
    let anyone = app.admin_client().with_token(None);
    for (method, path, status, title) in [
        ("GET", "/healthz", 200, Value::Null),
        ("GET", "/readyz", 200, Value::Null),
        ("POST", "/readyz", 405, json!("Method Not Allowed")),
        ("GET", "/", 404, json!("Not Found")),
        ("GET", "/scim/Users", 404, json!("Not Found")),
        ("GET", "/api", 404, json!("Not Found")),
    ] {
        let answer = anyone.exchange(method, path, &[], None).await.unwrap();
        let answer = answer.expect(status);
        assert_eq!(answer.json["title"], title, "{method} {path}");
        assert!(!answer.request_id().is_empty());
    }
}

#[tokio::test]
async fn what_cannot_be_understood_is_refused_and_recorded() {
    let app = TestApp::start();
    let admin = Admin::new(&app).await;
    let json_type = [("content-type", "application/json")];
    let deep = format!("{}{}", "[".repeat(65), "]".repeat(65));
    let large = format!("{{\"name\": \"{}\"}}", "x".repeat(1024 * 1024));
    let of = |text: &str| Some(text.as_bytes().to_vec());
    for (headers, body, status, says) in [
        (&json_type[..], of("{"), 400, "not JSON"),
        (&json_type, of("[]"), 400, "invalid"),
        (&json_type, of(&deep), 400, "deeper than 64"),
        (&json_type, of(&large), 413, "larger than"),
        (&json_type, None, 400, "missing field `name`"),
        (
            &json_type,
            of(r#"{"nam": "x"}"#),
            400,
            "unknown field `nam`, expected one of `name`",
        ),
        (
            &json_type,
            of(r#"{"name": "x", "max_users": -1}"#),
            400,
            "max_users",
        ),
        (
            &json_type,
            of(r#"{"name": "x", "delete_after_days": 0}"#),
            400,
            "delete_after_days",
        ),
        (
            &[("content-type", "text/plain")],
            of(r#"{"name": "x"}"#),
            415,
            "application/json",
        ),
        (
            &[("content-type", "")],
            of(r#"{"name": "x"}"#),
            415,
            "application/json",
        ),
    ] {
        let answer = admin.send("POST", "/profiles", headers, body).await;
        let answer = answer.expect(status);
        assert!(answer.detail().contains(says), "{says}: {}", answer.json);
        let row = app.audited(answer.request_id());
        assert_eq!(row["action"], "profile.add");
        assert_eq!(
            (&row["verdict"], &row["status"]),
            (&json!("refused"), &json!(status))
        );
    }
    let merge = [(
        "content-type",
        "application/merge-patch+json; charset=utf-8",
    )];
    let edit = admin.send(
        "PATCH",
        "/profiles/Default",
        &merge,
        of("{\"max_users\": 9}"),
    );
    assert_eq!(edit.await.expect(200).json["max_users"], 9);
    for query in [
        "/accounts?limt=1",
        "/accounts?limit=0",
        "/accounts?limit=x",
        "/accounts?limit=1&limit=2",
        "/accounts?cursor=-1",
        "/accounts?cursor=%2B1",
        "/accounts?cursor=99999999999999999999",
        "/accounts?status=gone",
        "/accounts?filter=userName%20xx",
        "/audit?cursor=1",
        "/profiles?limit=1",
    ] {
        admin.get(query).await.expect(400);
    }
    let filter = admin.get("/accounts?filter=userName%20xx").await;
    assert_eq!(filter.json["type"], "/problems/invalidFilter");
    let long = format!("/accounts?filter={}", "x".repeat(9000));
    admin.get(&long).await.expect(414);
    let body = Some(b"{\"reason\": \"x\"}".to_vec());
    let answer = admin
        .send("POST", "/accounts/x/preserve", &json_type, body)
        .await;
    answer.expect(400);
    admin.get("/accounts/a%2Fb%00%FF").await.expect(404);
}

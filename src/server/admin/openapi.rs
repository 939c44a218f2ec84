//! The OpenAPI 3.1 document of the admin API, made from the table of routes and the types of its handlers.

use std::sync::LazyLock;
use std::time::Duration;

use schemars::generate::SchemaSettings;
use schemars::{Schema, SchemaGenerator};
use serde_json::{Map, Value, json};

use super::problem::Problem;
use super::route::{Call, Need, Route, Shown};
use crate::scim::Object;
use crate::server::answer::Failure;

/// Made from the table at its first use. It is the same for every appliance of a version.
static DOCUMENT: LazyLock<Object> = LazyLock::new(|| document(&super::routes()));

pub(super) fn routes() -> Vec<Route> {
    vec![
        Route::read(
            "/openapi.json",
            "openapi",
            "This document; it needs no token",
            show,
        )
        .open(),
    ]
}

async fn show(_: Call) -> Result<Shown<&'static Object>, Failure> {
    Ok(Shown(&DOCUMENT))
}

/// Schemas as they are sent and as they are answered: what may be left out of one is always in the other.
struct Generators {
    asked: SchemaGenerator,
    told: SchemaGenerator,
}

fn document(routes: &[Route]) -> Object {
    let settings = || {
        SchemaSettings::draft2020_12().with(|settings| {
            settings.definitions_path = "/components/schemas".into();
            settings.meta_schema = None;
        })
    };
    let mut generators = Generators {
        asked: settings().into_generator(),
        told: settings().for_serialize().into_generator(),
    };
    let mut paths = Map::new();
    for route in routes {
        let path = paths.entry(route.path).or_insert_with(|| json!({}));
        if let Some(path) = path.as_object_mut() {
            let method = route.method.as_str().to_ascii_lowercase();
            path.insert(method, operation(route, &mut generators));
        }
    }
    let mut schemas = generators.asked.take_definitions(true);
    schemas.extend(generators.told.take_definitions(true));
    let document = json!({
        "openapi": "3.1.0",
        "info": {
            "title": "Scimlite admin API",
            "version": env!("CARGO_PKG_VERSION"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/api/v1"}],
        "paths": paths,
        "components": {
            "schemas": schemas,
            "securitySchemes": {"token": {
                "type": "http",
                "scheme": "bearer",
                "description": "A token of scope read for reading, of scope admin for everything",
            }},
        },
    });
    match document {
        Value::Object(document) => document,
        _ => Object::new(),
    }
}

fn operation(route: &Route, generators: &mut Generators) -> Value {
    let mut parameters = Vec::new();
    let names = route.path.split('/');
    let name = names.filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'));
    parameters.extend(name.map(
        |name| json!({"name": name, "in": "path", "required": true, "schema": {"type": "string"}}),
    ));
    if let Some(query) = route.query {
        let schema = query(&mut generators.asked);
        parameters.extend(in_query(&schema, &mut generators.asked));
    }
    let mut operation = Map::new();
    operation.insert("operationId".to_owned(), route.name.into());
    operation.insert("summary".to_owned(), route.summary.into());
    let tag = route.path.split('/').nth(1).unwrap_or_default();
    operation.insert("tags".to_owned(), json!([tag]));
    let security = match route.need {
        Need::Nothing => json!([]),
        Need::Read => json!([{"token": ["read"]}, {"token": ["admin"]}]),
        Need::Admin => json!([{"token": ["admin"]}]),
    };
    operation.insert("security".to_owned(), security);
    if !parameters.is_empty() {
        operation.insert("parameters".to_owned(), parameters.into());
    }
    if let Some(body) = route.body {
        let schema = body(&mut generators.asked);
        // Where nothing in it has to be there, it need not be there itself.
        let definition = name_of(&schema).and_then(|name| generators.asked.definitions().get(name));
        let required = definition.is_some_and(|definition| definition.get("required").is_some());
        // A list has to be there, even if it is empty.
        let required = required || schema.get("type") == Some(&json!("array"));
        let content = json!({"application/json": {"schema": schema}});
        let body = json!({"required": required, "content": content});
        operation.insert("requestBody".to_owned(), body);
    }
    let responses = responses(route, &mut generators.told);
    operation.insert("responses".to_owned(), responses);
    operation.into()
}

/// The name under which the schema stands in the components.
fn name_of(schema: &Schema) -> Option<&str> {
    schema.get("$ref")?.as_str()?.rsplit('/').next()
}

/// The properties of a query's schema as parameters.
fn in_query(schema: &Schema, generator: &mut SchemaGenerator) -> Vec<Value> {
    let name = name_of(schema).unwrap_or_default();
    // It stands in the parameters alone.
    let Some(query) = generator.definitions_mut().remove(name) else {
        return Vec::new();
    };
    let required = query.get("required").and_then(Value::as_array);
    let properties = query.get("properties").and_then(Value::as_object);
    let parameter = |(name, schema): (&String, &Value)| {
        let mut schema = schema.clone();
        let description = schema
            .as_object_mut()
            .and_then(|it| it.remove("description"));
        let required = required.is_some_and(|required| required.iter().any(|it| it == name));
        json!({"name": name, "in": "query", "required": required, "description": description, "schema": schema})
    };
    properties.into_iter().flatten().map(parameter).collect()
}

/// What may come back.
fn responses(route: &Route, generator: &mut SchemaGenerator) -> Value {
    let mut responses = Map::new();
    let mut done = json!({"description": "Done"});
    if let (Some(schema), Some(done)) = ((route.answer)(generator), done.as_object_mut()) {
        let content = json!({"application/json": {"schema": schema}});
        done.insert("content".to_owned(), content);
    }
    responses.insert(route.status.to_string(), done);
    let problem = generator.subschema_for::<Problem>();
    let mut refused = |status: &str, description: &str| {
        let content = json!({"application/problem+json": {"schema": problem}});
        let response = json!({"description": description, "content": content});
        responses.insert(status.to_owned(), response);
    };
    if route.query.is_some() || route.body.is_some() {
        refused("400", "The query or body is not as described here");
    }
    if route.need != Need::Nothing {
        refused("401", "No token, or none that is valid");
        refused(
            "403",
            "The token's scope does not reach, or a rule forbids it; the detail says which",
        );
    }
    if route.path.contains('{') {
        refused("404", "Nothing has this id or name");
    }
    if route.patience > Duration::ZERO {
        refused(
            "410",
            "The place is of before a pruning or a restore: read all accounts, then go on from the end",
        );
        refused("429", "Too many wait already");
    }
    if route.need == Need::Admin && route.body.is_some() {
        refused("409", "The name is taken");
    }
    if route.body.is_some() {
        refused("413", "The body is too large");
        refused("415", "The body is not JSON");
    }
    refused("default", "Another problem: the detail says what to do");
    responses.into()
}

//! The body of a PATCH read into changes. Tolerant of form: letter case of `op` and of the keys, `schemas`, what else
//! stands beside an operation (C-49, C-104, T-01).

use serde_json::Value;

use super::{Operation, Patch};
use crate::scim::json::take;
use crate::scim::path::Path;
use crate::scim::resource::{Change, Naming, entries, limit_names};
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::{Error, Object, ScimType};

/// Operations in one PATCH. Entra sends some fifty; this bounds the work of one request.
pub(super) const MAX_OPERATIONS: usize = 1_000;

/// The three operations (RFC 7644 §3.5.2).
#[derive(Clone, Copy, PartialEq, Eq)]
enum Op {
    Add,
    Replace,
    Remove,
}

/// Reads a PatchOp message. No operations are no error (C-49).
pub fn parse(body: Value, resource_type: ResourceType, schemas: &Schemas) -> Result<Patch, Error> {
    let Value::Object(mut body) = body else {
        return Err(syntax("the body must be a JSON object"));
    };
    let sent = match take(&mut body, "Operations") {
        Some(Value::Array(operations)) => operations,
        _ => return Err(syntax("Operations must be a list")),
    };
    if sent.len() > MAX_OPERATIONS {
        return Err(Error::new(
            ScimType::TooMany,
            format!("a PATCH can hold {MAX_OPERATIONS} operations at the most"),
        ));
    }
    let mut operations = Vec::with_capacity(sent.len());
    for operation in sent {
        let Value::Object(operation) = operation else {
            return Err(syntax("an operation must be an object"));
        };
        read(operation, &mut operations, resource_type, schemas)?;
        limit_names(operations.len())?;
    }
    Ok(Patch { operations })
}

fn read(
    mut sent: Object,
    operations: &mut Vec<Operation>,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Result<(), Error> {
    let op = op(take(&mut sent, "op"))?;
    let value = take(&mut sent, "value");
    if value.is_none() && op != Op::Remove {
        return Err(Error::new(
            ScimType::InvalidValue,
            "an operation that adds or replaces needs a value",
        ));
    }
    let path = match take(&mut sent, "path") {
        None | Some(Value::Null) => None,
        Some(Value::String(text)) => Some(text.trim().to_owned()).filter(|text| !text.is_empty()),
        Some(_) => return Err(Error::new(ScimType::InvalidPath, "path must be a string")),
    };
    let bag = match (path, value) {
        (None, _) if op == Op::Remove => {
            return Err(Error::new(
                ScimType::NoTarget,
                "an operation that removes needs a path",
            ));
        }
        (None, Some(Value::Object(bag))) => bag,
        (None, _) => {
            return Err(Error::new(
                ScimType::InvalidValue,
                "the value of an operation without a path must be an object",
            ));
        }
        // An object under a schema's URN is a bag of this schema's attributes.
        (Some(text), Some(value @ Value::Object(_)))
            if is_schema(&text, resource_type, schemas) =>
        {
            Object::from_iter([(text, value)])
        }
        (Some(text), value) => {
            operations.push(Operation {
                path: Path::name(&text, resource_type, schemas)?,
                change: op.change(value),
                naming: Naming::Path,
            });
            return Ok(());
        }
    };
    for (path, value) in entries(bag, resource_type, schemas)? {
        operations.push(Operation {
            path,
            change: op.change(Some(value)),
            naming: Naming::Key,
        });
    }
    Ok(())
}

impl Op {
    fn change(self, value: Option<Value>) -> Change {
        match self {
            Self::Add => Change::Add(value.unwrap_or_default()),
            Self::Replace => Change::Replace(value.unwrap_or_default()),
            Self::Remove => Change::Remove(value),
        }
    }
}

fn op(word: Option<Value>) -> Result<Op, Error> {
    let word = word.as_ref().and_then(Value::as_str).unwrap_or_default();
    [
        ("add", Op::Add),
        ("replace", Op::Replace),
        ("remove", Op::Remove),
    ]
    .into_iter()
    .find(|(name, _)| name.eq_ignore_ascii_case(word))
    .map(|(_, op)| op)
    .ok_or_else(|| syntax("op must be add, replace or remove"))
}

fn is_schema(text: &str, resource_type: ResourceType, schemas: &Schemas) -> bool {
    schemas
        .urns(resource_type)
        .iter()
        .any(|urn| urn.eq_ignore_ascii_case(text))
}

fn syntax(detail: &str) -> Error {
    Error::new(ScimType::InvalidSyntax, detail)
}

//! A bulk request read into operations and the order in which they run (RFC 7644 §3.7). What is wrong with one operation
//! is that operation's error; the request goes on. Nothing is carried out here.

mod order;
mod reference;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use serde_json::Value;

use super::json::take;
use super::{Error, ScimType};

/// Operations in one request: each is a write of its own.
pub const MAX_OPERATIONS: usize = 1_000;

/// Bytes of a `bulkId` and of a path. Answers and audit rows repeat them, and no id comes near it.
const MAX_NAME: usize = 1_024;

/// A bulk request.
#[derive(Debug)]
pub struct Bulk {
    /// What it asks for, in the order in which it was sent.
    pub operations: Vec<Operation>,
    /// Every operation once, by its place in `operations`: those that an operation refers to stand before it, all
    /// others as they were sent.
    pub order: Vec<usize>,
    /// After so many errors the rest is not attempted; none: all of it is, whatever fails.
    pub fail_on_errors: Option<u64>,
}

/// One operation. What the answer repeats stands beside what it asks for, because a refused one is answered too.
#[derive(Debug)]
pub struct Operation {
    /// The method; none if it is none of the four.
    pub method: Option<Method>,
    /// The name under which other operations of the request refer to what this one creates.
    pub bulk_id: Option<String>,
    /// The path as sent.
    pub path: Option<String>,
    /// What it asks for, or why that cannot be.
    pub asked: Result<Asked, Refused>,
}

/// The methods of operations.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Method {
    /// Creates a resource.
    Post,
    /// Replaces one.
    Put,
    /// Changes one.
    Patch,
    /// Removes one.
    Delete,
}

/// Why an operation is refused before it is tried.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Refused {
    /// Something in it is wrong.
    Invalid(Error),
    /// It refers to itself, straight or by way of others: 409 (RFC 7644 §3.7.1).
    Circular,
}

/// What an operation asks for.
#[derive(Debug)]
pub struct Asked {
    /// What to do.
    pub method: Method,
    /// With what: a collection or a resource.
    pub path: String,
    /// The version that the resource must have; none for one that is yet to be made.
    pub version: Option<String>,
    /// The body; null for a removal.
    pub data: Value,
    /// The operations that it refers to, by `bulkId`.
    references: BTreeMap<String, usize>,
}

impl Method {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Post => "POST",
            Self::Put => "PUT",
            Self::Patch => "PATCH",
            Self::Delete => "DELETE",
        }
    }

    fn parse(word: &str) -> Option<Self> {
        [Self::Post, Self::Put, Self::Patch, Self::Delete]
            .into_iter()
            .find(|method| method.as_str().eq_ignore_ascii_case(word))
    }
}

impl Asked {
    /// The operations whose resources it refers to.
    pub fn references(&self) -> impl Iterator<Item = usize> {
        self.references.values().copied()
    }

    /// Puts the ids of created resources where the operation refers to them; `id_of` tells the id of what an operation
    /// created. Fails with the first `bulkId` of an operation that created nothing.
    pub fn resolve<'a>(&mut self, id_of: impl Fn(usize) -> Option<&'a str>) -> Result<(), String> {
        let mut ids = BTreeMap::new();
        for (bulk_id, operation) in &self.references {
            let id = id_of(*operation).ok_or_else(|| bulk_id.clone())?;
            ids.insert(bulk_id.as_str(), id);
        }
        if !ids.is_empty() {
            reference::replace(&mut self.path, &ids);
            reference::each_string(&mut self.data, &mut |text| reference::replace(text, &ids));
        }
        Ok(())
    }
}

/// Whether `text` refers to another operation, so that it is no id.
pub fn refers(text: &str) -> bool {
    !reference::bulk_ids(text).is_empty()
}

/// Reads a BulkRequest message. Its keys count in any letter case, `schemas` does not. More than [`MAX_OPERATIONS`] are
/// `tooMany`; the detail names the limit (RFC 7644 §3.7.4).
pub fn parse(body: Value) -> Result<Bulk, Error> {
    let Value::Object(mut body) = body else {
        return Err(invalid(
            ScimType::InvalidSyntax,
            "the body must be a JSON object",
        ));
    };
    let Some(Value::Array(sent)) = take(&mut body, "Operations") else {
        return Err(invalid(
            ScimType::InvalidSyntax,
            "Operations must be a list",
        ));
    };
    if sent.len() > MAX_OPERATIONS {
        let detail = format!(
            "{} operations exceed maxOperations ({MAX_OPERATIONS})",
            sent.len()
        );
        return Err(invalid(ScimType::TooMany, detail));
    }
    let fail_on_errors = fail_on_errors(take(&mut body, "failOnErrors"))?;
    let mut operations: Vec<_> = sent.into_iter().map(read).collect();
    refer(&mut operations);
    let references: Vec<BTreeSet<usize>> = operations
        .iter()
        .map(|operation| match &operation.asked {
            Ok(asked) => asked.references().collect(),
            Err(_) => BTreeSet::new(),
        })
        .collect();
    let (order, circular) = order::order(references);
    for (place, operation) in operations.iter_mut().enumerate() {
        if circular.contains(&place) {
            operation.asked = Err(Refused::Circular);
        }
    }
    Ok(Bulk {
        operations,
        order,
        fail_on_errors,
    })
}

/// The errors that are accepted before the rest is left. 0 stops at the first as 1 does; a negative number, which some
/// clients send for "whatever fails", is none.
fn fail_on_errors(sent: Option<Value>) -> Result<Option<u64>, Error> {
    let number = match &sent {
        None | Some(Value::Null) => return Ok(None),
        Some(Value::String(text)) => text.trim().parse::<i64>().ok(),
        Some(value) => value.as_i64(),
    };
    match number {
        Some(number) => Ok(u64::try_from(number).ok().map(|errors| errors.max(1))),
        None => Err(invalid(
            ScimType::InvalidValue,
            "failOnErrors must be a number",
        )),
    }
}

fn read(sent: Value) -> Operation {
    let Value::Object(mut sent) = sent else {
        return Operation {
            method: None,
            bulk_id: None,
            path: None,
            asked: Err(Refused::Invalid(invalid(
                ScimType::InvalidSyntax,
                "an operation must be an object",
            ))),
        };
    };
    let mut text = |name| match take(&mut sent, name) {
        Some(Value::String(text)) => {
            Some(text).filter(|text| !text.trim().is_empty() && text.len() <= MAX_NAME)
        }
        _ => None,
    };
    let (word, bulk_id, path) = (text("method"), text("bulkId"), text("path"));
    let method = word.as_deref().and_then(|word| Method::parse(word.trim()));
    let version = take(&mut sent, "version");
    let data = take(&mut sent, "data").filter(|data| !data.is_null());
    let asked = asked(method, bulk_id.as_ref(), path.as_ref(), version, data);
    Operation {
        method,
        bulk_id,
        path,
        asked: asked.map_err(Refused::Invalid),
    }
}

/// What an operation asks for. What it refers to is not known yet.
fn asked(
    method: Option<Method>,
    bulk_id: Option<&String>,
    path: Option<&String>,
    version: Option<Value>,
    data: Option<Value>,
) -> Result<Asked, Error> {
    let wrong = |detail: &str| invalid(ScimType::InvalidValue, detail);
    let missing = |what| wrong(&format!("{what}, {MAX_NAME} bytes at the most"));
    let method = method.ok_or_else(|| wrong("method must be POST, PUT, PATCH or DELETE"))?;
    let path = path.ok_or_else(|| missing("an operation needs a path"))?;
    if method == Method::Post && bulk_id.is_none() {
        return Err(missing("a POST needs a bulkId"));
    }
    // A condition that is not understood must not be passed over.
    let version = match version {
        None | Some(Value::Null) => None,
        Some(Value::String(tag)) => {
            Some(tag).filter(|tag| method != Method::Post && !tag.trim().is_empty())
        }
        Some(_) => return Err(wrong("version must be a string")),
    };
    let data = match (method, data) {
        (Method::Delete, _) => Value::Null,
        (_, Some(data)) => data,
        (_, None) => return Err(wrong("an operation that is no DELETE needs data")),
    };
    Ok(Asked {
        method,
        path: path.trim().trim_end_matches('/').to_owned(),
        version,
        data,
        references: BTreeMap::new(),
    })
}

/// Finds out which operation each refers to. Only what a POST creates can be referred to; a `bulkId` that two of them
/// share names neither, so that both are refused.
fn refer(operations: &mut [Operation]) {
    let mut posts: BTreeMap<String, Vec<usize>> = BTreeMap::new();
    for (place, operation) in operations.iter().enumerate() {
        if let Some(bulk_id) = &operation.bulk_id
            && operation.method == Some(Method::Post)
        {
            posts.entry(bulk_id.clone()).or_default().push(place);
        }
    }
    for (place, operation) in operations.iter_mut().enumerate() {
        let Ok(asked) = &mut operation.asked else {
            continue;
        };
        let in_path = reference::bulk_ids(&asked.path);
        let mut in_data = BTreeSet::new();
        let mut note = |text: &mut String| in_data.extend(reference::bulk_ids(text));
        reference::each_string(&mut asked.data, &mut note);
        let post = |name: &String| posts.get(name)?.first().copied();
        let found = match in_path.iter().find(|name| post(name).is_none()) {
            Some(name) => Err(format!("no POST of this request has the bulkId {name}")),
            // It may be the value of an attribute that is dropped, which nothing repeats.
            None if in_data.iter().any(|name| post(name).is_none()) => {
                Err("the data has a bulkId that no POST of this request has".to_owned())
            }
            None => Ok(in_path.into_iter().chain(in_data)),
        };
        let found = found.map(|names| {
            let known = names.filter_map(|name| post(&name).map(|post| (name, post)));
            known.collect()
        });
        let twice = operation.bulk_id.as_ref().filter(|bulk_id| {
            posts
                .get(*bulk_id)
                .is_some_and(|posts| posts.len() > 1 && posts.contains(&place))
        });
        let refused = match (twice, found) {
            (Some(bulk_id), _) => format!("more than one POST has the bulkId {bulk_id}"),
            (None, Err(unknown)) => unknown,
            (None, Ok(references)) => {
                asked.references = references;
                continue;
            }
        };
        operation.asked = Err(Refused::Invalid(invalid(ScimType::InvalidValue, refused)));
    }
}

fn invalid(kind: ScimType, detail: impl Into<String>) -> Error {
    Error::new(kind, detail)
}

//! Resources: how a body becomes what is stored, and what is stored becomes an answer. "Returned as sent" is the rule:
//! names get the letter case of their schema, booleans become booleans, what means "absent" goes; no value is touched
//! otherwise, or the client would send it again for ever.

mod bag;
mod edit;
mod list;
mod render;
mod same;
#[cfg(test)]
mod tests;
mod value;
mod work;

use std::fmt;

use serde_json::Value;

pub(super) use bag::{entries, limit_names};
pub(super) use edit::{Change, Editor, Naming, lists_none};
pub use render::{Meta, SEGMENT, changes, render, render_json};
pub use value::coerce;
pub(super) use value::is_empty;

use super::schema::{ResourceType, Schemas};
use super::{Error, Object, ScimType};

/// A body that was understood.
#[derive(Debug, Clone)]
pub struct Parsed {
    /// What is stored: described attributes at the root, extensions under their URN, never anything that the server
    /// writes itself, and no password.
    pub attributes: Object,
    /// What the mappings may look at and nobody keeps.
    pub transient: Transient,
    /// Names of everything that was sent and is not stored: `company`, `addresses.floor`, `urn:…:User:city`. Values
    /// are never among them.
    pub skipped: Vec<String>,
}

impl Parsed {
    /// Names of all attributes that were sent, stored or not; those of extensions behind their URN.
    pub fn names(&self) -> Vec<String> {
        let mut names = Vec::new();
        for (name, value) in self.attributes.iter().chain(&self.transient.0) {
            match value {
                Value::Object(extension) if name.contains(':') => {
                    names.extend(extension.keys().map(|key| format!("{name}:{key}")));
                }
                _ => names.push(name.clone()),
            }
        }
        distinct(names)
    }
}

/// Attributes that are not stored: those of the custom extension and of unknown ones under their URN, and unknown ones
/// at the root, names and letter case as sent. They are for the mappings alone: Debug shows names only, and nothing
/// writes them out.
#[derive(Clone, Default)]
pub struct Transient(Object);

impl Transient {
    /// The attributes, for the evaluation of the mappings.
    pub fn attributes(&self) -> &Object {
        &self.0
    }
}

impl fmt::Debug for Transient {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_set().entries(self.0.keys()).finish()
    }
}

/// Reads the body of a POST or PUT. Nothing in it is fatal but a value of the wrong type and the lack of a required
/// attribute (C-21, C-26, C-31, T-27, T-29).
pub fn parse(body: Value, resource_type: ResourceType, schemas: &Schemas) -> Result<Parsed, Error> {
    let Value::Object(body) = body else {
        return Err(Error::new(
            ScimType::InvalidSyntax,
            "the body must be a JSON object",
        ));
    };
    let mut editor = Editor::new(Object::new(), resource_type, schemas);
    for (path, value) in entries(body, resource_type, schemas)? {
        editor.change(&path, Change::Replace(value), Naming::Key)?;
    }
    for attribute in schemas.core(resource_type).attributes.iter() {
        if attribute.required && !editor.attributes.contains_key(attribute.name) {
            return Err(Error::new(
                ScimType::InvalidValue,
                format!("{} is required", attribute.name),
            ));
        }
    }
    Ok(Parsed {
        attributes: editor.attributes,
        transient: Transient(editor.transient),
        skipped: distinct(editor.skipped),
    })
}

/// Each name once, in alphabetical order. A key that looks like a path with a filter may hold a value in it: only what
/// stands before the bracket is a name.
pub(super) fn distinct(mut names: Vec<String>) -> Vec<String> {
    for name in &mut names {
        if let Some(bracket) = name.find('[') {
            name.truncate(bracket);
        }
    }
    names.sort_unstable();
    names.dedup();
    names
}

//! Carries out a PATCH on a resource in memory.

use super::Patch;
use crate::scim::resource::{Editor, distinct};
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::{Error, Object};

/// What a PATCH made of a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Patched {
    /// What is stored from now on, in the form in which `resource::parse` gives it.
    pub attributes: Object,
    /// Names, never values, of what was sent and is not stored, and of `active` where it should have been removed.
    pub skipped: Vec<String>,
}

/// Carries out all operations in their order, or none (design §3.11). Unknown attributes are skipped (C-48, T-18).
pub fn apply(
    patch: &Patch,
    attributes: &Object,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Result<Patched, Error> {
    let mut editor = Editor::new(attributes.clone(), resource_type, schemas);
    for operation in &patch.operations {
        editor.change(&operation.path, operation.change.clone(), operation.naming)?;
    }
    Ok(Patched {
        attributes: editor.attributes,
        skipped: distinct(editor.skipped),
    })
}

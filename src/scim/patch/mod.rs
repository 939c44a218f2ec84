//! PATCH (RFC 7644 §3.5.2) as identity providers really send it: both Entra dialects, never told which (C-40..C-69).
//! [`parse()`] makes a list of changes out of a body, one an attribute; [`take_members`] takes those of a group's
//! members out of it; [`apply()`] carries out the rest. A resource goes in and another comes out, so a PATCH that fails
//! has changed nothing.

mod apply;
mod members;
mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use super::path::Path;
use super::resource::{Change, Naming};

pub use apply::{Patched, apply};
pub use members::{MemberChange, Split, members_of, take_members};
pub use parse::parse;

/// A PATCH that was understood.
#[derive(Debug, Clone)]
pub struct Patch {
    /// What to change, in this order (C-66).
    pub operations: Vec<Operation>,
}

/// One change of one attribute. An operation without a path is as many of these as its value has attributes.
#[derive(Clone)]
pub struct Operation {
    path: Path,
    change: Change,
    naming: Naming,
}

/// Names the attribute only: a value, also one in a filter, may be one that nobody may keep.
impl fmt::Debug for Operation {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.path {
            Path::Extension(urn) => f.write_str(urn),
            Path::Attribute(attr) | Path::Element { attr, .. } => fmt::Display::fmt(attr, f),
        }
    }
}

//! Attribute paths: what names an attribute in a filter, a PATCH operation and a projection (RFC 7644 §3.10, C-58,
//! C-61, C-62).

use super::filter::Filter;

/// An attribute, or a sub-attribute of it, with or without its schema's URN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttrPath {
    /// URN before the name, as it was written.
    pub urn: Option<String>,
    /// Name of the attribute, as it was written.
    pub name: String,
    /// Name of the sub-attribute, as it was written.
    pub sub: Option<String>,
}

/// The target of a PATCH operation (RFC 7644 §3.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// A whole schema extension.
    Extension(String),
    /// An attribute or sub-attribute.
    Attribute(AttrPath),
    /// The elements of a multi-valued attribute that match a filter, or a sub-attribute of each: a valuePath.
    Element {
        /// The multi-valued attribute; its `sub` is none.
        attr: AttrPath,
        /// Which elements; names in it are sub-attributes.
        filter: Filter,
        /// The sub-attribute behind the bracket.
        sub: Option<String>,
    },
}

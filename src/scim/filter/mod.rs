//! Filters (RFC 7644 §3.4.2.2): one syntax tree, made by [`parse`], evaluated in memory by [`evaluate`] and lowered to
//! SQL by the store.

pub mod evaluate;
pub mod parse;

use super::path::AttrPath;

/// A filter expression. `emails[type eq "work"].value eq "x"` is held as `emails[type eq "work" and value eq "x"]`,
/// which means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All hold; two terms or more.
    And(Vec<Filter>),
    /// One holds; two terms or more.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The attribute has a value: `pr`.
    Present(AttrPath),
    /// The attribute, or one of its values, compares so with a literal.
    Compare {
        /// The attribute.
        attr: AttrPath,
        /// How.
        op: CompareOp,
        /// With what.
        value: Literal,
    },
    /// One element of a multi-valued attribute matches: a valuePath.
    Element {
        /// The attribute; its `sub` is none.
        attr: AttrPath,
        /// What the element has to match; names in it are sub-attributes.
        filter: Box<Filter>,
    },
}

/// The comparison operators (RFC 7644 table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A JSON string, or an unquoted word (C-14, C-16).
    String(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A JSON number, as it was written.
    Number(serde_json::Number),
    /// `null`
    Null,
}

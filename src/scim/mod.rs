//! The SCIM protocol as pure functions over values: schema, paths, filters, PATCH, queries, messages (RFC 7643,
//! RFC 7644, RFC 9865).
//!
//! Architecture Invariant: nothing here does I/O, reads a clock, knows SQL or HTTP, or imports another layer.

pub mod bulk;
pub mod discovery;
pub mod filter;
pub mod fold;
pub mod json;
pub mod message;
pub mod patch;
pub mod path;
pub mod query;
pub mod resource;
pub mod schema;
pub mod version;

/// A JSON object, in the order in which it was sent.
pub type Object = serde_json::Map<String, serde_json::Value>;

/// The `scimType` of a SCIM error (RFC 7644 §3.12, RFC 9865 §4).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScimType {
    /// The filter's grammar is wrong, or the operator does not fit the attribute.
    InvalidFilter,
    /// The request asks for more than a limit allows.
    TooMany,
    /// A unique value is taken already.
    Uniqueness,
    /// The attribute cannot be changed by a client.
    Mutability,
    /// The body is not JSON, or not the message that the endpoint takes.
    InvalidSyntax,
    /// The `path` of a PATCH operation does not parse.
    InvalidPath,
    /// A PATCH removal names no target.
    NoTarget,
    /// A value is missing, or of the wrong type.
    InvalidValue,
    /// A paging cursor that this server did not make (RFC 9865).
    InvalidCursor,
    /// A page size out of range (RFC 9865).
    InvalidCount,
}

impl ScimType {
    /// The word on the wire.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::InvalidFilter => "invalidFilter",
            Self::TooMany => "tooMany",
            Self::Uniqueness => "uniqueness",
            Self::Mutability => "mutability",
            Self::InvalidSyntax => "invalidSyntax",
            Self::InvalidPath => "invalidPath",
            Self::NoTarget => "noTarget",
            Self::InvalidValue => "invalidValue",
            Self::InvalidCursor => "invalidCursor",
            Self::InvalidCount => "invalidCount",
        }
    }
}

/// What is wrong with a request, in the protocol's terms. The HTTP status is the server's business: all of these are
/// 400 but `Uniqueness`, which is 409.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{detail}")]
pub struct Error {
    /// The kind, for the client's program.
    pub kind: ScimType,
    /// The sentence, for the person who reads the client's log. Never holds a value of a dropped attribute.
    pub detail: String,
}

impl Error {
    /// An error of `kind` that says `detail`.
    pub fn new(kind: ScimType, detail: impl Into<String>) -> Self {
        Self {
            kind,
            detail: detail.into(),
        }
    }
}

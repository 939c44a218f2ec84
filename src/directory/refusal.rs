//! Why the directory did not do what was asked.
//!
//! A refusal has a sentence for the client and a status. The status is a number in the terms of RFC 7644 §3.12, because
//! the audit row records it; what becomes of it on the wire is the server's business. What happened inside is for the
//! log alone.

use crate::scim::{self, ScimType};
use crate::store;

/// Why a change or a read was not made.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The request is wrong in the protocol's terms, or a value is taken.
    #[error(transparent)]
    Invalid(#[from] scim::Error),
    /// Nothing has this id.
    #[error("{what} {id} not found")]
    NotFound {
        /// What was looked for: `User`, `token`.
        what: &'static str,
        /// The id that was asked for.
        id: String,
    },
    /// A rule of the directory forbids it; the sentence says what to do.
    #[error("{0}")]
    Forbidden(String),
    /// The resource has not the version that the client wants.
    #[error("the resource has changed: its version is now {0}; read it again")]
    Changed(String),
    /// What was asked for is not there any more; the sentence says how to go on.
    #[error("{0}")]
    Gone(String),
    /// Too many ask for the same at once.
    #[error("{0}")]
    Busy(&'static str),
    /// The machine could not: nothing was changed.
    #[error("the appliance could not do this; its log says why")]
    Failed(String),
    /// The database could not: nothing was changed.
    #[error("the appliance could not store this; its log says why")]
    Store(#[from] store::Error),
}

impl Refusal {
    /// The status that the audit records and the server answers with.
    pub fn status(&self) -> u16 {
        match self {
            Self::Invalid(error) if error.kind == ScimType::Uniqueness => 409,
            Self::Invalid(_) => 400,
            Self::NotFound { .. } => 404,
            Self::Forbidden(_) => 403,
            Self::Changed(_) => 412,
            Self::Gone(_) => 410,
            Self::Busy(_) => 429,
            Self::Failed(_) => 500,
            Self::Store(store::Error::Closed | store::Error::Unavailable(_)) => 503,
            Self::Store(_) => 500,
        }
    }

    /// The `scimType` of the answer.
    pub fn scim_type(&self) -> Option<ScimType> {
        match self {
            Self::Invalid(error) => Some(error.kind),
            _ => None,
        }
    }
}

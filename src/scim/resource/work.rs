//! What the changes of one request may cost. Those of a PATCH are made in the one thread that writes, so a request that
//! takes long holds up all others: operations × values × terms of a filter are counted, and there is an end to it.

use std::slice;

use serde_json::Value;

use crate::scim::filter::{Filter, Literal};
use crate::scim::{Error, ScimType};

/// Steps that the changes of one request may take together. A step is the comparison of one value of a list with
/// another or with one term of a filter; it takes a microsecond at the most, so that nobody waits longer than some
/// 100 ms. A thousand operations with `[type eq "work"]` on lists of a dozen values take a quarter of it; replacing a
/// whole list takes one step for each value that was there.
const MAX_STEPS: usize = 100_000;

/// Bytes of text that make up another step, as folding them takes as long.
const BYTES_A_STEP: usize = 16;

/// ASCII is folded and copied faster, by so much at the least.
const ASCII_ADVANTAGE: usize = 16;

/// The work that a request has left.
pub(super) struct Work(usize);

impl Work {
    pub fn new() -> Self {
        Self(MAX_STEPS)
    }

    /// Counts steps before they are taken; `tooMany` if that is more than one request may take.
    pub fn spend(&mut self, steps: usize) -> Result<(), Error> {
        self.0 = self.0.checked_sub(steps).ok_or_else(|| {
            Error::new(
                ScimType::TooMany,
                "the request compares too many values with one another: send its operations in several requests, or \
                 replace the whole list by one operation",
            )
        })?;
        Ok(())
    }

    /// Counts what it takes to change each of `list`: to try `filter` on it and to write `text` bytes into it.
    pub fn spend_on_each(
        &mut self,
        list: &[Value],
        filter: Option<&Filter>,
        text: usize,
    ) -> Result<(), Error> {
        let (terms, literals) = filter.map_or((0, 0), size);
        let written = list.len().saturating_mul(text.saturating_add(literals)) / BYTES_A_STEP;
        self.spend(weight(list).saturating_mul(terms).saturating_add(written))
    }
}

/// Steps that it takes to look at each of these values once.
pub(super) fn weight(values: &[Value]) -> usize {
    values.len() + values.iter().map(text).sum::<usize>() / BYTES_A_STEP
}

/// [`weight`] of an attribute's value: that of a list is the weight of its elements.
pub(super) fn weight_of(value: &Value) -> usize {
    match value {
        Value::Array(values) => weight(values),
        single => weight(slice::from_ref(single)),
    }
}

/// Bytes of text in a value that count.
pub(super) fn text(value: &Value) -> usize {
    match value {
        Value::String(text) => counted(text),
        Value::Array(values) => values.iter().map(text).sum(),
        Value::Object(members) => members.values().map(text).sum(),
        Value::Null | Value::Bool(_) | Value::Number(_) => 0,
    }
}

fn counted(text: &str) -> usize {
    match text.is_ascii() {
        true => text.len() / ASCII_ADVANTAGE,
        false => text.len(),
    }
}

/// The terms of a filter, and the bytes of text in them that count.
fn size(filter: &Filter) -> (usize, usize) {
    match filter {
        Filter::And(terms) | Filter::Or(terms) => terms
            .iter()
            .map(size)
            .fold((0, 0), |sum, term| (sum.0 + term.0, sum.1 + term.1)),
        Filter::Not(filter) | Filter::Element { filter, .. } => size(filter),
        Filter::Compare {
            value: Literal::String(text),
            ..
        } => (1, counted(text)),
        Filter::Compare { .. } | Filter::Present(_) => (1, 0),
    }
}

//! Names that an administrator gives: to tokens, profiles, storages and mappings.

use super::Refusal;
use crate::scim::{Error, ScimType};

/// Letters of a name at the most: it stands in lines of the log, the audit and tables on a terminal.
const LETTERS: usize = 100;

/// The name without blanks around it; refused if it is empty, too long, or holds control characters.
pub fn checked(what: &str, name: &str) -> Result<String, Refusal> {
    bounded(&format!("the name of a {what}"), name, LETTERS)
}

/// A text of at most `letters` without blanks around it; refused if it is empty, longer, or holds control characters.
pub fn bounded(what: &str, text: &str, letters: usize) -> Result<String, Refusal> {
    let text = text.trim();
    let good = (1..=letters).contains(&text.chars().count()) && !text.contains(char::is_control);
    match good {
        true => Ok(text.to_owned()),
        false => Err(Refusal::Invalid(Error::new(
            ScimType::InvalidValue,
            format!("{what} has 1 to {letters} letters and no control characters"),
        ))),
    }
}

/// The refusal of a name that another has.
pub fn taken(what: &str, name: &str) -> Refusal {
    Refusal::Invalid(Error::new(
        ScimType::Uniqueness,
        format!("there is a {what} {name:?} already"),
    ))
}

/// The refusal of a removal while something uses what would go.
pub fn in_use(what: &str, name: &str, (accounts, mappings): (i64, i64)) -> Refusal {
    Refusal::Forbidden(format!(
        "{what} {name:?} is in use by {accounts} accounts and {mappings} mappings; give them another first"
    ))
}

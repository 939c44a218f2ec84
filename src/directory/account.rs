//! How the account derives from the resource (design §3.1, §3.3).

use serde_json::Value;

use super::audit::Entry;
use crate::scim::Object;
use crate::scim::schema::USER_PRINCIPAL_NAME;
use crate::store::users::{Account, sanitised};

/// The account's words. A displayName that the client left out is made up, and `entry` says from what, unless that is as
/// it was with the attributes `before`.
pub fn derive(
    attributes: &Object,
    before: Option<&Object>,
    custom_urn: &str,
    entry: &mut Entry,
) -> Account {
    let user_name = text(attributes, "userName").unwrap_or_default();
    let (name, from) = named_by(attributes);
    if from != DISPLAY_NAME && before.is_none_or(|before| named_by(before).1 != from) {
        entry.because(format!("no displayName; the account is named by {from}"));
    }
    let upn = attributes
        .get(custom_urn)
        .and_then(|extension| extension.get(USER_PRINCIPAL_NAME)?.as_str());
    Account {
        username: sanitised(user_name),
        email: user_name.to_owned(),
        name: sanitised(&name),
        upn: upn.map(str::to_owned),
    }
}

const DISPLAY_NAME: &str = "displayName";

/// What the account is called, and from where that is.
fn named_by(attributes: &Object) -> (String, &'static str) {
    if let Some(name) = text(attributes, DISPLAY_NAME) {
        return (name.to_owned(), DISPLAY_NAME);
    }
    let part = |name| {
        attributes
            .get("name")
            .and_then(|names| names.get(name)?.as_str())
    };
    if let Some(formatted) = part("formatted") {
        return (formatted.to_owned(), "name.formatted");
    }
    match (part("givenName"), part("familyName")) {
        (Some(given), Some(family)) => (
            format!("{given} {family}"),
            "name.givenName and name.familyName",
        ),
        (Some(given), None) => (given.to_owned(), "name.givenName"),
        (None, Some(family)) => (family.to_owned(), "name.familyName"),
        (None, None) => {
            let user_name = text(attributes, "userName").unwrap_or_default();
            (user_name.to_owned(), "userName")
        }
    }
}

/// A text attribute at the root.
pub fn text<'a>(attributes: &'a Object, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}

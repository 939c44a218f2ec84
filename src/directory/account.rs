//! How the account derives from the resource (design §3.1, §3.3).

use serde_json::Value;

use super::audit::Entry;
use crate::scim::Object;
use crate::scim::schema::USER_PRINCIPAL_NAME;
use crate::store::users::{Account, sanitised};

/// The account's words. A displayName that the client left out is made up and `entry` says from what.
pub fn derive(attributes: &Object, custom_urn: &str, entry: &mut Entry) -> Account {
    let user_name = text(attributes, "userName").unwrap_or_default();
    let name = match text(attributes, "displayName") {
        Some(name) => name.to_owned(),
        None => {
            let (name, from) = stand_in(attributes, user_name);
            entry.because(format!("no displayName; the account is named by {from}"));
            name
        }
    };
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

/// What the account is called without a displayName, and from where that is.
fn stand_in(attributes: &Object, user_name: &str) -> (String, &'static str) {
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
        (None, None) => (user_name.to_owned(), "userName"),
    }
}

/// A text attribute at the root.
pub fn text<'a>(attributes: &'a Object, name: &str) -> Option<&'a str> {
    attributes.get(name).and_then(Value::as_str)
}

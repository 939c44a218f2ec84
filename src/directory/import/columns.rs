//! What a list says of an account, whatever it is written in: the columns are those of the export. A value that cannot be
//! read spoils its account; an unknown column makes the whole list doubtful.

use std::collections::HashMap;
use std::fmt;
use std::str::FromStr;

use serde_json::Value;

use super::Line;
use crate::directory::by_hand::{ByHand, PreservedBy, Quota};
use crate::store::users::Status;

/// Columns that a new account takes, and what they say.
pub const TAKEN: [(&str, &str); 12] = [
    ("email", "Its address, which is its userName."),
    ("name", "What to call the person."),
    (
        "profile",
        "Name of its profile; `Default` if there is none.",
    ),
    (
        "storage",
        "Name of its storage; `Default` if there is none.",
    ),
    (
        "quota_gb",
        "The quota in force in GB; 0 is unlimited. Where it is the profile's, the account follows the profile.",
    ),
    ("upn", "userPrincipalName."),
    (
        "external_id",
        "externalId, by which the identity provider knows the person.",
    ),
    ("status", "`active`, or `preserved`."),
    ("preserved_by", "`idp`, or `admin` if there is none."),
    ("preserved_at", "Since when; from now on if there is none."),
    (
        "legal_hold",
        "Whether it is under legal hold; false if there is none.",
    ),
    (
        "scim_visible",
        "False for the account of a user whom the identity provider deleted.",
    ),
];
/// Columns of an export that a new account has by itself.
const OWN: [&str; 6] = [
    "id",
    "username",
    "managed_by",
    "mapping",
    "created",
    "modified",
];

/// The values of a line under the columns that are taken; none is empty.
pub type Values = HashMap<&'static str, String>;

/// The column of this name; none for one that a new account has by itself. An error for one that is not there.
pub fn column(name: &str) -> Result<Option<&'static str>, String> {
    let same = |known: &&str| known.eq_ignore_ascii_case(name);
    match TAKEN.into_iter().map(|(known, _)| known).find(same) {
        None if OWN.iter().any(same) => Ok(None),
        None => Err(format!(
            "there is no column {name:?}; those there are: {}",
            TAKEN.map(|(known, _)| known).join(", ")
        )),
        found => Ok(found),
    }
}

impl Line {
    /// The account that the values of a line describe.
    pub fn new(number: u64, values: &Values) -> Self {
        Self {
            number,
            email: values.get("email").cloned().unwrap_or_default(),
            account: account(values),
        }
    }

    /// An account in JSON, at this place of the list. An error if it makes the whole list doubtful.
    pub fn from_json(number: u64, element: &Value) -> Result<Self, String> {
        let Value::Object(object) = element else {
            return Ok(Self {
                number,
                email: String::new(),
                account: Err("it is not an object".to_owned()),
            });
        };
        let mut values = Values::new();
        let mut wrong = None;
        for (key, value) in object {
            let column = column(key).map_err(|why| format!("account {number}: {why}"))?;
            let Some(column) = column else { continue };
            let text = match value {
                Value::Null => continue,
                Value::String(text) => text.trim().to_owned(),
                Value::Bool(_) | Value::Number(_) => value.to_string(),
                Value::Array(_) | Value::Object(_) => {
                    wrong = Some(format!("{column} is not a text"));
                    continue;
                }
            };
            if !text.is_empty() {
                values.insert(column, text);
            }
        }
        let line = Self::new(number, &values);
        Ok(match wrong {
            None => line,
            Some(why) => Self {
                account: Err(why),
                ..line
            },
        })
    }
}

/// The account that the values of a line describe.
fn account(values: &Values) -> Result<ByHand, String> {
    let text = |column: &str| values.get(column).cloned();
    let preserved = match read_as("status", values)?.unwrap_or(Status::Active) {
        // Without a word on who did it, it is the administrator who imports it so.
        Status::Preserved => Some((
            read_as("preserved_by", values)?.unwrap_or(PreservedBy::Admin),
            read_as("preserved_at", values)?,
        )),
        Status::Active => None,
    };
    if let (None, Some(column)) = (
        preserved,
        ["preserved_by", "preserved_at"]
            .into_iter()
            .find(|column| values.contains_key(column)),
    ) {
        return Err(format!("it has {column}, but its status is not preserved"));
    }
    let flag = |column, default| match values.get(column).map(String::as_str) {
        None => Ok(default),
        Some("true" | "1") => Ok(true),
        Some("false" | "0") => Ok(false),
        Some(other) => Err(format!("{column} {other:?} is neither true nor false")),
    };
    let quota: Option<u32> = read_as("quota_gb", values)?;
    Ok(ByHand {
        email: text("email").ok_or("it has no email")?,
        name: text("name"),
        upn: text("upn"),
        external_id: text("external_id"),
        profile: text("profile"),
        storage: text("storage"),
        quota: quota.map_or(Quota::OfProfile, |quota| Quota::InForce(quota.into())),
        preserved,
        removed: !flag("scim_visible", true)?,
        legal_hold: flag("legal_hold", false)?,
    })
}

/// The value of a column as what it has to be.
fn read_as<T: FromStr<Err: fmt::Display>>(
    column: &str,
    values: &Values,
) -> Result<Option<T>, String> {
    let read = |text: &String| {
        text.parse()
            .map_err(|error| format!("{column} {text:?}: {error}"))
    };
    values.get(column).map(read).transpose()
}

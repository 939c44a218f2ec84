//! A place in the feed: the number of a row and, as the appliance gives it out, the beginning of its hash. After a restore
//! other rows get the same numbers; by the hash a cursor of before is known, however many have come since.

use std::borrow::Cow;
use std::fmt;
use std::str::FromStr;

use rusqlite::Connection;
use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::Link;
use crate::directory::Refusal;
use crate::store::audit::{self, chain};

/// Digits of the hash: a restored database has the same at the same number once in 2^48 times.
const DIGITS: usize = 12;

/// Where the feed goes on: behind the row with this number. Clients send it back as it is; the `seq` of a row does too.
#[derive(Debug, Clone, PartialEq, Eq, JsonSchema)]
#[schemars(inline, with = "String")]
pub struct Cursor {
    seq: i64,
    hash: Option<String>,
}

impl Cursor {
    /// The one behind a row.
    pub(super) fn at(row: &Link) -> Self {
        Self {
            seq: row.seq,
            hash: Some(row.hash.chars().take(DIGITS).collect()),
        }
    }

    /// The number of the row.
    pub fn seq(&self) -> i64 {
        self.seq
    }

    /// The number, if nothing behind it is lost.
    pub(super) fn place(&self, connection: &Connection) -> Result<i64, Refusal> {
        let (head, pruned) = (audit::head(connection)?, chain::pruned(connection)?);
        let again = format!("read all accounts, then go on after {}", Self::at(&head));
        if self.seq < pruned.seq {
            return Err(Refusal::Gone(format!(
                "changes up to {} were pruned; {again}",
                pruned.seq
            )));
        }
        let same = self.seq <= head.seq
            && match &self.hash {
                None => true,
                Some(hash) => {
                    chain::at(connection, self.seq)?.is_some_and(|row| row.hash.starts_with(hash))
                }
            };
        match same {
            true => Ok(self.seq),
            false => Err(Refusal::Gone(format!(
                "the change {self} is not of this database, or of it before a restore; {again}"
            ))),
        }
    }
}

impl fmt::Display for Cursor {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.hash {
            None => write!(formatter, "{}", self.seq),
            Some(hash) => write!(formatter, "{}-{hash}", self.seq),
        }
    }
}

impl FromStr for Cursor {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        let (seq, hash) = match text.split_once('-') {
            None => (text, None),
            Some((seq, hash)) => (seq, Some(hash)),
        };
        let digits = seq.bytes().all(|byte| byte.is_ascii_digit());
        let hex =
            |hash: &str| hash.len() == DIGITS && hash.bytes().all(|byte| byte.is_ascii_hexdigit());
        match seq.parse() {
            Ok(seq) if digits && hash.is_none_or(hex) => Ok(Self {
                seq,
                hash: hash.map(str::to_ascii_lowercase),
            }),
            _ => Err(
                "no place in the audit; take the `next` of the answer before, the `seq` of a row, or 0 for all",
            ),
        }
    }
}

impl<'de> Deserialize<'de> for Cursor {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = Cow::<str>::deserialize(deserializer)?;
        text.parse().map_err(de::Error::custom)
    }
}

impl Serialize for Cursor {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

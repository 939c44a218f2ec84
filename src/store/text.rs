//! How values stand in the tables: instants as sortable text, words as checked text, objects as JSON.

use jiff::Timestamp;
use rusqlite::types::Type;

use super::Error;
use crate::scim::Object;

/// An instant as the tables hold it: UTC, always with milliseconds.
pub fn instant(at: Timestamp) -> String {
    format!("{at:.3}")
}

/// Reads an instant back.
pub fn parse_instant(column: usize, text: &str) -> Result<Timestamp, rusqlite::Error> {
    text.parse()
        .map_err(|error: jiff::Error| unreadable(column, error))
}

/// Reads a JSON object back.
pub fn parse_object(column: usize, text: &str) -> Result<Object, rusqlite::Error> {
    serde_json::from_str(text).map_err(|error| unreadable(column, error))
}

/// A JSON object as the tables hold it.
pub fn object(object: &Object) -> Result<String, Error> {
    serde_json::to_string(object).map_err(|error| Error::Sqlite(error.to_string()))
}

/// What a value in the file that cannot be read becomes: an error, never a guess.
pub fn unreadable(
    column: usize,
    error: impl std::error::Error + Send + Sync + 'static,
) -> rusqlite::Error {
    rusqlite::Error::FromSqlConversionFailure(column, Type::Text, Box::new(error))
}

/// An enum whose variants are words in a column.
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$variant_doc:meta])* $variant:ident = $word:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
        pub enum $name {
            $($(#[$variant_doc])* $variant),+
        }

        impl $name {
            /// The word in the column, the command line and the messages.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$variant => $word),+
                }
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(word: &str) -> Result<Self, String> {
                match word {
                    $($word => Ok(Self::$variant),)+
                    _ => Err(format!("{word}: expected one of {}", [$($word),+].join(", "))),
                }
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                let word = <std::borrow::Cow<'de, str>>::deserialize(deserializer)?;
                word.parse().map_err(serde::de::Error::custom)
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
                serializer.serialize_str(self.as_str())
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({"type": "string", "enum": [$($word),+]})
            }
        }

        impl rusqlite::ToSql for $name {
            fn to_sql(&self) -> rusqlite::Result<rusqlite::types::ToSqlOutput<'_>> {
                Ok(self.as_str().into())
            }
        }

        impl rusqlite::types::FromSql for $name {
            fn column_result(value: rusqlite::types::ValueRef<'_>) -> rusqlite::types::FromSqlResult<Self> {
                value.as_str()?.parse().map_err(|error: String| rusqlite::types::FromSqlError::Other(error.into()))
            }
        }
    };
}
pub(crate) use words;

//! Attribute paths: what names an attribute in a filter, a PATCH operation and a projection (RFC 7644 §3.10, C-58,
//! C-61, C-62). A path keeps the words of the client; what they stand for, `schema` tells.

use std::fmt;
use std::sync::Arc;

use super::filter::{Filter, Scope};
use super::schema::{ResourceType, Schemas};
use super::{Error, ScimType};

/// An attribute, or a sub-attribute of it, with or without its schema's URN.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AttrPath {
    /// URN before the name, as it was written. Attributes of one object share it.
    pub urn: Option<Arc<str>>,
    /// Name of the attribute, as it was written.
    pub name: String,
    /// Name of the sub-attribute, as it was written.
    pub sub: Option<String>,
}

/// The target of a PATCH operation (RFC 7644 §3.5.2).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Path {
    /// A whole schema extension.
    Extension(String),
    /// An attribute or sub-attribute.
    Attribute(AttrPath),
    /// The elements of a multi-valued attribute that match a filter, or a sub-attribute of each: a valuePath.
    Element {
        /// The multi-valued attribute; its `sub` is none.
        attr: AttrPath,
        /// Which elements; names in it are sub-attributes.
        filter: Filter,
        /// The sub-attribute behind the bracket.
        sub: Option<String>,
    },
}

impl AttrPath {
    /// Reads `[urn:]name[.sub]`. A name holds no colon, so the URN, known or not, ends at the last one; a dot counts
    /// only after it, never the one of `2.0` (C-61). Anything else is `invalidPath`.
    pub fn parse(text: &str) -> Result<Self, Error> {
        let (urn, rest) = match text.rsplit_once(':') {
            Some((urn, rest)) => (Some(urn), rest),
            None => (None, text),
        };
        let (name, sub) = match rest.split_once('.') {
            Some((name, sub)) => (name, Some(sub)),
            None => (rest, None),
        };
        if !urn.is_none_or(is_urn) || !is_name(name) || !sub.is_none_or(is_name) {
            return Err(Error::new(
                ScimType::InvalidPath,
                "a path has the form [urn:]attribute[.subAttribute]",
            ));
        }
        Ok(Self {
            urn: urn.map(Arc::from),
            name: name.to_owned(),
            sub: sub.map(str::to_owned),
        })
    }
}

impl Path {
    /// Reads the `path` of a PATCH operation. Names that no schema has are no error here: PATCH skips them (C-48). A
    /// wrong path is `invalidPath`, a wrong filter in it `invalidFilter` (RFC 7644 table 9).
    pub fn parse(
        text: &str,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        let text = text.trim();
        let Some((head, _)) = text.split_once('[') else {
            return if is_extension(text, resource_type, schemas) {
                Ok(Self::Extension(text.to_owned()))
            } else {
                AttrPath::parse(text).map(Self::Attribute)
            };
        };
        let attr = AttrPath::parse(head)?;
        let scope = Scope::Resource(resource_type, schemas);
        let attribute = scope.meaning(&attr).attribute();
        if attr.sub.is_some() || attribute.is_some_and(|attribute| !attribute.multi_valued) {
            return Err(Error::new(
                ScimType::InvalidPath,
                format!("`{}` is not multi-valued: it takes no filter", short(&attr)),
            ));
        }
        let (filter, rest) = Filter::parse_bracket(text, head.len(), attribute)?;
        let sub = match rest.strip_prefix('.') {
            Some(sub) if is_name(sub) => Some(sub.to_owned()),
            None if rest.is_empty() => None,
            _ => {
                return Err(Error::new(
                    ScimType::InvalidPath,
                    format!(
                        "only .subAttribute can follow the filter of `{}`",
                        short(&attr)
                    ),
                ));
            }
        };
        Ok(Self::Element { attr, filter, sub })
    }
}

impl Path {
    /// Reads what a client calls an attribute: like [`parse`](Self::parse), but a text without brackets is always a name,
    /// because clients may give their own attributes any. One that is no path is unknown, behind the URN of a schema or
    /// at the root, and is skipped like every unknown one (design §3.11).
    pub fn name(text: &str, resource_type: ResourceType, schemas: &Schemas) -> Result<Self, Error> {
        Self::parse(text, resource_type, schemas).or_else(|error| {
            let text = text.trim();
            if text.contains(['[', ']']) {
                return Err(error);
            }
            let known = schemas.urns(resource_type).into_iter().find_map(|urn| {
                let (head, rest) = text.split_at_checked(urn.len())?;
                let name = rest.strip_prefix(':').filter(|name| !name.is_empty())?;
                urn.eq_ignore_ascii_case(head)
                    .then(|| (Some(Arc::from(head)), name))
            });
            let (urn, name) = known.unwrap_or((None, text));
            Ok(Self::Attribute(AttrPath {
                urn,
                name: name.to_owned(),
                sub: None,
            }))
        })
    }
}

/// Whether `text` is the URN of an extension that the appliance knows.
fn is_extension(text: &str, resource_type: ResourceType, schemas: &Schemas) -> bool {
    schemas
        .extensions(resource_type)
        .any(|schema| schema.urn.eq_ignore_ascii_case(text))
        || schemas.open_urn(resource_type, text).is_some()
}

/// A path as an error tells it: a client may have written a megabyte.
fn short(attr: &AttrPath) -> String {
    attr.to_string().chars().take(120).collect()
}

/// Whether `text` can be the name of an attribute. Wider than RFC 7643 §2.1, which wants a letter first: whatever a
/// client calls its own attributes has to be named before it can be skipped.
pub(super) fn is_name(text: &str) -> bool {
    !text.is_empty()
        && text
            .chars()
            .all(|c| c.is_alphanumeric() || matches!(c, '-' | '_' | '$'))
}

/// Whether `text` can stand before an attribute's name: no blank, nor what has a meaning in a filter.
fn is_urn(text: &str) -> bool {
    !text.is_empty() && !text.contains(|c: char| c.is_whitespace() || "[]()\"".contains(c))
}

impl fmt::Display for AttrPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        if let Some(urn) = &self.urn {
            write!(f, "{urn}:")?;
        }
        f.write_str(&self.name)?;
        match &self.sub {
            Some(sub) => write!(f, ".{sub}"),
            None => Ok(()),
        }
    }
}

impl fmt::Display for Path {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Extension(urn) => f.write_str(urn),
            Self::Attribute(attr) => attr.fmt(f),
            Self::Element { attr, filter, sub } => {
                write!(f, "{attr}[{filter}]")?;
                match sub {
                    Some(sub) => write!(f, ".{sub}"),
                    None => Ok(()),
                }
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, USER_URN};

    const KEPT_URN: &str = "urn:example:kept";

    fn schemas() -> Schemas {
        Schemas::new(CUSTOM_URN, &[KEPT_URN.to_owned()])
    }

    fn parse(text: &str) -> Result<Path, Error> {
        Path::parse(text, ResourceType::User, &schemas())
    }

    fn attr(urn: Option<&str>, name: &str, sub: Option<&str>) -> AttrPath {
        AttrPath {
            urn: urn.map(Arc::from),
            name: name.to_owned(),
            sub: sub.map(str::to_owned),
        }
    }

    #[test]
    fn reads_attributes_with_and_without_urn() {
        let contoso = "urn:ietf:params:scim:schemas:extension:contoso:2.0:User";
        for (text, urn, name, sub) in [
            ("userName", None, "userName", None),
            ("name.familyName", None, "name", Some("familyName")),
            ("members.$ref", None, "members", Some("$ref")),
            (
                &format!("{ENTERPRISE_URN}:department"),
                Some(ENTERPRISE_URN),
                "department",
                None,
            ),
            (
                &format!("{ENTERPRISE_URN}:manager.displayName"),
                Some(ENTERPRISE_URN),
                "manager",
                Some("displayName"),
            ),
            (
                &format!("{USER_URN}:name.givenName"),
                Some(USER_URN),
                "name",
                Some("givenName"),
            ),
            (
                &format!("{contoso}:CustomAttribute"),
                Some(contoso),
                "CustomAttribute",
                None,
            ),
            (&format!("{KEPT_URN}:floor"), Some(KEPT_URN), "floor", None),
        ] {
            assert_eq!(
                parse(text),
                Ok(Path::Attribute(attr(urn, name, sub))),
                "{text}"
            );
        }
    }

    #[test]
    fn reads_whole_extensions_in_any_letter_case() {
        for urn in [ENTERPRISE_URN, CUSTOM_URN, KEPT_URN] {
            for text in [urn.to_owned(), urn.to_uppercase()] {
                assert_eq!(parse(&text), Ok(Path::Extension(text)));
            }
        }
        let for_group = Path::parse(ENTERPRISE_URN, ResourceType::Group, &schemas());
        assert!(matches!(for_group, Ok(Path::Attribute(_))));
    }

    #[test]
    fn reads_value_paths() {
        for (text, name, filter, sub) in [
            (
                r#"emails[type eq "work"].Value"#,
                "emails",
                r#"type eq "work""#,
                Some("Value"),
            ),
            (
                r#"roles[primary eq "True"]"#,
                "roles",
                r#"primary eq "True""#,
                None,
            ),
            (
                r#"addresses[type eq "work" and primary eq true].country"#,
                "addresses",
                r#"type eq "work" and primary eq true"#,
                Some("country"),
            ),
            (
                r#"emails[value eq "a]b:c.d["]"#,
                "emails",
                r#"value eq "a]b:c.d[""#,
                None,
            ),
            (
                r#"unknown[kind eq "x"].value"#,
                "unknown",
                r#"kind eq "x""#,
                Some("value"),
            ),
        ] {
            let Ok(Path::Element {
                attr,
                filter: parsed,
                sub: tail,
            }) = parse(text)
            else {
                panic!("{text}");
            };
            assert_eq!((attr.name.as_str(), tail.as_deref()), (name, sub));
            assert_eq!(parsed.to_string(), filter);
        }
        let urn = format!(r#"{USER_URN}:emails[type eq "work"].value"#);
        assert_eq!(parse(&urn).unwrap().to_string(), urn);
    }

    #[test]
    fn what_clients_call_their_attributes_is_a_name() {
        let upper = CUSTOM_URN.to_uppercase();
        for (text, urn, name) in [
            ("cost.center.code".to_owned(), None, "cost.center.code"),
            (" extension_x#y ".to_owned(), None, "extension_x#y"),
            ("http://z/1".to_owned(), None, "http://z/1"),
            (format!("{upper}:Cost Center"), Some(&*upper), "Cost Center"),
            (
                format!("{CUSTOM_URN}:cost.center.code"),
                Some(CUSTOM_URN),
                "cost.center.code",
            ),
            (format!("{USER_URN}:a/b"), Some(USER_URN), "a/b"),
            ("urn:x:".to_owned(), None, "urn:x:"),
        ] {
            assert_eq!(
                Path::name(&text, ResourceType::User, &schemas()),
                Ok(Path::Attribute(attr(urn, name, None))),
                "{text}"
            );
        }
        for text in [
            "emails[",
            "a]",
            "emails[type eq \"work\"]value",
            "a b[c pr]",
        ] {
            assert!(
                Path::name(text, ResourceType::User, &schemas()).is_err(),
                "{text}"
            );
        }
    }

    #[test]
    fn refuses_what_is_no_path() {
        for text in [
            "",
            " ",
            ".",
            "a..b",
            "a.b.c",
            ":name",
            "urn:x:",
            "a b",
            "a/b",
            "a]",
            "name.",
            r#"[type eq "work"]"#,
            r#"userName[value eq "x"]"#,
            r#"name[givenName eq "x"]"#,
            r#"emails.type[value eq "x"]"#,
            r#"emails[type eq "work"]value"#,
            r#"emails[type eq "work"].a.b"#,
            r#"emails[type eq "work"]."#,
        ] {
            assert_eq!(
                parse(text).unwrap_err().kind,
                ScimType::InvalidPath,
                "{text}"
            );
        }
        for text in [
            "emails[",
            "emails[]",
            "emails[type]",
            r#"emails[type eq "work""#,
        ] {
            assert_eq!(
                parse(text).unwrap_err().kind,
                ScimType::InvalidFilter,
                "{text}"
            );
        }
    }

    fn names() -> impl Strategy<Value = String> {
        "[a-zA-Z0-9_$é-]{1,8}"
    }

    fn attr_paths() -> impl Strategy<Value = AttrPath> {
        let urns = proptest::option::of(prop_oneof![
            Just(ENTERPRISE_URN.to_owned()),
            Just(USER_URN.to_uppercase()),
            Just(CUSTOM_URN.to_owned()),
            "urn:[a-z]{1,4}(:[a-z0-9.]{1,4}){0,3}",
        ]);
        (urns, names(), proptest::option::of(names())).prop_map(|(urn, name, sub)| AttrPath {
            urn: urn.map(Arc::from),
            name,
            sub,
        })
    }

    proptest! {
        #[test]
        fn attribute_path_prints_as_it_parses(path in attr_paths()) {
            prop_assert_eq!(AttrPath::parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn value_path_prints_as_it_parses(
            value in any::<String>(),
            sub in proptest::option::of(names()),
        ) {
            let text = format!("emails[value eq {}]", serde_json::Value::from(value));
            let Path::Element { attr, filter, .. } = parse(&text).unwrap() else {
                return Err(TestCaseError::fail("no valuePath"));
            };
            let path = Path::Element { attr, filter, sub };
            prop_assert_eq!(parse(&path.to_string()), Ok(path));
        }

        #[test]
        fn no_text_panics(text in any::<String>(), path in r#"[a.:\[\]"( eq\\]{0,30}"#) {
            let _ = parse(&text);
            if let Ok(parsed) = parse(&path) {
                prop_assert_eq!(parse(&parsed.to_string()), Ok(parsed));
            }
        }
    }
}

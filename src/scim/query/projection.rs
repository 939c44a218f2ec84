//! Which attributes of a resource a client sees (RFC 7644 §3.9, RFC 7643 §7 `returned`). Works on the full JSON of one
//! resource; what need not be read at all, [`Projection::wants`] tells beforehand.

use std::borrow::Cow;

use serde_json::Value;

use super::Parameters;
use crate::scim::path::{AttrPath, Path};
use crate::scim::schema::{self, Place, ResourceType, Returned, Schemas};
use crate::scim::{Error, Object, ScimType};

/// Which attributes a client wants to see (RFC 7644 §3.9).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Projection {
    /// Those that are returned by default.
    Default,
    /// These, and those that are always returned.
    Only(Vec<Path>),
    /// Those that are returned by default, without these.
    Except(Vec<Path>),
}

impl Projection {
    /// Reads `attributes` and `excludedAttributes` among the decoded parameters of a URL.
    pub fn from_pairs<'a>(
        pairs: impl IntoIterator<Item = (Cow<'a, str>, Cow<'a, str>)>,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        let parameters = Parameters::from_pairs(pairs)?;
        Self::parse(
            parameters.attributes.as_deref(),
            parameters.excluded.as_deref(),
            resource_type,
            schemas,
        )
    }

    /// Reads the two lists. `attributes` wins where both are given: it says all.
    pub(super) fn parse(
        attributes: Option<&str>,
        excluded: Option<&str>,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Result<Self, Error> {
        let only = paths(attributes, resource_type, schemas)?;
        if !only.is_empty() {
            return Ok(Self::Only(only));
        }
        let except = paths(excluded, resource_type, schemas)?;
        Ok(if except.is_empty() {
            Self::Default
        } else {
            Self::Except(except)
        })
    }

    /// Whether any of the attribute `name` at the root can be seen, so that it is worth reading (`members`, `groups`).
    pub fn wants(&self, name: &str) -> bool {
        let names = |path: &Path, whole: bool| match path {
            Path::Attribute(attr) => {
                attr.name.eq_ignore_ascii_case(name)
                    && !(whole && attr.sub.is_some())
                    && attr.urn.as_deref().is_none_or(is_core)
            }
            Path::Extension(_) | Path::Element { .. } => false,
        };
        match self {
            Self::Default => true,
            Self::Only(paths) => paths.iter().any(|path| names(path, false)),
            Self::Except(paths) => !paths.iter().any(|path| names(path, true)),
        }
    }

    /// The part of a full resource that the client sees. Attributes that are always returned stay, those that never
    /// are go, whatever was asked for (RFC 7643 §7).
    pub fn apply(
        &self,
        resource: Object,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Object {
        let mut seen = Object::new();
        for (key, value) in resource {
            let returned = match schemas.at_root(resource_type, &key) {
                Place::Known { attribute, .. } => attribute.returned,
                Place::Kept { .. } | Place::Open { .. } | Place::Unknown => Returned::Default,
            };
            let value = match (returned, value) {
                (Returned::Never, _) => None,
                (Returned::Always, value) => Some(value),
                (Returned::Default, Value::Object(members)) if key.contains(':') => self
                    .extension(&key, members, resource_type, schemas)
                    .map(Value::Object),
                (Returned::Default, value) => self.cut(value, |paths| {
                    named(paths, None, &key, resource_type, schemas)
                }),
            };
            if let Some(value) = value {
                seen.insert(key, value);
            }
        }
        seen
    }

    /// The part of the extension `urn` that is seen; none if that is nothing.
    fn extension(
        &self,
        urn: &str,
        members: Object,
        resource_type: ResourceType,
        schemas: &Schemas,
    ) -> Option<Object> {
        let seen: Object = members
            .into_iter()
            .filter_map(|(key, value)| {
                let part = self.cut(value, |paths| {
                    named(paths, Some(urn), &key, resource_type, schemas)
                })?;
                Some((key, part))
            })
            .collect();
        (!seen.is_empty()).then_some(seen)
    }

    /// The part of a value that is seen, where `named` tells how much of its attribute the paths name.
    fn cut<'a>(&'a self, value: Value, named: impl Fn(&'a [Path]) -> Named<'a>) -> Option<Value> {
        let (named, keep) = match self {
            Self::Default => (Named::Nothing, false),
            Self::Only(paths) => (named(paths), true),
            Self::Except(paths) => (named(paths), false),
        };
        match named {
            Named::Whole => keep.then_some(value),
            Named::Nothing => (!keep).then_some(value),
            Named::Subs(subs) => cut_subs(value, &subs, keep),
        }
    }
}

/// The paths of a list with commas.
fn paths(
    text: Option<&str>,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Result<Vec<Path>, Error> {
    let names = text.unwrap_or_default().split(',').map(str::trim);
    names
        .filter(|name| !name.is_empty())
        .map(|name| match Path::parse(name, resource_type, schemas)? {
            Path::Element { .. } => Err(Error::new(
                ScimType::InvalidPath,
                "`attributes` and `excludedAttributes` take names without filters",
            )),
            path => Ok(path),
        })
        .collect()
}

/// How much of an attribute a list of paths names.
enum Named<'a> {
    Nothing,
    /// These sub-attributes.
    Subs(Vec<&'a str>),
    Whole,
}

/// `value` with only the sub-attributes `subs`, or without them; none if nothing is left.
fn cut_subs(value: Value, subs: &[&str], keep: bool) -> Option<Value> {
    match value {
        Value::Object(mut members) => {
            members.retain(|key, _| subs.iter().any(|sub| sub.eq_ignore_ascii_case(key)) == keep);
            (!members.is_empty()).then_some(Value::Object(members))
        }
        Value::Array(items) => {
            let items: Vec<_> = items
                .into_iter()
                .filter_map(|item| cut_subs(item, subs, keep))
                .collect();
            (!items.is_empty()).then_some(Value::Array(items))
        }
        simple => (!keep).then_some(simple),
    }
}

/// How much of the attribute `key`, at the root or in the extension `urn`, the paths name.
fn named<'a>(
    paths: &'a [Path],
    urn: Option<&str>,
    key: &str,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Named<'a> {
    let mut subs = Vec::new();
    for path in paths {
        match path {
            Path::Extension(extension)
                if urn.is_some_and(|urn| urn.eq_ignore_ascii_case(extension)) =>
            {
                return Named::Whole;
            }
            Path::Attribute(attr) if names(attr, urn, key, resource_type, schemas) => {
                match &attr.sub {
                    None => return Named::Whole,
                    Some(sub) => subs.push(sub.as_str()),
                }
            }
            _ => {}
        }
    }
    if subs.is_empty() {
        Named::Nothing
    } else {
        Named::Subs(subs)
    }
}

/// Whether a path names the attribute `key` at the root or in the extension `urn`.
fn names(
    attr: &AttrPath,
    urn: Option<&str>,
    key: &str,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> bool {
    if !attr.name.eq_ignore_ascii_case(key) {
        return false;
    }
    schemas
        .lookup_core_first(resource_type, attr.urn.as_deref(), &attr.name)
        .any(|place| match (place, urn) {
            (None, None) => true,
            (Some(place), Some(urn)) => place.eq_ignore_ascii_case(urn),
            _ => false,
        })
}

/// Whether `urn` is that of a core schema, whose attributes stand at the root.
fn is_core(urn: &str) -> bool {
    urn.eq_ignore_ascii_case(schema::USER_URN) || urn.eq_ignore_ascii_case(schema::GROUP_URN)
}

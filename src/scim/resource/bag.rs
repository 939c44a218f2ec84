//! A bag of attributes, which is a body or the value of a PATCH operation without a path, taken apart into one entry
//! an attribute: dotted keys, keys with a URN, objects under a URN (C-22, C-50, T-07).

use std::sync::Arc;

use serde_json::Value;

use super::value::is_empty;
use crate::scim::path::{AttrPath, Path};
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::{Error, Object, ScimType};

/// Bytes in the URN of an extension that is taken apart. Each of its attributes is named with it: without a limit, a
/// long one with many attributes would fill the memory.
const MAX_URN: usize = 255;

/// Attributes that one request may name. Entra sends a hundred at the most; each takes many times the memory of its
/// bytes in the body, and one that is skipped is named with its URN.
pub(super) const MAX_NAMES: usize = 10_000;

/// The attributes of `bag` with their values, in its order. An extension that is no object stands under its own path.
/// Keys that are no path stand under their own name: it is unknown, and skipped like every unknown one. More than
/// [`MAX_NAMES`] are `tooMany`.
pub(in crate::scim) fn entries(
    bag: Object,
    resource_type: ResourceType,
    schemas: &Schemas,
) -> Result<Vec<(Path, Value)>, Error> {
    let mut entries = Vec::new();
    let core = schemas.core(resource_type).urn.as_ref();
    for (key, value) in bag {
        limit_names(entries.len() + value.as_object().map_or(1, Object::len))?;
        if key.eq_ignore_ascii_case(core) {
            match value {
                Value::Object(inner) => extend(&mut entries, core, inner, resource_type, schemas),
                value if is_empty(&value) => {}
                _ => return Err(not_an_object(core)),
            }
            continue;
        }
        match (path(&key, resource_type, schemas), value) {
            (Path::Extension(urn), Value::Object(inner)) => {
                extend(&mut entries, &urn, inner, resource_type, schemas);
            }
            (Path::Attribute(attr), Value::Object(inner))
                if key.len() <= MAX_URN && is_unknown_extension(&attr, resource_type, schemas) =>
            {
                extend(&mut entries, &key, inner, resource_type, schemas);
            }
            (path, value) => entries.push((path, value)),
        }
    }
    Ok(entries)
}

/// Refuses what names more attributes than one request can sensibly change.
pub(in crate::scim) fn limit_names(names: usize) -> Result<(), Error> {
    if names > MAX_NAMES {
        return Err(Error::new(
            ScimType::TooMany,
            format!("one request can name {MAX_NAMES} attributes at the most"),
        ));
    }
    Ok(())
}

/// That an extension has a value which is no object.
pub(super) fn not_an_object(urn: &str) -> Error {
    Error::new(ScimType::InvalidValue, format!("{urn} must be an object"))
}

fn extend(
    entries: &mut Vec<(Path, Value)>,
    urn: &str,
    inner: Object,
    resource_type: ResourceType,
    schemas: &Schemas,
) {
    let described = schemas.core(resource_type).urn.eq_ignore_ascii_case(urn)
        || schemas
            .extensions(resource_type)
            .any(|schema| schema.urn.eq_ignore_ascii_case(urn));
    let shared = Arc::<str>::from(urn);
    for (name, value) in inner {
        let path = if described && name.contains(['.', '[']) {
            path(&format!("{urn}:{name}"), resource_type, schemas)
        } else {
            named(Some(Arc::clone(&shared)), name)
        };
        entries.push((path, value));
    }
}

fn path(key: &str, resource_type: ResourceType, schemas: &Schemas) -> Path {
    if !key.contains([':', '.', '[']) {
        return named(None, key.to_owned());
    }
    Path::name(key, resource_type, schemas).unwrap_or_else(|_| named(None, key.to_owned()))
}

fn named(urn: Option<Arc<str>>, name: String) -> Path {
    Path::Attribute(AttrPath {
        urn,
        name,
        sub: None,
    })
}

/// Whether an object under this key is an extension that the appliance does not know, rather than an attribute.
fn is_unknown_extension(attr: &AttrPath, resource_type: ResourceType, schemas: &Schemas) -> bool {
    attr.urn.as_deref().is_some_and(|urn| {
        !schemas
            .urns(resource_type)
            .iter()
            .any(|known| known.eq_ignore_ascii_case(urn))
    })
}

//! One value made fit for its attribute: the type it must have, the forms that clients really send, and what counts
//! as no value at all. Values themselves are never changed: what the client reads back is what it sent.

use serde_json::Value;

use crate::scim::json::take;
use crate::scim::schema::{Attribute, Type};
use crate::scim::{Error, Object, ScimType};

/// Values that a list of a resource may hold. Nobody has a thousand addresses, and what compares values with one
/// another stays cheap. A group's members, who have no `primary`, are not counted.
pub(super) const MAX_VALUES: usize = 1_000;

/// Makes `value` what `attribute` stores, or nothing if it means "absent" (`null`, `""`, `[]`, an object of such).
/// Booleans may be strings (C-24, T-02), a list may be one value and a value a list of one, and a bare string stands for `{"value": …}` (C-23,
/// C-104, T-09). Of several primary values the first stays so (RFC 7643 §2.4). Names of unknown sub-attributes go to
/// `skipped`; a value of another type is `invalidValue`.
pub fn coerce(
    attribute: &Attribute,
    value: Value,
    skipped: &mut Vec<String>,
) -> Result<Option<Value>, Error> {
    coerce_in(None, attribute, value, skipped)
}

/// [`coerce`] of a sub-attribute of `parent`, which errors name.
pub(super) fn coerce_in(
    parent: Option<&Attribute>,
    attribute: &Attribute,
    value: Value,
    skipped: &mut Vec<String>,
) -> Result<Option<Value>, Error> {
    if is_empty(&value) {
        return Ok(None);
    }
    if attribute.multi_valued {
        let elements = elements(attribute, value, skipped)?;
        let list = elements.into_iter().map(Value::Object).collect();
        return Ok(Some(Value::Array(list)).filter(|list| !is_empty(list)));
    }
    let value = match attribute.ty {
        Type::Complex => value,
        _ => unwrapped(value),
    };
    match (attribute.ty, value) {
        (_, value) if is_empty(&value) => Ok(None),
        (Type::Complex, value) => {
            let mut object = Object::new();
            if let Some(given) = given(attribute, value)? {
                merge(attribute, &mut object, given, skipped)?;
            }
            Ok((!object.is_empty()).then_some(Value::Object(object)))
        }
        (Type::Boolean, Value::Bool(value)) => Ok(Some(value.into())),
        (Type::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("true") => {
            Ok(Some(true.into()))
        }
        (Type::Boolean, Value::String(text)) if text.eq_ignore_ascii_case("false") => {
            Ok(Some(false.into()))
        }
        (Type::Boolean, _) => Err(mistyped(parent, attribute, "true or false")),
        (_, Value::String(text)) if attribute.required && !is_legible(&text) => Err(Error::new(
            ScimType::InvalidValue,
            format!(
                "{} must hold more than blanks, and no control characters",
                attribute.name
            ),
        )),
        (_, Value::String(text)) => Ok(Some(text.into())),
        _ => Err(mistyped(parent, attribute, "a string")),
    }
}

/// A simple value out of a list of one, where it may be an element, `{"$ref": null, "value": …}`: so older dialects of
/// Entra send every value of a PATCH.
fn unwrapped(value: Value) -> Value {
    let Value::Array(mut values) = value else {
        return value;
    };
    match (values.pop(), values.is_empty()) {
        (Some(Value::Object(mut element)), true) if is_reference(&element) => {
            take(&mut element, "value").unwrap_or_default()
        }
        (Some(one), true) => one,
        (last, _) => {
            values.extend(last);
            Value::Array(values)
        }
    }
}

/// Whether an element holds nothing beside its `value` but a `$ref`.
fn is_reference(element: &Object) -> bool {
    element
        .keys()
        .all(|name| name.eq_ignore_ascii_case("value") || name == "$ref")
}

/// The elements of a list, one at the most primary.
pub(super) fn elements(
    attribute: &Attribute,
    value: Value,
    skipped: &mut Vec<String>,
) -> Result<Vec<Object>, Error> {
    let values = match value {
        Value::Array(values) => values,
        one => vec![one],
    };
    limit(attribute, values.len())?;
    let mut elements = Vec::with_capacity(values.len());
    let mut primary = false;
    for value in values {
        let Some(given) = given(attribute, value)? else {
            continue;
        };
        let mut element = Object::new();
        merge(attribute, &mut element, given, skipped)?;
        if let Some(Value::Bool(own)) = element.get_mut("primary") {
            *own &= !primary;
            primary |= *own;
        }
        if !element.is_empty() {
            elements.push(element);
        }
    }
    Ok(elements)
}

/// Refuses a list that is longer than a list of a resource can sensibly be.
pub(super) fn limit(attribute: &Attribute, values: usize) -> Result<(), Error> {
    if values > MAX_VALUES && attribute.sub("primary").is_some() {
        return Err(Error::new(
            ScimType::TooMany,
            format!(
                "{} can hold {MAX_VALUES} values at the most",
                attribute.name
            ),
        ));
    }
    Ok(())
}

/// The sub-attributes that a value of a complex attribute gives, in whichever form it comes (C-46); nothing if it is
/// empty.
pub(super) fn given(attribute: &Attribute, value: Value) -> Result<Option<Object>, Error> {
    match value {
        value if is_empty(&value) => Ok(None),
        Value::Object(object) => Ok(Some(object)),
        Value::String(_) if attribute.sub("value").is_some() => {
            Ok(Some(Object::from_iter([("value".to_owned(), value)])))
        }
        Value::Array(mut values) if values.len() == 1 => match values.pop() {
            Some(value) => given(attribute, value),
            None => Ok(None),
        },
        _ => Err(mistyped(None, attribute, "an object")),
    }
}

/// Sets in `object` the sub-attributes that `given` names and removes those it names without a value (RFC 7644
/// §3.5.2.3). Others stay.
pub(super) fn merge(
    attribute: &Attribute,
    object: &mut Object,
    given: Object,
    skipped: &mut Vec<String>,
) -> Result<(), Error> {
    set(object, &settings(attribute, given, skipped)?);
    Ok(())
}

/// What `given` says of the sub-attributes, under their own names: null of those that it names without a value.
pub(super) fn settings(
    attribute: &Attribute,
    given: Object,
    skipped: &mut Vec<String>,
) -> Result<Object, Error> {
    let mut settings = Object::new();
    for (name, value) in given {
        match attribute.sub(&name) {
            Some(sub) => {
                let value = coerce_in(Some(attribute), sub, value, skipped)?;
                settings.insert(sub.name.to_owned(), value.unwrap_or_default());
            }
            None if is_empty(&value) => {}
            None => skipped.push(format!("{}.{name}", attribute.name)),
        }
    }
    Ok(settings)
}

/// Carries out [`settings`].
pub(super) fn set(object: &mut Object, settings: &Object) {
    for (name, value) in settings {
        match value {
            Value::Null => object.shift_remove(name),
            value => object.insert(name.clone(), value.clone()),
        };
    }
}

/// Whether a value means that there is none (RFC 7643 §2.5, C-21, C-64).
pub(in crate::scim) fn is_empty(value: &Value) -> bool {
    match value {
        Value::Null => true,
        Value::String(text) => text.is_empty(),
        Value::Array(values) => values.is_empty(),
        Value::Object(_) | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Whether a name can stand in a list that people and programs read: a control character ends a line or, as NUL does
/// for programs in C, the name.
fn is_legible(name: &str) -> bool {
    !name.trim().is_empty() && !name.contains(char::is_control)
}

/// A value of an attribute that no schema describes, without the parts that mean "absent".
pub(super) fn prune(value: Value) -> Option<Value> {
    let pruned = match value {
        Value::Array(values) => Value::Array(values.into_iter().filter_map(prune).collect()),
        Value::Object(object) => {
            let object: Object = object
                .into_iter()
                .filter_map(|(name, value)| Some((name, prune(value)?)))
                .collect();
            return (!object.is_empty()).then_some(Value::Object(object));
        }
        plain => plain,
    };
    (!is_empty(&pruned)).then_some(pruned)
}

fn mistyped(parent: Option<&Attribute>, attribute: &Attribute, expected: &str) -> Error {
    let name = attribute.name;
    let detail = match parent {
        Some(parent) => format!("{}.{name} must be {expected}", parent.name),
        None => format!("{name} must be {expected}"),
    };
    Error::new(ScimType::InvalidValue, detail)
}

//! Changes of one attribute's value, single or multi-valued. What takes longer the more values there are is counted as
//! [`Work`] first.

use serde_json::Value;

use super::edit::Change;
use super::same::{Known, Listed, covers, holds, same};
use super::value::{coerce, coerce_in, elements, given, is_empty, limit, merge, set, settings};
use super::work::{Work, text, weight};
use crate::scim::filter::Filter;
use crate::scim::schema::Attribute;
use crate::scim::{Error, Object};

/// Changes the value of a single-valued attribute, or its sub-attribute `sub`.
pub(super) fn change_single(
    attribute: &Attribute,
    old: Option<Value>,
    sub: Option<&Attribute>,
    change: Change,
    skipped: &mut Vec<String>,
) -> Result<Option<Value>, Error> {
    if attribute.sub_attributes.is_empty() {
        return change_simple(None, attribute, old, change, skipped);
    }
    let mut object = into_object(old);
    match (sub, change) {
        (Some(sub), change) => {
            let referred = object.get("value").cloned();
            change_sub(attribute, &mut object, sub, change, skipped)?;
            // The URL of someone else; that of the new one is made where it is shown.
            if referred.is_some() && object.get("value") != referred.as_ref() {
                object.shift_remove("$ref");
            }
        }
        (None, Change::Add(value) | Change::Replace(value)) => {
            let Some(given) = given(attribute, value)? else {
                return Ok(None);
            };
            // A reference to someone else is another reference: nothing of the old one may stay (C-46, C-47).
            if attribute.sub("value").is_some()
                && given.keys().any(|name| name.eq_ignore_ascii_case("value"))
            {
                object.clear();
            }
            merge(attribute, &mut object, given, skipped)?;
        }
        (None, Change::Remove(None)) => return Ok(None),
        (None, Change::Remove(Some(value))) => {
            let listed = coerce(attribute, value, skipped)?.map(|listed| into_object(Some(listed)));
            if listed.is_none_or(|listed| covers(attribute, &object, &listed)) {
                return Ok(None);
            }
        }
    }
    Ok((!object.is_empty()).then_some(Value::Object(object)))
}

/// Changes a value that has no sub-attributes. A removal that names a value removes that value only (T-06).
fn change_simple(
    parent: Option<&Attribute>,
    attribute: &Attribute,
    old: Option<Value>,
    change: Change,
    skipped: &mut Vec<String>,
) -> Result<Option<Value>, Error> {
    match change {
        Change::Add(value) | Change::Replace(value) => coerce_in(parent, attribute, value, skipped),
        Change::Remove(None) => Ok(None),
        Change::Remove(Some(value)) => {
            let listed = coerce_in(parent, attribute, value, skipped)?;
            let other = listed.is_some() && !same(attribute, old.as_ref(), listed.as_ref());
            Ok(old.filter(|_| other))
        }
    }
}

fn change_sub(
    attribute: &Attribute,
    object: &mut Object,
    sub: &Attribute,
    change: Change,
    skipped: &mut Vec<String>,
) -> Result<(), Error> {
    let old = object.get_mut(sub.name).map(Value::take);
    match change_simple(Some(attribute), sub, old, change, skipped)? {
        Some(value) => object.insert(sub.name.to_owned(), value),
        None => object.shift_remove(sub.name),
    };
    Ok(())
}

/// Changes a list as a whole: adding never doubles a value (T-16), removing a value takes only those that are listed
/// (T-05).
pub(super) fn change_list(
    attribute: &Attribute,
    list: &mut Vec<Value>,
    change: Change,
    skipped: &mut Vec<String>,
    work: &mut Work,
) -> Result<(), Error> {
    match change {
        Change::Add(value) => {
            let new = elements(attribute, value, skipped)?;
            work.spend(comparisons(list.len(), &new))?;
            add(attribute, list, new, false);
            limit(attribute, list.len())?;
        }
        Change::Replace(value) => {
            let elements = elements(attribute, value, skipped)?;
            *list = elements.into_iter().map(Value::Object).collect();
        }
        Change::Remove(None) => list.clear(),
        Change::Remove(Some(value)) => {
            let listed = elements(attribute, value, skipped)?;
            work.spend(comparisons(list.len(), &listed))?;
            let listed = Listed::new(attribute, &listed);
            list.retain(|old| !old.as_object().is_some_and(|old| listed.names(old)));
        }
    }
    Ok(())
}

/// Steps to find each of `given` among the values of a list and one another: one each, but what has no `value` to be
/// found by is compared with all.
fn comparisons(values: usize, given: &[Object]) -> usize {
    let unnamed = given.iter().filter(|given| !given.contains_key("value"));
    given.len() + unnamed.count() * (values + given.len())
}

/// Changes those elements that `filter` matches, or all, or their sub-attribute `sub`. Where none matches, adding and
/// replacing build the element from what the filter says (T-03, T-04, C-54, C-55). An element that a removal leaves
/// without anything but its kind goes as well (C-60).
pub(super) fn change_elements(
    attribute: &Attribute,
    list: &mut Vec<Value>,
    filter: Option<&Filter>,
    sub: Option<&Attribute>,
    change: Change,
    skipped: &mut Vec<String>,
    work: &mut Work,
) -> Result<(), Error> {
    let value = match &change {
        Change::Add(value) | Change::Replace(value) => Some(value),
        Change::Remove(value) => value.as_ref(),
    };
    work.spend_on_each(list, filter, value.map_or(0, text))?;
    let matched: Vec<bool> = list
        .iter()
        .map(|element| filter.is_none_or(|filter| filter.matches_element(element, attribute)))
        .collect();
    let whole = sub.is_none() && matches!(change, Change::Replace(_));
    let given = match (sub, change) {
        (Some(sub), Change::Add(value) | Change::Replace(value)) => {
            Object::from_iter([(sub.name.to_owned(), value)])
        }
        (None, Change::Add(value) | Change::Replace(value)) => match given(attribute, value)? {
            Some(given) => given,
            None => return remove_elements(attribute, list, &matched, None, None, skipped, work),
        },
        (sub, Change::Remove(value)) => {
            return remove_elements(attribute, list, &matched, sub, value, skipped, work);
        }
    };
    let settings = settings(attribute, given, skipped)?;
    if settings.values().all(Value::is_null) {
        // Nothing but nulls: no element is made for them, and none stays that held nothing else.
        for element in selected(list, &matched) {
            set(element, &settings);
        }
        drop_bare(list, &matched);
        return Ok(());
    }
    let mut built = Object::new();
    if let Some(implied) = filter.and_then(|filter| filter.implied(attribute)) {
        merge(attribute, &mut built, implied, skipped)?;
    }
    set(&mut built, &settings);
    let Some(first) = matched.iter().position(|matched| *matched) else {
        // The change before may have taken from the element what the filter asks for.
        work.spend(weight(list).saturating_mul(built.len()))?;
        let mut elements = list.iter().filter_map(Value::as_object);
        if !elements.any(|element| holds(attribute, element, &built)) {
            add(attribute, list, vec![built], whole);
        }
        return limit(attribute, list.len());
    };
    for element in selected(list, &matched) {
        if whole {
            element.clone_from(&built);
        } else {
            set(element, &settings);
        }
    }
    if is_primary(if whole { &built } else { &settings }) {
        crown(list, first);
    }
    Ok(())
}

/// Takes away the elements that the path selects, or their sub-attribute. A value beside the filter selects among them
/// what it lists (T-06); an empty one says nothing there.
fn remove_elements(
    attribute: &Attribute,
    list: &mut Vec<Value>,
    matched: &[bool],
    sub: Option<&Attribute>,
    value: Option<Value>,
    skipped: &mut Vec<String>,
    work: &mut Work,
) -> Result<(), Error> {
    let Some(sub) = sub else {
        let listed = match value {
            Some(value) if !is_empty(&value) => Some(elements(attribute, value, skipped)?),
            _ => None,
        };
        work.spend(comparisons(
            list.len(),
            listed.as_deref().unwrap_or_default(),
        ))?;
        let listed = listed.map(|listed| Listed::new(attribute, &listed));
        let mut matched = matched.iter();
        list.retain(|old| {
            let named = listed.as_ref().zip(old.as_object());
            let named = named.is_none_or(|(listed, old)| listed.names(old));
            matched.next() != Some(&true) || !named
        });
        return Ok(());
    };
    for element in selected(list, matched) {
        change_sub(
            attribute,
            element,
            sub,
            Change::Remove(value.clone()),
            skipped,
        )?;
    }
    drop_bare(list, matched);
    Ok(())
}

/// Adds each element, or completes the one that is the same; if `whole`, takes its place, so that the same replacement does
/// no more when it comes again and finds it. A new primary value takes the place of the old (C-59).
fn add(attribute: &Attribute, list: &mut Vec<Value>, elements: Vec<Object>, whole: bool) {
    let mut known = Known::new(attribute, list);
    for new in elements {
        let place = known.place(&new).unwrap_or(list.len());
        let crowned = is_primary(&new);
        match list.get_mut(place).and_then(Value::as_object_mut) {
            Some(old) if whole => *old = new,
            Some(old) if new.contains_key("value") => old.extend(new),
            Some(_) => {}
            None => {
                known.learn(&new, place);
                list.push(Value::Object(new));
            }
        }
        if crowned {
            crown(list, place);
        }
    }
}

/// Leaves the element at `winner` the only primary one (RFC 7643 §2.4, C-59).
fn crown(list: &mut [Value], winner: usize) {
    for (place, element) in list.iter_mut().enumerate() {
        if place != winner
            && let Some(Value::Bool(primary)) = element.get_mut("primary")
        {
            *primary = false;
        }
    }
}

fn is_primary(element: &Object) -> bool {
    element.get("primary") == Some(&Value::Bool(true))
}

fn selected<'a>(list: &'a mut [Value], matched: &[bool]) -> impl Iterator<Item = &'a mut Object> {
    list.iter_mut()
        .zip(matched)
        .filter(|(_, matched)| **matched)
        .filter_map(|(value, _)| value.as_object_mut())
}

/// Drops the matched elements that hold nothing but what kind of value they would be (C-60).
fn drop_bare(list: &mut Vec<Value>, matched: &[bool]) {
    let mut matched = matched.iter();
    list.retain(|value| {
        let bare = value.as_object().is_some_and(|element| {
            element
                .keys()
                .all(|name| name == "type" || name == "primary")
        });
        matched.next() != Some(&true) || !bare
    });
}

fn into_object(value: Option<Value>) -> Object {
    match value {
        Some(Value::Object(object)) => object,
        _ => Object::new(),
    }
}

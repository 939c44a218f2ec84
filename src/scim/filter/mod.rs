//! Filters (RFC 7644 §3.4.2.2): one syntax tree, made by [`parse`], evaluated in memory by [`evaluate`] and lowered to
//! SQL by the store.

pub mod evaluate;
pub mod known;
pub mod parse;
#[cfg(test)]
mod properties;
#[cfg(test)]
mod tests;

use std::fmt;

use serde_json::Value;

use super::path::AttrPath;
use super::schema::{Attribute, Place, ResourceType, Schemas, Type};

/// A filter expression. `emails[type eq "work"].value eq "x"` is held as `emails[type eq "work" and value eq "x"]`,
/// which means the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Filter {
    /// All hold; two terms or more.
    And(Vec<Filter>),
    /// One holds; two terms or more.
    Or(Vec<Filter>),
    /// It does not hold.
    Not(Box<Filter>),
    /// The attribute has a value: `pr`.
    Present(AttrPath),
    /// The attribute, or one of its values, compares so with a literal.
    Compare {
        /// The attribute.
        attr: AttrPath,
        /// How.
        op: CompareOp,
        /// With what.
        value: Literal,
    },
    /// One element of a multi-valued attribute matches: a valuePath.
    Element {
        /// The attribute; its `sub` is none.
        attr: AttrPath,
        /// What the element has to match; names in it are sub-attributes.
        filter: Box<Filter>,
    },
}

/// The comparison operators (RFC 7644 table 3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CompareOp {
    /// `eq`
    Equal,
    /// `ne`
    NotEqual,
    /// `co`
    Contains,
    /// `sw`
    StartsWith,
    /// `ew`
    EndsWith,
    /// `gt`
    Greater,
    /// `ge`
    GreaterOrEqual,
    /// `lt`
    Less,
    /// `le`
    LessOrEqual,
}

/// A value to compare with.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Literal {
    /// A JSON string, or an unquoted word (C-14, C-16).
    String(String),
    /// `true` or `false`.
    Boolean(bool),
    /// A JSON number, as it was written.
    Number(serde_json::Number),
    /// `null`
    Null,
}

/// What the names in a filter belong to.
#[derive(Debug, Clone, Copy)]
pub enum Scope<'a> {
    /// A resource of this type. A name of its core schema is that at the root.
    Resource(ResourceType, &'a Schemas),
    /// A user about whom a mapping decides. A bare name is looked up in the extensions first (design §3.5).
    Mapping(&'a Schemas),
    /// An element of this attribute, which is none where no schema describes it.
    Element(Option<&'a Attribute>),
}

/// What a name in a filter stands for.
#[derive(Debug, Clone, Copy)]
pub struct Meaning<'a> {
    /// The attribute. In an element it is a sub-attribute, and `urn` is none.
    pub place: Place<'a>,
    /// The attribute or, where the path names one, the sub-attribute; none where no schema describes it.
    pub leaf: Option<&'a Attribute>,
}

impl<'a> Scope<'a> {
    /// What `attr` stands for here, whatever a resource holds.
    pub fn meaning(self, attr: &AttrPath) -> Meaning<'a> {
        let place = match self {
            Self::Resource(resource_type, schemas) => {
                schemas.resolve(resource_type, attr.urn.as_deref(), &attr.name)
            }
            Self::Mapping(schemas) => {
                schemas.resolve(ResourceType::User, attr.urn.as_deref(), &attr.name)
            }
            Self::Element(parent) => in_element(parent, &attr.name),
        };
        Meaning::new(place, attr)
    }

    /// Where the value of `attr` is looked for, the first first, and what the name stands for there. It is the value of
    /// the first that has one.
    fn places<'p>(self, attr: &'p AttrPath) -> Vec<(Option<&'p str>, Place<'p>)>
    where
        'a: 'p,
    {
        let (urn, name) = (attr.urn.as_deref(), attr.name.as_str());
        match self {
            Self::Element(parent) => vec![(None, in_element(parent, name))],
            Self::Mapping(schemas) => {
                let kind = ResourceType::User;
                let places = schemas.lookup(kind, urn);
                places
                    .map(|urn| (urn, schemas.at(kind, urn, name)))
                    .collect()
            }
            Self::Resource(kind, schemas) => {
                let places = schemas.lookup_core_first(kind, urn, name);
                places
                    .map(|urn| (urn, schemas.at(kind, urn, name)))
                    .collect()
            }
        }
    }
}

fn in_element<'a>(parent: Option<&'a Attribute>, name: &str) -> Place<'a> {
    match parent.and_then(|parent| parent.sub(name)) {
        Some(attribute) => Place::Known {
            urn: None,
            attribute,
        },
        None => Place::Unknown,
    }
}

impl<'a> Meaning<'a> {
    fn new(place: Place<'a>, attr: &AttrPath) -> Self {
        let mut meaning = Self { place, leaf: None };
        meaning.leaf = match &attr.sub {
            None => meaning.attribute(),
            Some(sub) => meaning.attribute().and_then(|parent| parent.sub(sub)),
        };
        meaning
    }

    /// The attribute that the path's first name stands for, if a schema describes it.
    pub fn attribute(&self) -> Option<&'a Attribute> {
        match self.place {
            Place::Known { attribute, .. } => Some(attribute),
            Place::Kept { .. } | Place::Open { .. } | Place::Unknown => None,
        }
    }

    /// Whether resources can hold it at all: a schema describes it, or the configuration keeps it.
    pub fn is_known(&self) -> bool {
        self.leaf.is_some() || matches!(self.place, Place::Kept { .. } | Place::Open { .. })
    }

    /// The attribute whose values a comparison looks at: that of a complex attribute is its `value`, if it has one
    /// (C-16 `manager eq`, `members eq`).
    pub fn compared(&self) -> Option<&'a Attribute> {
        match self.leaf {
            Some(leaf) if leaf.ty == Type::Complex => leaf.sub("value"),
            leaf => leaf,
        }
    }
}

impl Filter {
    /// The attributes of the resource that take part.
    pub fn attributes(&self) -> Vec<&AttrPath> {
        match self {
            Self::And(terms) | Self::Or(terms) => terms.iter().flat_map(Self::attributes).collect(),
            Self::Not(term) => term.attributes(),
            Self::Present(attr) | Self::Compare { attr, .. } | Self::Element { attr, .. } => {
                vec![attr]
            }
        }
    }

    /// Whether a resource's attribute `name`, in any letter case, takes part.
    pub fn mentions(&self, name: &str) -> bool {
        self.attributes()
            .iter()
            .any(|attr| attr.name.eq_ignore_ascii_case(name))
    }
}

impl CompareOp {
    /// Every operator.
    const ALL: [Self; 9] = [
        Self::Equal,
        Self::NotEqual,
        Self::Contains,
        Self::StartsWith,
        Self::EndsWith,
        Self::Greater,
        Self::GreaterOrEqual,
        Self::Less,
        Self::LessOrEqual,
    ];

    /// The word in a filter.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "eq",
            Self::NotEqual => "ne",
            Self::Contains => "co",
            Self::StartsWith => "sw",
            Self::EndsWith => "ew",
            Self::Greater => "gt",
            Self::GreaterOrEqual => "ge",
            Self::Less => "lt",
            Self::LessOrEqual => "le",
        }
    }
}

impl From<&Literal> for Value {
    fn from(literal: &Literal) -> Self {
        match literal {
            Literal::String(text) => Self::String(text.clone()),
            Literal::Boolean(value) => Self::Bool(*value),
            Literal::Number(number) => Self::Number(number.clone()),
            Literal::Null => Self::Null,
        }
    }
}

impl fmt::Display for CompareOp {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.as_str())
    }
}

impl fmt::Display for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        Value::from(self).fmt(f)
    }
}

/// Prints the filter so that it parses to the same tree again, with no more parentheses than that needs.
impl fmt::Display for Filter {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::And(terms) => join(f, terms, " and ", |term| {
                matches!(term, Self::And(_) | Self::Or(_))
            }),
            Self::Or(terms) => join(f, terms, " or ", |term| matches!(term, Self::Or(_))),
            Self::Not(filter) => write!(f, "not ({filter})"),
            Self::Present(attr) => write!(f, "{attr} pr"),
            Self::Compare { attr, op, value } => write!(f, "{attr} {op} {value}"),
            Self::Element { attr, filter } => write!(f, "{attr}[{filter}]"),
        }
    }
}

/// Prints `terms` with `word` between them, those that would bind otherwise in parentheses.
fn join(
    f: &mut fmt::Formatter<'_>,
    terms: &[Filter],
    word: &str,
    enclose: impl Fn(&Filter) -> bool,
) -> fmt::Result {
    for (index, term) in terms.iter().enumerate() {
        if index > 0 {
            f.write_str(word)?;
        }
        if enclose(term) {
            write!(f, "({term})")?;
        } else {
            write!(f, "{term}")?;
        }
    }
    Ok(())
}

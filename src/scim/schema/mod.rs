//! What each attribute is (RFC 7643 §§3, 4, 7). One table describes the core User, the Group, the Enterprise User and
//! the configured extension; parsing, coercion, filters, PATCH, projection and discovery all read it and hold no
//! knowledge of attributes of their own.

mod table;

use std::borrow::Cow;

pub use table::{COMMON, ENTERPRISE_USER, GROUP, USER};

/// URN of the core User schema.
pub const USER_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:User";
/// URN of the core Group schema.
pub const GROUP_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Group";
/// URN of the Enterprise User extension.
pub const ENTERPRISE_URN: &str = "urn:ietf:params:scim:schemas:extension:enterprise:2.0:User";
/// Default URN of the custom extension.
pub const CUSTOM_URN: &str = "urn:ietf:params:scim:schemas:extension:Druva:2.0:User";
/// The one attribute of the custom extension that is stored without being configured.
pub const USER_PRINCIPAL_NAME: &str = "userPrincipalName";

/// Data type of an attribute (RFC 7643 §2.3).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Type {
    /// Text.
    String,
    /// `true` or `false`; the strings that stand for them are taken too (C-24, C-41).
    Boolean,
    /// RFC 3339 instant.
    DateTime,
    /// A URI, taken unchecked (C-32).
    Reference,
    /// Base64, taken unchecked.
    Binary,
    /// An object of sub-attributes.
    Complex,
}

/// Who may write an attribute (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Mutability {
    /// The server alone.
    ReadOnly,
    /// Anyone.
    ReadWrite,
    /// Once, when its parent is made.
    Immutable,
    /// Written and never given back.
    WriteOnly,
}

/// When an attribute is part of an answer (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Returned {
    /// Whatever the client excludes.
    Always,
    /// Unless excluded or not asked for.
    Default,
    /// Never.
    Never,
}

/// Whether two resources may hold the same value (RFC 7643 §7).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Uniqueness {
    /// They may.
    None,
    /// They may not.
    Server,
}

/// One attribute or sub-attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Attribute {
    /// Name, in the letter case in which it is stored and returned.
    pub name: &'static str,
    /// Data type.
    pub ty: Type,
    /// A list of values.
    pub multi_valued: bool,
    /// A resource without it is refused.
    pub required: bool,
    /// Letter case counts in comparisons.
    pub case_exact: bool,
    /// Who may write it.
    pub mutability: Mutability,
    /// When it is returned.
    pub returned: Returned,
    /// Whether its value is unique.
    pub uniqueness: Uniqueness,
    /// Suggested values; others are taken too (T-38).
    pub canonical_values: &'static [&'static str],
    /// What a reference may point to.
    pub reference_types: &'static [&'static str],
    /// Sub-attributes of a complex attribute.
    pub sub_attributes: &'static [Attribute],
    /// A sentence for `/Schemas`.
    pub description: &'static str,
}

impl Attribute {
    /// An attribute of the configured extension: a flat string. Its name is leaked, because the table of attributes
    /// lives as long as the process and is made once.
    fn kept(name: &str) -> Self {
        Self::string(name.to_owned().leak(), "Kept by configuration")
    }

    /// Whether what a client sends under it is stored: not under what the server alone writes, nor under `password`.
    pub fn is_stored(&self) -> bool {
        let written = matches!(
            self.mutability,
            Mutability::ReadWrite | Mutability::Immutable
        );
        written && find(&COMMON, self.name).is_none()
    }

    /// The sub-attribute called `name`, in any letter case.
    pub fn sub(&self, name: &str) -> Option<&'static Attribute> {
        find(self.sub_attributes, name)
    }
}

/// The attribute called `name` among `attributes`, in any letter case (RFC 7643 §2.1).
pub fn find<'a>(attributes: &'a [Attribute], name: &str) -> Option<&'a Attribute> {
    attributes
        .iter()
        .find(|attribute| attribute.name.eq_ignore_ascii_case(name))
}

/// One schema: a URN and the attributes under it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Schema {
    /// The schema's URN, its `id` in `/Schemas`.
    pub urn: Cow<'static, str>,
    /// Its name, for people.
    pub name: &'static str,
    /// A sentence for `/Schemas`.
    pub description: &'static str,
    /// Its attributes.
    pub attributes: Cow<'static, [Attribute]>,
}

/// The two kinds of resource.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ResourceType {
    /// A person.
    User,
    /// A group of users and groups.
    Group,
}

impl ResourceType {
    /// The name in `meta.resourceType` and `/ResourceTypes`.
    pub fn name(self) -> &'static str {
        match self {
            Self::User => "User",
            Self::Group => "Group",
        }
    }

    /// The endpoint below the base path, without slashes.
    pub fn endpoint(self) -> &'static str {
        match self {
            Self::User => "Users",
            Self::Group => "Groups",
        }
    }
}

/// An extension that is kept whole: its attributes are stored and returned as they come.
pub type OpenUrn = String;

/// Every schema that the appliance knows: the fixed ones and the configured extension.
#[derive(Debug, Clone)]
pub struct Schemas {
    custom: Schema,
    kept: Vec<Attribute>,
    open: Vec<OpenUrn>,
}

/// What a name stands for in a resource type.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Place<'a> {
    /// A described attribute at the root of the resource (`urn` none) or in an extension.
    Known {
        /// URN of the extension that holds it, in its own letter case; none at the root.
        urn: Option<&'a str>,
        /// Its description.
        attribute: &'a Attribute,
    },
    /// An attribute that the configuration keeps by its name: no schema says what it is.
    Kept {
        /// URN of the custom extension, in its own letter case; none at the root.
        urn: Option<&'a str>,
        /// Its name, in its own letter case.
        name: &'a str,
    },
    /// Some attribute of an extension that is kept whole.
    Open {
        /// The extension.
        urn: &'a str,
    },
    /// An attribute that is never stored.
    Unknown,
}

impl<'a> Place<'a> {
    /// The name in the letter case in which it is stored; none where it is stored, or was sent, as it came.
    pub fn name(&self) -> Option<&'a str> {
        match *self {
            Self::Known { attribute, .. } => Some(attribute.name),
            Self::Kept { name, .. } => Some(name),
            Self::Open { .. } | Self::Unknown => None,
        }
    }
}

impl Schemas {
    /// The fixed schemas and an extension under `custom_urn`. `keep` names what is stored beyond
    /// `userPrincipalName`: attribute names (of the custom extension, or unknown ones at the root) and whole URNs.
    pub fn new(custom_urn: impl Into<String>, keep: &[String]) -> Self {
        let custom_urn = custom_urn.into();
        // An attribute of the custom extension may come with its URN.
        let own = |entry: &String| {
            let (urn, name) = entry.rsplit_once(':')?;
            (urn.eq_ignore_ascii_case(&custom_urn) && !name.is_empty()).then(|| name.to_owned())
        };
        let (open, names): (Vec<_>, Vec<_>) = keep
            .iter()
            .map(|entry| own(entry).unwrap_or_else(|| entry.clone()))
            .partition(|entry| entry.to_ascii_lowercase().starts_with("urn:"));
        let kept: Vec<_> = names.iter().map(|name| Attribute::kept(name)).collect();
        let mut attributes = vec![Attribute::string(
            USER_PRINCIPAL_NAME,
            "The user principal name in the directory",
        )];
        for attribute in &kept {
            if find(&attributes, attribute.name).is_none() {
                attributes.push(attribute.clone());
            }
        }
        Self {
            custom: Schema {
                urn: Cow::Owned(custom_urn),
                name: "Custom User",
                description: "The attributes of the custom extension that are stored",
                attributes: Cow::Owned(attributes),
            },
            kept,
            open,
        }
    }

    /// The core schema of a resource type.
    pub fn core(&self, resource_type: ResourceType) -> &'static Schema {
        match resource_type {
            ResourceType::User => &USER,
            ResourceType::Group => &GROUP,
        }
    }

    /// The described extensions of a resource type, in the order in which a bare name is looked up in a path.
    pub fn extensions(&self, resource_type: ResourceType) -> impl Iterator<Item = &Schema> {
        let extensions = match resource_type {
            ResourceType::User => [Some(&ENTERPRISE_USER), Some(&self.custom)],
            ResourceType::Group => [None, None],
        };
        extensions.into_iter().flatten()
    }

    /// URN of the custom extension.
    pub fn custom_urn(&self) -> &str {
        &self.custom.urn
    }

    /// Unknown root attributes that are stored and returned at the root.
    pub fn kept_at_root(&self) -> &[Attribute] {
        &self.kept
    }

    /// The extensions that are kept whole.
    pub fn open(&self) -> &[OpenUrn] {
        &self.open
    }

    /// Every URN that can stand before an attribute in a path, longest first (C-61).
    pub fn urns(&self, resource_type: ResourceType) -> Vec<&str> {
        let mut urns = vec![self.core(resource_type).urn.as_ref()];
        urns.extend(
            self.extensions(resource_type)
                .map(|schema| schema.urn.as_ref()),
        );
        if resource_type == ResourceType::User {
            urns.extend(self.open.iter().map(String::as_str));
        }
        urns.sort_by_key(|urn| std::cmp::Reverse(urn.len()));
        urns
    }

    /// What `name` at the root of a resource's JSON stands for. Extensions are not searched: in a body, their
    /// attributes stand under their URN.
    pub fn at_root(&self, resource_type: ResourceType, name: &str) -> Place<'_> {
        let described = find(&self.core(resource_type).attributes, name);
        match described.or_else(|| find(&COMMON, name)) {
            Some(attribute) => Place::Known {
                urn: None,
                attribute,
            },
            None => self.kept(resource_type, None, name),
        }
    }

    /// What `name` under `urn` stands for, the core schema's URN included. URNs and names compare in any letter case.
    pub fn under(&self, resource_type: ResourceType, urn: &str, name: &str) -> Place<'_> {
        if self.core(resource_type).urn.eq_ignore_ascii_case(urn) {
            return self.at_root(resource_type, name);
        }
        for schema in self.extensions(resource_type) {
            if schema.urn.eq_ignore_ascii_case(urn) {
                let urn = Some(schema.urn.as_ref());
                return match find(&schema.attributes, name) {
                    Some(attribute) if self.kept.contains(attribute) => {
                        self.kept(resource_type, urn, name)
                    }
                    Some(attribute) => Place::Known { urn, attribute },
                    None => Place::Unknown,
                };
            }
        }
        match self.open_urn(resource_type, urn) {
            Some(urn) => Place::Open { urn },
            None => Place::Unknown,
        }
    }

    fn kept<'a>(
        &'a self,
        resource_type: ResourceType,
        urn: Option<&'a str>,
        name: &str,
    ) -> Place<'a> {
        match find(&self.kept, name) {
            Some(Attribute { name, .. }) if resource_type == ResourceType::User => {
                Place::Kept { urn, name }
            }
            _ => Place::Unknown,
        }
    }

    /// What `name` stands for at the root, or under a URN.
    pub fn at(&self, resource_type: ResourceType, urn: Option<&str>, name: &str) -> Place<'_> {
        match urn {
            Some(urn) => self.under(resource_type, urn, name),
            None => self.at_root(resource_type, name),
        }
    }

    /// Where a name is looked up, the first first, by URNs of extensions and none for the root: one behind a URN there
    /// alone; a bare one in the custom extension, the enterprise extension and at the root (design §3.5).
    pub fn lookup<'a>(
        &'a self,
        resource_type: ResourceType,
        urn: Option<&'a str>,
    ) -> impl Iterator<Item = Option<&'a str>> {
        let core = &self.core(resource_type).urn;
        let places = match (urn, resource_type) {
            (Some(urn), _) if !core.eq_ignore_ascii_case(urn) => [Some(Some(urn)), None, None],
            (None, ResourceType::User) => {
                let extensions = [self.custom_urn(), ENTERPRISE_URN];
                let [custom, enterprise] = extensions.map(|urn| Some(Some(urn)));
                [custom, enterprise, Some(None)]
            }
            _ => [Some(None), None, None],
        };
        places.into_iter().flatten()
    }

    /// Where a name of a filter or a list of attributes is looked up, as in [`lookup`](Self::lookup); but the bare name
    /// of a core attribute means that alone (RFC 7644 §3.10).
    pub fn lookup_core_first<'a>(
        &'a self,
        resource_type: ResourceType,
        urn: Option<&'a str>,
        name: &str,
    ) -> impl Iterator<Item = Option<&'a str>> {
        let root = matches!(self.at_root(resource_type, name), Place::Known { .. });
        let urn = match urn {
            None if root => Some(self.core(resource_type).urn.as_ref()),
            urn => urn,
        };
        self.lookup(resource_type, urn)
    }

    /// The kept extension whose URN is `urn` in any letter case.
    pub fn open_urn(&self, resource_type: ResourceType, urn: &str) -> Option<&str> {
        if resource_type != ResourceType::User {
            return None;
        }
        self.open
            .iter()
            .map(String::as_str)
            .find(|open| open.eq_ignore_ascii_case(urn))
    }

    /// What a name in a path stands for: under its URN if it has one, else at the root, else in the first extension that
    /// has it (C-16 `manager eq U2`, C-46 path `manager`). What a schema describes goes before what the configuration
    /// keeps, so that keeping a name takes nothing away.
    pub fn resolve(&self, resource_type: ResourceType, urn: Option<&str>, name: &str) -> Place<'_> {
        if let Some(urn) = urn {
            return self.under(resource_type, urn, name);
        }
        let root = self.at_root(resource_type, name);
        if matches!(root, Place::Known { .. }) {
            return root;
        }
        self.extensions(resource_type)
            .map(|schema| self.under(resource_type, &schema.urn, name))
            .find(|place| matches!(place, Place::Known { .. }))
            .unwrap_or(root)
    }
}

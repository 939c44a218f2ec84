//! The table itself: every attribute of the fixed schemas, as RFC 7643 describes it.

use std::borrow::Cow;

use super::{
    Attribute, ENTERPRISE_URN, GROUP_URN, Mutability, Returned, Schema, Type, USER_URN, Uniqueness,
};
use Mutability::{Immutable, ReadOnly, WriteOnly};

impl Attribute {
    pub(super) const fn new(name: &'static str, ty: Type, description: &'static str) -> Self {
        Self {
            name,
            ty,
            multi_valued: false,
            required: false,
            case_exact: matches!(ty, Type::Reference | Type::Binary),
            mutability: Mutability::ReadWrite,
            returned: Returned::Default,
            uniqueness: Uniqueness::None,
            canonical_values: &[],
            reference_types: if matches!(ty, Type::Reference) {
                &["external"]
            } else {
                &[]
            },
            sub_attributes: &[],
            description,
        }
    }

    pub(super) const fn string(name: &'static str, description: &'static str) -> Self {
        Self::new(name, Type::String, description)
    }

    const fn complex(
        name: &'static str,
        sub_attributes: &'static [Attribute],
        description: &'static str,
    ) -> Self {
        let mut attribute = Self::new(name, Type::Complex, description);
        attribute.sub_attributes = sub_attributes;
        attribute
    }

    const fn list(
        name: &'static str,
        sub_attributes: &'static [Attribute],
        description: &'static str,
    ) -> Self {
        Self::complex(name, sub_attributes, description).many()
    }

    const fn many(mut self) -> Self {
        self.multi_valued = true;
        self
    }

    const fn required(mut self) -> Self {
        self.required = true;
        self
    }

    const fn exact(mut self) -> Self {
        self.case_exact = true;
        self
    }

    const fn mutability(mut self, mutability: Mutability) -> Self {
        self.mutability = mutability;
        self
    }

    const fn returned(mut self, returned: Returned) -> Self {
        self.returned = returned;
        self
    }

    const fn unique(mut self) -> Self {
        self.uniqueness = Uniqueness::Server;
        self
    }

    const fn canonical(mut self, values: &'static [&'static str]) -> Self {
        self.canonical_values = values;
        self
    }

    const fn refers_to(mut self, types: &'static [&'static str]) -> Self {
        self.reference_types = types;
        self
    }
}

const fn primary() -> Attribute {
    Attribute::new(
        "primary",
        Type::Boolean,
        "The preferred value; true for one at the most",
    )
}

const fn display() -> Attribute {
    Attribute::string("display", "A name for people")
}

const fn kind(values: &'static [&'static str]) -> Attribute {
    Attribute::string("type", "What the value is for").canonical(values)
}

/// Attributes that every resource has beside its schema's (RFC 7643 §3.1). `externalId` stands in the schemas
/// themselves, because Microsoft's tooling looks for it there (C-70).
pub static COMMON: [Attribute; 3] = [
    Attribute::string("id", "The id that the server gave")
        .exact()
        .mutability(ReadOnly)
        .returned(Returned::Always)
        .unique(),
    Attribute::new("schemas", Type::Reference, "The schemas of the resource")
        .many()
        .returned(Returned::Always),
    Attribute::complex(
        "meta",
        &[
            Attribute::string("resourceType", "User or Group")
                .exact()
                .mutability(ReadOnly),
            Attribute::new("created", Type::DateTime, "When it was created").mutability(ReadOnly),
            Attribute::new("lastModified", Type::DateTime, "When it changed last")
                .mutability(ReadOnly),
            Attribute::new("location", Type::Reference, "Its URI").mutability(ReadOnly),
            Attribute::string("version", "Its entity tag")
                .exact()
                .mutability(ReadOnly),
        ],
        "What the server knows about the resource",
    )
    .mutability(ReadOnly),
];

const EXTERNAL_ID: Attribute =
    Attribute::string("externalId", "The id that the client gave").exact();

/// Core User (RFC 7643 §4.1).
pub static USER: Schema = Schema {
    urn: Cow::Borrowed(USER_URN),
    name: "User",
    description: "User Account",
    attributes: Cow::Borrowed(&[
        Attribute::string("userName", "The name by which the user signs in")
            .required()
            .unique(),
        EXTERNAL_ID,
        Attribute::complex(
            "name",
            &[
                Attribute::string("formatted", "The whole name"),
                Attribute::string("familyName", "Last name"),
                Attribute::string("givenName", "First name"),
                Attribute::string("middleName", "Middle names"),
                Attribute::string("honorificPrefix", "Title"),
                Attribute::string("honorificSuffix", "Suffix"),
            ],
            "The parts of the user's name",
        ),
        Attribute::string("displayName", "The name shown to people"),
        Attribute::string("nickName", "Casual name"),
        Attribute::new(
            "profileUrl",
            Type::Reference,
            "A page about the user, unchecked",
        ),
        Attribute::string("title", "Job title"),
        Attribute::string("userType", "Relation to the organisation"),
        Attribute::string("preferredLanguage", "Preferred language, unchecked"),
        Attribute::string("locale", "Locale, unchecked"),
        Attribute::string("timezone", "Time zone, unchecked"),
        Attribute::new(
            "active",
            Type::Boolean,
            "Whether the account is in use; false preserves it",
        ),
        Attribute::string("password", "Accepted and never stored")
            .exact()
            .mutability(WriteOnly)
            .returned(Returned::Never),
        Attribute::list(
            "emails",
            &[
                Attribute::string("value", "The address"),
                display(),
                kind(&["work", "home", "other"]),
                primary(),
            ],
            "E-mail addresses",
        ),
        Attribute::list(
            "phoneNumbers",
            &[
                Attribute::string("value", "The number, unchecked"),
                display(),
                kind(&["work", "home", "mobile", "fax", "pager", "other"]),
                primary(),
            ],
            "Telephone numbers",
        ),
        Attribute::list(
            "ims",
            &[
                Attribute::string("value", "The address"),
                display(),
                kind(&["aim", "gtalk", "icq", "xmpp", "msn", "skype", "qq", "yahoo"]),
                primary(),
            ],
            "Instant messaging addresses",
        ),
        Attribute::list(
            "photos",
            &[
                Attribute::new("value", Type::Reference, "URL of the picture"),
                display(),
                kind(&["photo", "thumbnail"]),
                primary(),
            ],
            "Pictures",
        ),
        Attribute::list(
            "addresses",
            &[
                Attribute::string("formatted", "The whole address"),
                Attribute::string("streetAddress", "Street and number"),
                Attribute::string("locality", "City"),
                Attribute::string("region", "State or region"),
                Attribute::string("postalCode", "Postal code"),
                Attribute::string("country", "Country, unchecked"),
                kind(&["work", "home", "other"]),
                primary(),
            ],
            "Postal addresses",
        ),
        Attribute::list(
            "groups",
            &[
                Attribute::string("value", "Id of the group")
                    .exact()
                    .mutability(ReadOnly),
                Attribute::new("$ref", Type::Reference, "URI of the group")
                    .refers_to(&["Group"])
                    .mutability(ReadOnly),
                Attribute::string("display", "Name of the group").mutability(ReadOnly),
                Attribute::string("type", "direct or indirect")
                    .canonical(&["direct", "indirect"])
                    .mutability(ReadOnly),
            ],
            "The groups that the user belongs to",
        )
        .mutability(ReadOnly),
        Attribute::list(
            "entitlements",
            &[
                Attribute::string("value", "The entitlement"),
                display(),
                kind(&[]),
                primary(),
            ],
            "Entitlements",
        ),
        Attribute::list(
            "roles",
            &[
                Attribute::string("value", "The role"),
                display(),
                kind(&[]),
                primary(),
            ],
            "Roles",
        ),
        Attribute::list(
            "x509Certificates",
            &[
                Attribute::new("value", Type::Binary, "The certificate, DER in Base64"),
                display(),
                kind(&[]),
                primary(),
            ],
            "Certificates",
        ),
    ]),
};

/// Enterprise User extension (RFC 7643 §4.3).
pub static ENTERPRISE_USER: Schema = Schema {
    urn: Cow::Borrowed(ENTERPRISE_URN),
    name: "EnterpriseUser",
    description: "Enterprise User",
    attributes: Cow::Borrowed(&[
        Attribute::string("employeeNumber", "Number of the employee"),
        Attribute::string("costCenter", "Cost centre"),
        Attribute::string("organization", "Organisation"),
        Attribute::string("division", "Division"),
        Attribute::string("department", "Department"),
        Attribute::complex(
            "manager",
            &[
                Attribute::string("value", "Id of the manager, unchecked (T-35)").exact(),
                Attribute::new("$ref", Type::Reference, "URI of the manager").refers_to(&["User"]),
                Attribute::string("displayName", "Name of the manager"),
            ],
            "The user's manager",
        ),
    ]),
};

/// Core Group (RFC 7643 §4.2).
pub static GROUP: Schema = Schema {
    urn: Cow::Borrowed(GROUP_URN),
    name: "Group",
    description: "Group",
    attributes: Cow::Borrowed(&[
        Attribute::string("displayName", "Name of the group")
            .required()
            .unique(),
        EXTERNAL_ID,
        Attribute::list(
            "members",
            &[
                Attribute::string("value", "Id of the member")
                    .exact()
                    .mutability(Immutable),
                Attribute::new("$ref", Type::Reference, "URI of the member")
                    .refers_to(&["User", "Group"])
                    .mutability(Immutable),
                Attribute::string("type", "User or Group")
                    .canonical(&["User", "Group"])
                    .mutability(Immutable),
                Attribute::string("display", "Name of the member").mutability(ReadOnly),
            ],
            "The members of the group",
        ),
    ]),
};

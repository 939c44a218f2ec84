//! What a client can learn about the appliance: ServiceProviderConfig, ResourceTypes and Schemas (RFC 7643 §§5-7,
//! C-70..C-73). All of it is read from the schema table and from the limits in force, so that what is announced is what
//! is built. No value is ever null (C-70).

use serde_json::{Value, json};

use super::Object;
use super::schema::{
    Attribute, Mutability, ResourceType, Returned, Schema, Schemas, Type, Uniqueness,
};

const SERVICE_PROVIDER_CONFIG_URN: &str =
    "urn:ietf:params:scim:schemas:core:2.0:ServiceProviderConfig";
const RESOURCE_TYPE_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:ResourceType";
const SCHEMA_URN: &str = "urn:ietf:params:scim:schemas:core:2.0:Schema";

/// The limits that clients are told.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Limits {
    /// Operations in a bulk request.
    pub bulk_operations: u64,
    /// Size of a bulk request in bytes.
    pub bulk_bytes: u64,
    /// Resources on a page when the client does not say.
    pub default_page: u64,
    /// Resources on a page at the most.
    pub max_page: u64,
}

/// `/ServiceProviderConfig` (RFC 7643 §5, RFC 9865 §4, C-72). `base` is the URL of the base path, without a slash at
/// its end.
pub fn service_provider_config(limits: &Limits, base: &str) -> Object {
    object([
        ("schemas", json!([SERVICE_PROVIDER_CONFIG_URN])),
        ("patch", json!({"supported": true})),
        (
            "bulk",
            json!({
                "supported": true,
                "maxOperations": limits.bulk_operations,
                "maxPayloadSize": limits.bulk_bytes,
            }),
        ),
        (
            "filter",
            json!({"supported": true, "maxResults": limits.max_page}),
        ),
        ("changePassword", json!({"supported": false})),
        ("sort", json!({"supported": true})),
        ("etag", json!({"supported": true})),
        (
            "pagination",
            json!({
                "cursor": true,
                "index": true,
                "defaultPaginationMethod": "index",
                "defaultPageSize": limits.default_page,
                "maxPageSize": limits.max_page,
            }),
        ),
        (
            "authenticationSchemes",
            json!([{
                "type": "oauthbearertoken",
                "name": "Bearer token",
                "description": "The secret token that the administrator made",
                "specUri": "https://www.rfc-editor.org/info/rfc6750",
                "primary": true,
            }]),
        ),
        (
            "meta",
            json!({
                "resourceType": "ServiceProviderConfig",
                "location": format!("{base}/ServiceProviderConfig"),
            }),
        ),
    ])
}

/// The resources of `/ResourceTypes` (RFC 7643 §6, C-73).
pub fn resource_types(schemas: &Schemas, base: &str) -> Vec<Object> {
    [ResourceType::User, ResourceType::Group]
        .map(|resource_type| {
            let core = schemas.core(resource_type);
            let extensions: Vec<_> = schemas
                .extensions(resource_type)
                .map(|extension| json!({"schema": extension.urn, "required": false}))
                .collect();
            let name = resource_type.name();
            object([
                ("schemas", json!([RESOURCE_TYPE_URN])),
                ("id", name.into()),
                ("name", name.into()),
                ("description", core.description.into()),
                ("endpoint", format!("/{}", resource_type.endpoint()).into()),
                ("schema", core.urn.as_ref().into()),
                ("schemaExtensions", extensions.into()),
                (
                    "meta",
                    json!({
                        "resourceType": "ResourceType",
                        "location": format!("{base}/ResourceTypes/{name}"),
                    }),
                ),
            ])
        })
        .into()
}

/// The resources of `/Schemas` (RFC 7643 §7, C-70): the core schemas and the described extensions.
pub fn schemas(schemas: &Schemas, base: &str) -> Vec<Object> {
    [ResourceType::User, ResourceType::Group]
        .into_iter()
        .flat_map(|resource_type| {
            std::iter::once(schemas.core(resource_type)).chain(schemas.extensions(resource_type))
        })
        .map(|schema| described(schema, base))
        .collect()
}

/// The one among `resources` whose id is `id`, in any letter case (C-71).
pub fn find(resources: Vec<Object>, id: &str) -> Option<Object> {
    resources.into_iter().find(|resource| {
        resource
            .get("id")
            .and_then(Value::as_str)
            .is_some_and(|own| own.eq_ignore_ascii_case(id))
    })
}

fn described(schema: &Schema, base: &str) -> Object {
    object([
        ("schemas", json!([SCHEMA_URN])),
        ("id", schema.urn.as_ref().into()),
        ("name", schema.name.into()),
        ("description", schema.description.into()),
        ("attributes", attributes(&schema.attributes)),
        (
            "meta",
            json!({
                "resourceType": "Schema",
                "location": format!("{base}/Schemas/{}", schema.urn),
            }),
        ),
    ])
}

/// What is never returned is not announced: a client that wrote it would look for it in vain (`password`).
fn attributes(attributes: &[Attribute]) -> Value {
    attributes
        .iter()
        .filter(|attribute| attribute.returned != Returned::Never)
        .map(|attribute| Value::Object(characteristics(attribute)))
        .collect()
}

fn characteristics(attribute: &Attribute) -> Object {
    let mut body = object([
        ("name", attribute.name.into()),
        ("type", type_word(attribute.ty).into()),
        ("multiValued", attribute.multi_valued.into()),
        ("description", attribute.description.into()),
        ("required", attribute.required.into()),
        ("caseExact", attribute.case_exact.into()),
        ("mutability", mutability_word(attribute.mutability).into()),
        ("returned", returned_word(attribute.returned).into()),
        ("uniqueness", uniqueness_word(attribute.uniqueness).into()),
    ]);
    if !attribute.canonical_values.is_empty() {
        body.insert("canonicalValues".into(), attribute.canonical_values.into());
    }
    if !attribute.reference_types.is_empty() {
        body.insert("referenceTypes".into(), attribute.reference_types.into());
    }
    if attribute.ty == Type::Complex {
        body.insert("subAttributes".into(), attributes(attribute.sub_attributes));
    }
    body
}

fn type_word(ty: Type) -> &'static str {
    match ty {
        Type::String => "string",
        Type::Boolean => "boolean",
        Type::DateTime => "dateTime",
        Type::Reference => "reference",
        Type::Binary => "binary",
        Type::Complex => "complex",
    }
}

fn mutability_word(mutability: Mutability) -> &'static str {
    match mutability {
        Mutability::ReadOnly => "readOnly",
        Mutability::ReadWrite => "readWrite",
        Mutability::Immutable => "immutable",
        Mutability::WriteOnly => "writeOnly",
    }
}

fn returned_word(returned: Returned) -> &'static str {
    match returned {
        Returned::Always => "always",
        Returned::Default => "default",
        Returned::Never => "never",
    }
}

fn uniqueness_word(uniqueness: Uniqueness) -> &'static str {
    match uniqueness {
        Uniqueness::None => "none",
        Uniqueness::Server => "server",
    }
}

fn object<const N: usize>(members: [(&str, Value); N]) -> Object {
    members
        .into_iter()
        .map(|(name, value)| (name.to_owned(), value))
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::scim::schema::{CUSTOM_URN, ENTERPRISE_URN, GROUP_URN, USER_URN};

    const BASE: &str = "https://scim.example.test/scim";

    fn table() -> Schemas {
        Schemas::new(CUSTOM_URN, &["city".to_owned()])
    }

    /// Goes through a value to its leaves.
    fn no_nulls(value: &Value) {
        match value {
            Value::Null => panic!("a null"),
            Value::Array(values) => values.iter().for_each(no_nulls),
            Value::Object(members) => members.values().for_each(no_nulls),
            _ => {}
        }
    }

    fn attribute<'a>(schema: &'a Object, name: &str) -> &'a Value {
        schema["attributes"]
            .as_array()
            .unwrap()
            .iter()
            .find(|attribute| attribute["name"] == name)
            .unwrap_or_else(|| panic!("{name} is not announced"))
    }

    fn canonical(schema: &Object, name: &str) -> Value {
        let kinds = attribute(schema, name)["subAttributes"].as_array().unwrap();
        let kind = kinds.iter().find(|sub| sub["name"] == "type").unwrap();
        kind.get("canonicalValues").cloned().unwrap_or(Value::Null)
    }

    #[test]
    fn schemas_are_those_of_the_table() {
        let all = schemas(&table(), BASE);
        let ids: Vec<_> = all.iter().map(|schema| schema["id"].clone()).collect();
        assert_eq!(ids, [USER_URN, ENTERPRISE_URN, CUSTOM_URN, GROUP_URN]);
        for schema in &all {
            schema.values().for_each(no_nulls);
            assert_eq!(
                schema["meta"]["location"],
                format!("{BASE}/Schemas/{}", schema["id"].as_str().unwrap())
            );
        }
        let user = find(all.clone(), &USER_URN.to_uppercase()).expect("C-71");
        assert_eq!(
            canonical(&user, "emails"),
            json!(["work", "home", "other"]),
            "C-70"
        );
        assert_eq!(canonical(&user, "roles"), Value::Null, "C-70");
        attribute(&user, "externalId");
        assert_eq!(attribute(&user, "userName")["uniqueness"], "server");
        assert!(!user["attributes"].to_string().contains("password"));
        attribute(&find(all.clone(), GROUP_URN).unwrap(), "externalId");
        attribute(&find(all.clone(), CUSTOM_URN).unwrap(), "city");
        assert_eq!(find(all, "urn:none"), None, "C-71");
    }

    #[test]
    fn resource_types_name_their_schemas() {
        let all = resource_types(&table(), BASE);
        assert_eq!(all.len(), 2, "C-73");
        let user = find(all.clone(), "User").unwrap();
        assert_eq!(user["endpoint"], "/Users");
        assert_eq!(user["schema"], USER_URN);
        assert_eq!(
            user["schemaExtensions"],
            json!([{"schema": ENTERPRISE_URN, "required": false}, {"schema": CUSTOM_URN, "required": false}])
        );
        let group = find(all, "Group").unwrap();
        assert_eq!(group["schemaExtensions"], json!([]));
        assert_eq!(
            group["meta"]["location"],
            format!("{BASE}/ResourceTypes/Group")
        );
    }

    #[test]
    fn the_configuration_tells_the_limits() {
        let limits = Limits {
            bulk_operations: 10,
            bulk_bytes: 20,
            default_page: 30,
            max_page: 40,
        };
        let config = service_provider_config(&limits, BASE);
        config.values().for_each(no_nulls);
        assert_eq!(config["patch"]["supported"], true, "C-72");
        assert_eq!(
            config["authenticationSchemes"][0]["type"], "oauthbearertoken",
            "C-72"
        );
        assert_eq!(
            config["bulk"],
            json!({"supported": true, "maxOperations": 10, "maxPayloadSize": 20})
        );
        assert_eq!(config["filter"]["maxResults"], 40);
        assert_eq!(config["pagination"]["defaultPageSize"], 30);
    }
}

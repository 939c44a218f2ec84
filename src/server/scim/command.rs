//! What a mutating request asks for, from a request of its own or an operation of a bulk request: understood without
//! the database, then carried out by one function of the directory.

use serde_json::Value;

use crate::directory::audit::Origin;
use crate::directory::view::Representation;
use crate::directory::{Directory, Refusal};
use crate::scim;
use crate::scim::patch::{self, Patch};
use crate::scim::query::Projection;
use crate::scim::resource::{self, Parsed};
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::version::Condition;

/// A change to one resource.
pub enum Command {
    /// POST to a collection.
    Create(ResourceType, Parsed),
    /// PUT of a resource.
    Replace(ResourceType, String, Parsed),
    /// PATCH of a resource.
    Patch(ResourceType, String, Patch),
    /// DELETE of a resource.
    Delete(ResourceType, String),
}

/// What a method does to a resource, in the words of the audit.
pub fn action(method: &str, resource_type: ResourceType) -> String {
    let act = match method {
        "PUT" => "replace",
        "PATCH" => "patch",
        "DELETE" => "delete",
        _ => "create",
    };
    format!("{}.{act}", resource_type.name().to_ascii_lowercase())
}

/// What came of a command.
pub struct Done {
    /// The status.
    pub status: u16,
    /// The resource, where the answer shows it.
    pub representation: Option<Representation>,
}

impl Command {
    /// A POST with this body to a collection.
    pub fn create(
        resource_type: ResourceType,
        body: Value,
        schemas: &Schemas,
    ) -> Result<Self, scim::Error> {
        Ok(Self::Create(
            resource_type,
            resource::parse(body, resource_type, schemas)?,
        ))
    }

    /// A PUT of the resource with this id.
    pub fn replace(
        resource_type: ResourceType,
        id: String,
        body: Value,
        schemas: &Schemas,
    ) -> Result<Self, scim::Error> {
        let parsed = resource::parse(body, resource_type, schemas)?;
        Ok(Self::Replace(resource_type, id, parsed))
    }

    /// A PATCH of the resource with this id.
    pub fn patch(
        resource_type: ResourceType,
        id: String,
        body: Value,
        schemas: &Schemas,
    ) -> Result<Self, scim::Error> {
        let patch = patch::parse(body, resource_type, schemas)?;
        Ok(Self::Patch(resource_type, id, patch))
    }

    /// Has the directory do it. `projection` decides what is read for the answer.
    pub async fn execute(
        self,
        directory: &Directory,
        origin: &Origin,
        condition: Condition,
        projection: &Projection,
    ) -> Result<Done, Refusal> {
        use ResourceType::{Group, User};
        let (status, representation) = match self {
            Self::Create(User, parsed) => (201, Some(directory.create_user(origin, parsed).await?)),
            Self::Create(Group, parsed) => {
                let group = directory.create_group(origin, parsed, projection).await?;
                (201, Some(group))
            }
            Self::Replace(User, id, parsed) => {
                let user = directory
                    .replace_user(origin, &id, parsed, condition)
                    .await?;
                (200, Some(user))
            }
            Self::Replace(Group, id, parsed) => {
                let group = directory
                    .replace_group(origin, &id, parsed, condition, projection)
                    .await?;
                (200, Some(group))
            }
            Self::Patch(User, id, patch) => {
                let user = directory.patch_user(origin, &id, patch, condition).await?;
                (200, Some(user))
            }
            Self::Patch(Group, id, patch) => {
                let group = directory
                    .patch_group(origin, &id, patch, condition, projection)
                    .await?;
                (if group.is_some() { 200 } else { 204 }, group)
            }
            Self::Delete(User, id) => {
                directory.delete_user(origin, &id, condition).await?;
                (204, None)
            }
            Self::Delete(Group, id) => {
                directory.delete_group(origin, &id, condition).await?;
                (204, None)
            }
        };
        Ok(Done {
            status,
            representation,
        })
    }
}

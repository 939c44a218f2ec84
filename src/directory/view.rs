//! How stored users and groups look to SCIM: the resource with its id, its `meta`, and what it is connected to.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::utf8_percent_encode;
use rusqlite::Connection;
use serde_json::{Value, json};

use crate::scim::Object;
use crate::scim::resource::{Meta, SEGMENT, render};
use crate::scim::schema::{ResourceType, Schemas};
use crate::store::groups::{self, Group, Reference};
use crate::store::users::User;
use crate::store::{self, text};

/// A resource as SCIM shows it, before a projection.
#[derive(Debug, Clone)]
pub struct Representation {
    /// Its id.
    pub id: String,
    /// Its weak entity tag.
    pub etag: String,
    /// Its URL.
    pub location: String,
    /// All of it.
    pub resource: Object,
}

/// What every representation is made with.
#[derive(Clone)]
pub struct View {
    /// The schemas that resources follow.
    pub schemas: Arc<Schemas>,
    /// URL of the announced base path, without a slash at its end.
    pub base: Arc<str>,
}

impl View {
    /// A user, with the groups that it belongs to if `groups` says so. Without them its version is not the one that
    /// clients know.
    pub fn user(
        &self,
        connection: &Connection,
        user: &User,
        groups: bool,
    ) -> Result<Representation, store::Error> {
        let groups = match groups {
            true => groups::groups_of_user(connection, user.seq)?,
            false => Vec::new(),
        };
        Ok(self.user_in(user, &groups))
    }

    /// A user that belongs to these groups.
    pub fn user_in(&self, user: &User, groups: &[Reference]) -> Representation {
        let elements: Vec<_> = groups
            .iter()
            .map(|group| {
                let kind = if group.direct { "direct" } else { "indirect" };
                self.reference(group, kind)
            })
            .collect();
        let version = match elements.is_empty() {
            true => user.version.to_string(),
            // The groups of a user change without the user: their part of the version comes from what is shown.
            false => format!("{}-{}", user.version, fingerprint(&elements)),
        };
        let meta = [&user.created, &user.modified];
        let mut shown =
            self.represent(ResourceType::User, &user.id, &version, meta, &user.resource);
        if !elements.is_empty() {
            shown.resource.insert("groups".to_owned(), elements.into());
        }
        shown
    }

    /// A group, with its members if `members` says so.
    pub fn group(
        &self,
        connection: &Connection,
        group: &Group,
        members: bool,
    ) -> Result<Representation, store::Error> {
        let version = group.version.to_string();
        let meta = [&group.created, &group.modified];
        let mut shown = self.represent(
            ResourceType::Group,
            &group.id,
            &version,
            meta,
            &group.resource,
        );
        if members {
            let members = groups::members(connection, group.seq)?;
            let elements = members
                .iter()
                .map(|member| self.reference(member, member.kind.name()))
                .collect();
            // An empty list is shown too: clients of groups read it (C-90).
            shown
                .resource
                .insert("members".to_owned(), Value::Array(elements));
        }
        Ok(shown)
    }

    fn represent(
        &self,
        resource_type: ResourceType,
        id: &str,
        version: &str,
        [created, modified]: [&jiff::Timestamp; 2],
        attributes: &Object,
    ) -> Representation {
        let etag = format!("W/\"{version}\"");
        let location = self.location(resource_type, id);
        let meta = Meta {
            created: text::instant(*created),
            last_modified: text::instant(*modified),
            location: location.clone(),
            version: etag.clone(),
        };
        Representation {
            id: id.to_owned(),
            etag,
            location,
            resource: render(attributes, id, &meta, resource_type, &self.schemas),
        }
    }

    /// URL of the resource with this id, which may be one that a client made up.
    pub fn location(&self, resource_type: ResourceType, id: &str) -> String {
        let id = utf8_percent_encode(id, SEGMENT);
        format!("{}/{}/{id}", self.base, resource_type.endpoint())
    }

    fn reference(&self, to: &Reference, kind: &str) -> Value {
        json!({
            "value": to.id,
            "$ref": self.location(to.kind, &to.id),
            "display": to.display,
            "type": kind,
        })
    }
}

/// A few letters that differ when the elements do.
fn fingerprint(elements: &[Value]) -> String {
    let text = Value::from(elements).to_string();
    let digest = digest(&SHA256, text.as_bytes());
    let letters = digest.as_ref().iter().take(6);
    letters.map(|byte| format!("{byte:02x}")).collect()
}

//! How stored users and groups look to SCIM: the resource with its id, its `meta`, and what it is connected to.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::utf8_percent_encode;
use rusqlite::Connection;
use serde::Serialize;

use crate::scim::Object;
use crate::scim::query::Projection;
use crate::scim::resource::{Meta, SEGMENT, render, render_json};
use crate::scim::schema::{ResourceType, Schemas};
use crate::store::groups::{self, Reference};
use crate::store::list::Stored;
use crate::store::users::User;
use crate::store::{self, text};

/// A stored resource with what SCIM adds to it.
#[derive(Debug, Clone)]
pub struct Representation {
    /// Its type.
    pub resource_type: ResourceType,
    /// Its row.
    pub stored: Stored,
    /// Its URL.
    pub location: String,
    /// Its weak entity tag.
    pub etag: String,
    connected: Option<Connected>,
}

/// What a resource shows of others: a user its groups, a group its members.
#[derive(Debug, Clone)]
struct Connected {
    name: &'static str,
    /// A JSON array.
    text: String,
}

/// One element of that array.
#[derive(Serialize)]
struct Element<'a> {
    value: &'a str,
    #[serde(rename = "$ref")]
    reference: String,
    display: &'a str,
    #[serde(rename = "type")]
    kind: &'static str,
}

impl Representation {
    fn meta(&self) -> Meta<'_> {
        Meta {
            resource_type: self.resource_type.name(),
            created: &self.stored.created,
            last_modified: &self.stored.modified,
            location: &self.location,
            version: &self.etag,
        }
    }
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
    /// A stored resource, with these groups of a user or members of a group. Without its groups the version of a user is
    /// not the one that clients know; a group has no members where they are not shown.
    pub fn representation(
        &self,
        resource_type: ResourceType,
        stored: Stored,
        connected: Option<&[Reference]>,
    ) -> Result<Representation, store::Error> {
        let connected = match (resource_type, connected) {
            (_, None) => None,
            (ResourceType::User, Some(groups)) => self.groups(groups)?,
            (ResourceType::Group, Some(members)) => Some(self.members(members)?),
        };
        let groups = connected.as_ref();
        let groups = groups.filter(|_| resource_type == ResourceType::User);
        Ok(Representation {
            resource_type,
            location: self.location(resource_type, &stored.id),
            etag: etag(stored.version, groups),
            stored,
            connected,
        })
    }

    /// The same, with what it is connected to read where `connected` says so.
    pub fn read(
        &self,
        connection: &Connection,
        resource_type: ResourceType,
        stored: Stored,
        connected: bool,
    ) -> Result<Representation, store::Error> {
        let seq = stored.seq;
        let connected = connected.then(|| match resource_type {
            ResourceType::User if !stored.grouped => Ok(Vec::new()),
            ResourceType::User => groups::groups_of_user(connection, seq),
            ResourceType::Group => groups::members(connection, seq),
        });
        self.representation(resource_type, stored, connected.transpose()?.as_deref())
    }

    /// All of a resource as an object.
    pub fn whole(&self, of: &Representation) -> Result<Object, store::Error> {
        let attributes = of.stored.attributes()?;
        self.object(&attributes, of)
    }

    /// All of a user that belongs to these groups.
    pub fn user(&self, user: &User, groups: &[Reference]) -> Result<Object, store::Error> {
        let stored = user.stored(text::object(&user.resource)?);
        let of = self.representation(ResourceType::User, stored, Some(groups))?;
        self.object(&user.resource, &of)
    }

    /// What `projection` shows of a resource, as JSON. Where that is all, its text goes out as it is stored.
    pub fn json(
        &self,
        of: &Representation,
        projection: &Projection,
    ) -> Result<Vec<u8>, store::Error> {
        if *projection != Projection::Default {
            let seen = projection.apply(self.whole(of)?, of.resource_type, &self.schemas);
            return serde_json::to_vec(&seen).map_err(unwritable);
        }
        let connected = of.connected.as_ref();
        let connected = connected.map(|connected| (connected.name, connected.text.as_str()));
        let (stored, schemas) = (&of.stored, &self.schemas);
        render_json(
            &stored.resource,
            &stored.id,
            &of.meta(),
            connected,
            of.resource_type,
            schemas,
        )
        .map_err(unwritable)
    }

    fn object(&self, attributes: &Object, of: &Representation) -> Result<Object, store::Error> {
        let (id, kind) = (&of.stored.id, of.resource_type);
        let mut resource = render(attributes, id, &of.meta(), kind, &self.schemas);
        if let Some(Connected { name, text }) = &of.connected {
            let elements = serde_json::from_str(text).map_err(unwritable)?;
            resource.insert((*name).to_owned(), elements);
        }
        Ok(resource)
    }

    /// The weak entity tag of a user that belongs to these groups.
    pub fn user_etag(&self, version: i64, groups: &[Reference]) -> Result<String, store::Error> {
        Ok(etag(version, self.groups(groups)?.as_ref()))
    }

    fn groups(&self, groups: &[Reference]) -> Result<Option<Connected>, store::Error> {
        if groups.is_empty() {
            return Ok(None);
        }
        let elements = groups.iter().map(|group| {
            let kind = if group.direct { "direct" } else { "indirect" };
            self.element(group, kind)
        });
        let text = array(elements)?;
        Ok(Some(Connected {
            name: "groups",
            text,
        }))
    }

    /// An empty list is shown too: clients of groups read it (C-90).
    fn members(&self, members: &[Reference]) -> Result<Connected, store::Error> {
        let elements = members
            .iter()
            .map(|member| self.element(member, member.kind.name()));
        let text = array(elements)?;
        Ok(Connected {
            name: "members",
            text,
        })
    }

    fn element<'a>(&self, to: &'a Reference, kind: &'static str) -> Element<'a> {
        Element {
            value: &to.id,
            reference: self.location(to.kind, &to.id),
            display: &to.display,
            kind,
        }
    }

    /// URL of the resource with this id, which may be one that a client made up.
    pub fn location(&self, resource_type: ResourceType, id: &str) -> String {
        let endpoint = resource_type.endpoint();
        let parts = [&*self.base, "/", endpoint, "/"].into_iter();
        let mut location = String::with_capacity(self.base.len() + endpoint.len() + id.len() + 2);
        location.extend(parts.chain(utf8_percent_encode(id, SEGMENT)));
        location
    }
}

/// The weak entity tag of the group that has this version.
pub fn group_etag(version: i64) -> String {
    etag(version, None)
}

/// The weak entity tag of what has this version. The groups of a user change without the user: their part of the tag
/// comes from what is shown.
fn etag(version: i64, groups: Option<&Connected>) -> String {
    match groups {
        Some(groups) => format!("W/\"{version}-{}\"", fingerprint(&groups.text)),
        None => format!("W/\"{version}\""),
    }
}

/// Elements as a JSON array.
fn array<'a>(elements: impl Iterator<Item = Element<'a>>) -> Result<String, store::Error> {
    let mut text = String::from("[");
    for element in elements {
        if text.len() > 1 {
            text.push(',');
        }
        text.push_str(&serde_json::to_string(&element).map_err(unwritable)?);
    }
    text.push(']');
    Ok(text)
}

/// What cannot be made into JSON, or read back from it: the file holds something that is none.
fn unwritable(error: serde_json::Error) -> store::Error {
    store::Error::Sqlite(error.to_string())
}

/// A few letters that differ when the elements do.
fn fingerprint(elements: &str) -> String {
    let digest = digest(&SHA256, elements.as_bytes());
    let letters = digest.as_ref().iter().take(6);
    letters.map(|byte| format!("{byte:02x}")).collect()
}

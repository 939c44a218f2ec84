//! How stored users and groups look to SCIM: the resource with its id, its `meta`, and what it is connected to.

use std::sync::Arc;

use aws_lc_rs::digest::{SHA256, digest};
use percent_encoding::utf8_percent_encode;
use rusqlite::Connection;
use serde::Serialize;
use serde_json::value::{RawValue, to_raw_value};

use crate::scim::Object;
use crate::scim::query::Projection;
use crate::scim::resource::{Meta, SEGMENT, render, render_text};
use crate::scim::schema::{ResourceType, Schemas};
use crate::store::groups::{self, Group, Reference};
use crate::store::list::Stored;
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

/// A stored resource on its way out. As JSON it is what the client sees.
#[derive(Debug, Clone, Serialize)]
#[serde(transparent)]
pub struct Shown {
    /// Its weak entity tag.
    #[serde(skip)]
    pub etag: String,
    /// What the client sees of it.
    pub resource: Box<RawValue>,
}

/// What a resource shows of others: a user its groups, a group its members.
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

/// What every representation is made with.
#[derive(Clone)]
pub struct View {
    /// The schemas that resources follow.
    pub schemas: Arc<Schemas>,
    /// URL of the announced base path, without a slash at its end.
    pub base: Arc<str>,
}

impl View {
    /// A user that belongs to these groups.
    pub fn user(&self, user: &User, groups: &[Reference]) -> Result<Representation, store::Error> {
        let instants = [user.created, user.modified].map(text::instant);
        let connected = self.groups(groups)?;
        let kind = ResourceType::User;
        let meta = self.meta(kind, &user.id, user.version, instants, connected.as_ref());
        self.represent(kind, &user.id, meta, &user.resource, connected)
    }

    /// A group, with these members where they are shown.
    pub fn group(
        &self,
        group: &Group,
        members: Option<&[Reference]>,
    ) -> Result<Representation, store::Error> {
        let instants = [group.created, group.modified].map(text::instant);
        let connected = members.map(|members| self.members(members)).transpose()?;
        let kind = ResourceType::Group;
        let meta = self.meta(kind, &group.id, group.version, instants, None);
        self.represent(kind, &group.id, meta, &group.resource, connected)
    }

    /// The weak entity tag of a user that belongs to these groups.
    pub fn user_etag(&self, version: i64, groups: &[Reference]) -> Result<String, store::Error> {
        Ok(etag(version, self.groups(groups)?.as_ref()))
    }

    /// A stored resource, with what it is connected to if `connected` says so. Without its groups the version of a user
    /// is not the one that clients know.
    pub fn whole(
        &self,
        connection: &Connection,
        resource_type: ResourceType,
        stored: &Stored,
        connected: bool,
    ) -> Result<Representation, store::Error> {
        let connected = self.connected(connection, resource_type, stored.seq, connected)?;
        let meta = self.meta_of(resource_type, stored, connected.as_ref());
        let attributes = stored.attributes()?;
        self.represent(resource_type, &stored.id, meta, &attributes, connected)
    }

    /// What `projection` shows of a stored resource. Where that is all, its text goes out as it is stored.
    pub fn shown(
        &self,
        connection: &Connection,
        resource_type: ResourceType,
        stored: &Stored,
        projection: &Projection,
    ) -> Result<Shown, store::Error> {
        // The groups of a user are a part of its version, whether or not they are shown.
        let wanted = resource_type == ResourceType::User || projection.wants("members");
        if *projection != Projection::Default {
            let whole = self.whole(connection, resource_type, stored, wanted)?;
            let seen = projection.apply(whole.resource, resource_type, &self.schemas);
            let resource = to_raw_value(&seen).map_err(unwritable)?;
            let etag = whole.etag;
            return Ok(Shown { etag, resource });
        }
        let connected = self.connected(connection, resource_type, stored.seq, wanted)?;
        let meta = self.meta_of(resource_type, stored, connected.as_ref());
        let connected = connected.as_ref();
        let connected = connected.map(|connected| (connected.name, connected.text.as_str()));
        let (id, schemas) = (&stored.id, &self.schemas);
        let text = render_text(
            &stored.resource,
            id,
            &meta,
            connected,
            resource_type,
            schemas,
        );
        let (etag, resource) = (meta.version, text.map_err(unwritable)?);
        Ok(Shown { etag, resource })
    }

    /// What a resource is connected to, if `wanted`.
    fn connected(
        &self,
        connection: &Connection,
        resource_type: ResourceType,
        seq: i64,
        wanted: bool,
    ) -> Result<Option<Connected>, store::Error> {
        match resource_type {
            _ if !wanted => Ok(None),
            ResourceType::User => self.groups(&groups::groups_of_user(connection, seq)?),
            ResourceType::Group => self.members(&groups::members(connection, seq)?).map(Some),
        }
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

    fn meta_of(
        &self,
        resource_type: ResourceType,
        stored: &Stored,
        connected: Option<&Connected>,
    ) -> Meta {
        let instants = [stored.created.clone(), stored.modified.clone()];
        self.meta(
            resource_type,
            &stored.id,
            stored.version,
            instants,
            connected,
        )
    }

    fn meta(
        &self,
        resource_type: ResourceType,
        id: &str,
        version: i64,
        [created, last_modified]: [String; 2],
        connected: Option<&Connected>,
    ) -> Meta {
        let groups = connected.filter(|_| resource_type == ResourceType::User);
        let version = etag(version, groups);
        Meta {
            created,
            last_modified,
            location: self.location(resource_type, id),
            version,
        }
    }

    fn represent(
        &self,
        resource_type: ResourceType,
        id: &str,
        meta: Meta,
        attributes: &Object,
        connected: Option<Connected>,
    ) -> Result<Representation, store::Error> {
        let mut resource = render(attributes, id, &meta, resource_type, &self.schemas);
        if let Some(Connected { name, text }) = connected {
            let elements = serde_json::from_str(&text).map_err(unwritable)?;
            resource.insert(name.to_owned(), elements);
        }
        Ok(Representation {
            id: id.to_owned(),
            etag: meta.version,
            location: meta.location,
            resource,
        })
    }

    /// URL of the resource with this id, which may be one that a client made up.
    pub fn location(&self, resource_type: ResourceType, id: &str) -> String {
        let id = utf8_percent_encode(id, SEGMENT);
        format!("{}/{}/{id}", self.base, resource_type.endpoint())
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

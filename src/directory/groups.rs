//! Groups: create, replace, patch, remove, and who is a member (RFC 7644 §3, C-90..C-109).
//!
//! A member is named by the id of a visible user or of a group. An id that is neither is skipped and named in the audit
//! entry: identity providers send groups before all of their people are there, and repeat what is refused for ever
//! (C-103).

use std::collections::BTreeSet;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::{Value, json};

use super::account::text;
use super::audit::{Entry, Origin, Verdict, listed, short};
use super::reading::not_found;
use super::view::{Representation, View, group_etag};
use super::{Directory, Refusal, storable};
use crate::scim::patch::{self, MemberChange, Patch};
use crate::scim::query::Projection;
use crate::scim::resource::{self, Parsed};
use crate::scim::schema::ResourceType;
use crate::scim::version::Condition;
use crate::scim::{Error, Object, ScimType};
use crate::store::groups::{self, Group, Reference};
use crate::store::id;
use crate::store::list::Stored;
use crate::store::text::object as text_of;

impl Directory {
    /// Creates a group (RFC 7644 §3.3). Its members are read again only if `projection` shows them.
    pub async fn create_group(
        &self,
        origin: &Origin,
        parsed: Parsed,
        projection: &Projection,
    ) -> Result<Representation, Refusal> {
        let members = projection.wants("members");
        let entry = Entry::new("group.create", 201).about("Group", None);
        self.change(origin, entry, move |connection, entry, now| {
            let stored = Change::new(connection, entry, now).create(parsed)?;
            with_members(connection, stored, members)
        })
        .await
        .and_then(|row| row.shown(&self.view))
    }

    /// Replaces the group by another resource (RFC 7644 §3.5.1); without `externalId` it keeps its own. Its members
    /// are then those of the new resource.
    pub async fn replace_group(
        &self,
        origin: &Origin,
        id: &str,
        parsed: Parsed,
        condition: Condition,
        projection: &Projection,
    ) -> Result<Representation, Refusal> {
        let members = projection.wants("members");
        let entry = Entry::new("group.replace", 200).about("Group", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let before = existing(connection, entry, &id, &condition)?;
            entry.skipped(&parsed.skipped);
            let mut attributes = parsed.attributes;
            let wanted = MemberChange::Replace(patch::members_of(&mut attributes));
            if let (None, Some(kept)) = (
                attributes.get("externalId"),
                before.resource.get("externalId"),
            ) {
                attributes.insert("externalId".to_owned(), kept.clone());
            }
            let stored =
                Change::new(connection, entry, now).revise(before, attributes, &[wanted])?;
            with_members(connection, stored, members)
        })
        .await
        .and_then(|row| row.shown(&self.view))
    }

    /// Changes the group by a PATCH (RFC 7644 §3.5.2): all of its operations or none. What it costs depends on the
    /// members that the PATCH names, not on those that the group has; so the answer shows the group only where the
    /// client names the attributes that it wants.
    pub async fn patch_group(
        &self,
        origin: &Origin,
        id: &str,
        patch: Patch,
        condition: Condition,
        projection: &Projection,
    ) -> Result<Option<Representation>, Refusal> {
        let view = self.view.clone();
        let shown = matches!(projection, Projection::Only(_)).then(|| projection.wants("members"));
        let status = if shown.is_some() { 200 } else { 204 };
        let entry = Entry::new("group.patch", status).about("Group", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let before = existing(connection, entry, &id, &condition)?;
            let split = patch::take_members(patch, &view.schemas)?;
            let patched = patch::apply(
                &split.rest,
                &before.resource,
                ResourceType::Group,
                &view.schemas,
            )?;
            entry.skipped(&[split.skipped, patched.skipped].concat());
            let stored = Change::new(connection, entry, now).revise(
                before,
                patched.attributes,
                &split.members,
            )?;
            let shown = shown.map(|members| with_members(connection, stored, members));
            shown.transpose()
        })
        .await
        .and_then(|row| row.map(|row| row.shown(&self.view)).transpose())
    }

    /// Removes a group (RFC 7644 §3.6); its members stay.
    pub async fn delete_group(
        &self,
        origin: &Origin,
        id: &str,
        condition: Condition,
    ) -> Result<(), Refusal> {
        let entry = Entry::new("group.delete", 204).about("Group", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let group = existing(connection, entry, &id, &condition)?;
            let members = groups::member_count(connection, group.seq)?;
            entry.because(format!(
                "the identity provider deleted the group; its {members} members stay"
            ));
            entry.changes = Some(resource::changes(&group.resource, &Object::new()));
            groups::touch_parents(connection, group.seq, now)?;
            Ok(groups::delete(connection, &group)?)
        })
        .await
    }
}

/// What the representation of a group is made of, which nobody has to wait for in the writer.
struct Row {
    stored: Stored,
    members: Option<Vec<Reference>>,
}

impl Row {
    fn shown(self, view: &View) -> Result<Representation, Refusal> {
        let members = self.members.as_deref();
        Ok(view.representation(ResourceType::Group, self.stored, members)?)
    }
}

/// A group, with its members if `members` says so.
fn with_members(connection: &Connection, stored: Stored, members: bool) -> Result<Row, Refusal> {
    let members = members.then(|| groups::members(connection, stored.seq));
    Ok(Row {
        stored,
        members: members.transpose()?,
    })
}

/// The group with this id, if it has the version that the client wants.
fn existing(
    connection: &Connection,
    entry: &mut Entry,
    id: &str,
    condition: &Condition,
) -> Result<Group, Refusal> {
    let group = groups::get(connection, id)?.ok_or_else(|| not_found(ResourceType::Group, id))?;
    entry.target_name = group.text("displayName").map(str::to_owned);
    let etag = group_etag(group.version);
    match condition.holds(&etag) {
        true => Ok(group),
        false => Err(Refusal::Changed(etag)),
    }
}

/// Each of these ids once.
fn distinct(ids: &[String]) -> BTreeSet<&str> {
    ids.iter().map(String::as_str).collect()
}

/// A change to a group under way.
struct Change<'a> {
    connection: &'a Connection,
    entry: &'a mut Entry,
    now: Timestamp,
    added: BTreeSet<String>,
    removed: BTreeSet<String>,
    unknown: BTreeSet<String>,
}

impl<'a> Change<'a> {
    fn new(connection: &'a Connection, entry: &'a mut Entry, now: Timestamp) -> Self {
        Self {
            connection,
            entry,
            now,
            added: BTreeSet::new(),
            removed: BTreeSet::new(),
            unknown: BTreeSet::new(),
        }
    }

    fn create(mut self, parsed: Parsed) -> Result<Stored, Refusal> {
        let mut attributes = parsed.attributes;
        self.entry.target_name = text(&attributes, "displayName").map(str::to_owned);
        self.entry.skipped(&parsed.skipped);
        let members = patch::members_of(&mut attributes);
        self.refuse_taken("", &attributes)?;
        let as_stored = storable(&attributes)?;
        let (seq, id) = id::next(self.connection, groups::TABLE)?;
        let group = Group {
            seq,
            id,
            resource: attributes,
            version: 1,
            created: self.now,
            modified: self.now,
        };
        let stored = groups::insert(self.connection, &group, as_stored)?;
        self.entry.target_id = Some(group.id.clone());
        self.entry.because("the identity provider sent a new group");
        self.carry_out(stored.seq, &MemberChange::Add(members))?;
        let changes = self.tell(resource::changes(&Object::new(), &group.resource));
        self.entry.changes = Some(changes);
        Ok(stored)
    }

    /// Gives `before` new attributes and changes its members, in order; nothing is written where nothing differs.
    fn revise(
        mut self,
        before: Group,
        attributes: Object,
        members: &[MemberChange],
    ) -> Result<Stored, Refusal> {
        let changes = resource::changes(&before.resource, &attributes);
        let as_stored = match changes.is_empty() {
            true => text_of(&attributes)?,
            false => storable(&attributes)?,
        };
        if changes.contains_key("displayName") {
            self.refuse_taken(&before.id, &attributes)?;
            groups::touch_parents(self.connection, before.seq, self.now)?;
        }
        for change in members {
            self.carry_out(before.seq, change)?;
        }
        let changes = self.tell(changes);
        if changes.is_empty() {
            self.entry.verdict = Verdict::Unchanged;
            self.entry.because("it was already so");
            return Ok(before.stored(as_stored));
        }
        let changed: Vec<_> = changes.keys().collect();
        let sentence = format!("the identity provider changed {}", listed(&changed));
        self.entry.because(sentence);
        self.entry.changes = Some(changes);
        let group = Group {
            resource: attributes,
            version: before.version + 1,
            modified: self.now,
            ..before
        };
        Ok(groups::update(self.connection, &group, as_stored)?)
    }

    fn refuse_taken(&self, id: &str, attributes: &Object) -> Result<(), Refusal> {
        let display_name = text(attributes, "displayName").unwrap_or_default();
        match groups::named(self.connection, display_name)? {
            Some(other) if other.id != id => Err(Error::new(
                ScimType::Uniqueness,
                format!(
                    "displayName {} is taken by group {}",
                    short(display_name),
                    other.id
                ),
            )
            .into()),
            _ => Ok(()),
        }
    }

    fn carry_out(&mut self, group: i64, change: &MemberChange) -> Result<(), Refusal> {
        match change {
            MemberChange::Add(ids) => self.add(group, distinct(ids)),
            MemberChange::Remove(ids) => self.remove(group, distinct(ids)),
            MemberChange::Clear => {
                let present = groups::member_ids(self.connection, group)?;
                groups::clear(self.connection, group)?;
                present.into_keys().for_each(|id| self.is_out(id));
                Ok(())
            }
            MemberChange::Replace(ids) => self.replace(group, distinct(ids)),
        }
    }

    fn add(&mut self, group: i64, ids: BTreeSet<&str>) -> Result<(), Refusal> {
        for id in ids {
            // One that nobody has was looked for already, if an earlier operation named it.
            if self.unknown.contains(id) {
                continue;
            }
            match groups::find_member(self.connection, id)? {
                None => {
                    self.unknown.insert(id.to_owned());
                }
                Some(member) => {
                    if groups::add_member(self.connection, group, member)?
                        && !self.removed.remove(id)
                    {
                        self.added.insert(id.to_owned());
                    }
                }
            }
        }
        Ok(())
    }

    fn remove(&mut self, group: i64, ids: BTreeSet<&str>) -> Result<(), Refusal> {
        for id in ids {
            if let Some(member) = groups::find_member(self.connection, id)?
                && groups::remove_member(self.connection, group, member)?
            {
                self.is_out(id.to_owned());
            }
        }
        Ok(())
    }

    /// Leaves these members and no others; those that are there are not touched.
    fn replace(&mut self, group: i64, mut ids: BTreeSet<&str>) -> Result<(), Refusal> {
        for (id, member) in groups::member_ids(self.connection, group)? {
            if !ids.remove(id.as_str()) {
                groups::remove_member(self.connection, group, member)?;
                self.is_out(id);
            }
        }
        self.add(group, ids)
    }

    /// Notes that a member left; who had come by the same change was never there.
    fn is_out(&mut self, id: String) {
        if !self.added.remove(&id) {
            self.removed.insert(id);
        }
    }

    /// Adds what happened to the members to what changed, and names who is no member because nobody has the id.
    fn tell(&mut self, mut changes: Object) -> Object {
        if !self.unknown.is_empty() {
            let ids: Vec<_> = self.unknown.iter().collect();
            self.entry
                .because(format!("not a user or group, skipped: {}", listed(&ids)));
        }
        let mut members = Object::new();
        for (side, ids) in [("old", &self.removed), ("new", &self.added)] {
            if !ids.is_empty() {
                members.insert(side.to_owned(), json!(ids));
            }
        }
        if !members.is_empty() {
            changes.insert("members".to_owned(), Value::Object(members));
        }
        changes
    }
}

//! Users: create, replace, patch, remove (design §3.3, §3.7–3.11).

use std::collections::HashSet;
use std::sync::Arc;

use jiff::Timestamp;
use rusqlite::Connection;
use serde_json::Value;

use super::account::{self, text};
use super::audit::{Entry, Origin, Verdict, listed, short};
use super::lifecycle::{self, Event};
use super::places::{self, Seats};
use super::reading::not_found;
use super::view::{Representation, View};
use super::{Directory, Refusal, mapping, storable};
use crate::scim::patch::{self, Patch};
use crate::scim::resource::{self, Parsed};
use crate::scim::schema::{ResourceType, Schemas};
use crate::scim::version::Condition;
use crate::scim::{Error, Object, ScimType, fold};
use crate::store::groups::{self, Reference};
use crate::store::id;
use crate::store::list::Stored;
use crate::store::text::object as text_of;
use crate::store::users::{self, Assignment, Author, ManagedBy, Standing, Status, Touched, User};

impl Directory {
    /// Creates the user (RFC 7644 §3.3), adopts the hand-made account that has its name, or brings back the account
    /// of a person who was deleted.
    pub async fn create_user(
        &self,
        origin: &Origin,
        parsed: Parsed,
    ) -> Result<Representation, Refusal> {
        let (schemas, seats) = (Arc::clone(&self.view.schemas), self.settings.seats);
        let entry = Entry::new("user.create", 201).about("User", None);
        self.change(origin, entry, move |connection, entry, now| {
            let schemas = &schemas;
            let stored = Change {
                connection,
                entry,
                now,
                schemas,
                seats,
            }
            .create(parsed)?;
            with_groups(connection, stored)
        })
        .await
        .and_then(|(stored, groups)| self.represented(stored, &groups))
    }

    /// Replaces the user by another resource (RFC 7644 §3.5.1); what `active`, `externalId` and kept extension
    /// attributes were stays where the new resource leaves them out.
    pub async fn replace_user(
        &self,
        origin: &Origin,
        id: &str,
        parsed: Parsed,
        condition: Condition,
    ) -> Result<Representation, Refusal> {
        let (view, seats) = (self.view.clone(), self.settings.seats);
        let entry = Entry::new("user.replace", 200).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let schemas = &view.schemas;
            let before = existing(connection, entry, &view, &id, &condition)?;
            entry.skipped(&parsed.skipped);
            let attributes = with_kept(parsed.attributes, &before.resource, schemas);
            let stored = Change {
                connection,
                entry,
                now,
                schemas,
                seats,
            }
            .write(before, attributes)?;
            with_groups(connection, stored)
        })
        .await
        .and_then(|(stored, groups)| self.represented(stored, &groups))
    }

    /// Changes the user by a PATCH (RFC 7644 §3.5.2): all of its operations or none.
    pub async fn patch_user(
        &self,
        origin: &Origin,
        id: &str,
        patch: Patch,
        condition: Condition,
    ) -> Result<Representation, Refusal> {
        let (view, seats) = (self.view.clone(), self.settings.seats);
        let entry = Entry::new("user.patch", 200).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let schemas = &view.schemas;
            let before = existing(connection, entry, &view, &id, &condition)?;
            let patched = patch::apply(&patch, &before.resource, ResourceType::User, schemas)?;
            entry.skipped(&patched.skipped);
            let stored = Change {
                connection,
                entry,
                now,
                schemas,
                seats,
            }
            .write(before, patched.attributes)?;
            with_groups(connection, stored)
        })
        .await
        .and_then(|(stored, groups)| self.represented(stored, &groups))
    }

    fn represented(&self, stored: Stored, groups: &[Reference]) -> Result<Representation, Refusal> {
        let kind = ResourceType::User;
        Ok(self.view.representation(kind, stored, Some(groups))?)
    }

    /// Removes the user from SCIM's sight and from all groups (RFC 7644 §3.6). The account stays, preserved.
    pub async fn delete_user(
        &self,
        origin: &Origin,
        id: &str,
        condition: Condition,
    ) -> Result<(), Refusal> {
        let (view, seats) = (self.view.clone(), self.settings.seats);
        let entry = Entry::new("user.delete", 204).about("User", Some(id));
        let id = id.to_owned();
        self.change(origin, entry, move |connection, entry, now| {
            let schemas = &view.schemas;
            let before = existing(connection, entry, &view, &id, &condition)?;
            entry.because("the identity provider deleted the user; the account is preserved");
            let left = groups::leave_all(connection, before.seq, now)?;
            if !left.is_empty() {
                entry.because(format!("no longer in {}", listed(&left)));
            }
            let attributes = before.resource.clone();
            Change {
                connection,
                entry,
                now,
                schemas,
                seats,
            }
            .revise(before, attributes, Event::Removed)?;
            Ok(())
        })
        .await
    }
}

/// A user with its groups: what its representation is made of, which nobody has to wait for in the writer.
fn with_groups(
    connection: &Connection,
    stored: Stored,
) -> Result<(Stored, Vec<Reference>), Refusal> {
    let groups = groups::groups_of_user(connection, stored.seq)?;
    Ok((stored, groups))
}

/// The visible user with this id, if it has the version that the client wants.
fn existing(
    connection: &Connection,
    entry: &mut Entry,
    view: &View,
    id: &str,
    condition: &Condition,
) -> Result<User, Refusal> {
    let user = users::visible(connection, id)?.ok_or_else(|| not_found(ResourceType::User, id))?;
    entry.target_name = Some(user.account.email.clone());
    if *condition != Condition::default() {
        let groups = groups::groups_of_user(connection, user.seq)?;
        let etag = view.user_etag(user.version, &groups)?;
        if !condition.holds(&etag) {
            return Err(Refusal::Changed(etag));
        }
    }
    Ok(user)
}

/// A new resource with what a PUT does not clear (design §8).
fn with_kept(mut attributes: Object, before: &Object, schemas: &Schemas) -> Object {
    for name in ["active", "externalId"] {
        keep(&mut attributes, before, name);
    }
    for kept in schemas.kept_at_root() {
        keep(&mut attributes, before, kept.name);
    }
    let open = schemas.open().iter().map(String::as_str);
    for urn in open.chain([schemas.custom_urn()]) {
        let Some(Value::Object(stored)) = before.get(urn) else {
            continue;
        };
        let sent = attributes
            .entry(urn)
            .or_insert_with(|| Value::Object(Object::new()));
        if let Value::Object(sent) = sent {
            // Names count in any letter case, and here nobody has put them into one.
            let given: HashSet<_> = sent.keys().map(|name| name.to_ascii_lowercase()).collect();
            for name in stored.keys() {
                if !given.contains(&name.to_ascii_lowercase()) {
                    keep(sent, stored, name);
                }
            }
        }
    }
    attributes
}

fn keep(attributes: &mut Object, before: &Object, name: &str) {
    if let (None, Some(value)) = (attributes.get(name), before.get(name)) {
        attributes.insert(name.to_owned(), value.clone());
    }
}

/// A change to users under way: the transaction it is in and the audit entry it fills.
pub(super) struct Change<'a> {
    pub(super) connection: &'a Connection,
    pub(super) entry: &'a mut Entry,
    pub(super) now: Timestamp,
    pub(super) schemas: &'a Schemas,
    pub(super) seats: Seats,
}

impl Change<'_> {
    fn create(self, mut parsed: Parsed) -> Result<Stored, Refusal> {
        let user_name = text(&parsed.attributes, "userName")
            .unwrap_or_default()
            .to_owned();
        self.entry.target_name = Some(user_name.clone());
        self.entry.skipped(&parsed.skipped);
        refuse_long_name(&parsed.attributes)?;
        let active = active(&mut parsed.attributes);
        let gone = self.who_returns(&parsed.attributes, &user_name)?;
        if let Some(present) = users::named(self.connection, &user_name)? {
            let same = present
                .text("userName")
                .is_some_and(|name| fold::same(name, &user_name));
            if same && present.standing.managed_by == ManagedBy::Manual {
                if let Some(gone) = gone {
                    self.entry.because(format!(
                        "account {} of a deleted user has the same {} and stays as it is",
                        gone.id,
                        match parsed.attributes.contains_key("externalId") {
                            true => "externalId",
                            false => "userName",
                        }
                    ));
                }
                return self.write(present, parsed.attributes);
            }
            return Err(taken(&user_name, &present));
        }
        if let Some(gone) = gone {
            self.entry
                .because("the identity provider sent a person back whom it had deleted and whose account was kept");
            return self.revise(gone, parsed.attributes, Event::Returned { active });
        }
        self.entry.because("the identity provider sent a new user");
        let assignment = mapping::classify(self.connection, &parsed, self.schemas, self.entry)?;
        let standing = lifecycle::after(lifecycle::NEW, Event::Written { active }, self.now)?;
        if !active {
            self.entry
                .because("it sent active=false: an account that is preserved from its beginning");
        }
        let reason = Event::Written { active }.reason();
        self.insert(parsed.attributes, standing, assignment, reason)
    }

    /// Adds a user whose name is free, if there is room for it. Where it is preserved, that is for this reason.
    pub(super) fn insert(
        self,
        attributes: Object,
        standing: Standing,
        assignment: Assignment,
        reason: &str,
    ) -> Result<Stored, Refusal> {
        let as_stored = storable(&attributes)?;
        let profile = assignment.profile;
        places::claim(
            self.connection,
            self.entry,
            self.seats,
            profile,
            None,
            standing,
        )?;
        let (seq, id) = id::next(self.connection, users::TABLE)?;
        let user = User {
            seq,
            id,
            account: account::derive(&attributes, None, self.schemas.custom_urn(), self.entry),
            resource: attributes,
            version: 1,
            standing,
            assignment,
            created: self.now,
            modified: self.now,
        };
        let author = Author {
            actor: &self.entry.actor,
            reason,
            row: self.entry.seq,
        };
        let stored = users::insert(self.connection, &user, as_stored, author)?;
        self.entry.target_id = Some(user.id.clone());
        self.entry.changes = Some(resource::changes(&Object::new(), &user.resource));
        self.entry.account(self.connection, None, Some(&user))?;
        Ok(stored)
    }

    /// The hidden account of the person that a POST describes (design §8, who comes back).
    fn who_returns(&self, attributes: &Object, user_name: &str) -> Result<Option<User>, Refusal> {
        Ok(match text(attributes, "externalId") {
            Some(external_id) => users::hidden_by_external_id(self.connection, external_id)?,
            None => users::hidden_by_user_name(self.connection, user_name)?,
        })
    }

    /// A write by the identity provider to a visible user.
    fn write(self, before: User, mut attributes: Object) -> Result<Stored, Refusal> {
        let active = active(&mut attributes);
        self.revise(before, attributes, Event::Written { active })
    }

    /// Gives `before` new attributes and has `event` happen to it; nothing is written where nothing differs.
    fn revise(
        mut self,
        before: User,
        mut attributes: Object,
        event: Event,
    ) -> Result<Stored, Refusal> {
        self.entry.target_id = Some(before.id.clone());
        let standing = lifecycle::after(before.standing, event, self.now)?;
        let status = standing.status();
        attributes.insert("active".to_owned(), (status == Status::Active).into());
        let changes = resource::changes(&before.resource, &attributes);
        if changes.is_empty() && standing == before.standing {
            self.entry.verdict = Verdict::Unchanged;
            self.entry.because("it was already so");
            return Ok(before.stored(text_of(&before.resource)?));
        }
        let renamed = changes.contains_key("userName") || !before.standing.visible;
        if renamed && standing.visible {
            self.refuse_taken(&before.id, &attributes)?;
        }
        if changes.contains_key("userName") {
            refuse_long_name(&attributes)?;
        }
        let (profile, from) = (before.assignment.profile, Some(before.standing));
        places::claim(
            self.connection,
            self.entry,
            self.seats,
            profile,
            from,
            standing,
        )?;
        let as_stored = storable(&attributes)?;
        self.explain(before.standing, standing, &changes);
        let account = account::derive(
            &attributes,
            Some(&before.resource),
            self.schemas.custom_urn(),
            self.entry,
        );
        let named = |name: &&str| changes.contains_key(*name);
        let touched = Touched {
            columns: standing != before.standing
                || account != before.account
                || ["userName", "displayName", "externalId"].iter().any(named),
            emails: changes.contains_key("emails"),
        };
        self.entry.changes = Some(changes);
        let user = User {
            seq: before.seq,
            id: before.id.clone(),
            account,
            resource: attributes,
            version: before.version + 1,
            standing,
            assignment: before.assignment.clone(),
            created: before.created,
            modified: self.now,
        };
        let author = Author {
            actor: &self.entry.actor,
            reason: event.reason(),
            row: self.entry.seq,
        };
        let stored = users::update(self.connection, &user, as_stored, touched, author)?;
        self.entry
            .account(self.connection, Some(&before), Some(&user))?;
        if user.display() != before.display() {
            groups::touch_of_user(self.connection, user.seq, self.now)?;
        }
        Ok(stored)
    }

    fn refuse_taken(&self, id: &str, attributes: &Object) -> Result<(), Refusal> {
        let user_name = text(attributes, "userName").unwrap_or_default();
        match users::namesake(self.connection, user_name, id)? {
            Some(other) => Err(taken(user_name, &other)),
            None => Ok(()),
        }
    }

    /// Says in the audit what the identity provider sent, and what became of the account.
    fn explain(&mut self, before: Standing, after: Standing, changes: &Object) {
        let changed: Vec<_> = changes.keys().filter(|name| *name != "active").collect();
        if !changed.is_empty() {
            let sentence = format!("the identity provider changed {}", listed(&changed));
            self.entry.because(sentence);
        }
        if before.managed_by != after.managed_by {
            self.entry.because(
                "the hand-made account is now managed by the identity provider; profile, storage and quota stay",
            );
        }
        match (before.status(), after.status()) {
            (Status::Active, Status::Preserved) if after.visible => {
                self.entry
                    .because("the identity provider sent active=false; the account is preserved");
            }
            (Status::Preserved, Status::Active) => {
                self.entry
                    .because("the identity provider sent active=true; the account is active again");
            }
            (Status::Preserved, Status::Preserved) if before.visible && !after.visible => {
                self.entry.because("it was preserved already");
            }
            _ => {}
        }
    }
}

/// `active` of a resource; true where it is absent, and then written into it (design §8).
pub(super) fn active(attributes: &mut Object) -> bool {
    attributes
        .entry("active")
        .or_insert(Value::Bool(true))
        .as_bool()
        .unwrap_or(true)
}

/// Letters of a userName at the most. An address has 320, and the longest of an identity provider are shorter; without an
/// end to it, each line and row that names the user would be as long as its client likes.
const USER_NAME: usize = 1024;

/// Refuses a userName that is longer than [`USER_NAME`].
pub(super) fn refuse_long_name(attributes: &Object) -> Result<(), Refusal> {
    let user_name = text(attributes, "userName").unwrap_or_default();
    match user_name.chars().nth(USER_NAME) {
        None => Ok(()),
        Some(_) => Err(Error::new(
            ScimType::InvalidValue,
            format!("userName has more than {USER_NAME} characters"),
        )
        .into()),
    }
}

/// 409: the name is another's. The detail names the other account, because the names may differ as they were sent.
pub(super) fn taken(user_name: &str, present: &User) -> Refusal {
    Error::new(
        ScimType::Uniqueness,
        format!(
            "userName {} is taken: user {} has the account {}",
            short(user_name),
            present.id,
            short(&present.account.username)
        ),
    )
    .into()
}

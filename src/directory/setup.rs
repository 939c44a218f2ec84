//! A new appliance: its database with the default rows and the first two tokens, whole or not at all.

use std::path::Path;

use super::audit::{Entry, Origin};
use super::tokens::{self, Secret};
use super::{Clock, Refusal};
use crate::store::{audit, mappings, open, tokens::Scope};

/// The tokens of a new appliance, shown once.
pub struct FirstTokens {
    /// For the identity provider.
    pub provision: Secret,
    /// For the administrator.
    pub admin: Secret,
}

/// Makes the database at `path`: profile `Default`, storage `Default`, a last mapping `Default` for any user, and, with
/// `longest_days`, a token of each of the scopes `provision` and `admin`, valid for the usual time or these days.
pub fn create_database(
    path: &Path,
    origin: &Origin,
    clock: &Clock,
    longest_days: Option<u16>,
) -> Result<Option<FirstTokens>, Refusal> {
    let now = clock();
    let made = match longest_days {
        Some(longest_days) => {
            let lifetime = tokens::default_lifetime(longest_days);
            let provision = tokens::make("entra", Scope::Provision, now, lifetime)?;
            let admin = tokens::make("admin", Scope::Admin, now, lifetime)?;
            Some([provision, admin])
        }
        None => None,
    };
    open::create(path, |connection| -> Result<(), Refusal> {
        audit::insert_genesis(connection, now)?;
        mappings::insert_defaults(connection)?;
        let mut entry = Entry::new("appliance.init", 0);
        entry.because("profile, storage and last mapping for any user, each called Default");
        audit::append(connection, &entry.row(now, origin))?;
        for issued in made.iter().flatten() {
            let mut entry = Entry::new("token.create", 0).about("token", None);
            tokens::add(connection, &mut entry, &issued.token)?;
            audit::append(connection, &entry.row(now, origin))?;
        }
        Ok(())
    })?;
    Ok(made.map(|[provision, admin]| FirstTokens {
        provision: provision.secret,
        admin: admin.secret,
    }))
}

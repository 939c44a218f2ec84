//! How the appliance stands, in numbers: what `/metrics` and `scimlite status` both tell. Each is read by index or from a
//! counter, so that asking often costs little.

use jiff::Timestamp;

use super::places::Seats;
use super::profiles::Profile;
use super::tokens::{Scope, Token};
use super::{Directory, Refusal, expiry};
use crate::store::disk::{self, RESERVE};
use crate::store::profiles::{self, Counts};
use crate::store::snapshots::{self, Plan};
use crate::store::{self, audit, tokens, whole};

/// How the appliance stands at one moment.
pub struct Overview {
    /// Accounts of all profiles.
    pub accounts: Counts,
    /// What there is room for.
    pub seats: Seats,
    /// The profiles, by name.
    pub profiles: Vec<Profile>,
    /// The tokens whose end matters: neither revoked nor replaced, nor over for longer than a day.
    pub tokens: Vec<Token>,
    /// Whether any token may provision at present; none if there never was one for it.
    pub provisions: Option<bool>,
    /// When the identity provider was here last with a token that was taken; to the minute where another process serves.
    pub last_request: Option<Timestamp>,
    /// The last row of the audit.
    pub audit_seq: i64,
    /// Bytes of the database.
    pub database_bytes: u64,
    /// Bytes of the WAL beside it.
    pub wal_bytes: u64,
    /// When the newest snapshot was taken, if there is one and that can be seen.
    pub last_snapshot: Result<Option<Timestamp>, store::Error>,
}

/// Why the appliance cannot do all of its work at present.
#[derive(Debug, thiserror::Error)]
pub enum Unable {
    /// The last change could not be made, and neither can another.
    #[error("the database does not take writes")]
    Writes(#[source] store::Error),
    /// Soon none can be made.
    #[error("{free} MiB are free where the database is; {least} are needed", least = RESERVE.div_ceil(MIB))]
    Space {
        /// What there is.
        free: u64,
    },
}

const MIB: u64 = 1024 * 1024;

impl Directory {
    /// How the appliance stands, whose snapshots are made by `plan`.
    pub fn overview(&self, plan: &Plan) -> Result<Overview, Refusal> {
        let now = self.now();
        let (accounts, profiles, mut tokens, head, appliance) =
            self.store.readers.short(|connection| {
                Ok::<_, Refusal>((
                    profiles::counts(connection)?,
                    profiles::all(connection)?,
                    tokens::all(connection)?,
                    audit::head(connection)?,
                    snapshots::appliance(connection)?,
                ))
            })?;
        let last_request = self.last_request(&tokens);
        let provisions = tokens
            .iter()
            .filter(|token| token.scope == Scope::Provision)
            .map(|token| token.revoked.is_none() && token.expires > now)
            .reduce(|any, one| any | one);
        tokens.retain(|token| expiry::matters(token, now));
        let [database_bytes, wal_bytes] = self.store.sizes();
        Ok(Overview {
            accounts,
            seats: self.settings.seats,
            profiles,
            tokens,
            provisions,
            last_request,
            audit_seq: head.seq,
            database_bytes,
            wal_bytes,
            last_snapshot: plan.newest(&appliance, now),
        })
    }

    /// Whether changes can be made, and for some time to come.
    pub async fn able(&self) -> Result<(), Unable> {
        self.store.writer.able().await.map_err(Unable::Writes)?;
        let free = disk::free(whole::directory(&self.store.path)).map_err(Unable::Writes)?;
        match free.filter(|free| *free < RESERVE) {
            None => Ok(()),
            Some(free) => Err(Unable::Space { free: free / MIB }),
        }
    }

    /// When something was changed last. Walks back over the audit rows that tell of no change.
    pub fn last_change(&self) -> Result<Option<Timestamp>, Refusal> {
        Ok(self.store.readers.short(audit::last_change)?)
    }

    /// How busy the writer is.
    pub fn load(&self) -> &crate::store::writer::Load {
        &self.store.writer.load
    }
}

//! How a request's token is checked (design §3.14).
//!
//! Argon2 runs once per token and process, off the async threads and few at a time; afterwards a keyed digest in memory
//! answers. Whether a token is revoked or has ended is known from its row, which is read again once any process has
//! committed anything: what another process did counts as soon as it has ended.
//!
//! Architecture Invariant: the right token is not slowed by the failures of others. A verified one is known by its
//! digest before anything is counted; one that is not verified yet resembles its fingerprint and gets its run of argon2,
//! unless its own address has made too many runs in vain. A wrong secret hardly ever resembles, so it costs no run.

use std::collections::HashMap;
use std::fmt;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use aws_lc_rs::{hmac, rand};
use jiff::Timestamp;
use rusqlite::Connection;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::secret::Presented;
use super::throttle::Slowed;
use super::{Directory, Refusal};
use crate::store::audit::Tail;
use crate::store::tokens::{self as table, Scope, Token};
use crate::store::{self, writer::Job};

/// Argon2 runs at the same time: each takes 19 MiB and a core for some 25 ms.
const ARGON2_RUNS: usize = 2;
/// When a token was used last is written this often at the most: a job for the writer.
const USED_EVERY: Duration = Duration::from_secs(60);

/// Who a request comes from: the token that it presented.
#[derive(Debug, Clone)]
pub struct Principal {
    /// The token's id.
    pub token_id: String,
    /// The token's name.
    pub name: String,
    /// What it may be used for.
    pub scope: Scope,
    /// What the log and the audit call it.
    pub actor: Arc<str>,
}

/// Why a request's token was not taken. The reason is for the log and the audit: the client is told nothing of it.
#[derive(Debug, Clone)]
pub struct Denied {
    /// The id that was presented, if there is a token with it.
    pub token_id: Option<String>,
    /// The sentence.
    pub reason: &'static str,
    /// Seconds to wait, if there were too many failures for this one to be looked at.
    pub retry_after: Option<u64>,
}

/// What a secret turned out to be.
enum Answer {
    Right,
    Wrong,
    Slowed(Slowed),
}

impl From<bool> for Answer {
    /// Whether the secret is the token's.
    fn from(right: bool) -> Self {
        match right {
            true => Self::Right,
            false => Self::Wrong,
        }
    }
}

/// The tokens that argon2 has verified in this process.
pub struct Verified {
    key: hmac::Key,
    digests: Arc<Digests>,
    used: Mutex<HashMap<String, Use>>,
    runs: Arc<Semaphore>,
}

/// The digests by the ids of their tokens.
#[derive(Default)]
struct Digests(Mutex<HashMap<String, Digest>>);

impl Digests {
    fn all(&self) -> MutexGuard<'_, HashMap<String, Digest>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The keyed digest of the secret that fits `phc`.
struct Digest {
    phc: String,
    tag: hmac::Tag,
}

/// Who uses a token, when that was last, and what of it is in the database.
struct Use {
    principal: Arc<Principal>,
    at: Timestamp,
    written: Option<Timestamp>,
}

impl Verified {
    /// Nothing verified yet, under a new random key.
    pub(super) fn new() -> Result<Self, Refusal> {
        let key = hmac::Key::generate(hmac::HMAC_SHA256, &rand::SystemRandom::new())
            .map_err(|_| Refusal::Failed("the system gave no random bytes".to_owned()))?;
        Ok(Self {
            key,
            digests: Arc::default(),
            used: Mutex::default(),
            runs: Arc::new(Semaphore::new(ARGON2_RUNS)),
        })
    }

    fn used(&self) -> MutexGuard<'_, HashMap<String, Use>> {
        self.used.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Whether the secret is the token's, if that is known without argon2.
    fn known(&self, token: &Token, presented: &Presented<'_>) -> Option<bool> {
        let digests = self.digests.all();
        let digest = digests
            .get(&token.id)
            .filter(|digest| digest.phc == token.phc)?;
        Some(presented.has_tag(&self.key, &digest.tag))
    }

    /// Waits until argon2 may run.
    pub(super) async fn turn(&self) -> Result<OwnedSemaphorePermit, Refusal> {
        let turn = Arc::clone(&self.runs).acquire_owned().await;
        turn.map_err(|error| failed(&error))
    }

    /// Who uses `token` now.
    fn principal(&self, token: &Token, now: Timestamp) -> Arc<Principal> {
        let mut used = self.used();
        let Token {
            id, name, scope, ..
        } = token;
        let written = match used.get_mut(id) {
            Some(last) if last.principal.name == *name && last.principal.scope == *scope => {
                last.at = now;
                return Arc::clone(&last.principal);
            }
            last => last.and_then(|last| last.written),
        };
        let principal = Arc::new(Principal {
            token_id: id.clone(),
            name: name.clone(),
            scope: *scope,
            actor: format!("token:{id} ({name})").into(),
        });
        let first = Use {
            principal: Arc::clone(&principal),
            at: now,
            written,
        };
        used.insert(id.clone(), first);
        principal
    }

    /// The uses that are to be written now, the last one last; all that are not if `closing`.
    fn unwritten(&self, now: Timestamp, closing: bool) -> Vec<(String, Timestamp)> {
        let due = |last: &Use| {
            last.written.is_none_or(|written| {
                let lag = now.duration_since(written).unsigned_abs();
                written != last.at && (closing || lag >= USED_EVERY)
            })
        };
        let used = self.used();
        let due = used.iter().filter(|(_, last)| due(last));
        let mut due: Vec<_> = due.map(|(id, last)| (id.clone(), last.at)).collect();
        due.sort_by_key(|(_, at)| *at);
        due
    }
}

/// Runs argon2 in its turn, off the async threads.
pub(super) async fn run<T: Send + 'static>(
    turn: OwnedSemaphorePermit,
    argon2: impl FnOnce() -> T + Send + 'static,
) -> Result<T, Refusal> {
    tokio::task::spawn_blocking(move || {
        let done = argon2();
        // Not before: a client that hangs up does not end the work.
        drop(turn);
        done
    })
    .await
    .map_err(|error| failed(&error))
}

fn failed(error: &dyn fmt::Display) -> Refusal {
    Refusal::Failed(format!("argon2: {error}"))
}

impl Directory {
    /// Checks the token that a request from `address` presents, if it does. `Err` within `Ok` is a refusal for the
    /// client's sake, `Err` a failure of ours.
    pub async fn authenticate(
        &self,
        presented: Option<&str>,
        address: IpAddr,
    ) -> Result<Result<Arc<Principal>, Denied>, Refusal> {
        let denied = |token_id, reason, slowed: Option<Slowed>| {
            Ok(Err(Denied {
                token_id,
                reason: slowed.map_or(reason, |slowed| slowed.reason),
                retry_after: slowed.map(|slowed| slowed.retry_after),
            }))
        };
        let Some(text) = presented else {
            // Nobody guesses by saying nothing: not counted as a failure.
            return denied(None, "no bearer token", None);
        };
        let Some(presented) = Presented::parse(text) else {
            let slowed = self.throttle.fail(address, None, Instant::now()).err();
            return denied(None, "not a token of this appliance", slowed);
        };
        let now = self.now();
        let remembered = self.store.readers.remembered_token(presented.id).await?;
        if let Some(token) = remembered.filter(|token| token.is_usable(now))
            && self.verified.known(&token, &presented) == Some(true)
        {
            return Ok(Ok(self.verified.principal(&token, now)));
        }
        // Read for each that is not taken, whatever is wrong with it: the time of the answer must not tell.
        let token = self.store.readers.token(presented.id).await?;
        let ended = |reason| {
            presented.resembles_nothing();
            reason
        };
        let reason = match &token {
            None => ended("no such token"),
            Some(token) if token.revoked.is_some() => ended("the token was revoked"),
            Some(token) if token.expires <= now => ended("the token has expired"),
            Some(token) => match self.verify(token, &presented, address).await? {
                Answer::Right => return Ok(Ok(self.verified.principal(token, now))),
                Answer::Slowed(slowed) => return denied(Some(token.id.clone()), "", Some(slowed)),
                Answer::Wrong => "the secret is not the token's",
            },
        };
        let slowed = self
            .throttle
            .fail(address, Some(presented.id), Instant::now());
        denied(token.map(|token| token.id.clone()), reason, slowed.err())
    }

    /// Whether the secret is the token's: by the digest, else by argon2.
    async fn verify(
        &self,
        token: &Token,
        presented: &Presented<'_>,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        if let Some(known) = self.verified.known(token, presented) {
            return Ok(known.into());
        }
        if !presented.resembles(&token.phc, token.fingerprint) {
            return Ok(Answer::Wrong);
        }
        Box::pin(self.verify_by_argon2(token, presented, address)).await
    }

    /// Whether the secret is the token's, once there is a turn for argon2.
    async fn verify_by_argon2(
        &self,
        token: &Token,
        presented: &Presented<'_>,
        address: IpAddr,
    ) -> Result<Answer, Refusal> {
        let turn = self.verified.turn().await?;
        // While it waited, another request may have verified the token, or failed from the same address.
        if let Some(known) = self.verified.known(token, presented) {
            return Ok(known.into());
        }
        if let Err(slowed) = self.throttle.may_run(address, Instant::now()) {
            return Ok(Answer::Slowed(slowed));
        }
        let argon2 = presented.argon2(token.phc.clone());
        let id = token.id.clone();
        let digest = Digest {
            phc: token.phc.clone(),
            tag: presented.tag(&self.verified.key),
        };
        let (digests, throttle) = (
            Arc::clone(&self.verified.digests),
            Arc::clone(&self.throttle),
        );
        // What came of it is kept where it is found out: a client that hangs up does not have it done again.
        let right = run(turn, move || {
            let right = argon2();
            match right {
                true => drop(digests.all().insert(id, digest)),
                false => throttle.ran_in_vain(address, Instant::now()),
            }
            right
        });
        Ok(right.await?.into())
    }

    /// When one of `tokens` with the scope `provision` was used last, as far as this process and the database know.
    pub(super) fn last_request(&self, tokens: &[Token]) -> Option<Timestamp> {
        let used = self.verified.used();
        let last = |token: &Token| {
            let here = used.get(&token.id).map(|last| last.at);
            here.or(token.last_used)
        };
        let provision = |token: &&Token| token.scope == Scope::Provision;
        tokens.iter().filter(provision).filter_map(last).max()
    }

    /// Writes when tokens were used last: at most once a minute for each, what is left when `closing`. What cannot be
    /// written is tried again.
    pub(super) async fn flush_used(&self, closing: bool) -> Result<(), Refusal> {
        let due = self.verified.unwritten(self.now(), closing);
        if due.is_empty() {
            return Ok(());
        }
        self.store.writer.submit(Used(due.clone())).await?;
        let mut used = self.verified.used();
        for (id, at) in due {
            if let Some(last) = used.get_mut(&id) {
                last.written = Some(at);
            }
        }
        Ok(())
    }
}

/// Notes when tokens were used: no change to the directory, so without a row in the audit.
struct Used(Vec<(String, Timestamp)>);

impl Job for Used {
    type Done = ();
    type Refused = store::Error;

    fn apply(&mut self, connection: &Connection, _: &mut Tail) -> Result<(), store::Error> {
        self.0
            .iter()
            .try_for_each(|(id, at)| table::used(connection, id, *at))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn uses_are_written_once_a_minute_and_at_the_end() {
        let verified = Verified::new().unwrap();
        let token = Token {
            id: "a".to_owned(),
            name: "trial".to_owned(),
            scope: Scope::Provision,
            phc: String::new(),
            fingerprint: 0,
            created: Timestamp::UNIX_EPOCH,
            expires: Timestamp::MAX,
            revoked: None,
            replaced: None,
            last_used: None,
        };
        let at = |second: i64| Timestamp::from_second(1_000_000_000 + second).unwrap();
        let written = |now, closing| {
            let due = verified.unwritten(now, closing);
            for (id, at) in &due {
                verified.used().get_mut(id).unwrap().written = Some(*at);
            }
            due.into_iter().map(|(_, at)| at).collect::<Vec<_>>()
        };
        assert!(written(at(0), true).is_empty());
        verified.principal(&token, at(0));
        assert_eq!(written(at(1), false), [at(0)]);
        verified.principal(&token, at(30));
        assert!(written(at(59), false).is_empty());
        verified.principal(&token, at(60));
        assert_eq!(written(at(60), false), [at(60)]);
        assert!(written(at(200), false).is_empty(), "nothing new");
        verified.principal(&token, at(201));
        verified.principal(&token, at(202));
        assert_eq!(written(at(202), false), [at(202)]);
        verified.principal(&token, at(203));
        assert_eq!(written(at(203), true), [at(203)]);
        let other = Token {
            scope: Scope::Read,
            ..token
        };
        let principal = verified.principal(&other, at(204));
        assert_eq!(principal.scope, Scope::Read, "as its row says now");
        assert!(written(at(204), false).is_empty(), "written a second ago");
    }
}

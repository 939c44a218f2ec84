//! Refused authentications in the audit (design §3.12, §8): the first of a kind at once, repeats within a minute as a
//! count, so that a flood cannot fill the disk. Who is refused is decided in `authentication`.

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use tokio::task::JoinSet;

use super::audit::{Entry, Origin, Verdict};
use super::throttle::Network;
use super::tokens::Denied;
use super::{Directory, Refusal};
use crate::store;

/// Repeats within this time are counted, not written one by one, so that a flood cannot fill the disk.
const FOLD: Duration = Duration::from_secs(60);
/// Kinds of refused authentication that are counted apart. A flood from more addresses at once is counted as one.
const KINDS: usize = 256;

/// What makes two refused authentications the same.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
struct Kind {
    network: Option<Network>,
    token_id: Option<String>,
    reason: &'static str,
    status: u16,
}

struct Repeats {
    since: Timestamp,
    /// Those that no row tells of yet.
    count: u64,
}

/// Refused authentications since the start, each counted by its sentence and status.
pub type Refused = Family<Because, Counter>;

/// Why an authentication was refused.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Because {
    reason: &'static str,
    status: u16,
}

/// Refused authentications of the last minute.
#[derive(Default)]
pub struct Denials {
    kinds: Arc<Kinds>,
    /// Rows on their way: no answer waits for one.
    writing: Mutex<JoinSet<()>>,
    counted: Refused,
}

#[derive(Default)]
struct Kinds(Mutex<HashMap<Kind, Repeats>>);

impl Kinds {
    fn kinds(&self) -> MutexGuard<'_, HashMap<Kind, Repeats>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Counts one. Gives its kind if it is the first of it within a minute, which is written at once.
    fn first(&self, mut kind: Kind, now: Timestamp) -> Option<Kind> {
        let mut kinds = self.kinds();
        if kinds.len() >= KINDS && !kinds.contains_key(&kind) {
            kind.network = None;
            kind.token_id = None;
        }
        match kinds.get_mut(&kind) {
            Some(repeats) => {
                repeats.count += 1;
                None
            }
            None => {
                let (since, count) = (now, 0);
                kinds.insert(kind.clone(), Repeats { since, count });
                Some(kind)
            }
        }
    }

    /// Takes out the kinds whose minute is over; all of them if `closing`.
    fn due(&self, now: Timestamp, closing: bool) -> Vec<(Kind, Repeats)> {
        self.kinds()
            .extract_if(|_, repeats| {
                closing || now.duration_since(repeats.since).unsigned_abs() >= FOLD
            })
            .collect()
    }

    /// Adds what could not be written to what has come since.
    fn put_back(&self, kind: Kind, unwritten: Repeats) {
        let mut kinds = self.kinds();
        let kept = kinds.entry(kind).or_insert(Repeats {
            since: unwritten.since,
            count: 0,
        });
        kept.since = kept.since.min(unwritten.since);
        kept.count += unwritten.count;
    }
}

impl Denials {
    fn writing(&self) -> MutexGuard<'_, JoinSet<()>> {
        self.writing.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Directory {
    /// Notes a refused authentication: the first of its kind at once, repeats within a minute as a count. The ids of
    /// tokens that are not there make no kinds of their own: they are whatever a stranger likes. Nothing of this is waited
    /// for, so that no answer tells by its time which ids there are.
    pub fn denied(&self, origin: &Origin, address: IpAddr, denied: &Denied) {
        let (token_id, reason) = (denied.token_id.as_deref(), denied.reason);
        origin.outcome.tell(Verdict::Refused, reason);
        let status = match denied.retry_after {
            None => 401,
            Some(_) => 429,
        };
        let because = Because { reason, status };
        self.denials.counted.get_or_create(&because).inc();
        let kind = Kind {
            network: Some(address.into()),
            token_id: denied.token_id.clone(),
            reason,
            status,
        };
        let now = self.now();
        let Some(kind) = self.denials.kinds.first(kind, now) else {
            return;
        };
        let mut entry = Entry::new("authenticate", status).about("token", token_id);
        entry.verdict = Verdict::Refused;
        entry.because(reason);
        let job = self.audited(origin, entry, |_, _, _| Ok(()));
        let (writer, kinds) = (
            Arc::clone(&self.store.writer),
            Arc::clone(&self.denials.kinds),
        );
        let mut writing = self.denials.writing();
        while writing.try_join_next().is_some() {}
        let (origin, token_id) = (origin.clone(), denied.token_id.clone());
        writing.spawn(async move {
            tracing::warn!(
                request_id = origin.request_id,
                source = &*origin.source,
                token_id,
                reason,
                "not authenticated; repeats within a minute are counted in the audit"
            );
            if let Err(error) = writer.submit(job).await {
                tracing::error!(%error, "a refused authentication could not be written; it is counted");
                let (since, count) = (now, 1);
                kinds.put_back(kind, Repeats { since, count });
            }
        });
    }

    /// How many authentications were refused. A clone shares what is counted.
    pub fn refused_authentications(&self) -> Refused {
        self.denials.counted.clone()
    }

    /// Writes the counts of the kinds whose minute is over; of all if `closing`, after the rows that are on their way.
    /// What cannot be written is kept.
    pub(super) async fn flush_denials(&self, closing: bool) -> Result<(), Refusal> {
        if closing {
            let writing = std::mem::take(&mut *self.denials.writing());
            writing.join_all().await;
        }
        let mut outcome = Ok(());
        for (kind, repeats) in self.denials.kinds.due(self.now(), closing) {
            if repeats.count == 0 {
                continue;
            }
            if let Err(error) = self.write_repeats(&kind, &repeats).await {
                self.denials.kinds.put_back(kind, repeats);
                outcome = Err(error);
            }
        }
        outcome
    }

    async fn write_repeats(&self, kind: &Kind, repeats: &Repeats) -> Result<(), Refusal> {
        let network = kind.network.map(|network| network.to_string());
        let source = network.unwrap_or_else(|| "several addresses".to_owned());
        let origin = Origin::new("unknown", source);
        let mut entry =
            Entry::new("authenticate", kind.status).about("token", kind.token_id.as_deref());
        entry.because(format!(
            "{}; {} more times since {}",
            kind.reason,
            repeats.count,
            store::text::instant(repeats.since)
        ));
        self.refused(&origin, entry).await
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::directory::history::Selection;
    use crate::directory::world::World;
    use jiff::SignedDuration;
    use rusqlite::Connection;

    const REASON: &str = "the secret is not the token's";

    fn deny(world: &World) {
        let denied = Denied {
            token_id: None,
            reason: REASON,
            retry_after: None,
        };
        let origin = Origin::new("unknown", "192.0.2.1");
        let address = [192, 0, 2, 1].into();
        world.directory.denied(&origin, address, &denied);
    }

    /// What the rows of refused authentications say.
    fn told(world: &World) -> Vec<String> {
        let mut told = Vec::new();
        let authenticate = Selection {
            action: Some("authenticate".to_owned()),
            ..Selection::default()
        };
        let push = |row: crate::directory::history::Recorded| {
            told.push(row.reason);
            Ok::<_, Refusal>(())
        };
        world.directory.each_row(&authenticate, push).unwrap();
        told
    }

    #[tokio::test]
    async fn what_cannot_be_written_is_counted() {
        let world = World::new();
        let hand = Connection::open(world.path()).unwrap();
        let refuse =
            "CREATE TRIGGER full BEFORE INSERT ON audit BEGIN SELECT RAISE(ABORT, 'full'); END";
        hand.execute_batch(refuse).unwrap();
        let begun = crate::store::text::instant(world.directory.now());
        deny(&world);
        deny(&world);
        assert!(world.directory.flush_denials(true).await.is_err());
        world.wait(SignedDuration::from_secs(30));
        // More of the kind while what there was cannot be written.
        deny(&world);
        assert!(world.directory.flush_denials(true).await.is_err());
        assert!(told(&world).is_empty());
        hand.execute_batch("DROP TRIGGER full").unwrap();
        world.directory.flush_denials(false).await.unwrap();
        assert!(told(&world).is_empty(), "its minute is not over");
        world.wait(SignedDuration::from_secs(31));
        world.directory.flush_denials(false).await.unwrap();
        assert_eq!(
            told(&world),
            [format!("{REASON}; 3 more times since {begun}")]
        );
    }

    #[tokio::test]
    async fn counts_that_come_back_join_those_that_have_come_since() {
        let kinds = Kinds::default();
        let kind = || Kind {
            network: None,
            token_id: None,
            reason: REASON,
            status: 401,
        };
        let at = |second| Timestamp::from_second(second).unwrap();
        assert!(kinds.first(kind(), at(10)).is_some());
        assert!(kinds.first(kind(), at(11)).is_none());
        let taken = kinds.due(at(11), true);
        assert!(kinds.first(kind(), at(12)).is_some());
        assert!(kinds.first(kind(), at(13)).is_none());
        for (kind, repeats) in taken {
            kinds.put_back(kind, repeats);
        }
        let due = kinds.due(at(70), false);
        let found: Vec<_> = due.iter().map(|(_, it)| (it.since, it.count)).collect();
        assert_eq!(found, [(at(10), 2)]);
    }
}

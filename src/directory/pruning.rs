//! Pruning: old rows of the audit go, and the rest stays provable. The row of the pruning says up to which row, with
//! which hash, how many and by whom; `appliance` has the same, and the chain begins there (design §3.12).

use jiff::{SignedDuration, Timestamp};
use serde_json::json;

use super::audit::{Entry, Origin, Verdict};
use super::auto_delete::Turn;
use super::{Directory, Refusal, changed};
use crate::store::audit::{
    Link,
    chain::{self, PRUNE, PRUNED},
};

/// Rows that go in one transaction: others wait no longer for it than for a few of their own.
const AT_ONCE: u32 = 10_000;

impl Directory {
    /// Removes the rows that are older than `days`, and tells how many they were.
    pub async fn prune_audit(&self, origin: &Origin, days: u32) -> Result<u64, Refusal> {
        let before = older(self.now(), days);
        let mut removed = self.prune_some(origin, before, days).await?;
        while self.is_due(before)? {
            removed += self.prune_some(origin, before, days).await?;
        }
        Ok(removed)
    }

    fn is_due(&self, before: Timestamp) -> Result<bool, Refusal> {
        let read = |connection: &rusqlite::Connection| chain::is_due(connection, before);
        Ok(self.store.readers.short(read)?)
    }

    async fn prune_some(
        &self,
        origin: &Origin,
        before: Timestamp,
        days: u32,
    ) -> Result<u64, Refusal> {
        let mut entry = Entry::new(PRUNE, 0).about("audit", None);
        entry.reads_audit = true;
        self.change(origin, entry, move |connection, entry, _| {
            let removed = chain::prune(connection, before, AT_ONCE)?.map_err(|fault| {
                Refusal::Forbidden(format!(
                    "row {} is not as it was written: {}; pruning would hide that, so copy the file first and find out",
                    fault.seq, fault.what
                ))
            })?;
            if removed.rows == 0 {
                entry.verdict = Verdict::Unchanged;
                entry.because(format!("no row is older than {days} days"));
                return Ok(0);
            }
            entry.because(format!(
                "{} rows older than {days} days are gone, those from {} to {}; the chain begins behind them",
                removed.rows,
                removed.before.seq + 1,
                removed.last.seq
            ));
            let [seq, hash] = PRUNED;
            let told = |link: &Link| json!({seq: link.seq, hash: link.hash});
            entry.changes = Some(changed(&told(&removed.before), &told(&removed.last)));
            Ok(removed.rows)
        })
        .await
    }

    /// Removes once a day what is older than the configuration keeps, a part at a time: the server has other work.
    pub(super) async fn prune_daily(&self) -> Result<(), Refusal> {
        let (days, now) = (self.settings.audit.keep_days, self.now());
        if days == 0 {
            return Ok(());
        }
        match self.turn(&self.pruned, now).await? {
            Turn::Run => {}
            Turn::Wait => return Ok(()),
            Turn::PutOff => {
                tracing::warn!(
                    "the clock leapt forward, or nothing was done for long; the audit is pruned a day from now"
                );
                return Ok(());
            }
        }
        let before = older(now, days);
        if !self.is_due(before)? {
            self.pruned.done(now);
            return Ok(());
        }
        let origin = Origin::server();
        let pruned = self.prune_some(&origin, before, days).await;
        if let Err(Refusal::Forbidden(_)) = pruned {
            // Nothing mends that but a person; each attempt leaves a row.
            self.pruned.done(now);
        }
        let rows = pruned?;
        tracing::info!(
            request_id = origin.request_id,
            rows,
            days,
            "pruned the audit"
        );
        Ok(())
    }
}

/// The instant `days` before `now`.
fn older(now: Timestamp, days: u32) -> Timestamp {
    let age = SignedDuration::from_hours(24 * i64::from(days));
    now.checked_sub(age).unwrap_or(Timestamp::MIN)
}

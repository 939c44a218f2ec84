//! Many changes at once: each is a transaction of its own, but the writer is given many and commits them together.

use std::time::Instant;

use futures_util::StreamExt;
use futures_util::stream::FuturesOrdered;
use tokio::task::unconstrained;
use tokio::time::sleep;

/// Changes that the writer is given at once: a few of its batches.
const AT_ONCE: usize = 512;
/// After them comes a pause of this part of the time that they took. A server on the same file asks for SQLite's lock
/// now and then and does not queue for it: without pauses it might not get it before all is over.
const PAUSE: u32 = 4;

/// Makes changes, in the order of `jobs`, and tells `each` what came of every one. After an error of `each` none begins.
pub(super) async fn make<J: Future, E>(
    mut jobs: impl Iterator<Item = J>,
    mut each: impl FnMut(J::Output) -> Result<(), E>,
) -> Result<(), E> {
    loop {
        let began = Instant::now();
        let mut under_way = FuturesOrdered::new();
        for job in jobs.by_ref().take(AT_ONCE) {
            // Unconstrained: a poll that does nothing would let a later one overtake an earlier one.
            under_way.push_back(unconstrained(job));
        }
        let count = under_way.len();
        while let Some(outcome) = under_way.next().await {
            each(outcome)?;
        }
        if count > 0 {
            sleep(began.elapsed() / PAUSE).await;
        }
        if count < AT_ONCE {
            return Ok(());
        }
    }
}

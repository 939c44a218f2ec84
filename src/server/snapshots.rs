//! When the server looks after its snapshots. What a look does is decided below; a failure is logged and tried again,
//! and nothing that serves waits for it.

use std::sync::Arc;
use std::time::Duration;

use tokio::sync::watch;

use crate::directory::Directory;
use crate::store;
use crate::store::backup::Watch;
use crate::store::snapshots::Plan;

/// Time after which a snapshot is tried again that could not be made.
const RETRY: Duration = Duration::from_secs(60);

/// Has snapshots made when they are due, until `shutdown` becomes true; one that is being made then is given up.
pub async fn keep(directory: &Directory, plan: &Plan, mut shutdown: watch::Receiver<bool>) {
    if plan.keep == 0 {
        return;
    }
    let stopping = shutdown.clone();
    let watch: Watch = Arc::new(move |_| !*stopping.borrow());
    let stopped = shutdown.wait_for(|stop| *stop);
    tokio::pin!(stopped);
    let mut place = None;
    loop {
        drop(place.take());
        let wait = match directory.maintain_snapshots(plan, &watch).await {
            Ok(maintained) => {
                if let Some((file, copied)) = maintained.made {
                    tracing::info!(
                        file = %file.display(),
                        bytes = copied.bytes,
                        audit_seq = copied.head.seq,
                        "snapshot"
                    );
                }
                place = Some(maintained.place);
                maintained.next
            }
            Err(store::Error::Stopped) => return,
            Err(error) => {
                tracing::error!(%error, "no snapshot could be made; it is tried again");
                plan.every.min(RETRY)
            }
        };
        if tokio::time::timeout(wait, &mut stopped).await.is_ok() {
            return;
        }
    }
}

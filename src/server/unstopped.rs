//! Work that goes on when nobody waits for it any more: a client that hangs up leaves nothing half-way, nor does a
//! request whose time is over.

use std::panic::{AssertUnwindSafe, catch_unwind};
use std::pin::Pin;
use std::task::{Context, Poll};

use tokio::runtime::Handle;

use crate::directory::Refusal;

/// Does `work`: where it is awaited, and in a task of its own from where that ends early, if the runtime has not ended.
/// Its panic is a bug of this one request, which fails.
pub fn unstopped<T: Send + 'static>(
    work: impl Future<Output = T> + Send + 'static,
) -> Unstopped<T> {
    Unstopped(Some(Box::pin(work)))
}

/// The work, until it is done.
pub struct Unstopped<T: Send + 'static>(Option<Pin<Box<dyn Future<Output = T> + Send>>>);

impl<T: Send + 'static> Future for Unstopped<T> {
    type Output = Result<T, Refusal>;

    fn poll(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<Self::Output> {
        let failed = |why: &str| Err(Refusal::Failed(why.into()));
        let Some(work) = &mut self.0 else {
            return Poll::Ready(failed("the work is over"));
        };
        let done = match catch_unwind(AssertUnwindSafe(|| work.as_mut().poll(context))) {
            Ok(Poll::Pending) => return Poll::Pending,
            Ok(Poll::Ready(done)) => Ok(done),
            Err(_) => failed("the work panicked"),
        };
        self.0 = None;
        Poll::Ready(done)
    }
}

impl<T: Send + 'static> Drop for Unstopped<T> {
    fn drop(&mut self) {
        if let Some(work) = self.0.take()
            && let Ok(runtime) = Handle::try_current()
        {
            runtime.spawn(work);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::time::Duration;

    use tokio::sync::Notify;
    use tokio::time::timeout;

    use super::*;

    #[tokio::test]
    async fn work_whose_waiter_leaves_is_done() {
        let (go, done) = (Arc::new(Notify::new()), Arc::new(Notify::new()));
        let (begin, end) = (Arc::clone(&go), Arc::clone(&done));
        let work = unstopped(async move {
            begin.notified().await;
            end.notify_one();
        });
        assert!(timeout(Duration::from_millis(1), work).await.is_err());
        go.notify_one();
        timeout(Duration::from_secs(60), done.notified())
            .await
            .unwrap();
    }

    #[tokio::test]
    async fn work_that_nobody_began_to_wait_for_is_done() {
        let done = Arc::new(Notify::new());
        let end = Arc::clone(&done);
        drop(unstopped(async move { end.notify_one() }));
        timeout(Duration::from_secs(60), done.notified())
            .await
            .unwrap();
    }

    #[test]
    fn without_a_runtime_work_ends_where_its_waiter_leaves() {
        let state = Arc::new(());
        let kept = Arc::clone(&state);
        drop(unstopped(async move { drop(kept) }));
        assert_eq!(Arc::strong_count(&state), 1);
    }

    #[tokio::test]
    async fn a_panic_fails_its_own_work() {
        let failed = unstopped(async { panic!("as the test wants") }).await;
        let Err(Refusal::Failed(why)) = failed else {
            panic!("{failed:?}");
        };
        assert!(why.contains("panicked"), "{why}");
        assert_eq!(unstopped(async { 1 }).await.unwrap(), 1);
    }
}

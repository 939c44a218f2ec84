//! The memory that answers take until they are sent. A client decides how soon it takes them, so large ones share room;
//! small ones, nearly all, need none.
//!
//! What only reads waits for room without its answer, which is made again then. What has changed something is not done
//! twice: its answer has other room, which reads cannot fill, and where that is full too the client is told so.

use std::sync::Arc;

use bytes::Bytes;
use hyper::header;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use super::answer::{Failure, Reply};

/// Bytes of an answer above which it needs room: more than a usual resource has. Over HTTP/2 a connection can leave as many
/// answers lying as it has streams.
const LARGE: usize = 4 * 1024;
/// Room for answers to what reads, in KiB: eight of the largest pages.
const READS: usize = 64 * 1024;
/// Room for all others.
const OTHERS: usize = 32 * 1024;

/// The room of a listener.
pub struct Outgoing {
    reads: Room,
    others: Room,
}

/// So many KiB, some of them free.
struct Room {
    free: Arc<Semaphore>,
    size: usize,
}

/// Marks a reply that has its room.
#[derive(Clone)]
struct Placed;

/// The bytes of an answer with the room that they take for as long as any of them is there.
struct Held {
    bytes: Bytes,
    _room: OwnedSemaphorePermit,
}

impl AsRef<[u8]> for Held {
    fn as_ref(&self) -> &[u8] {
        &self.bytes
    }
}

impl Outgoing {
    /// All of it free.
    pub fn new() -> Self {
        Self {
            reads: Room::new(READS),
            others: Room::new(OTHERS),
        }
    }

    /// The reply that `make` makes, which changes nothing, once there is room for it. While there is none, it is not there
    /// either: it is made a second time.
    pub async fn read<F: Future<Output = Result<Reply, Failure>>>(
        &self,
        make: impl Fn() -> F,
    ) -> Result<Reply, Failure> {
        let mut kept: Option<OwnedSemaphorePermit> = None;
        loop {
            let reply = make().await?;
            let Some(kib) = self.reads.needs(&reply) else {
                return Ok(reply);
            };
            let kept_is_enough = |kept: &OwnedSemaphorePermit| kept.num_permits() >= kib as usize;
            let room = kept.take().filter(kept_is_enough);
            if let Some(room) = room.or_else(|| self.reads.take(kib)) {
                return Ok(held(reply, room));
            }
            drop(reply);
            let free = Arc::clone(&self.reads.free);
            kept = free.acquire_many_owned(kib).await.ok();
        }
    }

    /// `reply` with its room, unless it is small or has it.
    pub fn place(&self, reply: Reply) -> Result<Reply, Failure> {
        let needs = self.others.needs(&reply);
        let Some(kib) = needs.filter(|_| reply.extensions().get::<Placed>().is_none()) else {
            return Ok(reply);
        };
        match self.others.take(kib) {
            Some(room) => Ok(held(reply, room)),
            None => Err(full()),
        }
    }
}

impl Room {
    fn new(size: usize) -> Self {
        Self {
            free: Arc::new(Semaphore::new(size)),
            size,
        }
    }

    /// The KiB that a large reply needs; none for a small one. One that is larger than all of the room takes all.
    fn needs(&self, reply: &Reply) -> Option<u32> {
        let bytes = reply.body().len();
        let kib = bytes.div_ceil(1024).min(self.size);
        (bytes > LARGE).then(|| u32::try_from(kib).unwrap_or(u32::MAX))
    }

    /// So much room, if it is free now.
    fn take(&self, kib: u32) -> Option<OwnedSemaphorePermit> {
        Arc::clone(&self.free).try_acquire_many_owned(kib).ok()
    }
}

/// `reply`, whose bytes keep `room`.
fn held(mut reply: Reply, room: OwnedSemaphorePermit) -> Reply {
    reply.extensions_mut().insert(Placed);
    reply.map(|bytes| Bytes::from_owner(Held { bytes, _room: room }))
}

/// The failure of a request whose answer has no room.
fn full() -> Failure {
    let detail = "too many large answers are on their way; what was asked for may be done";
    Failure::new(503, detail).with(header::RETRY_AFTER, "5")
}

#[cfg(test)]
mod tests {
    use std::future::ready;
    use std::sync::atomic::{AtomicUsize, Ordering::SeqCst};
    use std::time::Duration;

    use super::*;
    use crate::server::answer;

    fn reply(bytes: usize) -> Reply {
        let mut reply = answer::empty(200);
        *reply.body_mut() = Bytes::from(vec![b'x'; bytes]);
        reply
    }

    #[tokio::test]
    async fn reads_wait_without_their_answers_and_changes_are_told() {
        const PAGE: usize = 8 * 1024 * 1024;
        let outgoing = Outgoing::new();
        let mut sent = Vec::new();
        for _ in 0..READS * 1024 / PAGE {
            let reply = outgoing.read(|| ready(Ok(reply(PAGE)))).await.unwrap();
            sent.push(outgoing.place(reply).unwrap());
        }
        // Small ones go on.
        outgoing.read(|| ready(Ok(reply(LARGE)))).await.unwrap();
        let made = AtomicUsize::new(0);
        let mut waiting = Box::pin(outgoing.read(|| {
            made.fetch_add(1, SeqCst);
            ready(Ok(reply(PAGE)))
        }));
        let wait = tokio::time::timeout(Duration::from_millis(100), &mut waiting);
        assert!(wait.await.is_err());
        // As long as a byte of it is there, an answer keeps its room.
        let mut rest = sent.pop().unwrap().into_body().split_off(PAGE - 1);
        let wait = tokio::time::timeout(Duration::from_millis(100), &mut waiting);
        assert!(wait.await.is_err());
        assert_eq!(made.load(SeqCst), 1);
        drop(rest.split_off(0));
        drop(rest);
        let last = waiting.await.unwrap();
        assert_eq!(
            (made.load(SeqCst), outgoing.reads.free.available_permits()),
            (2, 0)
        );
        // Reads do not take the room of changes; changes do not wait.
        sent.push(last);
        for _ in 0..OTHERS * 1024 / PAGE {
            sent.push(outgoing.place(reply(PAGE)).unwrap());
        }
        assert_eq!(outgoing.place(reply(PAGE)).unwrap_err().status, 503);
        drop(sent);
        outgoing.place(reply(2 * OTHERS * 1024)).unwrap();
    }
}

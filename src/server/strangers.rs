//! The connections of a listener over which no token was taken yet. While all places are taken and somebody waits for
//! one, the longest of them makes room, so that strangers cannot keep out who has a token.
//!
//! As long as there are places, a stranger may stay as long as anybody: nothing here runs.

use std::collections::BTreeMap;
use std::net::{IpAddr, SocketAddr};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

/// How long a connection may take to bring a token before it can lose its place: a handshake and a request over a bad
/// line. Places thus change hands some hundred times a second, however many strangers come.
const GRACE: Duration = Duration::from_secs(2);
/// How often is looked for a stranger to show out.
const LOOK: Duration = Duration::from_millis(100);

/// The strangers of a listener, in the order in which they came.
#[derive(Default)]
pub(super) struct Strangers {
    present: Mutex<(u64, BTreeMap<u64, Stranger>)>,
}

struct Stranger {
    since: Instant,
    /// Its requests that are being answered: perhaps one of them brings a token.
    busy: usize,
    shown_out: Arc<Notify>,
}

/// A connection, as long as it lasts.
pub struct Visit {
    /// The other end.
    pub peer: SocketAddr,
    /// Its address, as IPv4 where it is one.
    pub address: IpAddr,
    /// The same as text.
    pub source: Arc<str>,
    strangers: Arc<Strangers>,
    number: u64,
    /// Whether a token was taken over it.
    known: AtomicBool,
    shown_out: Arc<Notify>,
}

impl Strangers {
    /// A place, as soon as there is one; strangers give theirs up for it.
    pub(super) async fn place(
        &self,
        places: &Arc<Semaphore>,
    ) -> Result<OwnedSemaphorePermit, AcquireError> {
        if let Ok(place) = Arc::clone(places).try_acquire_owned() {
            return Ok(place);
        }
        loop {
            self.show_out();
            if let Ok(place) = timeout(LOOK, Arc::clone(places).acquire_owned()).await {
                return place;
            }
        }
    }

    /// A connection from `peer` that begins now.
    pub(super) fn enter(self: &Arc<Self>, peer: SocketAddr) -> Arc<Visit> {
        let shown_out = Arc::new(Notify::new());
        let stranger = Stranger {
            since: Instant::now(),
            busy: 0,
            shown_out: Arc::clone(&shown_out),
        };
        let (numbers, present) = &mut *self.present();
        *numbers += 1;
        present.insert(*numbers, stranger);
        let address = peer.ip().to_canonical();
        Arc::new(Visit {
            peer,
            address,
            source: address.to_string().into(),
            known: AtomicBool::new(false),
            strangers: Arc::clone(self),
            number: *numbers,
            shown_out,
        })
    }

    /// Has the one go that has been here longest, if its grace is over.
    fn show_out(&self) {
        let (_, present) = &mut *self.present();
        let oldest = present
            .iter()
            .take_while(|(_, stranger)| stranger.since.elapsed() >= GRACE)
            .find(|(_, stranger)| stranger.busy == 0)
            .map(|(number, _)| *number);
        if let Some(stranger) = oldest.and_then(|number| present.remove(&number)) {
            stranger.shown_out.notify_one();
        }
    }

    fn present(&self) -> MutexGuard<'_, (u64, BTreeMap<u64, Stranger>)> {
        // No code under this lock can panic half-way through a change.
        self.present.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Visit {
    /// A connection from `peer` to a listener that has no other.
    pub fn alone(peer: SocketAddr) -> Arc<Self> {
        Arc::new(Strangers::default()).enter(peer)
    }

    /// Notes that a token was taken: the connection keeps its place.
    pub(super) fn known(&self) {
        if !self.known.swap(true, Ordering::Relaxed) {
            self.strangers.present().1.remove(&self.number);
        }
    }

    /// Completes when the connection has to make room.
    pub(super) async fn shown_out(&self) {
        self.shown_out.notified().await;
    }

    /// Notes that a request is being answered, as long as this is kept.
    pub(super) fn busy(&self) -> Busy<'_> {
        self.count(|requests| *requests += 1);
        Busy(self)
    }

    fn count(&self, change: impl FnOnce(&mut usize)) {
        if !self.known.load(Ordering::Relaxed)
            && let Some(stranger) = self.strangers.present().1.get_mut(&self.number)
        {
            change(&mut stranger.busy);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.known();
    }
}

/// A request that is being answered.
pub(super) struct Busy<'a>(&'a Visit);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0
            .count(|requests| *requests = requests.saturating_sub(1));
    }
}

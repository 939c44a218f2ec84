//! The connections of a listener over which no token was taken yet. While all places are taken and somebody waits for
//! one, the longest of them makes room, so that strangers cannot keep out who has a token.
//!
//! As long as there are places, a stranger may stay as long as anybody: nothing here runs.

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use http_body_util::Full;
use hyper::body::{Bytes, Incoming};
use hyper::{Request, Response};
use tokio::sync::{AcquireError, Notify, OwnedSemaphorePermit, Semaphore};
use tokio::time::{Instant, timeout};

use super::listener::Handler;

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
pub(super) struct Visit {
    strangers: Arc<Strangers>,
    number: u64,
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

    /// A connection that begins now.
    pub(super) fn enter(self: &Arc<Self>) -> Arc<Visit> {
        let shown_out = Arc::new(Notify::new());
        let stranger = Stranger {
            since: Instant::now(),
            busy: 0,
            shown_out: Arc::clone(&shown_out),
        };
        let (numbers, present) = &mut *self.present();
        *numbers += 1;
        present.insert(*numbers, stranger);
        Arc::new(Visit {
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
    /// Notes that a token was taken: the connection keeps its place.
    pub(super) fn known(&self) {
        self.strangers.present().1.remove(&self.number);
    }

    /// Completes when the connection has to make room.
    pub(super) async fn shown_out(&self) {
        self.shown_out.notified().await;
    }

    fn busy(&self, change: impl FnOnce(&mut usize)) {
        if let Some(stranger) = self.strangers.present().1.get_mut(&self.number) {
            change(&mut stranger.busy);
        }
    }
}

impl Drop for Visit {
    fn drop(&mut self) {
        self.known();
    }
}

/// A handler that each request tells over which visit it came.
pub(super) struct Received<H> {
    pub(super) handler: Arc<H>,
    pub(super) visit: Arc<Visit>,
}

/// A request that is being answered.
struct Busy<'a>(&'a Visit);

impl Drop for Busy<'_> {
    fn drop(&mut self) {
        self.0
            .busy(|requests| *requests = requests.saturating_sub(1));
    }
}

impl<H: Handler> Handler for Received<H> {
    async fn handle(
        &self,
        mut request: Request<Incoming>,
        peer: SocketAddr,
    ) -> Response<Full<Bytes>> {
        self.visit.busy(|requests| *requests += 1);
        let _busy = Busy(&self.visit);
        request.extensions_mut().insert(Arc::clone(&self.visit));
        self.handler.handle(request, peer).await
    }
}

//! What a connection is doing, and until when it may: the clock behind every limit of a connection.
//!
//! hyper's own header timeout also runs while a kept connection is idle, and HTTP/2 has none, so one clock of ours serves
//! both protocols. It learns of bytes from [`Watched`], which stands between hyper and TLS, of requests from
//! [`Activity::begin_request`], and of answers from [`Activity::begin_answer`]: over HTTP/2 a client can leave one where it
//! is and go on with others, so each has a time of its own. It decides nothing but times: closing is the supervisor's work, in `connection`.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    time::Instant,
};

use super::limits::Limits;

/// How long a connection that was asked to leave may take over it: one round trip for the goodbye of HTTP/2, or for the
/// client to read the last response and hang up.
const FAREWELL: Duration = Duration::from_secs(2);

/// A client that reads a response at this many bytes a millisecond (16 KB/s) earns the time that takes. Without a
/// smallest rate, one byte a minute would hold a connection for days; without the credit, a long list could not leave.
const SLOWEST_READER: u64 = 16;

/// What happens when a deadline passes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// Ask the client to leave: what is in flight ends, nothing new begins.
    Leave,
    /// Close at once.
    Cut,
}

/// The clock of one connection.
pub(super) struct Activity {
    limits: Arc<Limits>,
    /// On HTTP/2, bytes between requests may be pings and window updates; on HTTP/1.1 they begin a header.
    one_at_a_time: bool,
    state: Mutex<State>,
}

struct State {
    /// Requests whose handler has not finished.
    in_flight: usize,
    /// Answers that the client has not taken whole.
    unsent: Vec<Progress>,
    /// What the next answer is called.
    next: u64,
    /// When the last request was answered, or else when the connection began.
    quiet_since: Instant,
    /// Whether there was a request at all.
    served: bool,
    /// When the header that is being read began.
    header_since: Option<Instant>,
    /// Since when the client has not taken everything written to it.
    blocked: Option<Progress>,
    /// When the connection was asked to leave.
    leaving_since: Option<Instant>,
}

/// How far an answer, or a blocked connection, has come.
#[derive(Clone, Copy)]
struct Progress {
    /// Which it is, of the answers.
    id: u64,
    since: Instant,
    /// Bytes that the client has taken since.
    taken: u64,
}

impl Progress {
    fn begin(id: u64) -> Self {
        Self {
            id,
            since: Instant::now(),
            taken: 0,
        }
    }

    fn took(&mut self, bytes: usize) {
        let bytes = u64::try_from(bytes).unwrap_or(u64::MAX);
        self.taken = self.taken.saturating_add(bytes);
    }

    /// Until when the client has to take more: silence is allowed for so long, and what was taken earns time.
    fn due(&self, silence: Duration) -> Instant {
        self.since + silence + Duration::from_millis(self.taken / SLOWEST_READER)
    }
}

impl Activity {
    /// The clock of a connection that begins now; `one_at_a_time` for HTTP/1.1.
    pub(super) fn new(limits: Arc<Limits>, one_at_a_time: bool) -> Self {
        let state = State {
            in_flight: 0,
            unsent: Vec::new(),
            next: 0,
            quiet_since: Instant::now(),
            served: false,
            header_since: None,
            blocked: None,
            leaving_since: None,
        };
        Self {
            limits,
            one_at_a_time,
            state: Mutex::new(state),
        }
    }

    /// Notes that a request's header is complete. The request is in flight until the guard is dropped.
    pub(super) fn begin_request(self: &Arc<Self>) -> InFlight {
        let mut state = self.state();
        state.in_flight += 1;
        state.served = true;
        state.header_since = None;
        InFlight(Arc::clone(self))
    }

    /// Notes that there is an answer to be sent. It is on its way until the guard is dropped.
    pub(super) fn begin_answer(self: &Arc<Self>) -> Unsent {
        let mut state = self.state();
        let id = state.next;
        state.next += 1;
        state.unsent.push(Progress::begin(id));
        Unsent(Arc::clone(self), id)
    }

    /// Notes that the connection is on its way out.
    pub(super) fn leave(&self) {
        self.state().leaving_since.get_or_insert_with(Instant::now);
    }

    /// The next deadline as things stand, and what follows when it passes; none while a request is in flight and nothing
    /// is to be taken by the client.
    pub(super) fn due(&self) -> Option<(Instant, Step)> {
        let limits = &self.limits;
        let state = self.state();
        let slow = state.unsent.iter().chain(&state.blocked);
        if let Some(at) = slow.map(|progress| progress.due(limits.request)).min() {
            return Some((at, Step::Cut));
        }
        if state.in_flight > 0 {
            return None;
        }
        if let Some(since) = state.leaving_since {
            return Some((since.max(state.quiet_since) + FAREWELL, Step::Cut));
        }
        let at = match state.header_since {
            Some(since) => since + limits.header,
            None if state.served => state.quiet_since + limits.idle,
            None => state.quiet_since + limits.first_byte,
        };
        Some((at, Step::Leave))
    }

    fn received(&self) {
        let mut state = self.state();
        let between_requests = state.in_flight == 0 && (self.one_at_a_time || !state.served);
        if between_requests {
            state.header_since.get_or_insert_with(Instant::now);
        }
    }

    fn wrote(&self, outcome: &Poll<io::Result<usize>>) {
        match outcome {
            Poll::Ready(Ok(count)) => {
                if let Some(blocked) = &mut self.state().blocked {
                    blocked.took(*count);
                }
            }
            Poll::Ready(Err(_)) => {}
            Poll::Pending => self.blocked(),
        }
    }

    fn flushed(&self, outcome: &Poll<io::Result<()>>) {
        match outcome {
            Poll::Ready(_) => self.state().blocked = None,
            Poll::Pending => self.blocked(),
        }
    }

    fn blocked(&self) {
        self.state()
            .blocked
            .get_or_insert_with(|| Progress::begin(0));
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half-way through a change.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A request in flight. Dropped when its handler has finished or was given up.
pub(super) struct InFlight(Arc<Activity>);

impl Drop for InFlight {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.in_flight -= 1;
        state.quiet_since = Instant::now();
    }
}

/// An answer that the client has not taken whole. Dropped when hyper has its last byte, or when nobody wants it any more.
pub(super) struct Unsent(Arc<Activity>, u64);

impl Unsent {
    /// Notes that the client made room for so many bytes more.
    pub(super) fn took(&self, bytes: usize) {
        let mut state = self.0.state();
        let mut unsent = state.unsent.iter_mut();
        if let Some(progress) = unsent.find(|progress| progress.id == self.1) {
            progress.took(bytes);
        }
    }
}

impl Drop for Unsent {
    fn drop(&mut self) {
        let mut state = self.0.state();
        state.unsent.retain(|progress| progress.id != self.1);
        state.quiet_since = Instant::now();
    }
}

/// A stream that reports what passes to an [`Activity`], and that closes without losing the last response.
pub(super) struct Watched<S> {
    stream: S,
    activity: Arc<Activity>,
    shut_down: bool,
}

impl<S> Watched<S> {
    /// `stream`, reporting to `activity`.
    pub(super) fn new(stream: S, activity: Arc<Activity>) -> Self {
        Self {
            stream,
            activity,
            shut_down: false,
        }
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Watched<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let before = buffer.filled().len();
        let outcome = Pin::new(&mut self.stream).poll_read(context, buffer);
        if buffer.filled().len() > before {
            self.activity.received();
        }
        outcome
    }
}

impl<S: AsyncRead + AsyncWrite + Unpin> AsyncWrite for Watched<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write(context, bytes);
        self.activity.wrote(&outcome);
        outcome
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let outcome = Pin::new(&mut self.stream).poll_write_vectored(context, slices);
        self.activity.wrote(&outcome);
        outcome
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let outcome = Pin::new(&mut self.stream).poll_flush(context);
        self.activity.flushed(&outcome);
        outcome
    }

    /// Ends our side, then reads what is still on its way and throws it away, until the client hangs up or the farewell
    /// is over. A socket that is closed with unread bytes in it resets the connection, and the client would lose the
    /// response that explains itself: a 413, or a 401 sent before the body arrived.
    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        self.activity.leave();
        if !self.shut_down {
            let outcome = Pin::new(&mut self.stream).poll_shutdown(context);
            self.activity.flushed(&outcome);
            ready!(outcome)?;
            self.shut_down = true;
        }
        let mut unread = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut unread);
            // An error here is the client's way of hanging up.
            let read = ready!(Pin::new(&mut self.stream).poll_read(context, &mut buffer));
            if read.is_err() || buffer.filled().is_empty() {
                return Poll::Ready(Ok(()));
            }
        }
    }
}

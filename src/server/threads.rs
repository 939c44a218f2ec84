//! The threads that connections live on, one for each processor. What a connection does stays on its thread, but for
//! changes, which go to the writer and back, and for what takes long: to hand each request from one thread to another
//! costs more than most requests do.

use std::io;
use std::num::NonZero;
use std::sync::Arc;
use std::sync::mpsc;
use std::thread::{self, JoinHandle};
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How long the end of a thread waits for what its connections left on threads of their own.
const FAREWELL: Duration = Duration::from_secs(1);

/// The threads. They end when this is dropped, and what goes on there with them.
pub struct Threads(Vec<Thread>);

struct Thread {
    runtime: Handle,
    /// Dropped, it ends the thread.
    stop: Option<oneshot::Sender<()>>,
    ended: Option<JoinHandle<()>>,
    /// One more for each connection.
    connections: Arc<()>,
}

/// A connection's place on a thread, as long as this is kept.
pub(super) struct Seat {
    /// Where it runs.
    pub(super) runtime: Handle,
    _counted: Arc<()>,
}

impl Threads {
    /// Starts them.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let threads = (0..processors).map(|_| Thread::start());
        threads.collect::<io::Result<_>>().map(Self)
    }

    /// A place on the thread that has the fewest connections; none if there is no thread.
    pub(super) fn seat(&self) -> Option<Seat> {
        let connections = |thread: &&Thread| Arc::strong_count(&thread.connections);
        let thread = self.0.iter().min_by_key(connections)?;
        Some(Seat {
            runtime: thread.runtime.clone(),
            _counted: Arc::clone(&thread.connections),
        })
    }
}

impl Thread {
    fn start() -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel::<()>();
        let (tell, told) = mpsc::channel();
        let work = move || {
            let runtime = match Builder::new_current_thread().enable_all().build() {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(runtime.handle().clone())));
            // Nobody sends anything: it ends when the sender is gone.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(FAREWELL);
        };
        let ended = thread::Builder::new()
            .name("connections".into())
            .spawn(work)?;
        Ok(Self {
            runtime: told.recv().map_err(io::Error::other)??,
            stop: Some(stop),
            ended: Some(ended),
            connections: Arc::default(),
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        for thread in &mut self.0 {
            thread.stop = None;
        }
        for thread in &mut self.0 {
            // A panic there has its line in the log.
            let _ = thread.ended.take().map(JoinHandle::join);
        }
    }
}

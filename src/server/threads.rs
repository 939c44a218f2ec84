//! The threads that connections live on, one for each processor, 16 at the most. What a connection does stays on its
//! thread, but for changes, which go to the writer and back, and for what takes long: to hand each request from one
//! thread to another costs more than most requests do.

use std::convert::Infallible;
use std::io;
use std::num::NonZero;
use std::sync::{Arc, Mutex, PoisonError, mpsc};
use std::thread;
use std::time::Duration;

use tokio::runtime::{Builder, Handle};
use tokio::sync::oneshot;

/// How many there are at the most: with more, all would wait for the one writer. Each takes four descriptors.
const MOST: usize = 16;
/// Threads on which what takes long may run at the same time, for each of them.
const BLOCKING: usize = 32;
/// How long such a thread stays when it has nothing to do. What it allocated is freed by other threads, but stays its own
/// until it ends: with tokio's ten seconds, ten of them each kept what a bulk request takes.
const IDLE: Duration = Duration::from_millis(20);
/// How long is waited for their end: for what runs there at that moment, and what was left on threads of its own.
const FAREWELL: Duration = Duration::from_secs(1);

/// The threads. They end when this is dropped, and what goes on there with them.
pub struct Threads {
    all: Vec<Thread>,
    /// Nothing comes out of it; it is closed once all have ended.
    ended: Mutex<mpsc::Receiver<Infallible>>,
}

struct Thread {
    runtime: Handle,
    /// Dropped, it ends the thread.
    _stop: oneshot::Sender<Infallible>,
    /// One more for each connection.
    connections: Arc<()>,
}

/// A connection's place on a thread, as long as this is kept.
pub struct Seat {
    /// Where it runs.
    pub runtime: Handle,
    _counted: Arc<()>,
}

impl Threads {
    /// Starts them.
    pub fn start() -> io::Result<Self> {
        let processors = thread::available_parallelism().map_or(1, NonZero::get);
        let (ending, ended) = mpsc::channel();
        let threads = (0..processors.min(MOST)).map(|_| Thread::start(ending.clone()));
        Ok(Self {
            all: threads.collect::<io::Result<_>>()?,
            ended: Mutex::new(ended),
        })
    }

    /// A place on the thread that has the fewest connections; none if there is no thread.
    pub fn seat(&self) -> Option<Seat> {
        let connections = |thread: &&Thread| Arc::strong_count(&thread.connections);
        let thread = self.all.iter().min_by_key(connections)?;
        Some(Seat {
            runtime: thread.runtime.clone(),
            _counted: Arc::clone(&thread.connections),
        })
    }
}

impl Thread {
    /// Starts one, which keeps `ending` until its end.
    fn start(ending: mpsc::Sender<Infallible>) -> io::Result<Self> {
        let (stop, stopped) = oneshot::channel();
        let (tell, told) = mpsc::channel();
        let work = move || {
            let _ending = ending;
            let runtime = Builder::new_current_thread()
                .enable_all()
                .max_blocking_threads(BLOCKING)
                .thread_keep_alive(IDLE)
                .build();
            let runtime = match runtime {
                Ok(runtime) => runtime,
                Err(error) => return drop(tell.send(Err(error))),
            };
            drop(tell.send(Ok(runtime.handle().clone())));
            // Nobody sends anything: it ends when the sender is gone.
            let _ = runtime.block_on(stopped);
            runtime.shutdown_timeout(FAREWELL);
        };
        thread::Builder::new()
            .name("connections".into())
            .spawn(work)?;
        Ok(Self {
            runtime: told.recv().map_err(io::Error::other)??,
            _stop: stop,
            connections: Arc::default(),
        })
    }
}

impl Drop for Threads {
    fn drop(&mut self) {
        self.all.clear();
        let ended = self.ended.get_mut();
        let ended = ended.unwrap_or_else(PoisonError::into_inner);
        // What does not end in time is left behind.
        let _ = ended.recv_timeout(FAREWELL);
    }
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::*;

    #[test]
    fn connections_spread_and_end_with_the_threads() {
        let threads = Threads::start().unwrap();
        let count = threads.all.len();
        let id = |seat: &Seat| seat.runtime.id();
        let seats: Vec<_> = (0..count).map(|_| threads.seat().unwrap()).collect();
        assert_eq!(seats.iter().map(id).collect::<HashSet<_>>().len(), count);
        let mut seats: Vec<_> = seats.into_iter().chain(threads.seat()).collect();
        let left = seats.remove(count / 2);
        let freed = id(&left);
        drop(left);
        seats.extend((1..count).map(|_| threads.seat().unwrap()));
        assert_eq!(id(&threads.seat().unwrap()), freed, "it has the fewest");

        let held = Arc::new(());
        let kept = Arc::clone(&held);
        let task = async move {
            let _kept = kept;
            std::future::pending::<()>().await;
        };
        drop(seats.remove(0).runtime.spawn(task));
        drop(threads);
        assert_eq!(Arc::strong_count(&held), 1, "what ran there has ended");
    }

    #[tokio::test]
    async fn a_thread_that_has_nothing_to_do_ends() {
        let threads = Threads::start().unwrap();
        let seat = threads.seat().unwrap();
        // "PID/task/TID".
        let itself = || std::fs::read_link("/proc/thread-self").unwrap();
        let thread = seat.runtime.spawn_blocking(itself).await.unwrap();
        let thread = std::path::Path::new("/proc").join(thread);
        let began = std::time::Instant::now();
        while thread.exists() {
            let patient = began.elapsed() < Duration::from_secs(5);
            assert!(patient, "it stays, and what it allocated with it");
            tokio::time::sleep(IDLE).await;
        }
    }
}

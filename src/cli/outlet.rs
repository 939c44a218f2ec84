//! Where the lines of the log go: into memory, from which a thread of its own writes them. Whoever has something to say
//! never waits for whoever reads it, and a reader that is slow, stuck or gone costs lines of the log, nothing else.
//!
//! The lines that wait are bounded in bytes. What does not fit, or cannot be written, is counted, and the log says so
//! once it goes on.

use std::io::{self, ErrorKind, Write};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use tracing_subscriber::fmt::MakeWriter;

/// Bytes of lines that wait: some seconds of a busy server.
const WAITING: usize = 4 * 1024 * 1024;
/// How long the end of the program waits until the lines are written.
const FAREWELL: Duration = Duration::from_secs(2);
/// How long lines gather before they are written. To wake the thread for each would cost a request more than all else
/// that the log does.
const GATHER: Duration = Duration::from_millis(10);
/// Pause before a writer that takes nothing at present (a terminal that somebody made non-blocking) is tried again.
const PAUSE: Duration = Duration::from_millis(20);

/// The way to the thread. A clone leads to the same one.
#[derive(Clone, Default)]
pub struct Outlet(Arc<Shared>);

#[derive(Default)]
struct Shared {
    state: Mutex<State>,
    /// Told when there are lines, and when there are none any more.
    changed: Condvar,
}

#[derive(Default)]
struct State {
    /// Whole lines that wait.
    lines: Vec<u8>,
    /// Whether the thread is writing others.
    writing: bool,
    /// Lines that were lost so far.
    lost: usize,
}

impl Outlet {
    /// Starts the thread, which writes to `writer` and calls `lost` where lines were lost, with their number, once
    /// others could be written again.
    pub fn start(
        writer: impl Write + Send + 'static,
        lost: impl Fn(usize) + Send + 'static,
    ) -> io::Result<Self> {
        let outlet = Self::default();
        let this = outlet.clone();
        std::thread::Builder::new()
            .name("log".into())
            .spawn(move || this.work(writer, lost))?;
        Ok(outlet)
    }

    /// Waits until every line is written, but not for ever.
    pub fn finish(&self) {
        let busy = |state: &mut State| state.writing || !state.lines.is_empty();
        let changed = &self.0.changed;
        // Whether it was in time or not: there is nobody left who could be told.
        drop(changed.wait_timeout_while(self.state(), FAREWELL, busy));
    }

    fn work(&self, mut writer: impl Write, lost: impl Fn(usize)) {
        let (mut lines, mut told) = (Vec::new(), 0);
        // Whether what was written last is a part of a line.
        let mut torn = false;
        loop {
            lines.clear();
            let mut state = self.state();
            state.writing = false;
            self.0.changed.notify_all();
            let empty = |state: &mut State| state.lines.is_empty();
            drop(self.0.changed.wait_while(state, empty));
            std::thread::sleep(GATHER);
            let mut state = self.state();
            state.writing = true;
            std::mem::swap(&mut state.lines, &mut lines);
            let before = state.lost;
            drop(state);
            if torn {
                torn = !write(&mut writer, b"\n").is_empty();
            }
            let left = write(&mut writer, &lines);
            if left.len() < lines.len() {
                torn = begins_within(left, &lines);
            }
            match count(left) {
                0 if before > told => {
                    lost(before - told);
                    told = before;
                }
                0 => {}
                unwritten => self.state().lost += unwritten,
            }
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        // No code under this lock can panic half-way through a change.
        let state = self.0.state.lock();
        state.unwrap_or_else(PoisonError::into_inner)
    }
}

/// Writes what the writer takes, and gives back what is left if it fails.
fn write<'a>(writer: &mut impl Write, mut lines: &'a [u8]) -> &'a [u8] {
    while !lines.is_empty() {
        match writer.write(lines) {
            Ok(0) => break,
            Ok(written) => lines = lines.get(written..).unwrap_or_default(),
            Err(error) if error.kind() == ErrorKind::Interrupted => {}
            Err(error) if error.kind() == ErrorKind::WouldBlock => std::thread::sleep(PAUSE),
            Err(_) => break,
        }
    }
    lines
}

/// How many lines end in `bytes`.
fn count(bytes: &[u8]) -> usize {
    bytes.iter().filter(|byte| **byte == b'\n').count()
}

/// Whether `left`, the end of `lines`, begins within a line.
fn begins_within(left: &[u8], lines: &[u8]) -> bool {
    let written = lines.strip_suffix(left);
    written.is_some_and(|written| !written.ends_with(b"\n"))
}

/// Takes one line at a time, as `tracing-subscriber` writes them.
impl Write for Outlet {
    fn write(&mut self, line: &[u8]) -> io::Result<usize> {
        let mut state = self.state();
        let first = state.lines.is_empty();
        match state.lines.len().saturating_add(line.len()) <= WAITING {
            true => state.lines.extend_from_slice(line),
            false => state.lost += 1,
        }
        drop(state);
        if first {
            self.0.changed.notify_all();
        }
        Ok(line.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

impl MakeWriter<'_> for Outlet {
    type Writer = Self;

    fn make_writer(&self) -> Self {
        self.clone()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;

    /// Writes as much as it is allowed each time, and fails when it is allowed nothing.
    struct Allowed(mpsc::Receiver<usize>, mpsc::Sender<Vec<u8>>);

    impl Write for Allowed {
        fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
            let allowed = self.0.recv().map_err(io::Error::other)?.min(bytes.len());
            if allowed == 0 {
                return Err(io::Error::other("full"));
            }
            self.1.send(bytes[..allowed].to_vec()).unwrap();
            Ok(allowed)
        }

        fn flush(&mut self) -> io::Result<()> {
            Ok(())
        }
    }

    #[test]
    fn what_is_lost_is_counted_and_told_once_it_goes_on() {
        let (allow, allowed) = mpsc::channel();
        let (write, written) = mpsc::channel();
        let (tell, told) = mpsc::channel();
        let writer = Allowed(allowed, write);
        let outlet = Outlet::start(writer, move |lost| tell.send(lost).unwrap()).unwrap();
        let say = |line: &str| outlet.clone().write_all(line.as_bytes()).unwrap();
        let next = || String::from_utf8(written.recv().unwrap()).unwrap();
        say("one\n");
        allow.send(usize::MAX).unwrap();
        assert_eq!(next(), "one\n");
        // The first that fails does so half-way; then the end of its line cannot be written either.
        say("two\n");
        allow.send(2).unwrap();
        assert_eq!(next(), "tw");
        say("three\n");
        for _ in 0..3 {
            allow.send(0).unwrap();
        }
        while outlet.state().lost < 2 {
            std::thread::yield_now();
        }
        // Nothing is taken, and more is said than can wait.
        let long = format!("{}\n", "x".repeat(1023));
        say("four\n");
        while !outlet.state().lines.is_empty() {
            std::thread::yield_now();
        }
        for _ in 0..WAITING / 1024 + 3 {
            say(&long);
        }
        assert_eq!(outlet.state().lost, 5);
        allow.send(usize::MAX).unwrap();
        assert_eq!(next(), "\n");
        allow.send(usize::MAX).unwrap();
        assert_eq!(next(), "four\n");
        assert_eq!(told.recv().unwrap(), 2);
        allow.send(usize::MAX).unwrap();
        assert_eq!(next().len(), WAITING);
        assert_eq!(told.recv().unwrap(), 3);
        outlet.finish();
        assert!(outlet.state().lines.is_empty());
    }
}

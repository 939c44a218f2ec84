//! The certificate in use: read at the start, again when its files change or the administrator asks, and announced before
//! it ends.
//!
//! New handshakes see the new certificate; connections that are there go on. Files that cannot be used change nothing: what
//! was read last stays in use, and the log says once why.

use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use jiff::Timestamp;
use rustls::ServerConfig;
use tokio::sync::watch;

use super::chain::Link;
use super::listener::stopped;
use super::tls::{self, Loaded, TlsFiles};
use crate::directory::{Clock, expiry};
use crate::store::text::instant;

/// How often the files are looked at. Looking costs a system call for each; a certificate is renewed days before its end.
const LOOK: Duration = Duration::from_secs(2);

/// The certificate in use and where it comes from.
pub struct Certificate {
    files: TlsFiles,
    clock: Clock,
    scim: watch::Sender<Arc<ServerConfig>>,
    admin: watch::Sender<Arc<ServerConfig>>,
    announced: expiry::Announced,
    state: Mutex<State>,
}

struct State {
    /// When the certificate in use ends.
    ends: Timestamp,
    /// The files as they were when they were read last, whether or not they could be used.
    read: Seen,
    /// The files as they were at the last look.
    last: Seen,
}

/// What tells one state of the files from another: device, inode, size and times of what each name leads to, through
/// symbolic links. None of a file that is not there.
type Seen = Vec<Option<[i64; 6]>>;

impl Certificate {
    /// Reads `files`.
    pub fn open(files: TlsFiles, clock: Clock) -> Result<Self, tls::Error> {
        let seen = seen(&files);
        let loaded = tls::load(&files)?;
        let state = State {
            ends: end(&loaded.links),
            read: seen.clone(),
            last: seen,
        };
        Ok(Self {
            files,
            clock,
            scim: watch::Sender::new(loaded.scim),
            admin: watch::Sender::new(loaded.admin),
            announced: expiry::Announced::default(),
            state: Mutex::new(state),
        })
    }

    /// What the SCIM listener presents.
    pub fn scim(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.scim.subscribe()
    }

    /// What the admin listener presents.
    pub fn admin(&self) -> watch::Receiver<Arc<ServerConfig>> {
        self.admin.subscribe()
    }

    /// Seconds until the chain in use ends: its first certificate to do so. Negative once it has.
    pub fn seconds_left(&self) -> i64 {
        let ends = self.state().ends;
        ends.duration_since((self.clock)()).as_secs()
    }

    /// Reads the files again. What is in use stays so if they cannot be used; the log tells which.
    pub fn reload(&self) {
        // Before the reading: what is written meanwhile is another state of the files, and is read again.
        let seen = seen(&self.files);
        let loaded = tls::load(&self.files);
        let mut state = self.state();
        state.read = seen;
        match loaded {
            Ok(Loaded {
                scim, admin, links, ..
            }) => {
                state.ends = end(&links);
                self.scim.send_replace(scim);
                self.admin.send_replace(admin);
                tracing::info!(ends = instant(state.ends), "the certificate was read again");
            }
            Err(error) => {
                let reason = &error as &dyn std::error::Error;
                tracing::error!(
                    reason,
                    "the new certificate cannot be used; the server goes on with the one before"
                );
            }
        }
    }

    /// Reads the files again when they have changed and stayed so from one look to the next: whoever replaces
    /// certificate and key needs a moment between the two.
    fn look(&self) {
        let seen = seen(&self.files);
        let mut state = self.state();
        let settled = seen == state.last;
        let new = seen != state.read;
        state.last = seen;
        drop(state);
        if new && settled {
            self.reload();
        }
        self.announce();
    }

    /// Looks at the files, and at how long the certificate lasts, until `shutdown` becomes true.
    pub async fn watch(self: Arc<Self>, mut shutdown: watch::Receiver<bool>) {
        let stopped = stopped(&mut shutdown);
        tokio::pin!(stopped);
        loop {
            let this = Arc::clone(&self);
            if let Err(error) = tokio::task::spawn_blocking(move || this.look()).await {
                tracing::error!(%error, "cannot look at the certificate; it is tried again");
            }
            if tokio::time::timeout(LOOK, &mut stopped).await.is_ok() {
                return;
            }
        }
    }

    /// Warns in the log when the end has come closer than one of the announced distances; once a day when it has passed.
    fn announce(&self) {
        let (ends, now) = (self.state().ends, (self.clock)());
        let file = self.files.certificate.display();
        match self.announced.news("certificate", due(ends, now)) {
            Some(days) if days > 0 => tracing::warn!(
                ends = instant(ends),
                "the certificate in {file} ends in less than {days} days; renew it"
            ),
            Some(_) => tracing::error!(
                ends = instant(ends),
                "THE CERTIFICATE IN {file} HAS ENDED: clients refuse the connection; renew it"
            ),
            None => {}
        }
    }

    fn state(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// What is to be announced of a certificate: the days ahead; past its end 0, -1, -2: another one each day.
fn due(ends: Timestamp, now: Timestamp) -> Option<i64> {
    match now.duration_since(ends) {
        past if past.is_negative() => expiry::distance(ends, now),
        past => Some(-past.as_hours() / 24),
    }
}

/// When the first certificate of a chain ends: from then on clients refuse it.
fn end(links: &[Link]) -> Timestamp {
    let ends = links.iter().map(|link| link.ends).min();
    ends.unwrap_or(Timestamp::MIN)
}

fn seen(files: &TlsFiles) -> Seen {
    let of = |file: &Path| {
        let file = std::fs::metadata(file).ok()?;
        let [device, inode, size] = [file.dev(), file.ino(), file.size()].map(u64::cast_signed);
        let [modified, changed] = [file.mtime_nsec(), file.ctime_nsec()];
        Some([device, inode, size, file.mtime(), modified, changed])
    };
    let paths = [
        Some(&files.certificate),
        Some(&files.key),
        files.admin_client_ca.as_ref(),
    ];
    paths.into_iter().flatten().map(|path| of(path)).collect()
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicI64, Ordering::SeqCst};
    use std::time::SystemTime;

    use super::*;
    use crate::server::trial_certificate;

    #[test]
    fn the_time_left_follows_the_clock() {
        let directory = tempfile::tempdir().unwrap();
        let file = |name: &str| directory.path().join(name);
        let made = SystemTime::now();
        let trial = trial_certificate::generate("localhost", made).unwrap();
        std::fs::write(file("server.crt"), &trial.certificate).unwrap();
        std::fs::write(file("server.key"), trial.key.as_bytes()).unwrap();
        let files = TlsFiles {
            certificate: file("server.crt"),
            key: file("server.key"),
            admin_client_ca: None,
        };
        let made = Timestamp::try_from(made).unwrap().as_second();
        let now = Arc::new(AtomicI64::new(made));
        let clock = Arc::clone(&now);
        let clock = Arc::new(move || Timestamp::from_second(clock.load(SeqCst)).unwrap());
        let certificate = Certificate::open(files, clock).unwrap();
        let day = 24 * 60 * 60;
        let left = certificate.seconds_left();
        assert!((824 * day..=825 * day).contains(&left), "{left}");
        now.fetch_add(826 * day, SeqCst);
        assert_eq!(certificate.seconds_left(), left - 826 * day);
    }

    #[test]
    fn announced_ahead_and_every_day_after_the_end() {
        let now = Timestamp::from_second(1_000_000_000).unwrap();
        let hours = jiff::SignedDuration::from_hours;
        for (left, expected) in [
            (24 * 31, None),
            (24 * 30, Some(30)),
            (24, Some(1)),
            (1, Some(1)),
            (0, Some(0)),
            (-23, Some(0)),
            (-24, Some(-1)),
            (-24 * 9, Some(-9)),
        ] {
            assert_eq!(due(now + hours(left), now), expected, "{left}");
        }
    }
}

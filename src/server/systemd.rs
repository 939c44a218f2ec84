//! What systemd hands over and wants to hear: sockets that it opened (`LISTEN_FDS`), and readiness, reload, stop and life
//! of the process (`NOTIFY_SOCKET`). Without systemd all of it does nothing.

use std::net::TcpListener;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::time::Duration;

use listenfd::ListenFd;
use sd_notify::NotifyState;
use tokio::sync::watch;

use super::listener::stopped;
use crate::directory::Directory;

/// Signs of life in the time that systemd allows for one: one that comes late is then no alarm.
const BEATS: u32 = 3;

/// Why the sockets that systemd opened cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The variables do not fit together.
    #[error("systemd passed sockets in a way that cannot be understood")]
    Names(#[source] std::io::Error),
    /// A socket has another name, or the name of one before.
    #[error(
        "systemd passed a socket called `{0}`; it has to pass one called scim and one called admin (FileDescriptorName=)"
    )]
    Name(String),
    /// It is no TCP socket that listens.
    #[error(
        "the socket `{name}` from systemd cannot be used; it has to be a ListenStream= with an address and a port"
    )]
    Socket {
        /// What it is called.
        name: String,
        /// What the system said.
        source: std::io::Error,
    },
}

/// Sockets that systemd opened, by the name that the socket unit gives them (`FileDescriptorName=`). One that it did not
/// open is for the server to bind.
#[derive(Default)]
pub struct Sockets {
    /// For the identity provider.
    pub scim: Option<TcpListener>,
    /// For the administrator.
    pub admin: Option<TcpListener>,
}

impl Sockets {
    /// Takes what the environment of this process names. To be called once, before any thread is there: it takes the
    /// variables out of the environment.
    pub fn take() -> Result<Self, Error> {
        // Before the sockets, whose taking removes what the names belong to.
        let names = sd_notify::listen_fds_with_names().map_err(Error::Names)?;
        let mut passed = ListenFd::from_env();
        let mut sockets = Self::default();
        for (index, (_, name)) in names.enumerate() {
            let place = match name.as_str() {
                "scim" => &mut sockets.scim,
                "admin" => &mut sockets.admin,
                _ => return Err(Error::Name(name)),
            };
            if place.is_some() {
                return Err(Error::Name(name));
            }
            let socket = passed.take_tcp_listener(index);
            *place = socket.map_err(|source| Error::Socket { name, source })?;
        }
        Ok(sockets)
    }
}

/// Tells that the server accepts, and in words that it does so at `address`.
pub fn ready(address: &str) {
    let status = format!("serving {address}");
    tell(&[NotifyState::Ready, NotifyState::Status(&status)]);
}

/// Tells that the configuration is being read again. [`ready`] has to follow.
pub fn reloading() {
    match NotifyState::monotonic_usec_now() {
        Ok(now) => tell(&[
            NotifyState::Reloading,
            now,
            NotifyState::Status("reading the certificate again"),
        ]),
        Err(error) => tracing::warn!(%error, "cannot tell systemd of the reload"),
    }
}

/// Tells that the server stops once the requests in flight are answered.
pub fn stopping() {
    let status = NotifyState::Status("finishing the requests in flight");
    tell(&[NotifyState::Stopping, status]);
}

/// Gives a sign of life as often as systemd wants one, until `shutdown` becomes true: each after a round trip through the
/// writer, so that a process which cannot write any more is started again.
pub async fn watchdog(directory: &Directory, mut shutdown: watch::Receiver<bool>) {
    let Some(allowed) = sd_notify::watchdog_enabled() else {
        return;
    };
    let pause = (allowed / BEATS).max(Duration::from_millis(1));
    let beat = async {
        loop {
            match directory.ready().await {
                Ok(()) => tell(&[NotifyState::Watchdog]),
                Err(error) => {
                    tracing::error!(%error, "no sign of life to systemd: the database does not take writes")
                }
            }
            tokio::time::sleep(pause).await;
        }
    };
    tokio::select! {
        () = beat => {}
        () = stopped(&mut shutdown) => {}
    }
}

/// Tells systemd, if it listens. That it does not hear is no reason to stop serving.
fn tell(states: &[NotifyState<'_>]) {
    if let Err(error) = notify(states) {
        tracing::warn!(%error, "cannot tell systemd");
    }
}

fn notify(states: &[NotifyState<'_>]) -> std::io::Result<()> {
    let socket = std::env::var_os("NOTIFY_SOCKET").unwrap_or_default();
    let Some(name) = socket.as_bytes().strip_prefix(b"@") else {
        return sd_notify::notify(states);
    };
    // The library knows sockets in the file system alone.
    let lines: String = states.iter().map(|state| format!("{state}\n")).collect();
    let socket = UnixDatagram::unbound()?;
    socket.connect_addr(&SocketAddr::from_abstract_name(name)?)?;
    socket.send(lines.as_bytes()).map(drop)
}

//! Forwards every audit row to a syslog receiver, in the order of `seq`, at least once.
//!
//! How far the receiver has come stands in the database. A row counts as received once the connection has outlived it for
//! a while: TCP has no word for it, but a peer that died shows within that time. One that lives and does not read takes
//! longer to show, so after a connection that did not end in order also what was sent over it last is sent again; the
//! receiver drops doubles. Nothing waits for the receiver: neither a request nor the writer nor the server's end.

mod message;
mod transport;

use std::collections::VecDeque;
use std::fmt;
use std::io::ErrorKind;
use std::path::PathBuf;
use std::str::FromStr;
use std::time::Duration;

use rustls::pki_types::ServerName;
use tokio::select;
use tokio::sync::watch;
use tokio::time::{Instant, sleep, timeout};

use super::listener::stopped;
use crate::directory::{Directory, Refusal};
pub use transport::Error as TlsError;
use transport::{Connector, Transport};

/// Rows read and sent together, as far as they fit on a page.
const BATCH: usize = 64;
/// How often is looked for new rows; also another process makes some.
const POLL: Duration = Duration::from_secs(1);
/// How long a connection outlives a row until it counts as received: longer than [`transport::SILENCE`], after which the
/// kernel gives a silent peer up.
const SETTLED: Duration = Duration::from_secs(10);
/// How long ago a row was sent that is sent again after a connection that did not end in order: the receiver may have
/// taken it from the network and never have read it.
const DOUBTFUL: Duration = Duration::from_secs(60);
/// Wait before the first new attempt; it doubles with each that fails.
const FIRST_PAUSE: Duration = Duration::from_millis(500);
/// Longest wait between two attempts.
const LONGEST_PAUSE: Duration = Duration::from_secs(60);
/// How long the server's end waits for the receiver to confirm by hanging up.
const FAREWELL: Duration = Duration::from_secs(2);

/// What the configuration says about forwarding.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Syslog {
    /// Where to; nowhere without it.
    pub destination: Option<Destination>,
    /// What the message is.
    pub format: Format,
    /// The authorities that vouch for a TLS receiver (PEM), unless they are those of the machine.
    pub ca: Option<PathBuf>,
}

/// What the message of a row is. The structured data beside it is always the same.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Format {
    /// The row as the contract for scripts has it (design §5).
    #[default]
    Json,
    /// ArcSight's Common Event Format.
    Cef,
}

/// Where a receiver is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Destination {
    /// A host and a port, with octet counting (RFC 6587 §3.4.1).
    Tcp(String, u16),
    /// The same over TLS (RFC 5425).
    Tls(String, u16),
    /// A datagram for each message (RFC 5426).
    Udp(String, u16),
    /// A datagram socket on this machine.
    Unix(PathBuf),
}

impl FromStr for Destination {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let wrong = || {
            format!(
                "`{text}` must be like tcp://host:601, tls://host:6514, udp://host:514 or unix:///dev/log"
            )
        };
        let (scheme, place) = text.split_once("://").ok_or_else(wrong)?;
        let (kind, port): (fn(String, u16) -> Self, u16) = match scheme {
            "tcp" => (Self::Tcp, 601),
            "tls" => (Self::Tls, 6514),
            "udp" => (Self::Udp, 514),
            "unix" if place.starts_with('/') => return Ok(Self::Unix(place.into())),
            _ => return Err(wrong()),
        };
        let bracketed = place
            .strip_prefix('[')
            .and_then(|rest| rest.split_once(']'));
        let (host, rest) = match bracketed {
            Some((host, rest)) => (host, rest),
            None => place.split_at(place.find(':').unwrap_or(place.len())),
        };
        let port = match rest.strip_prefix(':') {
            Some(port) => port.parse().ok().filter(|port| *port > 0),
            None => rest.is_empty().then_some(port),
        };
        match (ServerName::try_from(host), port) {
            (Ok(_), Some(port)) => Ok(kind(host.to_owned(), port)),
            _ => Err(wrong()),
        }
    }
}

impl fmt::Display for Destination {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        let (scheme, host, port) = match self {
            Self::Tcp(host, port) => ("tcp", host, port),
            Self::Tls(host, port) => ("tls", host, port),
            Self::Udp(host, port) => ("udp", host, port),
            Self::Unix(path) => return write!(formatter, "unix://{}", path.display()),
        };
        match host.contains(':') {
            true => write!(formatter, "{scheme}://[{host}]:{port}"),
            false => write!(formatter, "{scheme}://{host}:{port}"),
        }
    }
}

/// Why a session with a receiver ended.
#[derive(Debug, thiserror::Error)]
enum Interrupted {
    #[error(transparent)]
    Network(#[from] std::io::Error),
    #[error("cannot read or note how far it has come: {0}")]
    Directory(#[from] Refusal),
}

/// A connection, and what was sent over it.
struct Session {
    transport: Transport,
    /// The last row that was sent.
    sent: i64,
    /// Rows that do not count as received yet: the last of each batch, and when it was sent.
    unsettled: VecDeque<(Instant, i64)>,
    /// Rows that are sent again if the connection does not end in order: the one before each batch, and when it was sent.
    doubtful: VecDeque<(Instant, i64)>,
    /// Whether any row has counted as received.
    proven: bool,
}

impl Session {
    /// The row behind which all is sent again if the connection does not end in order.
    fn doubtful(&self) -> Option<i64> {
        let mut doubtful = self.doubtful.iter();
        let young = doubtful.find(|(sent, _)| sent.elapsed() < DOUBTFUL)?;
        Some(young.1)
    }
}

/// Sends the audit to a receiver.
pub struct Forwarder {
    destination: Destination,
    /// The destination as the database and the log know it.
    name: String,
    connector: Connector,
    format: Format,
    host: String,
}

impl Forwarder {
    /// A forwarder of the appliance called `host`, if one is configured.
    pub fn new(syslog: &Syslog, host: &str) -> Result<Option<Self>, TlsError> {
        let Some(destination) = syslog.destination.clone() else {
            return Ok(None);
        };
        Ok(Some(Self {
            name: destination.to_string(),
            connector: Connector::new(&destination, syslog.ca.as_deref())?,
            destination,
            format: syslog.format,
            host: host.to_owned(),
        }))
    }

    /// Forwards what is in the audit of `directory` and what comes, until `shutdown` becomes true.
    pub async fn run(self, directory: &Directory, mut shutdown: watch::Receiver<bool>) {
        let (mut pause, mut failing) = (FIRST_PAUSE, None);
        loop {
            let mut session = None;
            let ended = select! {
                biased;
                () = stopped(&mut shutdown) => {
                    if let Some(session) = session {
                        self.leave(directory, session).await;
                    }
                    return;
                }
                ended = self.forward(directory, &mut session, &mut failing) => ended,
            };
            if session.as_ref().is_some_and(|session| session.proven) {
                pause = FIRST_PAUSE;
            }
            let Err(error) = ended else {
                continue;
            };
            let cause = error.to_string();
            if failing.as_ref() != Some(&cause) {
                tracing::warn!(
                    destination = self.name,
                    %error,
                    "the audit is not forwarded; nothing is lost, it is tried again"
                );
                failing = Some(cause);
            }
            if let Some(session) = session {
                self.go_back(directory, &session).await;
            }
            select! {
                () = stopped(&mut shutdown) => return,
                () = sleep(pause) => pause = LONGEST_PAUSE.min(pause * 2),
            }
        }
    }

    /// Sends rows over one connection, made when there is one to send. Ends well only if the receiver hangs up when
    /// nothing is on its way.
    async fn forward(
        &self,
        directory: &Directory,
        session: &mut Option<Session>,
        failing: &mut Option<String>,
    ) -> Result<(), Interrupted> {
        let from = directory.forwarded(&self.name)?;
        while directory.audit_after(from, 1)?.is_empty() {
            sleep(POLL).await;
        }
        let session = session.insert(Session {
            transport: self.connector.connect(&self.destination).await?,
            sent: from,
            unsettled: VecDeque::new(),
            doubtful: VecDeque::new(),
            proven: false,
        });
        loop {
            let rows = directory.audit_after(session.sent, BATCH)?;
            if let Some(last) = rows.last() {
                session.doubtful.push_back((Instant::now(), session.sent));
                let messages = rows
                    .iter()
                    .map(|row| message::of(row, self.format, &self.host));
                session.transport.send(messages).await?;
                session.sent = last.seq;
                session.unsettled.push_back((Instant::now(), last.seq));
                if failing.take().is_some() {
                    tracing::info!(destination = self.name, "the audit is forwarded again");
                }
            }
            let wait = match rows.is_empty() {
                true => POLL,
                false => Duration::ZERO,
            };
            if let Ok(closed) = timeout(wait, session.transport.closed()).await {
                let in_order = match closed.kind() {
                    ErrorKind::UnexpectedEof => session.unsettled.is_empty(),
                    _ => session.doubtful().is_none(),
                };
                return match in_order {
                    true => Ok(()),
                    false => Err(closed.into()),
                };
            }
            self.settle(directory, session).await?;
        }
    }

    /// Takes back what was noted of the rows that were sent last over a connection that did not end in order.
    async fn go_back(&self, directory: &Directory, session: &Session) {
        let Some(doubtful) = session.doubtful() else {
            return;
        };
        let noted = match directory.forwarded(&self.name) {
            Ok(noted) if noted <= doubtful => return,
            Ok(_) => directory.note_forwarded(&self.name, doubtful).await,
            Err(error) => Err(error),
        };
        if let Err(error) = noted {
            tracing::warn!(%error, "what was forwarded last is not forwarded again");
        }
    }

    /// Notes which rows count as received by now.
    async fn settle(
        &self,
        directory: &Directory,
        session: &mut Session,
    ) -> Result<(), Interrupted> {
        let mut received = None;
        while let Some((_, seq)) = session
            .unsettled
            .pop_front_if(|(sent, _)| sent.elapsed() >= SETTLED)
        {
            received = Some(seq);
        }
        let over = |(sent, _): &mut (Instant, _)| sent.elapsed() >= DOUBTFUL;
        while session.doubtful.pop_front_if(over).is_some() {}
        if let Some(seq) = received {
            session.proven = true;
            directory.note_forwarded(&self.name, seq).await?;
        }
        Ok(())
    }

    /// Says goodbye. A receiver that answers by hanging up in order has read all; else it is told again at the next start.
    async fn leave(&self, directory: &Directory, mut session: Session) {
        let Ok(true) = timeout(FAREWELL, session.transport.finish()).await else {
            return self.go_back(directory, &session).await;
        };
        if session.unsettled.is_empty() {
            return;
        }
        if let Err(error) = directory.note_forwarded(&self.name, session.sent).await {
            tracing::warn!(%error, "the last forwarded audit rows are forwarded again at the next start");
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn destinations_are_read_and_shown() {
        for (text, shown) in [
            ("tcp://siem.example.test:601", "tcp://siem.example.test:601"),
            ("tcp://siem", "tcp://siem:601"),
            ("tls://192.0.2.7", "tls://192.0.2.7:6514"),
            ("udp://[2001:db8::7]:1514", "udp://[2001:db8::7]:1514"),
            ("udp://[2001:db8::7]", "udp://[2001:db8::7]:514"),
            ("unix:///dev/log", "unix:///dev/log"),
        ] {
            let destination: Destination = text.parse().unwrap();
            assert_eq!(destination.to_string(), shown, "{text}");
            assert_eq!(shown.parse(), Ok(destination), "{text}");
        }
        for text in [
            "",
            "siem",
            "tcp:siem",
            "tcp://",
            "tcp://:601",
            "tcp://siem:",
            "tcp://siem:x",
            "tcp://siem:65536",
            "tcp://siem:0",
            "tcp://[::1",
            "tcp://[::1]x",
            "tcp://2001:db8::7",
            "tcp://a b",
            "unix://dev/log",
            "syslog://siem",
        ] {
            assert!(text.parse::<Destination>().is_err(), "{text}");
        }
    }
}

//! Accepts connections, no more than allowed at one time, and ends them in order when the server stops. Who waits for a
//! place gets one of those who brought no token.
//!
//! Nothing a client does and no shortage of the machine ends the server: a failed accept is tried again.

use std::{net::SocketAddr, sync::Arc, time::Duration};

use bytes::Bytes;
use hyper::{Request, Response, body::Incoming};
use rustls::ServerConfig;
use tokio::{
    net::{TcpListener, TcpStream},
    select,
    sync::{Semaphore, watch},
    task::{JoinError, JoinSet},
    time::Instant,
};
use tracing::{debug, error, info, warn};

use super::{
    connection::{self, Shared},
    limits::Limits,
    strangers::Strangers,
    threads::Threads,
};

pub use super::strangers::Visit;

/// Pause after a failed accept. Descriptors come back when connections end, not by asking at once.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);
/// Time without a failure after which a shortage is over: while it lasts, each connection that ends lets one in.
const ACCEPT_AGAIN: Duration = Duration::from_secs(10);
/// What is said of a connection that its thread did not get.
const LOST: &str =
    "a connection was lost on the way to its thread; its client has to connect again";

/// Answers the requests of a listener.
pub trait Handler: Send + Sync + 'static {
    /// The response to `request`, which came over the connection of `visit`.
    ///
    /// The future is dropped where it waits if the client hangs up, resets the HTTP/2 stream, or outlasts the drain. What
    /// must not stop half-way (a write) goes on by itself then (`unstopped`). If it panics, the client loses its connection
    /// (HTTP/1.1) or its stream (HTTP/2); the server goes on.
    ///
    /// A response sent before the body was read closes an HTTP/1.1 connection.
    fn handle(
        &self,
        request: Request<Incoming>,
        visit: &Visit,
    ) -> impl Future<Output = Response<Bytes>> + Send;
}

/// Serves `listener` until `shutdown` becomes true or its sender is gone, then lets the requests in flight end for at
/// most [`Limits::drain`] and drops the rest. From then on the port is closed.
///
/// Connections live on `threads`, not where this is called.
///
/// A new connection uses the TLS configuration that `tls` holds at that moment, so a renewed certificate needs no restart.
pub async fn serve<H: Handler>(
    listener: TcpListener,
    tls: watch::Receiver<Arc<ServerConfig>>,
    limits: Arc<Limits>,
    threads: &Threads,
    handler: Arc<H>,
    mut shutdown: watch::Receiver<bool>,
) {
    let places = Arc::new(Semaphore::new(limits.connections));
    let strangers = Arc::new(Strangers::default());
    let shared = Arc::new(Shared { limits, handler });
    let mut connections = JoinSet::new();
    let mut failed = None;
    let mut next = None;
    loop {
        // One client at the most is accepted before it has a place: further ones wait in the kernel's queue and cost
        // nothing here.
        let admitted = async {
            if next.is_none() {
                next = Some(accept(&listener, &mut failed).await);
            }
            strangers.place(&places).await
        };
        let place = select! {
            place = admitted => place,
            Some(ended) = connections.join_next() => {
                report(ended);
                continue;
            }
            () = stopped(&mut shutdown) => break,
        };
        let Some((stream, peer)) = next.take() else {
            continue;
        };
        let visit = strangers.enter(peer);
        let tls = tls.borrow().clone();
        let (shared, shutdown) = (Arc::clone(&shared), shutdown.clone());
        // Its readiness is told to the thread that it was accepted on, until it is taken from there.
        let (Ok(stream), Some(seat)) = (stream.into_std(), threads.seat()) else {
            warn!(%peer, "{LOST}");
            continue;
        };
        let runtime = seat.runtime.clone();
        let connection = async move {
            let _held = (place, seat);
            let stream = match TcpStream::from_std(stream) {
                Ok(stream) => stream,
                Err(error) => {
                    return warn!(%peer, %error, "{LOST}");
                }
            };
            select! {
                () = connection::run(stream, Arc::clone(&visit), tls, shared, shutdown) => {}
                () = visit.shown_out() => debug!(%peer, "made room: no token was taken over it"),
            }
        };
        connections.spawn_on(connection, &runtime);
    }
    drop(listener);
    let drained = async {
        while let Some(ended) = connections.join_next().await {
            report(ended);
        }
    };
    if tokio::time::timeout(shared.limits.drain, drained)
        .await
        .is_err()
    {
        warn!(
            connections = connections.len(),
            "connections dropped: they did not end in time"
        );
    }
}

/// Completes once the server is to stop.
pub(super) async fn stopped(shutdown: &mut watch::Receiver<bool>) {
    // An error means that the sender is gone, and nobody is left who could stop the server.
    let _ = shutdown.wait_for(|stop| *stop).await;
}

/// The next connection. A failure is logged once, however often it repeats: during a shortage that is ten times a second.
/// `failed` is when that was last, until the shortage is over.
async fn accept(listener: &TcpListener, failed: &mut Option<Instant>) -> (TcpStream, SocketAddr) {
    loop {
        match listener.accept().await {
            Ok(accepted) => {
                if failed.is_some_and(|at| at.elapsed() >= ACCEPT_AGAIN) {
                    *failed = None;
                    info!("connections are accepted again");
                }
                return accepted;
            }
            Err(error) => {
                if failed.replace(Instant::now()).is_none() {
                    warn!(%error, "cannot accept a connection; trying again until it works");
                }
                tokio::time::sleep(ACCEPT_PAUSE).await;
            }
        }
    }
}

/// A connection's task ends with an error only if a handler panicked: nobody aborts one before the drain is over.
fn report(ended: Result<(), JoinError>) {
    if let Err(error) = ended {
        error!(%error, "a request ended its connection");
    }
}

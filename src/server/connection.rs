//! One connection from handshake to farewell: TLS under a deadline, the protocol that ALPN chose, and a supervisor that
//! enforces the limits of [`Activity`].
//!
//! The protocol is never guessed from the first bytes: a client that then stays silent could not be told apart from one
//! that is about to speak.

use std::{
    convert::Infallible, future::poll_fn, net::SocketAddr, pin::Pin, pin::pin, sync::Arc,
    task::Poll, time::Duration,
};

use hyper::{
    Request, Response,
    body::Incoming,
    server::conn::{http1, http2},
    service::{Service, service_fn},
};
use hyper_util::rt::{TokioExecutor, TokioIo, TokioTimer};
use rustls::ServerConfig;
use tokio::{net::TcpStream, select, sync::watch, time::Instant};
use tokio_rustls::{TlsAcceptor, server::TlsStream};
use tracing::debug;

use super::{
    activity::{Activity, Step, Watched},
    limits::Limits,
    listener::{Handler, stopped},
    sending::Sending,
    strangers::Visit,
};

/// A ping this often keeps an idle HTTP/2 connection alive in NAT tables and finds peers that vanished.
const PING_EVERY: Duration = Duration::from_secs(30);
/// How long a peer may take to answer a ping.
const PING_ANSWER: Duration = Duration::from_secs(10);
/// Unread bytes that an HTTP/2 client may send ahead, per stream and per connection: what a connection can cost in
/// memory. Enough for 2.5 MB/s at 100 ms distance.
const WINDOW: u32 = 256 * 1024;
/// Smallest read buffer of HTTP/1.1, for the same reason; hyper's default is 400 KB.
const READ_BUFFER: usize = 64 * 1024;

/// What every connection of a listener shares.
pub(super) struct Shared<H> {
    pub(super) limits: Arc<Limits>,
    pub(super) handler: Arc<H>,
}

/// Serves one accepted connection until it ends, one way or another.
pub(super) async fn run<H: Handler>(
    stream: TcpStream,
    visit: Arc<Visit>,
    tls: Arc<ServerConfig>,
    shared: Arc<Shared<H>>,
    mut shutdown: watch::Receiver<bool>,
) {
    let peer = visit.peer;
    // Responses are written whole, so waiting for more to send only adds delay. A socket that refuses the option still
    // serves.
    if let Err(error) = stream.set_nodelay(true) {
        debug!(%peer, %error, "no TCP_NODELAY");
    }
    let handshake = TlsAcceptor::from(tls).accept(stream);
    let stream = select! {
        outcome = tokio::time::timeout(shared.limits.handshake, handshake) => match outcome {
            Ok(Ok(stream)) => stream,
            Ok(Err(error)) => return debug!(%peer, %error, "TLS handshake failed"),
            Err(_) => return debug!(%peer, "TLS handshake took too long"),
        },
        () = stopped(&mut shutdown) => return,
    };
    if stream.get_ref().1.alpn_protocol() == Some(b"h2") {
        serve_http2(stream, visit, &shared, shutdown).await;
    } else {
        serve_http1(stream, visit, &shared, shutdown).await;
    }
}

async fn serve_http1<H: Handler>(
    stream: TlsStream<TcpStream>,
    visit: Arc<Visit>,
    shared: &Shared<H>,
    shutdown: watch::Receiver<bool>,
) {
    let (limits, peer) = (&shared.limits, visit.peer);
    let activity = Arc::new(Activity::new(Arc::clone(limits), true));
    let connection = http1::Builder::new()
        .timer(TokioTimer::new())
        // Runs between requests too, where 120 s are allowed: `Activity` keeps both times.
        .header_read_timeout(None)
        .max_header_size(limits.header_size)
        .max_buf_size(limits.header_size.max(READ_BUFFER))
        .serve_connection(
            TokioIo::new(Watched::new(stream, Arc::clone(&activity))),
            service(&shared.handler, visit, &activity),
        );
    supervise(
        connection,
        http1::Connection::graceful_shutdown,
        &activity,
        limits,
        peer,
        shutdown,
    )
    .await;
}

async fn serve_http2<H: Handler>(
    stream: TlsStream<TcpStream>,
    visit: Arc<Visit>,
    shared: &Shared<H>,
    shutdown: watch::Receiver<bool>,
) {
    let (limits, peer) = (&shared.limits, visit.peer);
    let activity = Arc::new(Activity::new(Arc::clone(limits), false));
    let connection = http2::Builder::new(TokioExecutor::new())
        .timer(TokioTimer::new())
        .keep_alive_interval(PING_EVERY)
        .keep_alive_timeout(PING_ANSWER)
        .max_concurrent_streams(limits.streams)
        .max_header_list_size(u32::try_from(limits.header_size).unwrap_or(u32::MAX))
        .initial_stream_window_size(WINDOW)
        .initial_connection_window_size(WINDOW)
        .serve_connection(
            TokioIo::new(Watched::new(stream, Arc::clone(&activity))),
            service(&shared.handler, visit, &activity),
        );
    supervise(
        connection,
        http2::Connection::graceful_shutdown,
        &activity,
        limits,
        peer,
        shutdown,
    )
    .await;
}

/// The handler as hyper calls it. A request is in flight from its header to its handler's end, its answer from there until
/// hyper has all of it.
fn service<H: Handler>(
    handler: &Arc<H>,
    visit: Arc<Visit>,
    activity: &Arc<Activity>,
) -> impl Service<
    Request<Incoming>,
    Response = Response<Sending>,
    Error = Infallible,
    Future: Send + 'static,
> + use<H> {
    let (handler, activity) = (Arc::clone(handler), Arc::clone(activity));
    service_fn(move |request| {
        let in_flight = activity.begin_request();
        let (handler, visit) = (Arc::clone(&handler), Arc::clone(&visit));
        let activity = Arc::clone(&activity);
        async move {
            let busy = visit.busy();
            let (head, body) = handler.handle(request, &visit).await.into_parts();
            behind_others().await;
            drop(busy);
            let unsent = activity.begin_answer();
            drop(in_flight);
            Ok(Response::from_parts(head, Sending::new(body, unsent)))
        }
    })
}

/// Completes once the thread has done what it has queued by itself. Requests that arrived together are thus handled
/// together, and then answered together: each half of the work finds its code and data in the processor's caches, and a
/// client is woken for several answers. Changes that were committed together gather too: their answers come at once. What
/// a long read brings from its thread comes by itself. (tokio's own way to yield asks the system for more first, which
/// costs a connection that is alone, and goes on in reverse order.)
async fn behind_others() {
    let mut queued = false;
    poll_fn(|context| {
        if std::mem::replace(&mut queued, true) {
            return Poll::Ready(());
        }
        context.waker().wake_by_ref();
        Poll::Pending
    })
    .await;
}

/// Drives `connection` to its end and enforces its deadlines on the way. `leave` is hyper's graceful shutdown: the
/// protocols share no trait for it.
async fn supervise<C, E>(
    connection: C,
    leave: fn(Pin<&mut C>),
    activity: &Activity,
    limits: &Limits,
    peer: SocketAddr,
    mut shutdown: watch::Receiver<bool>,
) where
    C: Future<Output = Result<(), E>>,
    E: std::fmt::Display,
{
    let mut connection = pin!(connection);
    let mut alarm = pin!(tokio::time::sleep(limits.first_byte));
    let mut leaving = false;
    loop {
        let ended = poll_fn(|context| {
            if let Poll::Ready(outcome) = connection.as_mut().poll(context) {
                return Poll::Ready(Some(outcome));
            }
            // Asked after the poll, which may have begun or ended something. The alarm only ever moves forwards here:
            // one that rings too early is set again below, and a busy connection need not touch the timer.
            if let Some((at, _)) = activity.due()
                && at < alarm.deadline()
            {
                alarm.as_mut().reset(at);
            }
            alarm.as_mut().poll(context).map(|()| None)
        });
        let must_leave = select! {
            biased;
            ended = ended => match ended {
                Some(Ok(())) => return,
                Some(Err(error)) => return debug!(%peer, %error, "connection ended"),
                None => match activity.due() {
                    Some((at, step)) if at <= Instant::now() => {
                        debug!(%peer, ?step, "a time limit has passed");
                        if step == Step::Cut {
                            return;
                        }
                        true
                    }
                    later => {
                        alarm.as_mut().reset(later.map_or_else(|| Instant::now() + limits.idle, |(at, _)| at));
                        false
                    }
                },
            },
            () = stopped(&mut shutdown), if !leaving => true,
        };
        if must_leave {
            leaving = true;
            activity.leave();
            leave(connection.as_mut());
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::{Arc, Mutex};

    use super::behind_others;

    #[tokio::test]
    async fn what_waits_comes_first() {
        let done = Arc::<Mutex<Vec<_>>>::default();
        let tasks = ["one", "other"].map(|name| {
            let done = Arc::clone(&done);
            tokio::spawn(async move {
                done.lock().unwrap().push((name, "handled"));
                behind_others().await;
                done.lock().unwrap().push((name, "sent"));
            })
        });
        for task in tasks {
            task.await.unwrap();
        }
        let both = |what| [("one", what), ("other", what)];
        assert_eq!(
            *done.lock().unwrap(),
            [both("handled"), both("sent")].concat()
        );
    }
}

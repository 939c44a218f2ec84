//! The network side: what listens, who may hold a connection and for how long, TLS, and request bodies.
//!
//! Architecture Invariant: HTTP exists only here. What a request means is decided below, in `directory`.

mod activity;
pub mod admin;
mod answer;
mod auth;
pub mod body;
pub mod cef;
pub mod certificate;
pub mod chain;
pub mod client;
mod connection;
mod intake;
pub mod limits;
mod line;
pub mod listener;
pub mod metrics;
mod outgoing;
pub mod probe;
mod route;
pub mod scim;
mod sending;
pub mod snapshots;
mod strangers;
pub mod syslog;
pub mod systemd;
pub mod threads;
pub mod tls;
pub mod trial_certificate;
mod unstopped;

use std::sync::Arc;
use std::time::Duration;

use tokio::net::TcpListener;
use tokio::sync::{mpsc, watch};

use crate::directory::Directory;
use crate::store::snapshots::Plan;
use certificate::Certificate;
use client::TrustedProxies;
use limits::Limits;
use metrics::Metrics;
use syslog::Forwarder;
use threads::Threads;

/// How often what lags behind on purpose is written: when tokens were used, repeated refusals.
const SETTLE: Duration = Duration::from_secs(10);

/// The two bound listeners.
pub struct Listeners {
    /// For the identity provider.
    pub scim: TcpListener,
    /// For the administrator and the supervisor of the process.
    pub admin: TcpListener,
}

/// What the configuration says of the network side.
pub struct Settings {
    /// Paths below which SCIM is served.
    pub base_paths: Vec<String>,
    /// Proxies whose word about a client's address is believed.
    pub trusted_proxies: TrustedProxies,
    /// How much and how long a client may.
    pub limits: Arc<Limits>,
    /// The snapshots that are made, for whoever asks how old they are.
    pub snapshots: Plan,
}

/// What the listeners present, where their connections live, and where the audit goes.
pub struct Network {
    /// The certificate of the moment.
    pub certificate: Arc<Certificate>,
    /// Sends the audit on, where that is configured.
    pub forwarder: Option<Forwarder>,
    /// Where connections live.
    pub threads: Arc<Threads>,
}

/// What each change holds while it is under way, also when its client is gone: the server ends behind the last of them.
pub type Work = mpsc::Sender<()>;

/// Serves `directory` on both listeners and forwards its audit until `shutdown` becomes true, and comes back when the
/// requests in flight are answered or the drain deadline has passed, and what they began is done or took as long again.
pub async fn serve(
    listeners: Listeners,
    network: Network,
    directory: Arc<Directory>,
    settings: &Settings,
    shutdown: watch::Receiver<bool>,
) {
    let Network {
        certificate,
        forwarder,
        threads,
    } = network;
    let metrics = Arc::new(Metrics::new(
        Arc::clone(&directory),
        Arc::clone(&certificate),
        settings.snapshots.clone(),
    ));
    let (work, mut unfinished) = mpsc::channel(1);
    let scim = scim::Scim::new(
        Arc::clone(&directory),
        settings,
        Arc::clone(&metrics),
        work.clone(),
    );
    let admin = admin::Admin::new(
        Arc::clone(&directory),
        settings,
        metrics,
        shutdown.clone(),
        work,
    );
    let (scim, admin) = (Arc::new(scim), Arc::new(admin));
    let (scim_tls, admin_tls) = (certificate.scim(), certificate.admin());
    let limits = || Arc::clone(&settings.limits);
    let stop = || shutdown.clone();
    let forward = async {
        if let Some(forwarder) = forwarder {
            forwarder.run(&directory, stop()).await;
        }
    };
    tokio::join!(
        listener::serve(listeners.scim, scim_tls, limits(), &threads, scim, stop()),
        listener::serve(
            listeners.admin,
            admin_tls,
            limits(),
            &threads,
            admin,
            stop()
        ),
        certificate.watch(stop()),
        systemd::watchdog(&directory, stop()),
        settle(&directory, stop()),
        end_feed(&directory, stop()),
        forward,
    );
    // Nobody sends anything: it ends when the last sender is gone.
    let finished = tokio::time::timeout(settings.limits.drain, unfinished.recv());
    if finished.await.is_err() {
        tracing::warn!("changes are under way that did not end in time");
    }
}

/// Has the directory write what lags behind, now and then.
async fn settle(directory: &Directory, mut shutdown: watch::Receiver<bool>) {
    let stopped = shutdown.wait_for(|stop| *stop);
    tokio::pin!(stopped);
    loop {
        directory.settle(false).await;
        if tokio::time::timeout(SETTLE, &mut stopped).await.is_ok() {
            return;
        }
    }
}

/// Has those who wait for changes answered when the server stops, so that they do not hold up the drain.
async fn end_feed(directory: &Directory, mut shutdown: watch::Receiver<bool>) {
    // Without its sender nobody can say stop, and the listeners end as well.
    let _ = shutdown.wait_for(|stop| *stop).await;
    directory.end_feed();
}

#[cfg(test)]
mod tests;

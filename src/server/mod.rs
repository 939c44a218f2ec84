//! The network side: what listens, who may hold a connection and for how long, TLS, and request bodies.
//!
//! Architecture Invariant: HTTP exists only here. What a request means is decided below, in `directory`.

mod activity;
pub mod admin;
mod answer;
pub mod body;
mod connection;
mod intake;
pub mod limits;
pub mod listener;
mod route;
pub mod scim;
pub mod tls;
pub mod trial_certificate;

use std::sync::Arc;
use std::time::Duration;

use rustls::ServerConfig;
use tokio::net::TcpListener;
use tokio::sync::watch;

use crate::directory::Directory;
use limits::Limits;

/// How often what lags behind on purpose is written: when tokens were used, repeated refusals.
const SETTLE: Duration = Duration::from_secs(10);

/// The two bound listeners.
pub struct Listeners {
    /// For the identity provider.
    pub scim: TcpListener,
    /// For the administrator and the supervisor of the process.
    pub admin: TcpListener,
}

/// Serves `directory`, SCIM below each of `base_paths`, on both listeners until `shutdown` becomes true, and comes back when the requests in flight are
/// answered or the drain deadline has passed.
pub async fn serve(
    listeners: Listeners,
    tls: watch::Receiver<Arc<ServerConfig>>,
    directory: Arc<Directory>,
    base_paths: &[String],
    limits: Arc<Limits>,
    shutdown: watch::Receiver<bool>,
) {
    let scim = Arc::new(scim::Scim::new(
        Arc::clone(&directory),
        base_paths,
        Arc::clone(&limits),
    ));
    let admin = Arc::new(admin::Admin::new(
        Arc::clone(&directory),
        Arc::clone(&limits),
    ));
    let (scim_tls, scim_limits, scim_shutdown) =
        (tls.clone(), Arc::clone(&limits), shutdown.clone());
    tokio::join!(
        listener::serve(listeners.scim, scim_tls, scim_limits, scim, scim_shutdown),
        listener::serve(listeners.admin, tls, limits, admin, shutdown.clone()),
        settle(&directory, shutdown),
    );
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

#[cfg(test)]
mod tests;

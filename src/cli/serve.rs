//! `scimlite serve`: arguments → configuration → log → store → bind → ready → serve → drain → close.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::IsTerminal;
use std::net::SocketAddr;
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{SignalKind, signal};
use tokio::sync::watch;

use super::{Common, print};
use crate::config::{Config, Overrides};
use crate::directory::view::View;
use crate::directory::{Directory, system_clock};
use crate::server::{self, Listeners, tls};
use crate::store::Store;

/// Arguments of `serve`.
#[derive(Args)]
pub struct Arguments {
    /// Address and port for the identity provider
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Address and port for the administrator and the supervisor
    #[arg(long, value_name = "ADDR:PORT")]
    admin_listen: Option<String>,
    #[command(flatten)]
    common: Common,
}

/// Where a serving appliance is to be found.
pub struct Ready {
    /// URL of the announced SCIM base path: the Tenant URL.
    pub scim: String,
    /// URL of the admin listener.
    pub admin: String,
}

/// Runs the command: serves until SIGTERM or SIGINT.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let overrides = Overrides {
        listen: arguments.listen.clone(),
        admin_listen: arguments.admin_listen.clone(),
        ..Overrides::default()
    };
    let config = Config::load(&arguments.common.data, &overrides)?;
    serve(&config, |ready| {
        let line = json!({"event": "ready", "scim": ready.scim, "admin": ready.admin});
        print(line)
    })
}

/// Serves the appliance that `config` describes; `announce` is told once both listeners accept.
pub fn serve(
    config: &Config,
    announce: impl FnOnce(&Ready) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    start_log(config.log_level)?;
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let served = runtime.block_on(async {
        let store = Store::open(&config.database())?;
        let _lock = lock(&config.data_dir)?;
        let tls = tls::load(&config.tls.certificate, &config.tls.key)?;
        let served = bind_and_serve(config, tls, store, announce).await;
        tracing::info!("closed");
        served
    });
    // What still reads was abandoned and interrupted; nothing waits for it.
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Makes this process the one that serves `data`, as long as the file is open.
fn lock(data: &Path) -> anyhow::Result<File> {
    let path = data.join("scimlite.lock");
    let file = OpenOptions::new()
        .write(true)
        .create(true)
        .truncate(false)
        .mode(0o600)
        .open(&path)
        .with_context(|| format!("cannot open {}", path.display()))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => {
            bail!("another server runs on {}; stop it first", data.display())
        }
        Err(TryLockError::Error(error)) => {
            Err(error).with_context(|| format!("cannot lock {}", path.display()))
        }
    }
}

async fn bind_and_serve(
    config: &Config,
    tls: Arc<rustls::ServerConfig>,
    store: Store,
    announce: impl FnOnce(&Ready) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let shutdown = stop_on_signal()?;
    let listeners = Listeners {
        scim: bind(config.listen.scim, "--listen").await?,
        admin: bind(config.listen.admin, "--admin-listen").await?,
    };
    let ready = Ready {
        scim: config.tenant_url(listeners.scim.local_addr()?.port()),
        admin: format!("https://{}", listeners.admin.local_addr()?),
    };
    let view = View {
        schemas: Arc::new(config.schemas()),
        base: ready.scim.as_str().into(),
    };
    let directory = Arc::new(Directory::new(store, view, config.seats, system_clock())?);
    // Kept until the end: without a sender there is no configuration to serve with.
    let (_tls_sender, tls) = watch::channel(tls);
    let limits = Arc::new(config.limits.clone());
    announce(&ready)?;
    tracing::info!(scim = ready.scim, admin = ready.admin, "serving");
    server::serve(
        listeners,
        tls,
        Arc::clone(&directory),
        &config.base_paths,
        limits,
        shutdown,
    )
    .await;
    directory.close().await;
    Ok(())
}

async fn bind(address: SocketAddr, flag: &str) -> anyhow::Result<TcpListener> {
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}; choose another address with {flag} or in scimlite.toml"
        )
    })
}

/// Becomes true at the first SIGTERM or SIGINT.
fn stop_on_signal() -> anyhow::Result<watch::Receiver<bool>> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut interrupt = signal(SignalKind::interrupt())?;
    let (sender, receiver) = watch::channel(false);
    tokio::spawn(async move {
        tokio::select! {
            _ = terminate.recv() => {}
            _ = interrupt.recv() => {}
        }
        tracing::info!("stopping; requests in flight are finished first");
        sender.send_replace(true);
        // The receivers live as long as they serve; dropping the sender would look like a second stop.
        sender.closed().await;
    });
    Ok(receiver)
}

/// Logs to stderr from `level` on.
fn start_log(level: tracing::Level) -> anyhow::Result<()> {
    tracing_subscriber::fmt()
        .with_writer(std::io::stderr)
        .with_ansi(std::io::stderr().is_terminal())
        .with_target(false)
        .with_max_level(level)
        .try_init()
        .map_err(|error| anyhow::anyhow!("cannot start the log: {error}"))
}

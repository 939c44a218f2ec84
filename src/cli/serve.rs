//! `scimlite serve`: arguments → configuration → log → store → bind → ready → serve → drain → close.

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, bail};
use clap::Args;
use serde_json::json;
use tokio::net::TcpListener;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::sync::watch;

use super::lock::Lock;
use super::{Common, log, print, process};
use crate::config::{self, Config, Overrides};
use crate::directory::audit::Origin;
use crate::directory::view::View;
use crate::directory::{Directory, backup, system_clock};
use crate::server::certificate::Certificate;
use crate::server::client::TrustedProxies;
use crate::server::syslog::Forwarder;
use crate::server::systemd::{self, Sockets};
use crate::server::threads::Threads;
use crate::server::{self, Listeners, Network, snapshots};
use crate::store::{self, Store, migrate};

/// Arguments of `serve`.
#[derive(Args)]
pub struct Arguments {
    #[command(flatten)]
    listening: Listening,
    #[command(flatten)]
    common: Common,
}

/// Flags that come before the configured addresses.
#[derive(Args)]
pub struct Listening {
    /// Address and port for the identity provider
    #[arg(long, value_name = "ADDR:PORT")]
    listen: Option<String>,
    /// Address and port for the administrator and the supervisor
    #[arg(long, value_name = "ADDR:PORT")]
    admin_listen: Option<String>,
}

impl Listening {
    /// What they say in place of the configuration.
    pub fn overrides(&self) -> Overrides {
        Overrides {
            listen: self.listen.clone(),
            admin_listen: self.admin_listen.clone(),
            ..Overrides::default()
        }
    }
}

/// Where a serving appliance is to be found.
pub struct Ready {
    /// URL of the announced SCIM base path: the Tenant URL.
    pub scim: String,
    /// URL of the admin listener.
    pub admin: String,
}

/// What signals ask of a server.
struct Signals {
    /// To read the certificate again.
    hangups: Signal,
    /// To stop.
    shutdown: watch::Receiver<bool>,
}

/// Runs the command: serves until SIGTERM or SIGINT.
pub fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = Config::load(&arguments.common.data, &arguments.listening.overrides())?;
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
    // First of all: no thread may be there yet.
    let sockets = Sockets::take()?;
    process::refuse_huge_pages();
    let _log = log::start(config.log)?;
    for stray in config::strays() {
        tracing::warn!("{stray}");
    }
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    let threads = Arc::new(Threads::start().context("cannot start threads")?);
    let served = runtime.block_on(async {
        process::survive_full_files()?;
        // Before anything that takes time, for it would end the process. SIGTERM may, until there is something to end in
        // order.
        let hangups = signal(SignalKind::hangup())?;
        let database = config.database();
        if !database.exists() {
            return Err(store::Error::Missing(database.display().to_string()).into());
        }
        let lock = Lock::take(&config.data_dir)?;
        upgrade(config)?;
        let shutdown = stop_on_signal()?;
        let store = Store::open(&database)?;
        let network = Network {
            certificate: Arc::new(Certificate::open(config.tls.clone(), system_clock())?),
            forwarder: Forwarder::new(&config.syslog, &config.host)?,
            threads: Arc::clone(&threads),
        };
        let bound = bind(config, sockets, &lock).await;
        let served = match bound {
            Ok(listeners) => {
                let signals = Signals { hangups, shutdown };
                serve_on(listeners, config, network, store, signals, announce).await
            }
            Err(error) => Err(error),
        };
        tracing::info!("closed");
        served
    });
    // What still reads was abandoned and interrupted; nothing waits long for it.
    drop(threads);
    runtime.shutdown_timeout(Duration::from_secs(1));
    served
}

/// Both listeners: the sockets that systemd opened, else the configured addresses. `lock` is told where they are.
async fn bind(config: &Config, sockets: Sockets, lock: &Lock) -> anyhow::Result<Listeners> {
    let listeners = Listeners {
        scim: listen(sockets.scim, config.listen.scim, "--listen").await?,
        admin: listen(sockets.admin, config.listen.admin, "--admin-listen").await?,
    };
    lock.note(
        [listeners.scim.local_addr()?, listeners.admin.local_addr()?],
        config::credentials().as_deref(),
    )?;
    Ok(listeners)
}

async fn listen(
    socket: Option<std::net::TcpListener>,
    address: SocketAddr,
    flag: &str,
) -> anyhow::Result<TcpListener> {
    if let Some(socket) = socket {
        socket.set_nonblocking(true)?;
        return Ok(TcpListener::from_std(socket)?);
    }
    TcpListener::bind(address).await.with_context(|| {
        format!(
            "cannot listen on {address}; choose another address with {flag} or in scimlite.toml"
        )
    })
}

/// Brings a database of an earlier version to the present one.
fn upgrade(config: &Config) -> anyhow::Result<()> {
    let copy = backup::upgrade(
        &config.database(),
        &migrate::PRESENT,
        &config.backup.directory,
        &Origin::server(),
        &system_clock(),
    )?;
    if let Some(copy) = copy {
        tracing::info!(
            before = %copy.display(),
            "the database was migrated; the way back is the earlier version and `scimlite restore` of the copy"
        );
    }
    Ok(())
}

async fn serve_on(
    listeners: Listeners,
    config: &Config,
    network: Network,
    store: Store,
    signals: Signals,
    announce: impl FnOnce(&Ready) -> anyhow::Result<()>,
) -> anyhow::Result<()> {
    let Signals { hangups, shutdown } = signals;
    let ready = Ready {
        scim: config.tenant_url(listeners.scim.local_addr()?.port()),
        admin: format!("https://{}", listeners.admin.local_addr()?),
    };
    let view = View {
        schemas: Arc::new(config.schemas()),
        base: ready.scim.as_str().into(),
    };
    let directory = Directory::new(store, view, system_clock(), config.directory.clone())?;
    let directory = Arc::new(directory);
    let begin = async {
        directory.started(&ready.scim, &ready.admin).await?;
        announce(&ready)
    };
    if let Err(error) = begin.await {
        directory.close().await;
        return Err(error);
    }
    let settings = server::Settings {
        base_paths: config.base_paths.clone(),
        trusted_proxies: TrustedProxies::new(&config.trusted_proxies),
        limits: Arc::new(process::within_descriptors(config.limits.clone())),
        snapshots: config.backup.clone(),
    };
    let certificate = Arc::clone(&network.certificate);
    tokio::spawn(reload_on_signal(hangups, certificate, ready.scim.clone()));
    systemd::ready(&ready.scim);
    tracing::info!(scim = ready.scim, admin = ready.admin, "serving");
    let serving = async {
        tokio::join!(
            snapshots::keep(&directory, &config.backup, shutdown.clone()),
            server::serve(
                listeners,
                network,
                Arc::clone(&directory),
                &settings,
                shutdown,
            ),
        )
    };
    tokio::select! {
        _ = serving => {}
        // Reads would go on being answered, and every write refused until somebody looks: systemd starts it again.
        () = directory.failed() => bail!("the writer of the database ended; start the server again"),
    }
    directory.stopped().await;
    directory.close().await;
    Ok(())
}

/// Reads the certificate again at each SIGHUP, and tells systemd so: the server at `address` is not away meanwhile.
async fn reload_on_signal(mut hangups: Signal, certificate: Arc<Certificate>, address: String) {
    while hangups.recv().await.is_some() {
        systemd::reloading();
        let certificate = Arc::clone(&certificate);
        if let Err(error) = tokio::task::spawn_blocking(move || certificate.reload()).await {
            tracing::error!(%error, "the certificate was not read again");
        }
        systemd::ready(&address);
    }
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
        systemd::stopping();
        sender.send_replace(true);
        // The receivers live as long as they serve; dropping the sender would look like a second stop.
        sender.closed().await;
    });
    Ok(receiver)
}

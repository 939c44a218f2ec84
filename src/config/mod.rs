//! The configuration: what it holds, and how it comes from flag, environment and file, in this order, over the defaults.
//!
//! Every mistake in every source is reported at once, unknown keys included (`resolve`). The keys themselves, with their
//! meaning and defaults, are one table in `settings`: the file, the environment and the template of `init` all follow it.
//! Nothing here opens a port or writes a file.

mod resolve;
mod settings;
mod template;
mod value;

#[cfg(test)]
mod tests;

use std::{
    fmt,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
    time::Duration,
};

use ipnet::IpNet;
use tracing::Level;

pub use resolve::{InForce, Inspected, Source, credentials, inspect, strays};
pub use template::{in_force, template};
pub use value::typed_host;

use crate::{
    directory,
    scim::schema::{CUSTOM_URN, Schemas},
    server::{limits::Limits, syslog::Syslog, tls::TlsFiles},
    store::snapshots::Plan,
};

/// Name of the configuration file in the data directory.
pub const FILE_NAME: &str = "scimlite.toml";
/// Name of the database in the data directory.
pub const DATABASE: &str = "scimlite.db";

/// The whole configuration, checked.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Config {
    /// The directory that everything relative is relative to.
    pub data_dir: PathBuf,
    /// The name or address by which clients reach this machine.
    pub host: String,
    /// Base of `meta.location`, if it is not host and port: behind a proxy. Has no trailing slash.
    pub public_url: Option<String>,
    /// Paths under which SCIM is served; never empty, the first is the one announced. Each begins with a slash and does
    /// not end with one.
    pub base_paths: Vec<String>,
    /// Where to listen.
    pub listen: Listen,
    /// Certificate and key, as absolute as the data directory is.
    pub tls: TlsFiles,
    /// The custom schema extension.
    pub schema: SchemaExtension,
    /// The snapshots.
    pub backup: Plan,
    /// Limits of the network side.
    pub limits: Limits,
    /// Proxies whose word about a client's address is believed.
    pub trusted_proxies: Vec<IpNet>,
    /// What the rules of the directory ask for.
    pub directory: directory::Settings,
    /// The log.
    pub log: Log,
    /// Where audit rows are forwarded to.
    pub syslog: Syslog,
}

/// What is logged, and how.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Log {
    /// How a line looks.
    pub format: LogFormat,
    /// The least important events that are logged.
    pub level: Level,
}

/// How a line of the log looks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LogFormat {
    /// For a person.
    Text,
    /// `key=value`.
    Logfmt,
    /// One JSON object.
    Json,
}

/// Addresses of the listeners. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// SCIM, for the identity provider.
    pub scim: SocketAddr,
    /// Admin API, health and metrics.
    pub admin: SocketAddr,
}

/// What is configurable about the schema: the arguments of [`Schemas::new`](crate::scim::schema::Schemas::new).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SchemaExtension {
    /// URN of the custom extension.
    pub extension: String,
    /// Attributes and whole extension URNs that are stored although they would be dropped.
    pub keep: Vec<String>,
}

/// What the command line says in place of a setting. As typed: a mistake in it joins the others.
#[derive(Debug, Clone, Default)]
pub struct Overrides {
    /// `--host`
    pub host: Option<String>,
    /// `--listen`
    pub listen: Option<String>,
    /// `--admin-listen`
    pub admin_listen: Option<String>,
    /// Where the credentials are, unless the environment says so.
    pub credentials: Option<PathBuf>,
}

impl Overrides {
    /// The flag that stands for `key`, if it was given.
    fn of(&self, key: &str) -> Option<(&'static str, &str)> {
        let (flag, value) = match key {
            "host" => ("--host", &self.host),
            "listen.scim" => ("--listen", &self.listen),
            "listen.admin" => ("--admin-listen", &self.admin_listen),
            _ => return None,
        };
        value.as_deref().map(|value| (flag, value))
    }
}

/// Everything that is wrong, one sentence each, beginning with where it stands.
#[derive(Debug, thiserror::Error)]
pub struct Mistakes(Vec<String>);

impl fmt::Display for Mistakes {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.0.as_slice() {
            [only] => write!(formatter, "wrong configuration: {only}"),
            all => write!(
                formatter,
                "the configuration has {} mistakes: {}",
                all.len(),
                all.join("; ")
            ),
        }
    }
}

impl Config {
    /// The configuration of the data directory `data_dir`: `overrides`, else environment, else file, else default. Without
    /// a file, the defaults hold.
    pub fn load(data_dir: &Path, overrides: &Overrides) -> Result<Self, Mistakes> {
        let inspected = inspect(data_dir, overrides);
        inspected.right()?;
        Ok(inspected.config)
    }

    /// Base of `meta.location` and of what is announced, without a base path: the public URL, else host and `port`, the
    /// port really bound.
    pub fn origin(&self, port: u16) -> String {
        if let Some(url) = &self.public_url {
            return url.clone();
        }
        let host = match self.host.parse() {
            Ok(IpAddr::V6(address)) => format!("[{address}]"),
            _ => self.host.clone(),
        };
        match port {
            443 => format!("https://{host}"),
            port => format!("https://{host}:{port}"),
        }
    }

    /// What the identity provider is told: the announced base path at [`origin`](Self::origin).
    pub fn tenant_url(&self, port: u16) -> String {
        let path = self.base_paths.first().map_or("", String::as_str);
        format!("{}{path}", self.origin(port))
    }

    /// The database in the data directory.
    pub fn database(&self) -> PathBuf {
        self.data_dir.join(DATABASE)
    }

    /// The schemas with the configured extension.
    pub fn schemas(&self) -> Schemas {
        Schemas::new(self.schema.extension.clone(), &self.schema.keep)
    }

    fn default_in(data_dir: &Path) -> Self {
        Self {
            data_dir: data_dir.to_owned(),
            host: "localhost".to_owned(),
            public_url: None,
            base_paths: ["/scim", "/scim/v2", "/insync/scim"]
                .map(str::to_owned)
                .to_vec(),
            listen: Listen {
                scim: (Ipv4Addr::UNSPECIFIED, 8443).into(),
                admin: (Ipv4Addr::LOCALHOST, 8444).into(),
            },
            tls: TlsFiles {
                certificate: data_dir.join("server.crt"),
                key: data_dir.join("server.key"),
                admin_client_ca: None,
            },
            schema: SchemaExtension {
                extension: CUSTOM_URN.to_owned(),
                keep: Vec::new(),
            },
            backup: Plan {
                directory: data_dir.join("snapshots"),
                every: Duration::from_secs(60 * 60),
                keep: 24,
            },
            limits: Limits::default(),
            trusted_proxies: Vec::new(),
            directory: directory::Settings::default(),
            log: Log {
                format: LogFormat::Text,
                level: Level::INFO,
            },
            syslog: Syslog::default(),
        }
    }
}

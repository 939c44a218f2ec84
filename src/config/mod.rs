//! The configuration: what it holds, and how it comes from flag, environment and file, in this order, over the defaults.
//!
//! Every mistake in every source is reported at once, unknown keys included. The keys themselves, with their meaning and
//! defaults, are one table in `settings`: the file, the environment and the template of `init` all follow it. Nothing here
//! opens a port or writes a file.

mod settings;
mod template;
mod value;

#[cfg(test)]
mod tests;

use std::{
    ffi::OsString,
    fmt, fs, io,
    net::{IpAddr, Ipv4Addr, SocketAddr},
    path::{Path, PathBuf},
};

use toml::{Table, Value};
use tracing::Level;

pub use template::template;

use crate::{
    directory::places::Seats,
    scim::schema::{CUSTOM_URN, Schemas},
    server::limits::Limits,
};
use settings::{SETTINGS, Setting};

/// Name of the configuration file in the data directory.
pub const FILE_NAME: &str = "scimlite.toml";

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
    /// Certificate and key.
    pub tls: TlsFiles,
    /// The custom schema extension.
    pub schema: SchemaExtension,
    /// How many accounts the appliance may have.
    pub seats: Seats,
    /// Limits of the network side.
    pub limits: Limits,
    /// The least important events that are logged.
    pub log_level: Level,
}

/// Addresses of the listeners. Port 0 takes a free one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Listen {
    /// SCIM, for the identity provider.
    pub scim: SocketAddr,
    /// Admin API, health and metrics.
    pub admin: SocketAddr,
}

/// Where certificate and key are: PEM files, as absolute as the data directory is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The chain, the server's own certificate first.
    pub certificate: PathBuf,
    /// Its private key.
    pub key: PathBuf,
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

/// Why there is no configuration.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The file is there but cannot be read.
    #[error("cannot read {}", file.display())]
    Unreadable {
        /// The file.
        file: PathBuf,
        /// What the system said.
        source: io::Error,
    },
    /// What is written in it, or in the environment, or on the command line, is wrong.
    #[error(transparent)]
    Mistakes(#[from] Mistakes),
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
    pub fn load(data_dir: &Path, overrides: &Overrides) -> Result<Self, Error> {
        let file = data_dir.join(FILE_NAME);
        let text = match fs::read_to_string(&file) {
            Ok(text) => text,
            Err(error) if error.kind() == io::ErrorKind::NotFound => String::new(),
            Err(source) => return Err(Error::Unreadable { file, source }),
        };
        Ok(resolve(
            data_dir,
            &text,
            |name| std::env::var_os(name),
            overrides,
        )?)
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
        self.data_dir.join("scimlite.db")
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
            },
            schema: SchemaExtension {
                extension: CUSTOM_URN.to_owned(),
                keep: Vec::new(),
            },
            seats: Seats::default(),
            limits: Limits::default(),
            log_level: Level::INFO,
        }
    }
}

/// [`Config::load`] with the text of the file and the environment as parameters.
fn resolve(
    data_dir: &Path,
    text: &str,
    environment: impl Fn(&str) -> Option<OsString>,
    overrides: &Overrides,
) -> Result<Config, Mistakes> {
    let mut config = Config::default_in(data_dir);
    let mut mistakes = Vec::new();
    let table = text.parse::<Table>().unwrap_or_else(|error| {
        let line = error
            .span()
            .and_then(|span| text.get(..span.start))
            .map_or(1, |before| before.matches('\n').count() + 1);
        mistakes.push(format!("{FILE_NAME}: line {line}: {}", error.message()));
        Table::new()
    });
    for (key, value) in flatten(table) {
        let place = format!("{FILE_NAME}: {key}");
        match SETTINGS.iter().find(|setting| setting.key == key) {
            Some(setting) => set(setting, &mut config, &place, &value, &mut mistakes),
            None => mistakes.push(format!("{place}: there is no such key")),
        }
    }
    for setting in SETTINGS {
        let name = setting.environment_name();
        if let Some(value) = environment(&name) {
            match value.into_string() {
                Ok(value) => set(
                    setting,
                    &mut config,
                    &name,
                    &Value::String(value),
                    &mut mistakes,
                ),
                Err(_) => mistakes.push(format!("{name}: must be UTF-8")),
            }
        }
        if let Some((flag, value)) = overrides.of(setting.key) {
            let value = Value::String(value.to_owned());
            set(setting, &mut config, flag, &value, &mut mistakes);
        }
    }
    let Listen { scim, admin } = config.listen;
    if scim == admin && scim.port() != 0 {
        mistakes.push(format!(
            "listen: scim and admin are both {scim}; give one another port"
        ));
    }
    if mistakes.is_empty() {
        Ok(config)
    } else {
        Err(Mistakes(mistakes))
    }
}

/// Takes `value`, found at `place`, over into `config`, or notes what is wrong with it.
fn set(
    setting: &Setting,
    config: &mut Config,
    place: &str,
    value: &Value,
    mistakes: &mut Vec<String>,
) {
    if let Err(what) = (setting.set)(config, value) {
        mistakes.push(format!("{place}: {what}"));
    }
}

/// The keys of the file in its order, those of a `[section]` as `section.key`. There is one level of sections.
fn flatten(table: Table) -> Vec<(String, Value)> {
    let mut flat = Vec::new();
    for (key, value) in table {
        match value {
            Value::Table(section) if settings::is_section(&key) => {
                flat.extend(
                    section
                        .into_iter()
                        .map(|(name, value)| (format!("{key}.{name}"), value)),
                );
            }
            value => flat.push((key, value)),
        }
    }
    flat
}

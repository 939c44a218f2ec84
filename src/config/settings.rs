//! The table of settings: every key with its meaning, its default and how its value is taken over.
//!
//! A new setting is one entry here and one field of [`Config`]; file, environment and template follow by themselves.

use serde::Deserialize;
use toml::{Value, de::ValueDeserializer};

use super::{Config, value};

/// Keys whose file systemd may hand over: a credential that is called like the key (`LoadCredential=tls.key:…`).
pub(super) const CREDENTIALS: [&str; 3] = ["tls.certificate", "tls.key", "tls.admin_client_ca"];

/// One key of the configuration.
pub(super) struct Setting {
    /// The key, with its section if it has one: `limits.idle`.
    pub(super) key: &'static str,
    /// What it means, for the person who edits the file.
    pub(super) about: &'static str,
    /// The default as TOML. A test holds it equal to what [`Config`] begins with.
    pub(super) default: &'static str,
    /// Takes the value over, or says in words what is wrong with it.
    pub(super) set: fn(&mut Config, &Value) -> Result<(), String>,
}

impl Setting {
    /// The default as a value. A test holds each of them to be TOML.
    pub(super) fn default_value(&self) -> Value {
        let parsed = ValueDeserializer::parse(self.default).and_then(Value::deserialize);
        parsed.unwrap_or_else(|_| self.default.into())
    }

    /// The variable that sets this key in the environment: `limits.idle` is `SCIMLITE_LIMITS_IDLE`.
    pub(super) fn environment_name(&self) -> String {
        format!("SCIMLITE_{}", self.key.to_uppercase().replace('.', "_"))
    }
}

/// Section of a key and its name within it; no section for a key at the root.
pub(super) fn section_and_name(key: &'static str) -> (Option<&'static str>, &'static str) {
    match key.split_once('.') {
        Some((section, name)) => (Some(section), name),
        None => (None, key),
    }
}

/// Whether `name` is a section of the file.
pub(super) fn is_section(name: &str) -> bool {
    SETTINGS
        .iter()
        .any(|setting| section_and_name(setting.key).0 == Some(name))
}

fn put<T>(place: &mut T, value: Result<T, String>) -> Result<(), String> {
    *place = value?;
    Ok(())
}

/// Every setting, in the order of the template: the root first, then section by section.
pub(super) static SETTINGS: &[Setting] = &[
    Setting {
        key: "host",
        about: "Name or address by which clients reach this machine, without port.",
        default: r#""localhost""#,
        set: |config, value| put(&mut config.host, value::host(value)),
    },
    Setting {
        key: "public_url",
        about: "Where clients see this server if that is not host and port, for instance behind a proxy:\n\
                \"https://scim.example.com\". It begins every address that the server gives out. Empty: host and port.",
        default: r#""""#,
        set: |config, value| put(&mut config.public_url, value::public_url(value)),
    },
    Setting {
        key: "base_paths",
        about: "Paths under which SCIM is served. The first is the one in the Tenant URL.",
        default: r#"["/scim", "/scim/v2", "/insync/scim"]"#,
        set: |config, value| put(&mut config.base_paths, value::base_paths(value)),
    },
    Setting {
        key: "trusted_proxies",
        about: "Networks of the proxies in front of this server, as [\"10.0.0.0/8\", \"2001:db8::7\"]. What one of them says in\n\
                Forwarded or X-Forwarded-For is believed to be the client's address, in the audit and under [throttle].",
        default: "[]",
        set: |config, value| put(&mut config.trusted_proxies, value::networks(value)),
    },
    Setting {
        key: "listen.scim",
        about: "Address and port for the identity provider.",
        default: r#""0.0.0.0:8443""#,
        set: |config, value| put(&mut config.listen.scim, value::address(value)),
    },
    Setting {
        key: "listen.admin",
        about: "Address and port for the admin API, health and metrics. Loopback: for this machine only.",
        default: r#""127.0.0.1:8444""#,
        set: |config, value| put(&mut config.listen.admin, value::address(value)),
    },
    Setting {
        key: "tls.certificate",
        about: "Certificate chain (PEM), the server's own first. Relative to the data directory.",
        default: r#""server.crt""#,
        set: |config, value| {
            put(
                &mut config.tls.certificate,
                value::path(value, &config.data_dir),
            )
        },
    },
    Setting {
        key: "tls.key",
        about: "Private key (PEM, without a passphrase). Relative to the data directory.",
        default: r#""server.key""#,
        set: |config, value| put(&mut config.tls.key, value::path(value, &config.data_dir)),
    },
    Setting {
        key: "tls.admin_client_ca",
        about: "Authorities (PEM) of which a client of the admin listener needs a certificate, health checks included.\n\
                Empty: none is asked for.",
        default: r#""""#,
        set: |config, value| {
            put(
                &mut config.tls.admin_client_ca,
                value::optional_path(value, &config.data_dir),
            )
        },
    },
    Setting {
        key: "schema.extension",
        about: "URN of the extension whose attributes the mappings look at. They are dropped afterwards.",
        default: r#""urn:ietf:params:scim:schemas:extension:Druva:2.0:User""#,
        set: |config, value| put(&mut config.schema.extension, value::extension(value)),
    },
    Setting {
        key: "schema.keep",
        about: "Attributes, by name, and whole extensions, by URN, that are stored and returned nevertheless.",
        default: "[]",
        set: |config, value| put(&mut config.schema.keep, value::list(value)),
    },
    Setting {
        key: "backup.every",
        about: "Time from one snapshot of the database to the next, at most 744h. A snapshot can be copied at any moment.\n\
                Times are written as 90s, 15m or 1h.",
        default: r#""1h""#,
        set: |config, value| put(&mut config.backup.every, value::interval(value)),
    },
    Setting {
        key: "backup.keep",
        about: "Snapshots that are kept; 0 makes none.",
        default: "24",
        set: |config, value| put(&mut config.backup.keep, value::number(value, 0, 10_000)),
    },
    Setting {
        key: "backup.dir",
        about: "Directory of the snapshots, relative to the data directory. No other file in it is touched.",
        default: r#""snapshots""#,
        set: |config, value| {
            put(
                &mut config.backup.directory,
                value::path(value, &config.data_dir),
            )
        },
    },
    Setting {
        key: "seats.active",
        about: "Active accounts that the appliance may have: a number, or unlimited.",
        default: r#""unlimited""#,
        set: |config, value| put(&mut config.directory.seats.active, value::seats(value)),
    },
    Setting {
        key: "seats.preserved_percent",
        about: "Preserved accounts that it may have on top of them, in percent. A new account needs room under the sum of\n\
                both; an account is preserved in any case.",
        default: "10",
        set: |config, value| {
            put(
                &mut config.directory.seats.preserved_percent,
                value::number(value, 0, 1000),
            )
        },
    },
    Setting {
        key: "limits.handshake",
        about: "Longest TLS handshake. Times are written as 90s, 15m or 1h.",
        default: r#""10s""#,
        set: |config, value| put(&mut config.limits.handshake, value::limit(value)),
    },
    Setting {
        key: "limits.first_byte",
        about: "Longest silence between the handshake and the first request.",
        default: r#""10s""#,
        set: |config, value| put(&mut config.limits.first_byte, value::limit(value)),
    },
    Setting {
        key: "limits.header",
        about: "Longest time in which the header of a request arrives.",
        default: r#""10s""#,
        set: |config, value| put(&mut config.limits.header, value::limit(value)),
    },
    Setting {
        key: "limits.request",
        about: "Longest time in which the body of a request arrives, and in which a client takes its response.",
        default: r#""30s""#,
        set: |config, value| put(&mut config.limits.request, value::limit(value)),
    },
    Setting {
        key: "limits.idle",
        about: "Longest silence between two requests on one connection.",
        default: r#""2m""#,
        set: |config, value| put(&mut config.limits.idle, value::limit(value)),
    },
    Setting {
        key: "limits.drain",
        about: "Longest wait for requests in flight when the server stops.",
        default: r#""20s""#,
        set: |config, value| put(&mut config.limits.drain, value::limit(value)),
    },
    Setting {
        key: "limits.header_size",
        about: "Largest header of a request. Sizes are written in bytes or as 64KiB or 2MiB.",
        default: r#""32KiB""#,
        set: |config, value| {
            put(
                &mut config.limits.header_size,
                value::size(value, 4 * KIB, MIB),
            )
        },
    },
    Setting {
        key: "limits.url_size",
        about: "Longest URL.",
        default: r#""8KiB""#,
        set: |config, value| {
            put(
                &mut config.limits.url_size,
                value::size(value, KIB, 32 * KIB),
            )
        },
    },
    Setting {
        key: "limits.body_size",
        about: "Largest body of a request.",
        default: r#""1MiB""#,
        set: |config, value| {
            put(
                &mut config.limits.body_size,
                value::size(value, 16 * KIB, 64 * MIB),
            )
        },
    },
    Setting {
        key: "limits.bulk_size",
        about: "Largest body of a bulk request.",
        default: r#""4MiB""#,
        set: |config, value| {
            put(
                &mut config.limits.bulk_size,
                value::size(value, 16 * KIB, 64 * MIB),
            )
        },
    },
    Setting {
        key: "limits.connections",
        about: "Connections at one time on each listener; more wait.",
        default: "1024",
        set: |config, value| {
            put(
                &mut config.limits.connections,
                value::number(value, 1, 65_535),
            )
        },
    },
    Setting {
        key: "limits.streams",
        about: "Concurrent HTTP/2 requests on one connection.",
        default: "64",
        set: |config, value| put(&mut config.limits.streams, value::number(value, 1, 1000)),
    },
    Setting {
        key: "tokens.longest_days",
        about: "Days for which a token may be made valid at the most.",
        default: "365",
        set: |config, value| {
            put(
                &mut config.directory.longest_days,
                value::number(value, 1, 3650),
            )
        },
    },
    Setting {
        key: "throttle.failures",
        about: "Failed authentications in a row before an address (an IPv6 /64), or a token id, is slowed by 429. The right\n\
                token is never slowed by the failures of others.",
        default: "50",
        set: |config, value| {
            put(
                &mut config.directory.throttle.failures,
                value::number(value, 1, 10_000),
            )
        },
    },
    Setting {
        key: "throttle.recovery",
        about: "Time after which one failure is forgiven.",
        default: r#""5s""#,
        set: |config, value| put(&mut config.directory.throttle.recovery, value::limit(value)),
    },
    Setting {
        key: "throttle.remembered",
        about: "Addresses, and token ids, whose failures are remembered at one time. Each takes some 200 bytes.",
        default: "16384",
        set: |config, value| {
            put(
                &mut config.directory.throttle.remembered,
                value::number(value, 64, 1_000_000),
            )
        },
    },
    Setting {
        key: "log.format",
        about: "How a line of the log looks: text for people, logfmt or json for machines.",
        default: r#""text""#,
        set: |config, value| put(&mut config.log.format, value::log_format(value)),
    },
    Setting {
        key: "log.level",
        about: "Least important events that are logged: error, warn, info, debug or trace.",
        default: r#""info""#,
        set: |config, value| put(&mut config.log.level, value::level(value)),
    },
    Setting {
        key: "audit.keep_days",
        about: "Days after which the server removes rows of the audit; the rest stays provable. 0: it keeps them for ever.",
        default: "0",
        set: |config, value| {
            put(
                &mut config.directory.audit.keep_days,
                value::number(value, 0, 36_500),
            )
        },
    },
    Setting {
        key: "audit.anchor_file",
        about: "File in which the server notes the last row of the audit, so that nobody can cut or rewrite it unseen. Put\n\
                it where who can change the database cannot change it. Relative to the data directory. Empty: none.",
        default: r#""""#,
        set: |config, value| {
            put(
                &mut config.directory.audit.anchor_file,
                value::optional_path(value, &config.data_dir),
            )
        },
    },
    Setting {
        key: "audit.syslog",
        about: "Where every audit row is forwarded to, as RFC 5424: tcp://host:601, tls://host:6514, udp://host:514 or\n\
                unix:///dev/log. Empty: nowhere.",
        default: r#""""#,
        set: |config, value| put(&mut config.syslog.destination, value::syslog(value)),
    },
    Setting {
        key: "audit.syslog_format",
        about: "What the message of a forwarded row is: json or cef.",
        default: r#""json""#,
        set: |config, value| put(&mut config.syslog.format, value::syslog_format(value)),
    },
    Setting {
        key: "audit.syslog_ca",
        about: "Authorities (PEM) that may vouch for a tls:// receiver. Relative to the data directory. Empty: those of\n\
                this machine.",
        default: r#""""#,
        set: |config, value| {
            put(
                &mut config.syslog.ca,
                value::optional_path(value, &config.data_dir),
            )
        },
    },
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

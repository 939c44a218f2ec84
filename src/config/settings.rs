//! The table of settings: every key with its meaning, its default and how its value is taken over.
//!
//! A new setting is one entry here and one field of [`Config`]; file, environment and template follow by themselves.

use toml::Value;

use super::{Config, value};

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
    /// Section and name within it; no section for a key at the root.
    pub(super) fn section_and_name(&self) -> (Option<&'static str>, &'static str) {
        match self.key.split_once('.') {
            Some((section, name)) => (Some(section), name),
            None => (None, self.key),
        }
    }

    /// The variable that sets this key in the environment: `limits.idle` is `SCIMLITE_LIMITS_IDLE`.
    pub(super) fn environment_name(&self) -> String {
        format!("SCIMLITE_{}", self.key.to_uppercase().replace('.', "_"))
    }
}

/// Whether `name` is a section of the file.
pub(super) fn is_section(name: &str) -> bool {
    SETTINGS
        .iter()
        .any(|setting| setting.section_and_name().0 == Some(name))
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
        key: "seats.active",
        about: "Active accounts that the appliance may have: a number, or unlimited.",
        default: r#""unlimited""#,
        set: |config, value| put(&mut config.seats.active, value::seats(value)),
    },
    Setting {
        key: "seats.preserved_percent",
        about: "Preserved accounts that it may have on top of them, in percent. A new account needs room under the sum of\n\
                both; an account is preserved in any case.",
        default: "10",
        set: |config, value| {
            put(
                &mut config.seats.preserved_percent,
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
        key: "log.level",
        about: "Least important events that are logged: error, warn, info, debug or trace.",
        default: r#""info""#,
        set: |config, value| put(&mut config.log_level, value::level(value)),
    },
];

const KIB: usize = 1024;
const MIB: usize = 1024 * KIB;

//! Sources and their order, the template, and what each mistake says.

use std::fs;
use std::time::Duration;

use toml::Table;

use super::resolve::{Environment, resolve, stray};
use super::settings::SETTINGS;
use super::*;
use crate::directory::anchor::Policy;
use crate::directory::places::Seats;
use crate::directory::throttle;
use crate::server::syslog::{Destination, Format};

const DATA: &str = "/data";

/// What a file with this text and nothing else makes.
fn inspected(text: &str) -> Inspected {
    let none = Environment::default();
    resolve(Path::new(DATA), text, &none, &Overrides::default())
}

/// The same of a text without mistakes.
#[track_caller]
fn from_file(text: &str) -> Config {
    let inspected = inspected(text);
    assert_eq!(inspected.mistakes, [""; 0]);
    inspected.config
}

fn environment(variables: &[(&str, &str)]) -> Environment {
    let own = |(name, value): &(&str, &str)| ((*name).to_owned(), value.into());
    variables.iter().map(own).collect()
}

fn default() -> Config {
    Config::default_in(Path::new(DATA))
}

/// The mistakes in `text`, without the name of the file.
fn mistakes(text: &str) -> Vec<String> {
    let prefix = format!("{FILE_NAME}:");
    let all = inspected(text).mistakes;
    let cut = all.iter().map(|mistake| mistake.replacen(&prefix, "", 1));
    cut.collect()
}

/// `template` with every setting in force: words keep their `# `.
fn uncommented(template: &str) -> String {
    let line = |line: &str| match line.strip_prefix('#') {
        Some(rest) if rest.starts_with(|first: char| first.is_ascii_lowercase()) => {
            format!("{rest}\n")
        }
        _ => format!("{line}\n"),
    };
    template.lines().map(line).collect()
}

#[test]
fn nothing_at_all_is_the_defaults() {
    assert_eq!(from_file(""), default());
}

#[test]
fn the_template_shows_the_defaults() {
    let written = template("localhost");
    assert_eq!(from_file(&written), default());
    let every_key = uncommented(&written);
    assert_eq!(from_file(&every_key), default());
    let in_file = |held: &InForce| matches!(held.source, Source::File(_));
    assert!(inspected(&every_key).values.iter().all(in_file));
    for line in written.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_template_holds_the_host() {
    for host in ["scim.example.com", "192.0.2.7", "2001:db8::7"] {
        let config = from_file(&template(host));
        assert_eq!(
            config,
            Config {
                host: host.to_owned(),
                ..default()
            }
        );
    }
}

#[test]
fn every_key_takes_another_value() {
    let config = from_file(
        r#"
        host = "scim.example.com"
        public_url = "https://proxy.example.com:444/appliance"
        base_paths = ["/v2"]
        trusted_proxies = ["10.0.0.0/8", "2001:db8::7", "::ffff:192.0.2.0/120", "::ffff:192.0.2.9"]
        [listen]
        scim = "[::]:443"
        admin = "127.0.0.1:9000"
        [tls]
        certificate = "/etc/ssl/chain.pem"
        key = "private/key.pem"
        admin_client_ca = "ca.pem"
        [schema]
        extension = "urn:example:User"
        keep = ["costCenter", "urn:example:other"]
        [backup]
        every = "15m"
        keep = 3
        dir = "/mnt/backup"
        [seats]
        active = 250
        preserved_percent = 25
        [limits]
        handshake = "1s"
        first_byte = "2s"
        header = "3s"
        request = "90s"
        idle = "15m"
        drain = "1h"
        header_size = 16384
        url_size = "2KiB"
        body_size = "2MiB"
        bulk_size = "16MiB"
        connections = 10
        streams = 7
        [tokens]
        longest_days = 730
        [throttle]
        failures = 10
        recovery = "1m"
        remembered = 1000
        [log]
        format = "logfmt"
        level = "debug"
        [audit]
        keep_days = 400
        anchor_file = "/mnt/apart/anchor"
        syslog = "tls://siem.example.com:6514"
        syslog_format = "cef"
        syslog_ca = "siem.pem"
        "#,
    );
    let expected = Config {
        data_dir: DATA.into(),
        host: "scim.example.com".to_owned(),
        public_url: Some("https://proxy.example.com:444/appliance".to_owned()),
        base_paths: vec!["/v2".to_owned()],
        listen: Listen {
            scim: "[::]:443".parse().unwrap(),
            admin: "127.0.0.1:9000".parse().unwrap(),
        },
        tls: TlsFiles {
            certificate: "/etc/ssl/chain.pem".into(),
            key: "/data/private/key.pem".into(),
            admin_client_ca: Some("/data/ca.pem".into()),
        },
        schema: SchemaExtension {
            extension: "urn:example:User".to_owned(),
            keep: vec!["costCenter".to_owned(), "urn:example:other".to_owned()],
        },
        backup: Plan {
            directory: "/mnt/backup".into(),
            every: Duration::from_secs(15 * 60),
            keep: 3,
        },
        limits: Limits {
            handshake: Duration::from_secs(1),
            first_byte: Duration::from_secs(2),
            header: Duration::from_secs(3),
            request: Duration::from_secs(90),
            idle: Duration::from_secs(15 * 60),
            drain: Duration::from_secs(60 * 60),
            header_size: 16 * 1024,
            url_size: 2 * 1024,
            body_size: 2 * 1024 * 1024,
            bulk_size: 16 * 1024 * 1024,
            connections: 10,
            streams: 7,
        },
        trusted_proxies: vec![
            "10.0.0.0/8".parse().unwrap(),
            "2001:db8::7/128".parse().unwrap(),
            "192.0.2.0/24".parse().unwrap(),
            "192.0.2.9/32".parse().unwrap(),
        ],
        directory: directory::Settings {
            longest_days: 730,
            seats: Seats {
                active: Some(250),
                preserved_percent: 25,
            },
            throttle: throttle::Limits {
                failures: 10,
                recovery: Duration::from_secs(60),
                remembered: 1000,
            },
            audit: Policy {
                keep_days: 400,
                anchor_file: Some("/mnt/apart/anchor".into()),
            },
        },
        log: Log {
            format: LogFormat::Logfmt,
            level: Level::DEBUG,
        },
        syslog: Syslog {
            destination: Some(Destination::Tls("siem.example.com".to_owned(), 6514)),
            format: Format::Cef,
            ca: Some("/data/siem.pem".into()),
        },
    };
    assert_eq!(config, expected);
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file =
        "[listen]\nscim = '127.0.0.1:1'\nadmin = '127.0.0.1:2'\n[limits]\nidle = '3s'\nstreams = 3";
    let environment = environment(&[
        ("SCIMLITE_LISTEN_SCIM", "127.0.0.1:10"),
        ("SCIMLITE_LISTEN_ADMIN", "127.0.0.1:20"),
        ("SCIMLITE_LIMITS_STREAMS", "30"),
        ("SCIMLITE_LIMITS_BODY_SIZE", "65536"),
        ("SCIMLITE_SCHEMA_KEEP", "one, two"),
        ("SCIMLITE_SEATS_ACTIVE", "40"),
    ]);
    let overrides = Overrides {
        listen: Some("127.0.0.1:100".to_owned()),
        ..Overrides::default()
    };
    let inspected = resolve(Path::new(DATA), file, &environment, &overrides);
    assert_eq!(inspected.mistakes, [""; 0]);
    let config = &inspected.config;
    assert_eq!(config.listen.scim.port(), 100);
    assert_eq!(config.listen.admin.port(), 20);
    assert_eq!(config.limits.streams, 30);
    assert_eq!(config.limits.body_size, 65536);
    assert_eq!(config.limits.idle, Duration::from_secs(3));
    assert_eq!(config.limits.drain, Duration::from_secs(20));
    assert_eq!(config.schema.keep, ["one", "two"]);
    assert_eq!(config.directory.seats.active, Some(40));

    let of = |key: &str| {
        let held = inspected.values.iter().find(|held| held.key == key);
        let held = held.unwrap();
        (held.value.to_string(), held.source.to_string())
    };
    for (key, value, source) in [
        ("listen.scim", "\"127.0.0.1:100\"", "--listen"),
        ("limits.streams", "\"30\"", "SCIMLITE_LIMITS_STREAMS"),
        ("limits.idle", "\"3s\"", "scimlite.toml:5"),
        ("limits.drain", "\"20s\"", "default"),
        ("limits.connections", "1024", "default"),
    ] {
        assert_eq!(of(key), (value.to_owned(), source.to_owned()), "{key}");
    }
    // What is in force, written down as a file, is the same configuration.
    let again = in_force(&inspected.values);
    assert!(
        again.contains("\n[limits]\nhandshake = \"10s\"  # default\n"),
        "{again}"
    );
    assert_eq!(from_file(&again), inspected.config);
}

#[test]
fn defaults_are_toml() {
    for setting in SETTINGS {
        let default = format!("key = {}", setting.default);
        let parsed: Table = default.parse().unwrap();
        assert_eq!(parsed["key"], setting.default_value(), "{}", setting.key);
    }
}

#[test]
fn all_mistakes_come_at_once() {
    let file = "hots = 'x'\nlog = 'debug'\n[limits]\nidle = 'soon'\nidel = '1s'\n[tsl]\nkey = 'k'\n\
                idle = '3s'\n[empty]\n[backup.more]\nx = 1\n";
    let environment = environment(&[("SCIMLITE_LOG_LEVEL", "loud")]);
    let overrides = Overrides {
        listen: Some("8443".to_owned()),
        admin_listen: Some("localhost:8444".to_owned()),
        host: Some("not a host".to_owned()),
        ..Overrides::default()
    };
    let found = resolve(Path::new(DATA), file, &environment, &overrides).mistakes;
    let expected = [
        "scimlite.toml:1: hots: there is no such key; did you mean host?",
        "scimlite.toml:2: log: there is no such key; did you mean log.level?",
        "scimlite.toml:4: limits.idle: `soon` must be a time",
        "scimlite.toml:5: limits.idel: there is no such key; did you mean limits.idle?",
        "scimlite.toml:7: tsl.key: there is no such key; did you mean tls.key?",
        "scimlite.toml:8: tsl.idle: there is no such key",
        "scimlite.toml:9: empty: there is no such key",
        "scimlite.toml:10: backup.more: there is no such key",
        "--host: `not a host`",
        "--listen: `8443`",
        "--admin-listen: `localhost:8444`",
        "SCIMLITE_LOG_LEVEL: `loud`",
    ];
    assert_eq!(found.len(), expected.len(), "{found:#?}");
    for (mistake, expected) in found.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake} is not {expected}");
    }
    let text = Mistakes(found).to_string();
    let said = "the configuration has 12 mistakes: scimlite.toml:1: ";
    assert!(text.starts_with(said), "{text}");
    assert_eq!(text.lines().count(), 1);
}

#[test]
fn a_key_without_its_section_is_found() {
    for (typed, meant) in [
        ("idle = '3s'", "limits.idle"),
        ("listen.scm = 'x'", "listen.scim"),
        ("[tls]\ncert = 'x'", "tls.certificate"),
        ("baze_paths = []", "base_paths"),
    ] {
        let found = mistakes(typed);
        let end = format!("there is no such key; did you mean {meant}?");
        assert!(found.len() == 1 && found[0].ends_with(&end), "{found:?}");
    }
    let unlike = mistakes("zzz = 1");
    assert_eq!(unlike, ["1: zzz: there is no such key"]);
}

#[test]
fn variables_that_set_nothing_are_named() {
    let environment = environment(&[
        ("SCIMLITE_DATA", "/data"),
        ("SCIMLITE_LOG_LEVEL", "info"),
        ("SCIMLITE_LIMIT_IDLE", "3s"),
        ("CREDENTIALS_DIRECTORY", "/run"),
    ]);
    let said = "SCIMLITE_LIMIT_IDLE: there is no such setting; did you mean SCIMLITE_LIMITS_IDLE?";
    assert_eq!(stray(&environment), [said]);
}

#[test]
fn a_credential_comes_before_the_file_and_after_the_environment() {
    let directory = tempfile::tempdir().unwrap();
    let path = directory.path().to_str().unwrap();
    for name in ["tls.key", "tls.certificate", "listen.scim"] {
        fs::write(directory.path().join(name), "").unwrap();
    }
    let environment = environment(&[
        ("CREDENTIALS_DIRECTORY", path),
        ("SCIMLITE_TLS_CERTIFICATE", "/from/environment"),
    ]);
    let file = "[tls]\nkey = 'from-file'\ncertificate = 'from-file'";
    let inspected = resolve(Path::new(DATA), file, &environment, &Overrides::default());
    assert_eq!(inspected.mistakes, [""; 0]);
    let config = inspected.config;
    assert_eq!(config.tls.key, directory.path().join("tls.key"));
    assert_eq!(config.tls.certificate, Path::new("/from/environment"));
    assert_eq!(config.tls.admin_client_ca, None);
    assert_eq!(config.listen, default().listen);
    let source = |key| {
        let held = inspected.values.iter().find(|held| held.key == key);
        held.unwrap().source.clone()
    };
    assert_eq!(source("tls.key"), Source::Credential);
    assert_eq!(
        source("tls.certificate"),
        Source::Environment("SCIMLITE_TLS_CERTIFICATE".to_owned())
    );
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let found = mistakes("host = 'a'\nlisten = [\nfirst second\n");
    assert!(found.len() > 1, "{found:?}");
    assert!(found[0].starts_with("3: "), "{found:?}");
    assert!(mistakes("host = 'a'\nhost = 'b'")[0].starts_with("2: "));
    let both = mistakes("= 'x'\n[limits]\nidle = 'soon'\n");
    assert!(
        both.len() == 2 && both[1].starts_with("3: limits.idle: "),
        "{both:?}"
    );
}

#[test]
fn values_that_are_refused() {
    for line in [
        "host = ''",
        "host = 'a b'",
        "host = 'https://a'",
        "host = 'a:443'",
        "host = 7",
        "public_url = 'http://a'",
        "public_url = 'https://a/'",
        "public_url = 'https://a/b/'",
        "public_url = 'https://a?b'",
        "public_url = 'https://a#b'",
        "public_url = 'https://u@a'",
        "public_url = 'a'",
        "base_paths = []",
        "base_paths = ['scim']",
        "base_paths = ['/scim/']",
        "base_paths = ['/']",
        "base_paths = ['']",
        "base_paths = ['/a//b']",
        "base_paths = ['/a/../b']",
        "base_paths = ['/a b']",
        "base_paths = ['/a', '/a']",
        "base_paths = ['/a', 1]",
        "listen.scim = ':8443'",
        "listen.scim = '0.0.0.0'",
        "listen.scim = '0.0.0.0:70000'",
        "listen.scim = '127.0.0.1:8444'",
        "tls.key = ''",
        "schema.extension = 'Druva'",
        "schema.extension = 'URN:ietf:params:scim:schemas:core:2.0:User'",
        "schema.keep = 'a,,b'",
        "schema.keep = 'urn:ietf:params:scim:schemas:extension:Druva:2.0:User'",
        "schema.keep = 'urn:x:own:2.0:User'\nschema.extension = 'urn:x:Own:2.0:User'",
        "backup.every = '0s'",
        "backup.every = '745h'",
        "backup.keep = -1",
        "backup.keep = 10001",
        "backup.dir = ''",
        "seats.active = -1",
        "seats.active = 'many'",
        "seats.active = ''",
        "seats.active = 1000000001",
        "seats.preserved_percent = 1001",
        "limits.idle = '0s'",
        "limits.idle = '500ms'",
        "limits.idle = '10'",
        "limits.idle = 10",
        "limits.idle = '+1s'",
        "limits.idle = 's'",
        "limits.idle = '25h'",
        "limits.idle = '18446744073709551615h'",
        "limits.body_size = 0",
        "limits.body_size = -1",
        "limits.body_size = '1GiB'",
        "limits.body_size = '1 MiB'",
        "limits.body_size = 'MiB'",
        "limits.body_size = '18446744073709551615MiB'",
        "limits.connections = 0",
        "limits.connections = 65536",
        "limits.streams = 1001",
        "limits.streams = 1.5",
        "log.level = 'loud'",
        "log.format = 'xml'",
        "trusted_proxies = ['10.0.0.0/33']",
        "trusted_proxies = ['proxy']",
        "trusted_proxies = ['']",
        "tokens.longest_days = 0",
        "tokens.longest_days = 3651",
        "throttle.failures = 0",
        "throttle.recovery = '0s'",
        "throttle.remembered = 1",
        "audit.syslog = 'siem:514'",
        "audit.syslog = 'tcp://'",
        "audit.syslog = 'tcp://siem:0'",
        "audit.syslog = 'http://siem:514'",
        "audit.syslog = 'unix://dev/log'",
        "audit.syslog_format = 'xml'",
        "audit.syslog_ca = 1",
        "tls = 'x'",
        "tls.certificate.path = 'x'",
    ] {
        assert_eq!(mistakes(line).len(), 1, "{line}");
    }
}

#[test]
fn where_clients_find_the_server() {
    let at = |host: &str, port| {
        Config {
            host: host.to_owned(),
            ..default()
        }
        .origin(port)
    };
    assert_eq!(
        at("scim.example.com", 8443),
        "https://scim.example.com:8443"
    );
    assert_eq!(at("scim.example.com", 443), "https://scim.example.com");
    assert_eq!(at("2001:db8::7", 8443), "https://[2001:db8::7]:8443");
    let public_url = Some("https://proxy.example.com".to_owned());
    assert_eq!(
        Config {
            public_url,
            ..default()
        }
        .origin(8443),
        "https://proxy.example.com"
    );
}

#[test]
fn a_missing_file_is_no_mistake_and_an_unreadable_one_is() {
    let directory = tempfile::tempdir().unwrap();
    let load = || Config::load(directory.path(), &Overrides::default());
    assert_eq!(load().unwrap().data_dir, directory.path());
    fs::write(
        directory.path().join(FILE_NAME),
        template("scim.example.com"),
    )
    .unwrap();
    assert_eq!(load().unwrap().host, "scim.example.com");
    fs::write(directory.path().join(FILE_NAME), b"\xff").unwrap();
    let error = load().unwrap_err().to_string();
    assert!(
        error.starts_with("wrong configuration: cannot read ") && error.contains(FILE_NAME),
        "{error}"
    );
}

//! Sources and their order, the template, and what each mistake says.

use super::*;
use std::time::Duration;

const DATA: &str = "/data";

fn from_file(text: &str) -> Result<Config, Mistakes> {
    resolve(Path::new(DATA), text, |_| None, &Overrides::default())
}

fn default() -> Config {
    Config::default_in(Path::new(DATA))
}

/// The mistakes in `text`, without the name of the file.
fn mistakes(text: &str) -> Vec<String> {
    let Mistakes(all) = from_file(text).unwrap_err();
    let prefix = format!("{FILE_NAME}: ");
    all.iter()
        .map(|mistake| mistake.replacen(&prefix, "", 1))
        .collect()
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
    assert_eq!(from_file("").unwrap(), default());
}

#[test]
fn the_template_shows_the_defaults() {
    let written = template("localhost");
    assert_eq!(from_file(&written).unwrap(), default());
    let every_key = uncommented(&written);
    assert_eq!(from_file(&every_key).unwrap(), default());
    let keys: Vec<_> = flatten(every_key.parse().unwrap())
        .into_iter()
        .map(|(key, _)| key)
        .collect();
    assert_eq!(keys.len(), SETTINGS.len());
    for line in written.lines() {
        assert!(line.chars().count() <= 120, "{line}");
    }
}

#[test]
fn the_template_holds_the_host() {
    for host in ["scim.example.com", "192.0.2.7", "2001:db8::7"] {
        let config = from_file(&template(host)).unwrap();
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
        [listen]
        scim = "[::]:443"
        admin = "127.0.0.1:9000"
        [tls]
        certificate = "/etc/ssl/chain.pem"
        key = "private/key.pem"
        [schema]
        extension = "urn:example:User"
        keep = ["costCenter", "urn:example:other"]
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
        [log]
        level = "debug"
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
        },
        schema: SchemaExtension {
            extension: "urn:example:User".to_owned(),
            keep: vec!["costCenter".to_owned(), "urn:example:other".to_owned()],
        },
        seats: Seats {
            active: Some(250),
            preserved_percent: 25,
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
        log_level: Level::DEBUG,
    };
    assert_eq!(config.unwrap(), expected);
}

#[test]
fn flag_before_environment_before_file_before_default() {
    let file =
        "[listen]\nscim = '127.0.0.1:1'\nadmin = '127.0.0.1:2'\n[limits]\nidle = '3s'\nstreams = 3";
    let environment = |name: &str| {
        let value = match name {
            "SCIMLITE_LISTEN_SCIM" => "127.0.0.1:10",
            "SCIMLITE_LISTEN_ADMIN" => "127.0.0.1:20",
            "SCIMLITE_LIMITS_STREAMS" => "30",
            "SCIMLITE_LIMITS_BODY_SIZE" => "65536",
            "SCIMLITE_SCHEMA_KEEP" => "one, two",
            "SCIMLITE_SEATS_ACTIVE" => "40",
            _ => return None,
        };
        Some(value.into())
    };
    let overrides = Overrides {
        listen: Some("127.0.0.1:100".to_owned()),
        ..Overrides::default()
    };
    let config = resolve(Path::new(DATA), file, environment, &overrides).unwrap();
    assert_eq!(config.listen.scim.port(), 100);
    assert_eq!(config.listen.admin.port(), 20);
    assert_eq!(config.limits.streams, 30);
    assert_eq!(config.limits.body_size, 65536);
    assert_eq!(config.limits.idle, Duration::from_secs(3));
    assert_eq!(config.limits.drain, Duration::from_secs(20));
    assert_eq!(config.schema.keep, ["one", "two"]);
    assert_eq!(config.seats.active, Some(40));
    assert_eq!(config.seats.preserved_percent, 10);
}

#[test]
fn all_mistakes_come_at_once() {
    let file = "hots = 'x'\nlog = 'debug'\n[limits]\nidle = 'soon'\nidel = '1s'\n[tsl]\nkey = 'k'";
    let environment = |name: &str| (name == "SCIMLITE_LOG_LEVEL").then(|| "loud".into());
    let overrides = Overrides {
        listen: Some("8443".to_owned()),
        admin_listen: Some("localhost:8444".to_owned()),
        host: Some("not a host".to_owned()),
    };
    let error = resolve(Path::new(DATA), file, environment, &overrides).unwrap_err();
    let text = error.to_string();
    let (count, mistakes) = text.split_once(" mistakes: ").unwrap();
    assert_eq!(count, "the configuration has 9");
    let expected = [
        "scimlite.toml: hots",
        "scimlite.toml: limits.idel",
        "scimlite.toml: limits.idle",
        "scimlite.toml: log",
        "scimlite.toml: tsl",
        "--host: `not a host`",
        "--listen: `8443`",
        "--admin-listen: `localhost:8444`",
        "SCIMLITE_LOG_LEVEL: `loud`",
    ];
    let mistakes: Vec<_> = mistakes.split("; ").collect();
    assert_eq!(mistakes.len(), expected.len());
    for (mistake, expected) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(expected), "{mistake} is not {expected}");
    }
}

#[test]
fn a_file_that_is_not_toml_says_where() {
    let found = mistakes("host = 'a'\nlisten = [\n");
    assert_eq!(found.len(), 1);
    assert!(found[0].starts_with("line "), "{found:?}");
    assert!(mistakes("host = 'a'\nhost = 'b'")[0].starts_with("line 2: "));
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
        error.starts_with("cannot read ") && error.contains(FILE_NAME),
        "{error}"
    );
}

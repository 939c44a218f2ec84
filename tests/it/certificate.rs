//! The certificate of a running server: replaced in every way in which operators do it, broken, ending, made for trials;
//! and certificates of clients.

use std::os::unix::fs::symlink;
use std::time::{Duration, Instant};

use serde_json::json;

use crate::app::{TestApp, port};
use crate::cli::refused;
use crate::home::Home;
use crate::tls::{Authority, Pair, connect, der, presented, put, status};

/// How long the server may take to see new files, on a machine that is busy with other tests.
const SEEN: Duration = Duration::from_secs(30);

/// Makes connections, none of which may fail, until one is presented with `expected` first.
async fn until_presented(app: &TestApp, authorities: &[&str], expected: &str) {
    let ports = [port(&app.ready["scim"]), port(&app.ready["admin"])];
    let deadline = Instant::now() + SEEN;
    for port in ports {
        loop {
            let stream = connect(port, authorities, None).await.unwrap();
            if presented(&stream)[0] == der(expected) {
                break;
            }
            assert!(Instant::now() < deadline, "{}", app.stderr());
        }
    }
}

/// Waits until the log says `what` so many times.
async fn until_logged(app: &TestApp, what: &str, times: usize) {
    let deadline = Instant::now() + SEEN;
    while app.stderr().matches(what).count() < times {
        assert!(Instant::now() < deadline, "no `{what}`: {}", app.stderr());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn a_new_certificate_is_seen_without_a_failed_handshake() {
    let app = TestApp::start();
    let ca = String::from_utf8(app.ca()).unwrap();
    let authority = Authority::new("root");
    let both = [ca.as_str(), &authority.certificate];
    let mut old = connect(port(&app.ready["scim"]), &both, None)
        .await
        .unwrap();
    assert!(status(&mut old, "/").await.is_ok());
    let pair = authority.sign("localhost", 90);
    put(&app.data(), &pair);
    until_presented(&app, &both, &pair.certificate).await;
    assert!(status(&mut old, "/").await.is_ok(), "it goes on");
}

/// As certbot and Kubernetes do: a link is renamed over the one that is there.
#[tokio::test]
async fn a_link_that_leads_elsewhere_is_seen() {
    let home = Home::new();
    let data = home.data();
    let authority = Authority::new("root");
    let pairs = [1, 2].map(|version| {
        let pair = authority.sign("localhost", 90 + version);
        let directory = data.join(format!("version-{version}"));
        std::fs::create_dir(&directory).unwrap();
        put(&directory, &pair);
        pair
    });
    symlink("version-1", data.join("live")).unwrap();
    for name in ["server.crt", "server.key"] {
        std::fs::remove_file(data.join(name)).unwrap();
        symlink(format!("live/{name}"), data.join(name)).unwrap();
    }
    let app = TestApp::on(home, |_| {});
    let trusted = [authority.certificate.as_str()];
    until_presented(&app, &trusted, &pairs[0].certificate).await;
    symlink("version-2", data.join("next")).unwrap();
    std::fs::rename(data.join("next"), data.join("live")).unwrap();
    until_presented(&app, &trusted, &pairs[1].certificate).await;
}

#[tokio::test]
async fn a_bad_one_changes_nothing_and_is_logged_once() {
    let app = TestApp::start();
    let ca = String::from_utf8(app.ca()).unwrap();
    let before = std::fs::read_to_string(app.data().join("server.crt")).unwrap();
    let authority = Authority::new("root");
    let both = [ca.as_str(), &authority.certificate];
    let [one, other] = [90, 91].map(|days| authority.sign("localhost", days));
    let mixed = Pair {
        certificate: one.certificate.clone(),
        key: other.key,
    };
    put(&app.data(), &mixed);
    until_logged(&app, "cannot be used", 1).await;
    assert!(
        app.stderr().contains("does not belong to"),
        "{}",
        app.stderr()
    );
    until_presented(&app, &both, &before).await;
    // Whoever asks is told again; what only lies there is not.
    app.signal("-HUP");
    until_logged(&app, "cannot be used", 2).await;
    put(&app.data(), &one);
    until_presented(&app, &both, &one.certificate).await;
    assert_eq!(app.stderr().matches("cannot be used").count(), 2);
    std::fs::remove_file(app.data().join("server.crt")).unwrap();
    until_logged(&app, "cannot be used", 3).await;
    until_presented(&app, &both, &one.certificate).await;
}

#[tokio::test]
async fn sighup_reads_it_again() {
    let app = TestApp::start();
    app.signal("-HUP");
    until_logged(&app, "the certificate was read again", 1).await;
    app.client.get("/Users").await.expect(200);
}

#[tokio::test]
async fn one_that_ends_is_announced_and_one_that_has_ended_is_served() {
    let authority = Authority::new("root");
    for (days, said) in [
        (31, None),
        (20, Some("ends in less than 30 days")),
        (2, Some("ends in less than 3 days")),
        (-2, Some("HAS ENDED")),
    ] {
        let home = Home::new();
        put(&home.data(), &authority.sign("localhost", days));
        let app = TestApp::on(home, |_| {});
        let trusted = [authority.certificate.as_str()];
        let connected = connect(port(&app.ready["scim"]), &trusted, None).await;
        // The client refuses it for its date: it was presented.
        match connected {
            Ok(_) => assert!(days > 0),
            Err(error) => assert!(error.to_string().contains("expired"), "{error}"),
        }
        if let Some(said) = said {
            until_logged(&app, said, 1).await;
        }
        // Reading it again is no news.
        app.signal("-HUP");
        until_logged(&app, "read again", 1).await;
        let logged = app.stderr();
        let times = logged.matches("ends in less").count() + logged.matches("HAS ENDED").count();
        assert_eq!(times, usize::from(said.is_some()), "{logged}");
    }
}

#[tokio::test]
async fn the_chain_is_presented_whole() {
    let root = Authority::new("root");
    let intermediate = root.below("intermediate");
    let own = intermediate.sign("localhost", 90);
    let home = Home::new();
    let chain = Pair {
        certificate: own.certificate.clone() + &intermediate.certificate,
        key: own.key,
    };
    put(&home.data(), &chain);
    let app = TestApp::on(home, |_| {});
    let trusted = [root.certificate.as_str()];
    let stream = connect(port(&app.ready["scim"]), &trusted, None);
    let expected = [der(&own.certificate), der(&intermediate.certificate)];
    assert_eq!(presented(&stream.await.unwrap()), expected);
}

#[tokio::test]
async fn the_admin_listener_asks_for_a_certificate_of_the_right_authority() {
    let home = Home::new();
    let (ours, theirs) = (Authority::new("ours"), Authority::new("theirs"));
    std::fs::write(home.data().join("clients.pem"), &ours.certificate).unwrap();
    let app = TestApp::on(home, |command| {
        command.env("SCIMLITE_TLS_ADMIN_CLIENT_CA", "clients.pem");
    });
    let ca = String::from_utf8(app.ca()).unwrap();
    let (scim, admin) = (port(&app.ready["scim"]), port(&app.ready["admin"]));
    let ask = async |port, client: Option<&Pair>| {
        let mut stream = connect(port, &[&ca], client).await?;
        // With TLS 1.3 the client has its handshake behind it before the server judges its certificate.
        status(&mut stream, "/healthz").await
    };
    let (good, foreign) = (ours.sign("admin", 90), theirs.sign("admin", 90));
    assert_eq!(ask(admin, Some(&good)).await.unwrap(), "http/1.1 200 ok");
    let ended = ours.sign("admin", -1);
    for client in [None, Some(&foreign), Some(&ended)] {
        let answered = ask(admin, client).await;
        assert!(answered.is_err(), "{answered:?}");
    }
    assert!(ask(scim, None).await.is_ok(), "SCIM asks for none");
}

#[test]
fn a_client_authority_that_is_none_is_refused() {
    let home = Home::new();
    let listen = [
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ];
    for (content, says) in [
        ("", "holds no certificate"),
        (
            "-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n",
            "authority",
        ),
    ] {
        std::fs::write(home.data().join("clients.pem"), content).unwrap();
        let mut command = home.command(listen);
        command.env("SCIMLITE_TLS_ADMIN_CLIENT_CA", "clients.pem");
        let stderr = refused(&crate::home::run(command));
        assert!(
            stderr.contains(says) && stderr.contains("clients.pem"),
            "{stderr}"
        );
    }
}

#[tokio::test]
async fn a_trial_certificate_replaces_another_only_when_forced() {
    let app = TestApp::start();
    let files = || {
        ["server.crt", "server.key", "ca.crt"]
            .map(|name| std::fs::read(app.data().join(name)).unwrap())
    };
    let before = files();
    let stderr = refused(&app.cli(["cert", "self-signed"]));
    assert!(stderr.contains("--force"), "{stderr}");
    assert!(files() == before);
    let old = String::from_utf8(app.ca()).unwrap();
    let made = app.cli_json([
        "cert",
        "self-signed",
        "--force",
        "--host",
        "scim.example.test",
    ]);
    let path = |key: &str| made[key].as_str().unwrap().to_owned();
    let [certificate, ca] = [path("certificate"), path("ca_file")]
        .map(|file| std::fs::read_to_string(app.data().parent().unwrap().join(file)).unwrap());
    until_presented(&app, &[&old, &ca], &certificate).await;
    let host = [
        "check",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
        "--json",
    ];
    let mut command = app.command(host);
    command.env("SCIMLITE_HOST", "scim.example.test");
    let found = crate::home::json(&crate::home::run(command));
    let good = json!({"check": "certificate", "verdict": "ok", "text": "it is good for scim.example.test"});
    assert!(found.as_array().unwrap().contains(&good), "{found}");
    let wrong = refused(&app.cli(["cert", "self-signed", "--force", "--host", "no host"]));
    assert!(wrong.contains("--host: `no host`"), "{wrong}");
}

#[test]
fn a_trial_certificate_fills_an_empty_place() {
    let home = Home::new();
    for name in ["server.crt", "server.key", "ca.crt"] {
        std::fs::remove_file(home.data().join(name)).unwrap();
    }
    home.cli_json(["cert", "self-signed"]);
    assert!(!home.ca().is_empty());
    let found = home.cli([
        "check",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    assert_eq!(found.status.code(), Some(0), "{found:?}");
}

#[tokio::test]
async fn a_certificate_that_is_no_file_does_not_block_the_next() {
    let app = TestApp::start();
    let ca = String::from_utf8(app.ca()).unwrap();
    let path = app.data().join("server.crt");
    let kept = app.beside("server.crt");
    std::fs::rename(&path, &kept).unwrap();
    let made = std::process::Command::new("mkfifo").arg(&path).status();
    assert!(made.unwrap().success());
    app.signal("-HUP");
    until_logged(&app, "it is no regular file", 1).await;
    std::fs::rename(&kept, &path).unwrap();
    app.signal("-HUP");
    until_logged(&app, "the certificate was read again", 1).await;
    let stream = connect(port(&app.ready["scim"]), &[&ca], None).await;
    assert!(status(&mut stream.unwrap(), "/").await.is_ok());
}

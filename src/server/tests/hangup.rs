//! A client that hangs up while its refused request waits for the writer: the audit has the row all the same.

use rusqlite::Connection;

use super::*;
use crate::directory::Directory;
use crate::directory::audit::Origin;
use crate::directory::feed::Ask;
use crate::directory::history::Selection;
use crate::directory::system_clock;
use crate::directory::tokens::Scope;
use crate::directory::world::World;
use crate::server::Settings;
use crate::server::certificate::Certificate;
use crate::server::client::TrustedProxies;
use crate::server::metrics::Metrics;
use crate::server::scim::Scim;
use crate::store::snapshots::Plan;

/// More jobs than the writer's queue holds.
const JOBS: usize = 5000;

/// A listener for SCIM over `directory`: its URL, the authority of its certificate, and what ends it.
async fn scim(directory: &Arc<Directory>) -> (String, String, watch::Sender<bool>) {
    let made = trial_certificate::generate("127.0.0.1", SystemTime::now()).unwrap();
    let files = tempfile::tempdir().unwrap();
    let (certificate, key) = (files.path().join("c"), files.path().join("k"));
    std::fs::write(&certificate, &made.certificate).unwrap();
    std::fs::write(&key, made.key.as_bytes()).unwrap();
    let files = TlsFiles {
        certificate,
        key,
        admin_client_ca: None,
    };
    let certificate = Arc::new(Certificate::open(files, system_clock()).unwrap());
    let limits = Arc::new(patient());
    let settings = Settings {
        base_paths: vec!["/scim".to_owned()],
        trusted_proxies: TrustedProxies::default(),
        limits: Arc::clone(&limits),
        snapshots: Plan {
            directory: std::path::PathBuf::new(),
            every: NEVER,
            keep: 0,
        },
    };
    let metrics = Metrics::new(
        Arc::clone(directory),
        Arc::clone(&certificate),
        settings.snapshots.clone(),
    );
    let (work, _) = tokio::sync::mpsc::channel(1);
    let handler = Scim::new(Arc::clone(directory), &settings, Arc::new(metrics), work);
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}/scim", listener.local_addr().unwrap());
    let (shutdown, stop) = watch::channel(false);
    let tls = certificate.scim();
    tokio::spawn(async move {
        let threads = Threads::start().unwrap();
        serve(listener, tls, limits, &threads, Arc::new(handler), stop).await;
    });
    (url, made.ca, shutdown)
}

// A connection lives on one thread, so that a request has come as far as it can when a later one is answered.
#[tokio::test]
async fn a_refused_request_whose_client_hangs_up_has_its_row() {
    let world = World::new();
    let directory = Arc::new(world.beside());
    let origin = Origin::command_line();
    let issued = directory.create_token(&origin, "x", Scope::Provision, None);
    let issued = issued.await.unwrap();
    let (url, ca, _shutdown) = scim(&directory).await;
    let client = reqwest::Client::builder()
        .tls_certs_only([reqwest::Certificate::from_pem(ca.as_bytes()).unwrap()])
        .no_proxy()
        .build()
        .unwrap();
    let users = client
        .get(format!("{url}/Users"))
        .bearer_auth(issued.secret.reveal());
    let read = || users.try_clone().unwrap().send();
    assert_eq!(read().await.unwrap().status(), 200, "its token is verified");

    let hand = Connection::open(world.path()).unwrap();
    hand.execute_batch("BEGIN IMMEDIATE").unwrap();
    let mut jobs = tokio::task::JoinSet::new();
    for _ in 0..JOBS {
        let directory = Arc::clone(&directory);
        jobs.spawn(async move { directory.ready().await });
    }
    let refused = client
        .delete(format!("{url}/Nothing"))
        .bearer_auth(issued.secret.reveal());
    let refused = tokio::spawn(refused.send());
    for _ in 0..3 {
        assert_eq!(read().await.unwrap().status(), 200);
    }
    assert!(!refused.is_finished(), "it waits for the writer");
    refused.abort();
    for _ in 0..3 {
        assert_eq!(read().await.unwrap().status(), 200);
    }
    hand.execute_batch("ROLLBACK").unwrap();
    jobs.join_all().await;
    let found = async {
        loop {
            let ask = Ask {
                most: 1000,
                ..Ask::default()
            };
            let rows = directory.audit(Selection::default(), ask);
            let rows = rows.await.unwrap().items;
            if rows
                .iter()
                .any(|row| row.reason.contains("DELETE /scim/Nothing"))
            {
                break;
            }
            tokio::time::sleep(Duration::from_millis(5)).await;
        }
    };
    timeout(Duration::from_secs(30), found).await.unwrap();
}

//! What can hardly be beaten on this machine: hyper and rustls that answer without looking, and SQLite that is given rows.

use std::collections::HashMap;
use std::convert::Infallible;
use std::ops::AddAssign;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, mpsc};
use std::time::{Duration, Instant};

use http_body_util::{BodyExt, Full};
use hyper::body::{Bytes, Incoming};
use hyper::service::service_fn;
use hyper::{Request, Response};
use hyper_util::rt::TokioIo;
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};
use rustls::ServerConfig;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use scimlite::server::threads::Threads;
use tokio::net::{TcpListener, TcpStream};
use tokio::runtime::Handle;
use tokio::sync::oneshot;
use tokio_rustls::TlsAcceptor;

use crate::appliance::{Appliance, Server};

/// Most changes that are written anew at a time.
pub const MOST: usize = 50_000;
/// Changes that share a transaction at the most, as those of the appliance do.
const BATCH: usize = 128;

/// Starts [`bare_server`] as a process of its own, so that it shares the machine with the load as the appliance does.
pub fn bare(appliance: &Appliance, copy: Option<&Path>) -> Server {
    let mut command = Command::new(std::env::current_exe().unwrap());
    command.arg("--bare").arg(appliance.directory());
    if let Some(copy) = copy {
        command.arg("--writes").arg(copy);
    }
    Server::start(&mut command, "bare", &appliance.ca, "none")
}

/// hyper over rustls on a free port with the certificate of an appliance's data directory; answers `/N` with N bytes. Its
/// connections live on the same threads as the appliance's. With a `copy` of the database, it writes for each request the
/// next of the changes that the appliance made since.
pub async fn bare_server(data: &Path, copy: Option<&Path>) {
    let writer = copy.map(|copy| write_behind(data, copy));
    let chain = vec![CertificateDer::from_pem_file(data.join("server.crt")).unwrap()];
    let key = PrivateKeyDer::from_pem_file(data.join("server.key")).unwrap();
    let provider = Arc::new(rustls::crypto::aws_lc_rs::default_provider());
    let config = ServerConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_no_client_auth()
        .with_single_cert(chain, key)
        .unwrap();
    let acceptor = TlsAcceptor::from(Arc::new(config));
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let threads = Threads::start().unwrap();
    let address = listener.local_addr().unwrap();
    println!(
        "{}",
        serde_json::json!({"bare": format!("https://{address}")})
    );
    loop {
        let (stream, _) = listener.accept().await.unwrap();
        stream.set_nodelay(true).unwrap();
        let (acceptor, seat, writer) = (acceptor.clone(), threads.seat().unwrap(), writer.clone());
        let stream = stream.into_std().unwrap();
        seat.runtime.clone().spawn(async move {
            let _seat = seat;
            let stream = TcpStream::from_std(stream).unwrap();
            let Ok(stream) = acceptor.accept(stream).await else {
                return;
            };
            let service = service_fn(async |request: Request<Incoming>| {
                let size = request.uri().path().rsplit('/').next().unwrap();
                let body = Bytes::from(vec![b'x'; size.parse().unwrap()]);
                if let Some(writer) = &writer {
                    request.into_body().collect().await.unwrap();
                    let (caller, written) = oneshot::channel();
                    writer.send((Handle::current(), caller)).unwrap();
                    written.await.unwrap();
                }
                let answer = Response::builder().header("content-type", "application/scim+json");
                Ok::<_, Infallible>(answer.body(Full::new(body)).unwrap())
            });
            let connection = hyper::server::conn::http1::Builder::new();
            let _ = connection
                .serve_connection(TokioIo::new(stream), service)
                .await;
        });
    }
}

/// One change as rows: the user or group it is about with its addresses or the member that came or went, its audit row,
/// and what that is found by.
struct Change {
    table: &'static str,
    row: Vec<Value>,
    emails: Vec<Vec<Value>>,
    member: Option<(&'static str, [i64; 2])>,
    audit: Vec<Value>,
    about: Vec<Vec<Value>>,
}

/// Changes that SQLite alone wrote.
#[derive(Default)]
pub struct Written {
    changes: usize,
    took: Duration,
}

impl Written {
    /// Changes in a second.
    pub fn rate(&self) -> f64 {
        self.changes as f64 / self.took.as_secs_f64()
    }
}

impl AddAssign for Written {
    fn add_assign(&mut self, other: Self) {
        self.changes += other.changes;
        self.took += other.took;
    }
}

/// Gives SQLite the rows that the appliance wrote since `copy` was as it is, `batch` changes a transaction, under the same
/// settings and on the same file system. What a change of its status makes of an account is left out.
pub fn bare_writer(appliance: &Appliance, copy: &Path, batch: usize) -> Written {
    let connection = open(copy);
    let changes = changes(&appliance.database(), &connection);
    let started = Instant::now();
    for some in changes.chunks(batch) {
        commit(&connection, some);
    }
    Written {
        changes: changes.len(),
        took: started.elapsed(),
    }
}

/// A thread that writes to `copy` the next of the changes that the appliance at `data` made since, for each caller that
/// comes: all that wait in one transaction, and tells them after it, those on one thread at once.
fn write_behind(data: &Path, copy: &Path) -> mpsc::Sender<(Handle, oneshot::Sender<()>)> {
    let (sender, queue) = mpsc::channel::<(Handle, oneshot::Sender<()>)>();
    let connection = open(copy);
    let changes = changes(&open(&data.join("scimlite.db")), &connection);
    std::thread::spawn(move || {
        let mut rest = changes.as_slice();
        while let Ok(first) = queue.recv() {
            let callers: Vec<_> = [first]
                .into_iter()
                .chain(queue.try_iter().take(BATCH - 1))
                .collect();
            let (some, later) = rest.split_at(callers.len());
            commit(&connection, some);
            rest = later;
            let mut threads: Vec<(Handle, Vec<_>)> = Vec::new();
            for (thread, caller) in callers {
                match threads
                    .iter_mut()
                    .find(|(known, _)| known.id() == thread.id())
                {
                    Some((_, callers)) => callers.push(caller),
                    None => threads.push((thread, vec![caller])),
                }
            }
            for (thread, callers) in threads {
                thread.spawn(async {
                    for caller in callers {
                        let _ = caller.send(());
                    }
                });
            }
        }
    });
    sender
}

/// The database at `file`, under the settings that the appliance's writer has.
fn open(file: &Path) -> Connection {
    let connection = Connection::open(file).unwrap();
    let pragmas = "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; PRAGMA foreign_keys = ON;
        PRAGMA wal_autocheckpoint = 4000; PRAGMA cache_size = -8192;";
    connection.execute_batch(pragmas).unwrap();
    connection.set_prepared_statement_cache_capacity(64);
    connection
}

/// Writes changes in one transaction.
fn commit(connection: &Connection, changes: &[Change]) {
    connection.execute_batch("BEGIN IMMEDIATE").unwrap();
    for change in changes {
        write(connection, change);
    }
    note(connection, changes);
    connection.execute_batch("COMMIT").unwrap();
}

/// The first changes that the appliance, whose database is `source`, made and `copy` does not have, [`MOST`] at the most.
fn changes(source: &Connection, copy: &Connection) -> Vec<Change> {
    let rows = |sql: &str, key: &Value| -> Vec<Vec<Value>> {
        let mut statement = source.prepare_cached(sql).unwrap();
        let columns = statement.column_count();
        let rows = statement.query_map([key], |row| {
            (0..columns).map(|column| row.get(column)).collect()
        });
        rows.unwrap().map(Result::unwrap).collect()
    };
    let known: i64 = copy
        .query_row("SELECT max(seq) FROM audit", [], |row| row.get(0))
        .unwrap();
    let mut members = members(source, copy).into_iter();
    let mut about: HashMap<i64, Vec<Vec<Value>>> = HashMap::new();
    for row in rows("SELECT * FROM audit_about WHERE seq > ?1", &known.into()) {
        about.entry(number(&row[2])).or_default().push(row);
    }
    rows(
        "SELECT * FROM audit WHERE seq > ?1 AND target_id IS NOT NULL ORDER BY seq",
        &known.into(),
    )
    .into_iter()
    .take(MOST)
    .map(|audit| {
        let user = audit[6] == Value::Text("User".to_owned());
        let table = if user { "user" } else { "\"group\"" };
        let row = rows(&format!("SELECT * FROM {table} WHERE id = ?1"), &audit[7]).remove(0);
        let emails = match user {
            true => rows("SELECT * FROM user_email WHERE user = ?1", &row[0]),
            false => Vec::new(),
        };
        let member = if user { None } else { members.next() };
        Change {
            about: about.remove(&number(&audit[0])).unwrap_or_default(),
            table,
            row,
            emails,
            member,
            audit,
        }
    })
    .collect()
}

fn number(value: &Value) -> i64 {
    match value {
        Value::Integer(number) => *number,
        other => panic!("{other:?} is no number"),
    }
}

/// The memberships that came and went since `copy` was made, each with the statement that makes it so.
fn members(source: &Connection, copy: &Connection) -> Vec<(&'static str, [i64; 2])> {
    let file = source.path().unwrap();
    copy.execute("ATTACH ?1 AS source", [file]).unwrap();
    let differing = |one: &str, other: &str| -> Vec<[i64; 2]> {
        let sql = format!("SELECT * FROM {one}.group_user EXCEPT SELECT * FROM {other}.group_user");
        let mut statement = copy.prepare(&sql).unwrap();
        let rows = statement.query_map([], |row| Ok([row.get(0)?, row.get(1)?]));
        rows.unwrap().map(Result::unwrap).collect()
    };
    let added = differing("source", "main").into_iter();
    let removed = differing("main", "source").into_iter();
    copy.execute_batch("DETACH source").unwrap();
    added
        .map(|row| ("INSERT INTO group_user VALUES (?1, ?2)", row))
        .chain(removed.map(|row| {
            (
                "DELETE FROM group_user WHERE \"group\" = ?1 AND user = ?2",
                row,
            )
        }))
        .collect()
}

fn put(connection: &Connection, table: &str, row: &[Value]) {
    let places = vec!["?"; row.len()].join(", ");
    let sql = format!("INSERT INTO {table} VALUES ({places})");
    let mut statement = connection.prepare_cached(&sql).unwrap();
    statement.execute(params_from_iter(row)).unwrap();
}

fn write(connection: &Connection, change: &Change) {
    let update = format!(
        "UPDATE {} SET resource = ?2, modified = ?3, version = version + 1 WHERE seq = ?1",
        change.table
    );
    let mut update = connection.prepare_cached(&update).unwrap();
    let present = update
        .execute((&change.row[0], &change.row[2], change.row.last()))
        .unwrap();
    if present == 0 {
        put(connection, change.table, &change.row);
        for email in &change.emails {
            put(connection, "user_email", email);
        }
    }
    if let Some((sql, row)) = change.member {
        connection
            .prepare_cached(sql)
            .unwrap()
            .execute(row)
            .unwrap();
    }
}

/// The audit rows of a batch, what they are found by, and the head, as the appliance writes them: once, at the end.
fn note(connection: &Connection, batch: &[Change]) {
    for change in batch {
        put(connection, "audit", &change.audit);
    }
    for row in batch.iter().flat_map(|change| &change.about) {
        put(connection, "audit_about", row);
    }
    let Some(Change { audit: last, .. }) = batch.last() else {
        return;
    };
    connection
        .prepare_cached("UPDATE appliance SET audit_seq = ?1, audit_hash = ?2")
        .unwrap()
        .execute((&last[0], last.last()))
        .unwrap();
}

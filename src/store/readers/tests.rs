//! The pool over a real file: reads whose callers go away, the bound on long reads, and the end.

use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::sync::mpsc;
use std::task::Poll;
use std::time::Instant;

use tempfile::TempDir;

use super::*;
use crate::store::Store;
use crate::store::audit::{self, Tail};

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(60);

/// A read that never ends by itself.
const ENDLESS: &str =
    "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n) SELECT max(i) FROM n";

fn database(root: &TempDir) -> PathBuf {
    let path = root.path().join("test.db");
    open::create(&path, |connection| {
        audit::insert_genesis(connection, jiff::Timestamp::UNIX_EPOCH)
    })
    .unwrap();
    path
}

fn number(connection: &Connection, sql: &str) -> Result<i64, Error> {
    Ok(connection.query_row(sql, [], |row| row.get(0))?)
}

/// Marks a connection; the mark tells it from every other.
fn mark(connection: &Connection) -> Result<(), Error> {
    Ok(connection.execute_batch("PRAGMA cache_size = 4321")?)
}

fn marked(connection: &Connection) -> Result<bool, Error> {
    Ok(number(connection, "PRAGMA cache_size")? == 4321)
}

/// Whether a future has to wait, once it was polled.
async fn pending<F: Future>(future: &mut Pin<Box<F>>) -> bool {
    poll_fn(|context| Poll::Ready(future.as_mut().poll(context).is_pending())).await
}

/// Begins an endless read and has its caller go away; what the read came back with.
async fn abandoned(readers: &Readers) -> mpsc::Receiver<Result<i64, Error>> {
    let (began, beginning) = mpsc::channel();
    let (ended, end) = mpsc::channel();
    let mut read = Box::pin(readers.long(move |connection| {
        mark(connection)?;
        began.send(()).unwrap();
        let answer = number(connection, ENDLESS);
        ended.send(answer.clone()).unwrap();
        answer
    }));
    assert!(pending(&mut read).await);
    beginning.recv_timeout(DEADLINE).unwrap();
    drop(read);
    end
}

#[tokio::test]
async fn an_abandoned_read_ends_and_its_connection_serves_the_next() {
    let root = TempDir::new().unwrap();
    let readers = Readers::new(&database(&root));
    let end = abandoned(&readers).await.recv_timeout(DEADLINE).unwrap();
    assert!(
        matches!(&end, Err(Error::Sqlite(why)) if why.contains("interrupt")),
        "{end:?}"
    );
    let start = Instant::now();
    while locked(&readers.own.idle).is_empty() {
        assert!(start.elapsed() < DEADLINE, "the connection is not back");
        tokio::task::yield_now().await;
    }
    for _ in 0..2 {
        let read = |connection: &Connection| {
            assert!(marked(connection)?, "another connection");
            number(connection, "SELECT count(*) FROM appliance")
        };
        assert_eq!(readers.short(read).unwrap(), 1);
        assert_eq!(readers.long(read).await.unwrap(), 1);
    }
}

#[tokio::test]
async fn only_reads_that_share_snapshots_keep_many_pages() {
    let root = TempDir::new().unwrap();
    let readers = Readers::new(&database(&root));
    let pages = |connection: &Connection| number(connection, "PRAGMA cache_size");
    let processors = std::thread::available_parallelism().unwrap().get();
    let shared = (16 * 1024 / i64::try_from(processors).unwrap()).max(1024);
    assert_eq!(readers.indexed(pages).await.unwrap(), -shared);
    assert_eq!(readers.short(pages).unwrap(), -1024);
    assert_eq!(readers.long(pages).await.unwrap(), -1024);
}

#[tokio::test]
async fn after_the_end_nothing_is_handed_out_or_kept() {
    let root = TempDir::new().unwrap();
    let readers = Readers::new(&database(&root));
    let read = |connection: &Connection| number(connection, "SELECT count(*) FROM appliance");
    assert_eq!(readers.short(read).unwrap(), 1);
    let (began, beginning) = mpsc::channel();
    let (release, released) = mpsc::channel::<()>();
    let last = readers.long(move |connection| {
        began.send(()).unwrap();
        released.recv_timeout(DEADLINE).unwrap();
        read(connection)
    });
    let close = async {
        while beginning.try_recv().is_err() {
            tokio::task::yield_now().await;
        }
        let mut closing = Box::pin(readers.close());
        assert!(pending(&mut closing).await, "a read is under way");
        release.send(()).unwrap();
        closing.await;
    };
    let (last, ()) = tokio::join!(last, close);
    assert_eq!(last.unwrap(), 1, "it comes to its end");
    for pool in [&readers.shared, &readers.own] {
        assert!(locked(&pool.idle).is_empty());
    }
    assert!(matches!(readers.short(read), Err(Error::Closed)));
    assert!(matches!(readers.long(read).await, Err(Error::Closed)));
}

/// Counts to a number: a read of so many steps, more or less.
fn count_to(connection: &Connection, last: u32) -> Result<i64, Error> {
    let sql = format!(
        "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < {last}) SELECT count(*) FROM n"
    );
    number(connection, &sql)
}

#[tokio::test]
async fn a_read_by_index_leaves_the_calling_thread_once_it_is_long() {
    let root = TempDir::new().unwrap();
    let readers = Readers::new(&database(&root));
    let here = std::thread::current().id();
    // Every walk has its place, and none ends.
    let walk = |_| Box::pin(readers.long(|connection| number(connection, ENDLESS)));
    let mut walks: Vec<_> = (0..WALKS).map(walk).collect();
    for walk in &mut walks {
        assert!(pending(walk).await);
    }
    for (last, stays) in [(1, true), (10, true), (1_000_000, false), (10, true)] {
        let read = move |connection: &Connection| {
            let count = count_to(connection, last)?;
            Ok::<_, Error>((count, std::thread::current().id()))
        };
        let (count, thread) = readers.indexed(read).await.unwrap();
        assert_eq!((count, thread == here), (i64::from(last), stays));
    }
    // What a statement has done in earlier reads does not count.
    for _ in 0..2000 {
        let read = move |connection: &Connection| {
            let mut statement = connection.prepare_cached("SELECT max(seq) FROM audit")?;
            statement.query_row([], |row| row.get::<_, Option<i64>>(0))?;
            Ok::<_, Error>(std::thread::current().id())
        };
        assert_eq!(readers.indexed(read).await.unwrap(), here);
    }
}

fn wal(path: &Path) -> bool {
    path.with_extension("db-wal").exists()
}

/// A clean stop leaves one file even where a read was abandoned at the last moment.
#[tokio::test]
async fn a_store_that_closes_after_an_abandoned_read_leaves_one_file() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = Store::open(&path).unwrap();
    let end = abandoned(&store.readers).await;
    store.close().await;
    assert!(end.recv_timeout(DEADLINE).unwrap().is_err());
    assert!(!wal(&path));
}

/// A change by the writer of the store.
struct Change;

impl super::super::writer::Job for Change {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, connection: &Connection, _: &mut Tail) -> Result<(), Error> {
        connection.execute("UPDATE appliance SET audit_seq = audit_seq + 1", [])?;
        Ok(())
    }
}

#[tokio::test]
async fn short_reads_share_a_snapshot_but_never_miss_what_was_answered() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = Store::open(&path).unwrap();
    let seq = async || {
        let read = |connection: &Connection| number(connection, "SELECT audit_seq FROM appliance");
        store.readers.indexed(read).await.unwrap()
    };
    assert_eq!(seq().await, 0);
    let open = || {
        let idle = locked(&store.readers.shared.idle);
        let open = idle.iter().filter(|reader| reader.snapshot.is_some());
        open.count()
    };
    for change in 1..200 {
        store.writer.submit(Change).await.unwrap();
        assert_eq!(open(), 0, "nothing holds the WAL back");
        assert_eq!(seq().await, change);
        assert_eq!(open(), 1);
    }
    let start = Instant::now();
    while open() > 0 {
        assert!(start.elapsed() < DEADLINE, "an unused snapshot stays");
        tokio::task::yield_now().await;
    }
    // What another process does is seen a moment later.
    let other = open::writable(&path).unwrap();
    for change in 1000..1100 {
        other
            .execute("UPDATE appliance SET audit_seq = ?1", [change])
            .unwrap();
        std::thread::sleep(MOMENT);
        assert_eq!(seq().await, change);
    }
    drop(other);
    store.close().await;
    assert!(!wal(&path));
}

/// What a command leaves in the WAL the server takes out, though short reads go on and on.
#[tokio::test]
async fn the_wal_of_others_is_emptied_between_reads() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = Store::open(&path).unwrap();
    let other = open::writable(&path).unwrap();
    other
        .execute("UPDATE appliance SET audit_seq = 7", [])
        .unwrap();
    assert!(store.sizes()[1] > 0);
    let start = Instant::now();
    while store.sizes()[1] > 0 {
        let read = |connection: &Connection| number(connection, "SELECT audit_seq FROM appliance");
        assert_eq!(store.readers.indexed(read).await.unwrap(), 7);
        assert!(start.elapsed() < DEADLINE, "the WAL stays");
        tokio::time::sleep(Duration::from_millis(1)).await;
    }
    drop(other);
    store.close().await;
}

#[tokio::test]
async fn a_token_is_read_again_once_it_may_have_changed() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = Store::open(&path).unwrap();
    let other = open::writable(&path).unwrap();
    let insert = "INSERT INTO token (id, name, scope, phc, fingerprint, created, expires)
        VALUES ('a', 'x', 'read', 'x', 0, '2026-01-01T00:00:00.000Z', '2027-01-01T00:00:00.000Z')";
    for (change, name) in [
        ("SELECT 1 WHERE 0", None),
        (insert, Some("x")),
        ("UPDATE token SET name = 'y'", Some("y")),
        ("DELETE FROM token", None),
    ] {
        other.execute_batch(change).unwrap();
        std::thread::sleep(MOMENT);
        for _ in 0..3 {
            let token = store.readers.token("a").await.unwrap();
            assert_eq!(token.map(|token| token.name.clone()).as_deref(), name);
        }
    }
}

/// A change of some pages.
struct Large;

impl super::super::writer::Job for Large {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, connection: &Connection, _: &mut Tail) -> Result<(), Error> {
        connection.execute(
            "WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 200)
             INSERT INTO audit_about SELECT 'name', hex(randomblob(400)), i FROM n",
            [],
        )?;
        Ok(())
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_wal_begins_anew_however_many_read_meanwhile() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = std::sync::Arc::new(Store::open(&path).unwrap());
    let ended = std::sync::Arc::new(AtomicBool::new(false));
    let reading = tokio::spawn({
        let (store, ended) = (store.clone(), ended.clone());
        async move {
            while !ended.load(Ordering::SeqCst) {
                let read =
                    |connection: &Connection| number(connection, "SELECT audit_seq FROM appliance");
                store.readers.indexed(read).await.unwrap();
                tokio::time::sleep(Duration::from_millis(1)).await;
            }
        }
    });
    for _ in 0..400 {
        store.writer.submit(Large).await.unwrap();
    }
    ended.store(true, Ordering::SeqCst);
    reading.await.unwrap();
    let [written, wal] = store.sizes();
    assert!(written > 70_000_000, "{written}");
    // Four times the size at which it is full, and a transaction.
    assert!(wal < 70_000_000, "{wal}");
    store.close().await;
    assert_eq!(store.sizes()[1], 0);
}

/// A long read holds the WAL back, however large it becomes, and no longer.
#[tokio::test]
async fn the_wal_begins_anew_once_nobody_reads_what_was_before() {
    let root = TempDir::new().unwrap();
    let path = database(&root);
    let store = Store::open(&path).unwrap();
    let other = open::readable(&path).unwrap();
    let size = async |jobs| {
        for _ in 0..jobs {
            store.writer.submit(Large).await.unwrap();
        }
        store.sizes()[1]
    };
    size(1).await;
    other.execute_batch("BEGIN").unwrap();
    number(&other, "SELECT audit_seq FROM appliance").unwrap();
    let held_back = size(60).await;
    assert!(held_back > 60_000_000, "{held_back}");
    other.execute_batch("COMMIT").unwrap();
    // As many changes again take no room behind the old ones.
    let later = size(60).await;
    let more = later.saturating_sub(held_back);
    assert!(more < 70_000_000, "{held_back} {later}");
    store.close().await;
    assert_eq!(store.sizes()[1], 0);
}

//! The writer over a real file, with jobs that do as they are told: what stands in the file after refusals, panics,
//! failed commits, locks of others and callers that go away.

use std::future::{Future, poll_fn};
use std::path::{Path, PathBuf};
use std::pin::Pin;
use std::task::{Context, Poll, Waker};

use tempfile::TempDir;

use super::*;
use crate::store::audit::{self, Row};

/// How long something may take that has to happen.
const DEADLINE: Duration = Duration::from_secs(60);
/// A moment in which a writer that does not wait for a lock would have failed.
const MOMENT: Duration = Duration::from_millis(100);

/// A job that writes its name, which is unique in the file, and then does as its script says.
struct Scripted {
    name: String,
    apply: Script,
    refused: Script,
    /// Another connection, which sees what is committed and nothing else.
    observer: Option<Connection>,
}

type Script = fn(&Connection) -> Result<(), Error>;

fn fine(_: &Connection) -> Result<(), Error> {
    Ok(())
}

fn no(_: &Connection) -> Result<(), Error> {
    Err(Error::Missing("refused by the script".into()))
}

fn panics(_: &Connection) -> Result<(), Error> {
    panic!("as the script says")
}

fn write(connection: &Connection, name: &str) -> Result<(), Error> {
    connection.execute("INSERT INTO storage (name, enabled) VALUES (?1, 1)", [name])?;
    Ok(())
}

fn names(connection: &Connection) -> Vec<String> {
    let mut statement = connection
        .prepare("SELECT name FROM storage ORDER BY id")
        .unwrap();
    let names = statement.query_map([], |row| row.get(0)).unwrap();
    names.map(Result::unwrap).collect()
}

impl Job for Scripted {
    /// How many jobs were committed when this one ran.
    type Done = usize;
    type Refused = Error;

    fn apply(&mut self, connection: &Connection, tail: &mut Tail) -> Result<usize, Error> {
        write(connection, &self.name)?;
        tail.append(connection, &Row::sample(&self.name))?;
        (self.apply)(connection)?;
        Ok(self.observer.as_ref().map_or(0, |file| names(file).len()))
    }

    fn refused(
        &mut self,
        connection: &Connection,
        tail: &mut Tail,
        _: &Error,
    ) -> Result<(), Error> {
        let name = format!("{} was refused", self.name);
        write(connection, &name)?;
        tail.append(connection, &Row::sample(&name))?;
        (self.refused)(connection)
    }
}

fn job(name: &str, apply: Script, refused: Script) -> Scripted {
    Scripted {
        name: name.to_owned(),
        apply,
        refused,
        observer: None,
    }
}

/// A job that only succeeds.
fn plain(name: &str) -> Scripted {
    job(name, fine, fine)
}

/// A job that changes nothing.
struct Empty;

impl Job for Empty {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, _: &Connection, _: &mut Tail) -> Result<(), Error> {
        Ok(())
    }
}

/// A job that says when it runs and goes on when it is told.
struct Gate {
    running: Sender<()>,
    go: Receiver<()>,
}

impl Job for Gate {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, _: &Connection, _: &mut Tail) -> Result<(), Error> {
        self.running.send(()).unwrap();
        self.go.recv_timeout(DEADLINE).unwrap();
        Ok(())
    }
}

/// A writer over a file of its own.
struct File {
    writer: Writer,
    path: PathBuf,
    _root: TempDir,
}

impl File {
    fn new() -> Self {
        Self::with(DEADLINE)
    }

    /// The same, with transactions that take jobs for so long.
    fn with(batch_time: Duration) -> Self {
        Self::synced(batch_time, |path| std::fs::File::open(path).unwrap())
    }

    /// The same, where `outdate` is called around each transaction.
    fn outdating(outdate: impl Fn() + Send + 'static) -> Self {
        let open = |path: &Path| std::fs::File::open(path).unwrap();
        Self::made(DEADLINE, open, outdate)
    }

    /// The same, where what `file` opens is synced in the place of the database.
    fn synced(batch_time: Duration, file: impl FnOnce(&Path) -> std::fs::File) -> Self {
        Self::made(batch_time, file, || {})
    }

    fn made(
        batch_time: Duration,
        file: impl FnOnce(&Path) -> std::fs::File,
        outdate: impl Fn() + Send + 'static,
    ) -> Self {
        let root = TempDir::new().unwrap();
        let path = root.path().join("test.db");
        super::super::open::create(&path, |connection| {
            audit::insert_genesis(connection, jiff::Timestamp::UNIX_EPOCH)
        })
        .unwrap();
        let connection = super::super::open::writable(&path).unwrap();
        let other = super::super::open::unverified(&path).unwrap();
        let file = Arc::new(file(&path));
        Self {
            writer: Writer::start(connection, other, file, batch_time, outdate).unwrap(),
            path,
            _root: root,
        }
    }

    /// A connection as another process has it.
    fn other(&self) -> Connection {
        let connection = Connection::open(&self.path).unwrap();
        connection.busy_timeout(DEADLINE).unwrap();
        connection
    }

    /// The same, with the write lock: jobs wait.
    fn locked(&self) -> Connection {
        let other = self.other();
        other.execute_batch("BEGIN IMMEDIATE").unwrap();
        other
    }

    /// What jobs wrote: each has its row in the audit.
    fn names(&self) -> Vec<String> {
        let other = self.other();
        let names = names(&other);
        let mut statement = other
            .prepare("SELECT request_id FROM audit ORDER BY seq")
            .unwrap();
        let rows = statement.query_map([], |row| row.get(0)).unwrap();
        let rows: Vec<String> = rows.map(Result::unwrap).collect();
        assert_eq!(rows, names);
        assert!(audit::chain::verify(&other, &[]).unwrap().is_ok());
        names
    }

    fn wal(&self) -> Option<u64> {
        let wal = self.path.with_extension("db-wal");
        std::fs::metadata(wal).ok().map(|file| file.len())
    }

    /// Has jobs done that all wait before the first of them runs: one batch, or as few as may be.
    async fn batch<J: Job>(
        &self,
        jobs: impl IntoIterator<Item = J>,
    ) -> Vec<Result<J::Done, J::Refused>> {
        let (running, runs) = channel();
        let (release, go) = channel();
        let gate = begun(self.writer.submit(Gate { running, go })).await;
        runs.recv_timeout(DEADLINE).unwrap();
        let mut waiting = Vec::new();
        for job in jobs {
            waiting.push(begun(self.writer.submit(job)).await);
        }
        release.send(()).unwrap();
        gate.await.unwrap();
        let mut answers = Vec::new();
        for answer in waiting {
            answers.push(answer.await);
        }
        answers
    }
}

/// A future that has run up to where it waits.
async fn begun<F: Future>(future: F) -> Pin<Box<F>> {
    // A task that never yields is made to wait where there is nothing to wait for.
    tokio::task::yield_now().await;
    let mut future = Box::pin(future);
    poll_fn(|context| {
        assert!(future.as_mut().poll(context).is_pending());
        Poll::Ready(())
    })
    .await;
    future
}

/// Asserts that the batch came back with nothing done.
#[track_caller]
fn all_failed(answers: &[Result<usize, Error>]) {
    for answer in answers {
        assert!(
            matches!(answer, Err(Error::Sqlite(_) | Error::Unavailable(_))),
            "{answer:?}"
        );
    }
}

#[tokio::test]
async fn a_refused_job_leaves_what_its_refusal_wrote_and_its_neighbours_stay() {
    let file = File::new();
    let answers = file
        .batch([plain("a"), job("b", no, fine), plain("c")])
        .await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(matches!(answers[1], Err(Error::Missing(_))), "{answers:?}");
    assert_eq!(file.names(), ["a", "b was refused", "c"]);
}

#[tokio::test]
async fn a_refusal_that_cannot_be_written_leaves_nothing() {
    let file = File::new();
    let answers = file.batch([plain("a"), job("b", no, no), plain("c")]).await;
    assert!(answers[0].is_ok() && answers[2].is_ok(), "{answers:?}");
    assert!(answers[1].is_err());
    assert_eq!(file.names(), ["a", "c"]);
}

#[tokio::test]
async fn a_panic_takes_nothing_else_with_it() {
    let file = File::new();
    let jobs = [
        plain("a"),
        job("b", panics, fine),
        plain("c"),
        job("d", no, panics),
        job("e", panics, panics),
        plain("f"),
    ];
    let answers = file.batch(jobs).await;
    let made: Vec<_> = answers.iter().map(Result::is_ok).collect();
    assert_eq!(made, [true, false, true, false, false, true]);
    all_failed(&[answers[1].clone(), answers[3].clone(), answers[4].clone()]);
    assert_eq!(file.names(), ["a", "b was refused", "c", "f"]);
    file.writer.submit(plain("g")).await.unwrap();
    assert_eq!(file.names().last().unwrap(), "g");
}

#[tokio::test]
async fn jobs_that_wait_share_a_transaction() {
    let file = &File::new();
    let jobs = |count: usize| {
        (0..count).map(move |number| Scripted {
            observer: Some(file.other()),
            ..plain(&format!("{count}/{number}"))
        })
    };
    let answers = file.batch(jobs(50)).await;
    let mut seen: Vec<usize> = answers.into_iter().map(Result::unwrap).collect();
    seen.dedup();
    assert_eq!(seen, [0], "transactions start after so many jobs");

    let answers = file.batch(jobs(BATCH + 10)).await;
    let mut seen: Vec<usize> = answers.into_iter().map(Result::unwrap).collect();
    seen.dedup();
    assert_eq!(seen, [50, 50 + BATCH], "one transaction has a bound");
    assert_eq!(file.names().len(), 60 + BATCH);
}

#[tokio::test]
async fn a_transaction_whose_time_is_over_leaves_the_rest_to_the_next() {
    let file = &File::with(Duration::ZERO);
    let jobs = (0..3).map(|number| Scripted {
        observer: Some(file.other()),
        ..plain(&number.to_string())
    });
    let answers = file.batch(jobs).await;
    let seen: Vec<usize> = answers.into_iter().map(Result::unwrap).collect();
    assert_eq!(seen, [0, 1, 2]);
}

#[tokio::test]
async fn a_failed_commit_fails_every_job_of_the_batch() {
    let file = File::new();
    // A reference to nothing that is looked at when the transaction commits.
    let dangling: Script = |connection| {
        Ok(connection.execute_batch(
            "PRAGMA defer_foreign_keys = ON;
             INSERT INTO mapping (position, name, profile, storage, activation_email) VALUES (9, 'x', 9, 9, 0)",
        )?)
    };
    let jobs = [
        plain("a"),
        job("b", dangling, fine),
        job("c", no, fine),
        plain("d"),
    ];
    all_failed(&file.batch(jobs).await);
    assert_eq!(file.names(), [""; 0]);
    file.writer.submit(plain("e")).await.unwrap();
    assert_eq!(file.names(), ["e"]);
}

#[tokio::test]
async fn a_full_disk_fails_every_job_of_the_batch() {
    let file = File::new();
    let fill: Script = |connection| {
        let pages: i64 = connection.query_row("PRAGMA page_count", [], |row| row.get(0))?;
        connection.query_row(&format!("PRAGMA max_page_count = {pages}"), [], |_| Ok(()))?;
        write(connection, &"x".repeat(1 << 20))
    };
    let jobs = [plain("a"), job("b", fill, fine), plain("c")];
    let answers = file.batch(jobs).await;
    all_failed(&answers[..2]);
    // SQLite gave up the transaction at the second; the third has one of its own.
    assert!(answers[2].is_ok(), "{answers:?}");
    assert_eq!(file.names(), ["c"]);
    let room: Script = |connection| {
        connection.query_row("PRAGMA max_page_count = 100000", [], |_| Ok(()))?;
        Ok(())
    };
    file.writer.submit(job("d", room, fine)).await.unwrap();
    file.writer.submit(plain("e")).await.unwrap();
    assert_eq!(file.names(), ["c", "d", "e"]);
}

#[tokio::test]
async fn a_lock_of_another_process_delays_and_does_not_fail() {
    let file = File::new();
    file.writer.submit(plain("a")).await.unwrap();
    // A checkpoint, which does not wait for locks, must not leave the next transaction without patience.
    emptied(&file).await;
    for name in ["b", "c"] {
        let lock = file.locked();
        let mut answer = begun(file.writer.submit(plain(name))).await;
        let early = tokio::time::timeout(MOMENT, &mut answer).await;
        assert!(early.is_err(), "answered before its commit: {early:?}");
        drop(lock);
        answer.await.unwrap();
    }
    assert_eq!(file.names(), ["a", "b", "c"]);
}

#[tokio::test]
async fn a_job_whose_caller_went_away_is_done_whole() {
    let file = File::new();
    let lock = file.locked();
    for job in [plain("a"), job("b", no, fine)] {
        drop(begun(file.writer.submit(job)).await);
    }
    drop(lock);
    file.writer.submit(plain("c")).await.unwrap();
    assert_eq!(file.names(), ["a", "b was refused", "c"]);
}

#[tokio::test]
async fn closing_finishes_what_is_queued_and_leaves_one_file() {
    let file = File::new();
    let lock = file.locked();
    let mut waiting = Vec::new();
    for number in 0..50 {
        waiting.push(begun(file.writer.submit(plain(&number.to_string()))).await);
    }
    std::thread::scope(|scope| {
        let closing = scope.spawn(|| file.writer.close());
        drop(lock);
        closing.join().unwrap();
    });
    for answer in waiting {
        answer.await.unwrap();
    }
    assert_eq!(file.wal(), None);
    let late = file.writer.submit(plain("late")).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    file.writer.close();
    assert_eq!(file.names().len(), 50);
}

/// Waits until the WAL is empty.
async fn emptied(file: &File) {
    let start = Instant::now();
    while file.wal() != Some(0) {
        assert!(start.elapsed() < DEADLINE, "{:?} bytes", file.wal());
        tokio::time::sleep(Duration::from_millis(20)).await;
    }
}

#[tokio::test]
async fn an_idle_writer_empties_the_wal_and_probes_do_not_hold_it_up() {
    let (idle, probed) = (File::new(), File::new());
    for file in [&idle, &probed] {
        file.writer.submit(plain("a")).await.unwrap();
        assert!(file.wal().is_some_and(|size| size > 0));
    }
    let probes = async {
        loop {
            probed.writer.submit(Empty).await.unwrap();
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
    };
    tokio::select! {
        () = probes => {}
        ((), ()) = async { tokio::join!(emptied(&idle), emptied(&probed)) } => {}
    }
}

#[tokio::test]
async fn rows_that_cannot_be_written_fail_the_batch() {
    let file = File::new();
    let other = file.other();
    other
        .execute_batch(
            "CREATE TRIGGER no BEFORE INSERT ON audit BEGIN SELECT raise(ABORT, 'no'); END",
        )
        .unwrap();
    all_failed(
        &file
            .batch([plain("a"), job("b", no, fine), plain("c")])
            .await,
    );
    assert_eq!(file.names(), [""; 0]);
    other.execute_batch("DROP TRIGGER no").unwrap();
    file.writer.submit(plain("d")).await.unwrap();
    assert_eq!(file.names(), ["d"]);
}

/// A job that panics when nobody needs it any more.
struct Brittle;

impl Drop for Brittle {
    fn drop(&mut self) {
        panic!("as the test wants")
    }
}

impl Job for Brittle {
    type Done = ();
    type Refused = Error;

    fn apply(&mut self, _: &Connection, _: &mut Tail) -> Result<(), Error> {
        Ok(())
    }
}

#[tokio::test]
async fn callers_on_any_thread_and_runtime_are_answered() {
    let file = &File::new();
    let lock = file.locked();
    let brittle = begun(file.writer.submit(Brittle)).await;
    let here = begun(file.writer.submit(plain("here"))).await;
    let runtime = || {
        tokio::runtime::Builder::new_current_thread()
            .build()
            .unwrap()
    };
    std::thread::scope(|scope| {
        scope.spawn(|| {
            // One runtime that nobody drives any more, one that has ended, and none at all.
            let (left, ended) = (runtime(), runtime());
            let left_behind = left.block_on(begun(file.writer.submit(plain("left"))));
            drop(ended.block_on(begun(file.writer.submit(plain("ended")))));
            drop(ended);
            let mut alone = Box::pin(file.writer.submit(plain("alone")));
            let mut context = Context::from_waker(Waker::noop());
            assert!(alone.as_mut().poll(&mut context).is_pending());
            drop(lock);
            runtime()
                .block_on(file.writer.submit(plain("last")))
                .unwrap();
            // The writer answers this one by itself.
            runtime().block_on(alone).unwrap();
            left.block_on(left_behind).unwrap();
        });
    });
    here.await.unwrap();
    let _ = brittle.await;
    assert_eq!(file.names(), ["here", "left", "ended", "alone", "last"]);
}

#[tokio::test]
async fn the_end_of_the_thread_is_told() {
    let deadly = Arc::<AtomicBool>::default();
    let panics = Arc::clone(&deadly);
    // A panic where nothing catches it.
    let file = File::outdating(move || assert!(!panics.load(Ordering::Relaxed)));
    file.writer.submit(plain("before")).await.unwrap();
    let ended = begun(file.writer.ended()).await;
    deadly.store(true, Ordering::Relaxed);
    let _ = file.writer.submit(plain("last")).await;
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
    let late = file.writer.submit(plain("after")).await;
    assert!(matches!(late, Err(Error::Closed)), "{late:?}");
    assert_eq!(file.names(), ["before"]);
}

#[tokio::test]
async fn a_wal_whose_pages_the_disk_may_have_lost_stays_for_the_next_start() {
    // What cannot be synced.
    let file = File::synced(DEADLINE, |_| std::fs::File::open("/dev/null").unwrap());
    let ended = begun(file.writer.ended()).await;
    let large = |connection: &Connection| {
        let sql = "WITH RECURSIVE row (number) AS (SELECT 1 UNION ALL SELECT number + 1 FROM row WHERE number < 5000)
            INSERT INTO storage (name, enabled) SELECT number || hex(zeroblob(1000)), 1 FROM row";
        connection.execute(sql, [])?;
        Ok(())
    };
    file.writer.submit(job("last", large, fine)).await.unwrap();
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
    file.writer.close();
    let wal = file.wal().unwrap_or_default();
    assert!(
        wal > 4096 * u64::from(WAL_PAGES.unsigned_abs()),
        "{wal} bytes"
    );
    assert_eq!(names(&file.other()).len(), 5001);
}

#[tokio::test]
async fn what_a_reader_lets_be_moved_is_synced_or_the_wal_stays() {
    // What cannot be synced.
    let file = File::synced(DEADLINE, |_| std::fs::File::open("/dev/null").unwrap());
    let ended = begun(file.writer.ended()).await;
    file.writer.submit(plain("before")).await.unwrap();
    // It holds the WAL from here on, so that the writer does not come to its end, where SQLite syncs by itself.
    let reader = file.other();
    reader.execute_batch("BEGIN").unwrap();
    let seen = names(&reader);
    file.writer.submit(plain("after")).await.unwrap();
    tokio::time::timeout(DEADLINE, ended).await.unwrap();
    file.writer.close();
    assert_eq!(names(&reader), seen);
    assert!(file.wal().is_some_and(|bytes| bytes > 0));
    assert_eq!(names(&file.other()), ["before", "after"]);
}

#[tokio::test]
async fn a_job_keeps_its_place_in_the_queue_when_its_caller_goes_away() {
    let file = File::new();
    let (running, runs) = channel();
    let (release, go) = channel();
    let gate = begun(file.writer.submit(Gate { running, go })).await;
    runs.recv_timeout(DEADLINE).unwrap();
    // The gate has one of the places.
    for _ in 1..QUEUE {
        drop(begun(file.writer.submit(Empty)).await);
    }
    assert_eq!(file.writer.places.available_permits(), 0);
    release.send(()).unwrap();
    gate.await.unwrap();
    file.writer.submit(Empty).await.unwrap();
}

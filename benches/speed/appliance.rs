//! The real binary under measurement, and what the system says about its process and its file.

use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use hyper::Method;
use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

use crate::client::Client;

/// A server process, killed at the end.
pub struct Server {
    child: Child,
    /// How to reach it.
    pub client: Client,
    /// How to reach what it tells of itself.
    admin: Option<Client>,
    /// From the start of the process to the line that says that it is ready.
    pub start_up: Duration,
}

impl Server {
    /// Starts `command`, whose ready line is a JSON object with its address under `key`, and maybe another under `admin`.
    pub fn start(command: &mut Command, key: &str, ca: &Path, token: &str) -> Self {
        let began = Instant::now();
        let mut child = command
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .unwrap();
        let mut line = String::new();
        BufReader::new(child.stdout.take().unwrap())
            .read_line(&mut line)
            .unwrap();
        let start_up = began.elapsed();
        let ready: Value = serde_json::from_str(&line).expect("a server prints its ready line");
        let client = |key| Some(Client::new(ready[key].as_str()?, ca, token));
        Self {
            child,
            client: client(key).unwrap(),
            admin: client("admin"),
            start_up,
        }
    }

    /// The changes that were committed so far, and the transactions that they took.
    pub async fn commits(&self) -> [f64; 2] {
        let admin = self.admin.as_ref().unwrap();
        let asked = (Method::GET, "/metrics".to_owned(), None);
        let answer = admin.send(&mut admin.connect().await, asked).await;
        let text = std::str::from_utf8(&answer.body).unwrap();
        ["sum", "count"].map(|what| {
            let name = format!("scimlite_writer_batch_jobs_{what} ");
            let mut values = text.lines().filter_map(|line| line.strip_prefix(&name));
            values.next().unwrap().parse().unwrap()
        })
    }

    /// The changes that each transaction had on average since `before`.
    pub async fn batch(&self, before: [f64; 2]) -> usize {
        let [jobs, commits] = self.commits().await;
        let batch = ((jobs - before[0]) / (commits - before[1])).round();
        batch.max(1.0) as usize
    }

    /// Ends the process in order.
    fn stop(&mut self) {
        let id = self.child.id().to_string();
        Command::new("kill").arg(&id).status().unwrap();
        self.child.wait().unwrap();
    }

    /// Processor time that the process has used.
    pub fn processor_time(&self) -> Duration {
        /// Ticks of `/proc` in a second: fixed on Linux.
        const TICKS: u64 = 100;
        let stat = std::fs::read_to_string(format!("/proc/{}/stat", self.child.id())).unwrap();
        let fields = stat.rsplit_once(')').unwrap().1.split_whitespace();
        let ticks: u64 = fields
            .skip(11)
            .take(2)
            .map(|ticks| ticks.parse::<u64>().unwrap())
            .sum();
        Duration::from_millis(ticks * 1000 / TICKS)
    }

    /// Resident memory of the process in MiB: now, and at the most so far.
    pub fn resident_mib(&self) -> [f64; 2] {
        let status = std::fs::read_to_string(format!("/proc/{}/status", self.child.id())).unwrap();
        ["VmRSS:", "VmHWM:"].map(|name| {
            let line = status.lines().find_map(|line| line.strip_prefix(name));
            let kib = line.unwrap().split_whitespace().next().unwrap();
            kib.parse::<f64>().unwrap() / 1024.0
        })
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// An appliance with a data directory of its own.
pub struct Appliance {
    data: tempfile::TempDir,
    /// Certificate that clients trust.
    pub ca: PathBuf,
    token: String,
}

impl Appliance {
    /// A fresh data directory with a configuration, a certificate and a token.
    pub fn init() -> Self {
        let data = tempfile::tempdir().unwrap();
        let output = command("init", data.path()).arg("--json").output().unwrap();
        let init: Value = serde_json::from_slice(&output.stdout).expect("init prints JSON");
        let text = |key: &str| init[key].as_str().unwrap().to_owned();
        Self {
            ca: text("ca_file").into(),
            token: text("secret_token"),
            data,
        }
    }

    /// The data directory.
    pub fn directory(&self) -> &Path {
        self.data.path()
    }

    /// Runs the server.
    pub fn serve(&self) -> Server {
        let mut command = command("serve", self.data.path());
        command.args(["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"]);
        Server::start(&mut command, "scim", &self.ca, &self.token)
    }

    /// Stops the server as an operator does, and runs it again.
    pub fn serve_again(&self, server: &mut Server) -> Server {
        server.stop();
        self.serve()
    }

    /// The database, to look at.
    pub fn database(&self) -> Connection {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY;
        Connection::open_with_flags(self.file(), flags).unwrap()
    }

    /// A copy of the database as it is now, in the directory that holds the database. Nobody may be writing. Page by page,
    /// so that its indexes are as full and as scattered as those that the server has.
    pub fn copy(&self) -> PathBuf {
        let copy = self.data.path().join("copy.db");
        let wal = |file: &Path| file.with_extension("db-wal");
        // As long as this reads, the WAL keeps what the server moves into the file meanwhile.
        let reading = self.database();
        reading.execute_batch("BEGIN").unwrap();
        let look =
            |connection: &Connection, sql| connection.query_row(sql, [], |_| Ok(())).unwrap();
        look(&reading, "SELECT * FROM appliance");
        for [from, to] in [[self.file(), copy.clone()], [wal(&self.file()), wal(&copy)]] {
            let _ = std::fs::remove_file(&to);
            if from.exists() {
                std::fs::copy(from, to).unwrap();
            }
        }
        drop(reading);
        let _ = std::fs::remove_file(copy.with_extension("db-shm"));
        let opened = Connection::open(&copy).unwrap();
        look(&opened, "PRAGMA wal_checkpoint(TRUNCATE)");
        copy
    }

    /// A copy of such a copy.
    pub fn copy_of(&self, copy: &Path) -> PathBuf {
        let other = self.data.path().join("other.db");
        for end in ["", "-wal", "-shm"] {
            let _ = std::fs::remove_file(format!("{}{end}", other.display()));
        }
        std::fs::copy(copy, &other).unwrap();
        other
    }

    /// Bytes of the database and its WAL.
    pub fn bytes(&self) -> u64 {
        let length = |file| std::fs::metadata(file).map_or(0, |data| data.len());
        length(self.file()) + length(self.data.path().join("scimlite.db-wal"))
    }

    fn file(&self) -> PathBuf {
        self.data.path().join("scimlite.db")
    }
}

fn command(name: &str, data: &Path) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimlite"));
    command.arg(name).arg("--data").arg(data);
    command
}

//! The real binary under test: a data directory of its own, `init`, `serve` on free ports, the command line beside it,
//! and what must hold of the file and of every answer after any test.

use std::ffi::OsStr;
use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

use crate::client::Client;

/// How long a server may take until it is ready, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);
/// How long it may take from SIGTERM to its end; idle connections must not hold it up to the drain limit of 20 s.
const STOP: Duration = Duration::from_secs(15);

/// How long a command may take.
const COMMAND: Duration = Duration::from_secs(60);

/// A command of the binary under test, with nothing of the environment but the search path.
pub fn scimlite<A: AsRef<OsStr>>(args: impl IntoIterator<Item = A>) -> Command {
    let mut command = Command::new(env!("CARGO_BIN_EXE_scimlite"));
    command
        .args(args)
        .env_clear()
        .env("PATH", std::env::var_os("PATH").unwrap_or_default())
        .stdin(Stdio::null());
    command
}

/// Runs a command to its end, which has to come.
#[track_caller]
pub fn run(mut command: Command) -> Output {
    let piped = command.stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = piped.spawn().unwrap();
    let stdout = read(child.stdout.take().unwrap());
    let stderr = read(child.stderr.take().unwrap());
    let status = wait(&mut child, COMMAND);
    let (stdout, stderr) = (stdout.join().unwrap(), stderr.join().unwrap());
    let status = status.unwrap_or_else(|| {
        let stderr = String::from_utf8_lossy(&stderr);
        panic!("still running {COMMAND:?} later: {command:?}\n{stderr}")
    });
    Output {
        status,
        stdout,
        stderr,
    }
}

fn read(mut pipe: impl Read + Send + 'static) -> JoinHandle<Vec<u8>> {
    std::thread::spawn(move || {
        let mut content = Vec::new();
        pipe.read_to_end(&mut content).unwrap();
        content
    })
}

/// How a child ended; killed, and none, if it took longer than `limit`.
fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
    let deadline = Instant::now() + limit;
    while Instant::now() < deadline {
        if let Some(status) = child.try_wait().unwrap() {
            return Some(status);
        }
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    None
}

/// The standard output of a command that has to succeed, as JSON.
#[track_caller]
pub fn json(output: &Output) -> Value {
    let stderr = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{}: {stderr}", output.status);
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        let stdout = String::from_utf8_lossy(&output.stdout);
        panic!("{error} in {stdout}\n{stderr}")
    })
}

/// A data directory after `init`, without a server.
pub struct Home {
    root: TempDir,
    /// What `init --json` printed.
    pub init: Value,
}

impl Home {
    /// A new one.
    pub fn new() -> Self {
        let root = TempDir::new().unwrap();
        let mut home = Self {
            root,
            init: Value::Null,
        };
        home.init = json(&home.cli(["init", "--json"]));
        home
    }

    /// The data directory.
    pub fn data(&self) -> PathBuf {
        self.root.path().join("data")
    }

    /// Runs a command on the data directory to its end.
    #[track_caller]
    pub fn cli<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Output {
        run(self.command(args))
    }

    /// The same of a command that has to print JSON.
    #[track_caller]
    pub fn cli_json<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Value {
        json(&self.cli(args.into_iter().chain(["--json"])))
    }

    fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = scimlite(args);
        command
            .arg("--data")
            .arg(self.data())
            .current_dir(self.root.path());
        command
    }

    /// A text that `init --json` printed.
    pub fn told(&self, key: &str) -> &str {
        self.init[key]
            .as_str()
            .unwrap_or_else(|| panic!("init prints no {key}"))
    }

    /// The certificate that clients are to trust.
    pub fn ca(&self) -> Vec<u8> {
        std::fs::read(self.root.path().join(self.told("ca_file"))).unwrap()
    }

    /// Every file of the data directory with its content, in the order of their names.
    pub fn files(&self) -> Vec<(PathBuf, Vec<u8>)> {
        let mut files = Vec::new();
        collect(&self.data(), &mut files);
        files.sort();
        files
    }

    /// The database: the one file at the top of the data directory that starts like one.
    pub fn database(&self) -> PathBuf {
        let data = self.data();
        let mut found = self.files().into_iter().filter(|(path, content)| {
            path.parent() == Some(&data) && content.starts_with(b"SQLite format 3\0")
        });
        let (path, _) = found.next().expect("a database");
        assert!(found.next().is_none(), "more than one database");
        path
    }

    /// A look into the database that cannot change it.
    pub fn db(&self) -> Connection {
        Connection::open_with_flags(self.database(), OpenFlags::SQLITE_OPEN_READ_ONLY).unwrap()
    }
}

fn collect(directory: &Path, files: &mut Vec<(PathBuf, Vec<u8>)>) {
    for entry in std::fs::read_dir(directory).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if let Ok(content) = std::fs::read(&path) {
            // A -wal or -shm may go away between the listing and the reading.
            files.push((path, content));
        }
    }
}

/// A server, killed and examined when the test is over.
pub struct TestApp {
    home: Home,
    child: Option<Child>,
    stderr: Arc<Mutex<String>>,
    violations: Arc<Mutex<Vec<String>>>,
    /// The line by which the server said that it is ready.
    pub ready: Value,
    /// A client with the provision token from `init`.
    pub client: Client,
    /// The same over HTTP/1.1.
    pub http1: Client,
}

impl TestApp {
    /// A server on a new data directory.
    pub fn start() -> Self {
        let home = Home::new();
        let violations = Arc::default();
        let (child, stderr, ready) = serve(&home);
        let (client, http1) = clients(&home, &ready, &violations);
        Self {
            home,
            child: Some(child),
            stderr,
            violations,
            ready,
            client,
            http1,
        }
    }

    /// Everything that the server has written to its standard error, over all restarts.
    pub fn stderr(&self) -> String {
        self.stderr.lock().unwrap().clone()
    }

    /// A new set of connections with the provision token.
    pub fn new_client(&self) -> Client {
        clients(&self.home, &self.ready, &self.violations).0
    }

    /// SIGTERM, and a clean end.
    #[track_caller]
    pub fn stop(&mut self) {
        self.terminate();
        let status = self.wait();
        assert_eq!(status.code(), Some(0), "{status}\n{}", self.stderr());
    }

    /// Sends SIGTERM and does not wait.
    pub fn terminate(&self) {
        let child = self.child.as_ref().expect("a running server");
        let id = child.id().to_string();
        let sent = Command::new("kill").args(["-TERM", &id]).status().unwrap();
        assert!(sent.success());
    }

    /// Waits for the end of a server that was told to stop.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let status = wait(&mut child, STOP);
        status.unwrap_or_else(|| panic!("still running {STOP:?} later"))
    }

    /// SIGKILL.
    pub fn kill(&mut self) {
        if let Some(mut child) = self.child.take() {
            child.kill().unwrap();
            child.wait().unwrap();
        }
    }

    /// Starts again after a stop or kill, on other ports.
    pub fn resume(&mut self) {
        assert!(self.child.is_none(), "still running");
        let (child, stderr, ready) = serve(&self.home);
        let past = std::mem::replace(&mut self.stderr, stderr);
        self.stderr
            .lock()
            .unwrap()
            .insert_str(0, &past.lock().unwrap());
        (self.client, self.http1) = clients(&self.home, &ready, &self.violations);
        self.child = Some(child);
        self.ready = ready;
    }

    /// A clean stop and a start.
    #[track_caller]
    pub fn restart(&mut self) {
        self.stop();
        self.resume();
    }
}

/// The home's commands and files are at hand on a server too.
impl Deref for TestApp {
    type Target = Home;

    fn deref(&self) -> &Home {
        &self.home
    }
}

impl Drop for TestApp {
    fn drop(&mut self) {
        self.kill();
        if std::thread::panicking() {
            eprintln!("the server's stderr:\n{}", self.stderr());
            return;
        }
        let stderr = self.stderr();
        for key in ["secret_token", "admin_token"] {
            assert!(!stderr.contains(self.told(key)), "{key} in the log");
        }
        sound(&self.database());
        let violations = std::mem::take(&mut *self.violations.lock().unwrap());
        assert!(violations.is_empty(), "{}", violations.join("\n"));
    }
}

/// Asserts that SQLite finds nothing wrong with a file. Opened for writing, since after a kill it has to be recovered.
#[track_caller]
pub fn sound(database: &Path) {
    let db = Connection::open(database).unwrap();
    let integrity: String = db
        .query_row("PRAGMA integrity_check", [], |row| row.get(0))
        .unwrap();
    assert_eq!(integrity, "ok");
    let mut check = db.prepare("PRAGMA foreign_key_check").unwrap();
    assert!(!check.exists([]).unwrap(), "a foreign key is broken");
}

/// Starts `serve` and waits until it is ready.
fn serve(home: &Home) -> (Child, Arc<Mutex<String>>, Value) {
    let mut child = home
        .command([
            "serve",
            "--listen",
            "127.0.0.1:0",
            "--admin-listen",
            "127.0.0.1:0",
        ])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .unwrap();
    let stderr = Arc::<Mutex<String>>::default();
    let log = Arc::clone(&stderr);
    let lines = BufReader::new(child.stderr.take().unwrap());
    std::thread::spawn(move || {
        for line in lines.split(b'\n').map_while(Result::ok) {
            let mut log = log.lock().unwrap();
            log.push_str(&String::from_utf8_lossy(&line));
            log.push('\n');
        }
    });
    let (said, ready) = mpsc::channel();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    std::thread::spawn(move || {
        let mut line = String::new();
        let _ = stdout.read_line(&mut line);
        let _ = said.send(line);
        let _ = stdout.read_to_end(&mut Vec::new());
    });
    let line = ready.recv_timeout(READY).unwrap_or_default();
    match serde_json::from_str::<Value>(&line) {
        Ok(ready) if ready["event"] == "ready" => (child, stderr, ready),
        _ => {
            child.kill().unwrap();
            let status = child.wait().unwrap();
            let log = stderr.lock().unwrap();
            panic!("no ready line but `{line}` ({status}); stderr:\n{log}")
        }
    }
}

fn clients(home: &Home, ready: &Value, violations: &Arc<Mutex<Vec<String>>>) -> (Client, Client) {
    let port = port(&ready["scim"]);
    let ca = home.ca();
    let token = home.told("secret_token");
    (
        Client::new(port, &ca, Arc::clone(violations)).with_token(token),
        Client::http1(port, &ca, Arc::clone(violations)).with_token(token),
    )
}

/// The port in a URL.
pub fn port(url: &Value) -> u16 {
    let url = reqwest::Url::parse(url.as_str().unwrap()).unwrap();
    url.port_or_known_default().unwrap()
}

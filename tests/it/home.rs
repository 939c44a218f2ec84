//! The binary's commands and the data directory that they work on, without a server.

use std::ffi::OsStr;
use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Output, Stdio};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;
use tempfile::TempDir;

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
pub fn wait(child: &mut Child, limit: Duration) -> Option<ExitStatus> {
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

    /// A command on the data directory, not yet run.
    pub fn command<'a>(&self, args: impl IntoIterator<Item = &'a str>) -> Command {
        let mut command = scimlite(args);
        command
            .arg("--data")
            .arg(self.data())
            .current_dir(self.root.path());
        command
    }

    /// Puts a line of the configuration in force that is commented out in it.
    #[track_caller]
    pub fn configure(&self, section: &str, key: &str, value: &str) {
        let path = self.data().join("scimlite.toml");
        let text = std::fs::read_to_string(&path).unwrap();
        let (before, behind) = text.split_once(&format!("[{section}]\n")).expect(section);
        let line = behind
            .lines()
            .find(|line| line.starts_with(&format!("#{key} = ")));
        let behind = behind.replacen(line.expect(key), &format!("{key} = {value}"), 1);
        std::fs::write(&path, format!("{before}[{section}]\n{behind}")).unwrap();
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

    /// The same directory with this configuration, from the next start on.
    pub fn configured(self, configuration: &str) -> Self {
        std::fs::write(self.data().join("scimlite.toml"), configuration).unwrap();
        self
    }

    /// A name beside the data directory.
    pub fn beside(&self, name: &str) -> PathBuf {
        self.root.path().join(name)
    }

    /// The database: the one file at the top of the data directory that starts like one. What is kept from
    /// before, and what is unfinished, has another ending.
    pub fn database(&self) -> PathBuf {
        let data = self.data();
        let mut found = self.files().into_iter().filter(|(path, content)| {
            path.parent() == Some(&data)
                && path.extension() == Some("db".as_ref())
                && content.starts_with(b"SQLite format 3\0")
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

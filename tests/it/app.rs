//! A running server: `serve` on free ports, stopped, killed and started again, and what must hold of its file, its log
//! and every answer after any test.

use std::io::{BufRead, BufReader, Read};
use std::ops::Deref;
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, mpsc};
use std::thread::JoinHandle;
use std::time::Duration;

use serde_json::Value;

use crate::client::Client;
use crate::db::unbroken;
use crate::home::{Home, sound, wait};

/// How long a server may take until it is ready, on a machine that is busy with other tests.
const READY: Duration = Duration::from_secs(30);
/// How long it may take from SIGTERM to its end; idle connections must not hold it up to the drain limit of 20 s.
const STOP: Duration = Duration::from_secs(15);
/// How many of the last lines of a server's stderr a failure shows.
const SHOWN: usize = 100;

/// A server, killed and examined when the test is over.
pub struct TestApp {
    home: Home,
    child: Option<Child>,
    stderr: Arc<Mutex<String>>,
    /// Reads it to its end.
    reader: Option<JoinHandle<()>>,
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
        Self::on(Home::new(), |_| {})
    }

    /// A server whose configuration has lines of the template replaced by others.
    pub fn configured(settings: &[(&str, &str)]) -> Self {
        let home = Home::new();
        let file = home.data().join("scimlite.toml");
        let mut text = std::fs::read_to_string(&file).unwrap();
        for (line, other) in settings {
            assert!(text.contains(line), "{line}");
            text = text.replace(line, other);
        }
        std::fs::write(&file, text).unwrap();
        Self::on(home, |_| {})
    }

    /// A server on `home`, whose command `prepare` may change first.
    pub fn on(home: Home, prepare: impl FnOnce(&mut Command)) -> Self {
        let violations = Arc::default();
        let (child, stderr, reader, ready) = serve(&home, prepare);
        let (client, http1) = clients(&home, &ready, &violations);
        Self {
            home,
            child: Some(child),
            stderr,
            reader,
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

    /// A client with the provision token whose connections come from this address of the loopback network.
    pub fn client_from(&self, address: [u8; 4]) -> Client {
        let violations = Arc::clone(&self.violations);
        let port = port(&self.ready["scim"]);
        Client::from_address(port, &self.home.ca(), violations, address.into())
            .with_token(self.home.told("secret_token"))
    }

    /// A new set of connections with the provision token.
    pub fn new_client(&self) -> Client {
        clients(&self.home, &self.ready, &self.violations).0
    }

    /// A client of the admin listener with the administrator's token.
    pub fn admin_client(&self) -> Client {
        let port = port(&self.ready["admin"]);
        let violations = Arc::clone(&self.violations);
        Client::new(port, &self.ca(), violations).with_token(self.told("admin_token"))
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
        self.signal("-TERM");
    }

    /// Sends a signal.
    pub fn signal(&self, signal: &str) {
        let id = self.pid().to_string();
        let sent = Command::new("kill").args([signal, &id]).status().unwrap();
        assert!(sent.success());
    }

    /// The process.
    pub fn pid(&self) -> u32 {
        self.child.as_ref().expect("a running server").id()
    }

    /// Waits for the end of a server that was told to stop.
    #[track_caller]
    pub fn wait(&mut self) -> ExitStatus {
        let mut child = self.child.take().expect("a running server");
        let status = wait(&mut child, STOP);
        if let Some(reader) = self.reader.take() {
            reader.join().unwrap();
        }
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
        self.resume_with(|_| {});
    }

    /// The same with a command that `prepare` may change first.
    pub fn resume_with(&mut self, prepare: impl FnOnce(&mut Command)) {
        assert!(self.child.is_none(), "still running");
        let (child, stderr, reader, ready) = serve(&self.home, prepare);
        let past = std::mem::replace(&mut self.stderr, stderr);
        self.reader = reader;
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
        let violations = std::mem::take(&mut *self.violations.lock().unwrap()).join("\n");
        if std::thread::panicking() {
            let stderr = self.stderr();
            let lines: Vec<_> = stderr.lines().collect();
            let last = lines.len().saturating_sub(SHOWN);
            eprintln!("the server's stderr:\n{}", lines[last..].join("\n"));
            eprintln!("what no answer may be:\n{violations}");
            return;
        }
        let stderr = self.stderr();
        for key in ["secret_token", "admin_token"] {
            assert!(!stderr.contains(self.told(key)), "{key} in the log");
        }
        sound(&self.database());
        unbroken(&self.database());
        assert!(violations.is_empty(), "{violations}");
    }
}

type Started = (Child, Arc<Mutex<String>>, Option<JoinHandle<()>>, Value);

/// Starts `serve` and waits until it is ready. Its stderr is read, unless `prepare` gives it another.
fn serve(home: &Home, prepare: impl FnOnce(&mut Command)) -> Started {
    let mut command = home.command([
        "serve",
        "--listen",
        "127.0.0.1:0",
        "--admin-listen",
        "127.0.0.1:0",
    ]);
    command.stdout(Stdio::piped()).stderr(Stdio::piped());
    prepare(&mut command);
    let mut child = command.spawn().unwrap();
    let stderr = Arc::<Mutex<String>>::default();
    let log = Arc::clone(&stderr);
    let reader = child.stderr.take().map(|stderr| {
        std::thread::spawn(move || {
            let lines = BufReader::new(stderr).split(b'\n');
            for line in lines.map_while(Result::ok) {
                let mut log = log.lock().unwrap();
                log.push_str(&String::from_utf8_lossy(&line));
                log.push('\n');
            }
        })
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
        Ok(ready) if ready["event"] == "ready" => (child, stderr, reader, ready),
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

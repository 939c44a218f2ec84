//! As systemd runs the server: what it is told, and sockets that it opened.

use std::io::{BufRead, BufReader};
use std::net::TcpListener;
use std::os::fd::OwnedFd;
use std::os::linux::net::SocketAddrExt;
use std::os::unix::net::{SocketAddr, UnixDatagram};
use std::process::{Command, Stdio};
use std::time::Duration;

use tempfile::TempDir;

use crate::app::TestApp;
use crate::home::{Home, run, wait};
use crate::tls::{connect, status};

/// How long a message may take, on a machine that is busy with other tests.
const TOLD: Duration = Duration::from_secs(30);

/// The socket on which systemd listens.
struct Manager {
    directory: TempDir,
    socket: UnixDatagram,
}

impl Manager {
    fn new() -> Self {
        let directory = TempDir::new().unwrap();
        let socket = UnixDatagram::bind(directory.path().join("notify")).unwrap();
        Self { directory, socket }
    }

    /// Has `command` tell this manager.
    fn watch(&self, command: &mut Command) {
        command.env("NOTIFY_SOCKET", self.directory.path().join("notify"));
    }

    /// The next message, within `limit`.
    fn within(&self, limit: Duration) -> Option<String> {
        self.socket.set_read_timeout(Some(limit)).unwrap();
        let mut message = [0; 4096];
        let length = self.socket.recv(&mut message).ok()?;
        Some(String::from_utf8(message[..length].to_vec()).unwrap())
    }

    /// The next message that is no sign of life.
    #[track_caller]
    fn told(&self) -> String {
        loop {
            let message = self.within(TOLD).expect("a message");
            if message != "WATCHDOG=1\n" {
                return message;
            }
        }
    }
}

#[test]
fn it_is_told_of_the_start_a_reload_and_the_stop() {
    let manager = Manager::new();
    let mut app = TestApp::on(Home::new(), |command| manager.watch(command));
    let scim = app.ready["scim"].as_str().unwrap().to_owned();
    let ready = format!("READY=1\nSTATUS=serving {scim}\n");
    assert_eq!(manager.told(), ready);
    app.signal("-HUP");
    let reloading = manager.told();
    let usec = reloading
        .strip_prefix("RELOADING=1\nMONOTONIC_USEC=")
        .unwrap_or_else(|| panic!("{reloading}"));
    let (usec, _) = usec.split_once('\n').unwrap();
    assert!(usec.parse::<u64>().unwrap() > 0);
    assert_eq!(manager.told(), ready);
    app.terminate();
    assert!(manager.told().starts_with("STOPPING=1\n"));
    assert_eq!(app.wait().code(), Some(0));
}

#[test]
fn a_socket_without_a_file_is_told_too() {
    let name = format!("scimlite-test-{}", std::process::id());
    let address = SocketAddr::from_abstract_name(&name).unwrap();
    let manager = Manager {
        directory: TempDir::new().unwrap(),
        socket: UnixDatagram::bind_addr(&address).unwrap(),
    };
    let app = TestApp::on(Home::new(), |command| {
        command.env("NOTIFY_SOCKET", format!("@{name}"));
    });
    let scim = app.ready["scim"].as_str().unwrap();
    assert_eq!(manager.told(), format!("READY=1\nSTATUS=serving {scim}\n"));
}

/// Whether a process has a handler for the signal of this number.
fn handles(pid: u32, signal: u32) -> bool {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let caught = status.lines().find_map(|line| line.strip_prefix("SigCgt:"));
    let caught = u64::from_str_radix(caught.unwrap().trim(), 16).unwrap();
    caught & 1 << (signal - 1) != 0
}

#[test]
fn a_reload_while_it_starts_is_no_end() {
    let home = Home::new();
    // The row of the start has to wait for this lock.
    let other = rusqlite::Connection::open(home.database()).unwrap();
    other
        .execute_batch("PRAGMA journal_mode = WAL; BEGIN IMMEDIATE")
        .unwrap();
    let ports = ["--listen", "127.0.0.1:0", "--admin-listen", "127.0.0.1:0"];
    let mut child = home
        .command(["serve"].into_iter().chain(ports))
        .stdout(Stdio::piped())
        .stderr(Stdio::null())
        .spawn()
        .unwrap();
    let (id, hangup) = (child.id().to_string(), 1);
    let deadline = std::time::Instant::now() + Duration::from_secs(8);
    while !handles(child.id(), hangup) && std::time::Instant::now() < deadline {
        std::thread::sleep(Duration::from_millis(1));
    }
    Command::new("kill").args(["-HUP", &id]).status().unwrap();
    other.execute_batch("ROLLBACK").unwrap();
    let mut ready = String::new();
    let mut stdout = BufReader::new(child.stdout.take().unwrap());
    stdout.read_line(&mut ready).unwrap();
    assert!(ready.contains("ready"), "{:?}", child.wait());
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    assert_eq!(wait(&mut child, TOLD).unwrap().code(), Some(0));
}

#[test]
fn a_sign_of_life_needs_the_writer() {
    let manager = Manager::new();
    let app = TestApp::on(Home::new(), |command| {
        manager.watch(command);
        command.env("WATCHDOG_USEC", "300000");
    });
    let manager = &manager;
    let beats = |limit| {
        std::iter::from_fn(move || manager.within(limit))
            .filter(|message| message == "WATCHDOG=1\n")
    };
    assert_eq!(beats(TOLD).take(3).count(), 3);
    // Another process has the write lock: the writer waits for it.
    let other = rusqlite::Connection::open(app.database()).unwrap();
    other.busy_timeout(TOLD).unwrap();
    other.execute_batch("BEGIN IMMEDIATE").unwrap();
    // What was on its way comes; then nothing, for ten times the pause between two.
    let many = 100;
    assert!(beats(Duration::from_secs(1)).take(many).count() < many);
    other.execute_batch("ROLLBACK").unwrap();
    assert_eq!(beats(TOLD).take(1).count(), 1);
}

#[test]
fn without_a_watchdog_there_are_no_signs_of_life() {
    let manager = Manager::new();
    let app = TestApp::on(Home::new(), |command| {
        manager.watch(command);
        // Meant for another process.
        command
            .env("WATCHDOG_USEC", "100000")
            .env("WATCHDOG_PID", "1");
    });
    assert!(manager.told().starts_with("READY=1\n"));
    app.signal("-HUP");
    for said in ["RELOADING=1\n", "READY=1\n"] {
        let message = manager.within(TOLD).unwrap();
        assert!(message.starts_with(said), "{message}");
    }
}

/// `serve` by way of a shell that hands over its standard input and error as the sockets 3 and 4, called `names`. The log
/// goes to a file `log` in the data directory.
fn handed(home: &Home, sockets: [&TcpListener; 2], names: &str) -> Command {
    let script = r#"exec 3<&0 4<&2 0</dev/null 2>"$DATA/log"
        export LISTEN_PID=$$; exec "$BINARY" serve --data "$DATA""#;
    let [first, second] =
        sockets.map(|socket| Stdio::from(OwnedFd::from(socket.try_clone().unwrap())));
    let mut command = Command::new("sh");
    command
        .args(["-c", script])
        .env("BINARY", env!("CARGO_BIN_EXE_scimlite"))
        .env("DATA", home.data())
        .env("LISTEN_FDS", "2")
        .env("LISTEN_FDNAMES", names)
        .stdin(first)
        .stdout(Stdio::piped())
        .stderr(second);
    command
}

fn sockets() -> [TcpListener; 2] {
    [(), ()].map(|()| TcpListener::bind("127.0.0.1:0").unwrap())
}

#[tokio::test]
async fn sockets_that_systemd_opened_are_served() {
    let home = Home::new();
    let [admin, scim] = sockets();
    let mut child = handed(&home, [&admin, &scim], "admin:scim")
        .spawn()
        .unwrap();
    let port = |socket: &TcpListener| socket.local_addr().unwrap().port();
    let ca = String::from_utf8(home.ca()).unwrap();
    // No waiting for a ready line: the sockets accept already, and the server comes to it.
    for (socket, path, expected) in [
        (&admin, "/healthz", "http/1.1 200 ok"),
        (&scim, "/scim/Users", "http/1.1 401 unauthorized"),
    ] {
        let mut stream = connect(port(socket), &[&ca], None).await.unwrap();
        assert_eq!(status(&mut stream, path).await.unwrap(), expected);
    }
    let id = child.id().to_string();
    Command::new("kill").args(["-TERM", &id]).status().unwrap();
    let ended = wait(&mut child, TOLD).unwrap();
    let log = std::fs::read_to_string(home.data().join("log")).unwrap();
    assert_eq!(ended.code(), Some(0), "{log}");
}

#[test]
fn sockets_of_other_names_are_refused() {
    for names in ["scim:web", "scim:scim", "scim"] {
        let home = Home::new();
        let [one, other] = sockets();
        let mut child = handed(&home, [&one, &other], names).spawn().unwrap();
        let ended = wait(&mut child, TOLD).unwrap();
        let log = std::fs::read_to_string(home.data().join("log")).unwrap();
        assert_eq!(ended.code(), Some(1), "{log}");
        assert!(log.contains("systemd passed"), "{log}");
        assert_eq!(log.lines().count(), 1, "{log}");
    }
}

/// Sockets for another process are nobody's here.
#[test]
fn sockets_for_another_process_are_left_alone() {
    let home = Home::new();
    let mut command = home.command(["check", "--print"]);
    command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    assert!(run(command).status.success());
    let app = TestApp::on(home, |command| {
        command.env("LISTEN_FDS", "1").env("LISTEN_PID", "1");
    });
    drop(app);
}

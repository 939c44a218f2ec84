//! The README followed by an operator: every command in it that needs no machine of its own, from top to bottom, on one
//! appliance. `readme` says which those are.

use std::path::PathBuf;
use std::process::Command;
use std::time::{Duration, Instant};

use serde_json::json;
use tempfile::TempDir;

use crate::app::{TestApp, port};
use crate::home::run;
use crate::readme::{Block, SERVE, parse};

/// How long the server may take to present a new certificate.
const CERTIFICATE: Duration = Duration::from_secs(30);

/// An appliance and a directory in which the README is followed.
struct Reader {
    app: TestApp,
    work: TempDir,
}

impl Reader {
    /// With the one person whom the README takes for granted.
    async fn new() -> Self {
        let app = TestApp::start();
        let anna = json!({"userName": "anna@example.test", "displayName": "Anna Lee"});
        app.client.create(anna).await.expect(201);
        let work = TempDir::new().unwrap();
        std::os::unix::fs::symlink(env!("CARGO_BIN_EXE_scimlite"), work.path().join("scimlite"))
            .unwrap();
        Self { app, work }
    }

    /// A program with the shell's environment: the binary in the search path, the appliance where it is looked for.
    fn command(&self, program: &str) -> Command {
        let system = std::env::var("PATH").unwrap();
        let mut command = Command::new(program);
        command
            .env("PATH", format!("{}:{system}", self.work.path().display()))
            .env("SCIMLITE_DATA", self.app.data())
            .env("CURL_CA_BUNDLE", self.app.data().join("ca.crt"))
            .current_dir(self.work.path());
        command
    }

    /// Text of the README with what it leaves open, and what is elsewhere in this test, filled in.
    fn filled_in(&self, text: &str) -> String {
        let of = |listener| port(&self.app.ready[listener]);
        let token = match text.contains("$ADMIN") {
            true => "admin_token",
            false => "secret_token",
        };
        let soon = jiff::Timestamp::now() + jiff::SignedDuration::from_hours(100 * 24);
        let soon = soon.to_string();
        let mut text = text
            .replace(
                "https://127.0.0.1:8444",
                &format!("https://127.0.0.1:{}", of("admin")),
            )
            .replace(
                "https://scim.example.test:8443",
                &format!("https://localhost:{}", of("scim")),
            )
            .replace("/var/lib/scimlite", self.app.data().to_str().unwrap())
            .replace("2027-06-30", soon.split('T').next().unwrap())
            .replace("slt_…", self.app.told(token));
        for (open, fresh) in [
            ("ACCOUNT-ID", Self::account as fn(&Self) -> String),
            ("TOKEN-ID", Self::token),
            ("REQUEST-ID", Self::request),
        ] {
            if text.contains(open) {
                text = text.replace(open, &fresh(self));
            }
        }
        text
    }

    fn account(&self) -> String {
        let count = self
            .app
            .cli_json(["user", "list"])
            .as_array()
            .unwrap()
            .len();
        let made = self
            .app
            .cli_json(["user", "add", &format!("reader{count}@example.test")]);
        made["id"].as_str().unwrap().to_owned()
    }

    fn token(&self) -> String {
        let made = self
            .app
            .cli_json(["token", "create", "reader", "--scope", "read"]);
        made["id"].as_str().unwrap().to_owned()
    }

    fn request(&self) -> String {
        let rows = self
            .app
            .cli_json(["audit", "list", "--action", "user.create"]);
        rows[0]["request_id"].as_str().unwrap().to_owned()
    }

    /// Waits until the server presents the certificate that its clients trust: it may have been replaced just now.
    fn settle(&self) {
        let deadline = Instant::now() + CERTIFICATE;
        let url = format!("https://localhost:{}/scim", port(&self.app.ready["scim"]));
        loop {
            let mut curl = self.command("curl");
            curl.args(["--silent", "--output", "/dev/null", &url]);
            if run(curl).status.success() {
                return;
            }
            assert!(
                Instant::now() < deadline,
                "the certificate is not the new one"
            );
            std::thread::sleep(Duration::from_millis(50));
        }
    }

    /// Runs a block, each command of which has to succeed.
    fn follow(&self, block: &Block) {
        let lines = block.lines.iter().filter(|line| **line != SERVE);
        let text: String = lines.flat_map(|line| [*line, "\n"]).collect();
        let script = self.filled_in(&text);
        if script.contains("curl") {
            self.settle();
        }
        let mut shell = self.command("sh");
        shell.args(["-euc", &script]);
        let output = run(shell);
        let (stdout, stderr) = (
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr),
        );
        assert!(output.status.success(), "{script}\n{stdout}\n{stderr}");
    }
}

#[tokio::test]
async fn every_command_works() {
    let reader = Reader::new().await;
    let (blocks, _) = parse();
    let here: Vec<_> = blocks.iter().filter(|block| block.runs_here()).collect();
    let served = here
        .iter()
        .flat_map(|block| block.commands())
        .filter(|command| *command == SERVE);
    assert_eq!(served.count(), 1, "the README starts the server once");
    here.into_iter().for_each(|block| reader.follow(block));
    let written = ["audit.csv", "people-of-today.csv"].map(|name| reader.work.path().join(name));
    let empty = |file: &PathBuf| std::fs::read_to_string(file).unwrap().lines().count() < 2;
    assert!(!written.iter().any(empty));
    let emails = reader.app.cli_json(["user", "list"]);
    assert!(
        emails.to_string().contains("clara@example.test"),
        "{emails}"
    );
}

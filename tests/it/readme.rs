//! The blocks of the README, and who runs the commands in them, so that none is without a test.
//!
//! What needs a machine of its own (`sh host`) packaging/test-readme runs, what needs the sources (`SOURCES`) .ci/run does;
//! all the rest `follow` runs. A command without a home fails.

use std::collections::BTreeSet;
use std::path::Path;

use crate::home::{run, scimlite};

/// The README.
pub const README: &str = include_str!("../../README.md");
/// The command that the server of `follow` runs by, but for the ports.
pub const SERVE: &str = "scimlite serve --data /var/lib/scimlite";
/// Commands in the tree of the sources, and the file that has them run.
const SOURCES: &[(&str, &str)] = &[
    ("cargo run --release -- demo", "tests/demo/run"),
    ("cargo test", ".ci/run"),
    ("packaging/build all", ".ci/run"),
    ("packaging/build-static.sh", ".ci/run"),
    // A part of `cargo test`, by default with fewer rounds and another seed each time.
    ("cargo test --test survival", "tests/survival/main.rs"),
    (
        "SCIMLITE_SURVIVAL_ROUNDS=1000 SCIMLITE_SOAK_SECONDS=600 cargo test --release --test survival",
        "tests/survival/main.rs",
    ),
    (
        "SCIMLITE_SURVIVAL_SEED=… cargo test --test survival kill",
        "tests/survival/main.rs",
    ),
];
/// What a block of another language than `sh` may be: files, output and patterns, nothing to type.
const NO_COMMANDS: [&str; 6] = ["", "caddy", "json", "nginx", "toml", "yaml"];
/// Programs of the host: a command of theirs has to stand in a block.
const PROGRAMS: [&str; 12] = [
    "apt",
    "caddy",
    "certbot",
    "chmod",
    "chown",
    "curl",
    "dnf",
    "install",
    "journalctl",
    "nginx",
    "runuser",
    "systemctl",
];

/// A fenced block: the words behind its fence, and its lines.
pub struct Block {
    language: &'static str,
    homes: Vec<&'static str>,
    /// Without the fence and its indentation.
    pub lines: Vec<&'static str>,
}

/// The blocks of the README, and its text outside of them.
pub fn parse() -> (Vec<Block>, String) {
    let (mut blocks, mut prose) = (Vec::new(), String::new());
    let mut lines = README.lines();
    while let Some(line) = lines.next() {
        let Some(fence) = line.trim_start().strip_prefix("```") else {
            prose.push_str(line);
            prose.push('\n');
            continue;
        };
        let indent = line.len() - line.trim_start().len();
        let mut words = fence.split_whitespace();
        let within = lines.by_ref().take_while(|line| line.trim() != "```");
        blocks.push(Block {
            language: words.next().unwrap_or_default(),
            homes: words.collect(),
            lines: within
                .map(|line| line.get(indent..).unwrap_or_default())
                .collect(),
        });
    }
    (blocks, prose)
}

impl Block {
    /// The commands, without comments, those over several lines in their lines.
    pub fn commands(&self) -> impl Iterator<Item = &'static str> {
        let lines = self.lines.iter();
        let code = lines.map(|line| {
            line.split_once(" #")
                .map_or(*line, |(code, _)| code)
                .trim_end()
        });
        code.filter(|line| !line.is_empty() && !line.starts_with('#'))
    }

    /// Whether all of it needs the sources; it is an error if a part does.
    fn needs_sources(&self) -> bool {
        let known = |command: &str| SOURCES.iter().any(|(source, _)| *source == command);
        let (needs, others): (Vec<_>, Vec<_>) = self.commands().partition(|command| known(command));
        assert!(
            needs.is_empty() || others.is_empty(),
            "{others:?} has no home"
        );
        !needs.is_empty()
    }

    /// Whether `follow` runs it.
    pub fn runs_here(&self) -> bool {
        self.language == "sh" && self.homes.is_empty() && !self.needs_sources()
    }
}

#[test]
fn every_block_has_a_home() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR"));
    let (blocks, _) = parse();
    for block in &blocks {
        let (language, lines) = (block.language, &block.lines);
        match block.homes.as_slice() {
            _ if language != "sh" => {
                assert!(NO_COMMANDS.contains(&language), "{language}: {lines:?}")
            }
            [] => {}
            // The second word is the machine that it needs; packaging/test-readme fails if it knows none of that name.
            ["host"] | ["host", _] => assert!(!block.needs_sources(), "{lines:?}"),
            homes => panic!("{homes:?} is no home: {lines:?}"),
        }
    }
    let runs: BTreeSet<_> = blocks
        .iter()
        .filter(|block| block.language == "sh")
        .flat_map(Block::commands)
        .collect();
    for (command, file) in SOURCES {
        assert!(
            runs.contains(command),
            "{command} is not in the README any more"
        );
        let text = std::fs::read_to_string(root.join(file)).unwrap();
        let ci = std::fs::read_to_string(root.join(".ci/run")).unwrap();
        assert!(
            text.contains(command) || file.starts_with("tests/survival"),
            "{file} does not run {command}"
        );
        assert!(
            *file == ".ci/run" || file.starts_with("tests/survival") || ci.contains(file),
            "{file}"
        );
    }
}

/// What the text says of commands is true: they are there, with these options. Commands to type stand in blocks.
#[test]
fn what_the_text_says_of_commands_holds() {
    let (_, prose) = parse();
    let spans = prose.split('`').skip(1).step_by(2);
    let spans: BTreeSet<String> = spans
        .map(|span| span.split_whitespace().collect::<Vec<_>>().join(" "))
        .collect();
    let mut seen = 0;
    for span in &spans {
        let mut words = span.split(' ');
        let first = words.next().unwrap_or_default();
        assert!(
            !PROGRAMS.contains(&first) || span == first,
            "`{span}` has no home: put it into a block"
        );
        if first != "scimlite" || span == first {
            continue;
        }
        seen += 1;
        let named: Vec<_> = words
            .clone()
            .take_while(|word| word.chars().all(|it| it.is_ascii_lowercase() || it == '-'))
            .collect();
        let named: Vec<_> = named
            .into_iter()
            .take_while(|word| !word.starts_with("--"))
            .filter(|word| *word != "help")
            .collect();
        let output = run(scimlite(named.iter().chain(&["--help"])));
        let help = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "`{span}`");
        for option in words.filter(|word| word.trim_start_matches('[').starts_with("--")) {
            assert!(
                help.contains(option.trim_matches(['[', ']'])),
                "`{span}`: {option}"
            );
        }
    }
    assert!(seen > 5, "{spans:?}");
}

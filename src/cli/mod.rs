//! The command line: one file per command. A command parses its arguments, calls one function below and prints.

mod audit;
mod backup;
mod cert;
mod check;
mod demo;
mod files;
mod impact;
mod import;
mod init;
mod lock;
mod log;
mod manual;
mod mapping;
mod outlet;
mod process;
mod profile;
mod progress;
mod reclassify;
mod report;
mod restore;
mod rows;
mod serve;
mod status;
mod storage;
mod token;
mod user;

use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::Arc;

use anyhow::Context;
use clap::{Args, Parser, Subcommand};

use crate::config::{Config, Overrides};
use crate::directory::audit::Origin;
use crate::directory::view::View;
use crate::directory::{Directory, system_clock};
use crate::store::Store;

/// A SCIM 2.0 provisioning appliance: Entra ID provisions people into one SQLite file.
#[derive(Parser)]
#[command(version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Make the configuration, the database, a trial certificate and the first tokens
    Init(init::Arguments),
    /// Serve SCIM and the admin listener in the foreground
    Serve(serve::Arguments),
    /// Make a trial appliance in ./scimlite-data, serve it and print what to paste into Entra
    Demo,
    /// Validate configuration, certificate, database, permissions, space and ports
    Check(check::Arguments),
    /// Make a certificate for trials
    Cert(cert::Arguments),
    /// Show at a glance how the appliance stands
    Status(status::Arguments),
    /// Make, list, rotate and revoke tokens
    Token(token::Arguments),
    /// The rules that give new accounts their profile and storage
    Mapping(mapping::Arguments),
    /// Bundles of settings for accounts
    Profile(profile::Arguments),
    /// Places for the data of accounts
    Storage(storage::Arguments),
    /// List, add, edit, reclassify, preserve, activate, hold, delete and export accounts
    User(user::Arguments),
    /// Report on the accounts
    Report(report::Arguments),
    /// What was done, by whom and why: list, export, verify and prune it
    Audit(audit::Arguments),
    /// Copy the database to a file, verified, also while the server runs
    Backup(backup::Arguments),
    /// Put a backup in the place of the database; the server must not run
    Restore(restore::Arguments),
    /// Print completions for a shell
    Completions(manual::Completions),
    /// Write the man pages into a directory
    Man(manual::Man),
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// Directory with the configuration, the database and the certificate
    #[arg(
        long,
        global = true,
        value_name = "DIR",
        env = "SCIMLITE_DATA",
        default_value = "/var/lib/scimlite"
    )]
    data: PathBuf,
    /// Print JSON for scripts
    #[arg(long, global = true)]
    json: bool,
}

/// Runs the program: 0 is done, 1 is refused or failed with one line on stderr, 2 is wrong usage with nothing done.
pub fn run() -> ExitCode {
    let arguments = match Arguments::try_parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // A closed stderr leaves nobody to tell.
            let _ = error.print();
            return ExitCode::from(u8::try_from(error.exit_code()).unwrap_or(2));
        }
    };
    let done = match arguments.command {
        Command::Init(arguments) => init::run(&arguments),
        Command::Serve(arguments) => serve::run(&arguments),
        Command::Demo => demo::run(),
        Command::Check(arguments) => check::run(&arguments),
        Command::Status(arguments) => status::run(&arguments),
        Command::Cert(arguments) => cert::run(&arguments),
        Command::Token(arguments) => token::run(&arguments),
        Command::Mapping(arguments) => mapping::run(arguments),
        Command::Profile(arguments) => profile::run(arguments),
        Command::Storage(arguments) => storage::run(arguments),
        Command::User(arguments) => user::run(arguments),
        Command::Report(arguments) => report::run(arguments),
        Command::Audit(arguments) => audit::run(arguments),
        Command::Backup(arguments) => backup::run(&arguments),
        Command::Restore(arguments) => restore::run(&arguments),
        Command::Completions(arguments) => manual::completions(&arguments),
        Command::Man(arguments) => manual::man(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            complain(&format!("{error:#}"));
            ExitCode::FAILURE
        }
    }
}

/// Writes a line to stderr. A closed one leaves nobody to tell.
fn complain(line: &str) {
    let _ = writeln!(std::io::stderr(), "scimlite: {line}");
}

/// The configuration in a data directory that `init` has made.
fn configuration(common: &Common) -> anyhow::Result<Config> {
    Ok(Config::load(&common.data, &Overrides::default())?)
}

/// The directory over the database that `config` names, for one command beside a server.
fn open_directory(config: &Config) -> anyhow::Result<Directory> {
    let store = Store::open(&config.database())?;
    let view = View {
        schemas: Arc::new(config.schemas()),
        base: config.tenant_url(config.listen.scim.port()).into(),
    };
    Ok(Directory::new(
        store,
        view,
        system_clock(),
        config.directory.clone(),
    )?)
}

/// Runs a command's one function to its end.
fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(future))
}

/// Has `act` done by the directory of `common`, as the administrator who runs the command.
fn with_directory<T>(
    common: &Common,
    act: impl AsyncFnOnce(&Directory, &Origin) -> anyhow::Result<T>,
) -> anyhow::Result<T> {
    let directory = open_directory(&configuration(common)?)?;
    block_on(async {
        let done = act(&directory, &Origin::command_line()).await;
        directory.close().await;
        done
    })?
}

/// A table for people: columns as wide as they have to be, the last one as it is.
fn table<const N: usize>(header: [&str; N], rows: Vec<[String; N]>) -> String {
    let header = header.map(str::to_owned);
    let width = |column: usize| {
        let cells = rows.iter().chain([&header]);
        let widths = cells
            .filter_map(|row| row.get(column))
            .map(|cell| cell.chars().count());
        widths.max().unwrap_or_default()
    };
    let widths: Vec<_> = (0..N).map(width).collect();
    let line = |row: &[String; N]| {
        // By hand: what formats takes no width above 65,535.
        let cells = row.iter().zip(&widths).map(|(cell, width)| {
            let blanks = width.saturating_sub(cell.chars().count());
            format!("{cell}{}", " ".repeat(blanks))
        });
        cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
    };
    let lines: Vec<_> = std::iter::once(&header).chain(&rows).map(line).collect();
    lines.join("\n")
}

/// A value of a table where there may be none.
fn or_dash<T: Display>(value: Option<T>) -> String {
    value.map_or_else(|| "-".to_owned(), |value| value.to_string())
}

/// Writes `text` and a line's end to stdout. A closed or full stdout is an error like any other: what was to be shown
/// may be shown only once.
fn print(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

//! The command line: one file per command. A command parses its arguments, calls one function below and prints.

mod demo;
mod init;
mod rows;
mod serve;
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
    /// Make, list, rotate and revoke tokens
    Token(token::Arguments),
    /// List the accounts, and preserve, activate, hold and delete them
    User(user::Arguments),
}

/// What every command takes.
#[derive(Args)]
struct Common {
    /// Directory with the configuration, the database and the certificate
    #[arg(
        long,
        value_name = "DIR",
        env = "SCIMLITE_DATA",
        default_value = "/var/lib/scimlite"
    )]
    data: PathBuf,
    /// Print JSON for scripts
    #[arg(long)]
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
        Command::Token(arguments) => token::run(&arguments),
        Command::User(arguments) => user::run(&arguments),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            // A closed stderr leaves nobody to tell.
            let _ = writeln!(std::io::stderr(), "scimlite: {error:#}");
            ExitCode::FAILURE
        }
    }
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
    Ok(Directory::new(store, view, system_clock())?)
}

/// Runs a command's one function to its end.
fn block_on<T>(future: impl Future<Output = T>) -> anyhow::Result<T> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .context("cannot start the runtime")?;
    Ok(runtime.block_on(future))
}

/// Writes `text` and a line's end to stdout. A closed or full stdout is an error like any other: what was to be shown
/// may be shown only once.
fn print(text: impl Display) -> anyhow::Result<()> {
    let mut stdout = std::io::stdout().lock();
    writeln!(stdout, "{text}")
        .and_then(|()| stdout.flush())
        .context("cannot write to stdout")
}

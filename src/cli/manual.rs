//! `scimlite completions` and `scimlite man`: what the command line says of itself, for a shell and for `man`.

use std::path::PathBuf;

use anyhow::Context;
use clap::{Args, CommandFactory};
use clap_complete::Shell;

use super::print;

/// Arguments of `completions`.
#[derive(Args)]
pub struct Completions {
    /// The shell
    shell: Shell,
}

/// Arguments of `man`.
#[derive(Args)]
pub struct Man {
    /// Directory of the pages; it is made if it is not there
    directory: PathBuf,
}

/// Prints the completions.
pub fn completions(arguments: &Completions) -> anyhow::Result<()> {
    let mut script = Vec::new();
    let mut command = super::Arguments::command();
    clap_complete::generate(arguments.shell, &mut command, "scimlite", &mut script);
    print(String::from_utf8_lossy(&script).trim_end())
}

/// Writes a page for the program and one for each command.
pub fn man(arguments: &Man) -> anyhow::Result<()> {
    let directory = &arguments.directory;
    std::fs::create_dir_all(directory)
        .and_then(|()| clap_mangen::generate_to(super::Arguments::command(), directory))
        .with_context(|| format!("cannot write the man pages into {}", directory.display()))
}

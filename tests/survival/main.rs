//! Survival: the real binary under concurrent writes is killed, loses power, runs out of disk, meets failing writes and a
//! clock that steps. Afterwards all that was acknowledged is there, nothing is by half, and the audit tells exactly how
//! the data came to be (design §3.13).
//!
//! What is random follows from a seed, which a failure prints; README says how to run it again, and for longer.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr,
    dead_code
)]

#[path = "../it/app.rs"]
mod app;
mod chance;
#[path = "../it/client.rs"]
mod client;
mod clock;
#[path = "../it/db.rs"]
mod db;
mod failures;
#[path = "../it/home.rs"]
mod home;
mod kills;
mod power;
mod shim;
mod soak;
mod traffic;
mod truth;
mod wal;

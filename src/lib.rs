//! Scimlite: a SCIM 2.0 provisioning appliance in one binary and one SQLite file.
//!
//! The layers, from the top: [`cli`] → [`server`] → [`directory`] → [`store`], and [`scim`] below all of them. A
//! layer uses those below it and never one above. ARCHITECTURE.md has the map and the invariants.
#![cfg_attr(
    test,
    allow(
        clippy::unwrap_used,
        clippy::expect_used,
        clippy::panic,
        clippy::indexing_slicing,
        clippy::print_stdout,
        clippy::print_stderr
    )
)]

pub mod cli;
pub mod config;
pub mod directory;
pub mod scim;
pub mod server;
pub mod store;

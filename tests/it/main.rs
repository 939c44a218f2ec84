//! Integration tests: they drive the real binary over real TLS, on free ports, each on a data directory of its own.
//! They know the contract (commands, requests, answers, the table `audit`) and nothing of the code behind it.
#![allow(
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stderr
)]

mod admin;
mod admin_lists;
mod admin_matrix;
mod admin_parity;
mod app;
mod audit;
mod backup;
mod bounds;
mod bulk;
mod certificate;
mod check;
mod cli;
mod client;
mod connect;
mod corpus;
mod coverage;
mod crowd;
mod custom;
mod db;
mod deletion;
mod denied;
mod durable;
mod feed;
mod follow;
mod groups;
mod guessing;
mod history;
mod home;
mod ids;
mod impact;
mod import;
mod life;
mod limits;
mod list;
mod listing;
mod log;
mod mapping;
mod metrics;
mod network;
mod paging;
mod pattern;
mod places;
mod proof;
mod raw;
mod readme;
mod restore;
mod rules;
mod seats;
mod settings;
mod snapshots;
mod standing;
mod status;
mod syslog;
mod systemd;
mod terminal;
mod tls;
mod token;
mod troubleshooting;
mod upgrade;
mod user;

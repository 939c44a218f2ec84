//! How fast the appliance is, beside what this machine could do at best: a closed loop over TLS against the real binary,
//! one table, each operation beside its limit taken in the same run.
//!
//! `cargo bench -- [scale|fair|refusals] [--connections 1,64] [--seconds N] [--people N] [--only TEXT] [--floor]`
#![allow(
    missing_docs,
    clippy::unwrap_used,
    clippy::expect_used,
    clippy::panic,
    clippy::indexing_slicing,
    clippy::print_stdout
)]

mod appliance;
mod client;
mod fairness;
mod limits;
mod operations;
mod people;
mod refusals;

use std::path::PathBuf;
use std::time::Duration;

use clap::Parser;

#[derive(Parser)]
struct Options {
    /// `scale`: the same with 10,000, 100,000 and 1,000,000 people; `fair`: single requests beside large ones without end;
    /// `refusals`: kinds of refused authentication beside one another
    what: Option<String>,
    /// Connections, each with one request at a time
    #[arg(long, value_delimiter = ',', default_value = "1,64")]
    connections: Vec<usize>,
    /// Seconds for which each operation runs
    #[arg(long, default_value_t = 3)]
    seconds: u64,
    /// People who are there at the start; with `scale` a list
    #[arg(long, value_delimiter = ',')]
    people: Vec<usize>,
    /// Only the operations whose names hold this text
    #[arg(long)]
    only: Option<String>,
    /// Measure single changes also beside a server that has no rules and only writes
    #[arg(long)]
    floor: bool,
    /// Serve nothing but bytes, with the certificate of this data directory
    #[arg(long, hide = true)]
    bare: Option<PathBuf>,
    /// Write what its appliance wrote to this copy of its database, too: a change for each request
    #[arg(long, hide = true, requires = "bare")]
    writes: Option<PathBuf>,
    /// Given by `cargo bench`
    #[arg(long, hide = true)]
    bench: bool,
}

#[tokio::main]
async fn main() {
    let options = Options::parse();
    if let Some(data) = &options.bare {
        return limits::bare_server(data, options.writes.as_deref()).await;
    }
    if options.what.as_deref() == Some("refusals") {
        return refusals::measure().await;
    }
    let people = match (options.what.as_deref(), options.people.as_slice()) {
        (None | Some("fair"), []) => vec![10_000],
        (Some("scale"), []) => vec![10_000, 100_000, 1_000_000],
        (None | Some("scale" | "fair"), people) => people.to_vec(),
        (Some(other), _) => {
            return println!("there is no {other}; leave it out, or say scale, fair or refusals");
        }
    };
    let mut run = operations::Run::start(
        options.connections,
        Duration::from_secs(options.seconds),
        options.only,
        options.floor,
    )
    .await;
    for people in people {
        run.fill(people).await;
        match options.what.as_deref() {
            Some("fair") => run.fairness().await,
            _ => run.all().await,
        }
    }
}

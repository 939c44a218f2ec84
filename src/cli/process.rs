//! What a server asks of the system for its process: to live on where a file may not grow, memory in small pieces, and
//! descriptors enough.

use rustix::process::{Resource, Rlimit, Signal, getrlimit, setrlimit};
use rustix::thread::disable_transparent_huge_pages;
use tokio::signal::unix::{SignalKind, signal};

use crate::server::limits::Limits;

/// Descriptors that are no client's: the database for each that reads, four for each thread of connections, the log, the
/// snapshot that is being made.
const OWN: usize = 192;

/// Has a write behind the largest size of a file (`LimitFSIZE=`) fail like one on a full disk. By itself the signal ends
/// the process.
pub fn survive_full_files() -> std::io::Result<()> {
    // The handler stays when the stream is gone.
    signal(SignalKind::from_raw(Signal::XFSZ.as_raw())).map(drop)
}

/// Has the system give no huge pages, which some do unasked: two megabytes for the first byte that is used. A system that
/// does not know of them gives none.
pub fn refuse_huge_pages() {
    let _ = disable_transparent_huge_pages(true);
}

/// Takes all descriptors that the system allows, and `limits` with no more connections than they are enough for: each
/// listener has half, so that one that is crowded leaves the other its own.
pub fn within_descriptors(mut limits: Limits) -> Limits {
    let Rlimit { current, maximum } = getrlimit(Resource::Nofile);
    let raised = Rlimit {
        current: maximum,
        maximum,
    };
    // Where that is refused, as many as before.
    let allowed = match setrlimit(Resource::Nofile, raised) {
        Ok(()) => maximum,
        Err(_) => current,
    };
    let connections = connections(limits.connections, allowed);
    if connections < limits.connections {
        tracing::warn!(
            descriptors = allowed,
            connections,
            "the limit of open files (LimitNOFILE=, ulimit -n) allows fewer connections than are configured"
        );
    }
    limits.connections = connections;
    limits
}

/// How many of the `wanted` connections each listener may have, where the process may open `allowed` files.
fn connections(wanted: usize, allowed: Option<u64>) -> usize {
    let allowed = allowed.and_then(|allowed| usize::try_from(allowed).ok());
    allowed.map_or(wanted, |allowed| {
        let own = OWN.min(allowed / 2);
        wanted.min(allowed.saturating_sub(own) / 2).max(1)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_more_connections_than_descriptors() {
        for (allowed, expected) in [
            (None, 1024),
            (Some(524_288), 1024),
            (Some(1024), 416),
            (Some(40), 10),
            (Some(0), 1),
        ] {
            assert_eq!(connections(1024, allowed), expected, "{allowed:?}");
        }
    }
}

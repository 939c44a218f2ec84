//! How much and how long a client may: every limit of the network side in one place, each with its reason.
//!
//! The listener and the connection enforce the times, the header size and the numbers. The sizes of a body and of a URL
//! are for the routes, which know which request is a bulk one and how an error is worded.

use std::time::Duration;

/// Limits of the listener, of a connection and of a request. The configuration can change each of them.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Limits {
    /// Longest TLS handshake.
    pub handshake: Duration,
    /// Longest silence between the handshake and the first byte of the first request.
    pub first_byte: Duration,
    /// Longest time from the first byte of a request to the end of its header.
    pub header: Duration,
    /// Longest time in which a request's body must arrive, and in which a response must leave once the client stops
    /// reading.
    pub request: Duration,
    /// Longest silence between two requests on one connection.
    pub idle: Duration,
    /// Longest wait for the requests in flight when the server stops.
    pub drain: Duration,
    /// Largest request header in bytes, the request line included.
    pub header_size: usize,
    /// Longest URL in bytes, without scheme and host.
    pub url_size: usize,
    /// Largest request body in bytes.
    pub body_size: usize,
    /// Largest body of a bulk request in bytes.
    pub bulk_size: usize,
    /// Connections at one time; further ones wait until a place is free, which those without a token give up first.
    pub connections: usize,
    /// Concurrent HTTP/2 streams on one connection.
    pub streams: u32,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            // Two round trips; ten seconds forgive a lost packet or two on a bad line.
            handshake: Duration::from_secs(10),
            // Provisioning clients connect because they have something to send.
            first_byte: Duration::from_secs(10),
            // A header is one or two packets.
            header: Duration::from_secs(10),
            // A body of the largest size arrives in this time at 140 KB/s.
            request: Duration::from_secs(30),
            // Entra reuses its connections within a cycle: a new handshake costs more than a kept socket.
            idle: Duration::from_secs(120),
            // Well inside the 90 s after which systemd kills, and longer than any write waits for the disk.
            drain: Duration::from_secs(20),
            // Room for a large bearer token and a proxy's additions.
            header_size: 32 * 1024,
            // A filter of the largest depth that a person could have meant fits several times.
            url_size: 8 * 1024,
            // A user is about 2 KB; a PATCH that adds thousands of members to a group fits.
            body_size: 1024 * 1024,
            // A thousand operations of 4 KB.
            bulk_size: 4 * 1024 * 1024,
            // Measured: 35 KB each at rest, 90 KB once large bodies have passed. Under 100 MB in all.
            connections: 1024,
            // Entra uses a handful; the writer commits batches of up to this many anyway.
            streams: 64,
        }
    }
}

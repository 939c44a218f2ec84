//! Reads a request's body into memory under a limit and a deadline.

use std::time::Duration;

use bytes::Bytes;
use http_body_util::{BodyExt, LengthLimitError, Limited};
use hyper::body::{Body, Incoming};

/// Why a body could not be read.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum BodyError {
    /// It is, or says it is, larger than the limit: 413.
    #[error("the request body is too large")]
    TooLarge,
    /// It did not arrive in time: 408.
    #[error("the request body did not arrive in time")]
    Slow,
    /// The connection ended, or the body's framing is wrong: 400, if anybody is left to read it.
    #[error("the request body ended early")]
    Broken,
}

/// The whole body, of at most `limit` bytes, if it arrives within `deadline`. A body that announces more
/// (`Content-Length`) is refused unread, and a client that waits for `100 Continue` then never sends it.
pub async fn read(
    incoming: Incoming,
    limit: usize,
    deadline: Duration,
) -> Result<Bytes, BodyError> {
    let announced = incoming.size_hint().lower();
    if usize::try_from(announced).map_or(true, |announced| announced > limit) {
        return Err(BodyError::TooLarge);
    }
    let body = Limited::new(incoming, limit).collect();
    match tokio::time::timeout(deadline, body).await {
        Ok(Ok(body)) => Ok(body.to_bytes()),
        Ok(Err(error)) if error.is::<LengthLimitError>() => Err(BodyError::TooLarge),
        Ok(Err(_)) => Err(BodyError::Broken),
        Err(_) => Err(BodyError::Slow),
    }
}

//! The body of an answer as hyper takes it: part by part, so that it shows how far the client has come. The parts share
//! the one allocation, which goes when the last of them is sent.

use std::convert::Infallible;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use hyper::body::{Body, Frame, SizeHint};

use super::activity::Unsent;

/// Bytes that hyper gets at one time. It asks for more when there is room: in the window of the stream, in its buffer.
const PART: usize = 64 * 1024;

/// What is left of a body.
pub(super) struct Sending {
    rest: Bytes,
    unsent: Unsent,
}

impl Sending {
    /// `body`, which reports to `unsent`.
    pub(super) fn new(body: Bytes, unsent: Unsent) -> Self {
        Self { rest: body, unsent }
    }
}

impl Body for Sending {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        _: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.rest.is_empty() {
            return Poll::Ready(None);
        }
        let size = self.rest.len().min(PART);
        let part = self.rest.split_to(size);
        self.unsent.took(size);
        Poll::Ready(Some(Ok(Frame::data(part))))
    }

    fn is_end_stream(&self) -> bool {
        self.rest.is_empty()
    }

    fn size_hint(&self) -> SizeHint {
        SizeHint::with_exact(u64::try_from(self.rest.len()).unwrap_or(u64::MAX))
    }
}

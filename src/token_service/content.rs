//! [`Content`]: the content of a request, and whether it was read to its end.

use std::{
    fmt,
    pin::Pin,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Buf;
use http::{Version, header::EXPECT, request::Parts};
use http_body::{Body, Frame, SizeHint};
use http_body_util::BodyExt;
use tokio::time::timeout;

/// How much of the content that an endpoint has no use for is read, so that the connection can be kept.
/// Go's HTTP server reads as much.
const DRAINED_BYTES: u64 = 256 * 1024;

/// How long that may take. A client that sends its content without delay needs far less.
const DRAINED_WITHIN: Duration = Duration::from_secs(2);

/// The body of a request. All its errors are alike, so that nothing is asked of their type.
pub(super) struct Content<'a, B> {
    body: Pin<&'a mut B>,
    progress: Progress,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Progress {
    Untouched,
    Begun,
    Ended,
    /// The body failed, or did not come in time. Nothing more is read of it.
    GivenUp,
}

impl<'a, B: Body> Content<'a, B> {
    pub(super) fn new(body: Pin<&'a mut B>) -> Self {
        let progress = match body.is_end_stream() {
            true => Progress::Ended,
            false => Progress::Untouched,
        };
        Self { body, progress }
    }

    /// Says that it is not worth while to wait for the rest.
    pub(super) fn give_up(&mut self) {
        if self.progress != Progress::Ended {
            self.progress = Progress::GivenUp;
        }
    }

    /// Reads what is left over HTTP/1, up to a limit, and returns whether everything was read. What is not
    /// read stands in the way of the next request on the connection (RFC 9112 §9.3).
    pub(super) async fn drain(&mut self, request: &Parts) -> bool {
        let wanted = match self.progress {
            Progress::Ended => return true,
            Progress::GivenUp => false,
            Progress::Begun => true,
            // A client that asks first is told the response instead (RFC 9110 §10.1.1). To read would
            // be to ask for content that nobody wants.
            Progress::Untouched => !request.headers.contains_key(EXPECT),
        };
        if !wanted || request.version > Version::HTTP_11 || self.size_hint().lower() > DRAINED_BYTES
        {
            return false;
        }
        timeout(DRAINED_WITHIN, self.read_to_end()).await == Ok(true)
    }

    async fn read_to_end(&mut self) -> bool {
        let mut rest = DRAINED_BYTES;
        loop {
            let read = match self.frame().await {
                None => return true,
                Some(Err(Failed)) => return false,
                Some(Ok(frame)) => frame.data_ref().map_or(0, Buf::remaining),
            };
            // A frame without data counts too, so that there is an end of them.
            match u64::try_from(read.max(1)).map(|read| rest.checked_sub(read)) {
                Ok(Some(still)) => rest = still,
                _ => return false,
            }
        }
    }
}

impl<B: Body> Body for Content<'_, B> {
    type Data = B::Data;
    type Error = Failed;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<B::Data>, Failed>>> {
        let polled = self.body.as_mut().poll_frame(cx);
        self.progress = match &polled {
            Poll::Ready(None) => Progress::Ended,
            Poll::Ready(Some(Err(_))) => Progress::GivenUp,
            _ => Progress::Begun,
        };
        polled.map_err(|_| Failed)
    }

    fn is_end_stream(&self) -> bool {
        self.progress == Progress::Ended
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

/// The body failed.
#[derive(Debug)]
pub(super) struct Failed;

impl fmt::Display for Failed {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the body failed")
    }
}

impl std::error::Error for Failed {}

//! Request body with a deadline: a slow client must not hold a connection and a handler.

use std::{
    io,
    pin::Pin,
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Instant, Sleep};

/// Maximum time for a body.
pub const TOTAL: Duration = Duration::from_secs(30);
/// Time before the rate of a body is checked.
const GRACE: Duration = Duration::from_secs(5);
/// Minimum average rate after the grace time, in bytes per second.
pub const MIN_RATE: u64 = 1024;

/// Body of a request. It fails with [`io::ErrorKind::TimedOut`] if it arrives too slowly.
#[derive(Debug)]
pub struct TimedBody {
    inner: Incoming,
    received: u64,
    /// Time of the first read, and the time at which the rate is too low. Set when the body is not available immediately.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl TimedBody {
    /// Wraps a body with the deadline.
    pub fn new(inner: Incoming) -> Self {
        Self {
            inner,
            received: 0,
            wait: None,
        }
    }
}

/// Returns the time that `received` bytes may take while more are missing.
fn allowed(received: u64) -> Duration {
    TOTAL.min(GRACE + Duration::from_secs(received / MIN_RATE))
}

impl Body for TimedBody {
    type Data = Bytes;
    type Error = io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, io::Error>>> {
        let this = &mut *self;
        if let Poll::Ready(frame) = Pin::new(&mut this.inner).poll_frame(context) {
            if let Some(Ok(frame)) = &frame
                && let Some(data) = frame.data_ref()
            {
                this.received += data.len() as u64;
                if let Some((began, sleep)) = &mut this.wait {
                    sleep.as_mut().reset(*began + allowed(this.received));
                }
            }
            return Poll::Ready(frame.map(|frame| frame.map_err(io::Error::other)));
        }
        let received = this.received;
        let (_, sleep) = this.wait.get_or_insert_with(|| {
            let began = Instant::now();
            let deadline = began + allowed(received);
            (began, Box::pin(tokio::time::sleep_until(deadline)))
        });
        ready!(sleep.as_mut().poll(context));
        Poll::Ready(Some(Err(io::ErrorKind::TimedOut.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn body_time_depends_on_the_rate_up_to_the_total() {
        assert_eq!(allowed(0), GRACE);
        assert_eq!(allowed(MIN_RATE * 10), GRACE + Duration::from_secs(10));
        assert_eq!(allowed(1 << 20), TOTAL);
    }
}

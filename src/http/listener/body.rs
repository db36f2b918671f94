//! Request body with a deadline: a slow client must not hold a connection and a handler.
//!
//! A request may be answered before its body was read, for example with 401 or 413. The rest of the body then decides whether the connection can carry
//! another request.

use std::{
    io,
    pin::Pin,
    sync::{Arc, Mutex, MutexGuard, PoisonError},
    task::{Context, Poll, ready},
    time::Duration,
};

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::{
    HeaderMap,
    body::{Body, Frame, Incoming, SizeHint},
    header,
};
use tokio::time::{Instant, Sleep};

/// Maximum time for a body.
pub const TOTAL: Duration = Duration::from_secs(30);
/// Time before the rate of a body is checked.
const GRACE: Duration = Duration::from_secs(5);
/// Minimum average rate after the grace time, in bytes per second.
pub const MIN_RATE: u64 = 1024;

/// Maximum size of an unread rest of a body that is read after the response is known, in bytes. Reading it is cheaper than a new connection.
const MAX_REST: u64 = 16 * 1024;
/// Maximum time for that rest: it was usually sent together with the head.
const REST_TIMEOUT: Duration = Duration::from_millis(100);

/// Body of a request. It fails with [`io::ErrorKind::TimedOut`] if it arrives too slowly.
#[derive(Debug)]
pub struct TimedBody {
    inner: Arc<Mutex<Incoming>>,
    received: u64,
    /// Time of the first read, and the time at which the rate is too low. Set when the body is not available immediately.
    wait: Option<(Instant, Pin<Box<Sleep>>)>,
}

impl TimedBody {
    /// Wraps the body of a request with these headers with the deadline. The [`Rest`] is the part that the service leaves unread.
    pub fn new(headers: &HeaderMap, inner: Incoming) -> (Self, Rest) {
        let inner = Arc::new(Mutex::new(inner));
        let rest = Rest {
            inner: Arc::clone(&inner),
            is_awaited: headers.contains_key(header::EXPECT),
        };
        let body = Self {
            inner,
            received: 0,
            wait: None,
        };
        (body, rest)
    }
}

/// The part of a request's body that the service has not read.
#[derive(Debug)]
pub struct Rest {
    inner: Arc<Mutex<Incoming>>,
    /// The client sends the body only after the service asks for it with `100 Continue`.
    is_awaited: bool,
}

impl Rest {
    /// Reads a small rest that has arrived already. Returns false if more is left: the connection then cannot carry another request, and the
    /// response has to say so, or the client would send its next request on a connection that is being closed.
    pub async fn read(self) -> bool {
        let (is_read, size) = {
            let inner = lock(&self.inner);
            (inner.is_end_stream(), inner.size_hint().upper())
        };
        if is_read {
            return true;
        }
        if self.is_awaited || size.is_none_or(|size| size > MAX_REST) {
            return false;
        }
        let Some(inner) = Arc::into_inner(self.inner) else {
            return false;
        };
        let mut rest = inner.into_inner().unwrap_or_else(PoisonError::into_inner);
        let reading = async {
            while let Some(Ok(_)) = rest.frame().await {}
            rest.is_end_stream()
        };
        tokio::time::timeout(REST_TIMEOUT, reading)
            .await
            .unwrap_or(false)
    }
}

/// A panic of a handler leaves the body as it is.
fn lock(inner: &Mutex<Incoming>) -> MutexGuard<'_, Incoming> {
    inner.lock().unwrap_or_else(PoisonError::into_inner)
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
        let polled = Pin::new(&mut *lock(&this.inner)).poll_frame(context);
        if let Poll::Ready(frame) = polled {
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
        lock(&self.inner).is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        lock(&self.inner).size_hint()
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

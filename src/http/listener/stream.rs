//! Connection of a client under hyper: time limits for heads and responses, replacement of hyper's own errors, and an orderly close.

use std::{
    io,
    pin::Pin,
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
    task::{Context, Poll, ready},
    time::Duration,
};

use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::refusal;
use crate::config::Origins;

/// Maximum time for the head of a request, from its first byte; for the first request from the start of the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum time between two requests of a connection. It is longer than the timeout of proxies (nginx: 60 s), so that the proxy closes the connection
/// first and no request meets a connection that is being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// Maximum time for which a client may read nothing of a response.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// Time for which remaining input of the client is read after the last response. If a connection is dropped with unread input, the kernel resets it,
/// and the client may lose the response.
const LINGER: Duration = Duration::from_secs(2);

/// True while a request of the connection is in progress.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Marks the connection as busy until the guard, which the response holds, is dropped.
    pub fn begin(&self) -> BusyGuard {
        self.0.store(true, Ordering::Relaxed);
        BusyGuard(self.clone())
    }
}

/// Guard that marks a connection as busy while a request is in progress.
#[derive(Debug)]
pub struct BusyGuard(Busy);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// State of the wait for the next input.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Awaited {
    /// Waits for the first byte of a request.
    Request,
    /// Waits for the rest of the head of a request.
    Head,
    /// No wait: a request is in progress.
    Nothing,
}

/// Connection of one client.
#[derive(Debug)]
pub struct ClientStream {
    tcp: TcpStream,
    busy: Busy,
    origins: Arc<Origins>,
    awaited: Awaited,
    /// Deadline of the current wait.
    patience: Pin<Box<Sleep>>,
    /// Deadline of a blocked write; `None` while no write waits.
    stall: Option<Pin<Box<Sleep>>>,
    /// Origin of the page that asks, if the head has one: a response of the listener itself must name it too.
    origin: Vec<u8>,
    /// Unsent part of a response of the listener itself.
    refusal: Vec<u8>,
    /// Deadline for reading remaining input after the last response.
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    /// Wraps a connection that was just accepted.
    pub fn new(tcp: TcpStream, busy: Busy, origins: Arc<Origins>) -> Self {
        Self {
            tcp,
            busy,
            origins,
            awaited: Awaited::Head,
            patience: Box::pin(tokio::time::sleep(HEAD_TIMEOUT)),
            stall: None,
            origin: Vec::new(),
            refusal: Vec::new(),
            linger: None,
        }
    }

    /// Returns the connection, for another protocol.
    pub fn into_inner(self) -> TcpStream {
        self.tcp
    }

    fn wait_for(&mut self, awaited: Awaited, patience: Duration) {
        self.awaited = awaited;
        self.patience.as_mut().reset(Instant::now() + patience);
    }

    /// Processes part of a head: the time limit of the head starts with its first byte.
    fn on_head(&mut self, part: &[u8]) {
        if self.awaited != Awaited::Head {
            self.wait_for(Awaited::Head, HEAD_TIMEOUT);
            self.origin.clear();
        }
        if let Some(origin) = refusal::origin_in(part) {
            self.origin.clear();
            self.origin.extend_from_slice(origin);
        }
    }

    /// Ends the wait for a head: with an error response, unless no byte of a head has arrived.
    fn refuse_slow_head(&mut self) -> io::Error {
        if self.awaited == Awaited::Head {
            let answer = refusal::head_timeout(&self.origins, &self.origin);
            // The send buffer of the kernel has room, as nothing else was written; hyper writes nothing after the error.
            let _ = self.tcp.try_write(&answer);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// Fails if the client reads nothing for too long.
    fn poll_stalled<T>(
        &mut self,
        context: &mut Context<'_>,
        written: Poll<io::Result<T>>,
    ) -> Poll<io::Result<T>> {
        if written.is_ready() {
            self.stall = None;
            return written;
        }
        let stall = self
            .stall
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(STALL_TIMEOUT)));
        ready!(stall.as_mut().poll(context));
        Poll::Ready(Err(io::ErrorKind::TimedOut.into()))
    }

    /// Returns true if hyper writes an error response of its own, which is then replaced.
    fn replaces(&mut self, written: &[u8]) -> bool {
        if self.busy.0.load(Ordering::Relaxed) {
            return false;
        }
        let answer = refusal::in_place_of(written, &self.origins, &self.origin);
        self.refusal = answer.unwrap_or_default();
        !self.refusal.is_empty()
    }

    fn poll_refusal(&mut self, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        while !self.refusal.is_empty() {
            let written = Pin::new(&mut self.tcp).poll_write(context, &self.refusal);
            let count = ready!(self.poll_stalled(context, written))?;
            self.refusal.drain(..count);
        }
        Poll::Ready(Ok(()))
    }
}

impl AsyncRead for ClientStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        let this = &mut *self;
        let before = buffer.filled().len();
        let read = Pin::new(&mut this.tcp).poll_read(context, buffer);
        if this.busy.0.load(Ordering::Relaxed) {
            this.awaited = Awaited::Nothing;
            return read;
        }
        if read.is_ready() {
            this.on_head(&buffer.filled()[before..]);
            return read;
        }
        if this.awaited == Awaited::Nothing {
            this.wait_for(Awaited::Request, IDLE_TIMEOUT);
        }
        ready!(this.patience.as_mut().poll(context));
        Poll::Ready(Err(this.refuse_slow_head()))
    }
}

impl AsyncWrite for ClientStream {
    fn poll_write(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if this.replaces(bytes) {
            return Poll::Ready(Ok(bytes.len()));
        }
        let written = Pin::new(&mut this.tcp).poll_write(context, bytes);
        this.poll_stalled(context, written)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[io::IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        let this = &mut *self;
        if let [whole] = slices
            && this.replaces(whole)
        {
            return Poll::Ready(Ok(whole.len()));
        }
        let written = Pin::new(&mut this.tcp).poll_write_vectored(context, slices);
        this.poll_stalled(context, written)
    }

    fn is_write_vectored(&self) -> bool {
        self.tcp.is_write_vectored()
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        ready!(self.poll_refusal(context))?;
        Pin::new(&mut self.tcp).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        let this = &mut *self;
        ready!(this.poll_refusal(context))?;
        if this.linger.is_none() {
            ready!(Pin::new(&mut this.tcp).poll_shutdown(context))?;
        }
        let linger = this
            .linger
            .get_or_insert_with(|| Box::pin(tokio::time::sleep(LINGER)));
        let mut dropped = [0; 4096];
        loop {
            let mut buffer = ReadBuf::new(&mut dropped);
            match Pin::new(&mut this.tcp).poll_read(context, &mut buffer) {
                Poll::Ready(Ok(())) if !buffer.filled().is_empty() => {
                    // The limit also applies to a client that keeps writing.
                    if linger.as_mut().poll(context).is_ready() {
                        return Poll::Ready(Ok(()));
                    }
                }
                Poll::Ready(_) => return Poll::Ready(Ok(())),
                Poll::Pending => return linger.as_mut().poll(context).map(Ok),
            }
        }
    }
}

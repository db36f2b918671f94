//! A client's connection under hyper: the time limits for heads and answers, the errors that hyper writes itself, and an end in order.

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

use hyper::StatusCode;
use tokio::{
    io::{AsyncRead, AsyncWrite, ReadBuf},
    net::TcpStream,
    time::{Instant, Sleep},
};

use super::refusal;
use crate::config::Origins;

/// How long a client may take for the head of a request, from its first byte; of the first request, from the beginning of the connection.
const HEAD_TIMEOUT: Duration = Duration::from_secs(10);
/// How long a connection may stay open between two requests. Longer than proxies keep one (nginx: 60 s), so that it is they who close it, and no request
/// meets a connection that is just being closed.
const IDLE_TIMEOUT: Duration = Duration::from_secs(75);
/// How long a client may take nothing of an answer.
const STALL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long is read at the end what the client still sends. If unread bytes are there when a connection is dropped, the kernel resets it, and the client may
/// lose the answer.
const LINGER: Duration = Duration::from_secs(2);

/// Whether a request is being answered on a connection.
#[derive(Debug, Clone, Default)]
pub struct Busy(Arc<AtomicBool>);

impl Busy {
    /// Says that a request has arrived. The answer to it drops the guard.
    pub fn begin(&self) -> BusyGuard {
        self.0.store(true, Ordering::Relaxed);
        BusyGuard(self.clone())
    }
}

/// Lives as long as a request is being answered.
#[derive(Debug)]
pub struct BusyGuard(Busy);

impl Drop for BusyGuard {
    fn drop(&mut self) {
        self.0.0.store(false, Ordering::Relaxed);
    }
}

/// What is being waited for between two requests.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Awaited {
    /// The first byte of a request.
    Request,
    /// The rest of a request's head.
    Head,
    /// Nothing: a request is being answered.
    Nothing,
}

/// The connection of one client.
#[derive(Debug)]
pub struct ClientStream {
    tcp: TcpStream,
    busy: Busy,
    origins: Arc<Origins>,
    awaited: Awaited,
    /// Until when it is waited for.
    patience: Pin<Box<Sleep>>,
    /// Until when a write may wait, while one does.
    stall: Option<Pin<Box<Sleep>>>,
    /// The page that asks, if the head names one: an answer of the listener itself must name it too.
    origin: Vec<u8>,
    /// The rest of an answer of the listener itself.
    refusal: Vec<u8>,
    /// Until when is read what the client still sends, after the last answer.
    linger: Option<Pin<Box<Sleep>>>,
}

impl ClientStream {
    /// A connection that has just been accepted.
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

    /// The connection, for another protocol.
    pub fn into_inner(self) -> TcpStream {
        self.tcp
    }

    fn wait_for(&mut self, awaited: Awaited, patience: Duration) {
        self.awaited = awaited;
        self.patience.as_mut().reset(Instant::now() + patience);
    }

    /// Looks at part of a head: from its first byte on the whole head has its time.
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

    /// Ends the wait for a head: with an answer, unless nothing of one has come.
    fn refuse_slow_head(&mut self) -> io::Error {
        if self.awaited == Awaited::Head {
            let answer = refusal::answer(
                StatusCode::REQUEST_TIMEOUT,
                "REQUEST_TIMEOUT",
                refusal::HEAD_TIMEOUT_MESSAGE,
                &self.origins,
                &self.origin,
            );
            // The kernel has room for it, as nothing else was written; hyper writes nothing more after the error.
            let _ = self.tcp.try_write(&answer);
        }
        io::ErrorKind::TimedOut.into()
    }

    /// Fails if the client takes nothing for too long.
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

    /// Whether hyper writes an answer of its own; then ours is written instead.
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
                    // Also a client that goes on writing without a pause is left in the end.
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

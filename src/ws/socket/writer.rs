//! The write half of a socket: its flusher and its own task write to the kernel here, whole frames at a time and without waiting.
//!
//! Bytes for which the kernel has no room are kept here, and the socket's own task writes them later: a client that does not read delays nobody but itself.
//! This module knows neither commands nor rooms.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use parking_lot::Mutex;
use socket2::SockRef;
use tokio::{
    io::{AsyncRead, AsyncReadExt, AsyncWrite, ReadBuf},
    net::{
        TcpStream,
        tcp::{OwnedReadHalf, OwnedWriteHalf},
    },
    sync::Notify,
};
use tokio_tungstenite::tungstenite::protocol::frame::{
    FrameHeader,
    coding::{Data, OpCode},
};

use super::Socket;
use crate::ws::{delivery::DeliveryState, push::Outgoing, resume::cursor::Seal};

/// Maximum capacity of the frame buffer that a flusher keeps between two sockets, in bytes.
const MAX_KEPT: usize = 256 * 1024;

/// Writes frames to one client.
#[derive(Debug)]
pub struct SocketWriter {
    stream: OwnedWriteHalf,
    state: Mutex<State>,
    /// Notified when bytes had to be kept here, and by the socket when it ends.
    pub alert: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// Bytes for which the kernel had no room: the end of a frame, and the frames after it.
    rest: Vec<u8>,
    /// Turns queued items into frames; without it nothing is pushed.
    ///
    /// Absent before the initial frames are sent and after the socket's end.
    feed: Option<DeliveryState>,
    is_broken: bool,
}

/// Buffers that are reused for every socket that is written to.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    batch: Vec<Outgoing>,
    /// One frame's text.
    text: String,
    frames: Vec<u8>,
}

impl SocketWriter {
    /// Starts pushing the frames that `feed` makes of the queue.
    pub fn begin(&self, feed: DeliveryState) {
        self.state.lock().feed = Some(feed);
    }

    /// Stops pushing.
    pub fn end(&self) {
        self.state.lock().feed = None;
    }

    /// Writes the queue of `socket` as far as the kernel has room; without room nothing is taken from it.
    pub fn flush(&self, socket: &Socket, seal: &Seal, scratch: &mut WriteBuffer) {
        let mut state = self.state.lock();
        let State {
            rest,
            feed: Some(feed),
            is_broken,
        } = &mut *state
        else {
            return;
        };
        let mut has_more = true;
        while has_more && rest.is_empty() && !*is_broken {
            has_more = socket.take(&mut scratch.batch);
            scratch.frames.clear();
            for outgoing in scratch.batch.drain(..) {
                if feed.write_frame(&mut scratch.text, seal, socket, &outgoing) {
                    append_text(&mut scratch.frames, &scratch.text);
                }
            }
            *is_broken = !self.put(rest, &scratch.frames);
        }
        if scratch.frames.capacity() > MAX_KEPT {
            scratch.frames = Vec::new();
            scratch.text = String::new();
        }
    }

    /// Writes `bytes` behind those kept before, and keeps the rest; false if the connection is gone.
    fn put(&self, rest: &mut Vec<u8>, mut bytes: &[u8]) -> bool {
        if rest.is_empty() {
            while !bytes.is_empty() {
                match self.stream.try_write(bytes) {
                    Ok(count) => bytes = &bytes[count..],
                    Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                    Err(error) if error.kind() == io::ErrorKind::WouldBlock => break,
                    Err(_) => {
                        self.alert.notify_one();
                        return false;
                    }
                }
            }
        }
        if !bytes.is_empty() {
            rest.extend_from_slice(bytes);
            self.alert.notify_one();
        }
        true
    }

    /// Returns true if bytes wait here for the kernel, or the connection is broken.
    pub fn is_held_up(&self) -> bool {
        let state = self.state.lock();
        state.is_broken || !state.rest.is_empty()
    }

    /// Waits until no bytes are kept here.
    ///
    /// # Errors
    /// If the connection is gone.
    pub async fn emptied(&self) -> io::Result<()> {
        loop {
            {
                let mut state = self.state.lock();
                let bytes = std::mem::take(&mut state.rest);
                state.is_broken = state.is_broken || !self.put(&mut state.rest, &bytes);
                if state.is_broken {
                    return Err(io::ErrorKind::BrokenPipe.into());
                }
                if state.rest.is_empty() {
                    return Ok(());
                }
            }
            self.stream.writable().await?;
        }
    }
}

/// Appends `text` as a frame of a server.
fn append_text(frames: &mut Vec<u8>, text: &str) {
    let header = FrameHeader {
        opcode: OpCode::Data(Data::Text),
        ..FrameHeader::default()
    };
    header
        .format(text.len() as u64, frames)
        .expect("a vector takes everything");
    frames.extend_from_slice(text.as_bytes());
}

/// A connection for tungstenite.
///
/// It reads from the kernel, and its writes go out between the pushes, behind the kept bytes.
#[derive(Debug)]
pub struct SocketStream {
    reads: OwnedReadHalf,
    writer: Arc<SocketWriter>,
}

impl SocketStream {
    /// Returns a connection with both halves of `stream`.
    pub fn new(stream: TcpStream) -> Self {
        let (reads, writes) = stream.into_split();
        let writer = SocketWriter {
            stream: writes,
            state: Mutex::default(),
            alert: Notify::new(),
        };
        Self {
            reads,
            writer: Arc::new(writer),
        }
    }

    /// Returns the write half.
    pub fn writer(&self) -> &Arc<SocketWriter> {
        &self.writer
    }

    /// Shuts down the write side, behind everything written.
    pub fn end_writing(&self) {
        // This fails if the connection is gone, and then the client cannot be notified anyway.
        let _ = SockRef::from(self.reads.as_ref()).shutdown(Shutdown::Write);
    }

    /// Reads and drops what the client still sends, until it sends nothing for `quiet` or closes the connection.
    pub async fn drain_until_quiet(&mut self, quiet: Duration) {
        let mut dropped = [0; 4096];
        while let Ok(Ok(1..)) = tokio::time::timeout(quiet, self.reads.read(&mut dropped)).await {}
    }

    /// Reads and drops what the client still sends, until it closes the connection.
    pub async fn drain(&mut self) {
        let mut dropped = [0; 4096];
        while matches!(self.reads.read(&mut dropped).await, Ok(1..)) {}
    }
}

impl AsyncRead for SocketStream {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        Pin::new(&mut self.reads).poll_read(context, buffer)
    }
}

/// Accepts all bytes at once: the writer asks the [`SocketWriter`] afterwards whether to wait.
impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.writer.state.lock();
        state.is_broken = state.is_broken || !self.writer.put(&mut state.rest, bytes);
        Poll::Ready(if state.is_broken {
            Err(io::ErrorKind::BrokenPipe.into())
        } else {
            Ok(bytes.len())
        })
    }

    fn poll_flush(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }

    fn poll_shutdown(self: Pin<&mut Self>, _: &mut Context<'_>) -> Poll<io::Result<()>> {
        Poll::Ready(Ok(()))
    }
}

#[cfg(test)]
#[path = "tests_writer.rs"]
mod tests;

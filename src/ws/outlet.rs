//! The way out of a socket: what its flusher and its own task have for the client goes to the kernel here, whole frames at a time and without waiting.
//!
//! What the kernel has no room for stays here, and the socket's own task sees to it: a client that does not read holds up nobody but itself. Knows no
//! commands and no rooms.

use std::{
    io,
    net::Shutdown,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
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

use super::{
    cursor::Seal,
    feed::DeliveryState,
    socket::{Outgoing, Socket},
};

/// How much room for frames a flusher keeps between two sockets, in bytes.
const MAX_KEPT: usize = 256 * 1024;

/// Where to put what a client gets.
#[derive(Debug)]
pub struct SocketWriter {
    stream: OwnedWriteHalf,
    state: Mutex<State>,
    /// Told when something had to stay here, and by the socket when it ends.
    pub alert: Notify,
}

#[derive(Debug, Default)]
struct State {
    /// What the kernel had no room for: the end of a frame, and the frames after it.
    rest: Vec<u8>,
    /// Decides what of the queue is written and how. There is none before the client is greeted, and none when the socket ends: then nothing is pushed.
    feed: Option<DeliveryState>,
    is_broken: bool,
}

/// What is used again for every socket that is written to.
#[derive(Debug, Default)]
pub struct WriteBuffer {
    batch: Vec<Outgoing>,
    frames: Vec<u8>,
}

impl SocketWriter {
    /// Pushes from now on what `feed` makes of the queue.
    pub fn begin(&self, feed: DeliveryState) {
        self.state.lock().feed = Some(feed);
    }

    /// Pushes nothing any more.
    pub fn end(&self) {
        self.state.lock().feed = None;
    }

    /// Writes what waits in the queue of `socket`, as far as the kernel has room. While it has none, nothing is taken from the queue.
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
                if let Some(text) = feed.frame(seal, socket, outgoing) {
                    append_text(&mut scratch.frames, &text);
                }
            }
            *is_broken = !self.put(rest, &scratch.frames);
        }
        if scratch.frames.capacity() > MAX_KEPT {
            scratch.frames = Vec::new();
        }
    }

    /// Hands `bytes` to the kernel, behind what had no room before; what has none now is added to it. Answers false when the connection is gone.
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

    /// Whether something waits here for the kernel, or for ever.
    pub fn is_held_up(&self) -> bool {
        let state = self.state.lock();
        state.is_broken || !state.rest.is_empty()
    }

    /// Waits until nothing waits here.
    ///
    /// # Errors
    /// When the connection is gone.
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

/// Appends `text` as a frame from a server.
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

/// A connection as tungstenite has it: it reads from the kernel, and what it writes goes out between the pushes, behind what waits.
#[derive(Debug)]
pub struct SocketStream {
    reads: OwnedReadHalf,
    outlet: Arc<SocketWriter>,
}

impl SocketStream {
    /// The two ends of a connection.
    pub fn new(stream: TcpStream) -> Self {
        let (reads, writes) = stream.into_split();
        let outlet = SocketWriter {
            stream: writes,
            state: Mutex::default(),
            alert: Notify::new(),
        };
        Self {
            reads,
            outlet: Arc::new(outlet),
        }
    }

    /// Its way out.
    pub fn outlet(&self) -> &Arc<SocketWriter> {
        &self.outlet
    }

    /// Tells the client that nothing more comes, behind what was written.
    pub fn end_writing(&self) {
        // It fails if the connection is gone, and then there is nobody to tell.
        let _ = SockRef::from(self.reads.as_ref()).shutdown(Shutdown::Write);
    }

    /// Reads and drops whatever the client still sends, until it ends the connection.
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

/// Takes everything at once: whoever writes asks the outlet afterwards whether to wait.
impl AsyncWrite for SocketStream {
    fn poll_write(
        self: Pin<&mut Self>,
        _: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let mut state = self.outlet.state.lock();
        state.is_broken = state.is_broken || !self.outlet.put(&mut state.rest, bytes);
        Poll::Ready(match state.is_broken {
            true => Err(io::ErrorKind::BrokenPipe.into()),
            false => Ok(bytes.len()),
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
#[path = "tests_outlet.rs"]
mod tests;

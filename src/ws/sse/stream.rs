//! An open event stream, from its initial frames to its close event.

use std::{
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chat_sdk::Timestamp;
use hyper::body::{Body, Frame};
use metrics::{counter, gauge};
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};
use tokio_util::sync::CancellationToken;

use super::event::encode;
use crate::ws::{
    Node,
    close::CloseReason,
    commands::frame,
    delivery::DeliveryState,
    push::Outgoing,
    resume::InitialFrames,
    socket::{Socket, closing::RETURN_WITHIN},
};

/// Maximum time between two writes: proxies drop connections that are silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// Time limit of a write, after which the client counts as too slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Time limit for writing the last event.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// Minimum reconnect pause for browsers; a random part of up to [`RETURN_WITHIN`] is added.
const RETURN_AFTER: Duration = Duration::from_secs(1);

/// A registration in the hub that lasts as long as this value.
pub(super) struct Registered {
    pub(super) node: Arc<Node>,
    pub(super) socket: Arc<Socket>,
    /// Closes the connection of the client.
    pub(super) hang_up: CancellationToken,
    /// True if the stream makes its user online.
    pub(super) is_presence: bool,
}

impl Registered {
    /// Makes the user online from now on, as a socket would.
    pub(super) fn be_there(&mut self) {
        self.node.ctx.presence.connect(&self.socket.user);
        self.is_presence = true;
    }
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.node.hub.unregister(&self.socket);
        if self.is_presence {
            self.node.ctx.presence.disconnect(&self.socket.user);
        }
    }
}

/// An open stream.
pub(super) struct Stream {
    pub(super) registered: Registered,
    pub(super) chunks: mpsc::Sender<Bytes>,
    pub(super) expires_at: Instant,
}

impl Stream {
    pub(super) async fn run(mut self, greeting: Box<InitialFrames>) {
        gauge!("chat_event_streams").increment(1.0);
        let reason = match self.greet(greeting).await {
            Ok(feed) => self.follow(feed).await,
            Err(reason) => reason,
        };
        gauge!("chat_event_streams").decrement(1.0);
        if let Some(reason) = reason {
            self.part(reason).await;
        }
    }

    /// Sends missed entries, then `connected`. Reads no more from the store than the client takes.
    async fn greet(
        &self,
        mut greeting: Box<InitialFrames>,
    ) -> Result<DeliveryState, Option<CloseReason>> {
        self.write(format!("retry: {}\n\n", return_pause().as_millis()))
            .await?;
        let mut chunk = String::new();
        loop {
            let registered = &self.registered;
            let frames = tokio::select! {
                biased;
                reason = registered.socket.ended() => return Err(Some(reason)),
                frames = greeting.next(&registered.node) => frames,
            };
            let Some(frames) = frames.map_err(|_| Some(CloseReason::Restarting))? else {
                break;
            };
            for text in frames {
                encode(&text, &mut chunk);
                if chunk.len() >= 16 * 1024 {
                    self.write(std::mem::take(&mut chunk)).await?;
                }
            }
        }
        self.write(chunk).await?;
        Ok(greeting.into_feed())
    }

    /// Writes events until the stream ends. Returns the reason, unless the client disconnected.
    async fn follow(&mut self, mut feed: DeliveryState) -> Option<CloseReason> {
        let node = Arc::clone(&self.registered.node);
        let socket = Arc::clone(&self.registered.socket);
        let seal = &node.hub.seal;
        let mut batch: Vec<Outgoing> = Vec::new();
        let mut text = String::new();
        let mut next_beat = Instant::now() + HEARTBEAT.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let mut timer = std::pin::pin!(tokio::time::sleep_until(next_beat.min(self.expires_at)));
        loop {
            if let Some(reason) = socket.ending() {
                return Some(reason);
            }
            let mut chunk = String::new();
            socket.take(&mut batch);
            if !batch.is_empty() {
                for outgoing in batch.drain(..) {
                    if feed.write_frame(&mut text, seal, &*socket, &outgoing) {
                        encode(&text, &mut chunk);
                    }
                }
            } else {
                tokio::select! {
                    biased;
                    () = self.chunks.closed() => return None,
                    () = socket.alerted() => {}
                    () = timer.as_mut() => {}
                }
            }
            let now = Instant::now();
            if now >= timer.deadline() {
                if now >= self.expires_at {
                    return Some(CloseReason::Unauthenticated);
                }
                next_beat = now + HEARTBEAT;
                timer.as_mut().reset(next_beat.min(self.expires_at));
                chunk.push_str(":\n");
                // Must be read before the queue: everything delivered before this marker is in the queue or was sent.
                let watermark = node.hub.watermark();
                if socket.is_empty() {
                    // An id without data moves the browser's resume point and dispatches no event to the page.
                    chunk.push_str("id: ");
                    chunk.push_str(&feed.rest(seal, &socket.user, watermark));
                    chunk.push('\n');
                }
                chunk.push('\n');
            }
            if let Err(reason) = self.write(chunk).await {
                return reason;
            }
        }
    }

    /// Hands a chunk to the connection, waiting at most until the write timeout or the stream's end.
    async fn write(&self, chunk: String) -> Result<(), Option<CloseReason>> {
        if chunk.is_empty() {
            return Ok(());
        }
        let socket = &self.registered.socket;
        tokio::select! {
            biased;
            sent = self.chunks.send(chunk.into()) => sent.map_err(|_| None),
            reason = socket.ended() => Err(Some(reason)),
            () = tokio::time::sleep(WRITE_TIMEOUT) => Err(Some(CloseReason::TooSlow)),
        }
    }

    /// Sends the reason of the stream's end, if the client still reads.
    async fn part(self, reason: CloseReason) {
        counter!("chat_event_streams_ended_total", "code" => reason.code().to_string())
            .increment(1);
        let Self {
            registered, chunks, ..
        } = self;
        let pause = return_pause();
        let mut farewell = String::new();
        let text = match reason {
            CloseReason::Unauthenticated | CloseReason::Forbidden => {
                let (code, message) = match reason {
                    CloseReason::Forbidden => (
                        "FORBIDDEN",
                        "This client may not connect to this deployment.",
                    ),
                    _ => (
                        "UNAUTHORIZED",
                        "The token is no longer valid; connect with a new one.",
                    ),
                };
                let timestamp = Timestamp::now();
                let data = json!({ "code": code, "message": message, "timestamp": timestamp });
                frame::event("error", &data)
            }
            _ => {
                farewell = format!("retry: {}\n", pause.as_millis());
                let reason = match reason {
                    CloseReason::TooSlow => "slow",
                    _ => "restart",
                };
                let retry_after = pause.as_millis() as u64;
                let data = json!({ "reason": reason, "retryAfterMs": retry_after });
                frame::event("reconnect", &data)
            }
        };
        encode(&text, &mut farewell);
        let hang_up = registered.hang_up.clone();
        // Frees the user's slot now, whether or not the client takes the last event.
        drop(registered);
        let taken =
            async { chunks.send(farewell.into()).await.is_ok() && chunks.reserve().await.is_ok() };
        let is_taken = tokio::time::timeout(FAREWELL_TIMEOUT, taken).await == Ok(true);
        if !is_taken || reason == CloseReason::TooSlow {
            hang_up.cancel();
        }
    }
}

fn return_pause() -> Duration {
    RETURN_AFTER + RETURN_WITHIN.mul_f64(rand::random())
}

/// Body of the answer: the chunks that the stream writes.
pub(super) struct Chunks(pub(super) mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = self.0.poll_recv(context);
        chunk.map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_are_spread() {
        let pauses: std::collections::BTreeSet<Duration> =
            (0..20).map(|_| return_pause()).collect();
        assert!(pauses.len() > 1);
        assert!(pauses.iter().all(|pause| *pause >= RETURN_AFTER));
    }
}

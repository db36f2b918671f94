//! Lists entries that the stream stored before the tail began.
//!
//! The relay's second sweep needs it after a start or a loss: without it, ten minutes of events would be published again, to every durable.

use std::time::Duration;

use async_nats::jetstream::consumer::DeliverPolicy;
use time::OffsetDateTime;

use super::{
    Bus, StreamError,
    reader::{Place, PollMode, Reader, Selection},
    tail::{TailEvent, TailSink},
};

impl Bus {
    /// Passes every entry that the stream stored since `since` and still has to `sink`, headers only.
    ///
    /// # Errors
    /// If the server is unreachable; then `sink` may not have received all entries.
    pub async fn read_stream_since(
        &self,
        since: OffsetDateTime,
        sink: &dyn TailSink,
    ) -> Result<(), StreamError> {
        let selection = Selection {
            name: "relay",
            start: DeliverPolicy::ByStartTime { start_time: since },
            subject: String::new(),
            headers_only: true,
            pace: PollMode::Every(Duration::ZERO),
        };
        let (mut messages, pending) = Reader::open(self, selection).await?;
        let mut has_more = pending > 0;
        while has_more {
            let message = messages.next().await?;
            if let Some(event) = TailEvent::of(self, &message) {
                sink.on_event(&event);
            }
            has_more = Place::of(&message).is_some_and(|place| place.pending > 0);
        }
        Ok(())
    }
}

//! Recall: lists entries that the stream stored before the tail began.

use std::time::Duration;

use async_nats::jetstream::{
    self,
    consumer::{AckPolicy, DeliverPolicy, pull},
};
use time::OffsetDateTime;

use super::{
    Bus, StreamError,
    reader::{Place, PollMode, Reader},
    tail::{TailEvent, TailSink},
};

/// Time after which the server removes the consumer of an aborted recall.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

impl Bus {
    /// Passes every entry that the stream stored since `since` and still has to `sink`, headers only.
    ///
    /// # Errors
    /// If the server is unreachable; then `sink` may not have received all entries.
    pub async fn recall(
        &self,
        since: OffsetDateTime,
        sink: &dyn TailSink,
    ) -> Result<(), StreamError> {
        let api = |error: &dyn std::fmt::Display| StreamError::Api(error.to_string());
        let stream = jetstream::new(self.tail.clone())
            .get_stream_no_info(self.subjects.stream())
            .await
            .map_err(|error| api(&error))?;
        let consumer = stream
            .create_consumer(pull::Config {
                name: Some(format!("recall-{}", ulid::Ulid::generate())),
                deliver_policy: DeliverPolicy::ByStartTime { start_time: since },
                ack_policy: AckPolicy::None,
                inactive_threshold: INACTIVE_THRESHOLD,
                memory_storage: true,
                num_replicas: 1,
                headers_only: true,
                ..pull::Config::default()
            })
            .await
            .map_err(|error| api(&error))?;
        let info = consumer.cached_info();
        if info.num_pending > 0 {
            let pace = PollMode::Every(Duration::ZERO);
            let (stream, name) = (&info.stream_name, &info.name);
            let mut messages = Reader::open(self.tail.clone(), stream, name, pace).await?;
            loop {
                let message = messages.next().await?;
                if let Some(event) = TailEvent::of(self, &message) {
                    sink.on_event(&event);
                }
                if Place::of(&message).is_none_or(|place| place.pending == 0) {
                    break;
                }
            }
        }
        // If this fails, the server removes the consumer by itself.
        let _ = stream.delete_consumer(&info.name).await;
        Ok(())
    }
}

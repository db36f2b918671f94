//! Looks into the stream for who has to know what it took in before the tail began.

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

/// How long the server keeps the consumer of a look that was broken off.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(30);

impl Bus {
    /// Tells `sink` of every entry that the stream took in since `since` and still has, of each that it is there and not what it says.
    ///
    /// # Errors
    /// When the server is away; then some may not have been told of.
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
        // The server would forget it by itself.
        let _ = stream.delete_consumer(&info.name).await;
        Ok(())
    }
}

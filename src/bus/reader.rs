//! A reader of one consumer: requests messages before those of the last request run out, and notices when the server falls silent.
//!
//! Not the crate's own stream: that copies the whole connection for every message and sets a timer for every wait.

use std::{pin::Pin, time::Duration};

use async_nats::{
    Client, Message, StatusCode, Subject, Subscriber,
    jetstream::{
        self,
        consumer::{AckPolicy, DeliverPolicy, pull},
    },
};
use bytes::Bytes;
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep};

use super::{Bus, StreamError};

/// Time between heartbeats of the server while it has nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// Number of missing heartbeats in a row after which the server counts as silent.
const MISSING_HEARTBEATS: u32 = 2;
/// Time after which a request expires.
const EXPIRES: Duration = Duration::from_secs(20);
/// Time after which the server removes a consumer without requests.
const INACTIVE_THRESHOLD: Duration = Duration::from_secs(60);
/// Number of messages per request.
const BATCH: usize = 2000;

/// Time at which messages are delivered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PollMode {
    /// Immediately.
    Live,
    /// In batches of such a period: a message costs the server and this process far less in a batch.
    Every(Duration),
}

/// Messages of the event stream that a reader reads.
pub(super) struct Selection {
    /// Prefix of the consumer's name.
    pub(super) name: &'static str,
    /// First message.
    pub(super) start: DeliverPolicy,
    /// Subject of the messages; empty for all.
    pub(super) subject: String,
    /// True if the payloads are not needed.
    pub(super) headers_only: bool,
    /// Time at which they are delivered.
    pub(super) pace: PollMode,
}

/// Reads one consumer. The server removes the consumer some time after the reader is dropped.
pub(super) struct Reader {
    client: Client,
    pace: PollMode,
    /// Subject, body and reply subject of the requests.
    ask: Subject,
    request: Bytes,
    inbox: Subject,
    messages: Subscriber,
    /// Number of requested messages that have not arrived.
    open: usize,
    /// True if the last request found no more messages.
    is_at_end: bool,
    /// Timer that fires once per heartbeat period.
    alarm: Pin<Box<Sleep>>,
    /// Number of times the timer fired since the server's last sign of life.
    silent: u32,
}

impl Reader {
    /// Creates a consumer of the event stream, without acknowledgements, and opens a reader of it.
    ///
    /// Also returns the number of messages that are to be delivered.
    pub(super) async fn open(bus: &Bus, selection: Selection) -> Result<(Self, u64), StreamError> {
        let api = |error: &dyn std::fmt::Display| StreamError::Api(error.to_string());
        let client = bus.tail.clone();
        let stream = jetstream::new(client.clone())
            .get_stream_no_info(bus.subjects.stream())
            .await
            .map_err(|error| api(&error))?;
        let consumer = stream
            .create_consumer(pull::Config {
                name: Some(format!("{}-{}", selection.name, ulid::Ulid::generate())),
                deliver_policy: selection.start,
                ack_policy: AckPolicy::None,
                inactive_threshold: INACTIVE_THRESHOLD,
                memory_storage: true,
                num_replicas: 1,
                filter_subject: selection.subject,
                headers_only: selection.headers_only,
                ..pull::Config::default()
            })
            .await
            .map_err(|error| api(&error))?;
        let info = consumer.cached_info();
        let pace = selection.pace;
        let inbox = Subject::from(client.new_inbox());
        let messages = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| api(&error))?;
        let request = match pace {
            PollMode::Live => serde_json::json!({
                "batch": BATCH,
                "expires": EXPIRES.as_nanos() as u64,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            }),
            PollMode::Every(_) => serde_json::json!({ "batch": BATCH, "no_wait": true }),
        };
        let (stream, name) = (&info.stream_name, &info.name);
        let reader = Self {
            ask: format!("$JS.API.CONSUMER.MSG.NEXT.{stream}.{name}").into(),
            request: request.to_string().into(),
            client,
            pace,
            inbox,
            messages,
            open: 0,
            is_at_end: false,
            alarm: Box::pin(tokio::time::sleep(HEARTBEAT)),
            silent: 0,
        };
        Ok((reader, info.num_pending))
    }

    /// Returns the next message.
    ///
    /// # Errors
    /// If the consumer or the server is gone, or silent for too long. The reader returns no more messages then.
    pub(super) async fn next(&mut self) -> Result<Message, StreamError> {
        loop {
            self.ask_in_time().await?;
            let message = tokio::select! {
                biased;
                message = self.messages.next() => message,
                () = &mut self.alarm => {
                    self.silent += 1;
                    if self.silent > MISSING_HEARTBEATS {
                        return Err(StreamError::Api("the server is silent".to_owned()));
                    }
                    self.alarm.as_mut().reset(Instant::now() + HEARTBEAT);
                    continue;
                }
            };
            let message =
                message.ok_or_else(|| StreamError::Api("the connection ended".to_owned()))?;
            self.silent = 0;
            match message.status {
                None | Some(StatusCode::OK) => {
                    self.open = self.open.saturating_sub(1);
                    return Ok(message);
                }
                Some(StatusCode::IDLE_HEARTBEAT) => {}
                Some(status) => self.note(status, &message)?,
            }
        }
    }

    async fn ask_in_time(&mut self) -> Result<(), StreamError> {
        match self.pace {
            PollMode::Live if self.open > BATCH / 2 => return Ok(()),
            PollMode::Every(_) if self.open > 0 => return Ok(()),
            PollMode::Every(pause) if self.is_at_end => tokio::time::sleep(pause).await,
            PollMode::Live | PollMode::Every(_) => {}
        }
        self.client
            .publish_with_reply(self.ask.clone(), self.inbox.clone(), self.request.clone())
            .await
            .map_err(|error| StreamError::Api(error.to_string()))?;
        self.open += BATCH;
        self.is_at_end = false;
        if self.pace != PollMode::Live {
            // Without heartbeats only the time until the answer counts.
            self.silent = 0;
            self.alarm.as_mut().reset(Instant::now() + HEARTBEAT);
        }
        Ok(())
    }

    /// Processes a status message of the server about a request.
    fn note(&mut self, status: StatusCode, message: &Message) -> Result<(), StreamError> {
        if !matches!(status, StatusCode::NOT_FOUND | StatusCode::TIMEOUT) {
            // The kind does not matter: a new consumer continues where this one ended.
            let said = message.description.as_deref().unwrap_or_default();
            return Err(StreamError::Api(format!(
                "the consumer ended: {status} {said}"
            )));
        }
        let headers = message.headers.as_ref();
        let left = headers
            .and_then(|headers| headers.get("Nats-Pending-Messages"))
            .and_then(|left| left.as_str().parse().ok())
            .unwrap_or(BATCH);
        self.open = match self.pace {
            PollMode::Live => self.open.saturating_sub(left),
            PollMode::Every(_) => 0,
        };
        self.is_at_end = true;
        Ok(())
    }
}

/// Position of a message, parsed from its acknowledgement subject.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Sequence in the stream.
    pub(super) sequence: u64,
    /// Sequence among the messages that the consumer delivered.
    pub(super) delivered: u64,
    /// Time at which the stream stored the message, in nanoseconds since 1970.
    published: i64,
    /// Number of messages that were to follow it.
    pub(super) pending: u64,
}

impl Place {
    /// Returns the position; `None` for a message that no consumer delivered.
    pub(super) fn of(message: &Message) -> Option<Self> {
        Self::parse(message.reply.as_deref()?)
    }

    /// Parses `$JS.ACK.<stream>.<consumer>.<tries>.<sequence>.<delivered>.<time>.<pending>`.
    ///
    /// With eleven or twelve parts, domain and account follow `ACK`, and there is a token at the end.
    fn parse(reply: &str) -> Option<Self> {
        let mut parts = reply.strip_prefix("$JS.ACK.")?.split('.');
        let before = match reply.bytes().filter(|byte| *byte == b'.').count() {
            8 => 3,
            10.. => 5,
            _ => return None,
        };
        let mut number = parts.by_ref().skip(before);
        Some(Self {
            sequence: number.next()?.parse().ok()?,
            delivered: number.next()?.parse().ok()?,
            published: number.next()?.parse().ok()?,
            pending: number.next()?.parse().ok()?,
        })
    }

    /// Returns the time since the stream stored the message.
    pub(super) fn age(&self) -> Duration {
        let now = OffsetDateTime::now_utc().unix_timestamp_nanos();
        let age = now - i128::from(self.published);
        Duration::from_nanos(u64::try_from(age).unwrap_or_default())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn message_position_is_parsed_from_both_reply_forms() {
        let place = Place {
            sequence: 17,
            delivered: 3,
            published: 1_700_000_000_000_000_000,
            pending: 42,
        };
        let numbers = "1.17.3.1700000000000000000.42";
        for reply in [
            format!("$JS.ACK.CHAT_EVENTS.tail-a.{numbers}"),
            format!("$JS.ACK.chat.hash.CHAT_EVENTS.tail-a.{numbers}"),
            format!("$JS.ACK._.hash.CHAT_EVENTS.tail-a.{numbers}.token"),
        ] {
            assert_eq!(Place::parse(&reply), Some(place), "{reply}");
        }
        for reply in ["_INBOX.a.b", "$JS.ACK.a.b.1.2.3.4", "$JS.ACK.a.b.1.x.3.4.5"] {
            assert_eq!(Place::parse(reply), None, "{reply}");
        }
    }
}

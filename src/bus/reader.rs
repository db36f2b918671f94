//! A reader of one consumer: asks the server for messages before those it asked for run out, and notices when the server falls silent.
//!
//! Not the crate's own stream: that copies the whole connection for every message and sets a timer for every wait.

use std::{pin::Pin, time::Duration};

use async_nats::{Client, Message, StatusCode, Subject, Subscriber};
use bytes::Bytes;
use futures_util::StreamExt;
use time::OffsetDateTime;
use tokio::time::{Instant, Sleep};

use super::StreamError;

/// How often the server says that it is there while there is nothing to deliver.
const HEARTBEAT: Duration = Duration::from_secs(2);
/// How many heartbeats in a row may be missing.
const MISSING_HEARTBEATS: u32 = 2;
/// How long a request stays open.
const EXPIRES: Duration = Duration::from_secs(20);
/// How many messages are asked for at once.
const BATCH: usize = 2000;

/// When messages are wanted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum PollMode {
    /// At once.
    Live,
    /// Those of such a time together: a message costs the server and this process far less if it comes with many.
    Every(Duration),
}

/// Reads one consumer.
pub(super) struct Reader {
    client: Client,
    pace: PollMode,
    /// Where messages are asked for, with what, and where they come.
    ask: Subject,
    request: Bytes,
    inbox: Subject,
    messages: Subscriber,
    /// How many were asked for and have not come.
    open: usize,
    /// Whether there was nothing more to come.
    is_at_end: bool,
    /// Goes off once per heartbeat.
    alarm: Pin<Box<Sleep>>,
    /// How often it went off since the server was heard.
    silent: u32,
}

impl Reader {
    /// Reads the pull consumer `name` of `stream`, without acknowledgements.
    pub(super) async fn open(
        client: Client,
        stream: &str,
        name: &str,
        pace: PollMode,
    ) -> Result<Self, StreamError> {
        let inbox = Subject::from(client.new_inbox());
        let messages = client
            .subscribe(inbox.clone())
            .await
            .map_err(|error| StreamError::Api(error.to_string()))?;
        let request = match pace {
            PollMode::Live => serde_json::json!({
                "batch": BATCH,
                "expires": EXPIRES.as_nanos() as u64,
                "idle_heartbeat": HEARTBEAT.as_nanos() as u64,
            }),
            PollMode::Every(_) => serde_json::json!({ "batch": BATCH, "no_wait": true }),
        };
        Ok(Self {
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
        })
    }

    /// The next message.
    ///
    /// # Errors
    /// When the consumer or the server is gone, or silent for too long. Then there is nothing more to come.
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
            // Without heartbeats the time until the answer counts.
            self.silent = 0;
            self.alarm.as_mut().reset(Instant::now() + HEARTBEAT);
        }
        Ok(())
    }

    /// Takes in what the server says of a request.
    fn note(&mut self, status: StatusCode, message: &Message) -> Result<(), StreamError> {
        if !matches!(status, StatusCode::NOT_FOUND | StatusCode::TIMEOUT) {
            // Whatever it is: a consumer that is made anew goes on where this one was.
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

/// Where a message stands, as the subject for its acknowledgement says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Place {
    /// Its number in the stream.
    pub(super) sequence: u64,
    /// Its number among those that the consumer gave out.
    pub(super) delivered: u64,
    /// When the stream took it in, in nanoseconds since 1970.
    published: i64,
    /// How many were to come after it.
    pub(super) pending: u64,
}

impl Place {
    /// `None` for what no consumer gave out.
    pub(super) fn of(message: &Message) -> Option<Self> {
        Self::parse(message.reply.as_deref()?)
    }

    /// `$JS.ACK.<stream>.<consumer>.<tries>.<sequence>.<delivered>.<time>.<pending>`; with domain and account behind `ACK`, and a token at the end, where
    /// there are eleven or twelve parts.
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

    /// How long ago the stream took it in.
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
    fn the_place_of_a_message_is_read_from_both_forms_of_its_reply() {
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

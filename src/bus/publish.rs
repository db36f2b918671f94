//! Publishing of events to the stream: their headers and payloads, and the answers of the broker.

use std::{sync::Arc, time::Duration};

use async_nats::{
    HeaderMap, HeaderName, Message, Subject, ToSubject,
    header::NATS_MESSAGE_ID,
    jetstream::{
        self, ErrorCode,
        context::{PublishAckFuture, PublishError},
        message::PublishMessage,
    },
};
use futures_util::future::join_all;

use super::{Bus, BusError, Subjects};
use crate::model::{
    bounds, catalogue,
    entry::{Entry, Owner},
    latest::LatestValue,
};
use chat_sdk::{Envelope, TraceParent, UserId, events::EventData};

/// Header with the owner of an event: a conversation's id, or `user:` and a user's id.
pub const OWNER_HEADER: HeaderName = HeaderName::from_static("Chat-Conversation-Id");
/// Header with an event's seq in its owner's log.
pub const SEQ_HEADER: HeaderName = HeaderName::from_static("Chat-Seq");
/// Header with the user who caused the event.
pub const ACTOR_HEADER: HeaderName = HeaderName::from_static("Chat-Actor-Id");

/// Header with the only recipients of a latest value; absent if it has no such restriction.
pub const ONLY_HEADER: HeaderName = HeaderName::from_static("Chat-Only");
/// Header with the trace that an event is part of.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static(TraceParent::HEADER);

/// Header of a reference: a message without a payload, for an event that is too large for the stream.
///
/// Its value says where the event can be read: in the log.
pub const REFERENCE_HEADER: HeaderName = HeaderName::from_static("Chat-Reference");

/// Buffer size that is enough for most envelopes, in bytes.
const ENVELOPE_BYTES: usize = 1024;
/// Time to wait for an acknowledgement.
pub(super) const ACK_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for handing a message to the connection: it blocks while the server is unreachable.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Number of acknowledgements that a sweep waits for concurrently.
const SWEEP_PIPELINE: usize = 256;

/// An event in the form that is published.
pub(super) struct Event {
    subject: Subject,
    headers: HeaderMap,
    payload: Vec<u8>,
}

impl Event {
    fn new(
        subject: Subject,
        owner: &Owner,
        trace: TraceParent,
        envelope: &Envelope<EventData>,
    ) -> Result<Self, BusError> {
        let mut payload = Vec::with_capacity(ENVELOPE_BYTES);
        serde_json::to_writer(&mut payload, envelope)
            .map_err(|error| BusError::Publish(error.to_string()))?;
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, envelope.id.as_str());
        headers.insert(OWNER_HEADER, header_text(&owner.key()));
        if let Some(actor) = &envelope.actor_id {
            headers.insert(ACTOR_HEADER, header_text(actor.as_str()));
        }
        headers.insert(TRACE_HEADER, trace.to_string());
        Ok(Self {
            subject,
            headers,
            payload,
        })
    }

    fn of(subjects: &Subjects, entry: &Entry) -> Result<Self, BusError> {
        let mut event = Self::new(
            subjects.event(&entry.owner, entry.body.kind()),
            &entry.owner,
            entry.trace(),
            &catalogue::envelope(entry),
        )?;
        event.headers.insert(SEQ_HEADER, entry.seq.to_string());
        Ok(event)
    }
}

/// Returns the size of a message as the broker measures it, in bytes: headers and payload.
pub(super) fn size_of(headers: &HeaderMap, payload: usize) -> usize {
    let lines = headers.iter().flat_map(|(name, values)| {
        let name = AsRef::<str>::as_ref(name).len();
        values
            .iter()
            .map(move |value| name + value.as_str().len() + 4)
    });
    // The version line and the empty line at the end.
    lines.sum::<usize>() + 12 + payload
}

/// Result of publishing several events.
#[derive(Debug, Default)]
pub struct Published {
    /// Events that the broker never accepts: index and reason.
    pub refused: Vec<(usize, String)>,
    /// Reason why some of the other events may not be in the stream.
    pub failure: Option<BusError>,
}

impl Published {
    fn note(&mut self, index: usize, error: BusError) {
        match error {
            BusError::Rejected(reason) => self.refused.push((index, reason)),
            error => self.failure = Some(error),
        }
    }
}

impl Bus {
    pub(super) fn event(&self, entry: &Entry) -> Result<Event, BusError> {
        self.fitting(Event::of(&self.subjects, entry)?)
    }

    fn fitting(&self, event: Event) -> Result<Event, BusError> {
        self.check_size(size_of(&event.headers, event.payload.len()))?;
        Ok(event)
    }

    /// Fails if the broker would refuse a message of this size.
    ///
    /// It is not sent, because a server answers a message above its own limit by closing the connection, with everything in flight on it.
    pub(super) fn check_size(&self, bytes: usize) -> Result<(), BusError> {
        let most = self.client.max_payload().min(bounds::STREAM_MESSAGE);
        if bytes > most {
            Err(BusError::Rejected(format!(
                "it has {bytes} bytes, and the broker takes at most {most}"
            )))
        } else {
            Ok(())
        }
    }

    pub(super) fn latest_event(
        &self,
        value: &LatestValue,
        trace: TraceParent,
    ) -> Result<Event, BusError> {
        let envelope = &value.envelope;
        let subject = self.subjects.event(&value.owner, envelope.kind);
        let mut event = Event::new(subject, &value.owner, trace, envelope)?;
        if let Some(only) = &value.only {
            let users = serde_json::to_string(only)
                .map_err(|error| BusError::Publish(error.to_string()))?;
            event.headers.insert(ONLY_HEADER, header_text(&users));
        }
        self.fitting(event)
    }

    /// Hands an event to the connection; the stream answers on `reply`, if given.
    ///
    /// Fails while the server is unreachable.
    pub(super) async fn hand_over(
        &self,
        event: Event,
        reply: Option<String>,
    ) -> Result<(), BusError> {
        let Event {
            subject,
            headers,
            payload,
        } = event;
        let payload = payload.into();
        match reply {
            Some(reply) => {
                self.handed_over(
                    self.client
                        .publish_with_reply_and_headers(subject, reply, headers, payload),
                )
                .await
            }
            None => {
                self.handed_over(self.client.publish_with_headers(subject, headers, payload))
                    .await
            }
        }
    }

    /// Hands a message to the connection and returns the future acknowledgement.
    ///
    /// Fails while the server is unreachable.
    pub(super) async fn send_message(
        &self,
        subject: impl ToSubject,
        headers: HeaderMap,
        payload: Vec<u8>,
    ) -> Result<PublishAckFuture, BusError> {
        let message = PublishMessage::build()
            .payload(payload.into())
            .headers(headers);
        self.handed_over(self.jetstream.send_publish(subject, message))
            .await
    }

    async fn handed_over<T, E: std::fmt::Display>(
        &self,
        sending: impl Future<Output = Result<T, E>>,
    ) -> Result<T, BusError> {
        if !self.is_connected() {
            return Err(BusError::Publish("not connected".to_owned()));
        }
        tokio::time::timeout(SEND_TIMEOUT, sending)
            .await
            .map_err(|_| BusError::Publish("the connection does not take messages".to_owned()))?
            .map_err(|error| BusError::Publish(error.to_string()))
    }

    /// Publishes `entries` and waits for the answer to every one of them.
    ///
    /// A failed entry does not stop the others, unless the server is unreachable.
    pub async fn publish_each(&self, entries: &[Arc<Entry>]) -> Published {
        let mut published = Published::default();
        for (chunk, first) in entries
            .chunks(SWEEP_PIPELINE)
            .zip((0..).step_by(SWEEP_PIPELINE))
        {
            let mut acks = Vec::with_capacity(chunk.len());
            for (entry, index) in chunk.iter().zip(first..) {
                let sent = match self.event(entry) {
                    Ok(event) => {
                        self.send_message(event.subject, event.headers, event.payload)
                            .await
                    }
                    Err(error) => Err(error),
                };
                match sent {
                    Ok(ack) => acks.push(async move { (index, wait_for(ack).await) }),
                    Err(error) => published.note(index, error),
                }
            }
            for (index, outcome) in join_all(acks).await {
                if let Err(error) = outcome {
                    published.note(index, error);
                }
            }
            if published.failure.is_some() && !self.is_connected() {
                break;
            }
        }
        published
    }

    /// Publishes a message without payload in place of an oversized event, and waits for its answer.
    ///
    /// # Errors
    /// If the server does not acknowledge it.
    pub async fn publish_reference(&self, entry: &Entry) -> Result<(), BusError> {
        let mut event = Event::of(&self.subjects, entry)?;
        event.headers.insert(REFERENCE_HEADER, "log");
        let ack = self
            .send_message(event.subject, event.headers, Vec::new())
            .await?;
        wait_for(ack).await.map(drop)
    }

    /// Publishes a marker and returns its sequence in the stream.
    ///
    /// # Errors
    /// If the server does not acknowledge it.
    pub async fn publish_marker(&self, id: &str, watermark: u64) -> Result<u64, BusError> {
        let mut headers = HeaderMap::new();
        headers.insert(NATS_MESSAGE_ID, id);
        let payload = watermark.to_string().into_bytes();
        let ack = self
            .send_message(self.subjects.marker(), headers, payload)
            .await?;
        wait_for(ack).await
    }
}

pub(super) async fn wait_for(ack: PublishAckFuture) -> Result<u64, BusError> {
    match tokio::time::timeout(ACK_TIMEOUT, ack.into_future()).await {
        Ok(Ok(ack)) => Ok(ack.sequence),
        Ok(Err(error)) => Err(match refusal(&error) {
            Some(reason) => BusError::Rejected(reason),
            None => BusError::Publish(error.to_string()),
        }),
        Err(_) => Err(BusError::Publish("no acknowledgement in time".to_owned())),
    }
}

/// Returns the reason if `error` means that the broker never accepts the message.
///
/// Every other refusal, such as one for lack of space, may be temporary.
fn refusal(error: &PublishError) -> Option<String> {
    let source = std::error::Error::source(error)?;
    let refusal = source.downcast_ref::<jetstream::Error>()?;
    let is_final = matches!(
        refusal.error_code(),
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM
    );
    is_final.then(|| refusal.to_string())
}

/// Encodes a text for a header: a user's id may contain any character, a header's value may not.
pub(super) fn header_text(text: &str) -> String {
    if text.is_ascii() && !text.contains(['%', '+']) {
        return text.to_owned();
    }
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// Returns the header `name` of a stored message.
pub(super) fn header(message: &Message, name: HeaderName) -> Option<&str> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str())
}

/// Parses the owner of [`OWNER_HEADER`].
pub fn parse_owner(text: &str) -> Option<Owner> {
    if !text.contains(['%', '+']) {
        return Owner::from_key(text);
    }
    Owner::from_key(&decoded(text)?)
}

/// Parses the users of [`ONLY_HEADER`].
pub fn parse_only(text: &str) -> Option<Vec<UserId>> {
    serde_json::from_str(&decoded(text)?).ok()
}

fn decoded(text: &str) -> Option<String> {
    url::form_urlencoded::parse(format!("k={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

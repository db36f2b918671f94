//! Publishing of events to the stream.
//!
//! The announcer publishes the entries that this process's writer committed, at once and with acknowledgements, and gives up early: the sweep publishes the
//! entries that did not arrive. Latest values, which no sweep finds, are kept until the stream has them.

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
use metrics::counter;
use tokio::{
    sync::{Mutex as AsyncMutex, mpsc},
    time::MissedTickBehavior,
};

use super::{Bus, BusError, Subjects, acks::Acks, latest::Unpublished};
use chat_sdk::{Envelope, TraceParent, UserId, events::EventData};

use crate::bounds;
use crate::domain::{
    catalogue,
    command::Announce,
    entry::{Entry, Owner},
    latest::{LatestValue, PublishLatest},
};
use crate::trace;

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

/// Maximum number of events waiting to be sent; further ones are left to the sweep.
const MAX_WAITING: usize = 20_000;
/// Maximum number of events sent and not acknowledged.
const MAX_UNANSWERED: usize = 5_000;
/// Buffer size that is enough for most envelopes, in bytes.
const ENVELOPE_BYTES: usize = 1024;
/// Time to wait for an acknowledgement.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for handing a message to the connection: it blocks while the server is unreachable.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// Time between attempts to publish latest values that the stream does not have.
const PUBLISH_AGAIN: Duration = Duration::from_millis(500);
/// Number of acknowledgements that a sweep waits for concurrently.
const SWEEP_PIPELINE: usize = 256;

/// Publishes the entries that this process committed.
pub struct Announcer {
    entries: mpsc::Sender<Work>,
}

/// An item that waits to be published.
enum Work {
    Entry(Arc<Entry>),
    Latest(Box<LatestValue>, TraceParent),
}

impl Announcer {
    /// Returns an announcer, and the publisher to run for it.
    pub fn new(bus: Bus) -> (Arc<Self>, Publisher) {
        let (entries, inbox) = mpsc::channel(MAX_WAITING);
        let publisher = Publisher {
            bus,
            inbox: Arc::new(AsyncMutex::new(inbox)),
        };
        (Arc::new(Self { entries }), publisher)
    }
}

/// Publishes the items of an announcer.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    /// Queue that outlives a failure: the next run publishes what it holds.
    inbox: Arc<AsyncMutex<mpsc::Receiver<Work>>>,
}

impl Publisher {
    /// Publishes until the last handle of the announcer is dropped.
    ///
    /// After a failure it may run again: the sweep puts back entries that were in flight, and the next latest value replaces a lost one.
    pub async fn run(self) {
        let mut inbox = self.inbox.lock().await;
        run(self.bus, &mut inbox).await;
    }
}

impl Announce for Announcer {
    fn announce(&self, entries: &[Arc<Entry>]) {
        for entry in entries {
            let work = Work::Entry(Arc::clone(entry));
            if self.entries.try_send(work).is_err() {
                counter!("chat_publish_left_to_sweep_total").increment(1);
            }
        }
    }
}

impl PublishLatest for Announcer {
    fn publish(&self, value: LatestValue) {
        let trace = trace::current().unwrap_or_else(|| TraceParent::of(&value.envelope.id));
        let work = Work::Latest(Box::new(value), trace);
        if self.entries.try_send(work).is_err() {
            counter!("chat_latest_values_lost_total").increment(1);
        }
    }
}

/// Items handed to the connection that one acknowledgement covers.
enum Sent {
    /// A number of entries, covered by the answer to the last one.
    ///
    /// The stream processes the messages of a connection in order. If it refused an earlier one, the sweep finds that, as it finds entries without an answer.
    Entries(usize),
    Latest(Box<LatestValue>, TraceParent),
}

impl Sent {
    fn len(&self) -> usize {
        match self {
            Self::Entries(count) => *count,
            Self::Latest(..) => 1,
        }
    }
}

async fn run(bus: Bus, inbox: &mut mpsc::Receiver<Work>) {
    let mut acks = match Acks::open(&bus.client).await {
        Ok(acks) => acks,
        Err(error) => {
            // The client has ended, and so does the process. Another process publishes the log's entries.
            tracing::warn!(%error, "event publishing stopped");
            return;
        }
    };
    let outcomes = [
        counter!("chat_publishes_total", "outcome" => "failed"),
        counter!("chat_publishes_total", "outcome" => "ok"),
    ];
    let mut batch = Vec::new();
    let mut events = Vec::new();
    let mut is_open = true;
    let mut unpublished = Unpublished::default();
    // Number of items handed to the connection and not acknowledged.
    let mut unanswered = 0;
    // Number of these entries for which no acknowledgement was requested yet.
    let mut unasked = 0;
    let mut ticks = tokio::time::interval(PUBLISH_AGAIN);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    while is_open || !acks.is_empty() {
        let has_room = is_open && unanswered < MAX_UNANSWERED;
        let settle = |is_stored: bool, sent: Sent| {
            outcomes[usize::from(is_stored)].increment(sent.len() as u64);
            unanswered -= sent.len();
            match sent {
                Sent::Latest(value, _) if is_stored => unpublished.done(&value),
                Sent::Latest(value, trace) => keep(&mut unpublished, value, trace),
                Sent::Entries(_) => {}
            }
        };
        tokio::select! {
            () = acks.take(settle) => {}
            count = inbox.recv_many(&mut batch, 256), if has_room => {
                is_open = count > 0;
            }
            _ = ticks.tick() => {
                for sent in acks.take_unanswered(ACK_TIMEOUT) {
                    outcomes[0].increment(sent.len() as u64);
                    unanswered -= sent.len();
                    if let Sent::Latest(value, trace) = sent {
                        keep(&mut unpublished, value, trace);
                    }
                }
                if is_open && !unpublished.is_empty() && bus.is_connected() {
                    let again = unpublished.take().into_iter();
                    batch.extend(again.map(|(value, trace)| Work::Latest(Box::new(value), trace)));
                }
            }
        }
        // All are encoded before the first is sent, so that they leave together and not each in a packet of its own.
        events.extend(batch.drain(..).map(|work| match work {
            Work::Entry(entry) => (bus.event(&entry), None),
            Work::Latest(value, trace) => {
                unpublished.begin(&value);
                (bus.latest_event(&value, trace), Some((value, trace)))
            }
        }));
        let last_entry = events
            .iter()
            .rposition(|(event, latest)| latest.is_none() && event.is_ok());
        for (index, (event, latest)) in events.drain(..).enumerate() {
            let is_asked = latest.is_some() || Some(index) == last_entry;
            let reply = is_asked.then(|| acks.next_reply());
            let outcome = match event {
                Ok(event) => bus.hand_over(event, reply).await,
                Err(error) => Err(error),
            };
            match (outcome, latest) {
                (Ok(()), Some((value, trace))) => {
                    unanswered += 1;
                    acks.sent(Sent::Latest(value, trace));
                }
                (Ok(()), None) => {
                    unanswered += 1;
                    unasked += 1;
                    if is_asked {
                        acks.sent(Sent::Entries(std::mem::take(&mut unasked)));
                    }
                }
                (Err(_), None) => {
                    counter!("chat_publish_left_to_sweep_total").increment(1);
                    if is_asked {
                        // No later acknowledgement covers the entries before it.
                        unanswered -= std::mem::take(&mut unasked);
                    }
                }
                (Err(BusError::Refused(_)), Some((value, _))) => {
                    // A retry would not help.
                    counter!("chat_latest_values_lost_total").increment(1);
                    unpublished.done(&value);
                }
                (Err(_), Some((value, trace))) => keep(&mut unpublished, value, trace),
            }
        }
    }
}

/// Keeps a value until it can be published.
fn keep(unpublished: &mut Unpublished, value: Box<LatestValue>, trace: TraceParent) {
    let lost = unpublished.failed(value, trace);
    counter!("chat_latest_values_lost_total").increment(lost as u64);
}

/// An event in the form that is published.
struct Event {
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
            BusError::Refused(reason) => self.refused.push((index, reason)),
            error => self.failure = Some(error),
        }
    }
}

impl Bus {
    fn event(&self, entry: &Entry) -> Result<Event, BusError> {
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
        match bytes > most {
            true => Err(BusError::Refused(format!(
                "it has {bytes} bytes, and the broker takes at most {most}"
            ))),
            false => Ok(()),
        }
    }

    fn latest_event(&self, value: &LatestValue, trace: TraceParent) -> Result<Event, BusError> {
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
    async fn hand_over(&self, event: Event, reply: Option<String>) -> Result<(), BusError> {
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
            Some(reason) => BusError::Refused(reason),
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

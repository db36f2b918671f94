//! Putting events into the stream.
//!
//! The announcer publishes what this process's writer committed, at once and with acknowledgements, and gives up early: the sweep publishes whatever
//! did not arrive. Latest values, which no sweep finds, are kept until the stream has them.

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

/// The header with the owner of an event: a conversation's id, or `user:` and a user's.
pub const OWNER_HEADER: HeaderName = HeaderName::from_static("Chat-Conversation-Id");
/// The header with an event's number in its owner's log.
pub const SEQ_HEADER: HeaderName = HeaderName::from_static("Chat-Seq");
/// The header with who did it.
pub const ACTOR_HEADER: HeaderName = HeaderName::from_static("Chat-Actor-Id");

/// The header with the users who alone are told of a latest value; absent where all who may see it are.
pub const ONLY_HEADER: HeaderName = HeaderName::from_static("Chat-Only");
/// The header with the trace that an event is a part of.
pub const TRACE_HEADER: HeaderName = HeaderName::from_static(TraceParent::HEADER);

/// The header of a reference: a message without a payload in the place of an event that is too large for the stream. Its value says where the event is
/// read: in the log.
pub const REFERENCE_HEADER: HeaderName = HeaderName::from_static("Chat-Reference");

/// How many events may wait for the server. Beyond it they are left to the sweep.
const MAX_WAITING: usize = 20_000;
/// How many may be with the server without an answer.
const MAX_UNANSWERED: usize = 5_000;
/// The room that most envelopes fit into, in bytes.
const ENVELOPE_BYTES: usize = 1024;
/// How long an acknowledgement is waited for.
const ACK_TIMEOUT: Duration = Duration::from_secs(3);
/// How long handing a message to the connection may take: it blocks while the server is away.
const SEND_TIMEOUT: Duration = Duration::from_secs(1);
/// How often it is tried to publish again what the stream does not have.
const PUBLISH_AGAIN: Duration = Duration::from_millis(500);
/// How many acknowledgements are waited for at once in a sweep.
const SWEEP_PIPELINE: usize = 256;

/// Publishes the entries that this process committed.
pub struct Announcer {
    entries: mpsc::Sender<Work>,
}

/// What waits to be published.
enum Work {
    Entry(Arc<Entry>),
    Latest(Box<LatestValue>, TraceParent),
}

impl Announcer {
    /// An announcer, and the publisher that must run for it.
    pub fn new(bus: Bus) -> (Arc<Self>, Publisher) {
        let (entries, inbox) = mpsc::channel(MAX_WAITING);
        let publisher = Publisher {
            bus,
            inbox: Arc::new(AsyncMutex::new(inbox)),
        };
        (Arc::new(Self { entries }), publisher)
    }
}

/// Publishes what an announcer was given.
#[derive(Clone)]
pub struct Publisher {
    bus: Bus,
    /// Outlives a failure: what waits here is published by the next run.
    inbox: Arc<AsyncMutex<mpsc::Receiver<Work>>>,
}

impl Publisher {
    /// Publishes until the last handle of the announcer is gone. If it failed it may run again: entries that were under way are put back by the sweep,
    /// and a latest value is told by the next one.
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

/// What was handed to the connection, and is acknowledged together.
enum Sent {
    /// So many entries. The stream takes in what comes by one connection one after the other, so the answer to the last tells of all. Should it have
    /// refused one before, the sweep finds that, as it finds what was never answered.
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
            // The client has ended, and so does the process. What is in the log is published by another.
            tracing::warn!(%error, "events cannot be published");
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
    // How many were handed to the connection and not answered.
    let mut unanswered = 0;
    // How many of them nobody has asked an answer for yet.
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
        // All are encoded before the first is sent: so they leave together, and not each in a packet of its own.
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
                        // Nobody will tell of those that went before it.
                        unanswered -= std::mem::take(&mut unasked);
                    }
                }
                (Err(BusError::Refused(_)), Some((value, _))) => {
                    // Trying again would not help.
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

/// An event as it goes to the stream.
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

/// The bytes of a message as the broker measures it: headers and payload.
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

/// What became of several events.
#[derive(Debug, Default)]
pub struct Published {
    /// Those that the broker never takes, by index, and why.
    pub refused: Vec<(usize, String)>,
    /// Why some of the others may not be in the stream.
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

    /// Refuses a message that the broker would refuse. It is not sent, because a server answers a message above its own limit by ending the connection,
    /// with everything that is under way there.
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

    /// Hands an event to the connection; the stream answers on the subject `reply`, if it is asked to. Refuses while the server is away.
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

    /// Hands a message to the connection, and answers with what waits for the stream. Refuses while the server is away.
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

    /// Publishes `entries` and waits until the server has answered for every one of them. One that fails stops no other, unless the server is away.
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

    /// Puts a message without a payload in the place of an event that is too large, and waits until the server has it.
    ///
    /// # Errors
    /// When the server does not acknowledge it.
    pub async fn publish_reference(&self, entry: &Entry) -> Result<(), BusError> {
        let mut event = Event::of(&self.subjects, entry)?;
        event.headers.insert(REFERENCE_HEADER, "log");
        let ack = self
            .send_message(event.subject, event.headers, Vec::new())
            .await?;
        wait_for(ack).await.map(drop)
    }

    /// Publishes a marker and answers where it lies in the stream.
    ///
    /// # Errors
    /// When the server does not acknowledge it.
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

/// Why the broker never takes a message, if that is what `error` says. Every other refusal, such as one for lack of space, may pass.
fn refusal(error: &PublishError) -> Option<String> {
    let source = std::error::Error::source(error)?;
    let refusal = source.downcast_ref::<jetstream::Error>()?;
    let is_final = matches!(
        refusal.error_code(),
        ErrorCode::STREAM_MESSAGE_EXCEEDS_MAXIMUM | ErrorCode::STREAM_HEADER_EXCEEDS_MAXIMUM
    );
    is_final.then(|| refusal.to_string())
}

/// A user's id may hold any character; a header's value may not.
pub(super) fn header_text(text: &str) -> String {
    if text.is_ascii() && !text.contains(['%', '+']) {
        return text.to_owned();
    }
    url::form_urlencoded::byte_serialize(text.as_bytes()).collect()
}

/// The header `name` of a stored message.
pub(super) fn header(message: &Message, name: HeaderName) -> Option<&str> {
    let value = message.headers.as_ref()?.get(name)?;
    Some(value.as_str())
}

/// The owner that [`OWNER_HEADER`] names.
pub fn parse_owner(text: &str) -> Option<Owner> {
    if !text.contains(['%', '+']) {
        return Owner::from_key(text);
    }
    Owner::from_key(&decoded(text)?)
}

/// The users whom [`ONLY_HEADER`] names.
pub fn parse_only(text: &str) -> Option<Vec<UserId>> {
    serde_json::from_str(&decoded(text)?).ok()
}

fn decoded(text: &str) -> Option<String> {
    url::form_urlencoded::parse(format!("k={text}").as_bytes())
        .next()
        .map(|(_, value)| value.into_owned())
}

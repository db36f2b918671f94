//! Durable consumers: every event at least once, to any number of processes that share the work.
//!
//! A durable is a pull consumer with explicit acknowledgements, kept by the broker. It retries by `nak` with a delay, never by the consumer's own `backoff`:
//! the two together give skewed delays. What it has settled is remembered in the database too (`place`), because the broker is never the truth: it may lose
//! what it acknowledged, or come back without the stream.
//!
//! Beside the events a durable reads a subject of its own, into which events are put again for it alone: dead letters that are replayed, and what expired in
//! the stream before it was read.

mod give;
mod place;
mod pull;

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::{
    HeaderMap, HeaderName,
    header::NATS_MESSAGE_ID,
    jetstream::{self, consumer::pull::Config, stream::Stream},
};
use bytes::Bytes;
use chat_sdk::{EventId, TraceParent};
use futures_util::future::try_join_all;
use parking_lot::Mutex;
use time::OffsetDateTime;
use tokio_util::sync::CancellationToken;

use super::{Bus, BusError, StreamError, publish};
use crate::domain::{catalogue, durables::Ledger, entry::Entry};
pub use chat_sdk::plugin::{
    Consumer, ConsumerSpec, Delivery, Lag, LogPosition, Pulled, ReplayedEvent, Verdict,
};

/// The header with the id of an event that was put in again.
const EVENT_ID_HEADER: HeaderName = HeaderName::from_static("Chat-Event-Id");
/// The header with its type.
const EVENT_TYPE_HEADER: HeaderName = HeaderName::from_static("Chat-Event-Type");

/// Fills what a durable missed from the database: answers the events of `events` types that were taken in between two moments, piece by piece.
pub trait Backfill: Send + Sync {
    /// The events after `from` until `until` (all with the default), and where to go on; `None` at the end.
    fn read(
        &self,
        from: LogPosition,
        until: LogPosition,
    ) -> futures_util::future::BoxFuture<
        '_,
        crate::domain::Result<(Vec<ReplayedEvent>, Option<LogPosition>)>,
    >;

    /// The event of an entry; `None` when the log has none of that id, or it cannot be read.
    fn find<'a>(
        &'a self,
        id: &'a EventId,
    ) -> futures_util::future::BoxFuture<'a, crate::domain::Result<Option<ReplayedEvent>>>;
}

/// The durables of this process.
pub struct Durables<L> {
    bus: Bus,
    ledger: Arc<L>,
    backfill: Arc<dyn Backfill>,
    /// Which durables were put in their place since the connection was made, for those that are only pulled from now and then.
    placed: Mutex<HashMap<String, Placed>>,
}

/// A durable that was put in its place.
#[derive(Clone)]
struct Placed {
    stream: Stream<()>,
    /// The name of its consumer in the broker.
    consumer: String,
    /// When the stream was made.
    created: String,
    /// Which run of the server it is.
    server: String,
    /// What happened before this was settled before a loss.
    skip_before: Option<chat_sdk::Timestamp>,
    /// Which connection it was, counted.
    connection: u64,
    spec: ConsumerSpec,
}

/// Where a durable stands.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Position {
    /// Which stream it reads, by the moment at which that was made.
    pub stream: String,
    /// Events that it has not been given yet.
    pub pending: u64,
    /// Everything up to this number is settled.
    pub floor: u64,
}

/// Whether a durable that nobody knows of may be made. Only who declares it may: who gives its events may be late, and it removed.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Birth {
    Allowed,
    Refused,
}

fn api(error: impl std::fmt::Display) -> BusError {
    BusError::Stream(StreamError::Api(error.to_string()))
}

impl<L: Ledger + 'static> Durables<L> {
    /// Durables on `bus`, remembered in `ledger`.
    pub fn new(bus: Bus, ledger: Arc<L>, backfill: Arc<dyn Backfill>) -> Arc<Self> {
        Arc::new(Self {
            bus,
            ledger,
            backfill,
            placed: Mutex::default(),
        })
    }

    /// The stream as the connection for readers sees it.
    async fn stream(&self) -> Result<Stream<()>, BusError> {
        let mut context = jetstream::new(self.bus.tail.clone());
        context.set_timeout(super::API_TIMEOUT);
        context
            .get_stream_no_info(self.bus.subjects.stream())
            .await
            .map_err(api)
    }

    fn config(&self, spec: &ConsumerSpec, consumer: &str) -> Config {
        Config {
            durable_name: Some(consumer.to_owned()),
            description: Some("Chat Service: made and kept by it".to_owned()),
            ack_wait: spec.ack_wait,
            // Whoever gives up on an event says so; the broker never does.
            max_deliver: -1,
            filter_subjects: self
                .bus
                .subjects
                .of_durable(&spec.name, spec.events.as_deref()),
            max_ack_pending: i64::try_from(spec.max_pending).unwrap_or(i64::MAX),
            max_waiting: 4096,
            num_replicas: self.bus.options.replicas,
            ..Config::default()
        }
    }

    /// Makes a durable, or brings it to `spec`. A new one starts at the end of the stream.
    ///
    /// # Errors
    /// When the broker or the database does not answer.
    pub async fn declare(&self, spec: &ConsumerSpec) -> Result<(), BusError> {
        self.place(spec, Birth::Allowed).await.map(drop)
    }

    /// Puts a durable in its place, and remembers up to where it is settled: for one whose events somebody else takes.
    ///
    /// # Errors
    /// When the broker or the database does not answer, or the durable was never declared.
    pub async fn keep(self: &Arc<Self>, spec: &ConsumerSpec) -> Result<(), BusError> {
        let placed = self.placed(spec).await?;
        let marked = self.mark(&placed).await;
        if marked.is_err() {
            self.displace(&spec.name);
        }
        marked
    }

    /// The name of the stream that durables read.
    pub fn stream_name(&self) -> String {
        self.bus.subjects.stream()
    }

    /// Removes a durable and what is remembered of it.
    ///
    /// # Errors
    /// When the broker or the database does not answer.
    pub async fn remove(&self, name: &str) -> Result<(), BusError> {
        self.placed.lock().remove(name);
        let consumer = self.consumer_of(name).await?;
        // First what is remembered: whoever still gives its events cannot make it again then.
        self.ledger.forget(name).await.map_err(api)?;
        let stream = self.stream().await?;
        match stream.delete_consumer(&consumer).await {
            Ok(_) => Ok(()),
            Err(_) if !self.exists(&stream, &consumer).await? => Ok(()),
            Err(error) => Err(api(error)),
        }
    }

    /// The name in the broker of a durable's consumer.
    async fn consumer_of(&self, name: &str) -> Result<String, BusError> {
        let state = self.ledger.load(name).await.map_err(api)?;
        Ok(state.map_or_else(|| name.to_owned(), |state| state.consumer()))
    }

    async fn exists(&self, stream: &Stream<()>, name: &str) -> Result<bool, BusError> {
        use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
        match stream.consumer_info(name).await {
            Ok(_) => Ok(true),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::StreamNotFound) => {
                Ok(false)
            }
            Err(error) => Err(api(error)),
        }
    }

    /// Lets the broker give out nothing for `pause`.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn pause(&self, name: &str, pause: Duration) -> Result<(), BusError> {
        let until = OffsetDateTime::now_utc() + pause;
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        stream.pause_consumer(&consumer, until).await.map_err(api)?;
        Ok(())
    }

    /// Ends a pause.
    ///
    /// # Errors
    /// When the broker does not answer.
    pub async fn resume(&self, name: &str) -> Result<(), BusError> {
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        stream.resume_consumer(&consumer).await.map_err(api)?;
        Ok(())
    }

    /// How far a durable is.
    ///
    /// # Errors
    /// When the broker does not answer, or has no such durable.
    pub async fn lag(&self, name: &str) -> Result<Lag, BusError> {
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        let info = stream.consumer_info(&consumer).await.map_err(api)?;
        // What the stream lacks is waited for like what it has.
        let missing = self.ledger.missing(name).await.map_err(api)?;
        Ok(Lag {
            pending: info.num_pending + missing,
            ack_pending: info.num_ack_pending as u64,
            redelivered: info.num_redelivered as u64,
            ack_floor: info.ack_floor.stream_sequence,
            paused_for: info.pause_remaining.filter(|_| info.paused),
        })
    }

    /// Where a durable stands in the stream; `None` for one that the broker does not have at this moment.
    ///
    /// # Errors
    /// When the broker or the database does not answer.
    pub async fn position(&self, name: &str) -> Result<Option<Position>, BusError> {
        use async_nats::jetstream::context::ConsumerInfoErrorKind as Kind;
        let declared = self.bus.stream_created().await?;
        let (stream, consumer) = (self.stream().await?, self.consumer_of(name).await?);
        match stream.consumer_info(&consumer).await {
            Ok(info) => Ok(Some(Position {
                stream: declared,
                pending: info.num_pending,
                floor: info.ack_floor.stream_sequence,
            })),
            Err(error) if matches!(error.kind(), Kind::NotFound | Kind::StreamNotFound) => Ok(None),
            Err(error) => Err(api(error)),
        }
    }

    /// Puts events in again for one durable, and waits until the broker has them. Returns the number in the stream of the last one, 0 without any.
    ///
    /// # Errors
    /// At the first that is not acknowledged.
    pub async fn put(&self, name: &str, events: &[ReplayedEvent]) -> Result<u64, BusError> {
        let subject = self.bus.subjects.replay(name);
        let mut last = 0;
        for chunk in events.chunks(256) {
            let mut acks = Vec::with_capacity(chunk.len());
            for event in chunk {
                let mut headers = HeaderMap::new();
                let id = format!("replay-{}", ulid::Ulid::generate());
                headers.insert(NATS_MESSAGE_ID, id);
                headers.insert(EVENT_ID_HEADER, event.event_id.as_str());
                headers.insert(EVENT_TYPE_HEADER, event.kind.as_str());
                headers.insert(publish::OWNER_HEADER, publish::header_text(&event.owner));
                let trace = TraceParent::of(&event.event_id);
                headers.insert(publish::TRACE_HEADER, trace.to_string());
                if let Some(seq) = event.seq {
                    headers.insert(publish::SEQ_HEADER, seq.to_string());
                }
                let mut payload = event.payload.to_vec();
                let size = publish::size_of(&headers, payload.len());
                // What is in the log can be read there when it is given out.
                if event.seq.is_some() && self.bus.check_size(size).is_err() {
                    headers.insert(publish::REFERENCE_HEADER, "log");
                    payload.clear();
                }
                let ack = self
                    .bus
                    .send_message(subject.clone(), headers, payload)
                    .await?;
                acks.push(publish::wait_for(ack));
            }
            let stored = try_join_all(acks).await?;
            last = stored.into_iter().fold(last, u64::max);
        }
        Ok(last)
    }

    /// Gives the events of a durable to `consumer` until `stop`, then waits for those in flight.
    pub async fn run(
        self: Arc<Self>,
        spec: ConsumerSpec,
        consumer: Arc<dyn Consumer>,
        stop: CancellationToken,
    ) {
        give::run(self, spec, consumer, stop).await;
    }
}

impl<L> Durables<L> {
    /// The event that a message of the stream carries, or refers to; `None` for what is none.
    ///
    /// # Errors
    /// When it has to be read from the log and the database does not answer.
    async fn event_of(
        &self,
        message: &jetstream::Message,
    ) -> crate::domain::Result<Option<Delivery>> {
        let Some(mut event) = delivery(&self.bus.subjects, message) else {
            return Ok(None);
        };
        if publish::header(message, publish::REFERENCE_HEADER).is_some() {
            let Some(found) = self.backfill.find(&event.event_id).await? else {
                return Ok(None);
            };
            event.payload = found.payload;
        }
        Ok(Some(event))
    }
}

/// The event of a message as far as the message itself says it.
fn delivery(subjects: &super::Subjects, message: &jetstream::Message) -> Option<Delivery> {
    let header = |name| publish::header(message, name);
    let replayed = header(EVENT_ID_HEADER);
    let event_id: EventId = match replayed {
        Some(id) => id.parse().ok()?,
        None => header(NATS_MESSAGE_ID)?.parse().ok()?,
    };
    let kind = match header(EVENT_TYPE_HEADER) {
        Some(kind) => kind,
        None => subjects.type_of(&message.subject)?,
    };
    let trace = header(publish::TRACE_HEADER).and_then(|text| text.parse().ok());
    let attempt = message.info().map_or(1, |info| info.delivered);
    Some(Delivery {
        trace: trace.unwrap_or_else(|| TraceParent::of(&event_id)),
        event_id,
        kind: kind.to_owned(),
        owner: publish::parse_owner(header(publish::OWNER_HEADER)?)?.key(),
        seq: header(publish::SEQ_HEADER).and_then(|seq| seq.parse().ok()),
        payload: Bytes::clone(&message.payload),
        attempt: u32::try_from(attempt).unwrap_or(1).max(1),
        is_replay: replayed.is_some(),
    })
}

/// An entry as it is put into the stream again for one durable.
pub fn replay_of(entry: &Entry) -> Option<ReplayedEvent> {
    let payload = serde_json::to_vec(&catalogue::envelope(entry)).ok()?;
    Some(ReplayedEvent {
        event_id: entry.id.clone(),
        kind: entry.body.kind().as_str().to_owned(),
        owner: entry.owner.key(),
        seq: Some(entry.seq),
        payload: Bytes::from(payload),
    })
}

/// The types of a spec as a set, for filtering what comes from the database.
fn wanted(spec: &ConsumerSpec) -> Option<HashSet<&'static str>> {
    let kinds = spec.events.as_ref()?;
    Some(kinds.iter().map(|kind| kind.as_str()).collect())
}

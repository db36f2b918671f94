//! How far every durable of the stream is, whoever made it: plugins, the core, hosts.
//!
//! The broker is asked once for all of them, and at most every few seconds however often somebody wants to know. Only a durable that is behind and has
//! moved since the last look costs a question more: how old its oldest event is.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::Info,
    stream::{RawMessageErrorKind, Stream},
};
use chat_sdk::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::Mutex, time::Instant};

use super::{Bus, BusError, StreamError};

/// How long what was found is told again before the broker is asked anew.
pub const PERIOD: Duration = Duration::from_secs(5);
/// How long the broker may take in all.
const PATIENCE: Duration = Duration::from_secs(2);
/// The most consumers that are looked at; the broker answers 256 at a time.
const MAX_CONSUMERS: usize = 2560;
/// The most durables whose oldest event is asked for in one look. The others keep what was known of them, and have their turn.
const MAX_ASKED: usize = 64;
/// How many questions are under way at once.
const ASKED_AT_ONCE: usize = 8;
/// How long the oldest event of a durable that does not move is believed to be the same: it may expire.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// How far one durable is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableLag {
    /// Its name.
    pub name: String,
    /// Events that it has not been given yet, with those that the stream lacks.
    pub pending: u64,
    /// How many of these may be missing in the stream and are still to be put back.
    pub to_put_back: u64,
    /// Events that were given out and are not settled.
    pub in_flight: u64,
    /// How many of these were given out more than once.
    pub retrying: u64,
    /// When its oldest event that is not settled came into the stream; `None` when everything is settled, or nobody has looked yet.
    pub oldest: Option<Timestamp>,
    /// How much longer it is paused.
    pub paused_for: Option<Duration>,
}

impl DurableLag {
    /// How old its oldest event is that is not settled; zero when there is none.
    pub fn oldest_age(&self, now: Timestamp) -> Duration {
        let millis = |since: Timestamp| now.as_millis() - since.as_millis();
        let age = self.oldest.map_or(0, millis);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }
}

/// Those furthest behind first.
pub fn sort(durables: &mut [DurableLag]) {
    durables.sort_by(|a, b| {
        let age = |lag: &DurableLag| lag.oldest.map_or(i64::MAX, Timestamp::as_millis);
        let count = |lag: &DurableLag| lag.pending + lag.in_flight;
        (age(a), count(b), &a.name).cmp(&(age(b), count(a), &b.name))
    });
}

/// The oldest event of a durable, as it was found.
#[derive(Clone, Copy)]
struct Oldest {
    /// Everything up to here was settled then.
    floor: u64,
    since: Option<Timestamp>,
    asked: Instant,
}

/// One look.
struct Look {
    at: Instant,
    /// Those furthest behind first; `None` when the broker did not answer.
    found: Option<Arc<Vec<DurableLag>>>,
}

#[derive(Default)]
struct Known {
    last: Option<Look>,
    /// By the name of the consumer in the broker.
    oldest: HashMap<String, Oldest>,
}

/// Looks at all durables, now and then.
pub struct Lags {
    bus: Bus,
    known: Mutex<Known>,
}

impl Lags {
    /// Looks through `bus`.
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            known: Mutex::default(),
        }
    }

    /// Every durable, those furthest behind first, as it was at most [`PERIOD`] ago; `None` while the broker does not answer.
    pub async fn all(&self) -> Option<Arc<Vec<DurableLag>>> {
        // Who comes while somebody looks waits for what they find.
        let mut known = self.known.lock().await;
        if let Some(look) = &known.last
            && look.at.elapsed() < PERIOD
        {
            return look.found.clone();
        }
        let found = match tokio::time::timeout(PATIENCE, self.look(&mut known.oldest)).await {
            Ok(Ok(found)) => Some(Arc::new(found)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "the durables cannot be looked at");
                None
            }
            Err(_) => None,
        };
        known.last = Some(Look {
            at: Instant::now(),
            found: found.clone(),
        });
        found
    }

    async fn look(
        &self,
        oldest: &mut HashMap<String, Oldest>,
    ) -> Result<Vec<DurableLag>, BusError> {
        let api = |error: String| BusError::Stream(StreamError::Api(error));
        if !self.bus.is_connected() {
            return Err(api("not connected".to_owned()));
        }
        let stream = self
            .bus
            .jetstream
            .get_stream_no_info(self.bus.subjects.stream())
            .await
            .map_err(|error| api(error.to_string()))?;
        let consumers: Vec<Info> = stream
            .consumers()
            .take(MAX_CONSUMERS)
            .try_collect()
            .await
            .map_err(|error| api(error.to_string()))?;
        // Readers without a name to come back under, such as every process's tail, owe nobody anything.
        let durables: Vec<Info> = consumers
            .into_iter()
            .filter(|info| info.config.durable_name.is_some())
            .collect();
        self.ask(&stream, &durables, oldest).await;
        let mut found: Vec<DurableLag> = durables
            .iter()
            .map(|info| DurableLag {
                name: self.name_of(info),
                pending: info.num_pending,
                to_put_back: 0,
                in_flight: info.num_ack_pending as u64,
                retrying: info.num_redelivered as u64,
                oldest: oldest.get(&info.name).and_then(|known| known.since),
                paused_for: info.pause_remaining.filter(|_| info.paused),
            })
            .collect();
        sort(&mut found);
        Ok(found)
    }

    /// Brings `oldest` to what is true of `durables`, as far as one look may cost.
    async fn ask(
        &self,
        stream: &Stream<()>,
        durables: &[Info],
        oldest: &mut HashMap<String, Oldest>,
    ) {
        let behind: HashMap<&str, u64> = durables
            .iter()
            .filter(|info| info.num_pending > 0 || info.num_ack_pending > 0)
            .map(|info| (info.name.as_str(), info.ack_floor.stream_sequence))
            .collect();
        oldest.retain(|name, _| behind.contains_key(name.as_str()));
        let mut moved: Vec<&Info> = durables
            .iter()
            .filter(|info| {
                let Some(floor) = behind.get(info.name.as_str()) else {
                    return false;
                };
                oldest
                    .get(&info.name)
                    .is_none_or(|known| known.floor != *floor || known.asked.elapsed() >= KNOWN_FOR)
            })
            .collect();
        moved.sort_by_key(|info| oldest.get(&info.name).map(|known| known.asked));
        moved.truncate(MAX_ASKED);
        let questions: Vec<Question> = moved.into_iter().map(Question::about).collect();
        let answers: Vec<(String, Oldest)> = stream::iter(questions)
            .map(|question| question.ask(stream.clone()))
            .buffer_unordered(ASKED_AT_ONCE)
            .collect()
            .await;
        oldest.extend(answers);
    }

    /// A durable's own name: its consumer has another one after a loss.
    fn name_of(&self, info: &Info) -> String {
        let filters = info.config.filter_subjects.iter();
        filters
            .chain([&info.config.filter_subject])
            .find_map(|filter| self.bus.subjects.durable_of_replay(filter))
            .unwrap_or(&info.name)
            .to_owned()
    }
}

/// When did the first message come that a consumer reads and has not settled?
struct Question {
    consumer: String,
    /// Everything up to here is settled.
    floor: u64,
    filters: Vec<String>,
}

impl Question {
    fn about(info: &Info) -> Self {
        let config = &info.config;
        let filters = match (&config.filter_subjects[..], config.filter_subject.as_str()) {
            ([], "") => vec![">".to_owned()],
            ([], one) => vec![one.to_owned()],
            (many, _) => many.to_vec(),
        };
        Self {
            consumer: info.name.clone(),
            floor: info.ack_floor.stream_sequence,
            filters,
        }
    }

    /// Asked of the stream's leader, as every message is.
    async fn ask(self, stream: Stream<()>) -> (String, Oldest) {
        let mut since: Option<Timestamp> = None;
        for filter in self.filters {
            let next = stream
                .raw_message_builder()
                .sequence(self.floor + 1)
                .next_by_subject(filter)
                .send()
                .await;
            match next {
                Ok(message) => {
                    let found = moment(message.time);
                    since = Some(since.map_or(found, |known| known.min(found)));
                }
                Err(error) if error.kind() == RawMessageErrorKind::NoMessageFound => {}
                // Without an answer the rest would have none either.
                Err(_) => break,
            }
        }
        let known = Oldest {
            floor: self.floor,
            since,
            asked: Instant::now(),
        };
        (self.consumer, known)
    }
}

fn moment(time: time::OffsetDateTime) -> Timestamp {
    Timestamp::from_millis(i64::try_from(time.unix_timestamp_nanos() / 1_000_000).unwrap_or(0))
}

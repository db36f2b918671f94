//! Lag of every durable of the stream, whoever created it: plugins, the core, hosts.
//!
//! The broker is queried once for all of them, and at most every few seconds, however often the lag is requested. Only a durable that is behind and has
//! moved since the last query costs one more: for the age of its oldest event.

use std::{collections::HashMap, sync::Arc, time::Duration};

use async_nats::jetstream::{
    consumer::Info,
    stream::{RawMessageErrorKind, Stream},
};
use chat_sdk::Timestamp;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::{sync::Mutex, time::Instant};

use super::{Bus, BusError, StreamError};

/// Time that a result is cached before the broker is queried again.
pub const PERIOD: Duration = Duration::from_secs(5);
/// Time limit of a whole query.
const TIMEOUT: Duration = Duration::from_secs(2);
/// Maximum number of consumers per query; the broker returns pages of 256.
const MAX_CONSUMERS: usize = 2560;
/// Maximum number of oldest-event look-ups per query.
///
/// The other durables keep their known value until their turn.
const MAX_ASKED: usize = 64;
/// Maximum number of concurrent look-ups.
const ASKED_AT_ONCE: usize = 8;
/// Time that the oldest event of a durable without progress is cached: it may expire.
const KNOWN_FOR: Duration = Duration::from_secs(60);

/// Lag of one durable.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DurableLag {
    /// Name of the durable.
    pub name: String,
    /// Number of events not delivered yet, including those missing in the stream.
    pub pending: u64,
    /// Number of pending events that may be missing in the stream and are still to be put back.
    pub to_put_back: u64,
    /// Number of events that were delivered and are not settled.
    pub in_flight: u64,
    /// Number of these events that were delivered more than once.
    pub retrying: u64,
    /// Time at which its oldest unsettled event entered the stream.
    ///
    /// `None` if every event is settled, or the time is not known yet.
    pub oldest: Option<Timestamp>,
    /// Remaining time of a pause.
    pub paused_for: Option<Duration>,
}

impl DurableLag {
    /// Returns the age of its oldest unsettled event; zero if there is none.
    pub fn oldest_age(&self, now: Timestamp) -> Duration {
        let millis = |since: Timestamp| now.as_millis() - since.as_millis();
        let age = self.oldest.map_or(0, millis);
        Duration::from_millis(u64::try_from(age).unwrap_or(0))
    }
}

/// Sorts durables by lag, largest first.
pub fn sort(durables: &mut [DurableLag]) {
    durables.sort_by(|a, b| {
        let age = |lag: &DurableLag| lag.oldest.map_or(i64::MAX, Timestamp::as_millis);
        let count = |lag: &DurableLag| lag.pending + lag.in_flight;
        (age(a), count(b), &a.name).cmp(&(age(b), count(a), &b.name))
    });
}

/// Cached oldest event of a durable.
#[derive(Clone, Copy)]
struct Oldest {
    /// Stream sequence up to which everything was settled at that time.
    floor: u64,
    since: Option<Timestamp>,
    asked: Instant,
}

/// Result of one query.
struct Look {
    at: Instant,
    /// Durables by lag, largest first; `None` if the broker did not answer.
    found: Option<Arc<Vec<DurableLag>>>,
}

#[derive(Default)]
struct Known {
    last: Option<Look>,
    /// Oldest events by the consumer's name in the broker.
    oldest: HashMap<String, Oldest>,
}

/// Queries the lag of all durables, with a cache.
pub struct Lags {
    bus: Bus,
    known: Mutex<Known>,
}

impl Lags {
    /// Returns a query on `bus`.
    pub fn new(bus: Bus) -> Self {
        Self {
            bus,
            known: Mutex::default(),
        }
    }

    /// Returns all durables by lag, largest first; `None` while the broker does not answer.
    ///
    /// The result is at most [`PERIOD`] old.
    pub async fn all(&self) -> Option<Arc<Vec<DurableLag>>> {
        // Concurrent callers wait for the query in progress and share its result.
        let mut known = self.known.lock().await;
        if let Some(look) = &known.last
            && look.at.elapsed() < PERIOD
        {
            return look.found.clone();
        }
        let found = match tokio::time::timeout(TIMEOUT, self.look(&mut known.oldest)).await {
            Ok(Ok(found)) => Some(Arc::new(found)),
            Ok(Err(error)) => {
                tracing::debug!(%error, "could not query the durables");
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
        // Consumers without a durable name, such as the tail of every process, have no lag that matters: they do not resume.
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

    /// Updates `oldest` for `durables`, within the limits of one query.
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

    /// Returns a durable's own name: its consumer gets another one after a loss.
    fn name_of(&self, info: &Info) -> String {
        let filters = info.config.filter_subjects.iter();
        filters
            .chain([&info.config.filter_subject])
            .find_map(|filter| self.bus.subjects.durable_of_replay(filter))
            .unwrap_or(&info.name)
            .to_owned()
    }
}

/// Query for the first message that a consumer reads and has not settled.
struct Question {
    consumer: String,
    /// Stream sequence up to which everything is settled.
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

    /// Runs the query. The stream's leader answers, as for every message.
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
                // If one filter gets no answer, the others would get none either.
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

//! Digests: several messages of a conversation within some seconds notify each member once.
//!
//! Each conversation with new messages has a state: the seq up to which members were notified, and the time at which the next digest is due. A message only
//! makes a digest due. The digest itself reads the messages and members when it is made, so it has no text that was deleted or read meanwhile.
//!
//! The range of a digest is stored before it is carried out, and ids of its events and pushes follow from the range. So after a crash the same digest is made
//! again, and nothing is published twice.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, Timestamp, UserId,
    plugin::{
        BoxFuture, Collection, Consumer, ConsumerSpec, Delivery, Filter, Host, HostError, Index,
        News, NewsMembers, NewsQuery, Order, StoredDate, Update, Verdict,
    },
};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use tokio::sync::Notify;

use crate::{Notifications, settings::Table};

/// Name of the durable.
const DURABLE: &str = "events";
/// Number of seqs before the first message of an unknown conversation that its first digest includes, because messages may be handled out of order.
const OUT_OF_ORDER: u64 = 32;
/// Time after which another worker makes a digest that was begun.
const LEASE: Duration = Duration::from_secs(30);
/// Time for which the state of a quiet conversation is kept. Older messages notify nobody.
const KEPT: Duration = Duration::from_secs(2 * 86_400);
/// Pause before an event is handled again after a fault of the database.
const AFTER_FAULT: Duration = Duration::from_secs(5);
/// Time before a known due digest in which a message still belongs to it without a write.
const MARGIN: i64 = 1000;
/// Maximum number of conversations whose next digest is remembered in memory.
const REMEMBERED: usize = 10_000;

/// State of a conversation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct State {
    /// Id of the conversation.
    #[serde(rename = "_id")]
    pub conversation: ConversationId,
    /// Seq up to which members were notified.
    pub done: u64,
    /// Last seq of the digest that was begun; 0 if none is.
    #[serde(default)]
    pub until: u64,
    /// Time at which a digest is due, in milliseconds since 1970; 0 if no message waits.
    due_at: i64,
    /// Number of messages that made a digest due.
    triggers: i64,
}

/// States of conversations.
pub struct Digests {
    states: Collection<State>,
    window: i64,
    /// Times at which the next digests are due, as far as this process knows.
    known: Mutex<HashMap<ConversationId, i64>>,
    /// Wakes the worker of this process, because a digest is due earlier than it knew.
    wake: Notify,
}

fn now() -> i64 {
    Timestamp::now().as_millis()
}

fn millis(duration: Duration) -> i64 {
    i64::try_from(duration.as_millis()).unwrap_or(i64::MAX)
}

impl Digests {
    /// Uses `collection` for the states.
    pub fn new(collection: Collection<State>, table: &Table) -> Self {
        Self {
            states: collection,
            window: i64::from(table.digest_seconds) * 1000,
            known: Mutex::default(),
            wake: Notify::new(),
        }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let indexes = [
            Index::new("due", &[("dueAt", Order::Ascending)]),
            Index::expiry("expiry", "touched", KEPT),
        ];
        self.states.create_indexes(indexes).await
    }

    /// Makes a digest of the conversation due because of the message with this seq.
    async fn trigger(&self, conversation: &ConversationId, seq: u64) -> Result<(), HostError> {
        let now = now();
        let known = self.known.lock().get(conversation).copied();
        if known.is_some_and(|due| due > now + MARGIN) {
            // That digest reads this message too.
            return Ok(());
        }
        let due = now + self.window;
        let id = || Filter::id(conversation.as_str());
        let update = Update::one(id())
            .increment("triggers", 1)
            .set(json!({ "touched": StoredDate::now() }))
            .or_insert(
                json!({ "done": seq.saturating_sub(OUT_OF_ORDER + 1), "until": 0, "dueAt": due }),
            );
        let Some(state) = self.states.find_and_update(update).await? else {
            return Err(HostError::Unavailable("a state was not stored".to_owned()));
        };
        let mut due_at = state.due_at;
        if due_at == 0 && state.done < seq {
            let update = Update::one(id().is("dueAt", 0)).set(json!({ "dueAt": due }));
            self.states.update(update).await?;
            due_at = due;
        }
        if due_at > now + self.window {
            // The digest is being made, and may not include this message.
            return Ok(());
        }
        let mut known = self.known.lock();
        if known.len() >= REMEMBERED {
            known.retain(|_, due| *due > now);
        }
        if known.len() < REMEMBERED {
            known.insert(conversation.clone(), due_at);
        }
        self.wake.notify_one();
        Ok(())
    }

    /// Returns the time until the next digest that this process knows of is due; an hour if it knows of none.
    pub fn time_to_next(&self) -> Duration {
        let now = now();
        let mut known = self.known.lock();
        // A digest that is due is taken from the database.
        known.retain(|_, due| *due > now);
        let next = known.values().min().map_or(3_600_000, |due| due - now);
        Duration::from_millis(next.unsigned_abs() + 1)
    }

    /// Waits for `pause`, or until a new digest is due.
    pub async fn wait(&self, pause: Duration) {
        let _ = tokio::time::timeout(pause, self.wake.notified()).await;
    }

    /// Takes a conversation whose digest is due; `None` if there is none.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn take(&self) -> Result<Option<State>, HostError> {
        let now = now();
        let filter = Filter::all().at_least("dueAt", 1).below("dueAt", now + 1);
        let update = Update::one(filter).set(json!({ "dueAt": now + millis(LEASE) }));
        self.states.find_and_update(update).await
    }

    /// Stores the range of a digest before it is carried out. Returns false if another worker has taken the conversation.
    async fn begin(&self, state: &mut State, until: u64) -> Result<bool, HostError> {
        let filter = Filter::id(state.conversation.as_str()).is("dueAt", state.due_at);
        let update = Update::one(filter).set(json!({ "until": until }));
        state.until = until;
        Ok(self.states.update(update).await? > 0)
    }

    /// Stores that the digest was made. Messages that arrived meanwhile make the next one due.
    async fn finish(&self, state: &State) -> Result<(), HostError> {
        let filter = || Filter::id(state.conversation.as_str()).is("dueAt", state.due_at);
        let done = json!({ "done": state.until.max(state.done), "until": 0, "dueAt": 0 });
        let quiet = Update::one(filter().is("triggers", state.triggers)).set(done);
        if self.states.update(quiet).await? == 0 {
            let due = now() + self.window;
            let done = json!({ "done": state.until.max(state.done), "until": 0, "dueAt": due });
            self.states.update(Update::one(filter()).set(done)).await?;
        }
        Ok(())
    }
}

/// Consumer of the plugin's durable: messages make digests due, and deleted users are forgotten.
struct Events(Arc<Notifications>);

/// Parts of an envelope that the consumer reads.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Envelope {
    timestamp: Timestamp,
}

impl Consumer for Events {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            match self.0.handle(&delivery).await {
                Ok(()) => Verdict::Done,
                Err(error) => {
                    tracing::warn!(%error, kind = delivery.kind, "event could not be handled");
                    Verdict::RetryAfter(AFTER_FAULT)
                }
            }
        })
    }
}

impl Notifications {
    async fn handle(&self, delivery: &Delivery) -> Result<(), HostError> {
        if let Some(user) = delivery.owner.strip_prefix("user:") {
            let Ok(envelope) = serde_json::from_slice::<Envelope>(&delivery.payload) else {
                return Ok(());
            };
            let until = envelope.timestamp.as_millis();
            self.items.forget(user, until).await?;
            return self.forget_devices(user, until).await;
        }
        let conversation = delivery.owner.parse::<ConversationId>();
        match (conversation, delivery.seq) {
            (Ok(conversation), Some(seq)) => self.digests.trigger(&conversation, seq).await,
            _ => Ok(()),
        }
    }
}

fn spec() -> ConsumerSpec {
    use chat_sdk::EventType::{MessageCreated, UserDeleted};
    ConsumerSpec {
        name: DURABLE.to_owned(),
        events: Some(vec![MessageCreated, UserDeleted]),
        concurrency: 32,
        max_pending: 1000,
        ack_wait: Duration::from_secs(30),
    }
}

/// Declares the durable.
///
/// # Errors
/// [`HostError::Unavailable`].
pub async fn declare(host: &Host) -> Result<(), HostError> {
    Ok(host.events.declare(spec()).await?)
}

/// Handles events until `stop`.
pub fn run(
    plugin: &Arc<Notifications>,
    stop: chat_sdk::plugin::CancellationToken,
) -> BoxFuture<'static, ()> {
    let consumer = Arc::new(Events(Arc::clone(plugin)));
    plugin.host.events.run(spec(), consumer, stop)
}

/// Range and recipients of one page of a digest.
pub struct Page<'a> {
    /// Id of the conversation.
    pub conversation: &'a ConversationId,
    /// Seq after which the messages lie.
    pub after: u64,
    /// Seq of the last message.
    pub until: u64,
    /// Last member of the previous page; `None` for the first page.
    pub previous: Option<&'a UserId>,
    /// Messages and recipients.
    pub news: &'a News,
}

/// Makes the digest of a conversation: publishes the recipients and queues their pushes.
///
/// # Errors
/// [`HostError`]; a worker makes the digest again when its lease ends.
pub async fn make(plugin: &Arc<Notifications>, mut state: State) -> Result<(), HostError> {
    let audience = &plugin.host.audience;
    if state.until <= state.done {
        let newest = audience.newest_seq(&state.conversation).await?;
        let until = newest.unwrap_or(0).max(state.done);
        if !plugin.digests.begin(&mut state, until).await? {
            return Ok(());
        }
    } else {
        // The digest was begun before: messages that arrived since then are not in its range, so another one must follow.
        state.triggers = -1;
    }
    let table = &plugin.settings.table;
    let mut previous: Option<UserId> = None;
    loop {
        let query = NewsQuery {
            conversation: state.conversation.clone(),
            after: state.done,
            until: state.until,
            not_before: plugin.not_before(),
            large_from: table.large_conversation,
            members: NewsMembers::After(previous.clone()),
        };
        let Some(news) = audience.news(query).await? else {
            break;
        };
        if previous.is_none() && news.too_old > 0 {
            metrics::counter!("chat_notifications_dropped_total", "reason" => "age")
                .increment(u64::from(news.too_old));
        }
        if !news.recipients.is_empty() {
            let page = Page {
                conversation: &state.conversation,
                after: state.done,
                until: state.until,
                previous: previous.as_ref(),
                news: &news,
            };
            plugin.announce_messages(&page).await?;
            plugin.push_messages(&page).await?;
        }
        match news.next {
            Some(next) => previous = Some(next),
            None => break,
        }
    }
    plugin.digests.finish(&state).await
}

impl Notifications {
    /// Returns the time before which messages notify nobody.
    pub fn not_before(&self) -> Timestamp {
        Timestamp::from_millis(now() - i64::from(self.settings.table.max_age_seconds) * 1000)
    }
}

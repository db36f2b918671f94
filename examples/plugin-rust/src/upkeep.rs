//! Work in the background: polls close on time, results that a dying process did not publish are published, and data of what was deleted is removed.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    EventType, MessageId, Timestamp, UserId,
    plugin::{BoxFuture, Consumer, ConsumerSpec, Delivery, HostError, PluginContext, Verdict},
};
use serde::Deserialize;

use crate::PollsPlugin;

/// Time between two sweeps.
const SWEEP_PERIOD: Duration = Duration::from_secs(1);
/// Duration of the lease; another process sweeps this long after a death.
const LEASE: Duration = Duration::from_secs(5);
/// Time after which an unpublished change counts as left behind, in milliseconds.
const LEFT_BEHIND: i64 = 2000;
/// Maximum number of items of one read.
const BATCH: usize = 100;
/// Pause before an event is delivered again that could not be handled.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// Works until `context.stop`.
pub async fn run(plugin: Arc<PollsPlugin>, context: PluginContext) -> Result<(), HostError> {
    let spec = ConsumerSpec {
        name: "deleted".to_owned(),
        events: Some(vec![
            EventType::MessageDeleted,
            EventType::MessageRestored,
            EventType::ConversationDeleted,
            EventType::UserDeleted,
        ]),
        // One at a time, so that a deletion and a restoration keep their order.
        concurrency: 1,
        max_pending: 1000,
        ack_wait: Duration::from_secs(60),
    };
    let events = &plugin.host.events;
    events.declare(spec.clone()).await?;
    let consumer: Arc<dyn Consumer> = Arc::new(Deleted(Arc::clone(&plugin)));
    let consume = events.run(spec, consumer, context.stop.clone());
    let work = async { tokio::join!(consume, sweep(&plugin, &context)) };
    context.beat_while(work).await;
    Ok(())
}

/// Sweeps while this process holds the lease.
async fn sweep(plugin: &PollsPlugin, context: &PluginContext) {
    loop {
        let pause = tokio::time::sleep(SWEEP_PERIOD);
        if context.stop.run_until_cancelled(pause).await.is_none() {
            break;
        }
        // An item that fails stays in its index, and the next sweep tries it again.
        if plugin.host.leases.take("sweep", LEASE).await == Ok(true)
            && plugin.sweep_once().await.is_err()
        {
            metrics::counter!("chat_polls_sweep_failures_total").increment(1);
        }
    }
    plugin.host.leases.release("sweep").await;
}

impl PollsPlugin {
    async fn sweep_once(&self) -> Result<(), HostError> {
        let now = Timestamp::now();
        // One poll that fails does not stop the others.
        let mut outcome = Ok(());
        for poll in self.polls.due(now, BATCH).await? {
            outcome = outcome.and(self.close_due(&poll).await);
        }
        let before = now.as_millis() - LEFT_BEHIND;
        for poll in self.polls.stale(before, BATCH).await? {
            outcome = outcome.and(self.publish_next(&poll.id).await.map(drop));
        }
        for poll in self.polls.gone(now, BATCH).await? {
            outcome = outcome.and(self.remove(&poll.id).await);
        }
        outcome
    }

    /// Removes a poll and its votes. The poll is last, so that a repetition finds it.
    async fn remove(&self, poll: &MessageId) -> Result<(), HostError> {
        self.votes.remove_of(poll).await?;
        self.polls.remove(poll).await
    }

    /// Removes the votes that a deleted user gave up to `until`, and publishes the results without them.
    async fn remove_votes(&self, user: &UserId, until: Timestamp) -> Result<(), HostError> {
        loop {
            let votes = self.votes.of_user(user, until, BATCH).await?;
            if votes.is_empty() {
                return Ok(());
            }
            for vote in votes {
                // The mark is first: if this process dies in between, the sweep publishes the poll.
                self.polls.mark(&vote.poll_id).await?;
                self.votes.remove(&vote).await?;
                self.publish_next(&vote.poll_id).await?;
            }
        }
    }
}

/// Consumer of deletions.
struct Deleted(Arc<PollsPlugin>);

/// The parts of an envelope that are read.
#[derive(Deserialize)]
struct Envelope {
    timestamp: Timestamp,
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    message_id: Option<MessageId>,
    #[serde(default)]
    is_expired: bool,
}

impl Deleted {
    async fn apply(&self, delivery: &Delivery, envelope: Envelope) -> Result<(), HostError> {
        let plugin = &self.0;
        let seq = delivery.seq.unwrap_or_default();
        let kind: Option<EventType> = delivery.kind.parse().ok();
        match (kind, envelope.data.message_id) {
            (Some(EventType::MessageDeleted), Some(id)) if envelope.data.is_expired => {
                plugin.remove(&id).await
            }
            (Some(EventType::MessageDeleted), Some(id)) => {
                let keep = i64::from(plugin.settings.keep_deleted_days) * 86_400_000;
                let at = envelope.timestamp.as_millis() + keep;
                plugin.polls.set_removal(&id, Some(at), seq).await
            }
            (Some(EventType::MessageRestored), Some(id)) => {
                plugin.polls.set_removal(&id, None, seq).await
            }
            (Some(EventType::ConversationDeleted), _) => {
                let Ok(conversation) = delivery.owner.parse() else {
                    return Ok(());
                };
                plugin.votes.remove_all(&conversation).await?;
                plugin.polls.remove_all(&conversation).await
            }
            (Some(EventType::UserDeleted), _) => {
                let user = delivery.owner.strip_prefix("user:");
                match user.and_then(|id| UserId::stored(id).ok()) {
                    Some(user) => plugin.remove_votes(&user, envelope.timestamp).await,
                    None => Ok(()),
                }
            }
            _ => Ok(()),
        }
    }
}

impl Consumer for Deleted {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            let Ok(envelope) = serde_json::from_slice(&delivery.payload) else {
                return Verdict::Drop("its envelope cannot be parsed".to_owned());
            };
            match self.apply(&delivery, envelope).await {
                Ok(()) => Verdict::Done,
                Err(_) => Verdict::RetryAfter(AFTER_FAULT),
            }
        })
    }
}

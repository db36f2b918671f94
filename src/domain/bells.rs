//! Bells: whoever makes something that will be due rings, here and in all other processes, so that whoever waits for it need not ask the database twice a
//! second.
//!
//! They are a hint. What nobody rang for is found by a look that comes now and then.

use std::sync::atomic::{AtomicI64, Ordering};

use chat_sdk::Timestamp;
use tokio::sync::Notify;

use super::entry::{Body, Entry};

/// A bell for one kind of thing. Of what it was rung for since it was last heard, it keeps the earliest moment: who looks then sees the others.
#[derive(Debug)]
pub struct Bell {
    soonest: AtomicI64,
    wake: Notify,
}

impl Default for Bell {
    fn default() -> Self {
        Self {
            soonest: AtomicI64::new(i64::MAX),
            wake: Notify::new(),
        }
    }
}

impl Bell {
    /// Says that something will be due at `at`. It must be in the database by now.
    pub fn ring(&self, at: Timestamp) {
        self.soonest.fetch_min(at.as_millis(), Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits until it is rung, and answers for when at the earliest. One listens at a time; nothing is lost when the wait is dropped.
    pub async fn notified(&self) -> Timestamp {
        loop {
            self.wake.notified().await;
            let soonest = self.soonest.swap(i64::MAX, Ordering::AcqRel);
            if soonest != i64::MAX {
                return Timestamp::from_millis(soonest);
            }
        }
    }
}

/// The bells of this process.
#[derive(Debug, Default)]
pub struct DueNotifier {
    /// Messages that were scheduled, here or elsewhere.
    pub scheduled: Bell,
    /// Messages with an end, sent here or elsewhere.
    pub expiring: Bell,
    /// What was scheduled or sent here, of which the other processes must hear.
    pub abroad: Bell,
    /// Erasures that this process was asked for.
    pub erasing: Bell,
}

impl DueNotifier {
    /// Says that this process scheduled a message for `at`.
    pub fn ring_scheduled(&self, at: Timestamp) {
        self.scheduled.ring(at);
        self.abroad.ring(at);
    }

    /// Says that this process sent the message of `entry`, if it has an end.
    pub fn notify(&self, entry: &Entry) {
        if let Body::MessageCreated(message) = &entry.body
            && let Some(at) = message.expires_at
        {
            let at = Timestamp::from_millis(at);
            self.expiring.ring(at);
            self.abroad.ring(at);
        }
    }

    /// Says that another process scheduled or sent something that will be due at `at`.
    pub fn ring_from_abroad(&self, at: Timestamp) {
        self.scheduled.ring(at);
        self.expiring.ring(at);
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::{ConversationId, EventId};
    use futures_util::poll;
    use serde_json::json;

    use super::*;
    use crate::domain::messages::created;

    #[tokio::test]
    async fn a_bell_tells_the_earliest_moment_once_also_to_who_comes_later() {
        let bell = Bell::default();
        for at in [300, 100, 200] {
            bell.ring(Timestamp::from_millis(at));
        }
        assert_eq!(bell.notified().await, Timestamp::from_millis(100));
        {
            let mut notified = std::pin::pin!(bell.notified());
            assert!(poll!(&mut notified).is_pending(), "it was heard");
            bell.ring(Timestamp::from_millis(400));
            // Nobody asks this one any more.
        }
        assert_eq!(bell.notified().await, Timestamp::from_millis(400));
    }

    #[tokio::test]
    async fn a_message_with_an_end_is_heard_here_and_abroad() {
        let message = |draft: serde_json::Value| Entry {
            id: EventId::generate(),
            owner: ConversationId::generate().into(),
            seq: 1,
            actor: None,
            at: Timestamp::now(),
            body: Body::MessageCreated(Box::new(created(
                serde_json::from_value(draft).expect("a draft"),
                None,
            ))),
            trace: None,
        };
        let bells = DueNotifier::default();
        let ends = message(json!({ "content": "x", "ttlSeconds": 5 }));
        let Body::MessageCreated(body) = &ends.body else {
            unreachable!("it was made as a message")
        };
        let end = Timestamp::from_millis(body.expires_at.expect("an end"));
        bells.notify(&message(json!({ "content": "x" })));
        bells.notify(&ends);
        assert_eq!(bells.expiring.notified().await, end);
        assert_eq!(bells.abroad.notified().await, end);
    }
}

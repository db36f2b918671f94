//! Notifications of items that will become due, here and in all other processes. They spare the timers a query of the database twice a second.
//!
//! They are a hint: an item without a notification is found by a poll at a longer interval.

use std::sync::atomic::{AtomicI64, Ordering};

use chat_sdk::Timestamp;
use tokio::sync::Notify;

use super::entry::{Body, Entry};

/// Notifier for one kind of item.
///
/// Keeps the earliest due time since the last wait: a timer that looks then sees the others.
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
    /// Notifies that an item will be due at `at`. It must be in the database by now.
    pub fn ring(&self, at: Timestamp) {
        self.soonest.fetch_min(at.as_millis(), Ordering::AcqRel);
        self.wake.notify_one();
    }

    /// Waits for a notification and returns the earliest due time.
    ///
    /// Allows one waiter; a cancelled wait loses nothing.
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

/// Notifiers of this process.
#[derive(Debug, Default)]
pub struct DueNotifier {
    /// Scheduled messages, of this and other processes.
    pub scheduled: Bell,
    /// Messages that expire, of this and other processes.
    pub expiring: Bell,
    /// Items scheduled or sent by this process, to be forwarded to the other processes.
    pub abroad: Bell,
    /// Erasures that this process was asked to run.
    pub erasing: Bell,
}

impl DueNotifier {
    /// Notifies that this process scheduled a message for `at`.
    pub fn ring_scheduled(&self, at: Timestamp) {
        self.scheduled.ring(at);
        self.abroad.ring(at);
    }

    /// Notifies that this process sent the message of `entry`, if the message expires.
    pub fn notify(&self, entry: &Entry) {
        if let Body::MessageCreated(message) = &entry.body
            && let Some(at) = message.expires_at
        {
            let at = Timestamp::from_millis(at);
            self.expiring.ring(at);
            self.abroad.ring(at);
        }
    }

    /// Notifies that another process scheduled or sent an item that will be due at `at`.
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
    async fn a_notification_has_the_earliest_time_once_also_for_a_later_waiter() {
        let bell = Bell::default();
        for at in [300, 100, 200] {
            bell.ring(Timestamp::from_millis(at));
        }
        assert_eq!(bell.notified().await, Timestamp::from_millis(100));
        {
            let mut notified = std::pin::pin!(bell.notified());
            assert!(poll!(&mut notified).is_pending(), "it was heard");
            bell.ring(Timestamp::from_millis(400));
            // The wait is cancelled here.
        }
        assert_eq!(bell.notified().await, Timestamp::from_millis(400));
    }

    #[tokio::test]
    async fn a_message_that_expires_notifies_here_and_elsewhere() {
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

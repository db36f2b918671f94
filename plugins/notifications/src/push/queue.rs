//! Pushes that wait to be sent: at most one per device and subject. A subject is a conversation or a notification.
//!
//! A queued push of a conversation grows with the next digest instead of being followed by another push. A sent push stays as a mark for a while, so that
//! repeated work does not send it again.

use std::time::Duration;

use chat_sdk::{
    ConversationId, Timestamp, UserId,
    plugin::{Collection, Filter, HostError, Index, Order, Query, StoredDate, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::subscriptions::{Device, now};
use crate::ids;

/// Time after which another worker sends a push that was taken.
const LEASE: Duration = Duration::from_secs(60);
/// Maximum number of pushes that are read at once.
pub const AT_ONCE: usize = 200;

/// Subject of a push.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", tag = "kind")]
pub enum Subject {
    /// New messages of a conversation.
    Messages {
        /// Id of the conversation.
        conversation: ConversationId,
    },
    /// A notification of the host.
    Notification {
        /// Id of the notification.
        notification: String,
    },
}

impl Subject {
    fn key(&self) -> &str {
        match self {
            Self::Messages { conversation } => conversation.as_str(),
            Self::Notification { notification } => notification,
        }
    }

    /// Returns the `Topic` of its pushes, by which a push service replaces an older push: 32 letters and digits.
    pub fn topic(&self) -> String {
        // Only letters and digits: some push services accept no other characters.
        let suffix = ids::event_suffix(&["topic", self.key()]);
        format!("{suffix:0<32}")
    }
}

/// Push as it is stored.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Push {
    /// Id of the device and key of the subject.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the device.
    pub device: String,
    /// Id of the user for whom it was made.
    pub user_id: UserId,
    /// Subject of the push.
    pub subject: Subject,
    /// Seq after which the messages lie; 0 for a notification.
    pub after: u64,
    /// Seq of the last message; 1 for a notification.
    pub until: u64,
    /// True if it was made because of a mention, or by the host.
    pub is_urgent: bool,
    /// Number of attempts.
    pub attempts: i64,
    /// Time of the next attempt, in milliseconds since 1970; 0 if it was sent.
    pub due_at: i64,
    /// Number of digests that are in it.
    pub revision: i64,
    /// Time from which it is sent to nobody, in milliseconds since 1970.
    pub expires_at: i64,
}

/// Push to queue.
pub struct NewPush<'a> {
    /// Device that receives it.
    pub device: &'a Device,
    /// Subject of the push.
    pub subject: Subject,
    /// Range of the messages; `(0, 1)` for a notification.
    pub range: (u64, u64),
    /// True if it is made because of a mention, or by the host.
    pub is_urgent: bool,
}

/// Collection of pushes.
pub struct Queue {
    pushes: Collection<Push>,
    ttl: i64,
}

impl Queue {
    /// Uses `collection` for the pushes, which are kept for `ttl`.
    pub fn new(collection: Collection<Push>, ttl: Duration) -> Self {
        Self {
            pushes: collection,
            ttl: i64::try_from(ttl.as_millis()).unwrap_or(i64::MAX),
        }
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let indexes = [
            Index::new("due", &[("dueAt", Order::Ascending)]),
            Index::new("device", &[("device", Order::Ascending)]),
            Index::expiry("expiry", "removeAt", Duration::ZERO),
        ];
        self.pushes.create_indexes(indexes).await
    }

    /// Queues pushes. One whose range was queued or sent already changes nothing.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn put(&self, pushes: &[NewPush<'_>]) -> Result<(), HostError> {
        let now = now();
        let mut updates = Vec::with_capacity(3 * pushes.len());
        for push in pushes {
            let id = format!("{}:{}", push.device.id, push.subject.key());
            let (after, until) = push.range;
            let remove_at = StoredDate(Timestamp::from_millis(now + self.ttl));
            let mut more = json!({
                "until": until, "expiresAt": now + self.ttl, "removeAt": remove_at,
                "userId": push.device.user_id,
            });
            if push.is_urgent {
                more["isUrgent"] = json!(true);
            }
            let older = || Filter::id(id.as_str()).below("until", until);
            // A sent one begins anew; a waiting one grows and keeps the time of its next attempt.
            let anew =
                json!({ "after": after, "attempts": 0, "dueAt": now, "isUrgent": push.is_urgent });
            updates.push(Update::one(older().is("dueAt", 0)).set(anew));
            updates.push(Update::one(older()).set(more).increment("revision", 1));
            updates.push(Update::one(Filter::id(id.as_str())).or_insert(json!({
                "device": push.device.id, "userId": push.device.user_id, "subject": push.subject,
                "after": after, "until": until, "isUrgent": push.is_urgent, "attempts": 0,
                "dueAt": now, "revision": 1, "expiresAt": now + self.ttl, "removeAt": remove_at,
            })));
        }
        self.pushes.update_each(updates).await.map(drop)
    }

    /// Returns pushes that are due, the longest waiting first.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn due(&self) -> Result<Vec<Push>, HostError> {
        let filter = Filter::all().at_least("dueAt", 1).below("dueAt", now() + 1);
        let query = Query::from(filter).sort("dueAt", Order::Ascending);
        Ok(self.pushes.find(query.limit(AT_ONCE)).await?.items)
    }

    /// Takes a push that is due; `None` if another worker has taken it.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn take(&self, push: &Push) -> Result<Option<Push>, HostError> {
        let lease = now() + i64::try_from(LEASE.as_millis()).unwrap_or(i64::MAX);
        let filter = Filter::id(push.id.as_str()).is("dueAt", push.due_at);
        let update = Update::one(filter)
            .increment("attempts", 1)
            .set(json!({ "dueAt": lease }));
        self.pushes.find_and_update(update).await
    }

    /// Marks a push as sent, unless it has grown meanwhile: then the rest is due at once.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn finish(&self, push: &Push) -> Result<(), HostError> {
        let filter = || Filter::id(push.id.as_str());
        let whole = filter().is("revision", push.revision);
        let is_whole = Update::one(whole).set(json!({ "dueAt": 0 }));
        if self.pushes.update(is_whole).await? == 0 {
            let rest = json!({ "after": push.until, "dueAt": now(), "attempts": 0 });
            let update = Update::one(filter().is("dueAt", push.due_at)).set(rest);
            self.pushes.update(update).await?;
        }
        Ok(())
    }

    /// Sets the time of the next attempt of a push that was taken.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn retry(&self, push: &Push, at: i64, is_attempt: bool) -> Result<(), HostError> {
        let filter = Filter::id(push.id.as_str()).is("dueAt", push.due_at);
        let mut update = Update::one(filter).set(json!({ "dueAt": at }));
        if !is_attempt {
            update = update.increment("attempts", -1);
        }
        self.pushes.update(update).await.map(drop)
    }

    /// Sets the time at which a push that was not taken is due.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn delay(&self, push: &Push, at: i64) -> Result<(), HostError> {
        self.retry(push, at, true).await
    }

    /// Sets the time before which no waiting push of a device is tried.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn hold(&self, device: &str, until: i64) -> Result<(), HostError> {
        let filter = Filter::all().is("device", device);
        let filter = filter.at_least("dueAt", 1).below("dueAt", until);
        self.pushes
            .update(Update::all(filter).set(json!({ "dueAt": until })))
            .await
            .map(drop)
    }

    /// Removes all pushes of a device.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn forget(&self, device: &str) -> Result<(), HostError> {
        self.pushes
            .delete(Filter::all().is("device", device))
            .await
            .map(drop)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn topics_are_letters_and_digits() {
        let subject = Subject::Notification {
            notification: "ntf_1".to_owned(),
        };
        let topic = subject.topic();
        assert_eq!(topic.len(), 32);
        assert!(topic.bytes().all(|byte| byte.is_ascii_alphanumeric()));
    }
}

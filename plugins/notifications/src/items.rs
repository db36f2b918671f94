//! Notifications of users, as they are stored: one document per recipient.

use chat_sdk::{
    Metadata, Timestamp, UserId,
    plugin::{Collection, Filter, Found, HostError, Index, Order, Query, StoredDate, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::{Value, json};
use std::time::Duration;

/// Maximum JSON size of a page, in bytes.
const MAX_PAGE_BYTES: usize = 1 << 20;

/// Content of a notification.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Content {
    /// Kind of the notification, in the host's terms.
    pub kind: String,
    /// Title, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// Text, for people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub body: Option<String>,
    /// Data of the host as JSON text, so that no key of the host has a meaning for the database.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub data: Option<String>,
}

impl Content {
    /// Returns the data of the host.
    pub fn data(&self) -> Option<Metadata> {
        let data = self.data.as_deref()?;
        serde_json::from_str(data).ok()
    }
}

/// Notification of one user.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct Item {
    /// Id of the notification.
    #[serde(rename = "_id")]
    pub id: String,
    /// Id of the recipient.
    pub user_id: UserId,
    /// Content.
    #[serde(flatten)]
    pub content: Content,
    /// Time of the call that made it, in milliseconds since 1970.
    pub created_at: i64,
    /// Time after which it is gone, in milliseconds since 1970.
    pub expires_at: i64,
    /// True if the user has read it.
    pub is_read: bool,
    /// Time at which the user read it, in milliseconds since 1970.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub read_at: Option<i64>,
}

/// Collection of notifications.
pub struct Items(Collection<Item>);

fn now() -> i64 {
    Timestamp::now().as_millis()
}

/// Returns the filter of the notifications of `user` that are not expired.
fn of(user: &UserId) -> Filter {
    Filter::all()
        .is("userId", user.as_str())
        .at_least("expiresAt", now())
}

impl Items {
    /// Uses `collection` for the notifications.
    pub fn new(collection: Collection<Item>) -> Self {
        Self(collection)
    }

    /// Creates the indexes.
    pub async fn prepare(&self) -> Result<(), HostError> {
        let newest = [("userId", Order::Ascending), ("_id", Order::Descending)];
        let unread = [
            ("userId", Order::Ascending),
            ("isRead", Order::Ascending),
            ("_id", Order::Descending),
        ];
        let indexes = [
            Index::new("newest", &newest),
            Index::new("unread", &unread),
            Index::expiry("expiry", "removeAt", Duration::ZERO),
        ];
        self.0.create_indexes(indexes).await
    }

    /// Stores notifications; those that exist already stay as they are.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn put(&self, items: &[Item]) -> Result<(), HostError> {
        let updates = items.iter().map(|item| {
            let mut fields = serde_json::to_value(item).unwrap_or_default();
            if let Some(fields) = fields.as_object_mut() {
                fields.remove("_id");
                let remove_at = StoredDate(Timestamp::from_millis(item.expires_at));
                fields.insert("removeAt".to_owned(), Value::from(remove_at));
            }
            Update::one(Filter::id(item.id.as_str())).or_insert(fields)
        });
        self.0.update_each(updates.collect()).await.map(drop)
    }

    /// Returns a notification of `user`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn get(&self, user: &UserId, id: &str) -> Result<Option<Item>, HostError> {
        self.0.first(of(user).is("_id", id)).await
    }

    /// Returns the notifications of `user`, newest first, after the one with the id `before`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn page(
        &self,
        user: &UserId,
        is_unread_only: bool,
        before: Option<&str>,
        limit: usize,
    ) -> Result<Found<Item>, HostError> {
        let mut filter = of(user);
        if is_unread_only {
            filter = filter.is("isRead", false);
        }
        if let Some(before) = before {
            filter = filter.below("_id", before);
        }
        let query = Query::from(filter).sort("_id", Order::Descending);
        self.0
            .find(query.limit(limit).max_bytes(MAX_PAGE_BYTES))
            .await
    }

    /// Returns the number of unread notifications of `user`.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn unread(&self, user: &UserId) -> Result<u64, HostError> {
        self.0.count(of(user).is("isRead", false)).await
    }

    /// Marks a notification as read, unless it is read already, and returns it; `None` if the user has no such notification.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn read(&self, user: &UserId, id: &str) -> Result<Option<Item>, HostError> {
        let filter = of(user).is("_id", id).is("isRead", false);
        let update = Update::one(filter).set(json!({ "isRead": true, "readAt": now() }));
        match self.0.find_and_update(update).await? {
            Some(item) => Ok(Some(item)),
            None => self.get(user, id).await,
        }
    }

    /// Marks all unread notifications of `user` that were made up to `until` (milliseconds since 1970) as read, and returns their number.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn read_all(&self, user: &UserId, until: i64) -> Result<u64, HostError> {
        let filter = of(user).is("isRead", false).below("createdAt", until + 1);
        let update = Update::all(filter).set(json!({ "isRead": true, "readAt": now() }));
        self.0.update(update).await
    }

    /// Removes a notification of `user`. Returns true if it existed.
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn remove(&self, user: &UserId, id: &str) -> Result<bool, HostError> {
        Ok(self.0.delete(of(user).is("_id", id)).await? > 0)
    }

    /// Removes all notifications of a deleted user that were made up to `until` (milliseconds since 1970).
    ///
    /// # Errors
    /// [`HostError::Unavailable`].
    pub async fn forget(&self, user: &str, until: i64) -> Result<(), HostError> {
        let filter = Filter::all().is("userId", user);
        self.0
            .delete(filter.below("createdAt", until + 1))
            .await
            .map(drop)
    }
}

//! Number of bytes that each user has stored. This module knows no files.

use chat_sdk::{
    UserId,
    plugin::{Collection, Filter, HostError, Update},
};
use serde::{Deserialize, Serialize};
use serde_json::json;

/// Number of bytes of a user.
#[derive(Debug, Serialize, Deserialize)]
pub struct Usage {
    #[serde(rename = "_id")]
    user: String,
    bytes: i64,
}

/// Collection of the numbers.
pub struct Quota {
    usage: Collection<Usage>,
    limit: i64,
}

impl Quota {
    /// Uses `collection` for the numbers; `limit` is the maximum of one user.
    pub fn new(usage: Collection<Usage>, limit: i64) -> Self {
        Self { usage, limit }
    }

    /// Reserves `bytes` for a user. Returns false if they would exceed the limit.
    pub async fn reserve(&self, user: &UserId, bytes: i64) -> Result<bool, HostError> {
        let id = || Filter::id(user.as_str());
        let room = id().below("bytes", self.limit.saturating_sub(bytes) + 1);
        let reserve = Update::one(room).increment("bytes", bytes);
        if bytes > self.limit {
            return Ok(false);
        }
        if self.usage.update(reserve.clone()).await? > 0 {
            return Ok(true);
        }
        let first = Update::one(id()).or_insert(json!({ "bytes": 0 }));
        self.usage.update(first).await?;
        Ok(self.usage.update(reserve).await? > 0)
    }

    /// Gives back `bytes` of a user.
    pub async fn release(&self, user: &UserId, bytes: i64) -> Result<(), HostError> {
        let update = Update::one(Filter::id(user.as_str())).increment("bytes", -bytes);
        self.usage.update(update).await.map(|_| ())
    }
}

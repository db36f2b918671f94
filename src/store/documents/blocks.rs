//! Blocks between users, as they are stored.

use chat_sdk::UserId;
use mongodb::bson::{DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::{date, number};
use crate::model::fold::BlockChange;

/// Stored block of one user by another.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct BlockDocument {
    pub(in crate::store) user_id: UserId,
    pub(in crate::store) blocked_user_id: UserId,
    pub(in crate::store) at: DateTime,
}

impl BlockDocument {
    /// Returns the blocking and the blocked user.
    pub fn into_pair(self) -> (UserId, UserId) {
        (self.user_id, self.blocked_user_id)
    }
}

/// The length of the first part keeps the two ids from being confused.
pub(in crate::store) fn id_of(user: &UserId, blocked: &UserId) -> String {
    format!("{}:{user}:{blocked}", user.as_str().len())
}

/// Builds the update that writes a block, unless a newer change of it is stored.
pub fn block_update(change: &BlockChange) -> Document {
    doc! {
        "q": {
            "_id": id_of(&change.user, &change.blocked),
            "seq": { "$lt": number(change.seq) },
        },
        "u": { "$set": {
            "userId": change.user.as_str(),
            "blockedUserId": change.blocked.as_str(),
            "seq": number(change.seq),
            "at": date(change.at),
            "isActive": change.is_active,
        } },
        "upsert": true,
    }
}

//! Presence as far as it is kept: what users chose to look like, when they were last there, and what the world was last told.
//!
//! Who is there at this moment is not in the database: every process knows it from what the nodes say.

use std::collections::HashMap;

use chat_sdk::{ChosenStatus, PresenceStatus, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{self, DateTime, Document, doc};
use serde::{Deserialize, Serialize};

use super::{
    Store, bounded,
    documents::{date, moment},
};
use crate::domain::{
    DomainError, Result,
    presence::{Chosen, Shown, Transition},
};

/// How many updates go to the server together.
const MAX_UPDATES: usize = 500;

/// What is kept of a user's presence. Whatever was never said is absent.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PresenceDocument {
    #[serde(rename = "_id")]
    user: UserId,
    chosen: Option<ChosenStatus>,
    text: Option<String>,
    /// Milliseconds since 1970.
    chosen_at: Option<i64>,
    last_seen: Option<DateTime>,
    /// Whether the world was told that the user is there, and how.
    #[serde(default)]
    is_online: bool,
    told_status: Option<PresenceStatus>,
    told_text: Option<String>,
}

impl PresenceDocument {
    fn chosen(&self) -> Option<Chosen> {
        Some(Chosen {
            status: self.chosen?,
            text: self.text.clone(),
            at: self.chosen_at?,
        })
    }
}

/// A user of whom the world was last told that they are there.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOnline {
    /// Who.
    pub user: UserId,
    /// How they looked.
    pub shown: Shown,
    /// When they were last known to be there.
    pub last_seen: Option<Timestamp>,
}

fn encode<T: Serialize>(value: &T) -> Result<bson::Bson> {
    bson::serialize_to_bson(value)
        .map_err(|_| DomainError::Internal("a presence cannot be encoded".into()))
}

impl Store {
    /// Keeps what `user` chose to look like.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn set_chosen(&self, user: &UserId, chosen: &Chosen) -> Result<()> {
        let update = doc! { "$set": {
            "chosen": encode(&chosen.status)?,
            "text": chosen.text.as_deref(),
            "chosenAt": chosen.at,
        } };
        bounded(
            self.presence
                .update_one(doc! { "_id": user.as_str() }, update)
                .upsert(true)
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// What each of `users` chose, where they did.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_chosen(&self, users: &[UserId]) -> Result<HashMap<UserId, Chosen>> {
        let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
        self.read_chosen(doc! { "_id": { "$in": ids } }).await
    }

    /// What was chosen since `at`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_chosen_since(&self, at: i64) -> Result<HashMap<UserId, Chosen>> {
        self.read_chosen(doc! { "chosenAt": { "$gte": at } }).await
    }

    async fn read_chosen(&self, filter: Document) -> Result<HashMap<UserId, Chosen>> {
        let found = self.read_presence(filter, 0).await?;
        Ok(found
            .into_iter()
            .filter_map(|document| Some((document.user.clone(), document.chosen()?)))
            .collect())
    }

    /// When each of `users` was last there, where that is known.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_last_seen(&self, users: &[&UserId]) -> Result<HashMap<UserId, Timestamp>> {
        let ids: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
        let found = self
            .read_presence(doc! { "_id": { "$in": ids } }, 0)
            .await?;
        Ok(found
            .into_iter()
            .filter_map(|document| Some((document.user, moment(document.last_seen?))))
            .collect())
    }

    /// Keeps what the world is told of `transitions`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`]; some may be kept then.
    pub async fn save_presence(&self, transitions: &[Transition]) -> Result<()> {
        let now = Timestamp::now();
        for chunk in transitions.chunks(MAX_UPDATES) {
            let mut updates = Vec::with_capacity(chunk.len());
            for transition in chunk {
                let shown = &transition.shown;
                // Of who is there, the beginning is the best that is known should every process die.
                let last_seen = transition.last_seen.unwrap_or(now);
                updates.push(doc! {
                    "q": { "_id": transition.user.as_str() },
                    "u": { "$set": {
                        "isOnline": !shown.is_offline(),
                        "toldStatus": encode(&shown.status)?,
                        "toldText": shown.text.as_deref(),
                        "lastSeen": date(last_seen),
                    } },
                    "upsert": true,
                });
            }
            let command = doc! { "update": "presence", "updates": updates, "ordered": false };
            let reply = bounded(self.database.run_command(command).into_future()).await?;
            if reply.contains_key("writeErrors") {
                return Err(DomainError::store_unavailable());
            }
        }
        Ok(())
    }

    /// Those of whom the world was last told that they are there, by id, after `after`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`].
    pub async fn find_left_online(
        &self,
        after: Option<&UserId>,
        limit: i64,
    ) -> Result<Vec<LeftOnline>> {
        let mut filter = doc! { "isOnline": true };
        if let Some(after) = after {
            filter.insert("_id", doc! { "$gt": after.as_str() });
        }
        let found = self.read_presence(filter, limit).await?;
        Ok(found
            .into_iter()
            .map(|document| LeftOnline {
                last_seen: document.last_seen.map(moment),
                shown: Shown {
                    status: document.told_status.unwrap_or(PresenceStatus::Online),
                    text: document.told_text,
                },
                user: document.user,
            })
            .collect())
    }

    async fn read_presence(&self, filter: Document, limit: i64) -> Result<Vec<PresenceDocument>> {
        Ok(bounded(async {
            self.presence
                .find(filter)
                .sort(doc! { "_id": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?)
    }
}

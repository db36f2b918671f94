//! Stored presence: chosen statuses, times last online, and the presence that was last published.
//!
//! The database does not hold the current presence: every process knows it from the nodes' messages.

use std::collections::HashMap;

use chat_sdk::{PresenceStatus, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{self, Document, doc};
use serde::Serialize;

use super::{
    Store, bounded,
    documents::{date, moment},
};
use crate::{
    model::{
        DomainError, Result,
        presence::{Chosen, Transition, VisiblePresence},
    },
    store::documents::presence::PresenceDocument,
};

/// Maximum number of updates per command.
const MAX_UPDATES: usize = 500;

/// User who was last published as online.
#[derive(Debug, Clone, PartialEq)]
pub struct LeftOnline {
    /// Id of the user.
    pub user: UserId,
    /// Published status.
    pub shown: VisiblePresence,
    /// Time at which the user was last known to be online.
    pub last_seen: Option<Timestamp>,
}

fn encode<T: Serialize>(value: &T) -> Result<bson::Bson> {
    bson::serialize_to_bson(value)
        .map_err(|_| DomainError::Internal("a presence cannot be encoded".into()))
}

impl Store {
    /// Stores the status that `user` chose.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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

    /// Returns the chosen status of each of `users` who chose one.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_chosen(&self, users: &[UserId]) -> Result<HashMap<UserId, Chosen>> {
        let ids: Vec<&str> = users.iter().map(UserId::as_str).collect();
        self.read_chosen(doc! { "_id": { "$in": ids } }).await
    }

    /// Returns the choices made since `at`, in milliseconds since 1970.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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

    /// Returns the time at which each of `users` was last online, if it is known.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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

    /// Stores the published presence of `transitions`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable; some transitions may be stored then.
    pub async fn save_presence(&self, transitions: &[Transition]) -> Result<()> {
        let now = Timestamp::now();
        for chunk in transitions.chunks(MAX_UPDATES) {
            let mut updates = Vec::with_capacity(chunk.len());
            for transition in chunk {
                let shown = &transition.shown;
                // For a user who is online, the start is the best known time in case every process dies.
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

    /// Lists the users who were last published as online, by id, after `after`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
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
                shown: VisiblePresence {
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

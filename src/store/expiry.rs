//! Messages with an expiry: finds expired ones and erases their content.
//!
//! A message with its own expiry is found by `data.expiresAt`, which the erasure removes: every found message must still be ended.

use chat_sdk::{ConversationId, EventId, MessageId, Timestamp};
use futures_util::TryStreamExt;
use mongodb::{
    bson::{Document, doc},
    options::Hint,
};
use serde::Deserialize;

use super::{Store, bounded};
use crate::model::Result;

/// Message that has expired or will expire.
#[derive(Debug, Clone, PartialEq)]
pub struct Expiring {
    /// Id of the message.
    pub message: MessageId,
    /// Conversation of the message.
    pub conversation: ConversationId,
    /// Time at which it expires.
    pub at: Timestamp,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpiringDocument {
    #[serde(rename = "_id")]
    id: EventId,
    conversation_id: ConversationId,
    data: ExpiringData,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ExpiringData {
    expires_at: i64,
}

impl Store {
    /// Finds the messages that are expired at `now`, longest expired first.
    ///
    /// It returns at most `limit`, except those in `except`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_expired(
        &self,
        now: Timestamp,
        except: &[MessageId],
        limit: i64,
    ) -> Result<Vec<Expiring>> {
        let filter = doc! { "data.expiresAt": { "$lte": now.as_millis() } };
        self.read_expiring(filter, except, limit).await
    }

    /// Returns the time of the next expiry of a message, except those in `except`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn next_expiry(&self, except: &[MessageId]) -> Result<Option<Timestamp>> {
        let filter = doc! { "data.expiresAt": { "$exists": true } };
        let next = self.read_expiring(filter, except, 1).await?;
        Ok(next.first().map(|expiring| expiring.at))
    }

    async fn read_expiring(
        &self,
        mut filter: Document,
        except: &[MessageId],
        limit: i64,
    ) -> Result<Vec<Expiring>> {
        if !except.is_empty() {
            let except: Vec<String> = except
                .iter()
                .map(|id| id.to_event_id().to_string())
                .collect();
            filter.insert("_id", doc! { "$nin": except });
        }
        let documents: Vec<ExpiringDocument> = bounded(async {
            self.log
                .clone_with_type::<ExpiringDocument>()
                .find(filter)
                .sort(doc! { "data.expiresAt": 1 })
                .hint(Hint::Name("expiring".to_owned()))
                .projection(doc! { "conversationId": 1, "data.expiresAt": 1 })
                .limit(limit)
                .await?
                .try_collect()
                .await
        })
        .await?;
        Ok(documents
            .into_iter()
            .map(|document| Expiring {
                message: document.id.to_message_id(),
                conversation: document.conversation_id,
                at: Timestamp::from_millis(document.data.expires_at),
            })
            .collect())
    }

    /// Erases the content of a message, in its own entry and in those that changed it.
    ///
    /// Seqs, times, actors and the key that identifies a repeated send stay. Call it when no further entry with the message's content can be
    /// appended.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the erasure may be incomplete; call it again.
    pub async fn erase_message(&self, id: &MessageId) -> Result<()> {
        let event = id.to_event_id();
        let changes = doc! {
            "data.messageId": id.as_str(),
            "type": { "$in": ["message.updated", "message.restored"] },
        };
        bounded(
            self.log
                .update_many(
                    changes,
                    doc! {
                        "$set": { "data.content": "" },
                        "$unset": { "data.attachments": "", "data.mentions": "", "data.metadata": "" },
                    },
                )
                .into_future(),
        )
        .await?;
        // The facet keeps its seq, so that no late write of it brings the text back.
        bounded(
            self.log
                .update_one(
                    doc! { "_id": event.as_str(), "edit": { "$exists": true } },
                    doc! {
                        "$set": { "edit.content": "" },
                        "$unset": { "edit.metadata": "", "editMetadata.metadata": "" },
                    },
                )
                .into_future(),
        )
        .await?;
        // Last, because the message stays due until this is done.
        bounded(
            self.log
                .update_one(
                    doc! { "_id": event.as_str(), "type": "message.created" },
                    doc! {
                        "$set": { "data.content": "", "isErased": true },
                        "$unset": {
                            "data.attachments": "", "data.mentions": "", "data.metadata": "",
                            "data.here": "", "data.expiresAt": "",
                        },
                    },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }
}

//! Scheduled messages. `dueAt` is the time of the next action for one; without it no action is needed.
//!
//! Modules: `document` is the stored form; `page` lists an author's; `due` hands due ones to the sender.

mod document;
mod due;
mod page;

use std::time::Duration;

use chat_sdk::{ConversationId, ConversationType, ScheduledId, Timestamp, UserId};
use mongodb::{
    bson::{Document, doc},
    error::{ErrorKind, WriteFailure},
};

use super::{
    Collection, DUPLICATE_KEY, Store, bounded,
    documents::{ParticipantDocument, date},
    facets::StoredMessage,
};
use crate::model::{
    Result,
    entry::{Body, MessageCreated},
    scheduled::Scheduled,
    state::ConversationState,
};
use document::ScheduledDocument;
pub use due::DueScheduled;
pub use page::scheduled_cursor;

/// Time for which a cancelled message is known after it would have been sent.
const TOMBSTONE_KEPT: Duration = Duration::from_secs(24 * 3600);

/// Outcome of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertedScheduled {
    /// It was inserted.
    New,
    /// One of the same sender, conversation and `clientMessageId` existed before.
    Repeated,
}

/// Builds the filter of the messages that their author sees: one that is being sent counts as sent.
fn own(actor: &UserId) -> Document {
    doc! { "senderId": actor.as_str(), "status": { "$in": ["pending", "failed"] } }
}

fn own_one(actor: &UserId, id: &ScheduledId) -> Document {
    let mut filter = own(actor);
    filter.insert("_id", id.as_str());
    filter
}

impl Store {
    fn scheduled(&self) -> Collection<ScheduledDocument> {
        self.database.collection("scheduled")
    }

    /// Stores a scheduled message.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn insert_scheduled(&self, scheduled: &Scheduled) -> Result<InsertedScheduled> {
        let document = ScheduledDocument::new(scheduled);
        let collection = self.scheduled();
        let inserted = bounded(async {
            match collection.insert_one(&document).await {
                Ok(_) => Ok(InsertedScheduled::New),
                Err(error) => match *error.kind {
                    ErrorKind::Write(WriteFailure::WriteError(ref refused))
                        if refused.code == DUPLICATE_KEY =>
                    {
                        Ok(InsertedScheduled::Repeated)
                    }
                    _ => Err(error),
                },
            }
        });
        Ok(inserted.await?)
    }

    /// Counts the scheduled messages of `actor`, up to `limit`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_scheduled(&self, actor: &UserId, limit: u32) -> Result<u32> {
        let count = bounded(
            self.scheduled()
                .count_documents(own(actor))
                .limit(u64::from(limit))
                .into_future(),
        )
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    async fn find_one_scheduled(&self, filter: Document) -> Result<Option<Scheduled>> {
        let found = bounded(self.scheduled().find_one(filter).into_future()).await?;
        Ok(found.map(ScheduledDocument::scheduled))
    }

    /// Finds a scheduled message of `actor`, unless it is sent or being sent.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_scheduled(
        &self,
        actor: &UserId,
        id: &ScheduledId,
    ) -> Result<Option<Scheduled>> {
        self.find_one_scheduled(own_one(actor, id)).await
    }

    /// Finds the message that `sender` scheduled for `conversation` with a `clientMessageId`.
    ///
    /// It is found even if it is being sent.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_scheduled_under(
        &self,
        conversation: &ConversationId,
        sender: &UserId,
        client_message_id: &str,
    ) -> Result<Option<Scheduled>> {
        self.find_one_scheduled(doc! {
            "conversationId": conversation.as_str(),
            "senderId": sender.as_str(),
            "draft.clientMessageId": client_message_id,
        })
        .await
    }

    /// Finds the message sent to `conversation` with a `clientMessageId`, as it is now and as it was sent.
    ///
    /// Its sender is `sender`, or the host in no user's name.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_message_under(
        &self,
        conversation: &ConversationId,
        sender: Option<&UserId>,
        client_message_id: &str,
    ) -> Result<Option<(StoredMessage, MessageCreated)>> {
        let filter = doc! {
            "conversationId": conversation.as_str(),
            // Null matches entries without an actor: the host's own.
            "actorId": sender.map(UserId::as_str),
            "data.clientMessageId": client_message_id,
        };
        let Some(document) = bounded(self.log.find_one(filter).into_future()).await? else {
            return Ok(None);
        };
        let Body::MessageCreated(created) = document.entry()?.body else {
            return Ok(None);
        };
        Ok(Some((StoredMessage::new(document)?, *created)))
    }

    /// Reads the part of a conversation's state that a check of a send by `actor` needs.
    ///
    /// It has the settings, the actor, and blocks.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_state_for(
        &self,
        conversation: &ConversationId,
        actor: &UserId,
    ) -> Result<ConversationState> {
        let own = ParticipantDocument::id(conversation, actor);
        let (fields, member) = tokio::try_join!(
            bounded(
                self.conversations
                    .find_one(doc! { "_id": conversation.as_str() })
                    .into_future()
            ),
            bounded(
                self.participants
                    .find_one(doc! { "_id": own })
                    .into_future()
            ),
        )?;
        let mut members: Vec<ParticipantDocument> = member.into_iter().collect();
        let mut state = ConversationState::empty(conversation.clone());
        if let Some(document) = fields {
            state.seq = document.applied.unsigned_abs();
            let fields = document.fields;
            // Blocks count only in a direct conversation; reading those among the members of a large group would read all of them.
            if fields.kind == ConversationType::Direct {
                let filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
                members.extend(self.read_members(filter, 2).await?);
            }
            state.fields = Some(fields);
        }
        state.members = members
            .into_iter()
            .map(|document| (document.user_id.clone(), document.member()))
            .collect();
        Ok(state)
    }

    /// Replaces `found` by `changed`, unless it was changed, claimed or removed meanwhile.
    ///
    /// Returns true if it did.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn update_scheduled(&self, found: &Scheduled, changed: &Scheduled) -> Result<bool> {
        let mut filter = own_one(&found.sender, &found.id);
        filter.insert("version", i64::try_from(found.version).unwrap_or(i64::MAX));
        let document = ScheduledDocument::new(changed);
        let collection = self.scheduled();
        let replaced = bounded(collection.replace_one(filter, &document).into_future()).await?;
        Ok(replaced.matched_count == 1)
    }

    /// Cancels a scheduled message of `actor`, unless it is claimed. Returns true if it existed.
    ///
    /// One with a `clientMessageId` stays as a tombstone without its content, until a repetition is refused for its time alone.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn cancel_scheduled(&self, actor: &UserId, id: &ScheduledId) -> Result<bool> {
        let mut repeatable = own_one(actor, id);
        repeatable.insert("draft.clientMessageId", doc! { "$exists": true });
        let now = date(Timestamp::now());
        let kept = [
            "_id",
            "conversationId",
            "senderId",
            "requestHash",
            "firstSendAt",
            "sendAt",
            "attempts",
            "version",
            "createdAt",
        ];
        let mut tombstone: Document = kept
            .into_iter()
            .map(|name| (name.to_owned(), format!("${name}").into()))
            .collect();
        tombstone.extend(doc! {
            "status": "cancelled",
            "draft": { "clientMessageId": "$draft.clientMessageId" },
            "updatedAt": now,
            "endsAt": { "$add": [{ "$max": ["$firstSendAt", now] }, TOMBSTONE_KEPT.as_millis() as i64] },
        });
        let cancel = vec![doc! { "$replaceWith": tombstone }];
        let cancelled = bounded(
            self.scheduled()
                .update_one(repeatable, cancel)
                .into_future(),
        )
        .await?;
        if cancelled.matched_count == 1 {
            return Ok(true);
        }
        self.remove_scheduled(actor, id).await
    }

    /// Removes a scheduled message of `actor`, unless it is claimed. Returns true if it existed.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_scheduled(&self, actor: &UserId, id: &ScheduledId) -> Result<bool> {
        let removed = bounded(
            self.scheduled()
                .delete_one(own_one(actor, id))
                .into_future(),
        )
        .await?;
        Ok(removed.deleted_count == 1)
    }
}

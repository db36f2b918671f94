//! Messages that wait for their time. `dueAt` says when somebody has to do something about one; without it nobody has.
//!
//! Cast: `document` is how one is stored; `page` lists an author's; `due` hands those whose time has come to whoever sends them.

mod document;
mod due;
mod page;

use chat_sdk::{ConversationId, ConversationType, ScheduledId, UserId};
use mongodb::{
    bson::{Document, doc},
    error::{ErrorKind, WriteFailure},
};

use super::{Collection, Store, bounded, documents::ParticipantDocument, facets::StoredMessage};
use crate::domain::{
    Result,
    entry::{Body, MessageCreated},
    scheduled::Scheduled,
    state::ConversationState,
};
use document::ScheduledDocument;
pub use due::DueScheduled;
pub use page::scheduled_cursor;

/// A duplicate key, by mongod's error code.
const DUPLICATE_KEY: i32 = 11000;

/// What became of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertedScheduled {
    /// It is there now.
    New,
    /// One of the same sender, conversation and `clientMessageId` was there before.
    Repeated,
}

/// Of the ones that their author sees: what is being sent counts as sent.
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

    /// Notes a scheduled message.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// How many scheduled messages `actor` has, counted up to `limit`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// A scheduled message of `actor`, unless it is sent or being sent.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_scheduled(
        &self,
        actor: &UserId,
        id: &ScheduledId,
    ) -> Result<Option<Scheduled>> {
        self.find_one_scheduled(own_one(actor, id)).await
    }

    /// What `sender` scheduled for `conversation` under a `clientMessageId`, being sent or not.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// The message that `sender`, or the host in no user's name, sent to `conversation` under a `clientMessageId`, as it is now and as it was sent.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_message_under(
        &self,
        conversation: &ConversationId,
        sender: Option<&UserId>,
        client_message_id: &str,
    ) -> Result<Option<(StoredMessage, MessageCreated)>> {
        let filter = doc! {
            "conversationId": conversation.as_str(),
            // Null finds what has no actor: the host's own.
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

    /// The state of a conversation as far as a check of a send of `actor` needs it: its settings, the actor, and who blocks the other.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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
            let fields = document.fields();
            // Only in a direct conversation do blocks count; to look for them among the members of a large group would read all of those.
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

    /// Puts `changed` in the place of `found`, unless somebody changed, claimed or removed it meanwhile. Answers whether it did.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn update_scheduled(&self, found: &Scheduled, changed: &Scheduled) -> Result<bool> {
        let mut filter = own_one(&found.sender, &found.id);
        filter.insert("version", i64::try_from(found.version).unwrap_or(i64::MAX));
        let document = ScheduledDocument::new(changed);
        let collection = self.scheduled();
        let replaced = bounded(collection.replace_one(filter, &document).into_future()).await?;
        Ok(replaced.matched_count == 1)
    }

    /// Removes a scheduled message of `actor`, unless somebody claimed it. Answers whether it was there.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

//! Held messages, until they are released or dropped.

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ConversationId, ForwardedFrom, MessageId, UserId};
use mongodb::{
    bson::{DateTime, Document, doc},
    error::{ErrorKind, WriteFailure},
    options::ReturnDocument,
};
use serde::{Deserialize, Serialize};

use super::{
    Collection, DUPLICATE_KEY, Store, bounded,
    documents::{date, moment},
    pieces::Listing,
};
use crate::model::{
    DomainError, Result,
    entry::SentSchedule,
    held::Held,
    messages::Draft,
    page::{Page, PageRequest},
};

#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct HeldDocument {
    #[serde(rename = "_id")]
    id: MessageId,
    conversation_id: ConversationId,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    receiver_id: Option<UserId>,
    sender_id: UserId,
    draft: Draft,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    forwarded_from: Option<ForwardedFrom>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    expires_at: Option<DateTime>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    request_hash: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    schedule: Option<SentSchedule>,
    hook: String,
    reason: String,
    is_releasing: bool,
    held_at: DateTime,
}

impl HeldDocument {
    fn new(held: &Held) -> Self {
        let held = held.clone();
        Self {
            id: held.id,
            conversation_id: held.conversation,
            receiver_id: held.receiver,
            sender_id: held.sender,
            forwarded_from: held.draft.forwarded_from.clone(),
            expires_at: held.draft.expires_at.map(date),
            draft: held.draft,
            request_hash: held.request_hash,
            schedule: held.schedule,
            hook: held.hook,
            reason: held.reason,
            is_releasing: held.is_releasing,
            held_at: date(held.at),
        }
    }

    fn held(self) -> Held {
        Held {
            id: self.id,
            conversation: self.conversation_id,
            receiver: self.receiver_id,
            sender: self.sender_id,
            draft: Draft {
                forwarded_from: self.forwarded_from,
                expires_at: self.expires_at.map(moment),
                ..self.draft
            },
            request_hash: self.request_hash,
            schedule: self.schedule,
            hook: self.hook,
            reason: self.reason,
            is_releasing: self.is_releasing,
            at: moment(self.held_at),
        }
    }
}

/// Outcome of an insertion.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum InsertedHeld {
    /// It was inserted.
    New,
    /// One with the same id, or of the same sender, conversation and `clientMessageId`, existed before.
    Repeated,
}

fn cursor_of(held: &Held) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{}:{}", held.at.as_millis(), held.id))
}

fn parse_cursor(text: &str) -> Option<(DateTime, MessageId)> {
    let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
    let text = String::from_utf8(bytes).ok()?;
    let (at, id) = text.split_once(':')?;
    Some((DateTime::from_millis(at.parse().ok()?), id.parse().ok()?))
}

impl Store {
    fn held(&self) -> Collection<HeldDocument> {
        self.database.collection("held")
    }

    /// Stores a held message.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn insert_held(&self, held: &Held) -> Result<InsertedHeld> {
        let document = HeldDocument::new(held);
        let collection = self.held();
        let inserted = bounded(async {
            match collection.insert_one(&document).await {
                Ok(_) => Ok(InsertedHeld::New),
                Err(error) => match *error.kind {
                    ErrorKind::Write(WriteFailure::WriteError(ref refused))
                        if refused.code == DUPLICATE_KEY =>
                    {
                        Ok(InsertedHeld::Repeated)
                    }
                    _ => Err(error),
                },
            }
        });
        Ok(inserted.await?)
    }

    async fn find_one_held(&self, filter: Document) -> Result<Option<Held>> {
        let found = bounded(self.held().find_one(filter).into_future()).await?;
        Ok(found.map(HeldDocument::held))
    }

    /// Finds a held message.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_held(&self, id: &MessageId) -> Result<Option<Held>> {
        self.find_one_held(doc! { "_id": id.as_str() }).await
    }

    /// Finds the held message that `sender` sent to `conversation` with a `clientMessageId`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_held_under(
        &self,
        conversation: &ConversationId,
        sender: &UserId,
        client_message_id: &str,
    ) -> Result<Option<Held>> {
        self.find_one_held(doc! {
            "conversationId": conversation.as_str(),
            "senderId": sender.as_str(),
            "draft.clientMessageId": client_message_id,
        })
        .await
    }

    /// Counts the held messages of `sender`, up to `limit`.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_held(&self, sender: &UserId, limit: u32) -> Result<u32> {
        let count = bounded(
            self.held()
                .count_documents(doc! { "senderId": sender.as_str() })
                .limit(u64::from(limit))
                .into_future(),
        )
        .await?;
        Ok(u32::try_from(count).unwrap_or(u32::MAX))
    }

    /// Lists held messages, those of `sender` or all, oldest first.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_held_page(
        &self,
        sender: Option<&UserId>,
        request: &PageRequest,
    ) -> Result<Page<Held>> {
        let mut filter = match sender {
            Some(sender) => doc! { "senderId": sender.as_str() },
            None => doc! {},
        };
        // The list has one direction: the cursor continues it, whichever parameter carries it.
        let cursor = [("after", &request.after), ("before", &request.before)]
            .into_iter()
            .find_map(|(field, cursor)| cursor.as_ref().map(|cursor| (field, cursor)));
        if let Some((field, cursor)) = cursor {
            let (at, id) = self.held_position(sender, field, cursor).await?;
            filter.insert(
                "$or",
                vec![
                    doc! { "heldAt": { "$gt": at } },
                    doc! { "heldAt": at, "_id": { "$gt": id.as_str() } },
                ],
            );
        }
        let collection = self.held();
        let listing = Listing {
            filter,
            sort: doc! { "heldAt": 1, "_id": 1 },
            hint: None,
            limit: request.limit,
            max_bytes: request.max_bytes,
        };
        let piece = self.read_piece(&collection, listing).await?;
        let piece = piece.try_map(|document| Ok(document.held()))?;
        Ok(Page::of(piece, cursor_of))
    }

    async fn held_position(
        &self,
        sender: Option<&UserId>,
        field: &'static str,
        cursor: &str,
    ) -> Result<(DateTime, MessageId)> {
        if let Some(position) = parse_cursor(cursor) {
            return Ok(position);
        }
        let unknown = || DomainError::invalid(field, "is no cursor or id of this list");
        let id: MessageId = cursor.parse().map_err(|_| unknown())?;
        let found = self.find_held(&id).await?.filter(|held| {
            // The id of another author's message is as unknown as a missing one.
            sender.is_none_or(|sender| *sender == held.sender)
        });
        let found = found.ok_or_else(unknown)?;
        Ok((date(found.at), id))
    }

    /// Claims a held message for its release, so that it can no longer be dropped. Returns it if it exists.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn claim_held(&self, id: &MessageId) -> Result<Option<Held>> {
        let claimed = bounded(
            self.held()
                .find_one_and_update(
                    doc! { "_id": id.as_str() },
                    doc! { "$set": { "isReleasing": true } },
                )
                .return_document(ReturnDocument::After)
                .into_future(),
        )
        .await?;
        Ok(claimed.map(HeldDocument::held))
    }

    /// Ends the claim of a held message whose release was rejected.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn unclaim_held(&self, id: &MessageId) -> Result<()> {
        bounded(
            self.held()
                .update_one(
                    doc! { "_id": id.as_str() },
                    doc! { "$set": { "isReleasing": false } },
                )
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// Removes a held message that was released.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn remove_held(&self, id: &MessageId) -> Result<()> {
        let filter = doc! { "_id": id.as_str() };
        bounded(self.held().delete_one(filter).into_future()).await?;
        Ok(())
    }

    /// Removes a held message unless its release began. Returns true if it did.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn drop_held(&self, id: &MessageId) -> Result<bool> {
        let filter = doc! { "_id": id.as_str(), "isReleasing": false };
        let removed = bounded(self.held().delete_one(filter).into_future()).await?;
        Ok(removed.deleted_count == 1)
    }
}

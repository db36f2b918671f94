//! Finds and erases a user's data in entries. This is the only place that overwrites an entry's data.

use chat_sdk::{ConversationId, MessageId, UserId};
use mongodb::{
    bson::{Document, Timestamp as ClusterTime, doc},
    options::UpdateModifications,
};

use super::super::{
    Collection, Store, bounded, documents::number, facets::StoredMessage, pieces::Listing,
};
use crate::model::{
    Result, bounds,
    entry::{Entry, Owner},
    page::Piece,
};

/// Number of a user's messages or edits that are held at once.
const OWN_AT_ONCE: u32 = 200;

fn event_ids(messages: &[MessageId]) -> Vec<String> {
    messages
        .iter()
        .map(|id| id.to_event_id().to_string())
        .collect()
}

impl Store {
    /// Erases the profile and the data of plugins from the entries of the user's log up to the newest deletion.
    ///
    /// Returns the number of entries that had a profile.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn erase_profile_entries(&self, user: &UserId) -> Result<u64> {
        let key = Owner::User(user.clone()).key();
        let deletion = doc! { "conversationId": &key, "type": "user.deleted" };
        let log: Collection<Document> = self.log.clone_with_type();
        let newest = bounded(
            log.find_one(deletion)
                .sort(doc! { "seq": -1 })
                .into_future(),
        );
        let end = newest
            .await?
            .and_then(|entry| entry.get_i64("seq").ok())
            .unwrap_or(0);
        // Events of plugins, which are for this user alone.
        let filter = doc! {
            "conversationId": &key, "seq": { "$lt": end }, "data.json": { "$exists": true },
        };
        let emptied = doc! { "$set": { "data.json": "{}" } };
        bounded(log.update_many(filter, emptied).into_future()).await?;
        let filter = doc! {
            "conversationId": key,
            "seq": { "$lt": end },
            "type": { "$in": ["user.synced", "user.updated"] },
        };
        let erased = doc! { "$unset": {
            "data.name": "", "data.avatarUrl": "", "data.email": "", "data.roles": "", "data.metadata": "",
        } };
        let update = log.update_many(filter, erased).into_future();
        Ok(bounded(update).await?.matched_count)
    }

    /// Returns the start of the present or last holder of the id `user`; `None` for the first holder.
    ///
    /// The time is by the cluster's clock.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_beginning(&self, user: &UserId) -> Result<Option<ClusterTime>> {
        let incarnation = self.find_incarnations(&[user]).await?;
        let seq = incarnation.get(user).copied().unwrap_or_default();
        if seq == 0 {
            return Ok(None);
        }
        let key = Owner::User(user.clone()).key();
        let filter = doc! { "conversationId": key, "seq": number(seq) };
        let found = bounded(self.log.find_one(filter).into_future()).await?;
        Ok(found.map(|entry| entry.ts))
    }

    /// Removes the client ids of messages that `user` sent to `conversation`.
    ///
    /// Otherwise a later holder of the id could be answered with one of these messages.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn forget_client_ids(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<()> {
        let log: Collection<Document> = self.log.clone_with_type();
        let filter = doc! {
            "conversationId": conversation.as_str(),
            "actorId": user.as_str(),
            "data.clientMessageId": { "$type": "string" },
        };
        let forgotten = doc! { "$unset": { "data.clientMessageId": "", "data.requestHash": "" } };
        let update = log.update_many(filter, forgotten).into_future();
        bounded(update).await?;
        Ok(())
    }

    /// Reads stored messages of `user` since `since`, at most `OWN_AT_ONCE`.
    ///
    /// They are after the first and up to the second seq of `range`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_own_messages(
        &self,
        conversation: &ConversationId,
        user: &UserId,
        since: Option<ClusterTime>,
        (after, to): (u64, u64),
    ) -> Result<Piece<StoredMessage>> {
        let mut filter = doc! {
            "conversationId": conversation.as_str(),
            "seq": { "$gt": number(after), "$lte": number(to) },
            "type": "message.created",
            "actorId": user.as_str(),
        };
        if let Some(since) = since {
            filter.insert("ts", doc! { "$gte": since });
        }
        let listing = Listing {
            filter,
            sort: doc! { "seq": 1 },
            hint: None,
            limit: OWN_AT_ONCE,
            max_bytes: bounds::PAGE,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(StoredMessage::new)
    }

    /// Reads the edits of a message after `after`, oldest first, at most `OWN_AT_ONCE`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_edits(&self, message: &MessageId, after: u64) -> Result<Piece<Entry>> {
        let listing = Listing {
            filter: doc! {
                "data.messageId": message.as_str(),
                "type": "message.updated",
                "seq": { "$gt": number(after) },
            },
            sort: doc! { "seq": 1 },
            hint: None,
            limit: OWN_AT_ONCE,
            max_bytes: bounds::PAGE,
        };
        let piece = self.read_piece(&self.log, listing).await?;
        piece.try_map(|document| document.entry())
    }

    /// Counts the edits of `messages`.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn count_edits(&self, messages: &[MessageId]) -> Result<u64> {
        let ids: Vec<&str> = messages.iter().map(|id| id.as_str()).collect();
        let filter = doc! { "data.messageId": { "$in": ids }, "type": "message.updated" };
        Ok(bounded(self.log.count_documents(filter).into_future()).await?)
    }

    /// Erases the content of `messages`.
    ///
    /// It starts with their edits and restorations, so that after an interruption the messages are found again.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn erase_messages(&self, messages: &[MessageId]) -> Result<()> {
        let log: Collection<Document> = self.log.clone_with_type();
        let ids: Vec<&str> = messages.iter().map(|id| id.as_str()).collect();
        let changes = doc! {
            "data.messageId": { "$in": ids },
            "type": { "$in": ["message.updated", "message.restored"] },
        };
        let erased = doc! {
            "$set": { "data.content": "", "isErased": true },
            "$unset": { "data.attachments": "", "data.mentions": "", "data.metadata": "" },
        };
        bounded(log.update_many(changes, erased).into_future()).await?;
        let filter = doc! { "_id": { "$in": event_ids(messages) } };
        // One update for all of it, so that no reader sees a partial result.
        let erased = UpdateModifications::Pipeline(vec![
            doc! { "$set": {
                "data.content": "",
                "isErased": true,
                "edit": { "$cond": [
                    { "$eq": [{ "$type": "$edit" }, "object"] },
                    { "$mergeObjects": ["$edit", { "content": "", "metadata": null }] },
                    "$$REMOVE",
                ] },
                "editMetadata": { "$cond": [
                    { "$eq": [{ "$type": "$editMetadata" }, "object"] },
                    { "$mergeObjects": ["$editMetadata", { "metadata": null }] },
                    "$$REMOVE",
                ] },
            } },
            doc! { "$unset": [
                "data.attachments", "data.mentions", "data.here", "data.metadata", "data.forwardedFrom",
                "data.clientMessageId", "data.requestHash",
            ] },
        ]);
        bounded(log.update_many(filter, erased).into_future()).await?;
        Ok(())
    }
}

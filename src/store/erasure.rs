//! A person's data: found, erased, and the report of it. The one place where an entry's data is overwritten.

use std::collections::BTreeMap;

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::{
    Collection,
    bson::{Bson, DateTime, Document, doc},
    options::UpdateModifications,
};
use serde::{Deserialize, Serialize};

use super::{
    Store,
    blocks::BlockDocument,
    bounded,
    documents::{LogDocument, ParticipantDocument, date, moment, number},
    facets::StoredMessage,
};
use crate::domain::{
    Result,
    entry::{Entry, Owner},
    erasure::{Erasure, OwnMessages},
};

/// What is kept of a user outside any log.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PrivateData {
    /// Read markers and drafts.
    Markers,
    /// Receipts of single messages.
    Reads,
    /// Messages that are scheduled.
    Scheduled,
    /// The last presence.
    Presence,
}

impl PrivateData {
    /// The collection, and the field that says whose a document is.
    fn place(self) -> (&'static str, &'static str) {
        match self {
            Self::Markers => ("markers", "userId"),
            Self::Reads => ("reads", "userId"),
            Self::Scheduled => ("scheduled", "senderId"),
            Self::Presence => ("presence", "_id"),
        }
    }
}

/// A reaction that stands.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct OwnReaction {
    /// Where it is found.
    #[serde(rename = "_id")]
    pub key: String,
    /// In which conversation.
    #[serde(rename = "conversationId")]
    pub conversation: ConversationId,
    /// To which message.
    #[serde(rename = "messageId")]
    pub message: MessageId,
    /// With what.
    pub emoji: String,
    at: DateTime,
}

impl OwnReaction {
    /// When it was given.
    pub fn at(&self) -> Timestamp {
        moment(self.at)
    }
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct ErasureDocument {
    #[serde(rename = "_id")]
    user: UserId,
    messages: String,
    started_at: DateTime,
    finished_at: Option<DateTime>,
    #[serde(default)]
    removed: BTreeMap<String, i64>,
}

impl From<ErasureDocument> for Erasure {
    fn from(document: ErasureDocument) -> Self {
        Self {
            user: document.user,
            messages: match document.messages.as_str() {
                "erase" => OwnMessages::Erase,
                _ => OwnMessages::Anonymise,
            },
            started_at: moment(document.started_at),
            finished_at: document.finished_at.map(moment),
            removed: document
                .removed
                .into_iter()
                .map(|(name, count)| (name, count.unsigned_abs()))
                .collect(),
        }
    }
}

fn event_ids(messages: &[MessageId]) -> Vec<String> {
    messages
        .iter()
        .map(|id| id.to_event_id().to_string())
        .collect()
}

impl Store {
    fn erasures(&self) -> Collection<ErasureDocument> {
        self.database.collection("erasures")
    }

    fn private(&self, what: PrivateData, user: &UserId) -> (Collection<Document>, Document) {
        let (collection, field) = what.place();
        (
            self.database.collection(collection),
            doc! { field: user.as_str() },
        )
    }

    /// Stores a new job in place of an earlier one.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn put_erasure(&self, erasure: &Erasure) -> Result<()> {
        let document = ErasureDocument {
            user: erasure.user.clone(),
            messages: match erasure.messages {
                OwnMessages::Erase => "erase".to_owned(),
                OwnMessages::Anonymise => "anonymise".to_owned(),
            },
            started_at: date(erasure.started_at),
            finished_at: None,
            removed: erasure
                .removed
                .iter()
                .map(|(name, count)| (name.clone(), number(*count)))
                .collect(),
        };
        let filter = doc! { "_id": erasure.user.as_str() };
        let erasures = self.erasures();
        bounded(
            erasures
                .replace_one(filter, &document)
                .upsert(true)
                .into_future(),
        )
        .await?;
        Ok(())
    }

    /// The job of a user, finished or not.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_erasure(&self, user: &UserId) -> Result<Option<Erasure>> {
        let filter = doc! { "_id": user.as_str() };
        let found = bounded(self.erasures().find_one(filter).into_future()).await?;
        Ok(found.map(Into::into))
    }

    /// The oldest jobs that are not done, at most `limit`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_unfinished_erasures(&self, limit: i64) -> Result<Vec<Erasure>> {
        let found: Vec<ErasureDocument> = bounded(async {
            let cursor = self
                .erasures()
                .find(doc! { "finishedAt": null })
                .sort(doc! { "startedAt": 1 })
                .limit(limit)
                .await?;
            cursor.try_collect().await
        })
        .await?;
        Ok(found.into_iter().map(Into::into).collect())
    }

    /// Notes how many of a kind are removed, unless that was noted before.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn note_removed(&self, user: &UserId, kind: &str, count: u64) -> Result<()> {
        let field = format!("removed.{kind}");
        let filter = doc! { "_id": user.as_str(), &field: { "$exists": false } };
        let update = doc! { "$set": { &field: number(count) } };
        bounded(self.erasures().update_one(filter, update).into_future()).await?;
        Ok(())
    }

    /// Says that a job is done, unless another was put in its place.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn finish_erasure(&self, erasure: &Erasure, at: Timestamp) -> Result<()> {
        let filter = doc! {
            "_id": erasure.user.as_str(),
            "startedAt": date(erasure.started_at),
            "finishedAt": null,
        };
        let update = doc! { "$set": { "finishedAt": date(at) } };
        bounded(self.erasures().update_one(filter, update).into_future()).await?;
        Ok(())
    }

    /// Erases the profile from the entries of the user's log up to the newest deletion. Answers how many entries had one.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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

    /// Every block that `user` made or that is against `user`: who blocks whom.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_blocks_around(&self, user: &UserId) -> Result<Vec<(UserId, UserId)>> {
        let id = user.as_str();
        let sides = [doc! { "userId": id }, doc! { "blockedUserId": id }];
        let mut blocks = Vec::new();
        for mut filter in sides {
            filter.insert("isActive", true);
            let found = self.read_blocks(filter, 0).await?;
            blocks.extend(found.into_iter().map(BlockDocument::into_pair));
        }
        Ok(blocks)
    }

    /// How many documents there are of a user's private data.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn count_private(&self, what: PrivateData, user: &UserId) -> Result<u64> {
        let (collection, filter) = self.private(what, user);
        Ok(bounded(collection.count_documents(filter).into_future()).await?)
    }

    /// Removes a user's private data.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn remove_private(&self, what: PrivateData, user: &UserId) -> Result<()> {
        let (collection, filter) = self.private(what, user);
        bounded(collection.delete_many(filter).into_future()).await?;
        Ok(())
    }

    /// A user's private data after the document `after`, as JSON, at most `limit` documents; and where to go on.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_private(
        &self,
        what: PrivateData,
        user: &UserId,
        after: Option<Bson>,
        limit: u32,
    ) -> Result<(Vec<serde_json::Value>, Option<Bson>)> {
        let (collection, mut filter) = self.private(what, user);
        if let Some(after) = after {
            filter = doc! { "$and": [filter, { "_id": { "$gt": after } }] };
        }
        let found: Vec<Document> = bounded(async {
            let find = collection.find(filter).sort(doc! { "_id": 1 });
            find.limit(i64::from(limit)).await?.try_collect().await
        })
        .await?;
        let last = found
            .last()
            .and_then(|document| document.get("_id"))
            .cloned();
        let values = found.into_iter().map(|document| plain(document.into()));
        Ok((values.collect(), last))
    }

    /// How many reactions of `user` stand.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn count_reactions_of(&self, user: &UserId) -> Result<u64> {
        let filter = doc! { "userId": user.as_str(), "isActive": true };
        Ok(bounded(self.reactions.count_documents(filter).into_future()).await?)
    }

    /// The reactions of `user` that stand, after the one at `after`, at most `limit`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_reactions_of(
        &self,
        user: &UserId,
        after: Option<&str>,
        limit: u32,
    ) -> Result<Vec<OwnReaction>> {
        let filter = doc! {
            "userId": user.as_str(), "isActive": true, "_id": { "$gt": after.unwrap_or_default() },
        };
        let reactions = self.reactions.clone_with_type::<OwnReaction>();
        Ok(bounded(async {
            let find = reactions.find(filter).sort(doc! { "_id": 1 });
            find.limit(i64::from(limit)).await?.try_collect().await
        })
        .await?)
    }

    /// Removes what is left of the user's reactions, also those that were taken back and those in conversations that are gone.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn remove_reactions_of(&self, user: &UserId) -> Result<()> {
        let filter = doc! { "userId": user.as_str() };
        bounded(self.reactions.delete_many(filter).into_future()).await?;
        Ok(())
    }

    /// The conversations that `user` is a member of now, and whether each is a direct one. Deleted conversations are left out.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_active_memberships_of(
        &self,
        user: &UserId,
    ) -> Result<Vec<(ConversationId, bool)>> {
        #[derive(Deserialize)]
        struct Kind {
            #[serde(rename = "_id")]
            id: ConversationId,
            #[serde(rename = "type")]
            kind: chat_sdk::ConversationType,
        }
        let memberships = self.find_memberships_of(user).await?;
        let ids: Vec<&str> = memberships
            .iter()
            .filter(|membership| membership.is_active())
            .map(|membership| membership.conversation.as_str())
            .collect();
        let conversations = self.conversations.clone_with_type::<Kind>();
        let mut kinds = Vec::new();
        for ids in ids.chunks(1000) {
            let filter = doc! { "_id": { "$in": ids }, "isDeleted": false };
            let found: Vec<Kind> = bounded(async {
                let find = conversations.find(filter);
                let find = find.projection(doc! { "_id": 1, "type": 1 });
                find.await?.try_collect().await
            })
            .await?;
            kinds.extend(found);
        }
        Ok(kinds
            .into_iter()
            .map(|found| (found.id, found.kind == chat_sdk::ConversationType::Direct))
            .collect())
    }

    /// Who should own `conversation` after `user`: the longest-standing admin, else the longest-standing member.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_successor(
        &self,
        conversation: &ConversationId,
        user: &UserId,
    ) -> Result<Option<UserId>> {
        for role in ["admin", "member"] {
            let filter = doc! {
                "conversationId": conversation.as_str(),
                "isActive": true,
                "role": role,
                "userId": { "$ne": user.as_str() },
            };
            let oldest = doc! { "joinedAt": 1, "userId": 1 };
            let found: Option<ParticipantDocument> = bounded(
                self.participants
                    .find_one(filter)
                    .sort(oldest)
                    .into_future(),
            )
            .await?;
            if let Some(found) = found {
                return Ok(Some(found.user_id));
            }
        }
        Ok(None)
    }

    /// The messages of `user` with numbers over `after` and up to `to`, as they are stored.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_own_messages(
        &self,
        conversation: &ConversationId,
        user: &UserId,
        after: u64,
        to: u64,
    ) -> Result<Vec<StoredMessage>> {
        let filter = doc! {
            "conversationId": conversation.as_str(),
            "seq": { "$gt": number(after), "$lte": number(to) },
            "type": "message.created",
            "actorId": user.as_str(),
        };
        let found: Vec<_> = bounded(async {
            let find = self.log.find(filter).sort(doc! { "seq": 1 });
            find.await?.try_collect().await
        })
        .await?;
        found.into_iter().map(StoredMessage::new).collect()
    }

    /// The edits of a message, oldest first.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn find_edits(&self, message: &MessageId) -> Result<Vec<Entry>> {
        let filter = doc! { "data.messageId": message.as_str(), "type": "message.updated" };
        let found: Vec<LogDocument> = bounded(async {
            let find = self.log.find(filter).sort(doc! { "seq": 1 });
            find.await?.try_collect().await
        })
        .await?;
        found.iter().map(LogDocument::entry).collect()
    }

    /// How many edits there are of `messages`.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
    pub async fn count_edits(&self, messages: &[MessageId]) -> Result<u64> {
        let ids: Vec<&str> = messages.iter().map(|id| id.as_str()).collect();
        let filter = doc! { "data.messageId": { "$in": ids }, "type": "message.updated" };
        Ok(bounded(self.log.count_documents(filter).into_future()).await?)
    }

    /// Erases what `messages` said, first in their edits and returns, then in themselves: who is interrupted finds the message again.
    ///
    /// # Errors
    /// [`crate::domain::DomainError::Unavailable`].
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
        // One update for all of it, so that nobody sees a half.
        let erased = UpdateModifications::Pipeline(vec![
            doc! { "$set": {
                "data.content": "",
                "isErased": true,
                "edit": { "$cond": [
                    { "$eq": [{ "$type": "$edit" }, "object"] },
                    { "$mergeObjects": ["$edit", { "content": "", "metadata": null }] },
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

/// A stored value as JSON that needs no knowledge of the store.
fn plain(value: Bson) -> serde_json::Value {
    match value {
        Bson::Document(document) => document
            .into_iter()
            .map(|(name, value)| (name, plain(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        Bson::Array(values) => values.into_iter().map(plain).collect::<Vec<_>>().into(),
        Bson::DateTime(at) => moment(at).to_string().into(),
        Bson::String(text) => text.into(),
        Bson::Boolean(value) => value.into(),
        Bson::Int32(number) => number.into(),
        Bson::Int64(number) => number.into(),
        Bson::Double(number) => number.into(),
        Bson::Null => serde_json::Value::Null,
        other => other.to_string().into(),
    }
}

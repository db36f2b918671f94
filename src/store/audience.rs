//! Reads of new messages and of the members whom they concern.

use std::collections::HashMap;

use chat_sdk::{ConversationId, Timestamp, UserId};
use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};

use super::{
    Store, bounded,
    documents::{LogDocument, UserDocument, date, number, unreadable},
    facets::StoredMessage,
};
use crate::model::{
    Result,
    entry::Body,
    messages::{MENTION_ALL, MENTION_HERE},
    state::{ConversationFields, Member},
};

/// A message that may notify members.
#[derive(Debug, Clone)]
pub struct NewMessage {
    /// The message.
    pub message: StoredMessage,
    /// Mentions, also those of many users.
    mentions: Vec<UserId>,
    /// Users who were online when the message mentioned `@here`.
    here: Vec<UserId>,
}

impl NewMessage {
    fn new(document: LogDocument) -> Result<Self> {
        let Body::MessageCreated(body) = document.entry()?.body else {
            return Err(unreadable("message"));
        };
        Ok(Self {
            message: StoredMessage::new(document)?,
            mentions: body.mentions,
            here: body.here,
        })
    }

    /// Returns true if the message mentions `user`, alone or with others.
    pub fn mentions(&self, user: &UserId) -> bool {
        self.mentions.iter().any(|name| {
            name == user
                || name.as_str() == MENTION_ALL
                || name.as_str() == MENTION_HERE && self.here.contains(user)
        })
    }

    /// Returns true if the message mentions `user` by their id.
    pub fn names(&self, user: &UserId) -> bool {
        self.mentions.contains(user)
    }

    /// Returns the users whom the message mentions by their ids.
    pub fn named(&self) -> impl Iterator<Item = &UserId> {
        self.mentions.iter().filter(|name| name.names_a_user())
    }
}

/// New messages of a conversation.
#[derive(Debug)]
pub struct NewMessages {
    /// The newest of them, oldest first.
    pub messages: Vec<NewMessage>,
    /// Number of messages that were left out because of their age.
    pub too_old: u64,
}

impl Store {
    /// Finds the fields of a conversation, unless it was deleted, with all acknowledged messages applied.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_conversation_fields(
        &self,
        id: &ConversationId,
    ) -> Result<Option<ConversationFields>> {
        self.read_barrier.wait(std::slice::from_ref(id)).await;
        let filter = doc! { "_id": id.as_str(), "isDeleted": false };
        let found = bounded(self.conversations.find_one(filter).into_future()).await?;
        Ok(found.map(|document| document.fields))
    }

    /// Finds the newest `limit` messages with a seq in `range` (inclusive), sent at `not_before` or later, that may notify members.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_new_messages(
        &self,
        conversation: &ConversationId,
        range: (u64, u64),
        not_before: Timestamp,
        limit: u32,
    ) -> Result<NewMessages> {
        let filter = |age: &str| {
            doc! {
                "conversationId": conversation.as_str(),
                "seq": { "$gte": number(range.0), "$lte": number(range.1) },
                "type": "message.created",
                "at": { age: date(not_before) },
                "data.type": { "$ne": "system" },
                "data.silent": { "$ne": true },
                "deleted.isRestored": { "$ne": false },
                "isErased": { "$ne": true },
                "data.expiresAt": { "$not": { "$lte": Timestamp::now().as_millis() } },
            }
        };
        let found: Vec<LogDocument> = bounded(async {
            let find = self.log.find(filter("$gte")).sort(doc! { "seq": -1 });
            find.limit(i64::from(limit)).await?.try_collect().await
        })
        .await?;
        let mut too_old = 0;
        if found.len() < limit as usize && (found.len() as u64) < range.1 + 1 - range.0 {
            too_old = bounded(self.log.count_documents(filter("$lt")).into_future()).await?;
        }
        let messages: Result<Vec<NewMessage>> =
            found.into_iter().rev().map(NewMessage::new).collect();
        Ok(NewMessages {
            messages: messages?,
            too_old,
        })
    }

    /// Lists the present members of `conversation` after `after` in the order of their ids, at most `limit`; with `only`, those among these users.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_audience_members(
        &self,
        conversation: &ConversationId,
        after: Option<&UserId>,
        only: Option<&[UserId]>,
        limit: u32,
    ) -> Result<Vec<(UserId, Member)>> {
        let mut ids = Document::new();
        if let Some(after) = after {
            ids.insert("$gt", after.as_str());
        }
        if let Some(only) = only {
            let only: Vec<&str> = only.iter().map(UserId::as_str).collect();
            ids.insert("$in", only);
        }
        let mut filter = doc! { "conversationId": conversation.as_str(), "isActive": true };
        if !ids.is_empty() {
            filter.insert("userId", ids);
        }
        let members = self.read_members(filter, i64::from(limit)).await?;
        let members = members.into_iter();
        Ok(members
            .map(|document| (document.user_id.clone(), document.member()))
            .collect())
    }

    /// Returns the names of those `users` who have one.
    ///
    /// # Errors
    /// [`crate::model::DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_names(&self, users: &[&UserId]) -> Result<HashMap<UserId, String>> {
        let ids: Vec<&str> = users.iter().map(|user| user.as_str()).collect();
        let filter = doc! { "_id": { "$in": ids } };
        let found: Vec<UserDocument> =
            bounded(async { self.users.find(filter).await?.try_collect().await }).await?;
        let named = found.into_iter().filter_map(|document| {
            let name = document.fields().profile.name?;
            Some((document.id, name))
        });
        Ok(named.collect())
    }
}

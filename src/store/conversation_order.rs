//! Order of a user's conversations, by latest activity.
//!
//! A user may have very many conversations, so a list reads them in two steps: first what decides which are shown and in which order, a few bytes each;
//! then the rows of its page. Both steps read a bounded number per command.

use std::collections::HashMap;

use base64::{Engine, prelude::BASE64_URL_SAFE_NO_PAD};
use chat_sdk::{ConversationId, UserId};
use futures_util::{StreamExt, TryStreamExt, stream};
use mongodb::bson::{DateTime, Document, doc};
use serde::Deserialize;

use super::{
    Store, bounded,
    conversations::{ArchiveFilter, ConversationRow},
    documents::{ConversationDocument, ParticipantDocument},
    log::Unavailable,
};
use crate::model::{
    DomainError, Result,
    page::{Page, PageRequest},
    state::Member,
};

/// Maximum number of conversations per command.
const IDS_AT_ONCE: usize = 1000;
/// Number of commands of one list that run concurrently.
const COMMANDS_AT_ONCE: usize = 4;

/// Place of a conversation in a list: time of the last activity in milliseconds since 1970, then its id.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
struct ListPosition {
    at: i64,
    id: ConversationId,
}

impl ListPosition {
    fn cursor(&self) -> String {
        cursor_at(self.at, &self.id)
    }

    fn parse(text: &str) -> Option<Self> {
        let bytes = BASE64_URL_SAFE_NO_PAD.decode(text).ok()?;
        let text = String::from_utf8(bytes).ok()?;
        let (at, id) = text.split_once(':')?;
        Some(Self {
            at: at.parse().ok()?,
            id: id.parse().ok()?,
        })
    }
}

/// Returns the cursor of a position in a list sorted by latest activity.
pub(super) fn cursor_at(millis: i64, id: &ConversationId) -> String {
    BASE64_URL_SAFE_NO_PAD.encode(format!("{millis}:{id}"))
}

/// Membership, as far as it decides whether a list shows the conversation.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShortMembership {
    conversation_id: ConversationId,
    #[serde(default)]
    preferences: ShortPreferences,
    #[serde(default)]
    hidden_at: i64,
}

#[derive(Default, Deserialize)]
#[serde(default)]
struct ShortPreferences {
    archived: bool,
    hidden: bool,
}

/// Conversation, as far as it decides about its place in a list.
#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct ShortConversation {
    #[serde(rename = "_id")]
    id: ConversationId,
    last_activity_at: DateTime,
    last_message_seq: i64,
}

impl Store {
    /// Lists the archived or the other conversations of `user`, latest activity first, without hidden ones.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_conversation_page(
        &self,
        user: &UserId,
        shelf: ArchiveFilter,
        request: &PageRequest,
    ) -> Result<Page<ConversationRow>> {
        let mut order = self.find_order(user, Some(shelf)).await?;
        if let Some(cursor) = &request.before {
            let from = self.list_position("before", cursor, user).await?;
            order.retain(|position| *position < from);
        } else if let Some(cursor) = &request.after {
            let from = self.list_position("after", cursor, user).await?;
            order.retain(|position| *position > from);
            order.reverse();
        }
        let page = Page::cut(order, request.limit, ListPosition::cursor);
        let ids: Vec<ConversationId> = page.items.into_iter().map(|one| one.id).collect();
        Ok(Page {
            items: self.find_conversation_rows(user, &ids).await?,
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        })
    }

    /// Returns the ids of all conversations of `user` that are not hidden, latest activity first, after `cursor` if it is given.
    ///
    /// # Errors
    /// [`DomainError::Validation`] if the cursor is unknown.
    pub async fn find_conversation_order(
        &self,
        user: &UserId,
        cursor: Option<(&'static str, &str)>,
    ) -> Result<Vec<ConversationId>> {
        let mut order = self.find_order(user, None).await?;
        if let Some((field, cursor)) = cursor {
            let from = self.list_position(field, cursor, user).await?;
            order.retain(|position| *position < from);
        }
        Ok(order.into_iter().map(|position| position.id).collect())
    }

    /// Reads those of the conversations `ids` of which `user` is a member, in their order.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_conversation_rows(
        &self,
        user: &UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<ConversationRow>> {
        self.read_rows(user, ids, doc! {}).await
    }

    /// Reads the same as [`Store::find_conversation_rows`], without the metadata of the host: it may be large, and counts do not need it.
    ///
    /// # Errors
    /// [`DomainError::Unavailable`] if the database is unavailable.
    pub async fn find_short_conversation_rows(
        &self,
        user: &UserId,
        ids: &[ConversationId],
    ) -> Result<Vec<ConversationRow>> {
        self.read_rows(user, ids, doc! { "metadata": 0 }).await
    }

    async fn read_rows(
        &self,
        user: &UserId,
        ids: &[ConversationId],
        projection: Document,
    ) -> Result<Vec<ConversationRow>> {
        let conversations: Vec<&str> = ids.iter().map(ConversationId::as_str).collect();
        let memberships: Vec<String> = ids
            .iter()
            .map(|id| ParticipantDocument::id(id, user))
            .collect();
        let conversations = doc! { "_id": { "$in": conversations }, "isDeleted": false };
        let memberships = doc! { "_id": { "$in": memberships }, "isActive": true };
        let batch = u32::try_from(ids.len() + 1).unwrap_or(u32::MAX);
        let (documents, members) = tokio::try_join!(
            bounded(async {
                let find = self
                    .conversations
                    .find(conversations)
                    .projection(projection);
                let found = find.batch_size(batch).await?;
                found.try_collect::<Vec<ConversationDocument>>().await
            }),
            bounded(async {
                let find = self.participants.find(memberships);
                let found = find.batch_size(batch).await?;
                found.try_collect::<Vec<ParticipantDocument>>().await
            }),
        )?;
        let mut documents: HashMap<ConversationId, ConversationDocument> = documents
            .into_iter()
            .map(|document| (document.id.clone(), document))
            .collect();
        let mut members: HashMap<ConversationId, Member> = members
            .into_iter()
            .map(|document| (document.conversation_id.clone(), document.member()))
            .collect();
        let rows = ids.iter().filter_map(|id| {
            let (document, member) = documents.remove(id).zip(members.remove(id))?;
            Some(ConversationRow::new(document, member))
        });
        Ok(rows.collect())
    }

    /// Returns the positions of a user's conversations that are not hidden, latest activity first.
    ///
    /// A new message shows a hidden one again.
    async fn find_order(
        &self,
        user: &UserId,
        shelf: Option<ArchiveFilter>,
    ) -> Result<Vec<ListPosition>> {
        let memberships: Vec<ShortMembership> = bounded(async {
            self.participants
                .clone_with_type::<ShortMembership>()
                .find(doc! { "userId": user.as_str(), "isActive": true })
                .projection(doc! {
                    "_id": 0, "conversationId": 1, "preferences.archived": 1, "preferences.hidden": 1, "hiddenAt": 1,
                })
                .batch_size(20_000)
                .await?
                .try_collect()
                .await
        })
        .await?;
        let memberships: HashMap<ConversationId, ShortMembership> = memberships
            .into_iter()
            .filter(|one| {
                shelf.is_none_or(|shelf| shelf == ArchiveFilter::from(one.preferences.archived))
            })
            .map(|one| (one.conversation_id.clone(), one))
            .collect();
        let ids: Vec<ConversationId> = memberships.keys().cloned().collect();
        self.read_barrier.wait(&ids).await;
        let pieces: Vec<_> = ids
            .chunks(IDS_AT_ONCE)
            .map(|ids| self.find_short_conversations(ids))
            .collect();
        let found: Vec<Vec<ShortConversation>> = stream::iter(pieces)
            .buffer_unordered(COMMANDS_AT_ONCE)
            .try_collect()
            .await?;
        let shown = found.into_iter().flatten().filter(|one| {
            let membership = memberships.get(&one.id);
            membership.is_some_and(|membership| {
                !membership.preferences.hidden || one.last_message_seq > membership.hidden_at
            })
        });
        let mut order: Vec<ListPosition> = shown
            .map(|one| ListPosition {
                at: one.last_activity_at.timestamp_millis(),
                id: one.id,
            })
            .collect();
        order.sort_unstable_by(|one, other| other.cmp(one));
        Ok(order)
    }

    async fn find_short_conversations(
        &self,
        ids: &[ConversationId],
    ) -> std::result::Result<Vec<ShortConversation>, Unavailable> {
        let ids: Vec<&str> = ids.iter().map(ConversationId::as_str).collect();
        bounded(async {
            self.conversations
                .clone_with_type::<ShortConversation>()
                .find(doc! { "_id": { "$in": ids }, "isDeleted": false })
                .projection(doc! { "lastActivityAt": 1, "lastMessageSeq": 1 })
                .batch_size(IDS_AT_ONCE as u32 + 1)
                .await?
                .try_collect()
                .await
        })
        .await
    }

    /// Returns the position in the list of `user` that `cursor` names.
    ///
    /// An id is valid only if `user` is a current member; for others it is unknown.
    async fn list_position(
        &self,
        field: &'static str,
        cursor: &str,
        user: &UserId,
    ) -> Result<ListPosition> {
        if let Some(position) = ListPosition::parse(cursor) {
            return Ok(position);
        }
        let unknown =
            || DomainError::invalid(field, "is no cursor or conversation id of this list");
        let id: ConversationId = cursor.parse().map_err(|_| unknown())?;
        match self.find_conversation_of(&id, user).await {
            Ok(found) => Ok(ListPosition {
                at: found.fields.last_activity_at.as_millis(),
                id,
            }),
            Err(DomainError::NotFound(_)) => Err(unknown()),
            Err(error) => Err(error),
        }
    }
}

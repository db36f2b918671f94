//! HTTP operations on unread counts.

use chat_sdk::{ConversationId, MessageId};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    auth::AsUser,
    error::ApiError,
    parts::{
        page::{PageQuery, pages},
        path::Path,
        reply::Json,
    },
    state::Tag,
};
use crate::{
    domain::{Context, unread},
    model::{page::Page, receipts::Counts},
};

/// Numbers of unread messages. Own, deleted, silent and system messages do not count.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UnreadCount {
    /// Number of unread messages.
    pub unread_count: u64,
    /// Number of unread messages that mention the caller.
    pub mention_count: u64,
}

impl From<Counts> for UnreadCount {
    fn from(counts: Counts) -> Self {
        Self {
            unread_count: counts.unread,
            mention_count: counts.mentions,
        }
    }
}

/// Unread counts of a conversation.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UnreadConversation {
    /// Id of the conversation.
    pub conversation_id: ConversationId,
    /// Number of unread messages.
    pub unread_count: u64,
    /// Number of unread messages that mention the caller.
    pub mention_count: u64,
}

pages! {
    /// Page of conversations with unread messages.
    UnreadPage { conversations: UnreadConversation }
}

/// Operations on unread counts.
pub struct UnreadApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::ReadReceipts")]
impl UnreadApi {
    /// Count unread messages of a conversation
    ///
    /// Returns the numbers of unread messages and mentions.
    ///
    /// Fails with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/unread-count",
        method = "get",
        operation_id = "getConversationUnreadCount"
    )]
    async fn of_conversation(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<Json<UnreadCount>, ApiError> {
        let counts = unread::of_conversation(&self.0, &caller.0, &id.0).await?;
        Ok(Json(counts.into()))
    }

    /// Count unread replies of a thread
    ///
    /// Counts the replies after the read positions of both the thread and the conversation.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/replies/unread-count",
        method = "get",
        operation_id = "getThreadUnreadCount"
    )]
    async fn of_thread(
        &self,
        caller: AsUser,
        /// Id of the root message of the thread.
        id: Path<MessageId>,
    ) -> Result<Json<UnreadCount>, ApiError> {
        let counts = unread::of_thread(&self.0, &caller.0, &id.0).await?;
        Ok(Json(counts.into()))
    }

    /// List conversations with unread messages
    ///
    /// Returns the conversations with the latest activity first, archived ones too.
    #[oai(
        path = "/unread",
        method = "get",
        operation_id = "listUnreadConversations"
    )]
    async fn list(&self, caller: AsUser, query: PageQuery) -> Result<Json<UnreadPage>, ApiError> {
        let page = unread::list(&self.0, &caller.0, &query.0).await?;
        let page = Page {
            items: page
                .items
                .into_iter()
                .map(|unread| UnreadConversation {
                    conversation_id: unread.conversation,
                    unread_count: unread.counts.unread,
                    mention_count: unread.counts.mentions,
                })
                .collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        };
        Ok(Json(page.into()))
    }

    /// Count unread messages of all conversations
    ///
    /// Returns the sums over all conversations of the caller, archived ones too.
    #[oai(
        path = "/unread-count",
        method = "get",
        operation_id = "getUnreadCount"
    )]
    async fn total(&self, caller: AsUser) -> Result<Json<UnreadCount>, ApiError> {
        let counts = unread::total(&self.0, &caller.0).await?;
        Ok(Json(counts.into()))
    }
}

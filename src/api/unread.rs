//! What is unread, over HTTP.

use chat_sdk::{ConversationId, MessageId};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    Tag,
    auth::AsUser,
    error::ApiError,
    page::{PageQuery, UnreadPage},
    path::Path,
    reply::Json,
};
use crate::domain::{Context, markers::Counts, page::Page, unread};

/// How much is unread. Own, deleted, silent and system messages count for nothing.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UnreadCount {
    /// How many messages.
    pub unread_count: u64,
    /// How many of them mention the caller.
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

/// A conversation in which something is unread.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UnreadConversation {
    /// Which.
    pub conversation_id: ConversationId,
    /// How many messages.
    pub unread_count: u64,
    /// How many of them mention the caller.
    pub mention_count: u64,
}

/// The operations on what is unread.
pub struct UnreadApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::ReadReceipts")]
impl UnreadApi {
    /// Count what is unread in a conversation
    #[oai(
        path = "/conversations/:id/unread-count",
        method = "get",
        operation_id = "getConversationUnreadCount"
    )]
    async fn of_conversation(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
    ) -> Result<Json<UnreadCount>, ApiError> {
        let counts = unread::of_conversation(&self.0, &caller.0, &id.0).await?;
        Ok(Json(counts.into()))
    }

    /// Count what is unread in a thread
    ///
    /// Replies that neither the thread's nor the conversation's watermark has passed.
    #[oai(
        path = "/messages/:id/replies/unread-count",
        method = "get",
        operation_id = "getThreadUnreadCount"
    )]
    async fn of_thread(
        &self,
        caller: AsUser,
        /// The id of the message that the thread began with.
        id: Path<MessageId>,
    ) -> Result<Json<UnreadCount>, ApiError> {
        let counts = unread::of_thread(&self.0, &caller.0, &id.0).await?;
        Ok(Json(counts.into()))
    }

    /// List conversations with something unread
    ///
    /// Latest activity first; archived ones too.
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

    /// Count what is unread in all conversations together
    ///
    /// Archived ones too.
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

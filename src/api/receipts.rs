//! Receipts over HTTP: marking as read, unread and delivered, and who did.

use chat_sdk::{ConversationId, MessageId, Timestamp, UserId};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    Tag,
    auth::AsUser,
    error::ApiError,
    json::OptionalJson,
    page::{DeliveryReceiptPage, PageQuery, ReadReceiptPage},
    path::Path,
    reply::{Json, NoContent},
};
use crate::domain::{
    Context,
    markers::{Receipt, ReceiptKind},
    page::Page,
    receipts,
};

/// When the caller read a message first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReadAt {
    /// When.
    pub read_at: Timestamp,
}

/// When a message arrived at a device of the caller first.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveredAt {
    /// When.
    pub delivered_at: Timestamp,
}

/// Up to where a conversation is read.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct MarkConversationRead {
    /// The last message that is read; all of them where it is left out.
    pub up_to_message_id: Option<MessageId>,
}

/// How many messages are newly read.
#[derive(Debug, Serialize, Object)]
pub struct NewlyReadCount {
    /// How many: of those that counted as unread.
    pub count: u64,
}

/// That a member read a message.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReadReceipt {
    /// Who.
    pub user_id: UserId,
    /// When, for the first time.
    pub read_at: Timestamp,
}

/// That a message arrived at a device of a member.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveryReceipt {
    /// Whose.
    pub user_id: UserId,
    /// When, for the first time.
    pub delivered_at: Timestamp,
}

fn page<T>(page: Page<Receipt>, item: impl Fn(Receipt) -> T) -> Page<T> {
    Page {
        items: page.items.into_iter().map(item).collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    }
}

/// The operations on receipts.
pub struct ReceiptsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::ReadReceipts")]
impl ReceiptsApi {
    /// Mark a message as read
    ///
    /// And all before it. It never goes backwards: what was read before stays read since then.
    #[oai(
        path = "/messages/:id/read",
        method = "put",
        operation_id = "markMessageRead"
    )]
    async fn mark_read(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<Json<ReadAt>, ApiError> {
        let read_at = receipts::mark_read(&self.0, &caller.0, &id.0).await?;
        Ok(Json(ReadAt { read_at }))
    }

    /// Mark a message as unread
    ///
    /// And all after it.
    #[oai(
        path = "/messages/:id/read",
        method = "delete",
        operation_id = "markMessageUnread"
    )]
    async fn mark_unread(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<NoContent, ApiError> {
        receipts::mark_unread(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// List who read a message
    ///
    /// Members who read it, by user id, without its sender. Refused where the conversation's `features.reads` is off.
    #[oai(
        path = "/messages/:id/read",
        method = "get",
        operation_id = "listReadReceipts"
    )]
    async fn list_reads(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        query: PageQuery,
    ) -> Result<Json<ReadReceiptPage>, ApiError> {
        let kind = ReceiptKind::Read;
        let found = receipts::list(&self.0, &caller.0, &id.0, kind, &query.0).await?;
        let found = page(found, |receipt| ReadReceipt {
            user_id: receipt.user,
            read_at: receipt.at,
        });
        Ok(Json(found.into()))
    }

    /// Note that a message arrived
    ///
    /// At a device of the caller; it and all before it.
    #[oai(
        path = "/messages/:id/delivered",
        method = "put",
        operation_id = "markMessageDelivered"
    )]
    async fn mark_delivered(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
    ) -> Result<Json<DeliveredAt>, ApiError> {
        let delivered_at = receipts::mark_delivered(&self.0, &caller.0, &id.0).await?;
        Ok(Json(DeliveredAt { delivered_at }))
    }

    /// List at whose devices a message arrived
    ///
    /// Members who got or read it, by user id, without its sender. Refused where the conversation's `features.reads` is off.
    #[oai(
        path = "/messages/:id/delivered",
        method = "get",
        operation_id = "listDeliveryReceipts"
    )]
    async fn list_deliveries(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        query: PageQuery,
    ) -> Result<Json<DeliveryReceiptPage>, ApiError> {
        let kind = ReceiptKind::Delivered;
        let found = receipts::list(&self.0, &caller.0, &id.0, kind, &query.0).await?;
        let found = page(found, |receipt| DeliveryReceipt {
            user_id: receipt.user,
            delivered_at: receipt.at,
        });
        Ok(Json(found.into()))
    }

    /// Mark a conversation as read
    ///
    /// Up to a message, or all of it; then the body may be left out.
    #[oai(
        path = "/conversations/:id/read",
        method = "put",
        operation_id = "markConversationRead"
    )]
    async fn read_conversation(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        body: OptionalJson<MarkConversationRead>,
    ) -> Result<Json<NewlyReadCount>, ApiError> {
        let up_to = body.0.up_to_message_id.as_ref();
        let count = receipts::read_conversation(&self.0, &caller.0, &id.0, up_to).await?;
        Ok(Json(NewlyReadCount { count }))
    }

    /// Mark a thread as read
    ///
    /// All replies to the message. How far the conversation is read stays as it is.
    #[oai(
        path = "/messages/:id/replies/read",
        method = "put",
        operation_id = "markThreadRead"
    )]
    async fn read_thread(
        &self,
        caller: AsUser,
        /// The id of the message that the thread began with.
        id: Path<MessageId>,
    ) -> Result<Json<ReadAt>, ApiError> {
        let read_at = receipts::read_thread(&self.0, &caller.0, &id.0).await?;
        Ok(Json(ReadAt { read_at }))
    }
}

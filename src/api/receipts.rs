//! HTTP operations on receipts: mark messages as read, unread or delivered, and list receipts.

use chat_sdk::{
    ConversationId, MessageId, Timestamp, UserId,
    commands::receipts::{
        DeliveredAt, MarkConversationRead, MarkMessageDelivered, MarkMessageRead, NewlyReadCount,
        ReadAt,
    },
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    auth::AsUser,
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        body::OptionalJson,
        page::{PageQuery, pages},
        path::Path,
        reply::{Json, NoContent},
    },
    state::Tag,
};
use crate::{
    domain::{Context, receipts},
    model::{
        page::Page,
        receipts::{Receipt, ReceiptKind},
    },
};

/// A member who read the message.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct ReadReceipt {
    /// Host's id of the member.
    pub user_id: UserId,
    /// Time at which the member first read the message.
    pub read_at: Timestamp,
}

/// A member at whose device the message arrived.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct DeliveryReceipt {
    /// Host's id of the member.
    pub user_id: UserId,
    /// Time at which the message first arrived at a device of the member.
    pub delivered_at: Timestamp,
}

pages! {
    /// Page of read receipts of a message.
    ReadReceiptPage { receipts: ReadReceipt }
    /// Page of delivery receipts of a message.
    DeliveryReceiptPage { receipts: DeliveryReceipt }
}

fn page<T>(page: Page<Receipt>, item: impl Fn(Receipt) -> T) -> Page<T> {
    Page {
        items: page.items.into_iter().map(item).collect(),
        next_cursor: page.next_cursor,
        has_more: page.has_more,
    }
}

/// Operations on receipts.
pub struct ReceiptsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::ReadReceipts")]
impl ReceiptsApi {
    /// Mark a message as read
    ///
    /// Marks the message and all earlier ones of the conversation as read. The
    /// position never moves backwards: a message that was already read keeps its time.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/read",
        method = "put",
        operation_id = "markMessageRead"
    )]
    async fn mark_read(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<ReadAt>, Failure<MarkMessageRead>> {
        let read_at = receipts::mark_read(&self.0, &caller.0, &id.0).await?;
        Ok(Json(ReadAt { read_at }))
    }

    /// Mark a message as unread
    ///
    /// Marks the message and all later ones of the conversation as unread.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/read",
        method = "delete",
        operation_id = "markMessageUnread"
    )]
    async fn mark_unread(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<NoContent, ApiError> {
        receipts::mark_unread(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// List the readers of a message
    ///
    /// Returns the members who read the message, by user id, without its sender.
    ///
    /// Fails with 403 if the conversation has `features.reads` off and with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/read",
        method = "get",
        operation_id = "listReadReceipts"
    )]
    async fn list_reads(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        query: PageQuery,
    ) -> Result<Json<ReadReceiptPage>, Failure<Status<403>>> {
        let kind = ReceiptKind::Read;
        let found = receipts::list(&self.0, &caller.0, &id.0, kind, &query.0).await?;
        let found = page(found, |receipt| ReadReceipt {
            user_id: receipt.user,
            read_at: receipt.at,
        });
        Ok(Json(found.into()))
    }

    /// Mark a message as delivered
    ///
    /// Records that the message and all earlier ones arrived at a device of the caller.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/delivered",
        method = "put",
        operation_id = "markMessageDelivered"
    )]
    async fn mark_delivered(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<DeliveredAt>, Failure<MarkMessageDelivered>> {
        let delivered_at = receipts::mark_delivered(&self.0, &caller.0, &id.0).await?;
        Ok(Json(DeliveredAt { delivered_at }))
    }

    /// List the recipients of a message
    ///
    /// Returns the members at whose devices the message arrived or who read it, by user id, without its sender.
    ///
    /// Fails with 403 if the conversation has `features.reads` off and with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/delivered",
        method = "get",
        operation_id = "listDeliveryReceipts"
    )]
    async fn list_deliveries(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        query: PageQuery,
    ) -> Result<Json<DeliveryReceiptPage>, Failure<Status<403>>> {
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
    /// Marks all messages up to `upToMessageId` as read. Without a body it marks the whole conversation.
    ///
    /// Fails with 400 if the message is not in the conversation and with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/read",
        method = "put",
        operation_id = "markConversationRead"
    )]
    async fn read_conversation(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        body: OptionalJson<MarkConversationRead>,
    ) -> Result<Json<NewlyReadCount>, Failure<MarkConversationRead>> {
        let up_to = body.0.up_to_message_id.as_ref();
        let count = receipts::read_conversation(&self.0, &caller.0, &id.0, up_to).await?;
        Ok(Json(NewlyReadCount { count }))
    }

    /// Mark a thread as read
    ///
    /// Marks all replies to the message as read. The read position of the conversation does not change.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/replies/read",
        method = "put",
        operation_id = "markThreadRead"
    )]
    async fn read_thread(
        &self,
        caller: AsUser,
        /// Id of the root message of the thread.
        id: Path<MessageId>,
    ) -> Result<Json<ReadAt>, ApiError> {
        let read_at = receipts::read_thread(&self.0, &caller.0, &id.0).await?;
        Ok(Json(ReadAt { read_at }))
    }
}

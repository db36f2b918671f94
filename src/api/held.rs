//! HTTP operations on held messages.

use chat_sdk::{Message, MessageId};
use poem_openapi::OpenApi;

use super::{
    auth::{AsHost, Caller},
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        page::{HeldPage, PageQuery},
        path::Path,
        reply::{Json, NoContent},
    },
    state::Tag,
};
use crate::domain::{Context, held};

/// Operations on held messages.
pub struct HeldApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Messages")]
impl HeldApi {
    /// List held messages
    ///
    /// Returns the caller's messages that a hook holds for review, oldest first. The host without `X-Acting-User` gets the messages of all authors, each
    /// with the hook and its reason. A cursor continues in that order with `before` and with `after`.
    #[oai(path = "/held", method = "get", operation_id = "listHeldMessages")]
    async fn list(&self, caller: Caller, page: PageQuery) -> Result<Json<HeldPage>, ApiError> {
        let page = held::list(&self.0, caller.user(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Release a held message
    ///
    /// Sends the message now, in the name of its author and under the same id, and returns it. No hook is asked again. A repetition returns the message
    /// that was sent.
    ///
    /// Fails with 404 if there is no such message, and with 409 if its author can no longer send it.
    #[oai(
        path = "/held/:id/release",
        method = "post",
        operation_id = "releaseHeldMessage"
    )]
    async fn release(
        &self,
        _host: AsHost,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<Json<Message>, Failure<Status<409>>> {
        Ok(Json(held::release(&self.0, &id.0).await?))
    }

    /// Drop a held message
    ///
    /// Removes the message; it will not be sent. The author's devices receive `message:dropped`, unless they are offline. The author may drop an own message.
    ///
    /// Fails with 404 if there is no such message, if it has another author or was sent, and with 409 if its release began.
    #[oai(
        path = "/held/:id",
        method = "delete",
        operation_id = "dropHeldMessage"
    )]
    async fn discard(
        &self,
        caller: Caller,
        /// Id of the message.
        id: Path<MessageId>,
    ) -> Result<NoContent, Failure<Status<409>>> {
        held::discard(&self.0, caller.user(), &id.0).await?;
        Ok(NoContent)
    }
}

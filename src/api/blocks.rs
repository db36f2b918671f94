//! Blocks over HTTP: whom the caller wants to hear nothing of.

use chat_sdk::{Timestamp, UserId};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    Tag,
    auth::AsUser,
    error::ApiError,
    page::PageQuery,
    path::Path,
    reply::{Json, NoContent},
};
use crate::domain::{
    Context,
    blocks::{self, Blocked},
    page::Page,
};

/// A user whom the caller blocks.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct BlockedUser {
    /// Who is blocked.
    pub user_id: UserId,
    /// Since when.
    pub created_at: Timestamp,
}

/// A piece of the list of whom the caller blocks.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct BlockedUserPage {
    /// The users, by user id.
    pub users: Vec<BlockedUser>,
    /// What to give as `after` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there are more.
    pub has_more: bool,
}

impl From<Page<Blocked>> for BlockedUserPage {
    fn from(page: Page<Blocked>) -> Self {
        let users = page.items.into_iter().map(|blocked| BlockedUser {
            user_id: blocked.user,
            created_at: blocked.at,
        });
        Self {
            users: users.collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        }
    }
}

/// The operations on blocks.
pub struct BlocksApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Users")]
impl BlocksApi {
    /// Block a user
    ///
    /// Nothing new passes between the two in their direct conversation, and neither can start one. Who is blocked is not told.
    #[oai(
        path = "/users/me/blocks/:userId",
        method = "put",
        operation_id = "blockUser"
    )]
    async fn block(
        &self,
        caller: AsUser,
        /// The user's id, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, ApiError> {
        blocks::block(&self.0, &caller.0, &user_id.0).await?;
        Ok(NoContent)
    }

    /// Block a user no more
    #[oai(
        path = "/users/me/blocks/:userId",
        method = "delete",
        operation_id = "unblockUser"
    )]
    async fn unblock(
        &self,
        caller: AsUser,
        /// The user's id, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, ApiError> {
        blocks::unblock(&self.0, &caller.0, &user_id.0).await?;
        Ok(NoContent)
    }

    /// List whom one blocks
    ///
    /// By user id; go on with `after`.
    #[oai(path = "/users/me/blocks", method = "get", operation_id = "listBlocks")]
    async fn list(
        &self,
        caller: AsUser,
        page: PageQuery,
    ) -> Result<Json<BlockedUserPage>, ApiError> {
        let page = blocks::list(&self.0, &caller.0, &page.0).await?;
        Ok(Json(page.into()))
    }
}

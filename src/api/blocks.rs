//! HTTP operations on blocks between users.

use chat_sdk::{Timestamp, UserId};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    auth::AsUser,
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        page::PageQuery,
        path::Path,
        reply::{Json, NoContent},
    },
    state::Tag,
};
use crate::{
    domain::{Context, blocks},
    model::{blocks::Blocked, page::Page},
};

/// User that the caller blocks.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct BlockedUser {
    /// Host's id of the blocked user.
    pub user_id: UserId,
    /// Time at which the caller blocked the user.
    pub created_at: Timestamp,
}

/// Page of the users that the caller blocks.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct BlockedUserPage {
    /// Blocked users, by user id.
    pub users: Vec<BlockedUser>,
    /// Value of `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more users.
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

/// Operations on blocks.
pub struct BlocksApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Users")]
impl BlocksApi {
    /// Block a user
    ///
    /// Neither of the two users can write in their direct conversation or start one. The blocked user is not notified. A repetition changes nothing.
    ///
    /// Fails with 400 for the caller's own id, with 404 if the user does not exist and with 409 beyond 10,000 blocked users.
    #[oai(
        path = "/users/me/blocks/:userId",
        method = "put",
        operation_id = "blockUser"
    )]
    async fn block(
        &self,
        caller: AsUser,
        /// Host's id of the user, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, Failure<Status<409>>> {
        blocks::block(&self.0, &caller.0, &user_id.0).await?;
        Ok(NoContent)
    }

    /// Unblock a user
    ///
    /// Ends a block. Changes nothing if the caller does not block the user.
    #[oai(
        path = "/users/me/blocks/:userId",
        method = "delete",
        operation_id = "unblockUser"
    )]
    async fn unblock(
        &self,
        caller: AsUser,
        /// Host's id of the user, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, ApiError> {
        blocks::unblock(&self.0, &caller.0, &user_id.0).await?;
        Ok(NoContent)
    }

    /// List blocked users
    ///
    /// Returns the users that the caller blocks, by user id. Continue with `after`.
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

//! HTTP operations on presence: read users' presence and set the caller's status.

use chat_sdk::{ChosenStatus, ConversationId, Presence, UserId};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    auth::{AsUser, Caller},
    error::ApiError,
    parts::{
        body::ValidJson,
        page::{PageQuery, PresencePage},
        path::Path,
        reply::Json,
    },
    state::Tag,
};
use crate::domain::{Context, presence};

/// Status to set.
#[derive(Debug, Deserialize, Object)]
pub struct SetStatus {
    /// Status from now on: `online`, `away`, `busy` or `invisible`.
    pub status: ChosenStatus,
    /// Text shown while the user is online, at most 200 characters. Default: none.
    #[oai(validator(max_length = 200))]
    pub text: Option<String>,
}

/// Status of the caller after the request.
#[derive(Debug, Serialize, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct UserStatus {
    /// Status from now on: `online`, `away`, `busy` or `invisible`.
    pub status: ChosenStatus,
    /// Text shown while the user is online, at most 200 characters; absent if there is none.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Users whose presence to return.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PresenceBatchRequest {
    /// Host's ids of the users, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub user_ids: Vec<UserId>,
}

/// Presence of the requested users, in the order of the request.
#[derive(Debug, Serialize, Object)]
pub struct PresenceBatch {
    /// Presence, one item per user id, in the order of `userIds`.
    pub presence: Vec<Presence>,
}

/// Operations on presence.
pub struct PresenceApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Presence")]
impl PresenceApi {
    /// Set the caller's status
    ///
    /// Sets the status and returns it. `online` shows the user as connected or not; `away` and `busy` apply while the user is connected; `invisible`
    /// looks offline to all others. The status stays until the next choice.
    #[oai(
        path = "/users/me/status",
        method = "put",
        operation_id = "setMyStatus"
    )]
    async fn set_status(
        &self,
        caller: AsUser,
        body: ValidJson<SetStatus>,
    ) -> Result<Json<UserStatus>, ApiError> {
        let SetStatus { status, text } = body.0;
        let chosen = presence::set_status(&self.0, &caller.0, status, text).await?;
        Ok(Json(UserStatus {
            status: chosen.status,
            text: chosen.text,
        }))
    }

    /// Get a user's presence
    ///
    /// Returns the presence of one user. A user who does not exist or blocks the caller looks offline.
    #[oai(
        path = "/users/:id/presence",
        method = "get",
        operation_id = "getUserPresence"
    )]
    async fn get(
        &self,
        caller: Caller,
        /// Host's id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> Result<Json<Presence>, ApiError> {
        Ok(Json(presence::get(&self.0, caller.user(), &id.0).await?))
    }

    /// Get the presence of many users
    ///
    /// Returns the presence of up to 1,000 users. A user who does not exist or blocks the caller looks offline.
    #[oai(
        path = "/presence/batch",
        method = "post",
        operation_id = "getPresenceBatch"
    )]
    async fn get_many(
        &self,
        caller: Caller,
        body: ValidJson<PresenceBatchRequest>,
    ) -> Result<Json<PresenceBatch>, ApiError> {
        let presence = presence::list(&self.0, caller.user(), &body.0.user_ids).await?;
        Ok(Json(PresenceBatch { presence }))
    }

    /// List the presence of members
    ///
    /// Returns the presence of the members by user id; `before` and `after` take a user id. For members and the host.
    ///
    /// Fails with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/presence",
        method = "get",
        operation_id = "listConversationPresence"
    )]
    async fn list(
        &self,
        caller: Caller,
        /// Id of the conversation.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<PresencePage>, ApiError> {
        let page = presence::list_members(&self.0, caller.user(), &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }
}

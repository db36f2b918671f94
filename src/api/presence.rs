//! Presence over HTTP: how users are, and how the caller wants to be seen.

use chat_sdk::{ChosenStatus, ConversationId, Presence, UserId};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    Tag,
    auth::{AsUser, Caller},
    error::ApiError,
    json::ValidJson,
    page::{PageQuery, PresencePage},
    path::Path,
    reply::Json,
};
use crate::domain::{Context, presence};

/// How the caller wants to be seen.
#[derive(Debug, Deserialize, Object)]
pub struct SetStatus {
    /// As what.
    pub status: ChosenStatus,
    /// What to say about it; nothing where it is left out.
    #[oai(validator(max_length = 200))]
    pub text: Option<String>,
}

/// How the caller wants to be seen from now on.
#[derive(Debug, Serialize, Object)]
#[oai(skip_serializing_if_is_none)]
pub struct UserStatus {
    /// As what.
    pub status: ChosenStatus,
    /// What is said about it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub text: Option<String>,
}

/// Users whose presence is asked for.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct PresenceBatchRequest {
    /// Who, at most 1,000.
    #[oai(validator(max_items = 1000))]
    pub user_ids: Vec<UserId>,
}

/// How users are, in the order of the question.
#[derive(Debug, Serialize, Object)]
pub struct PresenceBatch {
    /// One per user.
    pub presence: Vec<Presence>,
}

/// The operations on presence.
pub struct PresenceApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Presence")]
impl PresenceApi {
    /// Choose a status
    ///
    /// `online` is as the user is; `away` and `busy` hold while they are there; `invisible` looks offline to everybody else. It stays until another is
    /// chosen.
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
    /// Who does not exist or blocks the caller looks offline.
    #[oai(
        path = "/users/:id/presence",
        method = "get",
        operation_id = "getUserPresence"
    )]
    async fn get(
        &self,
        caller: Caller,
        /// The host's own id of the user, percent-encoded.
        id: Path<UserId>,
    ) -> Result<Json<Presence>, ApiError> {
        Ok(Json(presence::get(&self.0, caller.user(), &id.0).await?))
    }

    /// Get many users' presence
    ///
    /// At most 1,000 at once. Who does not exist or blocks the caller looks offline.
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

    /// Get the members' presence
    ///
    /// By user id; `before` and `after` take a user id. For members and the host.
    #[oai(
        path = "/conversations/:id/presence",
        method = "get",
        operation_id = "listConversationPresence"
    )]
    async fn list(
        &self,
        caller: Caller,
        /// The conversation's id.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<PresencePage>, ApiError> {
        let page = presence::list_members(&self.0, caller.user(), &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }
}

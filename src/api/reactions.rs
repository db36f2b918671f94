//! HTTP operations on reactions.

use chat_sdk::{
    MessageId, ReactionSummary, Timestamp, UserId,
    commands::reactions::{AddReaction, Reactions, RemoveReaction},
    http::Query,
};
use poem_openapi::{Object, OpenApi};
use serde::Serialize;

use super::{
    auth::AsUser,
    error::ApiError,
    failure::Failure,
    parts::{body::ValidJson, page::PageQuery, path::Path, reply::Json},
    state::Tag,
};
use crate::{
    domain::{Context, reactions},
    model::{page::Page, reactions::Reacted},
};

/// Reaction of one user.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UserReaction {
    /// Emoji or `:shortcode:` of the reaction.
    pub emoji: String,
    /// Host's id of the user who reacted.
    pub user_id: UserId,
    /// Time at which the user reacted.
    pub created_at: Timestamp,
}

/// All reactions to the message, and a page of the users who reacted.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReactionPage {
    /// Reactions, one item per emoji, the most used first.
    pub reactions: Vec<ReactionSummary>,
    /// Users who reacted, in the order of their reactions.
    pub users: Vec<UserReaction>,
    /// Value of `after` for the next page; absent on the last page.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// True if there are more users.
    pub has_more: bool,
}

impl From<(Vec<ReactionSummary>, Page<Reacted>)> for ReactionPage {
    fn from((reactions, page): (Vec<ReactionSummary>, Page<Reacted>)) -> Self {
        let users = page.items.into_iter().map(|reacted| UserReaction {
            emoji: reacted.emoji,
            user_id: reacted.user,
            created_at: reacted.at,
        });
        Self {
            reactions,
            users: users.collect(),
            next_cursor: page.next_cursor,
            has_more: page.has_more,
        }
    }
}

/// Operations on reactions.
pub struct ReactionsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Reactions")]
impl ReactionsApi {
    /// React to a message
    ///
    /// Adds the caller's reaction and returns all reactions to the message. The same reaction again changes nothing. An emoji is the same with and
    /// without its variation selector.
    ///
    /// Fails with 400 if the value is not an emoji, with 403 if the conversation has
    /// `features.reactions` off, and with 409 if the message is deleted or has 50 different reactions.
    #[oai(
        path = "/messages/:id/reactions",
        method = "post",
        operation_id = "addReaction"
    )]
    async fn add(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        body: ValidJson<AddReaction>,
    ) -> Result<Json<Reactions>, Failure<AddReaction>> {
        let reactions = reactions::add(&self.0, &caller.0, &id.0, &body.0.emoji).await?;
        Ok(Json(Reactions { reactions }))
    }

    /// Remove a reaction
    ///
    /// Removes the caller's reaction and returns all reactions to the message. Changes nothing if the caller did not react with this emoji.
    ///
    /// Fails with 403 if the conversation has `features.reactions` off and with 409 if the message is deleted.
    #[oai(
        path = "/messages/:id/reactions/:emoji",
        method = "delete",
        operation_id = "removeReaction"
    )]
    async fn remove(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        /// The emoji or `:shortcode:`, percent-encoded.
        emoji: Path<String>,
    ) -> Result<Json<Reactions>, Failure<RemoveReaction>> {
        let reactions = reactions::remove(&self.0, &caller.0, &id.0, &emoji.0).await?;
        Ok(Json(Reactions { reactions }))
    }

    /// List reactions to a message
    ///
    /// Returns all reactions, and the users who reacted in the order of their reactions. Continue with `after`.
    ///
    /// Fails with 404 if the message is not visible to the caller.
    #[oai(
        path = "/messages/:id/reactions",
        method = "get",
        operation_id = "listReactions"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Id of the message.
        id: Path<MessageId>,
        /// Emoji or `:shortcode:` of the reactions to list. Default: all.
        emoji: Query<Option<String>>,
        page: PageQuery,
    ) -> Result<Json<ReactionPage>, ApiError> {
        let listed =
            reactions::list(&self.0, &caller.0, &id.0, emoji.0.as_deref(), &page.0).await?;
        Ok(Json(listed.into()))
    }
}

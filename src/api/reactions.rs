//! Reactions over HTTP.

use chat_sdk::{MessageId, ReactionSummary, Timestamp, UserId, http::Query};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    Tag, auth::AsUser, error::ApiError, json::ValidJson, page::PageQuery, path::Path, reply::Json,
};
use crate::domain::{Context, page::Page, reactions};

/// A reaction to give.
#[derive(Debug, Deserialize, Object)]
pub struct AddReaction {
    /// One emoji, or a `:shortcode:` of at most 64 letters, digits, `_`, `-` and `+`.
    pub emoji: String,
}

/// All reactions to a message, one item per emoji, the most used first.
#[derive(Debug, Serialize, Object)]
pub struct Reactions {
    /// The reactions.
    pub reactions: Vec<ReactionSummary>,
}

/// One user's reaction.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UserReaction {
    /// With what.
    pub emoji: String,
    /// Who.
    pub user_id: UserId,
    /// Since when.
    pub created_at: Timestamp,
}

/// The reactions to a message, and a piece of the list of who gave them.
#[derive(Debug, Serialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase", skip_serializing_if_is_none)]
pub struct ReactionPage {
    /// All of them, one item per emoji, the most used first.
    pub reactions: Vec<ReactionSummary>,
    /// Who reacted, in the order in which they did.
    pub users: Vec<UserReaction>,
    /// What to give as `after` to go on; absent at the end.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub next_cursor: Option<String>,
    /// Whether there are more users.
    pub has_more: bool,
}

impl From<(Vec<ReactionSummary>, Page<reactions::Reacted>)> for ReactionPage {
    fn from((reactions, page): (Vec<ReactionSummary>, Page<reactions::Reacted>)) -> Self {
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

/// The operations on reactions.
pub struct ReactionsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Reactions")]
impl ReactionsApi {
    /// React to a message
    ///
    /// To react again with the same emoji changes nothing. An emoji is the same with and without its variation selector.
    #[oai(
        path = "/messages/:id/reactions",
        method = "post",
        operation_id = "addReaction"
    )]
    async fn add(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        body: ValidJson<AddReaction>,
    ) -> Result<Json<Reactions>, ApiError> {
        let reactions = reactions::add(&self.0, &caller.0, &id.0, &body.0.emoji).await?;
        Ok(Json(Reactions { reactions }))
    }

    /// Take a reaction back
    ///
    /// Without one nothing changes.
    #[oai(
        path = "/messages/:id/reactions/:emoji",
        method = "delete",
        operation_id = "removeReaction"
    )]
    async fn remove(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        /// The emoji or `:shortcode:`, percent-encoded.
        emoji: Path<String>,
    ) -> Result<Json<Reactions>, ApiError> {
        let reactions = reactions::remove(&self.0, &caller.0, &id.0, &emoji.0).await?;
        Ok(Json(Reactions { reactions }))
    }

    /// List who reacted
    ///
    /// In the order in which they did; go on with `after`.
    #[oai(
        path = "/messages/:id/reactions",
        method = "get",
        operation_id = "listReactions"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// The message's id.
        id: Path<MessageId>,
        /// Only those who reacted with this emoji.
        emoji: Query<Option<String>>,
        page: PageQuery,
    ) -> Result<Json<ReactionPage>, ApiError> {
        let listed =
            reactions::list(&self.0, &caller.0, &id.0, emoji.0.as_deref(), &page.0).await?;
        Ok(Json(listed.into()))
    }
}

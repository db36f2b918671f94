//! Operations on restrictions.

use std::sync::Arc;

use chat_sdk::{
    ConversationId, GivenUserId,
    http::{ApiError, AsHost, Fails, Json, NoContent, Query, Status, Upserted, ValidJson},
};
use poem_openapi::{OpenApi, param::Path};

use super::{
    Tag,
    shapes::restrictions::{ModerationRestriction, ModerationRestrictionPage, Restrict},
};
use crate::{Moderation, ids, pages};

/// Operations on restrictions.
pub struct RestrictionsApi(pub Arc<Moderation>);

#[OpenApi(tag = "Tag::Moderation")]
impl RestrictionsApi {
    /// Restrict a user or a conversation
    ///
    /// Mutes or bans a user, freezes a conversation, or gives it slow mode. It holds in every process at once. A restriction of the same kind, user and
    /// conversation is replaced (200). A ban in a conversation removes the member; a ban everywhere closes the user's connections and rejects the tokens that
    /// were issued before.
    ///
    /// Fails with 400 if the user or the conversation does not exist.
    #[oai(
        path = "/api/moderation/restrictions",
        method = "post",
        operation_id = "createModerationRestriction"
    )]
    async fn create(
        &self,
        _host: AsHost,
        body: ValidJson<Restrict>,
    ) -> Result<Upserted<ModerationRestriction>, Fails<Status<413>>> {
        let restriction = body.0.into_restriction()?;
        let audience = &self.0.host.audience;
        if let Some(user) = &restriction.user_id {
            let missing = audience.missing_users(vec![user.clone()]).await?;
            if !missing.is_empty() {
                return Err(ApiError::invalid("userId", "names a user who is unknown").into());
            }
        }
        if let Some(conversation) = &restriction.conversation_id
            && audience.newest_seq(conversation).await?.is_none()
        {
            let problem = "names no conversation";
            return Err(ApiError::invalid("conversationId", problem).into());
        }
        let is_new = self.0.restrict(&restriction).await?;
        Ok(Upserted {
            is_new,
            body: restriction.into(),
        })
    }

    /// List restrictions
    ///
    /// Returns the restrictions that hold now, in the order of their ids.
    #[oai(
        path = "/api/moderation/restrictions",
        method = "get",
        operation_id = "listModerationRestrictions"
    )]
    async fn list(
        &self,
        _host: AsHost,
        /// Maximum number of restrictions, 1 to 100. Default: 50.
        #[oai(validator(minimum(value = "1"), maximum(value = "100")))]
        limit: Query<Option<i64>>,
        /// `nextCursor` of the previous page; returns the restrictions after it.
        after: Query<Option<String>>,
        /// Id of a user; returns that user's restrictions only.
        #[oai(name = "userId")]
        user_id: Query<Option<GivenUserId>>,
        /// Id of a conversation; returns the restrictions in it only.
        #[oai(name = "conversationId")]
        conversation_id: Query<Option<ConversationId>>,
    ) -> Result<Json<ModerationRestrictionPage>, ApiError> {
        pages::check(after.0.as_deref(), ids::RESTRICTION)?;
        let user = user_id.0.as_ref().map(|given| &given.0);
        let found = self
            .0
            .restrictions
            .page(
                user,
                conversation_id.0.as_ref(),
                after.0.as_deref(),
                pages::size(limit.0),
            )
            .await?;
        Ok(Json(ModerationRestrictionPage {
            next_cursor: pages::next(&found, |restriction| restriction.id.clone()),
            has_more: found.has_more,
            restrictions: found.items.into_iter().map(Into::into).collect(),
        }))
    }

    /// End a restriction
    ///
    /// Ends the restriction at once. Fails with 404 if there is none of this id, or if it has ended.
    #[oai(
        path = "/api/moderation/restrictions/:id",
        method = "delete",
        operation_id = "deleteModerationRestriction"
    )]
    async fn delete(
        &self,
        _host: AsHost,
        /// Id of the restriction.
        id: Path<String>,
    ) -> Result<NoContent, Fails<Status<404>>> {
        if self.0.restrictions.end(&id.0).await? {
            Ok(NoContent)
        } else {
            Err(ApiError::NotFound("There is no such restriction.".into()).into())
        }
    }
}

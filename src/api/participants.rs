//! HTTP operations on members of conversations.

use chat_sdk::{
    ConversationId, Participant, Patch, Preferences, Role, UserId,
    commands::participants::{
        AddParticipants, AddedParticipants, RemoveParticipant, UpdatePreferences,
    },
};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use super::{
    auth::{AsUser, ByHost, Caller},
    error::ApiError,
    failure::{Failure, Status},
    parts::{
        body::ValidJson,
        page::{PageQuery, ParticipantPage},
        path::Path,
        reply::{Created, Json, NoContent},
    },
    state::Tag,
};
use crate::domain::{Context, drafts, participants};

/// Change of a member's role.
#[derive(Debug, Deserialize, Object)]
pub struct UpdateParticipant {
    /// New role of the member.
    pub role: Role,
}

/// Operations on members.
pub struct ParticipantsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl ParticipantsApi {
    /// List the members of a conversation
    ///
    /// Returns the members by user id; `before` and `after` take a user id.
    ///
    /// Fails with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/participants",
        method = "get",
        operation_id = "listParticipants"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<ParticipantPage>, ApiError> {
        let page = participants::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Add members
    ///
    /// Adds users to a group or public conversation and returns them as members. An existing member keeps the role. For owners, admins and the host.
    ///
    /// Fails with 400 that names the user who is unknown, whom the caller may not add (`PARTICIPANT_ADD_RULE`), who blocks the caller or is blocked
    /// by the caller, or who is a member of `MAX_CONVERSATIONS_PER_USER` conversations. Fails with 403 if the caller lacks the right or the
    /// conversation is direct, and with 409 if the conversation would have too many members.
    #[oai(
        path = "/conversations/:id/participants",
        method = "post",
        operation_id = "addParticipants"
    )]
    async fn add(
        &self,
        caller: Caller,
        by: ByHost,
        /// Id of the conversation.
        id: Path<ConversationId>,
        body: ValidJson<AddParticipants>,
    ) -> Result<Created<AddedParticipants>, Failure<AddParticipants>> {
        let AddParticipants { user_ids, role } = body.0;
        let role = role.unwrap_or_default();
        let asked = (caller.user(), by.0);
        let participants = participants::add(&self.0, asked, &id.0, user_ids, role).await?;
        Ok(Created(AddedParticipants { participants }))
    }

    /// Change a member's role
    ///
    /// For owners and the host.
    ///
    /// Fails with 403 if the caller lacks the right, with 404 if there is no such member and with 409 if the conversation would have no owner.
    #[oai(
        path = "/conversations/:id/participants/:userId",
        method = "patch",
        operation_id = "updateParticipant"
    )]
    async fn change(
        &self,
        caller: Caller,
        /// Id of the conversation.
        id: Path<ConversationId>,
        /// Host's id of the member, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
        body: ValidJson<UpdateParticipant>,
    ) -> Result<Json<Participant>, Failure<Status<403, 409>>> {
        let changed =
            participants::change_role(&self.0, caller.user(), &id.0, &user_id.0, body.0.role)
                .await?;
        Ok(Json(changed))
    }

    /// Change the caller's settings in a conversation
    ///
    /// Changes muting, archive, pin, hiding, notifications and draft, and returns the settings. No other user sees them.
    ///
    /// Fails with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id/me",
        method = "patch",
        operation_id = "updatePreferences"
    )]
    async fn change_preferences(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
        body: ValidJson<UpdatePreferences>,
    ) -> Result<Json<Preferences>, ApiError> {
        let mut change = body.0;
        let draft = std::mem::take(&mut change.draft);
        // Check both first: an invalid draft must not leave the preferences changed.
        drafts::check(&self.0, draft.value())?;
        let preferences =
            participants::change_preferences(&self.0, &caller.0, &id.0, change).await?;
        match draft {
            Patch::Keep => {}
            Patch::Clear => drafts::set(&self.0, &caller.0, &id.0, None).await?,
            Patch::Set(text) => drafts::set(&self.0, &caller.0, &id.0, Some(text)).await?,
        }
        Ok(Json(preferences))
    }

    /// Remove a member
    ///
    /// For owners, admins and the host; only an owner or the host can remove an
    /// owner or admin. For the caller's own id the operation is the same as leaving.
    ///
    /// Fails with 403 if the caller lacks the right or the conversation is direct, with 404 if
    /// there is no such member and with 409 if other members would remain without an owner.
    #[oai(
        path = "/conversations/:id/participants/:userId",
        method = "delete",
        operation_id = "removeParticipant"
    )]
    async fn remove(
        &self,
        caller: Caller,
        /// Id of the conversation.
        id: Path<ConversationId>,
        /// Host's id of the member, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, Failure<RemoveParticipant>> {
        participants::remove(&self.0, caller.user(), &id.0, &user_id.0).await?;
        Ok(NoContent)
    }
}

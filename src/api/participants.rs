//! HTTP operations on members of conversations.

use chat_sdk::{
    ConversationId, NotificationLevel, Participant, Preferences, Role, Timestamp, UserId,
};
use poem_openapi::{Object, OpenApi};
use serde::{Deserialize, Serialize};

use super::{
    Tag,
    auth::{AsUser, ByHost, Caller},
    error::ApiError,
    json::ValidJson,
    page::{PageQuery, ParticipantPage},
    path::Path,
    reply::{Created, Json, NoContent},
};
use crate::domain::{Context, command::PreferencesPatch, drafts, participants, patch::Patch};

/// Users to add to a conversation.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AddParticipants {
    /// Ids of the users, at least one.
    #[oai(validator(min_items = 1))]
    pub user_ids: Vec<UserId>,
    /// Role of the new members, at most the role of the caller. Default: `member`.
    pub role: Option<Role>,
}

/// The requested users as members of the conversation.
#[derive(Debug, Serialize, Object)]
pub struct AddedParticipants {
    /// Members, in the order of `userIds`.
    pub participants: Vec<Participant>,
}

/// Change of a member's role.
#[derive(Debug, Deserialize, Object)]
pub struct UpdateParticipant {
    /// New role of the member.
    pub role: Role,
}

/// Change of the caller's settings in a conversation. An omitted field keeps its value, `null` restores the default.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdatePreferences {
    /// True to mute notifications. Default: false.
    #[serde(default)]
    pub muted: Patch<bool>,
    /// End of the muting, in the future; setting it mutes. `null` mutes without an end if `muted` is true.
    #[serde(default)]
    pub muted_until: Patch<Timestamp>,
    /// True to move the conversation to the archive. Default: false.
    #[serde(default)]
    pub archived: Patch<bool>,
    /// True to show the conversation at the top. Default: false.
    #[serde(default)]
    pub pinned: Patch<bool>,
    /// True to omit the conversation from lists until the next message. Default: false.
    #[serde(default)]
    pub hidden: Patch<bool>,
    /// Events that notify the caller. Default: `all`.
    #[serde(default)]
    pub notification_level: Patch<NotificationLevel>,
    /// Unsent text, at most `MAX_MESSAGE_BYTES`. `null` or a blank text clears it.
    #[serde(default)]
    pub draft: Patch<String>,
}

impl From<UpdatePreferences> for PreferencesPatch {
    fn from(body: UpdatePreferences) -> Self {
        Self {
            muted: body.muted.or_default(),
            muted_until: body.muted_until,
            archived: body.archived.or_default(),
            pinned: body.pinned.or_default(),
            hidden: body.hidden.or_default(),
            notification_level: body.notification_level.or_default(),
        }
    }
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
    ) -> Result<Created<AddedParticipants>, ApiError> {
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
    ) -> Result<Json<Participant>, ApiError> {
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
            participants::change_preferences(&self.0, &caller.0, &id.0, change.into()).await?;
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
    ) -> Result<NoContent, ApiError> {
        participants::remove(&self.0, caller.user(), &id.0, &user_id.0).await?;
        Ok(NoContent)
    }
}

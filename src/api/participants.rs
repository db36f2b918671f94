//! Members of conversations over HTTP.

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

/// Users to add.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct AddParticipants {
    /// Who.
    #[oai(validator(min_items = 1))]
    pub user_ids: Vec<UserId>,
    /// With which rights; `member` where it is left out.
    pub role: Option<Role>,
}

/// Who is a member now, of those asked for.
#[derive(Debug, Serialize, Object)]
pub struct AddedParticipants {
    /// The members.
    pub participants: Vec<Participant>,
}

/// A change of a member's rights.
#[derive(Debug, Deserialize, Object)]
pub struct UpdateParticipant {
    /// The rights from now on.
    pub role: Role,
}

/// A change of one's own settings in a conversation. What is left out stays; `null` goes back to the default.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdatePreferences {
    /// Whether one wants no notifications.
    #[serde(default)]
    pub muted: Patch<bool>,
    /// Until when, which mutes. `null`: for as long as `muted` says.
    #[serde(default)]
    pub muted_until: Patch<Timestamp>,
    /// Whether it is put away.
    #[serde(default)]
    pub archived: Patch<bool>,
    /// Whether it is pinned to the top.
    #[serde(default)]
    pub pinned: Patch<bool>,
    /// Whether it is left out of lists until the next message.
    #[serde(default)]
    pub hidden: Patch<bool>,
    /// Of what one wants to be notified.
    #[serde(default)]
    pub notification_level: Patch<NotificationLevel>,
    /// What one has begun to write, at most as long as a message. `null` or white space forgets it.
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

/// The operations on members.
pub struct ParticipantsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl ParticipantsApi {
    /// List the members
    ///
    /// By user id; `before` and `after` take a user id.
    #[oai(
        path = "/conversations/:id/participants",
        method = "get",
        operation_id = "listParticipants"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        page: PageQuery,
    ) -> Result<Json<ParticipantPage>, ApiError> {
        let page = participants::list(&self.0, &caller.0, &id.0, &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Add members
    ///
    /// For owners and admins, and the host. A user who is a member already stays as they are. A user whom nobody synced is refused by name, and so is one
    /// whom the caller may not add (`PARTICIPANT_ADD_RULE`), one who blocks the caller or is blocked by the caller, and one who is in
    /// `MAX_CONVERSATIONS_PER_USER` conversations.
    #[oai(
        path = "/conversations/:id/participants",
        method = "post",
        operation_id = "addParticipants"
    )]
    async fn add(
        &self,
        caller: Caller,
        by: ByHost,
        /// The conversation's id.
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
    /// For owners, and the host. An owner must remain.
    #[oai(
        path = "/conversations/:id/participants/:userId",
        method = "patch",
        operation_id = "updateParticipant"
    )]
    async fn change(
        &self,
        caller: Caller,
        /// The conversation's id.
        id: Path<ConversationId>,
        /// The member's user id, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
        body: ValidJson<UpdateParticipant>,
    ) -> Result<Json<Participant>, ApiError> {
        let changed =
            participants::change_role(&self.0, caller.user(), &id.0, &user_id.0, body.0.role)
                .await?;
        Ok(Json(changed))
    }

    /// Change one's own settings
    ///
    /// Muting, archive, pin, hiding, notifications: nobody else sees them.
    #[oai(
        path = "/conversations/:id/me",
        method = "patch",
        operation_id = "updatePreferences"
    )]
    async fn change_preferences(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
        body: ValidJson<UpdatePreferences>,
    ) -> Result<Json<Preferences>, ApiError> {
        let mut change = body.0;
        let draft = std::mem::take(&mut change.draft);
        // Whatever is wrong with either is refused before anything is changed.
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
    /// For owners and admins, and the host; for oneself it is leaving. Only an owner removes an owner or admin.
    #[oai(
        path = "/conversations/:id/participants/:userId",
        method = "delete",
        operation_id = "removeParticipant"
    )]
    async fn remove(
        &self,
        caller: Caller,
        /// The conversation's id.
        id: Path<ConversationId>,
        /// The member's user id, percent-encoded.
        #[oai(name = "userId")]
        user_id: Path<UserId>,
    ) -> Result<NoContent, ApiError> {
        participants::remove(&self.0, caller.user(), &id.0, &user_id.0).await?;
        Ok(NoContent)
    }
}

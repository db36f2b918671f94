//! Conversations over HTTP.

use chat_sdk::{
    Conversation, ConversationId, ConversationType, Features, HistoryVisibility, Metadata, UserId,
    http::Query,
};
use poem_openapi::{Object, OpenApi};
use serde::Deserialize;

use super::{
    Tag,
    auth::{AsUser, ByHost, Caller},
    error::ApiError,
    json::ValidJson,
    page::{ConversationPage, PageQuery},
    path::Path,
    reply::{Json, NoContent, Upserted},
};
use crate::domain::{
    Context,
    command::{FeaturesPatch, SettingsPatch},
    conversations::{self, NewConversation},
    entry::Settings,
    error::Faults,
    participants,
    patch::Patch,
};

/// A conversation to make.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateConversation {
    /// What kind: `direct` finds or makes the one conversation of two users.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: ConversationType,
    /// Its members; the caller is one even when not listed. Exactly one other user for `direct`.
    pub participant_ids: Vec<UserId>,
    /// Its name.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// Its picture.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Option<String>,
    /// The host's own data.
    pub metadata: Option<Metadata>,
    /// What a member who joins sees of the time before; `full` where it is left out.
    pub history_visibility: Option<HistoryVisibility>,
    /// What it allows; what is left out is on.
    pub features: Option<FeatureSwitches>,
    /// How long messages stay, in seconds: a minute to ten years. For ever where it is left out.
    #[oai(validator(minimum(value = "60"), maximum(value = "315360000")))]
    pub retention_seconds: Option<u32>,
}

impl From<CreateConversation> for NewConversation {
    fn from(body: CreateConversation) -> Self {
        Self {
            kind: body.kind,
            participant_ids: body.participant_ids,
            settings: Settings {
                name: body.name,
                avatar_url: body.avatar_url,
                metadata: body.metadata,
                history_visibility: body.history_visibility.unwrap_or_default(),
                features: body.features.unwrap_or_default().into(),
                retention_seconds: body.retention_seconds,
            },
        }
    }
}

/// What a new conversation allows. What is left out is on.
#[derive(Debug, Default, Deserialize, Object)]
pub struct FeatureSwitches {
    /// Whether members see who is typing or recording.
    pub typing: Option<bool>,
    /// Whether members see who read and got what.
    pub reads: Option<bool>,
    /// Whether members may react to messages.
    pub reactions: Option<bool>,
    /// Whether members may reply in threads.
    pub threads: Option<bool>,
}

impl From<FeatureSwitches> for Features {
    fn from(body: FeatureSwitches) -> Self {
        let default = Self::default();
        Self {
            typing: body.typing.unwrap_or(default.typing),
            reads: body.reads.unwrap_or(default.reads),
            reactions: body.reactions.unwrap_or(default.reactions),
            threads: body.threads.unwrap_or(default.threads),
        }
    }
}

/// A change of a conversation's settings. What is left out stays; `null` clears.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateConversation {
    /// Its name.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Patch<String>,
    /// Its picture.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Patch<String>,
    /// The host's own data.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// What a member who joins sees of the time before. It always says something: `null` is refused.
    #[serde(default)]
    pub history_visibility: Patch<HistoryVisibility>,
    /// What it allows; what is left out stays, `null` is refused.
    #[serde(default)]
    pub features: Patch<UpdateFeatures>,
    /// How long messages stay, in seconds: a minute to ten years. `null`: for ever.
    #[serde(default)]
    #[oai(validator(minimum(value = "60"), maximum(value = "315360000")))]
    pub retention_seconds: Patch<u32>,
}

/// A change of what a conversation allows. What is left out stays; `null` is on, as where nothing was ever said.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdateFeatures {
    /// Whether members see who is typing or recording.
    pub typing: Patch<bool>,
    /// Whether members see who read and got what.
    pub reads: Patch<bool>,
    /// Whether members may react to messages.
    pub reactions: Patch<bool>,
    /// Whether members may reply in threads.
    pub threads: Patch<bool>,
}

impl From<UpdateFeatures> for FeaturesPatch {
    fn from(body: UpdateFeatures) -> Self {
        let of = |switch: Patch<bool>, default: bool| match switch {
            Patch::Keep => None,
            Patch::Clear => Some(default),
            Patch::Set(is_on) => Some(is_on),
        };
        let default = Features::default();
        Self {
            typing: of(body.typing, default.typing),
            reads: of(body.reads, default.reads),
            reactions: of(body.reactions, default.reactions),
            threads: of(body.threads, default.threads),
        }
    }
}

/// What a field is set to that always has a value; `null` is noted as a fault.
pub(super) fn set_or_kept<T>(
    field: &'static str,
    patch: Patch<T>,
    faults: &mut Faults,
) -> Option<T> {
    match patch {
        Patch::Keep => None,
        Patch::Set(value) => Some(value),
        Patch::Clear => {
            faults.add(field, "must not be null; leave it out to keep it");
            None
        }
    }
}

/// The operations on conversations.
pub struct ConversationsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl ConversationsApi {
    /// Make a conversation
    ///
    /// Answers 200 with the direct conversation of the two users if there is one already. A participant whom nobody synced is refused by name, and so is
    /// one whom the caller may not add (`PARTICIPANT_ADD_RULE`), one who blocks the caller or is blocked by the caller, and one who is in
    /// `MAX_CONVERSATIONS_PER_USER` conversations. Of a direct conversation only the host sets `retentionSeconds`, with a change.
    #[oai(
        path = "/conversations",
        method = "post",
        operation_id = "createConversation"
    )]
    async fn create(
        &self,
        caller: AsUser,
        by: ByHost,
        body: ValidJson<CreateConversation>,
    ) -> Result<Upserted<Conversation>, ApiError> {
        let made = conversations::create(&self.0, &caller.0, by.0, body.0.into()).await?;
        Ok(Upserted {
            is_new: made.is_new,
            body: made.conversation,
        })
    }

    /// List one's conversations
    ///
    /// Latest activity first, each with its newest message, what is unread and the caller's draft. Those that the caller put away are listed with
    /// `archived=true` alone; hidden ones are left out until a new message.
    #[oai(
        path = "/conversations",
        method = "get",
        operation_id = "listConversations"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// Whether to list those that the caller put away, instead of the others.
        archived: Query<Option<bool>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let archived = archived.0.unwrap_or_default();
        let page = conversations::list(&self.0, &caller.0, archived.into(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Find public conversations
    #[oai(
        path = "/conversations/public",
        method = "get",
        operation_id = "listPublicConversations"
    )]
    async fn list_public(
        &self,
        _caller: AsUser,
        /// What the name begins with; all without it.
        q: Query<Option<String>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let page = conversations::list_public(&self.0, q.0.as_deref(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a conversation
    #[oai(
        path = "/conversations/:id",
        method = "get",
        operation_id = "getConversation"
    )]
    async fn get(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, ApiError> {
        Ok(Json(conversations::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Change a conversation's settings
    ///
    /// For owners and admins, and the host. Of a direct conversation both users may change the metadata. A shorter `retentionSeconds` removes what others
    /// wrote: it takes an owner of the conversation, or the host in no user's name; of a direct conversation only the host.
    #[oai(
        path = "/conversations/:id",
        method = "patch",
        operation_id = "updateConversation"
    )]
    async fn change(
        &self,
        caller: Caller,
        /// The conversation's id.
        id: Path<ConversationId>,
        body: ValidJson<UpdateConversation>,
    ) -> Result<Json<Conversation>, ApiError> {
        let mut faults = Faults::default();
        let history_visibility =
            set_or_kept("historyVisibility", body.0.history_visibility, &mut faults);
        let features = set_or_kept("features", body.0.features, &mut faults);
        faults.into_result()?;
        let patch = SettingsPatch {
            name: body.0.name,
            avatar_url: body.0.avatar_url,
            metadata: body.0.metadata,
            history_visibility,
            features: features.map(FeaturesPatch::from),
            retention_seconds: body.0.retention_seconds,
        };
        let changed = conversations::change(&self.0, caller.user(), &id.0, patch).await?;
        Ok(Json(changed))
    }

    /// Delete a conversation
    ///
    /// For everybody. Only an owner may; a direct conversation cannot be deleted.
    #[oai(
        path = "/conversations/:id",
        method = "delete",
        operation_id = "deleteConversation"
    )]
    async fn delete(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
    ) -> Result<NoContent, ApiError> {
        conversations::delete(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// Join a public conversation
    #[oai(
        path = "/conversations/:id/join",
        method = "post",
        operation_id = "joinConversation"
    )]
    async fn join(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, ApiError> {
        Ok(Json(participants::join(&self.0, &caller.0, &id.0).await?))
    }

    /// Leave a conversation
    ///
    /// The last owner must make another member owner first.
    #[oai(
        path = "/conversations/:id/leave",
        method = "post",
        operation_id = "leaveConversation"
    )]
    async fn leave(
        &self,
        caller: AsUser,
        /// The conversation's id.
        id: Path<ConversationId>,
    ) -> Result<NoContent, ApiError> {
        participants::leave(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }
}

//! HTTP operations on conversations.

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

/// Body of a conversation to create.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct CreateConversation {
    /// Type of the conversation. With `direct` the request finds or creates the one conversation of the two users.
    #[serde(rename = "type")]
    #[oai(rename = "type")]
    pub kind: ConversationType,
    /// Ids of the members. The caller is always a member, also if not listed. `direct` takes exactly one other user.
    pub participant_ids: Vec<UserId>,
    /// Name of the conversation, 1 to 200 characters.
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Option<String>,
    /// URL of the picture, 1 to 2,048 characters.
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Option<String>,
    /// JSON object of the host, at most 16 KiB. The service does not interpret it.
    pub metadata: Option<Metadata>,
    /// Part of the earlier history that new members see. Default: `full`.
    pub history_visibility: Option<HistoryVisibility>,
    /// Feature switches. An omitted switch is on.
    pub features: Option<FeatureSwitches>,
    /// Time in seconds after which messages expire: 60 to 315,360,000 (ten years). Default: messages are kept without limit.
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

/// Feature switches of a new conversation. An omitted switch is on.
#[derive(Debug, Default, Deserialize, Object)]
pub struct FeatureSwitches {
    /// True if members see who is typing or recording. Default: true.
    pub typing: Option<bool>,
    /// True if members see read and delivery receipts. Default: true.
    pub reads: Option<bool>,
    /// True if members can react to messages. Default: true.
    pub reactions: Option<bool>,
    /// True if members can reply in threads. Default: true.
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

/// Change of a conversation's settings. An omitted field keeps its value, `null` clears it.
#[derive(Debug, Deserialize, Object)]
#[serde(rename_all = "camelCase")]
#[oai(rename_all = "camelCase")]
pub struct UpdateConversation {
    /// Name of the conversation, 1 to 200 characters.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Patch<String>,
    /// URL of the picture, 1 to 2,048 characters.
    #[serde(default)]
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Patch<String>,
    /// JSON object of the host, at most 16 KiB. The service does not interpret it.
    #[serde(default)]
    pub metadata: Patch<Metadata>,
    /// Part of the earlier history that new members see. It always has a value: `null` is rejected.
    #[serde(default)]
    pub history_visibility: Patch<HistoryVisibility>,
    /// Feature switches to change. An omitted switch keeps its value; `null` for the whole field is rejected.
    #[serde(default)]
    pub features: Patch<UpdateFeatures>,
    /// Time in seconds after which messages expire: 60 to 315,360,000 (ten years). `null` keeps them without limit.
    #[serde(default)]
    #[oai(validator(minimum(value = "60"), maximum(value = "315360000")))]
    pub retention_seconds: Patch<u32>,
}

/// Change of the feature switches. An omitted switch keeps its value; `null` restores the default, which is on.
#[derive(Debug, Default, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdateFeatures {
    /// True if members see who is typing or recording. Default: true.
    pub typing: Patch<bool>,
    /// True if members see read and delivery receipts. Default: true.
    pub reads: Patch<bool>,
    /// True if members can react to messages. Default: true.
    pub reactions: Patch<bool>,
    /// True if members can reply in threads. Default: true.
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

/// Returns the new value of a field that always has one; adds a fault for `null`.
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

/// Operations on conversations.
pub struct ConversationsApi(pub Context);

#[OpenApi(prefix_path = "/api", tag = "Tag::Conversations")]
impl ConversationsApi {
    /// Create a conversation
    ///
    /// Creates a conversation with the caller as a member and returns it; for `direct` returns 200 with the conversation of the two users if it
    /// exists. Only the host sets `retentionSeconds` of a direct conversation, with a change.
    ///
    /// Fails with 400 that names the participant who is unknown, whom the caller may not add (`PARTICIPANT_ADD_RULE`), who blocks the caller or is
    /// blocked by the caller, or who is a member of `MAX_CONVERSATIONS_PER_USER` conversations.
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

    /// List the caller's conversations
    ///
    /// Returns the conversations with the latest activity first, each with its newest message, unread counts and the caller's draft. Archived
    /// conversations are listed only with `archived=true`. Hidden conversations are omitted until a new message.
    #[oai(
        path = "/conversations",
        method = "get",
        operation_id = "listConversations"
    )]
    async fn list(
        &self,
        caller: AsUser,
        /// True to list only the archived conversations, false to list only the others. Default: false.
        archived: Query<Option<bool>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let archived = archived.0.unwrap_or_default();
        let page = conversations::list(&self.0, &caller.0, archived.into(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Find public conversations
    ///
    /// Returns public conversations by name. The caller does not have to be a member.
    #[oai(
        path = "/conversations/public",
        method = "get",
        operation_id = "listPublicConversations"
    )]
    async fn list_public(
        &self,
        _caller: AsUser,
        /// Beginning of the name, 1 to 100 characters, compared regardless of case. Default: all public conversations.
        q: Query<Option<String>>,
        page: PageQuery,
    ) -> Result<Json<ConversationPage>, ApiError> {
        let page = conversations::list_public(&self.0, q.0.as_deref(), &page.0).await?;
        Ok(Json(page.into()))
    }

    /// Get a conversation
    ///
    /// Returns one conversation with its newest message, the caller's unread counts, settings and draft.
    ///
    /// Fails with 404 if the conversation does not exist or the caller was never a member.
    #[oai(
        path = "/conversations/:id",
        method = "get",
        operation_id = "getConversation"
    )]
    async fn get(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, ApiError> {
        Ok(Json(conversations::get(&self.0, &caller.0, &id.0).await?))
    }

    /// Change a conversation's settings
    ///
    /// Owners, admins and the host can change all settings; in a direct conversation both users can change the metadata, the features and the
    /// retention. A shorter `retentionSeconds` removes messages of other users, so only an owner, or the host without `X-Acting-User`, can set it; in
    /// a direct conversation only the host.
    ///
    /// Fails with 403 if the caller lacks the right and with 404 if the caller is not a member.
    #[oai(
        path = "/conversations/:id",
        method = "patch",
        operation_id = "updateConversation"
    )]
    async fn change(
        &self,
        caller: Caller,
        /// Id of the conversation.
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
    /// Deletes the conversation for all members.
    ///
    /// Fails with 403 unless the caller is an owner, and for a direct conversation.
    #[oai(
        path = "/conversations/:id",
        method = "delete",
        operation_id = "deleteConversation"
    )]
    async fn delete(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<NoContent, ApiError> {
        conversations::delete(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }

    /// Join a public conversation
    ///
    /// Makes the caller a member and returns the conversation, also if the caller already is a member.
    ///
    /// Fails with 404 if the conversation does not exist or is not public, and with 409 if it is full or the caller is a member of
    /// `MAX_CONVERSATIONS_PER_USER` conversations.
    #[oai(
        path = "/conversations/:id/join",
        method = "post",
        operation_id = "joinConversation"
    )]
    async fn join(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<Json<Conversation>, ApiError> {
        Ok(Json(participants::join(&self.0, &caller.0, &id.0).await?))
    }

    /// Leave a conversation
    ///
    /// Ends the caller's membership. Messages up to this moment stay readable for the caller.
    ///
    /// Fails with 403 for a direct conversation and with 409 for the last owner while other members remain: make another member owner first.
    #[oai(
        path = "/conversations/:id/leave",
        method = "post",
        operation_id = "leaveConversation"
    )]
    async fn leave(
        &self,
        caller: AsUser,
        /// Id of the conversation.
        id: Path<ConversationId>,
    ) -> Result<NoContent, ApiError> {
        participants::leave(&self.0, &caller.0, &id.0).await?;
        Ok(NoContent)
    }
}

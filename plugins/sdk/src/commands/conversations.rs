//! Commands on conversations.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Command, Declaration, Empty, OfConversation};
use crate::{
    Conversation, ConversationSettings, ConversationType, Features, HistoryVisibility, Metadata,
    Patch, UserId,
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

/// Feature switches of a new conversation. An omitted switch is on.
#[derive(Debug, Clone, Copy, Default, Deserialize, Object)]
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

impl CreateConversation {
    /// Returns the settings of the new conversation; omitted ones have their defaults.
    pub fn settings(&self) -> ConversationSettings {
        ConversationSettings {
            name: self.name.clone(),
            avatar_url: self.avatar_url.clone(),
            metadata: self.metadata.clone(),
            history_visibility: self.history_visibility.unwrap_or_default(),
            features: self.features.unwrap_or_default().into(),
            retention_seconds: self.retention_seconds,
        }
    }
}

impl Command for CreateConversation {
    type Path = Empty;
    type Body = Self;
    type Answer = Conversation;

    const DECLARATION: Declaration = Declaration::new("Creates a conversation.", &[403, 409, 413])
        .rest("createConversation", "POST", "/api/conversations")
        .host("conversations.create");
}

/// Change of a conversation's settings. An omitted field keeps its value, `null` clears it.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdateConversation {
    /// Name of the conversation, 1 to 200 characters.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[oai(validator(min_length = 1, max_length = 200))]
    pub name: Patch<String>,
    /// URL of the picture, 1 to 2,048 characters.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[oai(validator(min_length = 1, max_length = 2048))]
    pub avatar_url: Patch<String>,
    /// JSON object of the host, at most 16 KiB. The service does not interpret it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<Metadata>,
    /// Part of the earlier history that new members see. It always has a value: `null` is rejected.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub history_visibility: Patch<HistoryVisibility>,
    /// Feature switches to change. An omitted switch keeps its value; `null` for the whole field is rejected.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub features: Patch<UpdateFeatures>,
    /// Time in seconds after which messages expire: 60 to 315,360,000 (ten years). `null` keeps them without limit.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    #[oai(validator(minimum(value = "60"), maximum(value = "315360000")))]
    pub retention_seconds: Patch<u32>,
}

impl UpdateConversation {
    /// Applies the change to `settings`. A setting that always has a value keeps it if it is cleared.
    pub fn apply(self, settings: &mut ConversationSettings) {
        self.name.apply(&mut settings.name);
        self.avatar_url.apply(&mut settings.avatar_url);
        self.metadata.apply(&mut settings.metadata);
        if let Patch::Set(visibility) = self.history_visibility {
            settings.history_visibility = visibility;
        }
        if let Patch::Set(switches) = self.features {
            switches.apply(&mut settings.features);
        }
        self.retention_seconds
            .apply(&mut settings.retention_seconds);
    }
}

/// Change of the feature switches. An omitted switch keeps its value; `null` restores the default, which is on.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdateFeatures {
    /// True if members see who is typing or recording. Default: true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub typing: Patch<bool>,
    /// True if members see read and delivery receipts. Default: true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub reads: Patch<bool>,
    /// True if members can react to messages. Default: true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub reactions: Patch<bool>,
    /// True if members can reply in threads. Default: true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub threads: Patch<bool>,
}

impl UpdateFeatures {
    /// Applies the change to `features`.
    pub fn apply(self, features: &mut Features) {
        let default = Features::default();
        self.typing.apply_or(&mut features.typing, default.typing);
        self.reads.apply_or(&mut features.reads, default.reads);
        self.reactions
            .apply_or(&mut features.reactions, default.reactions);
        self.threads
            .apply_or(&mut features.threads, default.threads);
    }
}

impl Command for UpdateConversation {
    type Path = OfConversation;
    type Body = Self;
    type Answer = Conversation;

    const DECLARATION: Declaration =
        Declaration::new("Changes the settings of a conversation.", &[403, 404, 413])
            .rest(
                "updateConversation",
                "PATCH",
                "/api/conversations/{conversationId}",
            )
            .host("conversations.change");
}

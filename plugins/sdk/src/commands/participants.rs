//! Commands on members of conversations.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Command, Declaration, Empty, OfConversation, PathFields, path_fields};
use crate::{
    ConversationId, GivenUserId, NotificationLevel, Participant, Patch, Preferences, Role,
    Timestamp, UserId,
};

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
#[derive(Debug, Serialize, Deserialize, Object)]
pub struct AddedParticipants {
    /// Members, in the order of `userIds`.
    pub participants: Vec<Participant>,
}

impl Command for AddParticipants {
    type Path = OfConversation;
    type Body = Self;
    type Answer = AddedParticipants;

    const DECLARATION: Declaration =
        Declaration::new("Adds users to a conversation.", &[403, 404, 409, 413])
            .rest(
                "addParticipants",
                "POST",
                "/api/conversations/{conversationId}/participants",
            )
            .host("participants.add");
}

path_fields! {
    /// Path of a member.
    OfMember {
        /// Id of the conversation.
        conversation_id: ConversationId = "conversationId",
        /// Id of the member.
        user_id: GivenUserId = "userId",
    }
}

/// The command that removes a member.
pub struct RemoveParticipant;

impl Command for RemoveParticipant {
    type Path = OfMember;
    type Body = Empty;
    type Answer = Empty;

    const DECLARATION: Declaration =
        Declaration::new("Removes a member from a conversation.", &[403, 404, 409])
            .rest(
                "removeParticipant",
                "DELETE",
                "/api/conversations/{conversationId}/participants/{userId}",
            )
            .host("participants.remove");
}

/// Change of the caller's settings in a conversation. An omitted field keeps its value, `null` restores the default.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, Object)]
#[serde(rename_all = "camelCase", default)]
#[oai(rename_all = "camelCase")]
pub struct UpdatePreferences {
    /// True to mute notifications. Default: false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub muted: Patch<bool>,
    /// End of the muting, in the future; setting it mutes. `null` mutes without an end if `muted` is true.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub muted_until: Patch<Timestamp>,
    /// True to move the conversation to the archive. Default: false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub archived: Patch<bool>,
    /// True to show the conversation at the top. Default: false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub pinned: Patch<bool>,
    /// True to omit the conversation from lists until the next message. Default: false.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub hidden: Patch<bool>,
    /// Events that notify the caller. Default: `all`.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub notification_level: Patch<NotificationLevel>,
    /// Unsent text, at most `MAX_MESSAGE_BYTES`. `null` or a blank text clears it.
    #[serde(skip_serializing_if = "Patch::is_keep")]
    pub draft: Patch<String>,
}

impl UpdatePreferences {
    /// Applies the change to `preferences`, which do not have the draft.
    pub fn apply(self, preferences: &mut Preferences) {
        let default = Preferences::default();
        self.muted.apply_or(&mut preferences.muted, default.muted);
        if self.muted_until.value().is_some() {
            preferences.muted = true;
        }
        self.muted_until.apply(&mut preferences.muted_until);
        if !preferences.muted {
            preferences.muted_until = None;
        }
        self.archived
            .apply_or(&mut preferences.archived, default.archived);
        self.pinned
            .apply_or(&mut preferences.pinned, default.pinned);
        self.hidden
            .apply_or(&mut preferences.hidden, default.hidden);
        let level = &mut preferences.notification_level;
        self.notification_level
            .apply_or(level, default.notification_level);
    }
}

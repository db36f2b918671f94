//! Commands on reactions.

use poem_openapi::Object;
use serde::{Deserialize, Serialize};

use super::{Command, Declaration, Empty, OfMessage, PathFields, path_fields};
use crate::{MessageId, ReactionSummary};

/// Reaction to add.
#[derive(Debug, Deserialize, Object)]
#[serde(deny_unknown_fields)]
pub struct AddReaction {
    /// One Unicode emoji, or a `:shortcode:` of at most 64 letters, digits, `_`, `-` and `+`.
    pub emoji: String,
}

/// All reactions to the message, one item per emoji, the most used first.
#[derive(Debug, Serialize, Deserialize, Object)]
pub struct Reactions {
    /// Reactions, one item per emoji, the most used first.
    pub reactions: Vec<ReactionSummary>,
}

impl Command for AddReaction {
    type Path = OfMessage;
    type Body = Self;
    type Answer = Reactions;

    const DECLARATION: Declaration =
        Declaration::new("Adds a reaction to a message.", &[403, 404, 409])
            .rest("addReaction", "POST", "/api/messages/{messageId}/reactions")
            .socket("reaction:add");
}

path_fields! {
    /// Path of a reaction.
    OfReaction {
        /// Id of the message.
        message_id: MessageId = "messageId",
        /// The emoji or `:shortcode:`.
        emoji: String = "emoji",
    }
}

/// The command that removes a reaction.
pub struct RemoveReaction;

impl Command for RemoveReaction {
    type Path = OfReaction;
    type Body = Empty;
    type Answer = Reactions;

    const DECLARATION: Declaration =
        Declaration::new("Removes a reaction from a message.", &[403, 404, 409])
            .rest(
                "removeReaction",
                "DELETE",
                "/api/messages/{messageId}/reactions/{emoji}",
            )
            .socket("reaction:remove");
}

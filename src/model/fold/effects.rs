//! Writes that follow from an entry.

use chat_sdk::{MessageId, Timestamp, UserId};

use super::Facet;
use crate::model::state::{ConversationFields, Member, UserFields};

/// Writes that bring the documents from one entry to the next. All values are absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Members whose documents changed.
    pub members: Vec<(UserId, Member)>,
    /// Message whose document changed, and the changed part.
    pub facet: Option<(MessageId, Facet)>,
    /// Reaction whose document changed.
    pub reaction: Option<ReactionChange>,
    /// Block whose document changed.
    pub block: Option<BlockChange>,
    /// Change of the owner's document.
    pub document: Option<DocumentChange>,
}

impl Effects {
    /// Returns true if the entry only adds a plain message.
    ///
    /// Nothing has to wait until its effects are written.
    pub fn is_message_alone(&self) -> bool {
        let Self {
            members,
            facet,
            reaction,
            block,
            document,
        } = self;
        members.is_empty()
            && facet.is_none()
            && reaction.is_none()
            && block.is_none()
            && matches!(
                document,
                Some(DocumentChange::Activity { removal: None, .. })
            )
    }
}

/// A user's reaction to a message, added or removed.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionChange {
    /// Id of the message.
    pub message: MessageId,
    /// The emoji.
    pub emoji: String,
    /// User who reacted.
    pub user: UserId,
    /// Seq of the entry that changed it.
    pub seq: u64,
    /// Time of the change.
    pub at: Timestamp,
    /// True if the reaction exists.
    pub is_active: bool,
}

/// A user's block of another user, added or removed.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockChange {
    /// User who blocks.
    pub user: UserId,
    /// User who is blocked.
    pub blocked: UserId,
    /// Seq of the entry that changed it.
    pub seq: u64,
    /// Time of the change.
    pub at: Timestamp,
    /// True if the block exists.
    pub is_active: bool,
}

/// Change of the owner's document besides its seq.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// Activity only: the common case, and the cheapest.
    Activity {
        /// Time and seq of a new message.
        message: Option<(Timestamp, u64)>,
        /// Seq of the entry that removed or restored a message.
        removal: Option<u64>,
    },
    /// All fields of a conversation.
    Conversation(Box<ConversationFields>),
    /// All fields of a user.
    User(Box<UserFields>),
}

impl DocumentChange {
    /// Returns this change with a later one applied.
    pub fn then(self, later: Self) -> Self {
        match (self, later) {
            (Self::Conversation(mut fields), Self::Activity { message, removal }) => {
                if let Some((at, seq)) = message {
                    fields.last_activity_at = at;
                    fields.last_message_seq = seq;
                }
                if let Some(seq) = removal {
                    fields.last_removal_seq = seq;
                }
                Self::Conversation(fields)
            }
            (
                Self::Activity { message, removal },
                Self::Activity {
                    message: later_message,
                    removal: later_removal,
                },
            ) => Self::Activity {
                message: later_message.or(message),
                removal: later_removal.or(removal),
            },
            (_, later) => later,
        }
    }
}

//! What has to be written after an entry.

use chat_sdk::{MessageId, Timestamp, UserId};

use super::Facet;
use crate::domain::state::{ConversationFields, Member, UserFields};

/// What has to be written to bring the documents from one entry to the next. Everything in it is absolute.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Effects {
    /// Members whose document changed.
    pub members: Vec<(UserId, Member)>,
    /// The message whose document changed.
    pub facet: Option<(MessageId, Facet)>,
    /// The reaction whose document changed.
    pub reaction: Option<ReactionChange>,
    /// The block whose document changed.
    pub block: Option<BlockChange>,
    /// The owner's document.
    pub document: Option<DocumentChange>,
}

impl Effects {
    /// Whether this says no more than that a message came: nobody has to wait until that is written.
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

/// A user's reaction to a message, or that it was taken back.
#[derive(Debug, Clone, PartialEq)]
pub struct ReactionChange {
    /// The message.
    pub message: MessageId,
    /// The emoji.
    pub emoji: String,
    /// Who.
    pub user: UserId,
    /// The entry that changed it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whether it is there.
    pub is_active: bool,
}

/// That a user blocks another, or no more.
#[derive(Debug, Clone, PartialEq)]
pub struct BlockChange {
    /// Who blocks.
    pub user: UserId,
    /// Whom.
    pub blocked: UserId,
    /// The entry that changed it.
    pub seq: u64,
    /// When.
    pub at: Timestamp,
    /// Whether they do.
    pub is_active: bool,
}

/// What changes in the owner's document beside its number.
#[derive(Debug, Clone, PartialEq)]
pub enum DocumentChange {
    /// Only that something happened; the common case, and the cheapest.
    Activity {
        /// When a message came, and its number.
        message: Option<(Timestamp, u64)>,
        /// The entry by which a message went or came back.
        removal: Option<u64>,
    },
    /// Everything, for a conversation.
    Conversation(Box<ConversationFields>),
    /// Everything, for a user.
    User(Box<UserFields>),
}

impl DocumentChange {
    /// This change with a later one laid over it.
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

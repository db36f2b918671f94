//! Commands: requested changes that the log has not decided on yet.
//!
//! A command enters once, with the id of its future event. It may then be forwarded to another process, or written twice after an unknown outcome:
//! the id makes sure that it takes effect once.

use std::sync::Arc;

use chat_sdk::{
    ConversationSettings, ConversationType, EventId, Role, Timestamp, TraceParent, UserId,
    commands::{
        conversations::UpdateConversation, participants::UpdatePreferences, users::UpdateUser,
    },
};
use serde::{Deserialize, Serialize};

use super::{
    entry::{
        Block, Body, Disconnection, Entry, MessageCreated, MessageEdit, MessageRemoval,
        MessageRestored, MessageTarget, NewMember, Owner, PluginData, Profile,
    },
    error::{DomainError, Result},
    state::Target,
};

/// A command on its way to the writer of its owner's shard.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Request {
    /// Owner of the log that the command would change.
    pub owner: Owner,
    /// Id of the entry that the command becomes.
    pub event_id: EventId,
    /// User who requests the change; `None` for the host acting without a user.
    pub actor: Option<UserId>,
    /// The requested change.
    pub command: Command,
    /// Trace context of the request, if it had one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl Request {
    /// Returns a request with a new event id.
    pub fn new(owner: impl Into<Owner>, actor: Option<UserId>, command: Command) -> Self {
        Self {
            owner: owner.into(),
            event_id: EventId::generate(),
            actor,
            command,
            trace: None,
        }
    }

    /// Returns the data that the check reads besides the owner's state, if any.
    pub fn target(&self) -> Option<Target> {
        let (message, reaction) = match &self.command {
            Command::Join { .. } => {
                return self.of_members(std::slice::from_ref(self.actor.as_ref()?));
            }
            Command::AddParticipants { user_ids, .. } => return self.of_members(user_ids),
            Command::ForgetMember { user_id } => {
                return self.of_members(std::slice::from_ref(user_id));
            }
            Command::SendMessage(message) => (message.thread_id.as_ref()?, None),
            Command::EditMessage(wanted) => (&wanted.edit.message_id, None),
            Command::DeleteMessage(removal) => (&removal.message_id, None),
            Command::RestoreMessage(restored) => (&restored.message_id, None),
            Command::PinMessage(target) | Command::UnpinMessage(target) => {
                (&target.message_id, None)
            }
            Command::WithdrawReaction { wanted, user } => (
                &wanted.message_id,
                Some((wanted.emoji.clone(), user.clone())),
            ),
            Command::AddReaction(reaction) | Command::RemoveReaction(reaction) => (
                &reaction.message_id,
                Some((reaction.emoji.clone(), self.actor.clone()?)),
            ),
            _ => return None,
        };
        Some(Target::Message {
            message: message.clone(),
            reaction,
        })
    }

    /// Returns the stored records of `users`, who may be former members.
    fn of_members(&self, users: &[UserId]) -> Option<Target> {
        let Owner::Conversation(conversation) = &self.owner else {
            return None;
        };
        Some(Target::Members {
            conversation: conversation.clone(),
            users: users.to_vec(),
        })
    }
}

/// A requested change.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Send a message.
    SendMessage(Box<MessageCreated>),
    /// Edit a message's text or metadata.
    EditMessage(WantedEdit),
    /// Delete a message.
    DeleteMessage(MessageRemoval),
    /// Restore a deleted message.
    RestoreMessage(Box<MessageRestored>),
    /// Pin a message.
    PinMessage(MessageTarget),
    /// Unpin a message.
    UnpinMessage(MessageTarget),
    /// React to a message.
    AddReaction(WantedReaction),
    /// Remove the caller's reaction.
    RemoveReaction(WantedReaction),
    /// Create a conversation; does nothing if it exists.
    CreateConversation {
        /// Type of the conversation.
        kind: ConversationType,
        /// Its settings.
        settings: ConversationSettings,
        /// User who creates it.
        created_by: UserId,
        /// Its first members, including the creator.
        members: Vec<NewMember>,
    },
    /// Remove the reaction of a deleted user.
    WithdrawReaction {
        /// The reaction to remove.
        wanted: WantedReaction,
        /// User who reacted.
        user: UserId,
    },
    /// Change a conversation's settings.
    UpdateConversation(UpdateConversation),
    /// Delete a conversation.
    DeleteConversation,
    /// Append an event of a plugin.
    Publish(Box<PluginData>),
    /// Join a public conversation.
    Join {
        /// Maximum number of members of the conversation.
        max_members: u32,
    },
    /// Leave a conversation.
    Leave,
    /// Add members.
    AddParticipants {
        /// Users to add.
        user_ids: Vec<UserId>,
        /// Number of users that the same request adds after these: there must be room for all of them.
        following: u32,
        /// Role of the new members.
        role: Role,
        /// Maximum number of members of the conversation.
        max_members: u32,
    },
    /// Remove another member.
    RemoveParticipant {
        /// Member to remove.
        user_id: UserId,
    },
    /// Remove everything that a user has in a conversation, because the user was deleted.
    ///
    /// Only for the host.
    ForgetMember {
        /// Id of the deleted user.
        user_id: UserId,
    },
    /// Change a member's role.
    ChangeRole {
        /// Member whose role changes.
        user_id: UserId,
        /// The new role.
        role: Role,
    },
    /// Change a member's own settings.
    UpdatePreferences(UpdatePreferences),
    /// Block or unblock the other member of a direct conversation.
    SetBlocking(bool),
    /// Create a user with this profile unless the user exists.
    EnsureUser(Profile),
    /// Create or overwrite a user with the host's data.
    SyncUser {
        /// Profile that the host supplies.
        profile: Profile,
        /// Time of the former holder's deletion, if the caller knows that their data is erased.
        ///
        /// The id can be given to a new user only after that deletion.
        revives: Option<Timestamp>,
    },
    /// Change the caller's own profile.
    UpdateUser(UpdateUser),
    /// Delete a user's profile.
    DeleteUser,
    /// Block a user.
    BlockUser(Block),
    /// Unblock a user.
    UnblockUser(Block),
    /// Revoke tokens that were issued before.
    DisconnectUser(Disconnection),
}

/// An edit of a message, and how it relates to the version that its caller read.
///
/// The writer knows the message's last edit, but not its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedEdit {
    /// The edit.
    pub edit: MessageEdit,
    /// Seq of the last edit when the message was read; 0 if there was none.
    pub read_edit_seq: u64,
    /// True if the edit keeps the text that was read: it must then not undo a later edit.
    pub keeps_content: bool,
    /// True if the edit leaves the message as it was read.
    pub is_unchanged: bool,
}

/// A reaction to add or remove.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedReaction {
    /// Id of the message.
    pub message_id: chat_sdk::MessageId,
    /// One emoji in its canonical spelling, or a `:shortcode:`.
    pub emoji: String,
}

/// Result of checking a command.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Append this entry.
    Append(Body),
    /// Nothing would change; append nothing.
    Nothing,
}

/// Outcome of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The command's entry; `None` if nothing had to change.
    pub entry: Option<Arc<Entry>>,
    /// True if the entry existed already: the command was a repetition.
    pub is_repeated: bool,
}

impl Outcome {
    /// Returns the entry of a command that always has one.
    ///
    /// # Errors
    /// [`DomainError::Internal`] if there is none, which would be a defect of the check.
    pub fn into_entry(self) -> Result<Arc<Entry>> {
        self.entry.ok_or(DomainError::Internal(
            "the command produced no entry".into(),
        ))
    }
}

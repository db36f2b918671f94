//! Commands: requested changes that the log has not decided on yet.
//!
//! A command enters once, with the id of its future event. It may then be forwarded to another process, or written twice after an unknown outcome:
//! the id makes sure that it takes effect once.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, ConversationType, EventId, HistoryVisibility, Role, Timestamp, TraceParent,
    UserId,
};
use futures_util::future::BoxFuture;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    blocks, conversations,
    entry::{
        Block, Body, Disconnection, Entry, MessageCreated, MessageEdit, MessageRemoval,
        MessageRestored, MessageTarget, NewMember, Owner, Profile, Settings,
    },
    error::{DomainError, Result},
    messages,
    participants::{self, Room},
    patch::Patch,
    pins, reactions, size,
    state::{State, Target, TargetState},
    users,
};
use crate::trace;

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
    /// Returns a request with a new event id, in the trace of the current task.
    pub fn new(owner: impl Into<Owner>, actor: Option<UserId>, command: Command) -> Self {
        Self {
            owner: owner.into(),
            event_id: EventId::generate(),
            actor,
            command,
            trace: trace::current(),
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
        settings: Settings,
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
    ChangeSettings(SettingsPatch),
    /// Delete a conversation.
    DeleteConversation,
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
    ChangePreferences(PreferencesPatch),
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
    ChangeProfile(ProfilePatch),
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

/// A change of a member's own settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesPatch {
    /// True to suppress notifications.
    pub muted: Option<bool>,
    /// End of the muting; not set to mute without an end.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub muted_until: Patch<Timestamp>,
    /// True to archive the conversation.
    pub archived: Option<bool>,
    /// True to pin the conversation to the top of the list.
    pub pinned: Option<bool>,
    /// True to leave the conversation out of lists until the next message.
    pub hidden: Option<bool>,
    /// Messages that the member wants to be notified of.
    pub notification_level: Option<chat_sdk::NotificationLevel>,
}

/// A change of a conversation's settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SettingsPatch {
    /// Name of the conversation.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// URL of its picture.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub avatar_url: Patch<String>,
    /// Data that the host attaches.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<chat_sdk::Metadata>,
    /// History from before joining that a new member may read.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_visibility: Option<chat_sdk::HistoryVisibility>,
    /// Features to switch on or off; an absent switch stays as it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeaturesPatch>,
    /// Time that messages are kept, in seconds.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub retention_seconds: Patch<u32>,
}

/// A change of a conversation's features.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeaturesPatch {
    /// True if members see who is typing or recording.
    pub typing: Option<bool>,
    /// True if members see read and delivery receipts.
    pub reads: Option<bool>,
    /// True if members may react to messages.
    pub reactions: Option<bool>,
    /// True if members may reply in threads.
    pub threads: Option<bool>,
}

impl FeaturesPatch {
    /// Returns `features` with this change applied.
    pub fn apply(self, features: chat_sdk::Features) -> chat_sdk::Features {
        chat_sdk::Features {
            typing: self.typing.unwrap_or(features.typing),
            reads: self.reads.unwrap_or(features.reads),
            reactions: self.reactions.unwrap_or(features.reactions),
            threads: self.threads.unwrap_or(features.threads),
        }
    }
}

/// A user's change of their own profile.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct ProfilePatch {
    /// Display name.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// URL of the user's picture.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub avatar_url: Patch<String>,
    /// Data that the host attaches.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<chat_sdk::Metadata>,
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

/// Channel that a command's outcome is sent to.
pub type Reply = oneshot::Sender<Result<Outcome>>;

/// Maximum lag of a conversation's document behind acknowledged messages, while its writer lives.
///
/// Within this time the changes of many messages are written together.
pub const APPLIED_WITHIN: Duration = Duration::from_millis(250);

/// Submits commands to the log: through the writer of this process, or by forwarding to another's.
pub trait Writers: Send + Sync {
    /// Submits `request`. Requests for one owner are checked in the order of submission.
    ///
    /// The reply carries the error of the check, or is sent when the entry is committed and its changes are applied. A plain message is acknowledged
    /// at commit: its conversation's document, with the time and seq of the latest activity, follows within [`APPLIED_WITHIN`].
    fn submit(&self, request: Request, reply: Reply);

    /// Waits until the documents of `conversations` have everything that was acknowledged before this call.
    ///
    /// Returns those for which this could not be confirmed: their writer is dead or unreachable, or has changed a moment ago.
    fn settle<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>>;
}

/// Publishes committed entries.
pub trait Announce: Send + Sync {
    /// Takes committed entries without waiting.
    ///
    /// It may lose them: the sweep makes sure that each is published in the end.
    fn announce(&self, entries: &[Arc<Entry>]);
}

/// Checks `request` against `state`, the fold of all entries before it, and returns what to append.
///
/// `target` is the data that [`Request::target`] names. `at` is the entry's timestamp.
///
/// # Errors
/// The error of the check. [`DomainError::NotFound`] if the caller may not know of the resource; [`DomainError::TooLarge`] if the event would be too
/// large.
pub fn decide(
    state: &State,
    request: &Request,
    target: Option<&TargetState>,
    at: Timestamp,
) -> Result<Decision> {
    let Decision::Append(mut body) = check(state, request, target, at)? else {
        return Ok(Decision::Nothing);
    };
    if let Some(seq) = hidden_from_later_members(state, target) {
        body = body.with_message_seq(seq);
    }
    let entry = Entry {
        id: request.event_id.clone(),
        owner: request.owner.clone(),
        seq: state.seq() + 1,
        actor: request.actor.clone(),
        at,
        body,
        trace: None,
    };
    size::check(&entry)?;
    Ok(Decision::Append(entry.body))
}

/// Returns the seq of the message that a command concerns, if later members may not see that message.
fn hidden_from_later_members(state: &State, target: Option<&TargetState>) -> Option<u64> {
    let State::Conversation(state) = state else {
        return None;
    };
    let visibility = state.living()?.settings.history_visibility;
    let message = target?.message()?;
    (visibility == HistoryVisibility::Joined).then_some(message.seq)
}

fn check(
    state: &State,
    request: &Request,
    target: Option<&TargetState>,
    at: Timestamp,
) -> Result<Decision> {
    let actor = request.actor.as_ref();
    let message = target.and_then(TargetState::message);
    let has_reacted = target.is_some_and(TargetState::has_reacted);
    match state {
        State::Conversation(state) => match &request.command {
            Command::SendMessage(draft) => messages::check_send(state, actor, message, draft, at),
            Command::EditMessage(wanted) => messages::check_edit(state, actor, message, wanted),
            Command::DeleteMessage(removal) => {
                messages::check_delete(state, actor, message, removal)
            }
            Command::RestoreMessage(restored) => {
                messages::check_restore(state, actor, message, restored)
            }
            Command::PinMessage(target) => pins::check_pin(state, actor, message, target),
            Command::UnpinMessage(target) => pins::check_unpin(state, actor, message, target),
            Command::AddReaction(wanted) => {
                reactions::check_add(state, actor, message, has_reacted, wanted, at)
            }
            Command::RemoveReaction(wanted) => {
                reactions::check_remove(state, actor, message, has_reacted, wanted, at)
            }
            Command::WithdrawReaction { wanted, user } => {
                reactions::check_withdraw(state, user, message, has_reacted, wanted)
            }
            Command::CreateConversation {
                kind,
                settings,
                created_by,
                members,
            } => conversations::check_create(state, *kind, settings, created_by, members, at),
            Command::ChangeSettings(patch) => {
                conversations::check_change(state, actor, patch.clone())
            }
            Command::DeleteConversation => conversations::check_delete(state, actor),
            Command::Join { max_members } => participants::check_join(state, actor, *max_members),
            Command::Leave => participants::check_leave(state, actor),
            Command::AddParticipants {
                user_ids,
                following,
                role,
                max_members,
            } => {
                let room = Room {
                    following: *following,
                    max_members: *max_members,
                };
                participants::check_add(state, actor, user_ids, *role, room)
            }
            Command::RemoveParticipant { user_id } => {
                participants::check_remove(state, actor, user_id)
            }
            Command::ForgetMember { user_id } => participants::check_forget(state, actor, user_id),
            Command::ChangeRole { user_id, role } => {
                participants::check_change_role(state, actor, user_id, *role)
            }
            Command::ChangePreferences(patch) => {
                participants::check_preferences(state, actor, patch, at)
            }
            Command::SetBlocking(is_blocking) => blocks::check_blocking(state, actor, *is_blocking),
            Command::EnsureUser(_)
            | Command::SyncUser { .. }
            | Command::ChangeProfile(_)
            | Command::DeleteUser
            | Command::BlockUser(_)
            | Command::UnblockUser(_)
            | Command::DisconnectUser(_) => Err(misplaced()),
        },
        State::User(state) => match &request.command {
            Command::EnsureUser(profile) => users::check_ensure(state, profile, at),
            Command::SyncUser { profile, revives } => {
                users::check_sync(state, profile, *revives, at)
            }
            Command::ChangeProfile(patch) => users::check_change(state, patch.clone()),
            Command::DeleteUser => users::check_delete(state),
            Command::BlockUser(block) => blocks::check_block(state, block),
            Command::UnblockUser(block) => blocks::check_unblock(state, block),
            Command::DisconnectUser(disconnection) => users::check_disconnect(state, disconnection),
            _ => Err(misplaced()),
        },
    }
}

fn misplaced() -> DomainError {
    DomainError::Internal("a command was submitted to a log of the wrong kind".into())
}

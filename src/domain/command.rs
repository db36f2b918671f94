//! A command: what somebody wants to change, before the log has decided on it.
//!
//! A command enters once, with the id of the event it will become. It may then be handed to another process, or written twice after an
//! outcome that nobody learned: the id makes sure that it is done once.

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
    /// Whose log it would change.
    pub owner: Owner,
    /// The id its entry will have.
    pub event_id: EventId,
    /// Who wants it; `None` for the host in no user's name.
    pub actor: Option<UserId>,
    /// What.
    pub command: Command,
    /// The trace that it came in, if it came in one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace: Option<TraceParent>,
}

impl Request {
    /// A request with a new event id, in the trace of the task at hand.
    pub fn new(owner: impl Into<Owner>, actor: Option<UserId>, command: Command) -> Self {
        Self {
            owner: owner.into(),
            event_id: EventId::generate(),
            actor,
            command,
            trace: trace::current(),
        }
    }

    /// What the check needs to see beside the log's owner, if anything.
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

    /// The stored records of `users`, who may have been members before.
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

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Send a message.
    SendMessage(Box<MessageCreated>),
    /// Change a message's text or metadata.
    EditMessage(WantedEdit),
    /// Delete a message.
    DeleteMessage(MessageRemoval),
    /// Bring a deleted message back.
    RestoreMessage(Box<MessageRestored>),
    /// Pin a message.
    PinMessage(MessageTarget),
    /// Pin a message no more.
    UnpinMessage(MessageTarget),
    /// React to a message.
    AddReaction(WantedReaction),
    /// Take a reaction back.
    RemoveReaction(WantedReaction),
    /// Make a conversation; does nothing when it exists.
    CreateConversation {
        /// What kind.
        kind: ConversationType,
        /// Its settings.
        settings: Settings,
        /// Who makes it.
        created_by: UserId,
        /// Its first members, the maker among them.
        members: Vec<NewMember>,
    },
    /// Take a reaction of somebody back who is gone.
    WithdrawReaction {
        /// Which.
        wanted: WantedReaction,
        /// Whose.
        user: UserId,
    },
    /// Change a conversation's settings.
    ChangeSettings(SettingsPatch),
    /// Delete a conversation.
    DeleteConversation,
    /// Become a member of a public conversation.
    Join {
        /// How many members the conversation may have.
        max_members: u32,
    },
    /// Cease to be a member.
    Leave,
    /// Make others members.
    AddParticipants {
        /// Who.
        user_ids: Vec<UserId>,
        /// How many more users the same request adds after these: there must be room for all of them.
        following: u32,
        /// With which rights.
        role: Role,
        /// How many members the conversation may have.
        max_members: u32,
    },
    /// Make another cease to be a member.
    RemoveParticipant {
        /// Who.
        user_id: UserId,
    },
    /// End what an id has in a conversation, because its holder was deleted; only the host does.
    ForgetMember {
        /// Whose.
        user_id: UserId,
    },
    /// Change a member's role.
    ChangeRole {
        /// Whose.
        user_id: UserId,
        /// To what.
        role: Role,
    },
    /// Change what a member has set for themselves.
    ChangePreferences(PreferencesPatch),
    /// Block the other one of a direct conversation from writing, or no more.
    SetBlocking(bool),
    /// Make a user of the profile unless there is one.
    EnsureUser(Profile),
    /// Make or overwrite a user, as the host says.
    SyncUser {
        /// What the host says.
        profile: Profile,
        /// When the former holder of the id was deleted, whose data the caller knows to be erased: the id may be given out anew after that deletion.
        revives: Option<Timestamp>,
    },
    /// Change the own profile.
    ChangeProfile(ProfilePatch),
    /// Delete a user's profile.
    DeleteUser,
    /// Block another user.
    BlockUser(Block),
    /// Block another user no more.
    UnblockUser(Block),
    /// Refuse tokens that were issued before.
    DisconnectUser(Disconnection),
}

/// An edit of a message, and how it follows from what its caller read. The writer knows the message's last edit, but not its text.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct WantedEdit {
    /// The edit.
    pub edit: MessageEdit,
    /// The entry that had last edited the message when it was read; 0 if none had.
    pub read_edit_seq: u64,
    /// Whether the edit takes over the text that was read: it must not undo another edit since.
    pub keeps_content: bool,
    /// Whether the edit leaves the message as it was read.
    pub is_unchanged: bool,
}

/// A reaction to give or take back.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct WantedReaction {
    /// To which message.
    pub message_id: chat_sdk::MessageId,
    /// One emoji, or a `:shortcode:`, in its one spelling.
    pub emoji: String,
}

/// A change of a member's own settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
pub struct PreferencesPatch {
    /// Whether the member wants no notifications.
    pub muted: Option<bool>,
    /// Until when, if not for ever.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub muted_until: Patch<Timestamp>,
    /// Whether it is put away.
    pub archived: Option<bool>,
    /// Whether it is pinned to the top.
    pub pinned: Option<bool>,
    /// Whether it is left out of lists until the next message.
    pub hidden: Option<bool>,
    /// Of what the member wants to be notified.
    pub notification_level: Option<chat_sdk::NotificationLevel>,
}

/// A change of a conversation's settings.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
pub struct SettingsPatch {
    /// Its name.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// Its picture.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub avatar_url: Patch<String>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<chat_sdk::Metadata>,
    /// What a member who joins sees of the time before.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub history_visibility: Option<chat_sdk::HistoryVisibility>,
    /// What it allows; each switch is left alone where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub features: Option<FeaturesPatch>,
    /// How long messages stay, in seconds.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub retention_seconds: Patch<u32>,
}

/// A change of what a conversation allows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct FeaturesPatch {
    /// Whether members see who is typing or recording.
    pub typing: Option<bool>,
    /// Whether members see who read and got what.
    pub reads: Option<bool>,
    /// Whether members may react to messages.
    pub reactions: Option<bool>,
    /// Whether members may reply in threads.
    pub threads: Option<bool>,
}

impl FeaturesPatch {
    /// `features` with this change.
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
    /// The name to show.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub name: Patch<String>,
    /// The picture to show.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub avatar_url: Patch<String>,
    /// The host's own data.
    #[serde(default, skip_serializing_if = "Patch::is_keep")]
    pub metadata: Patch<chat_sdk::Metadata>,
}

/// What the check of a command says.
#[derive(Debug, Clone, PartialEq)]
pub enum Decision {
    /// Append this.
    Append(Body),
    /// It is so already; append nothing.
    Nothing,
}

/// What became of a command.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Outcome {
    /// The entry that it is; `None` when it was so already.
    pub entry: Option<Arc<Entry>>,
    /// Whether that entry was there before this command came: it was a repetition.
    pub is_repeated: bool,
}

impl Outcome {
    /// The entry of a command that always has one.
    ///
    /// # Errors
    /// [`DomainError::Internal`] when there is none, which would be a fault of the check.
    pub fn into_entry(self) -> Result<Arc<Entry>> {
        self.entry
            .ok_or(DomainError::Internal("the command left no entry".into()))
    }
}

/// Where a command's outcome is sent.
pub type Reply = oneshot::Sender<Result<Outcome>>;

/// How long the document of a conversation may stay behind messages that were answered, while its writer lives. Within this time what many messages do to it
/// is written once.
pub const APPLIED_WITHIN: Duration = Duration::from_millis(250);

/// Whoever takes commands to the log: the writer of this process, or the way to another's.
pub trait Writers: Send + Sync {
    /// Takes `request` in. Requests for one owner are checked in the order in which they are taken in. The reply comes with the refusal, or when the entry
    /// is committed and what it changes is applied. Of a message that does no more than be there only the first is waited for: its conversation's document,
    /// which says when something happened last and with which number, follows [`APPLIED_WITHIN`] that time.
    fn submit(&self, request: Request, reply: Reply);

    /// Waits until the documents of `conversations` have everything that was acknowledged before this call. Returns those for which nobody could
    /// confirm that: their writer is dead or unreachable, or has changed a moment ago.
    fn settle<'a>(
        &'a self,
        conversations: &'a [ConversationId],
    ) -> BoxFuture<'a, Vec<ConversationId>>;
}

/// Whoever tells the world of entries that were committed.
pub trait Announce: Send + Sync {
    /// Takes committed entries in, without waiting. It may lose them: the sweep makes sure that each is told of in the end.
    fn announce(&self, entries: &[Arc<Entry>]);
}

/// Checks `request` against `state`, the fold of everything before the entry that it would become, and says what to append.
///
/// `target` is what [`Request::target`] asked for. `at` is the moment the entry would carry.
///
/// # Errors
/// The refusal. A caller who may not know of the thing gets [`DomainError::NotFound`]; an event that would be too large, [`DomainError::TooLarge`].
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

/// The number of the message that a command is about, where those who became members later do not see it.
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
    DomainError::Internal("a command came to a log of another kind".into())
}

//! A command: what somebody wants to change, before the log has decided on it.
//!
//! A command enters once, with the id of the event it will become. It may then be handed to another process, or written twice after an
//! outcome that nobody learned: the id makes sure that it is done once.

use std::sync::Arc;

use chat_sdk::{ConversationType, EventId, Role, Timestamp, UserId};
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use super::{
    conversations,
    entry::{
        Body, Entry, MessageCreated, MessageEdit, MessageTarget, NewMember, Owner, Profile,
        Settings,
    },
    error::{DomainError, Result},
    messages, participants,
    patch::Patch,
    state::{MessageState, State},
    users,
};

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
}

impl Request {
    /// A request with a new event id.
    pub fn new(owner: impl Into<Owner>, actor: Option<UserId>, command: Command) -> Self {
        Self {
            owner: owner.into(),
            event_id: EventId::generate(),
            actor,
            command,
        }
    }

    /// The message that the check needs to see, if it needs one.
    pub fn target(&self) -> Option<&chat_sdk::MessageId> {
        match &self.command {
            Command::EditMessage(edit) => Some(&edit.message_id),
            Command::DeleteMessage(target) => Some(&target.message_id),
            _ => None,
        }
    }
}

/// What somebody wants.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub enum Command {
    /// Send a message.
    SendMessage(Box<MessageCreated>),
    /// Change a message's text.
    EditMessage(MessageEdit),
    /// Delete a message.
    DeleteMessage(MessageTarget),
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
    /// Change a member's role.
    ChangeRole {
        /// Whose.
        user_id: UserId,
        /// To what.
        role: Role,
    },
    /// Make a user of the profile unless there is one.
    EnsureUser(Profile),
    /// Make or overwrite a user, as the host says.
    SyncUser(Profile),
    /// Change the own profile.
    ChangeProfile(ProfilePatch),
    /// Delete a user's profile.
    DeleteUser,
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

/// Whoever takes commands to the log: the writer of this process, or the way to another's.
pub trait Writers: Send + Sync {
    /// Takes `request` in. Requests for one owner are checked in the order in which they are taken in. The reply comes when the entry is committed
    /// and applied, or with the refusal.
    fn submit(&self, request: Request, reply: Reply);
}

/// Whoever tells the world of entries that were committed.
pub trait Announce: Send + Sync {
    /// Takes committed entries in, without waiting. It may lose them: the sweep makes sure that each is told of in the end.
    fn announce(&self, entries: &[Arc<Entry>]);
}

/// Checks `request` against `state`, the fold of everything before the entry that it would become, and says what to append.
///
/// `target` is the message that [`Request::target`] asked for, `None` where there is none. `at` is the moment the entry would carry.
///
/// # Errors
/// The refusal. A caller who may not know of the thing gets [`DomainError::NotFound`].
pub fn decide(
    state: &State,
    request: &Request,
    target: Option<&MessageState>,
    at: Timestamp,
) -> Result<Decision> {
    let actor = request.actor.as_ref();
    match state {
        State::Conversation(state) => match &request.command {
            Command::SendMessage(message) => messages::check_send(state, actor, message),
            Command::EditMessage(edit) => messages::check_edit(state, actor, target, edit),
            Command::DeleteMessage(id) => messages::check_delete(state, actor, target, id),
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
                role,
                max_members,
            } => participants::check_add(state, actor, user_ids, *role, *max_members),
            Command::RemoveParticipant { user_id } => {
                participants::check_remove(state, actor, user_id)
            }
            Command::ChangeRole { user_id, role } => {
                participants::check_change_role(state, actor, user_id, *role)
            }
            Command::EnsureUser(_)
            | Command::SyncUser(_)
            | Command::ChangeProfile(_)
            | Command::DeleteUser => Err(misplaced()),
        },
        State::User(state) => match &request.command {
            Command::EnsureUser(profile) => users::check_ensure(state, profile, at),
            Command::SyncUser(profile) => users::check_sync(state, profile, at),
            Command::ChangeProfile(patch) => users::check_change(state, patch.clone()),
            Command::DeleteUser => users::check_delete(state),
            _ => Err(misplaced()),
        },
    }
}

fn misplaced() -> DomainError {
    DomainError::Internal("a command came to a log of another kind".into())
}

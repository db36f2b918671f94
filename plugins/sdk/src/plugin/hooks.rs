//! Hooks: checks that a plugin adds to an operation before it takes effect.
//!
//! The core asks every hook of a point in its order, after its own checks and before anything is stored. The types here are also the JSON that plugins in
//! other languages exchange with the service: [`HookRequest`] is sent, [`HookVerdict::parse`] reads the answer.

mod data;
mod verdict;

use std::{str::FromStr, sync::Arc, time::Duration};

use poem_openapi::Enum;
use serde::{Deserialize, Serialize};

use super::BoxFuture;
use crate::{ConversationType, Role, UserId};

pub use data::{
    HookChange, HookConnection, HookConversation, HookData, HookEdit, HookMessage,
    HookParticipants, HookReaction, HookRequest,
};
pub use verdict::{HookFault, HookVerdict, MAX_ANSWER, MAX_CODE, MAX_REASON};

/// Point at which the core asks hooks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Enum)]
pub enum HookPoint {
    /// Before a message is sent.
    #[serde(rename = "message.before_send")]
    #[oai(rename = "message.before_send")]
    MessageBeforeSend,
    /// Before the text or the metadata of a message is changed.
    #[serde(rename = "message.before_edit")]
    #[oai(rename = "message.before_edit")]
    MessageBeforeEdit,
    /// Before a user reacts to a message.
    #[serde(rename = "reaction.before_add")]
    #[oai(rename = "reaction.before_add")]
    ReactionBeforeAdd,
    /// Before a conversation is created.
    #[serde(rename = "conversation.before_create")]
    #[oai(rename = "conversation.before_create")]
    ConversationBeforeCreate,
    /// Before users become members of an existing conversation.
    #[serde(rename = "participant.before_add")]
    #[oai(rename = "participant.before_add")]
    ParticipantBeforeAdd,
    /// Before a user gets a socket or an event stream.
    #[serde(rename = "user.before_connect")]
    #[oai(rename = "user.before_connect")]
    UserBeforeConnect,
}

impl HookPoint {
    /// All points.
    pub const ALL: &'static [Self] = &[
        Self::MessageBeforeSend,
        Self::MessageBeforeEdit,
        Self::ReactionBeforeAdd,
        Self::ConversationBeforeCreate,
        Self::ParticipantBeforeAdd,
        Self::UserBeforeConnect,
    ];

    /// Returns the name of the point.
    pub const fn as_str(self) -> &'static str {
        match self {
            Self::MessageBeforeSend => "message.before_send",
            Self::MessageBeforeEdit => "message.before_edit",
            Self::ReactionBeforeAdd => "reaction.before_add",
            Self::ConversationBeforeCreate => "conversation.before_create",
            Self::ParticipantBeforeAdd => "participant.before_add",
            Self::UserBeforeConnect => "user.before_connect",
        }
    }
}

impl FromStr for HookPoint {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = Self::ALL.iter().find(|point| point.as_str() == text);
        found
            .copied()
            .ok_or_else(|| format!("\"{text}\" is no hook point"))
    }
}

/// Consequence of a hook that fails: of an error, a panic, a time-out or an answer that is not understood.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, Enum)]
#[serde(rename_all = "lowercase")]
#[oai(rename_all = "lowercase")]
pub enum FailurePolicy {
    /// The operation goes on as if the hook had passed it.
    Open,
    /// The operation fails with `UNAVAILABLE`; its caller may repeat it.
    Closed,
}

/// Operations that a hook is asked about. An empty list matches everything.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HookFilter {
    /// Types of the conversation. Does not apply to `user.before_connect`.
    pub conversation_types: Vec<ConversationType>,
    /// Roles of the caller in the conversation. Does not apply to `user.before_connect` and `conversation.before_create`.
    pub roles: Vec<Role>,
}

impl HookFilter {
    /// Returns true if the hook is asked about an operation in a conversation of this type, by a member with this role. `None` does not apply.
    pub fn matches(&self, kind: Option<ConversationType>, role: Option<Role>) -> bool {
        let is_kind = kind.is_none_or(|kind| {
            self.conversation_types.is_empty() || self.conversation_types.contains(&kind)
        });
        let is_role = role.is_none_or(|role| self.roles.is_empty() || self.roles.contains(&role));
        is_kind && is_role
    }
}

/// Declaration of a hook.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HookSpec {
    /// Points at which the hook is asked.
    pub points: Vec<HookPoint>,
    /// Name within the plugin: lower-case letters, digits, `_` and `-`.
    pub name: String,
    /// Maximum time to wait for the verdict, 1 ms to 5 s. A slower hook counts as failed.
    pub timeout: Duration,
    /// Consequence of a failure.
    pub failure: FailurePolicy,
    /// Position among the hooks of a point: lower ones are asked first, equal ones in the order of their names.
    pub order: i32,
    /// Operations that the hook is asked about.
    pub filter: HookFilter,
    /// True if the verdict is only counted and logged. A shadow hook delays nothing.
    pub is_shadow: bool,
    /// Users whose operations the hook is not asked about: the bots that it writes with.
    pub bots: Vec<UserId>,
}

impl HookSpec {
    /// Returns a hook that fails open after one second, has order 0 and no filter.
    pub fn new(name: impl Into<String>, points: &[HookPoint]) -> Self {
        Self {
            points: points.to_vec(),
            name: name.into(),
            timeout: Duration::from_secs(1),
            failure: FailurePolicy::Open,
            order: 0,
            filter: HookFilter::default(),
            is_shadow: false,
            bots: Vec::new(),
        }
    }
}

/// A check that a plugin adds to operations.
///
/// The core calls it in the process that the operation enters: in processes with the role `api` or `ws`, whatever roles the plugin has. Many calls run at
/// once. A call that is slower than its time limit is cancelled; it must not block the thread.
pub trait Hook: Send + Sync + 'static {
    /// Returns the declaration. The core reads it once, at the start.
    fn spec(&self) -> HookSpec;

    /// Decides about one operation.
    ///
    /// # Errors
    /// [`HookFault`] if the hook cannot decide; the declared [`FailurePolicy`] then applies, as it does to a panic and a time-out.
    fn ask(
        self: Arc<Self>,
        request: HookRequest,
    ) -> BoxFuture<'static, Result<HookVerdict, HookFault>>;
}

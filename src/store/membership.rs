//! Memberships: the relation of a user to a conversation, as it was read.

use chat_sdk::{ConversationId, ConversationType, Preferences, Timestamp, UserId};

use crate::model::{
    DomainError, Result,
    state::{ConversationFields, Member},
    visibility::{Audience, Interval},
};

/// Relation of one user to one conversation.
#[derive(Debug, Clone)]
pub struct Membership {
    pub(super) fields: Option<ConversationFields>,
    pub(super) member: Option<Member>,
}

impl Membership {
    fn living(&self) -> Result<(&ConversationFields, &Member)> {
        let fields = self.fields.as_ref().filter(|fields| !fields.is_deleted);
        // The record of a deleted user stays, but gives a later holder of the id no access.
        let member = self
            .member
            .as_ref()
            .filter(|member| !member.intervals.is_empty());
        fields.zip(member).ok_or_else(DomainError::no_conversation)
    }

    /// Returns the user's record as a current member.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the user is not a member.
    pub fn active(&self) -> Result<&Member> {
        let (_, member) = self.living()?;
        if member.is_active() {
            Ok(member)
        } else {
            Err(DomainError::no_conversation())
        }
    }

    /// Returns the current member's own settings.
    ///
    /// A message sent after a conversation was hidden shows it again.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the user is not a member.
    pub fn preferences(&self) -> Result<Preferences> {
        let member = self.active()?;
        let (fields, _) = self.living()?;
        Ok(member.shown_preferences(fields.last_message_seq, Timestamp::now()))
    }

    /// True if the conversation is a direct one.
    pub fn is_direct(&self) -> bool {
        let kind = self.fields.as_ref().map(|fields| fields.kind);
        kind == Some(ConversationType::Direct)
    }

    /// True if the other user of a direct conversation was deleted.
    pub fn is_left_alone(&self) -> bool {
        let fields = self.fields.as_ref();
        fields.is_some_and(ConversationFields::is_left_alone)
    }

    /// Creates it from the documents of the conversation and the member.
    pub(super) fn new(fields: Option<ConversationFields>, member: Option<Member>) -> Self {
        Self { fields, member }
    }

    /// Returns the conversation and the user's record as a current member.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the user is not a member.
    pub fn require_member(&self) -> Result<(&ConversationFields, &Member)> {
        self.active()?;
        self.living()
    }

    /// Returns the range that the user may read as a member or former member.
    ///
    /// # Errors
    /// [`DomainError::NotFound`] if the user never was a member.
    pub fn audience(&self) -> Result<Audience> {
        let (fields, member) = self.living()?;
        Ok(Audience::of(fields, member))
    }
}

/// Facts about a conversation that decide who gets its typing signals.
#[derive(Debug, Clone, PartialEq)]
pub struct TypingRules {
    /// True if the conversation's settings allow typing signals.
    pub is_allowed: bool,
    /// Number of members.
    pub participant_count: u32,
    /// Members of a direct conversation who block the other one.
    pub blockers: Vec<UserId>,
}

/// Membership of one user, as a socket needs it.
#[derive(Debug, Clone, PartialEq)]
pub struct MembershipOf {
    /// Id of the conversation.
    pub conversation: ConversationId,
    /// Intervals of the membership, by seqs of its log.
    pub intervals: Vec<Interval>,
    /// Seq of the entry up to which a former holder of the id was the member; 0 for none.
    pub former_until: u64,
}

impl MembershipOf {
    /// Returns the seq with which the newest membership began.
    pub fn joined_seq(&self) -> u64 {
        self.intervals.last().map_or(0, |(joined, _)| *joined)
    }

    /// True if the user is a member now.
    pub fn is_active(&self) -> bool {
        matches!(self.intervals.last(), Some((_, None)))
    }
}

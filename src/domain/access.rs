//! Load and authorise: what every verb asks before it looks at anything.

use chat_sdk::{ConversationType, Role, UserId};

use super::{
    error::{DomainError, Result},
    state::{ConversationFields, ConversationState, Member},
};

/// The conversation and the caller's membership, when the caller is a member of it now.
///
/// `None` as actor is the host, who may do everything an owner may.
///
/// # Errors
/// [`DomainError::NotFound`] when there is no such conversation or the caller is no member: the two look the same.
pub fn member<'a>(
    state: &'a ConversationState,
    actor: Option<&UserId>,
) -> Result<(&'a ConversationFields, Standing<'a>)> {
    let fields = state.living().ok_or_else(DomainError::no_conversation)?;
    match actor {
        None => Ok((fields, Standing { member: None })),
        Some(actor) => {
            let member = state
                .active_member(actor)
                .ok_or_else(DomainError::no_conversation)?;
            Ok((
                fields,
                Standing {
                    member: Some(member),
                },
            ))
        }
    }
}

/// Refuses whom the other one of a direct conversation blocks, and who blocks the other one: nothing new passes either way. The host is
/// never blocked.
///
/// # Errors
/// [`DomainError::Forbidden`]. Who is blocked hears what would be said of a user who is gone.
pub fn not_blocked(state: &ConversationState, actor: Option<&UserId>) -> Result<()> {
    let (Some(fields), Some(actor)) = (state.living(), actor) else {
        return Ok(());
    };
    if fields.kind != ConversationType::Direct {
        return Ok(());
    }
    if fields.is_left_alone() {
        return Err(blocked());
    }
    let mut blockers = state
        .members
        .iter()
        .filter(|(_, member)| member.is_blocking)
        .map(|(user, _)| user);
    match (blockers.clone().any(|user| user == actor), blockers.next()) {
        (true, _) => Err(blocking()),
        (false, Some(_)) => Err(blocked()),
        (false, None) => Ok(()),
    }
}

/// The refusal of who is blocked.
pub fn blocked() -> DomainError {
    DomainError::Forbidden("This user cannot be written to.".into())
}

/// The refusal of who blocks.
pub fn blocking() -> DomainError {
    DomainError::Forbidden("You block this user; unblock them first.".into())
}

/// How the caller stands to a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    member: Option<&'a Member>,
}

impl<'a> Standing<'a> {
    /// The caller's membership; `None` for the host.
    pub fn member(&self) -> Option<&'a Member> {
        self.member
    }

    /// The caller's role; the host's is owner.
    pub fn role(&self) -> Role {
        self.member.map_or(Role::Owner, |member| member.role)
    }

    /// Passes who has at least `role`.
    ///
    /// # Errors
    /// [`DomainError::Forbidden`] saying what is needed.
    pub fn require(&self, role: Role) -> Result<()> {
        if self.role() >= role {
            return Ok(());
        }
        Err(DomainError::Forbidden(match role {
            Role::Owner => "Only an owner of the conversation may do this.".into(),
            Role::Admin => "Only an owner or admin of the conversation may do this.".into(),
            Role::Member => "Only a member of the conversation may do this.".into(),
        }))
    }
}

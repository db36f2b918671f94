//! Authorisation: the checks that every operation makes before it reads anything else.

use chat_sdk::{ConversationType, Role, UserId};

use super::{
    error::{DomainError, Result},
    state::{ConversationFields, ConversationState, Member},
};

/// Returns the conversation and the caller's membership if the caller is a member of it.
///
/// `None` as actor is the host, which has the rights of an owner.
///
/// # Errors
/// [`DomainError::NotFound`] if there is no such conversation or the caller is not a member: the two look the same.
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

/// Fails if either side of a direct conversation blocks the other: neither of them can send.
///
/// The host is never blocked.
///
/// # Errors
/// [`DomainError::Forbidden`]. A blocked user gets the same error as for a deleted user.
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

/// Returns the error for a blocked user.
pub fn blocked() -> DomainError {
    DomainError::Forbidden("You cannot send messages to this user.".into())
}

/// Returns the error for a user who blocks the other one.
pub fn blocking() -> DomainError {
    DomainError::Forbidden("You block this user; unblock them first.".into())
}

/// Relation of the caller to a conversation.
#[derive(Debug, Clone, Copy)]
pub struct Standing<'a> {
    member: Option<&'a Member>,
}

impl<'a> Standing<'a> {
    /// Returns the caller's membership; `None` for the host.
    pub fn member(&self) -> Option<&'a Member> {
        self.member
    }

    /// Returns the caller's role; the host counts as an owner.
    pub fn role(&self) -> Role {
        self.member.map_or(Role::Owner, |member| member.role)
    }

    /// Fails if the caller's role is below `role`.
    ///
    /// # Errors
    /// [`DomainError::Forbidden`] with the role that is needed.
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

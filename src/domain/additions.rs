//! Rules for adding members to a conversation, checked before the command goes to the log.
//!
//! A block in either direction always counts: a user who blocks the caller gets the same error as an unknown user, in the same list of errors, so
//! that no request can tell the two apart. The limit of conversations is checked at this moment; concurrent additions may exceed it by their number.

use std::collections::HashSet;

use chat_sdk::UserId;

use super::{Context, users};
use crate::{
    config::AddRule,
    model::error::{DomainError, FieldError, Result},
};

/// Caller who adds users.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedBy {
    /// A user, authenticated by their token.
    User,
    /// The host, with or without a user to act for.
    Host,
}

/// Fails if `actor` may not add one of `ids`.
///
/// `field` is the name of that list in the request; `ids` is all of it.
///
/// Users in `present` are already members and are not checked.
///
/// # Errors
/// [`DomainError::Validation`] that names each user who may not be added.
pub(super) async fn check(
    ctx: &Context,
    (actor, by): (Option<&UserId>, AddedBy),
    field: &str,
    ids: &[UserId],
    present: &HashSet<UserId>,
) -> Result<()> {
    let mut faults = users::find_unknown(ctx, field, ids).await?;
    let new: Vec<UserId> = ids
        .iter()
        .filter(|id| Some(*id) != actor && !present.contains(*id))
        .cloned()
        .collect();
    let mut refuse = |refused: &HashSet<UserId>, message: &'static str| {
        for (index, _) in ids
            .iter()
            .enumerate()
            .filter(|(_, id)| refused.contains(*id))
        {
            let place = format!("{field}[{index}]");
            if faults.iter().all(|fault| fault.field != place) {
                faults.push(FieldError::new(place, message));
            }
        }
    };
    if let Some(actor) = actor
        && !new.is_empty()
    {
        refuse(&ctx.store.find_blockers(&new, actor).await?, users::UNKNOWN);
        refuse(
            &ctx.store.find_blocked_among(actor, &new).await?,
            "is a user whom you block; unblock them first",
        );
        match (by, ctx.limits.add_rule) {
            (AddedBy::Host, _) | (AddedBy::User, AddRule::Anyone) => {}
            (AddedBy::User, AddRule::Shared) => {
                let known = ctx.store.find_sharing(actor, &new).await?;
                let strangers = new
                    .iter()
                    .filter(|id| !known.contains(*id))
                    .cloned()
                    .collect();
                refuse(
                    &strangers,
                    "shares no direct conversation or group with you; only the host may add them",
                );
            }
            (AddedBy::User, AddRule::Host) => {
                let all = new.iter().cloned().collect();
                refuse(&all, "cannot be added by a user, only by the host");
            }
        }
    }
    let full = ctx
        .store
        .find_full_users(&new, ctx.limits.max_conversations)
        .await?;
    refuse(&full, "is a member of the maximum number of conversations");
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by_key(|fault| position(&fault.field));
    Err(DomainError::Validation(faults))
}

/// Returns the index in a field's name, which sorts errors in the order of the list.
fn position(field: &str) -> usize {
    field
        .split(['[', ']'])
        .nth(1)
        .and_then(|index| index.parse().ok())
        .unwrap_or_default()
}

/// Fails if `actor` has reached the maximum number of conversations.
///
/// # Errors
/// [`DomainError::Conflict`].
pub(super) async fn check_own_room(ctx: &Context, actor: &UserId) -> Result<()> {
    let most = ctx.limits.max_conversations;
    let full = ctx
        .store
        .find_full_users(std::slice::from_ref(actor), most)
        .await?;
    if full.is_empty() {
        return Ok(());
    }
    Err(DomainError::Conflict(
        format!("You are a member of {most} conversations, which is the maximum; leave one first.")
            .into(),
    ))
}

/// Fails if `actor` or `other` has reached the maximum number of conversations.
///
/// # Errors
/// [`DomainError::Conflict`].
pub(super) async fn check_direct_room(ctx: &Context, actor: &UserId, other: &UserId) -> Result<()> {
    check_own_room(ctx, actor).await?;
    let full = ctx
        .store
        .find_full_users(std::slice::from_ref(other), ctx.limits.max_conversations)
        .await?;
    if full.is_empty() {
        return Ok(());
    }
    Err(DomainError::Conflict(
        "The other user is a member of the maximum number of conversations.".into(),
    ))
}

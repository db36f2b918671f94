//! Whom a caller may make a member of a conversation, checked before the command goes to the log.
//!
//! A block in either direction counts always: a user whom the caller is blocked by looks like a user of whom nobody has heard, in the same list of
//! faults, so that no request tells the two apart. The limit of conversations is checked at this moment; additions at the same moment may exceed it
//! by their number.

use std::collections::HashSet;

use chat_sdk::UserId;

use super::{
    Context,
    error::{DomainError, FieldError, Result},
    users,
};
use crate::config::AddRule;

/// Who decides that users become members.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AddedBy {
    /// A user, by their token.
    User,
    /// The host, in a user's name or in nobody's.
    Host,
}

/// Refuses `ids` that `actor` may not add; `field` is what the request calls them, and `ids` are all of that list.
///
/// Users in `present` are members already: nothing is asked of them.
///
/// # Errors
/// [`DomainError::Validation`] naming each of them.
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
                    "shares no direct conversation or group with you, so that only the host may add them",
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
    refuse(&full, "is in as many conversations as a user may be");
    if faults.is_empty() {
        return Ok(());
    }
    faults.sort_by_key(|fault| position(&fault.field));
    Err(DomainError::Validation(faults))
}

/// The index in a field's name, so that faults stand in the order of the list.
fn position(field: &str) -> usize {
    field
        .split(['[', ']'])
        .nth(1)
        .and_then(|index| index.parse().ok())
        .unwrap_or_default()
}

/// Refuses `actor` who is in as many conversations as a user may be.
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
        format!("You are in {most} conversations, as many as a user may be; leave one first.")
            .into(),
    ))
}

/// Refuses to begin a direct conversation if `actor` or `other` is in as many conversations as a user may be.
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
        "The other user is in as many conversations as a user may be.".into(),
    ))
}

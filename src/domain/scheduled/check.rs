//! Checks of a message before it is scheduled, and again before it is sent.

use chat_sdk::Timestamp;

use crate::{
    domain::{Context, messages},
    model::{
        error::{DomainError, Faults, Result},
        messages::{check_send, created},
        scheduled::Scheduled,
    },
    store::StoredMessage,
};

/// Maximum time that a message can be scheduled ahead: 366 days, in milliseconds.
pub const MAX_AHEAD: i64 = 366 * 86_400_000;

pub(super) fn check_time(send_at: Timestamp) -> Result<()> {
    let ahead = send_at.as_millis() - Timestamp::now().as_millis();
    let mut faults = Faults::default();
    faults.when(ahead <= 0, "sendAt", "must be in the future");
    faults.when(
        ahead > MAX_AHEAD,
        "sendAt",
        "must be within the next 366 days",
    );
    faults.into_result()
}

/// Makes the checks of a send at this moment.
pub(super) async fn check_sendable(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let (actor, draft) = (&scheduled.sender, &scheduled.draft);
    let now = Timestamp::now();
    let state = ctx
        .store
        .find_state_for(&scheduled.conversation, actor)
        .await?;
    let root = match &draft.thread_id {
        None => None,
        Some(id) => ctx.store.find_message(id).await?,
    };
    let root = root.filter(|root| !root.is_gone(now));
    let root = root.map(StoredMessage::into_state);
    let message = created(draft.clone(), None);
    match check_send(
        &state,
        Some(actor),
        root.as_ref(),
        &message,
        Timestamp::now(),
    ) {
        Ok(_) => messages::check_quote(ctx, actor, &scheduled.conversation, draft).await,
        Err(DomainError::NotFound(_)) if scheduled.receiver.is_some() => {
            check_may_begin(ctx, scheduled).await
        }
        Err(refusal) => Err(refusal),
    }
}

/// Fails if the direct conversation, which does not exist yet, cannot be created.
pub(super) async fn check_may_begin(ctx: &Context, scheduled: &Scheduled) -> Result<()> {
    let Some(receiver) = &scheduled.receiver else {
        return Err(DomainError::no_conversation());
    };
    messages::check_may_begin(ctx, &scheduled.sender, receiver, &scheduled.draft).await
}

//! Erasure of a user's data: a durable job that continues after a crash, and a report of what was removed.
//!
//! Every step finds what is left to do, so repeating it does no harm. The number of removals is stored before a step begins, or includes what is
//! already gone: the report is correct however often the job was interrupted.

use std::collections::BTreeMap;

use chat_sdk::{ConversationId, MessageId, Role, Timestamp, UserId};
use futures_util::{FutureExt, StreamExt, TryStreamExt, future::BoxFuture, stream};

use super::{Context, own_messages};
use crate::{
    failpoint,
    model::{
        command::{Command, Request, WantedReaction},
        entry::{Block, MessageRemoval},
        erasure::{Erasure, OwnMessages, Removed, unfinished},
        error::{DomainError, Result},
        presence::Chosen,
    },
    store::{CONVERSATIONS_AT_ONCE, ClusterTime, PrivateData},
};

/// Number of entries of one step that are submitted concurrently.
const CONCURRENCY: usize = 32;
/// Number of items of a step that are read at once.
const PAGE: u32 = 200;

/// Deletes `user`. Profile and tokens are invalid when this returns; a worker removes the rest.
///
/// Repeating it changes nothing, unless messages that were anonymised are now to be erased.
///
/// # Errors
/// [`DomainError::NotFound`] if the id never had a user.
pub async fn begin(ctx: &Context, user: &UserId, messages: OwnMessages) -> Result<()> {
    let fields = ctx.store.find_user_fields(user).await?;
    let is_living = fields
        .ok_or_else(DomainError::no_user)
        .map(|fields| !fields.is_deleted)?;
    let earlier = ctx.store.find_erasure(user).await?;
    let is_wanted = match &earlier {
        Some(earlier) => {
            is_living
                || earlier.messages == OwnMessages::Anonymise && messages == OwnMessages::Erase
        }
        None => true,
    };
    if is_wanted {
        // The report of this job includes what an earlier job for the same holder removed.
        let mut removed = BTreeMap::new();
        if let Some(earlier) = earlier.filter(|_| !is_living) {
            removed = earlier.removed;
            removed.remove(Removed::Messages.name());
            removed.remove(Removed::Edits.name());
        }
        let erasure = Erasure {
            user: user.clone(),
            messages,
            started_at: Timestamp::now(),
            finished_at: None,
            removed,
        };
        // Stored before the user is deleted: after a crash between the two, the job does both.
        ctx.store.put_erasure(&erasure).await?;
    }
    let ended = end_user(ctx, user).await;
    ctx.erasure_requested.notify_one();
    ended
}

/// Returns the report of a user's erasure.
///
/// # Errors
/// [`DomainError::NotFound`] if there was none.
pub async fn get(ctx: &Context, user: &UserId) -> Result<Erasure> {
    let found = ctx.store.find_erasure(user).await?;
    found.ok_or_else(|| DomainError::NotFound("There is no erasure report for this user.".into()))
}

/// Fails if the former user's data is still being erased: it could not be told from a new user's data.
///
/// # Errors
/// [`DomainError::Conflict`].
pub(super) async fn check_finished(ctx: &Context, user: &UserId) -> Result<()> {
    let erasure = ctx.store.find_erasure(user).await?;
    if erasure.is_some_and(|erasure| erasure.finished_at.is_none()) {
        return Err(unfinished());
    }
    Ok(())
}

/// Removes data that the erasure of a deleted user missed, or that an earlier version left.
///
/// From here on the id can be given to a new user.
///
/// # Errors
/// [`DomainError::Unavailable`].
pub(super) async fn sever(ctx: &Context, user: &UserId) -> Result<()> {
    end_memberships(ctx, user).await?;
    let conversations = find_conversations(ctx, user).await?;
    remove_private(ctx, user, &conversations).await
}

/// Runs the remaining steps of an erasure and completes the report.
///
/// # Errors
/// [`DomainError::Unavailable`]; the next run continues.
pub async fn run(ctx: &Context, erasure: &Erasure) -> Result<()> {
    let user = &erasure.user;
    end_user(ctx, user).await?;
    let entries = ctx.store.erase_profile_entries(user).await?;
    note(ctx, user, Removed::ProfileEntries, entries).await?;
    failpoint::hit("erasure.profile");
    remove_blocks(ctx, user).await?;
    let active = ctx.store.find_active_memberships_of(user).await?;
    let others = active.iter().filter(|(_, is_direct)| !is_direct).count();
    note(ctx, user, Removed::Memberships, others as u64).await?;
    // First, so that the data removed below cannot be created again.
    end_memberships(ctx, user).await?;
    let conversations = find_conversations(ctx, user).await?;
    for kind in PRIVATE {
        let mut count = 0;
        for what in private(kind, &conversations) {
            count += ctx.store.count_private(what, user).await?;
        }
        note(ctx, user, kind, count).await?;
    }
    remove_private(ctx, user, &conversations).await?;
    take_back_reactions(ctx, user).await?;
    failpoint::hit("erasure.reactions");
    let since = ctx.store.find_beginning(user).await?;
    let (mut messages, mut edits) = (0, 0);
    for conversation in &conversations {
        match erasure.messages {
            OwnMessages::Erase => {
                let (erased, edited) = erase_messages(ctx, (user, since), conversation).await?;
                messages += erased;
                edits += edited;
            }
            OwnMessages::Anonymise => ctx.store.forget_client_ids(conversation, user).await?,
        }
    }
    note(ctx, user, Removed::Messages, messages).await?;
    note(ctx, user, Removed::Edits, edits).await?;
    ctx.store.finish_erasure(erasure, Timestamp::now()).await
}

/// Stores the number of removals of a step, unless an earlier run did.
async fn note(ctx: &Context, user: &UserId, what: Removed, count: u64) -> Result<()> {
    ctx.store.note_removed(user, what.name(), count).await
}

async fn end_user(ctx: &Context, user: &UserId) -> Result<()> {
    let request = Request::new(user.clone(), None, Command::DeleteUser);
    if let Some(entry) = ctx.append(request).await?.entry {
        ctx.known_users.forget(user, entry.at.as_millis());
        // The nodes keep a user's chosen status for a moment; a later holder of the id must not get it.
        let unset = Chosen {
            at: entry.at.as_millis(),
            ..Chosen::default()
        };
        ctx.presence.choose(user, &unset);
    }
    Ok(())
}

/// Submits a command that may have nothing left to do.
async fn attempt(ctx: &Context, request: Request) -> Result<()> {
    match ctx.append(request).await {
        // The conversation or message is gone, and with it the data to remove.
        Ok(_) | Err(DomainError::NotFound(_)) => Ok(()),
        Err(error) => Err(error),
    }
}

async fn attempt_all(ctx: &Context, requests: Vec<Request>) -> Result<()> {
    let attempts: Vec<BoxFuture<'_, Result<()>>> = requests
        .into_iter()
        .map(|request| attempt(ctx, request).boxed())
        .collect();
    let attempts = stream::iter(attempts).buffer_unordered(CONCURRENCY);
    attempts.try_collect().await
}

async fn remove_blocks(ctx: &Context, user: &UserId) -> Result<()> {
    let blocks = ctx.store.find_blocks_around(user).await?;
    note(ctx, user, Removed::Blocks, blocks.len() as u64).await?;
    for (blocker, blocked) in blocks {
        let command = Command::UnblockUser(Block { user_id: blocked });
        attempt(ctx, Request::new(blocker, None, command)).await?;
    }
    ctx.store.remove_blocks_around(user).await
}

/// Removes reactions through entries, so that all members see it.
async fn take_back_reactions(ctx: &Context, user: &UserId) -> Result<()> {
    let count = ctx.store.count_reactions_of(user).await?;
    note(ctx, user, Removed::Reactions, count).await?;
    let mut after = None;
    loop {
        let page = ctx
            .store
            .find_reactions_of(user, after.as_deref(), PAGE)
            .await?;
        let Some(last) = page.last() else {
            break;
        };
        after = Some(last.key.clone());
        let requests = page.into_iter().map(|reaction| {
            let wanted = WantedReaction {
                message_id: reaction.message,
                emoji: reaction.emoji,
            };
            let user = user.clone();
            Request::new(
                reaction.conversation,
                None,
                Command::WithdrawReaction { wanted, user },
            )
        });
        attempt_all(ctx, requests.collect()).await?;
    }
    ctx.store.remove_reactions_of(user).await
}

/// Data that is removed outside any log.
const PRIVATE: [Removed; 5] = [
    Removed::Markers,
    Removed::Reads,
    Removed::Scheduled,
    Removed::Held,
    Removed::Presence,
];

/// Returns the queries that find all data of one kind of [`PRIVATE`].
///
/// They are for a user who is or was a member of `conversations`.
fn private(kind: Removed, conversations: &[ConversationId]) -> Vec<PrivateData<'_>> {
    let pieces = conversations.chunks(CONVERSATIONS_AT_ONCE);
    match kind {
        Removed::Markers => pieces
            .map(PrivateData::Markers)
            .chain([PrivateData::ThreadMarkers])
            .collect(),
        Removed::Reads => pieces.map(PrivateData::Reads).collect(),
        Removed::Scheduled => vec![PrivateData::Scheduled],
        Removed::Held => vec![PrivateData::Held, PrivateData::HookVerdicts],
        _ => vec![PrivateData::Presence],
    }
}

/// Returns the conversations that `user` is or was a member of.
async fn find_conversations(ctx: &Context, user: &UserId) -> Result<Vec<ConversationId>> {
    let memberships = ctx.store.find_memberships_of(user).await?;
    Ok(memberships
        .into_iter()
        .map(|membership| membership.conversation)
        .collect())
}

async fn remove_private(
    ctx: &Context,
    user: &UserId,
    conversations: &[ConversationId],
) -> Result<()> {
    for what in PRIVATE
        .into_iter()
        .flat_map(|kind| private(kind, conversations))
    {
        ctx.store.remove_private(what, user).await?;
    }
    Ok(())
}

/// Ends the user's memberships through entries, past memberships included.
///
/// A later holder of the id must not read what a former member could.
///
/// Direct conversations stay for the other user; nobody can write in them.
async fn end_memberships(ctx: &Context, user: &UserId) -> Result<()> {
    let memberships = ctx.store.find_memberships_of(user).await?;
    let ends: Vec<BoxFuture<'_, Result<()>>> = memberships
        .into_iter()
        .filter(|membership| !membership.intervals.is_empty())
        .map(|membership| end_membership(ctx, user, membership.conversation).boxed())
        .collect();
    let ends = stream::iter(ends).buffer_unordered(CONCURRENCY);
    ends.try_collect().await
}

async fn end_membership(ctx: &Context, user: &UserId, conversation: ConversationId) -> Result<()> {
    loop {
        let command = Command::ForgetMember {
            user_id: user.clone(),
        };
        let ended = attempt(ctx, Request::new(conversation.clone(), None, command)).await;
        let Err(DomainError::Conflict(_)) = ended else {
            failpoint::hit("erasure.membership");
            return ended;
        };
        // The last owner cannot go: another member becomes owner first.
        let successor = ctx.store.find_successor(&conversation, user).await?;
        let Some(user_id) = successor else {
            return Ok(());
        };
        let command = Command::ChangeRole {
            user_id,
            role: Role::Owner,
        };
        attempt(ctx, Request::new(conversation.clone(), None, command)).await?;
    }
}

/// Deletes the user's messages in one conversation and erases their content.
///
/// Returns the number of messages and edits without content afterwards.
async fn erase_messages(
    ctx: &Context,
    (user, since): (&UserId, Option<ClusterTime>),
    conversation: &ConversationId,
) -> Result<(u64, u64)> {
    let (mut messages, mut edits) = (0, 0);
    let mut walk = own_messages::Walk::begin(ctx, user, since, conversation).await?;
    while let Some(own) = walk.next().await? {
        let all: Vec<MessageId> = own.iter().map(|message| message.id.clone()).collect();
        let left: Vec<MessageId> = own
            .into_iter()
            .filter(|message| !message.is_erased())
            .map(|message| message.id)
            .collect();
        for ids in left.chunks(PAGE as usize) {
            let requests = ids.iter().map(|id| {
                let removal = MessageRemoval {
                    message_id: id.clone(),
                    is_expired: false,
                    message_seq: None,
                };
                Request::new(conversation.clone(), None, Command::DeleteMessage(removal))
            });
            attempt_all(ctx, requests.collect()).await?;
            failpoint::hit("erasure.deleted");
            ctx.store.erase_messages(ids).await?;
            failpoint::hit("erasure.messages");
        }
        messages += all.len() as u64;
        edits += ctx.store.count_edits(&all).await?;
    }
    Ok((messages, edits))
}

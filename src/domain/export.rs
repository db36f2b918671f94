//! Export of all data of a user, line by line, for the host to hand over.
//!
//! Data is read in pieces and sent on at once, so a user with a million messages costs no more memory than one with ten.

use chat_sdk::{ConversationId, Timestamp, UserId};
use serde_json::{Value, json};
use tokio::sync::mpsc;

use super::{Context, own_messages};
use crate::{
    model::{
        catalogue,
        error::{DomainError, Result},
        page::PageRequest,
    },
    store::{CONVERSATIONS_AT_ONCE, ClusterTime, PrivateData},
};

/// Number of items of one kind that are read at once.
const PAGE: u32 = 200;

/// Channel for the lines. A reader that wants no more drops its end.
pub type Lines = mpsc::Sender<Result<Value>>;

/// Fails if the user does not exist.
///
/// # Errors
/// [`DomainError::NotFound`].
pub async fn check(ctx: &Context, user: &UserId) -> Result<()> {
    super::users::get(ctx, user).await.map(drop)
}

/// Writes all lines of `user`.
///
/// The last line has the number of lines before it; without it the export is incomplete.
///
/// An error is the last line written.
pub async fn write(ctx: Context, user: UserId, lines: Lines) {
    let mut out = Out { lines, count: 0 };
    if let Err(error) = write_all(&ctx, &user, &mut out).await {
        let _ = out.lines.send(Err(error)).await;
    }
}

struct Out {
    lines: Lines,
    count: u64,
}

impl Out {
    /// # Errors
    /// [`DomainError::Unavailable`] if the reader is gone.
    async fn line(&mut self, kind: &str, mut value: Value) -> Result<()> {
        if let Value::Object(fields) = &mut value {
            fields.insert("kind".to_owned(), kind.into());
        }
        self.count += 1;
        let sent = self.lines.send(Ok(value)).await;
        sent.map_err(|_| DomainError::store_unavailable())
    }
}

fn value(noun: impl serde::Serialize) -> Result<Value> {
    serde_json::to_value(noun)
        .map_err(|_| DomainError::Internal("a line of the export could not be encoded".into()))
}

async fn write_all(ctx: &Context, user: &UserId, out: &mut Out) -> Result<()> {
    let profile = super::users::get(ctx, user).await?;
    out.line("profile", value(profile)?).await?;
    let mut memberships = ctx.store.find_memberships_of(user).await?;
    // Memberships without an interval belonged to a former holder of the id.
    memberships.retain(|membership| !membership.intervals.is_empty());
    for membership in &memberships {
        let found = ctx
            .store
            .find_membership(&membership.conversation, user)
            .await?;
        let mut line = json!({
            "conversationId": membership.conversation,
            "isMember": membership.is_active(),
            "intervals": membership.intervals,
        });
        if let Ok(member) = found.active() {
            line["role"] = value(member.role)?;
            line["joinedAt"] = value(member.joined_at)?;
            line["preferences"] = value(&member.preferences)?;
        }
        out.line("membership", line).await?;
    }
    let since = ctx.store.find_beginning(user).await?;
    for membership in &memberships {
        write_messages(ctx, (user, since), &membership.conversation, out).await?;
    }
    write_reactions(ctx, user, out).await?;
    write_blocks(ctx, user, out).await?;
    let conversations: Vec<ConversationId> = memberships
        .into_iter()
        .map(|membership| membership.conversation)
        .collect();
    let pieces = || conversations.chunks(CONVERSATIONS_AT_ONCE);
    let markers = pieces().map(|piece| (PrivateData::Markers(piece), "marker"));
    let reads = pieces().map(|piece| (PrivateData::Reads(piece), "read"));
    let others = [
        (PrivateData::ThreadMarkers, "marker"),
        (PrivateData::Scheduled, "scheduled"),
        (PrivateData::Held, "held"),
        (PrivateData::Presence, "presence"),
    ];
    for (what, kind) in markers.chain(reads).chain(others) {
        let mut after = None;
        loop {
            let page = ctx.store.find_private(what, user, after, PAGE).await?;
            for document in page.0 {
                out.line(kind, document).await?;
            }
            after = page.1;
            if after.is_none() {
                break;
            }
        }
    }
    let end = json!({ "lines": out.count, "timestamp": Timestamp::now() });
    out.line("end", end).await
}

/// Writes every message of the user with all its texts.
///
/// Includes deleted messages that were not erased: they are still stored.
async fn write_messages(
    ctx: &Context,
    (user, since): (&UserId, Option<ClusterTime>),
    conversation: &ConversationId,
    out: &mut Out,
) -> Result<()> {
    let mut walk = own_messages::Walk::begin(ctx, user, since, conversation).await?;
    while let Some(own) = walk.next().await? {
        for message in own {
            let mut edits = ctx.store.find_edits(&message.id, 0).await?;
            let mut line = value(message.as_sent())?;
            line["isDeleted"] = message.is_deleted().into();
            line["isEdited"] = (!edits.items.is_empty()).into();
            out.line("message", line).await?;
            while let Some(last) = edits.items.last().map(|entry| entry.seq) {
                for entry in &edits.items {
                    let edit = value(&catalogue::envelope(entry).data)?;
                    out.line("edit", edit).await?;
                }
                if !edits.has_more {
                    break;
                }
                edits = ctx.store.find_edits(&message.id, last).await?;
            }
        }
    }
    Ok(())
}

async fn write_reactions(ctx: &Context, user: &UserId, out: &mut Out) -> Result<()> {
    let mut after: Option<String> = None;
    loop {
        let page = ctx
            .store
            .find_reactions_of(user, after.as_deref(), PAGE)
            .await?;
        let Some(last) = page.last() else {
            return Ok(());
        };
        after = Some(last.key.clone());
        for reaction in page {
            let line = json!({
                "conversationId": reaction.conversation,
                "messageId": reaction.message,
                "emoji": reaction.emoji,
                "createdAt": reaction.at(),
            });
            out.line("reaction", line).await?;
        }
    }
}

async fn write_blocks(ctx: &Context, user: &UserId, out: &mut Out) -> Result<()> {
    let mut after = None;
    loop {
        let request = PageRequest::new(Some(100), None, after, None)?;
        let page = ctx.store.find_block_page(user, &request).await?;
        for block in page.items {
            let line = json!({ "userId": block.user, "createdAt": block.at });
            out.line("block", line).await?;
        }
        after = page.next_cursor;
        if after.is_none() || !page.has_more {
            return Ok(());
        }
    }
}

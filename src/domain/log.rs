//! A conversation's log as its members may read it: every number once, so that a reader can prove that nothing is missing.

use chat_sdk::{ConversationId, Envelope, UserId, events::EventData};
use serde::Serialize;

use super::{
    Context,
    audience::Audience,
    catalogue,
    entry::{Body, Entry},
    error::Result,
    page::fitting,
};
use crate::bounds;

/// One number of a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// The event, as the catalogue shows it.
    Seen(Box<Envelope<EventData>>),
    /// An entry that the caller may not see.
    Skipped(u64),
}

/// A piece of a log, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// The numbers of this piece.
    pub lines: Vec<Line>,
    /// Whether the log goes on after it, as far as the caller may know.
    pub has_more: bool,
}

/// The numbers after `after`, at most `limit`. What was deleted since comes without its text. For who left, the log ends there.
///
/// # Errors
/// [`super::DomainError::NotFound`] for who never was a member.
pub async fn list(
    ctx: &Context,
    actor: &UserId,
    conversation: &ConversationId,
    after: u64,
    limit: u32,
) -> Result<Lines> {
    let audience = ctx
        .store
        .find_membership(conversation, actor)
        .await?
        .audience()?;
    let end = audience.as_of().unwrap_or(u64::MAX);
    let piece = ctx
        .store
        .find_entries(conversation, after, end, limit, bounds::PAGE)
        .await?;
    let mut lines: Vec<Line> = piece
        .items
        .iter()
        .map(
            |entry| match sees(&audience, entry) && is_told(entry, actor) {
                true => Line::Seen(Box::new(catalogue::envelope(entry))),
                false => Line::Skipped(entry.seq),
            },
        )
        .collect();
    let count = fitting(&lines, bounds::PAGE).max(1);
    let has_more = piece.has_more || count < lines.len();
    lines.truncate(count);
    Ok(Lines { lines, has_more })
}

/// Whether what happened is inside `audience`: the entry itself, and the message that it is about where later members do not see that.
fn sees(audience: &Audience, entry: &Entry) -> bool {
    audience.sees(entry.seq)
        && entry
            .body
            .message_seq()
            .is_none_or(|seq| audience.sees(seq))
}

/// Whether `user` is told more of `entry` than its number. What a member set for themselves is for them alone; a block is told by no log.
fn is_told(entry: &Entry, user: &UserId) -> bool {
    match (entry.body.told_only_to(), &entry.body) {
        (None, _) => true,
        (Some(only), Body::ParticipantUpdated(change)) => {
            only == user && change.preferences.is_some()
        }
        (Some(only), _) => only == user,
    }
}

//! A conversation's log as its members may read it: includes every seq once, so that a reader can prove that nothing is missing.

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

/// One seq of a log.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(untagged)]
pub enum Line {
    /// The event, as the catalogue defines it.
    Seen(Box<Envelope<EventData>>),
    /// Seq of an entry that the caller may not see.
    Skipped(u64),
}

/// A part of a log, ascending.
#[derive(Debug, Clone, PartialEq)]
pub struct Lines {
    /// Entries of this part.
    pub lines: Vec<Line>,
    /// True if the log continues, as far as the caller may know.
    pub has_more: bool,
}

/// Returns the entries after seq `after`, at most `limit`.
///
/// Entries of messages deleted since come without text. For a former member the log ends where they left.
///
/// # Errors
/// [`super::DomainError::NotFound`] if the caller was never a member.
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

/// Returns true if `audience` includes the entry and the message concerned, if that is hidden from later members.
fn sees(audience: &Audience, entry: &Entry) -> bool {
    audience.sees(entry.seq)
        && entry
            .body
            .message_seq()
            .is_none_or(|seq| audience.sees(seq))
}

/// Returns true if `user` may see more of `entry` than its seq.
///
/// A member's own settings are visible only to the member; a block is visible in no log.
fn is_told(entry: &Entry, user: &UserId) -> bool {
    match (entry.body.told_only_to(), &entry.body) {
        (None, _) => true,
        (Some(only), Body::ParticipantUpdated(change)) => {
            only == user && change.preferences.is_some()
        }
        (Some(only), _) => only == user,
    }
}

//! A conversation's log as its members may read it: includes every seq once, so that a reader can prove that nothing is missing.

use chat_sdk::{ConversationId, Envelope, UserId, events::EventData};
use serde::Serialize;

use super::Context;
use crate::model::{
    bounds, catalogue, entry::Entry, error::Result, page::fitting, visibility::ContentLimits,
};

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
/// [`crate::model::DomainError::NotFound`] if the caller was never a member.
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
    let is_shown = |entry: &Entry| {
        audience.sees(entry.seq)
            && ContentLimits::of_entry(entry).allow(actor, |seq| audience.sees(seq))
    };
    let mut lines: Vec<Line> = piece
        .items
        .iter()
        .map(|entry| {
            if is_shown(entry) {
                Line::Seen(Box::new(catalogue::envelope(entry)))
            } else {
                Line::Skipped(entry.seq)
            }
        })
        .collect();
    let count = fitting(&lines, bounds::PAGE).max(1);
    let has_more = piece.has_more || count < lines.len();
    lines.truncate(count);
    Ok(Lines { lines, has_more })
}

//! Catch-up: the entries that a client has missed since its cursor, delivered before live events.
//!
//! The socket is registered first, so that live events are queued. Then memberships and positions are read, and the missed seqs are determined per
//! conversation, up to the seq from which on the queue is complete. So there is no gap between the two, and an entry that is in both is dropped by its seq.
//! The missed entries themselves are read one chunk at a time, as fast as the client takes them: a client that does not read costs one chunk of memory.

pub mod cursor;
mod initial;
mod own;
mod pacing;
pub(super) mod tracker;

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::ConversationId;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::yield_now;

use super::{Node, hub::JoinOutcome, push::Push, resume::cursor::Cursor, socket::Socket};
use crate::{
    model::{Result, bounds, visibility::is_member_at},
    store::{ClusterTime, MembershipOf},
};

pub use initial::InitialFrames;
pub use pacing::Pacing;

/// Maximum number of entries that a resume delivers; with more the client must reload by REST.
pub const MAX_MISSED: usize = 10_000;
/// Maximum number of conversations that one catch-up reads concurrently.
const CONCURRENCY: usize = 8;
/// Maximum number of entries of one conversation that are read together.
const ENTRIES_AT_ONCE: u32 = 128;
/// Number of seqs in a chunk after which no further conversation is read for it.
const NUMBERS_AT_ONCE: u64 = 64;
/// Number of conversations after which the task yields: about 0.1 ms of work.
const TURN: usize = 128;

/// Result of [`catch_up`]: what the client has missed.
#[derive(Debug, Default)]
pub struct CatchUp {
    /// The hub's watermark from before this socket was registered.
    pub watermark: u64,
    /// Ranges of missed entries, in the order of delivery.
    pub missed: VecDeque<MissedRange>,
    /// Missed entries of the reader's own log, which come first.
    pub own: Vec<Push>,
    /// Highest seq per conversation that `missed` covers; the queue may repeat entries up to it.
    pub given: HashMap<ConversationId, u64>,
    /// Cursor that the client resumed from.
    pub cursor: Option<Cursor>,
    /// Positions of recently active conversations at the time of the join, with their last activity.
    ///
    /// The activity is in seconds by this machine's clock. A later resume does not deliver entries up to these positions.
    pub positions: Vec<(ConversationId, u64, u64)>,
    /// Reason of the `sync:reset` event, if the client must reload instead.
    pub reset: Option<&'static str>,
}

/// Range of entries of one conversation, all inside one membership.
#[derive(Debug)]
pub struct MissedRange {
    conversation: ConversationId,
    /// Seq before the first entry of the range.
    after: u64,
    /// Seq of the last entry of the range.
    to: u64,
    /// All pushes of the range, if they have been read already.
    ready: Option<Vec<Push>>,
}

/// A seq that was read, with its push if there is one.
type Read = (u64, Option<Push>);

impl CatchUp {
    /// Keeps the queue from delivering entries of `conversation` up to `to`; never lowers the limit.
    fn has_given(&mut self, conversation: &ConversationId, to: u64) {
        let given = self.given.entry(conversation.clone()).or_default();
        *given = (*given).max(to);
    }
}

/// Joins a registered socket to its user's rooms and determines what the client has missed.
///
/// `watermark` is the hub's from before the socket was registered; `resume` is the cursor that the client sent.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`] if the store does not answer; the socket is then closed, and the client reconnects.
pub async fn catch_up(
    node: &Node,
    socket: &Arc<Socket>,
    watermark: u64,
    resume: Option<&str>,
) -> Result<CatchUp> {
    let mut memberships = node.ctx.store.find_memberships_of(&socket.user).await?;
    node.pacing.record(&socket.user, memberships.len());
    node.hub.overlay(&socket.user, &mut memberships).await;
    socket.learn(&memberships);
    let mut caught_up = CatchUp {
        watermark,
        ..CatchUp::default()
    };
    let behind = join(node, socket, &memberships, &mut caught_up).await?;
    match resume.map(|text| node.hub.seal.open(&socket.user, text)) {
        Some(Some(cursor)) => {
            find_missed(node, memberships, cursor, &behind, &mut caught_up).await?;
        }
        Some(None) => caught_up.reset = Some("unknown-cursor"),
        None => {}
    }
    if caught_up.cursor.is_none() {
        // A client that does not resume reads earlier entries by REST.
        for (conversation, applied) in &behind {
            caught_up.has_given(conversation, *applied);
        }
    }
    if node.hub.follows_own_logs() {
        own::find_missed(node, socket, &mut caught_up).await?;
    }
    Ok(caught_up)
}

/// Joins the socket to the rooms of its user's memberships; returns positions of rooms that may lag.
///
/// Records the current positions, and up to which seq nothing may be delivered: a member may have joined at a later seq than the room's position. The
/// returned positions are those of the documents.
async fn join(
    node: &Node,
    socket: &Arc<Socket>,
    memberships: &[MembershipOf],
    caught_up: &mut CatchUp,
) -> Result<HashMap<ConversationId, u64>> {
    let mut unknown = Vec::new();
    let mut behind = Vec::new();
    let mut positions = Vec::new();
    for (at, membership) in memberships
        .iter()
        .filter(|membership| membership.is_active())
        .enumerate()
    {
        if at % TURN == TURN - 1 {
            yield_now().await;
        }
        let conversation = &membership.conversation;
        match node.hub.join(socket, conversation, membership.joined_seq()) {
            JoinOutcome::Live(seq) => positions.push((conversation.clone(), seq)),
            JoinOutcome::PositionUnknown => unknown.push(conversation),
            JoinOutcome::NeedsCheck => behind.push(conversation),
            JoinOutcome::AlreadyJoined | JoinOutcome::NotMember => {}
        }
    }
    let behind: HashMap<ConversationId, u64> = node
        .ctx
        .store
        .find_touched(&behind, None)
        .await?
        .into_iter()
        .collect();
    for (conversation, applied) in &behind {
        node.hub.confirm(conversation, *applied);
        positions.push((conversation.clone(), *applied));
    }
    positions.extend(begin(node, socket, &unknown).await?);
    caught_up.positions = positions
        .into_iter()
        .filter_map(|(conversation, seq)| {
            let at = node.hub.active_at(&conversation)?;
            Some((conversation, seq, at))
        })
        .collect();
    for (at, membership) in memberships
        .iter()
        .filter(|membership| membership.is_active())
        .enumerate()
    {
        if at % TURN == TURN - 1 {
            yield_now().await;
        }
        let before = membership.joined_seq().saturating_sub(1);
        if node
            .hub
            .position(&membership.conversation)
            .is_some_and(|position| position < before)
        {
            caught_up.has_given(&membership.conversation, before);
        }
    }
    Ok(behind)
}

/// Sets the hub's unknown conversation positions; returns those that this call was the first to set.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`] if the store does not answer.
pub async fn begin(
    node: &Node,
    socket: &Socket,
    unknown: &[&ConversationId],
) -> Result<Vec<(ConversationId, u64)>> {
    let found: HashMap<ConversationId, u64> = node
        .ctx
        .store
        .find_touched(unknown, None)
        .await?
        .into_iter()
        .collect();
    let mut begun = Vec::new();
    for (at, conversation) in unknown.iter().enumerate() {
        if at % TURN == TURN - 1 {
            yield_now().await;
        }
        match found.get(*conversation) {
            Some(applied) => {
                if node.hub.begin(conversation, *applied) {
                    begun.push(((*conversation).clone(), *applied));
                }
            }
            // Not in the documents yet, but this node has seen the entry that created it, so everything from that entry on is in its cache.
            None => match node.hub.joined_at(&socket.user, conversation) {
                Some(seq) => {
                    if node.hub.begin(conversation, seq - 1) {
                        begun.push(((*conversation).clone(), seq - 1));
                    }
                }
                None => node.hub.leave(socket, conversation),
            },
        }
    }
    Ok(begun)
}

/// Determines which entries were missed since `cursor`.
async fn find_missed(
    node: &Node,
    memberships: Vec<MembershipOf>,
    cursor: Cursor,
    behind: &HashMap<ConversationId, u64>,
    caught_up: &mut CatchUp,
) -> Result<()> {
    let since = ClusterTime {
        time: (cursor.watermark >> 32) as u32,
        increment: cursor.watermark as u32,
    };
    let positions: HashMap<ConversationId, u64> = cursor.positions.iter().cloned().collect();
    // Entries that the cursor covers may arrive here again: its node may have been ahead of this one, and if the documents lag, the room began with
    // entries from this node's cache.
    for (conversation, seq) in &cursor.positions {
        caught_up.has_given(conversation, *seq);
    }
    let ids: Vec<&ConversationId> = memberships.iter().map(|m| &m.conversation).collect();
    let touched: HashMap<ConversationId, u64> = node
        .ctx
        .store
        .find_touched(&ids, Some(since))
        .await?
        .into_iter()
        .collect();
    let wanted: Vec<(MembershipOf, Option<u64>, u64)> = memberships
        .into_iter()
        .filter_map(|membership| {
            let id = &membership.conversation;
            let after = positions.get(id).copied();
            // An entry that is not applied yet is not in the documents, but this node has seen it.
            if after.is_none() && !touched.contains_key(id) && node.hub.active_at(id).is_none() {
                return None;
            }
            let to = if membership.is_active() {
                let applied = behind.get(id).copied().unwrap_or_default();
                node.hub.position(id)?.max(applied)
            } else {
                membership.intervals.last().and_then(|(_, left)| *left)?
            };
            let is_new = after.is_none_or(|seq| seq < to);
            is_new.then_some((membership, after, to))
        })
        .collect();
    let watermark = caught_up.watermark;
    let mut found = stream::iter(wanted)
        .map(|(membership, after, to)| {
            find_ranges(node, membership, (after, to), (since, watermark))
        })
        .buffered(CONCURRENCY);
    let (mut numbers, mut ready_bytes) = (0, 0);
    while let Some(ranges) = found.try_next().await? {
        let Some((conversation, to, ranges)) = ranges else {
            caught_up.reset = Some("too-many-missed");
            break;
        };
        caught_up.has_given(&conversation, to);
        for mut range in ranges {
            numbers += range.to - range.after;
            // Pushes that do not fit are read again when the range is delivered.
            range.ready = range.ready.filter(|pushes| {
                let bytes: usize = pushes.iter().map(Push::wire_len).sum();
                let fits = ready_bytes + bytes <= bounds::RESUME_CHUNK;
                ready_bytes += if fits { bytes } else { 0 };
                fits
            });
            caught_up.missed.push_back(range);
        }
        if numbers > MAX_MISSED as u64 {
            caught_up.reset = Some("too-many-missed");
            break;
        }
    }
    drop(found);
    match caught_up.reset {
        Some(_) => caught_up.missed.clear(),
        None => caught_up.cursor = Some(cursor),
    }
    Ok(())
}

/// Returns the missed ranges of one conversation up to `to`, one per membership; `None` if too many.
///
/// They start after seq `after`, or else after `since`.
async fn find_ranges(
    node: &Node,
    membership: MembershipOf,
    (after, to): (Option<u64>, u64),
    (since, watermark): (ClusterTime, u64),
) -> Result<Option<(ConversationId, u64, Vec<MissedRange>)>> {
    let conversation = membership.conversation;
    let mut entries = None;
    let after = match after {
        Some(after) => after,
        None => {
            let _permit = node.hub.catch_ups.acquire().await;
            let most = (MAX_MISSED, bounds::RESUME_CHUNK / CONCURRENCY);
            let store = &node.ctx.store;
            let found = store.find_missed_since(&conversation, since, to, most);
            let Some(found) = found.await? else {
                return Ok(None);
            };
            entries = found.entries;
            found.after
        }
    };
    let ranges = membership.intervals.iter().filter_map(|(joined, left)| {
        let range = MissedRange {
            conversation: conversation.clone(),
            after: after.max(joined.saturating_sub(1)),
            to: left.map_or(to, |left| left.min(to)),
            ready: None,
        };
        (range.after < range.to).then_some(range)
    });
    let mut ranges: Vec<MissedRange> = ranges.collect();
    if let ([range], Some(entries)) = (&mut ranges[..], entries) {
        let pushes = entries
            .iter()
            .filter(|entry| is_member_at(&membership.intervals, entry.seq))
            .filter_map(|entry| Push::from_entry(conversation.clone(), entry, watermark));
        range.ready = Some(pushes.collect());
    }
    Ok(Some((conversation, to, ranges)))
}

/// Reads the next missed entries: about [`bounds::RESUME_CHUNK`], at least one; none at the end.
///
/// They carry `watermark` of the [`CatchUp`]: later markers may be ahead of what waits in the socket's queue.
///
/// # Errors
/// [`crate::model::DomainError::Unavailable`] if the store does not answer.
pub async fn read_chunk(
    node: &Node,
    watermark: u64,
    missed: &mut VecDeque<MissedRange>,
) -> Result<Vec<Push>> {
    let mut pushes = Vec::new();
    while pushes.is_empty() && !missed.is_empty() {
        let mut ranges = Vec::new();
        let mut numbers = 0;
        while let Some(range) = missed.front() {
            numbers += range.to - range.after;
            if !ranges.is_empty() && numbers > NUMBERS_AT_ONCE {
                break;
            }
            ranges.extend(missed.pop_front());
        }
        let mut read = stream::iter(ranges)
            .map(|range| read_range(node, watermark, range))
            .buffered(CONCURRENCY);
        let mut bytes = 0;
        let mut left = Vec::new();
        while let Some((mut range, read)) = read.try_next().await? {
            for (seq, push) in read {
                if bytes >= bounds::RESUME_CHUNK {
                    break;
                }
                bytes += push.as_ref().map_or(0, Push::wire_len);
                range.after = seq;
                pushes.extend(push);
            }
            if range.after < range.to {
                left.push(range);
            }
        }
        for range in left.into_iter().rev() {
            missed.push_front(range);
        }
    }
    Ok(pushes)
}

/// Reads the next entries of a range from this node's cache, or else from the log.
async fn read_range(
    node: &Node,
    watermark: u64,
    mut range: MissedRange,
) -> Result<(MissedRange, Vec<Read>)> {
    let ready = range.ready.take();
    if let Some(ready) = ready {
        let mut read: Vec<Read> = ready
            .into_iter()
            .map(|push| (push.seq, Some(push)))
            .collect();
        // The seqs that are not in the result hold nothing for this reader.
        read.push((range.to, None));
        return Ok((range, read));
    }
    let (conversation, to) = (&range.conversation, range.to);
    let remembered = node
        .hub
        .remembered(conversation, (range.after, to), watermark);
    if let Some(pushes) = remembered {
        let read = pushes.into_iter().map(|push| (push.seq, Some(push)));
        let read = read.collect();
        return Ok((range, read));
    }
    let piece = {
        let _permit = node.hub.catch_ups.acquire().await;
        let most = (ENTRIES_AT_ONCE, bounds::RESUME_CHUNK);
        let store = &node.ctx.store;
        store
            .read_missed(conversation, range.after, to, most)
            .await?
    };
    let mut read: Vec<Read> = piece
        .items
        .iter()
        .map(|entry| {
            let push = Push::from_entry(conversation.clone(), entry, watermark);
            (entry.seq, push)
        })
        .collect();
    if !piece.has_more {
        // Entries that retention has removed do not count as missed.
        read.push((to, None));
    }
    Ok((range, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn older_cursor_never_lowers_the_delivery_limit() {
        let conversation = ConversationId::generate();
        let mut caught_up = CatchUp::default();
        // The user joined again at seq 20, and the cursor is from the membership before.
        for to in [19, 10] {
            caught_up.has_given(&conversation, to);
        }
        assert_eq!(caught_up.given[&conversation], 19);
        caught_up.has_given(&conversation, 25);
        assert_eq!(caught_up.given[&conversation], 25);
    }
}

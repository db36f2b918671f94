//! What a socket is given before live events: everything since its cursor.
//!
//! The socket is registered first, so that live events queue up; then memberships and positions are read; then it is decided which numbers were missed, per
//! conversation up to the number from which on the queue has everything. So nothing falls between, and what is in both is dropped by number. The missed
//! entries themselves are read a chunk at a time, as fast as the client takes them: a client that does not read costs one chunk.

use std::{
    collections::{HashMap, VecDeque},
    sync::Arc,
};

use chat_sdk::ConversationId;
use futures_util::{StreamExt, TryStreamExt, stream};
use tokio::task::yield_now;

use super::{Node, cursor::Cursor, hub::JoinOutcome, push::Push, socket::Socket};
use crate::{
    bounds,
    domain::{Result, audience::is_pushed},
    store::{ClusterTime, MembershipOf},
};

/// The most entries that are given at once; with more the client reloads by REST.
pub const MAX_MISSED: usize = 10_000;
/// How many conversations are read at once.
const CONCURRENCY: usize = 8;
/// How many entries of a conversation are read together.
const ENTRIES_AT_ONCE: u32 = 128;
/// How many numbers a chunk spans before no further conversation is read for it.
const NUMBERS_AT_ONCE: u64 = 64;
/// After how many conversations another task has its turn: about a tenth of a millisecond.
const TURN: usize = 128;
/// How many catch-ups of a process read from the store at the same time.
pub const READING_AT_ONCE: usize = 16;

/// What was missed.
#[derive(Debug, Default)]
pub struct CatchUp {
    /// What every client of the node had been given before this socket was registered.
    pub watermark: u64,
    /// What is to be given, in order.
    pub missed: VecDeque<MissedRange>,
    /// What the queue may repeat: per conversation the number up to which `missed` has everything.
    pub given: HashMap<ConversationId, u64>,
    /// The cursor that was resumed from.
    pub cursor: Option<Cursor>,
    /// Where conversations were when the socket came into their rooms, with when something last happened in them (seconds by this machine's clock);
    /// only those where something did lately. What lies before is no part of what a later resume may bring.
    pub positions: Vec<(ConversationId, u64, u64)>,
    /// Why the client must reload instead, if it must.
    pub reset: Option<&'static str>,
}

/// Entries of one conversation that are to be given, all inside one membership.
#[derive(Debug)]
pub struct MissedRange {
    conversation: ConversationId,
    /// The number before the first one.
    after: u64,
    /// The last number.
    to: u64,
    /// All of it, if it was read already.
    ready: Option<Vec<Push>>,
}

/// A number that was read, with what is pushed of it.
type Read = (u64, Option<Push>);

impl CatchUp {
    /// Notes that nothing of `conversation` up to number `to` may come from the queue; what was noted before stays where it reaches further.
    fn has_given(&mut self, conversation: &ConversationId, to: u64) {
        let given = self.given.entry(conversation.clone()).or_default();
        *given = (*given).max(to);
    }
}

/// Puts `socket`, which is registered, into the rooms of its user's conversations and decides what was missed. `watermark` is the hub's from before it was
/// registered; `resume` is the cursor that the client gave.
///
/// # Errors
/// [`crate::domain::DomainError::Unavailable`] when the store is away; the socket is then closed, and the client comes again.
pub async fn catch_up(
    node: &Node,
    socket: &Arc<Socket>,
    watermark: u64,
    resume: Option<&str>,
) -> Result<CatchUp> {
    let mut memberships = node.ctx.store.find_memberships_of(&socket.user).await?;
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
        // Who resumes nothing reads by REST what was there before.
        for (conversation, applied) in &behind {
            caught_up.has_given(conversation, *applied);
        }
    }
    Ok(caught_up)
}

/// Joins the socket to the rooms of its user's memberships. Notes where they were, and up to which number it must hear nothing: where a member
/// joined later than the room is at. Answers where the documents are of rooms that may be behind them.
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

/// Tells the hub where conversations are that it does not know. Answers those where this call was the first to tell.
///
/// # Errors
/// [`crate::domain::DomainError::Unavailable`].
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
            // Not in the documents yet, but its beginning came by here: from there on the node remembers it.
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

/// Decides which numbers were missed since `cursor`.
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
    // What the cursor covers may come by here once more: its node may have been ahead of this one, and where the documents are behind, the room began
    // with entries that this node remembered.
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
            // An entry that nobody has applied yet is not in the documents, but it came by here.
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
            // What does not fit is read again when its turn has come.
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

/// What was missed of one conversation after number `after`, or else after `since`, up to number `to`: a range for each membership; `None` if it is too
/// much.
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
            .filter(|entry| is_pushed(&membership.intervals, entry.seq))
            .filter_map(|entry| Push::from_entry(conversation.clone(), entry, watermark));
        range.ready = Some(pushes.collect());
    }
    Ok(Some((conversation, to, ranges)))
}

/// The next missed entries, about [`bounds::RESUME_CHUNK`] and at least one; none if nothing is left. They carry `watermark` of the [`CatchUp`]: later
/// markers may be ahead of what waits in the socket's queue.
///
/// # Errors
/// [`crate::domain::DomainError::Unavailable`] when the store is away.
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

/// The next entries of a range: from this node's memory, else from the log.
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
        // Whatever is not among them holds nothing for the reader.
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
        // What retention has removed is not missed.
        read.push((to, None));
    }
    Ok((range, read))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_may_not_be_heard_is_never_lowered_by_a_cursor_from_before() {
        let conversation = ConversationId::generate();
        let mut caught_up = CatchUp::default();
        // Joined again with number 20, and the cursor is from the membership before.
        for to in [19, 10] {
            caught_up.has_given(&conversation, to);
        }
        assert_eq!(caught_up.given[&conversation], 19);
        caught_up.has_given(&conversation, 25);
        assert_eq!(caught_up.given[&conversation], 25);
    }
}

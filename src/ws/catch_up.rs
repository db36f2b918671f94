//! What a socket is given before live events: everything since its cursor.
//!
//! The socket is registered first, so that live events queue up; then memberships and positions are read; then what was missed is read, per conversation up to
//! the number from which on the queue has everything. So nothing falls between, and what is in both is dropped by number.

use std::{collections::HashMap, sync::Arc};

use chat_sdk::ConversationId;
use futures_util::{StreamExt, TryStreamExt, stream};

use super::{Node, cursor::Cursor, hub::Joined, push::Push, socket::Socket};
use crate::{
    domain::{Result, audience::is_pushed},
    store::{ClusterTime, MembershipOf, Missed, MissedEntries},
};

/// The most entries that are given at once; with more the client reloads by REST.
pub const MAX_MISSED: usize = 10_000;
/// How many conversations are read at once.
const CONCURRENCY: usize = 8;

/// What was missed.
#[derive(Debug, Default)]
pub struct CatchUp {
    /// The entries, per conversation in order.
    pub pushes: Vec<Push>,
    /// What the queue may repeat: per conversation the number up to which `pushes` has everything.
    pub given: HashMap<ConversationId, u64>,
    /// The cursor that was resumed from.
    pub cursor: Option<Cursor>,
    /// Where conversations were when the socket came into their rooms, with when something last happened in them (seconds by this machine's clock);
    /// only those where something did lately. What lies before is no part of what a later resume may bring.
    pub positions: Vec<(ConversationId, u64, u64)>,
    /// Why the client must reload instead, if it must.
    pub reset: Option<&'static str>,
}

impl CatchUp {
    /// Notes that nothing of `conversation` up to number `to` may come from the queue; what was noted before stays where it reaches further.
    fn has_given(&mut self, conversation: &ConversationId, to: u64) {
        let given = self.given.entry(conversation.clone()).or_default();
        *given = (*given).max(to);
    }
}

/// Puts `socket`, which is registered, into the rooms of its user's conversations and reads what was missed since `cursor`. `resume` is the text that the client gave.
///
/// # Errors
/// [`crate::domain::DomainError::Unavailable`] when the store is away; the socket is then closed, and the client comes again.
pub async fn catch_up(node: &Node, socket: &Arc<Socket>, resume: Option<&str>) -> Result<CatchUp> {
    let mut memberships = node.ctx.store.find_memberships_of(&socket.user).await?;
    node.hub.amend(&socket.user, &mut memberships);
    socket.learn(&memberships);
    let mut caught_up = CatchUp::default();
    let behind = join(node, socket, &memberships, &mut caught_up).await?;
    match resume.map(|text| node.hub.seal.open(&socket.user, text)) {
        Some(Some(cursor)) => {
            read_missed(node, memberships, cursor, &behind, &mut caught_up).await?;
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
    for membership in memberships
        .iter()
        .filter(|membership| membership.is_active())
    {
        let conversation = &membership.conversation;
        match node.hub.join(socket, conversation, membership.joined_seq()) {
            Joined::At(seq) => positions.push((conversation.clone(), seq)),
            Joined::Unknown => unknown.push(conversation),
            Joined::Behind => behind.push(conversation),
            Joined::Before | Joined::Ended => {}
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
    for membership in memberships
        .iter()
        .filter(|membership| membership.is_active())
    {
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
    for conversation in unknown {
        match found.get(*conversation) {
            Some(applied) => {
                if node.hub.begin(conversation, *applied) {
                    begun.push(((*conversation).clone(), *applied));
                }
            }
            // Not in the documents yet, but its beginning came by here: from there on the node remembers it.
            None => match node.hub.arrival(&socket.user, conversation) {
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

async fn read_missed(
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
    let wanted: Vec<(MembershipOf, Missed, u64)> = memberships
        .into_iter()
        .filter_map(|membership| {
            let id = &membership.conversation;
            let missed = match positions.get(id) {
                Some(seq) => Missed::AfterSeq(*seq),
                // An entry that nobody has applied yet is not in the documents, but it came by here.
                None if touched.contains_key(id) || node.hub.active_at(id).is_some() => {
                    Missed::AfterTime(since)
                }
                None => return None,
            };
            let to = if membership.is_active() {
                let applied = behind.get(id).copied().unwrap_or_default();
                node.hub.position(id)?.max(applied)
            } else {
                membership.intervals.last().and_then(|(_, left)| *left)?
            };
            let is_new = !matches!(missed, Missed::AfterSeq(seq) if seq >= to);
            is_new.then_some((membership, missed, to))
        })
        .collect();
    let mut read = stream::iter(wanted)
        .map(|(membership, missed, to)| read_one(node, membership, missed, to))
        .buffered(CONCURRENCY);
    let mut pushes = Vec::new();
    let mut given = HashMap::new();
    while let Some(one) = read.try_next().await? {
        match one {
            Some((conversation, to, missed)) if pushes.len() + missed.len() <= MAX_MISSED => {
                pushes.extend(missed);
                given.insert(conversation, to);
            }
            _ => {
                caught_up.reset = Some("too-many-missed");
                return Ok(());
            }
        }
    }
    caught_up.pushes = pushes;
    for (conversation, to) in given {
        caught_up.has_given(&conversation, to);
    }
    caught_up.cursor = Some(cursor);
    Ok(())
}

/// What was missed of one conversation; `None` when it is too much.
async fn read_one(
    node: &Node,
    membership: MembershipOf,
    missed: Missed,
    to: u64,
) -> Result<Option<(ConversationId, u64, Vec<Push>)>> {
    let conversation = membership.conversation;
    let remembered = match missed {
        Missed::AfterSeq(seq) => node.hub.remembered(&conversation, seq, to),
        Missed::AfterTime(_) => None,
    };
    let pushes = match remembered {
        Some(pushes) => pushes,
        None => {
            let entries = node
                .ctx
                .store
                .read_missed(&conversation, missed, to, MAX_MISSED)
                .await?;
            let MissedEntries::All(entries) = entries else {
                return Ok(None);
            };
            let watermark = node.hub.watermark();
            entries
                .iter()
                .filter_map(|entry| Push::from_entry(conversation.clone(), entry, watermark))
                .collect()
        }
    };
    let pushes = pushes
        .into_iter()
        .filter(|push| is_pushed(&membership.intervals, push.seq))
        .collect();
    Ok(Some((conversation, to, pushes)))
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

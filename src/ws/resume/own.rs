//! Missed entries of the reader's own log: events of plugins for this user.

use std::sync::Arc;

use super::{CatchUp, MAX_MISSED, cursor::own_log};
use crate::{
    model::{Result, bounds},
    store::ClusterTime,
    ws::{
        Node,
        push::{Push, now_seconds},
        socket::Socket,
    },
};

/// Maximum number of entries that a resume reads of a user's own log; with more the client must reload by REST.
const MAX_OWN: u32 = 1000;

/// Reads what the reader has missed of the own log since the cursor, and sets the log's position on this node.
///
/// The socket is registered already, so entries after this position are delivered live.
pub(super) async fn find_missed(
    node: &Node,
    socket: &Arc<Socket>,
    caught_up: &mut CatchUp,
) -> Result<()> {
    let user = &socket.user;
    let store = &node.ctx.store;
    let newest = store.find_newest_own_seq(user).await?;
    if let Some(cursor) = &caught_up.cursor {
        let position = cursor.positions.iter().find(|(id, _)| id == own_log());
        // Without a position everything up to the watermark was delivered.
        let since = position.is_none().then_some(ClusterTime {
            time: (cursor.watermark >> 32) as u32,
            increment: cursor.watermark as u32,
        });
        let oldest = newest.saturating_sub(MAX_MISSED as u64);
        let after = position.map_or(oldest, |(_, seq)| *seq);
        if after < newest {
            let most = (MAX_OWN, bounds::RESUME_CHUNK);
            let read = store.find_own_entries(user, (after, newest), since, most);
            let piece = read.await?;
            if piece.has_more {
                caught_up.reset = Some("too-many-missed");
                caught_up.missed.clear();
                caught_up.cursor = None;
            } else {
                let entries = piece.items.iter();
                let pushes =
                    entries.filter_map(|entry| Push::of_user_entry(entry, caught_up.watermark));
                caught_up.own = pushes.collect();
            }
        }
    }
    caught_up.has_given(own_log(), newest);
    let position = (own_log().clone(), newest, now_seconds());
    caught_up.positions.push(position);
    node.hub.begin_own(user, newest);
    Ok(())
}

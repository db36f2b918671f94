//! Gap filling: entries that the stream did not deliver in time are read from the log.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chat_sdk::ConversationId;
use futures_util::FutureExt;
use metrics::counter;

use super::{Hub, hold};
use crate::{model::bounds, ws::push::Push};

/// Time for a gap to close by itself before it is read from the log.
const GAP_TIMEOUT: Duration = Duration::from_millis(30);
/// Pause between two reads of the log.
const GAP_RETRY: Duration = Duration::from_millis(200);
/// Maximum number of missing entries in one read, and their total size in bytes.
const GAP_PAGE: u32 = 500;
const GAP_BYTES: usize = bounds::RESUME_CHUNK;

impl Hub {
    /// Reads missing entries from the log until there is no gap.
    ///
    /// A panic must not end it: the room would wait for ever, and hold back all markers.
    pub(super) async fn close_gap(self: Arc<Self>, conversation: ConversationId, wait: u64) {
        loop {
            let filling = Arc::clone(&self).fill_gap(conversation.clone(), wait);
            if AssertUnwindSafe(filling).catch_unwind().await.is_ok() {
                return;
            }
            tokio::time::sleep(GAP_RETRY).await;
        }
    }

    async fn fill_gap(self: Arc<Self>, conversation: ConversationId, wait: u64) {
        let mut pause = GAP_TIMEOUT;
        loop {
            tokio::time::sleep(pause).await;
            let (next, to) = {
                let mut state = self.state.lock();
                let state = &mut *state;
                let room = state.rooms.get_mut(&conversation);
                let Some(room) = room.filter(|room| room.waiting == Some(wait)) else {
                    // The room's last socket has gone, and the wait with it.
                    return;
                };
                let next = room.next.unwrap_or(1);
                if room.highest < next {
                    room.waiting = None;
                    state.gaps -= 1;
                    return;
                }
                let first_held = room.held.keys().next().copied();
                (next, first_held.map_or(room.highest, |held| held - 1))
            };
            counter!("chat_hub_gaps_total").increment(1);
            let most = (GAP_PAGE, GAP_BYTES);
            let missing = self.store.read_missed(&conversation, next - 1, to, most);
            let missing = missing.await;
            pause = GAP_RETRY;
            if let Ok(entries) = missing {
                let mut state = self.state.lock();
                let state = &mut *state;
                let watermark = self.watermark();
                for entry in &entries.items {
                    let push = Push::from_entry(conversation.clone(), entry, watermark);
                    let room = state.rooms.get_mut(&conversation);
                    if let (Some(room), Some(push)) = (room, push) {
                        hold(&mut state.held_bytes, room, Arc::new(push));
                        self.deliver(state, &conversation);
                    }
                }
                if !entries.items.is_empty() {
                    pause = Duration::ZERO;
                }
            }
        }
    }
}

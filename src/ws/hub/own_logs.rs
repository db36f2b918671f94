//! Users' own logs: events of plugins in them go to the sockets of their user, in the order of their seqs.
//!
//! The stream may lose, repeat and reorder entries; a gap is read from the log. Other entries of these logs are no frames, so the seqs that a socket sees have
//! gaps.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    EventType, UserId,
    events::{EventOwner, PluginKind},
};
use metrics::counter;

use super::{Hub, State};
use crate::{
    bus::tail::TailEvent,
    model::{bounds, catalogue, entry::Entry},
    ws::{
        push::{Outgoing, Push},
        resume::cursor::own_log,
    },
};

/// Time that a missing entry may take to arrive by itself.
const GAP: Duration = Duration::from_millis(30);
/// Pause after a read that failed.
const RETRY: Duration = Duration::from_millis(500);
/// Number of entries of one read.
const AT_ONCE: u32 = 100;

/// Position of a user's own log on this node, while the user has sockets here.
#[derive(Debug, Default)]
pub(super) struct OwnLog {
    /// Last seq that was delivered; `None` until it has been read.
    last: Option<u64>,
    /// Highest seq that is known to exist.
    highest: u64,
    is_reading: bool,
}

/// True if a plugin of this program has events in users' own logs that sockets receive.
pub(super) fn are_followed() -> bool {
    PluginKind::all_declared().into_iter().any(|kind| {
        kind.declared()
            .is_some_and(|event| event.owner == EventOwner::User && event.frame.is_some())
    })
}

impl Hub {
    /// True if sockets receive events of users' own logs.
    pub fn follows_own_logs(&self) -> bool {
        self.follows_own_logs
    }

    /// Sets the position of the own log of `user` to `seq`, unless it is known. Every later entry is delivered from now on.
    pub fn begin_own(&self, user: &UserId, seq: u64) {
        let mut state = self.state.lock();
        let Some(log) = state.own_logs.get_mut(user) else {
            return;
        };
        if log.last.is_none() {
            log.last = Some(seq);
            self.read_own_gap(user, log);
        }
    }

    /// Processes an entry of a user's log from the stream; the payload is empty if it is too large for the stream.
    pub(super) fn ingest_own(&self, user: &UserId, event: &TailEvent) {
        let mut state = self.state.lock();
        let Some(log) = state.own_logs.get_mut(user) else {
            return;
        };
        let is_next = log.last.is_some_and(|last| event.seq == last + 1);
        if !is_next || log.is_reading || event.payload.is_empty() {
            log.highest = log.highest.max(event.seq);
            self.read_own_gap(user, log);
            return;
        }
        log.last = Some(event.seq);
        let push = Push::of_user(event.seq, event.kind, &event.payload, self.watermark());
        tell(&state, user, push);
    }

    fn read_own_gap(&self, user: &UserId, log: &mut OwnLog) {
        let is_behind = log.last.is_some_and(|last| last < log.highest);
        if is_behind
            && !log.is_reading
            && let Some(hub) = self.this.upgrade()
        {
            log.is_reading = true;
            tokio::spawn(hub.close_own_gap(user.clone()));
        }
    }

    /// Reads the entries of a gap until there is none, or the user has no socket here.
    async fn close_own_gap(self: Arc<Self>, user: UserId) {
        counter!("chat_ws_own_gaps_total").increment(1);
        tokio::time::sleep(GAP).await;
        loop {
            let (after, to) = {
                let mut state = self.state.lock();
                let Some(log) = state.own_logs.get_mut(&user) else {
                    return;
                };
                match log.last {
                    Some(last) if last < log.highest => (last, log.highest),
                    _ => {
                        log.is_reading = false;
                        return;
                    }
                }
            };
            let most = (AT_ONCE, bounds::RESUME_CHUNK);
            let read = self.store.find_own_entries(&user, (after, to), None, most);
            match read.await {
                Ok(piece) => self.tell_own(&user, &piece.items, (!piece.has_more).then_some(to)),
                Err(_) => tokio::time::sleep(RETRY).await,
            }
        }
    }

    /// Delivers entries that were read; `all_to` is the seq up to which they are complete.
    fn tell_own(&self, user: &UserId, entries: &[Entry], all_to: Option<u64>) {
        let mut state = self.state.lock();
        let Some(last) = state.own_logs.get(user).and_then(|log| log.last) else {
            return;
        };
        let watermark = self.watermark();
        for entry in entries.iter().filter(|entry| entry.seq > last) {
            tell(&state, user, Push::of_user_entry(entry, watermark));
        }
        let read_to = entries.last().map(|entry| entry.seq).max(all_to);
        if let (Some(log), Some(to)) = (state.own_logs.get_mut(user), read_to) {
            log.last = Some(last.max(to));
        }
    }
}

fn tell(state: &State, user: &UserId, push: Option<Push>) {
    let Some(push) = push.map(Arc::new) else {
        return;
    };
    for socket in state.users.get(user).into_iter().flatten() {
        socket.push(Outgoing::Logged(Arc::clone(&push)));
    }
}

/// True if sockets of its user receive an event of this type.
fn has_frame(kind: EventType) -> bool {
    matches!(kind, EventType::Plugin(_)) && kind.socket_event().is_some()
}

impl Push {
    /// Returns the push of an entry of a user's own log; `None` if it is no frame.
    pub fn of_user(seq: u64, kind: EventType, payload: &[u8], watermark: u64) -> Option<Self> {
        if !has_frame(kind) {
            return None;
        }
        Self::from_envelope(own_log().clone(), seq, kind, payload, watermark)
    }

    /// Returns the push of an entry of a user's own log that was read from the log.
    pub fn of_user_entry(entry: &Entry, watermark: u64) -> Option<Self> {
        let kind = entry.body.kind();
        if !has_frame(kind) {
            return None;
        }
        let payload = serde_json::to_vec(&catalogue::envelope(entry)).ok()?;
        Self::of_user(entry.seq, kind, &payload, watermark)
    }
}

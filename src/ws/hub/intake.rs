//! The hub as a sink of the stream's tail.

use std::sync::atomic::Ordering;

use chat_sdk::{EventType, Timestamp};
use metrics::counter;

use super::Hub;
use crate::{
    bus::tail::{Latest, TailEvent, TailSink},
    domain::known_users,
    model::entry::Owner,
    ws::{
        hub::cache::CachedEvent,
        push::{Push, live_frame},
    },
};

impl TailSink for Hub {
    fn on_event(&self, event: &TailEvent) {
        let conversation = match &event.owner {
            Owner::Conversation(conversation) => conversation,
            Owner::User(user) => {
                if let Some(revocation) = known_users::revoked_by(event.kind, &event.payload) {
                    self.end_revoked(user, &revocation);
                }
                if self.follows_own_logs() {
                    self.ingest_own(user, event);
                }
                return;
            }
        };
        let mut state = self.state.lock();
        state.cache.note(
            conversation,
            CachedEvent {
                seq: event.seq,
                kind: event.kind,
                payload: event.payload.clone(),
                at: Timestamp::now().as_millis().unsigned_abs() / 1000,
            },
        );
        let changes_members = matches!(
            event.kind,
            EventType::ConversationCreated
                | EventType::ConversationDeleted
                | EventType::ParticipantAdded
                | EventType::ParticipantRemoved
        );
        if !changes_members && !state.rooms.contains_key(conversation) {
            return;
        }
        let push = Push::from_envelope(
            conversation.clone(),
            event.seq,
            event.kind,
            &event.payload,
            self.watermark(),
        );
        match push {
            Some(push) => {
                state.memberships.note(&push);
                self.ingest(&mut state, push);
            }
            None => counter!("chat_tail_unreadable_total").increment(1),
        }
    }

    fn on_reference(&self, event: &TailEvent) {
        match &event.owner {
            Owner::Conversation(conversation) => self.fetch_up_to(conversation, event.seq),
            Owner::User(user) if self.follows_own_logs() => self.ingest_own(user, event),
            Owner::User(_) => {}
        }
    }

    fn on_latest(&self, latest: &Latest) {
        // Presence is of users' logs and goes to users who share a conversation: see `ws::presence`.
        let (Some(name), Owner::Conversation(conversation)) =
            (latest.kind.socket_event(), &latest.owner)
        else {
            return;
        };
        let Some(text) = live_frame(name, &latest.payload) else {
            counter!("chat_tail_unreadable_total").increment(1);
            return;
        };
        match &latest.only {
            Some(users) => {
                for user in users {
                    self.tell_user(user, &text);
                }
            }
            None => self.tell_room(conversation, &text, None),
        }
    }

    fn on_marker(&self, watermark: u64) {
        let state = self.state.lock();
        if state.gaps == 0 && state.unknown == 0 {
            self.watermark.fetch_max(watermark, Ordering::AcqRel);
        }
    }

    fn on_loss(&self) {
        // Delivered entries stay valid: they were in the log first. Entries that the stream lost are published again, and repetitions are dropped by seq.
    }
}

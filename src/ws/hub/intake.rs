//! The hub as a sink of the stream's tail.

use std::sync::atomic::Ordering;

use chat_sdk::{EventType, Timestamp};
use metrics::counter;

use super::Hub;
use crate::{
    bus::tail::{Latest, TailEvent, TailSink},
    domain::{entry::Owner, known_users},
    ws::{
        memory::CachedEvent,
        push::{Push, live_frame},
    },
};

impl TailSink for Hub {
    fn on_event(&self, event: &TailEvent) {
        let conversation = match &event.owner {
            Owner::Conversation(conversation) => conversation,
            Owner::User(user) => {
                if let Some(valid_from) = known_users::revoked_by(event.kind, &event.payload) {
                    self.end_revoked(user, valid_from);
                }
                return;
            }
        };
        let mut state = self.state.lock();
        state.memory.note(
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
                state.lately.note(&push);
                self.ingest(&mut state, push);
            }
            None => counter!("chat_tail_unreadable_total").increment(1),
        }
    }

    fn on_reference(&self, event: &TailEvent) {
        if let Owner::Conversation(conversation) = &event.owner {
            self.fetch_up_to(conversation, event.seq);
        }
    }

    fn on_latest(&self, latest: &Latest) {
        let name = match latest.kind {
            EventType::MessageRead => "message:read",
            EventType::MessageDelivered => "message:delivered",
            EventType::ConversationRead => "conversation:read",
            EventType::DraftUpdated => "draft:updated",
            // Presence goes to users who share a conversation: see `super::presence`.
            _ => return,
        };
        let Owner::Conversation(conversation) = &latest.owner else {
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

//! Revoked tokens: follows the stream for users whose sessions the host ended or who were deleted.

use std::sync::Arc;

use chat_sdk::EventType;

use crate::{
    bus::tail::{TailEvent, TailSink},
    domain::{
        KnownUsers,
        known_users::{self, Revocation},
    },
    model::entry::Owner,
};

/// Stream sink for users whose tokens are no longer valid.
pub struct Revoked(pub Arc<KnownUsers>);

impl TailSink for Revoked {
    fn on_event(&self, event: &TailEvent) {
        if let Owner::User(user) = &event.owner
            && let Some(revocation) = known_users::revoked_by(event.kind, &event.payload)
        {
            match (event.kind, revocation) {
                (EventType::UserDeleted, Revocation::Before(at)) => self.0.forget(user, at),
                (_, revocation) => self.0.revoke(user, revocation),
            }
        }
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {}
}

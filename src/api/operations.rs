//! All operations of the core.

use std::sync::Arc;

use chat_sdk::plugin::Routes;

use super::{
    blocks, consumers, conversations, erasure, events, health, held, log, messages, participants,
    pins, plugins, presence, reactions, receipts, scheduled, state::ApiState, unread, users,
};

/// All operations of the core.
pub(super) type CoreOperations = (
    health::HealthApi,
    users::UsersApi,
    conversations::ConversationsApi,
    participants::ParticipantsApi,
    messages::MessagesApi,
    reactions::ReactionsApi,
    pins::PinsApi,
    blocks::BlocksApi,
    scheduled::ScheduledApi,
    receipts::ReceiptsApi,
    unread::UnreadApi,
    log::LogApi,
    presence::PresenceApi,
    events::EventsApi,
    (
        erasure::ErasureApi,
        consumers::ConsumersApi,
        held::HeldApi,
        plugins::PluginsApi,
    ),
);

/// Returns the operations with their state, and the routes of the plugins.
pub(super) fn operations(state: &ApiState) -> (CoreOperations, Routes) {
    let ctx = || state.ctx.clone();
    let core = (
        health::HealthApi(
            state.health.clone(),
            state.plugins.clone(),
            Arc::clone(&state.ctx.hooks),
        ),
        users::UsersApi(ctx()),
        conversations::ConversationsApi(ctx()),
        participants::ParticipantsApi(ctx()),
        messages::MessagesApi(ctx()),
        reactions::ReactionsApi(ctx()),
        pins::PinsApi(ctx()),
        blocks::BlocksApi(ctx()),
        scheduled::ScheduledApi(ctx()),
        receipts::ReceiptsApi(ctx()),
        unread::UnreadApi(ctx()),
        log::LogApi(ctx()),
        presence::PresenceApi(ctx()),
        events::EventsApi(state.events.clone()),
        (
            erasure::ErasureApi(ctx()),
            consumers::ConsumersApi(state.consumers.clone()),
            held::HeldApi(ctx()),
            plugins::PluginsApi(state.registrations.clone()),
        ),
    );
    (core, state.plugins.routes())
}

//! Ephemeral events of plugins, from the broker to the sockets of this node.

use std::sync::Arc;

use serde_json::json;
use tokio_util::sync::CancellationToken;

use super::{commands::frame, hub::Hub};
use crate::{
    bus::{Bus, ephemeral::Channel},
    model::{
        entry::Owner,
        signals::{MAX_SIGNAL, Signal},
    },
};

/// Passes signals on until `stop`.
pub async fn run(bus: Bus, hub: Arc<Hub>, stop: CancellationToken) {
    let mut channel = Channel::<Signal>::signals(&bus);
    channel.listen().await;
    while let Some(signal) = stop.run_until_cancelled(channel.next()).await {
        if signal.data.json_len() > MAX_SIGNAL {
            continue;
        }
        let text = frame::event(&signal.frame, &json!(signal.data));
        match &signal.to {
            Owner::Conversation(conversation) => hub.tell_room(conversation, &text, None),
            Owner::User(user) => hub.tell_user(user, &text),
        }
    }
}

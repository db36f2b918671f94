//! Wakes timers for due items that other processes created.

use std::sync::Arc;

use chat_sdk::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Bus, ephemeral::Channel},
    domain::bells::DueNotifier,
};

/// Message between processes: something will be due at this time.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Due {
    at: Timestamp,
}

/// Announces this process's due items, and notifies the timers about those of others, until `stop`.
pub async fn run(bus: Bus, bells: Arc<DueNotifier>, stop: CancellationToken) {
    let mut channel = Channel::<Due>::due(&bus);
    channel.listen().await;
    let speaker = channel.speaker();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            at = bells.abroad.notified() => {
                speaker.say(&Due { at }).await;
            }
            due = channel.next() => bells.ring_from_abroad(due.at),
        }
    }
}

//! What rings bells for what other processes made.

use std::sync::Arc;

use chat_sdk::Timestamp;
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{Bus, ephemeral::Channel},
    domain::bells::DueNotifier,
};

/// What processes tell one another: something will be due at this moment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Due {
    at: Timestamp,
}

/// Tells the other processes when something will be due that this one made, and rings for what they made, until `stop`.
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

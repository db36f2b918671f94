//! What rings the bells that no verb of this process rings: the tail, and the other processes.

use std::sync::Arc;

use chat_sdk::{EventType, Timestamp};
use serde::{Deserialize, Serialize};
use tokio_util::sync::CancellationToken;

use crate::{
    bus::{
        Bus,
        ephemeral::Channel,
        tail::{TailEvent, TailSink},
    },
    domain::bells::Bells,
};

/// What an envelope says that has an end. Within texts quotes are escaped, so no text says it.
const MARK: &str = "\"expiresAt\":";
/// What processes tell one another: something was scheduled for this moment.
#[derive(Debug, Serialize, Deserialize)]
#[serde(rename_all = "camelCase")]
struct Due {
    at: Timestamp,
}

#[derive(Deserialize)]
struct Envelope {
    data: Data,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct Data {
    expires_at: Option<Timestamp>,
}

/// When the message that `event` tells of is over, if it ever is.
fn end_of(event: &TailEvent) -> Option<Timestamp> {
    if event.kind != EventType::MessageCreated {
        return None;
    }
    let text = std::str::from_utf8(&event.payload).ok()?;
    // Nearly no message has an end; this look costs less than reading what it says.
    if !text.contains(MARK) {
        return None;
    }
    serde_json::from_str::<Envelope>(text).ok()?.data.expires_at
}

/// Rings for messages with an end, as the tail shows them.
pub struct Ringer(pub Arc<Bells>);

impl TailSink for Ringer {
    fn on_event(&self, event: &TailEvent) {
        if let Some(at) = end_of(event) {
            self.0.expiring.ring(at);
        }
    }

    fn on_marker(&self, _watermark: u64) {}

    fn on_loss(&self) {}
}

/// Tells the other processes what this one schedules, and rings for what they do, until `stop`.
pub async fn run(bus: Bus, bells: Arc<Bells>, stop: CancellationToken) {
    let mut channel = Channel::<Due>::due(&bus);
    channel.listen().await;
    let speaker = channel.speaker();
    loop {
        tokio::select! {
            () = stop.cancelled() => return,
            at = bells.abroad.rung() => {
                speaker.say(&Due { at }).await;
            }
            due = channel.next() => bells.scheduled.ring(due.at),
        }
    }
}

#[cfg(test)]
mod tests {
    use chat_sdk::ConversationId;

    use super::*;
    use crate::domain::entry::Owner;

    fn event(kind: EventType, payload: &str) -> TailEvent {
        TailEvent {
            owner: Owner::Conversation(ConversationId::generate()),
            seq: 1,
            kind,
            payload: payload.to_owned().into(),
        }
    }

    #[test]
    fn only_a_message_with_an_end_of_its_own_rings() {
        let end = r#"{"id":"evt","data":{"content":"x","expiresAt":"2026-01-15T10:30:00.000Z"}}"#;
        let text = r#"{"id":"evt","data":{"content":"\"expiresAt\":1"}}"#;
        let inner = r#"{"id":"evt","data":{"metadata":{"expiresAt":"soon"}}}"#;
        let at = "2026-01-15T10:30:00.000Z".parse().ok();
        assert_eq!(end_of(&event(EventType::MessageCreated, end)), at);
        assert!(at.is_some());
        assert_eq!(end_of(&event(EventType::MessageUpdated, end)), None);
        assert_eq!(end_of(&event(EventType::MessageCreated, text)), None);
        assert_eq!(end_of(&event(EventType::MessageCreated, inner)), None);
    }
}

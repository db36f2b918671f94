//! Durable of the plugin: it gets every new message at least once, stores an entry for each command and publishes an event.

use std::{sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, EventType, MessageId, Timestamp, UserId,
    plugin::{
        BoxFuture, Consumer, ConsumerSpec, Delivery, HostError, NewEvent, PluginContext,
        StoredDate, Target, Verdict,
    },
};
use serde::Deserialize;

use crate::{ADDED, WordGamePlugin, api::WordGameEntry, entries::Entry};

/// First word of the messages that the plugin handles.
const COMMAND: &str = "!wordgame";
/// Pause before the redelivery of an event that could not be handled.
const AFTER_FAULT: Duration = Duration::from_secs(5);

/// Returns the text after the command; `None` if the message is no command.
pub fn command(content: &str) -> Option<&str> {
    let text = content.strip_prefix(COMMAND)?;
    let is_command = text.is_empty() || text.starts_with(char::is_whitespace);
    is_command.then(|| text.trim())
}

/// Handles messages until `context.stop`.
pub async fn run(plugin: Arc<WordGamePlugin>, context: PluginContext) -> Result<(), HostError> {
    let spec = ConsumerSpec {
        name: "messages".to_owned(),
        events: Some(vec![EventType::MessageCreated]),
        concurrency: 16,
        max_pending: 1000,
        ack_wait: Duration::from_secs(30),
    };
    let events = Arc::clone(&plugin.host.events);
    // A new durable starts at the end of the stream, so earlier messages are not listed.
    events.declare(spec.clone()).await?;
    let consumer: Arc<dyn Consumer> = Arc::new(Listener(plugin));
    // The work ends after `stop`, when all events in flight are handled.
    let work = events.run(spec, consumer, context.stop.clone());
    context.beat_while(work).await;
    Ok(())
}

/// The parts of the event that the plugin reads.
#[derive(Deserialize)]
struct Envelope {
    data: NewMessage,
}

#[derive(Deserialize)]
#[serde(rename_all = "camelCase")]
struct NewMessage {
    id: MessageId,
    conversation_id: ConversationId,
    sender_id: Option<UserId>,
    #[serde(default)]
    content: String,
    created_at: Timestamp,
}

/// Consumer of the durable.
struct Listener(Arc<WordGamePlugin>);

impl Consumer for Listener {
    fn handle(self: Arc<Self>, delivery: Delivery) -> BoxFuture<'static, Verdict> {
        Box::pin(async move {
            let Ok(envelope) = serde_json::from_slice::<Envelope>(&delivery.payload) else {
                return Verdict::Drop("its envelope cannot be parsed".to_owned());
            };
            match command(&envelope.data.content) {
                Some(_) => self.add(envelope.data).await,
                None => Verdict::Done,
            }
        })
    }
}

impl Listener {
    /// Stores an entry and publishes its event. Both are safe to repeat, so a crash between them loses nothing.
    async fn add(&self, message: NewMessage) -> Verdict {
        let entry = Entry {
            message_id: message.id,
            conversation_id: message.conversation_id.clone(),
            author_id: message.sender_id,
            at: StoredDate(message.created_at),
        };
        if self.0.entries.keep(&entry).await.is_err() {
            return Verdict::RetryAfter(AFTER_FAULT);
        }
        let key = format!("added {}", entry.message_id);
        let target = Target::Conversation(message.conversation_id);
        let event = NewEvent::new(ADDED, target, &WordGameEntry::from(entry)).once(key);
        match self.0.host.publisher.publish(event).await {
            Ok(_) => {
                metrics::counter!("chat_wordgame_entries_total").increment(1);
                Verdict::Done
            }
            Err(error) if error.is_temporary() => Verdict::RetryAfter(AFTER_FAULT),
            // For example because the conversation was deleted meanwhile.
            Err(error) => Verdict::Drop(format!("its event was refused: {}", error.code)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_the_first_word_makes_a_command() {
        assert_eq!(command("!wordgame one two "), Some("one two"));
        assert_eq!(command("!wordgame"), Some(""));
        assert_eq!(command("!wordgames"), None);
        assert_eq!(command("about !wordgame"), None);
    }
}

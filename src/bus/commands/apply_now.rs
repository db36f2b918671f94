//! Asks the writers of other processes to apply their log entries to the documents before those are read here.
//!
//! Requests that arrive while one is in flight are combined into the next. A writer that is dead or frozen does not answer; the caller then learns which
//! conversations are unconfirmed, and compares documents and log itself.

use std::{
    collections::{HashMap, HashSet},
    sync::Arc,
    time::Duration,
};

use async_nats::Message;
use chat_sdk::ConversationId;
use futures_util::future::join_all;
use tokio_util::sync::CancellationToken;

use super::serve::listen;
use crate::{
    bus::Bus,
    group::Group,
    model::{
        bounds,
        writers::{APPLIED_WITHIN, Writers},
    },
};

/// Time limit of a writer's answer: slightly longer than applying takes without a request.
const TIMEOUT: Duration = APPLIED_WITHIN.saturating_add(Duration::from_millis(50));
/// Size of an id in a request, in bytes: 30 characters, quotes and a comma.
const ID_BYTES: usize = 33;
/// Maximum number of conversations in one request.
const MAX_CONVERSATIONS: usize = bounds::NATS_GROUP / ID_BYTES - 1;

/// A conversation, and the process that writes for it.
type Question = (Arc<str>, ConversationId);

/// Requests to the writers of other processes; resolves to the conversations without an answer.
pub(super) type ApplyRequests = Group<Vec<Question>, Vec<ConversationId>>;

/// Starts the requesting task; it ends with the handle.
pub(super) fn start(bus: Bus) -> ApplyRequests {
    Group::start(move |questions: Vec<Vec<Question>>| {
        let bus = bus.clone();
        async move {
            let unique: HashSet<&Question> = questions.iter().flatten().collect();
            let mut of_node: HashMap<&Arc<str>, Vec<&ConversationId>> = HashMap::new();
            for (node, conversation) in unique {
                of_node.entry(node).or_default().push(conversation);
            }
            let bus = &bus;
            let asked = of_node.iter().flat_map(|(node, all)| {
                let parts = all.chunks(MAX_CONVERSATIONS);
                parts.map(move |part| async move {
                    let is_answered = ask(bus, node, part).await;
                    if is_answered { &[] } else { part }
                })
            });
            let unanswered = join_all(asked.collect::<Vec<_>>()).await;
            let unanswered: HashSet<&ConversationId> =
                unanswered.into_iter().flatten().copied().collect();
            let of = |question: &Vec<Question>| {
                let conversations = question.iter().map(|(_, conversation)| conversation);
                conversations
                    .filter(|conversation| unanswered.contains(conversation))
                    .cloned()
                    .collect()
            };
            questions.iter().map(of).collect()
        }
    })
}

/// Sends a request to one process; returns true if it answered in time.
async fn ask(bus: &Bus, node: &str, conversations: &[&ConversationId]) -> bool {
    if !bus.is_connected() {
        return false;
    }
    let Ok(payload) = serde_json::to_vec(conversations) else {
        return false;
    };
    let subject = bus.subjects.apply_now(node);
    let asked = bus.client.request(subject, payload.into());
    matches!(tokio::time::timeout(TIMEOUT, asked).await, Ok(Ok(_)))
}

/// Serves requests of other processes with the writer of this process `me`, until `stop`.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    let subject = bus.subjects.apply_now(&me);
    listen(&bus, subject, &stop, |question| {
        answer(&bus, &local, question)
    })
    .await;
}

fn answer(bus: &Bus, local: &Arc<dyn Writers>, question: Message) {
    let Some(reply_to) = question.reply else {
        return;
    };
    let Ok(conversations) = serde_json::from_slice::<Vec<ConversationId>>(&question.payload) else {
        tracing::warn!("could not read a request of another process");
        return;
    };
    let (client, local) = (bus.client.clone(), Arc::clone(local));
    tokio::spawn(async move {
        local.apply_now(&conversations).await;
        let _ = client.publish(reply_to, "".into()).await;
    });
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn largest_request_fits_into_a_message() {
        let ids = vec![ConversationId::generate(); MAX_CONVERSATIONS];
        let bytes = serde_json::to_vec(&ids).expect("JSON").len();
        assert!(bytes <= bounds::NATS_GROUP, "{bytes}");
    }
}

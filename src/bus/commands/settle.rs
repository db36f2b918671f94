//! Asks the writers of other processes to bring documents to where the log is, before they are read here.
//!
//! What is asked for while a question is under way goes together in the next. Nobody has to answer: documents come there by themselves, and the asker waits that long
//! at most.

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
    domain::command::{APPLIED_WITHIN, Writers},
    group::Group,
};

/// How long a writer is waited for: a little longer than documents take by themselves.
const PATIENCE: Duration = APPLIED_WITHIN.saturating_add(Duration::from_millis(50));
/// The most conversations of one question. The server takes 1 MiB at most by default, and an id has 30 characters.
const MAX_CONVERSATIONS: usize = 10_000;

/// The way to the writers of other processes: whom to ask for which conversation.
pub(super) type Settlers = Group<Vec<(Arc<str>, ConversationId)>, ()>;

/// Starts the task that asks; it ends with the handle.
pub(super) fn start(bus: Bus) -> Settlers {
    Group::start(move |questions: Vec<Vec<(Arc<str>, ConversationId)>>| {
        let bus = bus.clone();
        async move {
            let count = questions.len();
            let questions: HashSet<_> = questions.into_iter().flatten().collect();
            let mut of_node: HashMap<Arc<str>, Vec<ConversationId>> = HashMap::new();
            for (node, conversation) in questions {
                of_node.entry(node).or_default().push(conversation);
            }
            let bus = &bus;
            let asked = of_node.iter().flat_map(|(node, all)| {
                let parts = all.chunks(MAX_CONVERSATIONS);
                parts.map(move |part| ask(bus, node, part))
            });
            join_all(asked.collect::<Vec<_>>()).await;
            vec![(); count]
        }
    })
}

async fn ask(bus: &Bus, node: &str, conversations: &[ConversationId]) {
    let asked = async {
        if bus.is_connected()
            && let Ok(payload) = serde_json::to_vec(conversations)
        {
            let subject = bus.subjects.settling(node);
            if bus.client.request(subject, payload.into()).await.is_ok() {
                return;
            }
        }
        // Nobody can be asked: it comes by itself.
        std::future::pending::<()>().await;
    };
    let _ = tokio::time::timeout(PATIENCE, asked).await;
}

/// Answers other processes for the writer of this one, which is called `me`, until `stop`.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    let subject = bus.subjects.settling(&me);
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
        tracing::warn!("a question of another process cannot be read");
        return;
    };
    let (client, local) = (bus.client.clone(), Arc::clone(local));
    tokio::spawn(async move {
        local.settle(&conversations).await;
        let _ = client.publish(reply_to, "".into()).await;
    });
}

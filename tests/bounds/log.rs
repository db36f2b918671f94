//! Statements to MongoDB are bounded in bytes: however large and many the messages are, the outcome of each is known.

use std::sync::Arc;

use chat_sdk::{ConversationId, ConversationType, EventId, MessageType, Patch, Role, UserId};
use chat_service::{
    model::{
        command::{Command, Outcome, Request, WantedEdit},
        entry::{Entry, MessageCreated, MessageEdit, NewMember},
        error::Result,
        writers::{Announce, Writers},
    },
    store::{
        Store,
        log::{Backend, Writer, mongo::MongoBackend},
    },
};
use futures_util::future::join_all;
use serde_json::json;
use tokio::sync::oneshot;

use crate::support::{Sandbox, Service, large::near_limit};

/// An announcer that notifies nobody.
struct Silent;

impl Announce for Silent {
    fn announce(&self, _entries: &[Arc<Entry>]) {}
}

/// A writer on a real database, and a conversation with one member.
struct Scenario {
    writer: Writer,
    backend: Arc<MongoBackend>,
    alice: UserId,
    conversation: ConversationId,
    _place: Arc<Sandbox>,
}

impl Scenario {
    async fn start() -> Self {
        let place = Sandbox::new();
        let store = Store::connect(&place.mongodb_uri, &place.database)
            .await
            .expect("a store");
        store.prepare().await.expect("prepared");
        let backend = Arc::new(MongoBackend::new(Arc::new(store)));
        let (writer, actor) = Writer::new(Arc::clone(&backend), Arc::new(Silent));
        tokio::spawn(actor);
        let scenario = Self {
            writer,
            backend,
            alice: "alice".parse().expect("an id"),
            conversation: ConversationId::generate(),
            _place: place,
        };
        let create = Command::CreateConversation {
            kind: ConversationType::Group,
            settings: Default::default(),
            created_by: scenario.alice.clone(),
            members: vec![NewMember {
                user_id: scenario.alice.clone(),
                role: Role::Owner,
            }],
        };
        scenario.all(vec![create]).await[0]
            .as_ref()
            .expect("it is made");
        scenario
    }

    /// Submits all at once, and waits for the outcome of each.
    async fn all(&self, commands: Vec<Command>) -> Vec<Result<Outcome>> {
        let outcomes: Vec<_> = commands
            .into_iter()
            .map(|command| {
                let (reply, outcome) = oneshot::channel();
                let (actor, owner) = (self.alice.clone(), self.conversation.clone());
                let request = Request::new(owner, Some(actor), command);
                self.writer.submit(request, reply);
                outcome
            })
            .collect();
        let outcomes = join_all(outcomes).await;
        outcomes
            .into_iter()
            .map(|outcome| outcome.expect("an answer"))
            .collect()
    }
}

fn message(content: String) -> Command {
    Command::SendMessage(Box::new(MessageCreated {
        content,
        kind: MessageType::Text,
        attachments: Vec::new(),
        reply_to: None,
        thread_id: None,
        mentions: Vec::new(),
        metadata: None,
        client_message_id: None,
        request_hash: None,
        thread_reply_count: None,
        is_thread_expiring: false,
        here: Vec::new(),
        silent: false,
        forwarded_from: None,
        expires_at: None,
        schedule: None,
    }))
}

fn ids(outcomes: &[Result<Outcome>]) -> Vec<EventId> {
    outcomes
        .iter()
        .map(|outcome| {
            let outcome = outcome.as_ref().expect("a known outcome");
            outcome.entry.as_ref().expect("an entry").id.clone()
        })
        .collect()
}

#[tokio::test]
async fn concurrent_messages_of_32_mib_are_all_stored_with_a_known_outcome() {
    let scenario = Scenario::start().await;
    let messages = (0..256).map(|n| message(format!("{n:03}{}", "x".repeat(127 * 1024))));
    let sent = ids(&scenario.all(messages.collect()).await);
    let mut read = Vec::new();
    let mut after = 1;
    loop {
        let page = scenario
            .backend
            .read_log(&scenario.conversation.clone().into(), after, 1000)
            .await
            .expect("the log can be read");
        let bytes: usize = page.entries.len() * 127 * 1024;
        assert!(bytes < 5 * 1024 * 1024, "a page of {bytes} bytes");
        after += page.entries.len() as u64;
        read.extend(page.entries.iter().map(|entry| entry.id.clone()));
        if !page.has_more {
            break;
        }
    }
    assert_eq!(read, sent, "each once, in the order in which they came");
}

#[tokio::test]
async fn concurrent_edits_of_32_mib_are_all_applied() {
    let scenario = Scenario::start().await;
    let messages = (0..256).map(|n| message(format!("{n}"))).collect();
    let sent = ids(&scenario.all(messages).await);
    let edits = sent.iter().map(|id| {
        Command::EditMessage(WantedEdit {
            edit: MessageEdit {
                message_id: id.to_message_id(),
                content: format!("{}{}", id, "y".repeat(127 * 1024)),
                metadata: Patch::Keep,
                message_seq: None,
            },
            read_edit_seq: 0,
            keeps_content: false,
            is_unchanged: false,
        })
    });
    ids(&scenario.all(edits.collect()).await);
    let place = &scenario._place;
    let log = place.collection("log").await;
    for id in sent {
        let filter = mongodb::bson::doc! { "_id": id.as_str() };
        let stored = log
            .find_one(filter)
            .await
            .expect("readable")
            .expect("there");
        let edited = stored.get_document("edit").expect("an edit");
        let content = edited.get_str("content").expect("a text");
        assert!(content.starts_with(id.as_str()));
    }
}

#[tokio::test]
async fn large_messages_of_many_requests_at_once_are_all_answered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let id = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{id}/messages");
    let (alice, path) = (&alice, &path);
    // More than a batch holds. All messages of a full batch at once are in the test above, without the deadline of a request.
    join_all((0..48).map(|n| async move {
        let mut body = near_limit(&format!("{n:03}"));
        body["clientMessageId"] = json!(format!("c{n}"));
        // A busy machine may not read and write all of it within the deadline of a request.
        let answer = alice.post_repeating(path, body).await;
        assert!(matches!(answer.status, 200 | 201), "{answer}");
    }))
    .await;
    let sent = service.sandbox().log(&id).await;
    assert_eq!(sent.len(), 1 + 48);
    let metrics = service.internal().get("/api/metrics").await;
    let unknown = metrics
        .text
        .lines()
        .find(|line| line.starts_with("chat_log_unknown_outcomes_total"));
    assert_eq!(unknown, None, "every outcome was known");
}

//! What was begun to be written.

use std::sync::Arc;

use chat_sdk::{ConversationId, EventType, UserId};
use chat_service::{
    domain::{
        Context, DomainError, KnownUsers, Limits,
        command::{Reply, Request, Writers},
        drafts,
        latest::{LatestValue, PublishLatest},
    },
    store::Store,
};
use parking_lot::Mutex;

use super::super::column;
use crate::support::{Node, Service};

/// Keeps what it is told.
#[derive(Default)]
struct Told(Mutex<Vec<LatestValue>>);

impl PublishLatest for Told {
    fn publish(&self, value: LatestValue) {
        self.0.lock().push(value);
    }
}

/// Writes nothing: a draft stands in no log.
struct Nobody;

impl Writers for Nobody {
    fn submit(&self, request: Request, _reply: Reply) {
        panic!("a draft became {request:?}");
    }
}

async fn context(node: &Node, told: &Arc<Told>) -> Context {
    let place = node.place();
    let store = Store::connect(&place.mongodb_uri, &place.database)
        .await
        .expect("a store");
    Context {
        store: Arc::new(store),
        writers: Arc::new(Nobody),
        latest: Arc::clone(told) as _,
        limits: Limits {
            max_message_bytes: 100,
            max_group_members: 100,
        },
        known_users: Arc::new(KnownUsers::default()),
    }
}

#[tokio::test]
async fn a_draft_is_shown_to_its_writer_alone_until_it_is_cleared() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let told = Arc::new(Told::default());
    let ctx = context(&service, &told).await;
    let user: UserId = "bob".parse().expect("an id");
    let conversation: ConversationId = group.parse().expect("an id");
    let path = format!("/api/conversations/{group}");

    for text in ["$readSeq", "$readSeq", "half a sentence"] {
        let draft = Some(text.to_owned());
        drafts::set(&ctx, &user, &conversation, draft)
            .await
            .expect("is kept");
        assert_eq!(bob.get(&path).await.expect(200)["draft"], text);
    }
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(
        column(&listed["conversations"], "draft"),
        ["half a sentence"]
    );
    assert!(alice.get(&path).await.expect(200).get("draft").is_none());
    drafts::set(&ctx, &user, &conversation, Some("  ".to_owned()))
        .await
        .expect("is cleared");
    assert!(bob.get(&path).await.expect(200).get("draft").is_none());

    let told = told.0.lock();
    assert_eq!(told.len(), 3, "what did not change is told to nobody");
    for value in told.iter() {
        assert_eq!(value.envelope.kind, EventType::DraftUpdated);
        assert_eq!(value.only.as_deref(), Some(&[user.clone()][..]));
    }
}

#[tokio::test]
async fn a_draft_is_no_longer_than_a_message_and_only_members_have_one() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let ctx = context(&service, &Arc::default()).await;
    let conversation: ConversationId = group.parse().expect("an id");
    let set = async |user: &str, text: &str| {
        let user: UserId = user.parse().expect("an id");
        drafts::set(&ctx, &user, &conversation, Some(text.to_owned())).await
    };
    let Err(DomainError::Validation(faults)) = set("alice", &"x".repeat(101)).await else {
        panic!("too long a draft was taken");
    };
    assert_eq!(faults[0].field, "draft");
    assert!(matches!(
        set("mallory", "hello").await,
        Err(DomainError::NotFound(_))
    ));
}

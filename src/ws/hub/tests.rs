//! Tests of rooms that an entry created: on a node that has just started the entry may be minutes old.

use std::{sync::Arc, time::Duration};

use chat_sdk::{ConversationId, EventId, EventType};
use serde_json::json;
use tokio::sync::Notify;

use super::{super::socket::WakeTarget, *};
use crate::domain::known_users::TokenIssue;

fn beginning(conversation: &ConversationId, user: &UserId) -> Push {
    let payload = json!({ "id": EventId::generate(), "data": { "participantIds": [user] } });
    let kind = EventType::ConversationCreated;
    let payload = payload.to_string();
    Push::from_envelope(conversation.clone(), 1, kind, payload.as_bytes(), 0).expect("an envelope")
}

#[tokio::test]
async fn room_created_by_an_entry_needs_a_check_until_confirmed() {
    let hub = hub().await;
    let conversation = ConversationId::generate();
    let bob: UserId = "bob".parse().expect("a user id");
    let socket = |id| {
        Socket::new(
            id,
            bob.clone(),
            TokenIssue::default(),
            WakeTarget::Task(Notify::new()),
        )
    };
    let (early, late) = (socket(1), socket(2));
    assert!(hub.register(&early, 9) && hub.register(&late, 9));
    let push = beginning(&conversation, &bob);
    hub.ingest(&mut hub.state.lock(), push);
    assert!(!early.is_empty(), "a registered socket receives the entry");

    assert_eq!(hub.join(&early, &conversation, 1), JoinOutcome::NeedsCheck);
    // The log continues to seq 5, and the other entries arrive later.
    hub.confirm(&conversation, 5);
    assert_eq!(hub.join(&late, &conversation, 1), JoinOutcome::NeedsCheck);
    hub.confirm(&conversation, 1);
    assert_eq!(
        hub.join(&late, &conversation, 1),
        JoinOutcome::AlreadyJoined
    );
}

/// Returns a hub whose store does not answer. The driver connects only on first use.
async fn hub() -> Arc<Hub> {
    let store = Store::connect("mongodb://127.0.0.1:1", "none").await;
    let seal = Seal::new(b"secret", "epoch");
    Hub::new(Arc::new(store.expect("an address")), seal)
}

#[tokio::test]
async fn the_cost_of_connecting_is_linear_in_the_number_of_conversations() {
    let hub = hub().await;
    let bob: UserId = "bob".parse().expect("a user id");
    let socket = |id| {
        Socket::new(
            id,
            bob.clone(),
            TokenIssue::default(),
            WakeTarget::Task(Notify::new()),
        )
    };
    let (early, late) = (socket(1), socket(2));
    assert!(hub.register(&early, 9));
    let ids: Vec<ConversationId> = (0..20_000).map(|_| ConversationId::generate()).collect();
    for id in &ids {
        hub.ingest(&mut hub.state.lock(), beginning(id, &bob));
        hub.state.lock().memberships.note(&beginning(id, &bob));
    }
    let began = std::time::Instant::now();
    assert!(hub.register(&late, 9));
    let mut memberships: Vec<MembershipOf> = ids[..10_000]
        .iter()
        .map(|id| MembershipOf {
            conversation: id.clone(),
            intervals: vec![(1, None)],
            former_until: 0,
        })
        .collect();
    hub.overlay(&bob, &mut memberships).await;
    assert_eq!(memberships.len(), ids.len());
    assert!(memberships.iter().all(|one| one.intervals == [(1, None)]));
    for id in &ids {
        assert_eq!(hub.join(&late, id, 1), JoinOutcome::NeedsCheck);
    }
    let mut rooms = Vec::new();
    loop {
        let some = late.rooms_after(rooms.last(), 1000);
        if some.is_empty() {
            break;
        }
        rooms.extend(some);
    }
    assert_eq!(rooms.len(), ids.len());
    hub.unregister(&late);
    hub.unregister(&early);
    assert!(hub.state.lock().rooms.is_empty());
    let took = began.elapsed();
    // Comparing every pair of conversations takes a minute.
    assert!(took < Duration::from_secs(5), "{took:?}");
}

#[tokio::test]
async fn early_entries_are_held_within_a_bound_and_released() {
    let hub = hub().await;
    let bob: UserId = "bob".parse().expect("a user id");
    let socket = Socket::new(
        1,
        bob.clone(),
        TokenIssue::default(),
        WakeTarget::Task(Notify::new()),
    );
    assert!(hub.register(&socket, 9));
    let large = "x".repeat(bounds::EVENT - 1000);
    let payload = json!({ "id": EventId::generate(), "data": { "content": large } }).to_string();
    let early = |id: &ConversationId, seq| {
        let kind = EventType::MessageCreated;
        let push = Push::from_envelope(id.clone(), seq, kind, payload.as_bytes(), 0);
        push.expect("an envelope")
    };
    let ids: Vec<ConversationId> = (0..4).map(|_| ConversationId::generate()).collect();
    for id in &ids {
        hub.ingest(&mut hub.state.lock(), beginning(id, &bob));
        for seq in 3..100 {
            hub.ingest(&mut hub.state.lock(), early(id, seq));
        }
    }
    {
        let state = hub.state.lock();
        let held = state.rooms.values().flat_map(|room| room.held.values());
        let bytes: usize = held.map(|push| push.held_len()).sum();
        assert_eq!(bytes, state.held_bytes);
        assert!(bytes > bounds::HELD_EVENTS / 2 && bytes <= bounds::HELD_EVENTS);
    }
    hub.unregister(&socket);
    assert_eq!(hub.state.lock().held_bytes, 0);
}

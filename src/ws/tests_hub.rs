//! Rooms that an entry made: on a node that has just started it may be minutes old.

use std::sync::Arc;

use chat_sdk::{ConversationId, EventId, EventType};
use serde_json::json;
use tokio::sync::Notify;

use super::{super::socket::Exit, *};

fn beginning(conversation: &ConversationId, user: &UserId) -> Push {
    let payload = json!({ "id": EventId::generate(), "data": { "participantIds": [user] } });
    let kind = EventType::ConversationCreated;
    let payload = payload.to_string();
    Push::from_envelope(conversation.clone(), 1, kind, payload.as_bytes(), 0).expect("an envelope")
}

#[tokio::test]
async fn a_room_that_an_entry_made_is_behind_until_the_documents_are_no_further() {
    // The driver connects when it is first asked for something, and nothing is.
    let store = Store::connect("mongodb://127.0.0.1:1", "none").await;
    let seal = Seal::new(b"secret", "epoch");
    let hub = Hub::new(Arc::new(store.expect("an address")), seal);
    let conversation = ConversationId::generate();
    let bob: UserId = "bob".parse().expect("a user id");
    let socket = |id| Socket::new(id, bob.clone(), None, Exit::Task(Notify::new()));
    let (early, late) = (socket(1), socket(2));
    assert!(hub.register(&early, 9) && hub.register(&late, 9));
    let push = beginning(&conversation, &bob);
    hub.ingest(&mut hub.state.lock(), push);
    assert!(!early.is_empty(), "who is registered hears of it");

    assert_eq!(hub.join(&early, &conversation, 1), Joined::Behind);
    // The log goes on to number 5, and the rest comes by later.
    hub.confirm(&conversation, 5);
    assert_eq!(hub.join(&late, &conversation, 1), Joined::Behind);
    hub.confirm(&conversation, 1);
    assert_eq!(hub.join(&late, &conversation, 1), Joined::Before);
}

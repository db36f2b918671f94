//! Invalid frames.

use serde_json::json;
use tokio_tungstenite::tungstenite::Message;

use crate::support::Service;

#[tokio::test]
async fn a_broken_frame_is_answered_with_an_error_event() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    for broken in [
        "",
        "hello",
        "[]",
        "{\"id\":\"1\"}",
        "{\"event\":7}",
        "{\"id\":{},\"event\":\"ping\"}",
    ] {
        socket.raw(Message::text(broken));
        let error = socket.next("error").await;
        assert_eq!(error["data"]["code"], "VALIDATION_ERROR", "{broken}");
        assert!(
            error["data"]["message"].is_string() && error["data"]["timestamp"].is_string(),
            "{error}"
        );
    }
    socket.ok("ping", json!({})).await;
}

#[tokio::test]
async fn a_client_that_sends_only_broken_frames_is_closed_with_4400() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    for _ in 0..20 {
        socket.raw(Message::text("hello"));
    }
    assert_eq!(socket.closed().await, 4400);
}

#[tokio::test]
async fn a_binary_frame_is_closed_with_4400() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    socket.raw(Message::binary(vec![1, 2, 3]));
    assert_eq!(socket.closed().await, 4400);
}

#[tokio::test]
async fn a_frame_that_is_too_large_is_closed_with_1009() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    socket.raw(Message::text("x".repeat(300 * 1024)));
    assert_eq!(socket.closed().await, 1009);
}

#[tokio::test]
async fn ids_come_back_as_they_were_sent() {
    let service = Service::start().await;
    let mut socket = service.user("alice").await.connect().await;
    for id in [json!("a"), json!(7), json!("ünïcode"), json!(null)] {
        socket.raw(Message::text(
            json!({ "id": id, "event": "ping" }).to_string(),
        ));
        assert_eq!(socket.next("ack").await["id"], id);
    }
}

#[tokio::test]
async fn pings_of_a_client_are_answered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let mut socket = alice.connect().await;
    // The client's own library checks the pong; here the socket only has to stay in good order.
    socket.raw(Message::Ping("x".into()));
    socket.raw(Message::Pong("unasked".into()));
    socket.ok("ping", json!({})).await;
}

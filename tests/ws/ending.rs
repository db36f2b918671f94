//! Shutdown of a node: clients are asked to reconnect.

use crate::support::Service;

#[tokio::test]
async fn a_stopping_node_tells_its_sockets_to_reconnect() {
    let mut process = Service::builder().spawn().await;
    let alice = process.user("alice").await;
    let mut socket = alice.connect().await;
    process.terminate();
    let reconnect = socket.next("reconnect").await;
    assert!(reconnect["data"]["reason"].is_string(), "{reconnect}");
    let pause = reconnect["data"]["retryAfterMs"].as_u64().expect("a pause");
    assert!(pause <= 30_000, "{pause}");
    assert_eq!(socket.closed().await, 1012);
    let status = process.ended().await;
    assert!(status.success(), "{status}\n{}", process.log());
}

#[tokio::test]
async fn commands_sent_before_the_stop_are_answered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let body =
        |n: u32| serde_json::json!({ "conversationId": conversation, "content": n.to_string() });
    let ids: Vec<String> = (0..50)
        .map(|n| socket.post("message:send", body(n)))
        .collect();
    let first = socket.ack(&ids[0]).await;
    assert_eq!(first["success"], true);
    service.begin_stop();
    assert_eq!(socket.closed().await, 1012);
    let acked = socket
        .take_arrived()
        .iter()
        .filter(|frame| frame["data"]["success"] == true)
        .count()
        + 1;
    let place = std::sync::Arc::clone(service.sandbox());
    service.stop();
    let stored = place.log(&conversation).await.len() - 1;
    assert!(acked <= stored, "{acked} acknowledged, {stored} stored");
}

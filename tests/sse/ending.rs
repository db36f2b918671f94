//! The end of an event stream.

use std::time::Duration;

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{EventStream, Service, eventually_within};

#[tokio::test]
async fn a_stream_ends_with_its_token_and_says_so() {
    let service = Service::builder()
        .env("AUTH_JWT_LEEWAY_SECONDS", "0")
        .start()
        .await;
    service.user("alice").await;
    let token = service.token("alice").expires_in(2).sign();
    let query = format!("?token={token}");
    let mut stream = EventStream::open(&service.ws_base(), &query, &[])
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    stream.find("connected").await;
    let error = stream.find("error").await;
    assert_eq!(error.data["data"]["code"], "UNAUTHORIZED", "{error:?}");
    assert_eq!(error.id, None);
    assert_eq!(stream.next().await, None, "then it is over");
}

#[tokio::test]
async fn a_stopping_node_tells_its_streams_when_to_reconnect() {
    let mut process = Service::builder().spawn().await;
    let alice = process.user("alice").await;
    let (mut stream, _) = EventStream::follow(&process, &alice, None).await;
    process.terminate();
    let reconnect = stream.find("reconnect").await;
    assert_eq!(reconnect.data["data"]["reason"], "restart");
    assert_eq!(
        reconnect.data["data"]["retryAfterMs"].as_u64(),
        stream.retry(),
        "browsers wait by themselves"
    );
    assert_eq!(stream.next().await, None, "then it is over");
    let status = process.ended().await;
    assert!(status.success(), "{status}\n{}", process.log());
}

#[tokio::test]
async fn a_reader_that_stalls_is_dropped_and_delays_nobody() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "1")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob, &carol]).await;
    let address = service.ws_base().replace("http://", "");
    let mut slow = TcpStream::connect(&address).await.expect("connects");
    let request = format!(
        "GET /api/events HTTP/1.1\r\nHost: chat\r\nAuthorization: Bearer {}\r\n\r\n",
        bob.token
    );
    slow.write_all(request.as_bytes()).await.expect("writes");
    let mut head = [0; 12];
    slow.read_exact(&mut head).await.expect("reads");
    assert_eq!(&head, b"HTTP/1.1 200");

    let (mut good, _) = EventStream::follow(&service, &carol, None).await;
    let mut sender = alice.connect().await;
    let text = "x".repeat(16_000);
    let is_free = || async {
        let query = format!("?token={}", bob.token);
        let open = EventStream::open(&service.ws_base(), &query, &[]).await;
        open.ok().map(drop)
    };
    let mut sent = 0;
    while is_free().await.is_none() {
        assert!(sent < 5_000, "it is still open after {sent} messages");
        let body = json!({ "conversationId": conversation, "content": text });
        let ids: Vec<String> = (0..10)
            .map(|_| sender.post("message:send", body.clone()))
            .collect();
        for id in ids {
            assert_eq!(sender.ack(&id).await["success"], true);
        }
        sent += 10;
        for _ in 0..10 {
            good.find("message:new").await;
        }
    }
    // The connection is closed too: the bytes that the kernel still holds arrive, and then its end.
    let mut rest = Vec::new();
    let drained = tokio::time::timeout(Duration::from_secs(5), slow.read_to_end(&mut rest)).await;
    assert!(drained.is_ok(), "the connection is still open");
    eventually_within(Duration::from_secs(5), "a place is free", is_free).await;
}

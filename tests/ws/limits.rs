//! Limits: sockets per user, and clients that do not read.

use serde_json::json;

use crate::support::{Connect, ConnectError, Service, eventually, switch};

#[tokio::test]
async fn sockets_per_user_are_limited() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "2")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mut one = alice.connect().await;
    let two = alice.connect().await;
    let refused = alice.try_connect(Connect::default()).await;
    assert_eq!(refused.err(), Some(ConnectError::Closed(4429)));
    // Other users and existing connections are not affected.
    bob.connect().await;
    one.ok("ping", json!({})).await;
    drop(two);
    eventually("a place is free again", || async {
        alice.try_connect(Connect::default()).await.ok()
    })
    .await;
}

#[tokio::test]
async fn sockets_that_open_at_the_same_moment_keep_the_bound_too() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "2")
        .start()
        .await;
    let alice = service.user("alice").await;
    let attempts = (0..10).map(|_| alice.try_connect(Connect::default()));
    let sockets: Vec<_> = futures_util::future::join_all(attempts)
        .await
        .into_iter()
        .flatten()
        .collect();
    assert!(sockets.len() <= 2, "{} sockets are open", sockets.len());
}

#[tokio::test]
async fn a_client_that_does_not_read_is_closed_with_4408_and_delays_nobody() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let carol = service.user("carol").await;
    let conversation = service.group(&alice, &[&bob, &carol]).await;
    let how = Connect {
        token: Some(bob.token.clone()),
        ..Connect::default()
    };
    // Switched, and never read from.
    let (mut slow, _) = switch(service.ws_url(), &how).await.expect("switches");
    let mut good = carol.connect().await;
    let mut sender = alice.connect().await;
    let text = "x".repeat(16_000);
    // Loopback alone buffers some megabytes.
    for n in 0..800 {
        let body = json!({ "conversationId": conversation, "content": format!("{n} {text}") });
        sender.ok("message:send", body).await;
        let heard = good.next("message:new").await;
        assert!(
            heard["data"]["content"]
                .as_str()
                .is_some_and(|heard| heard.starts_with(&format!("{n} ")))
        );
    }
    use futures_util::StreamExt;
    use tokio_tungstenite::tungstenite::Message;
    let mut numbers = Vec::new();
    let code = tokio::time::timeout(std::time::Duration::from_secs(20), async {
        loop {
            match slow.next().await {
                Some(Ok(Message::Close(frame))) => return frame.map(|frame| u16::from(frame.code)),
                Some(Ok(Message::Text(text))) => {
                    let frame: serde_json::Value = serde_json::from_str(&text).expect("JSON");
                    numbers.extend(frame["seq"].as_u64());
                }
                Some(Ok(_)) => {}
                Some(Err(_)) | None => return None,
            }
        }
    })
    .await
    .expect("the slow reader is closed");
    // Its buffers are full, so the close frame may not fit; the received frames are complete and in order in either case.
    assert!(code.is_none_or(|code| code == 4408), "{code:?}");
    assert!(numbers.len() < 800, "it was closed before the end");
    assert!(
        numbers.windows(2).all(|pair| pair[0] + 1 == pair[1]),
        "{numbers:?}"
    );
}

//! Rate limits on sockets: refusals and their contents, exempt requests, and closed clients.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::{Error, client::IntoClientRequest};

use crate::support::{
    Connect, ConnectError, INTERNAL_SECRET, Node, Service, TokenBy, User, eventually_within,
    many_groups,
};

/// Checks a refusal by rate, and returns the milliseconds that it asks to wait.
fn wait_of(error: &Value) -> u64 {
    assert_eq!(error["code"], "RATE_LIMITED", "{error}");
    let wait = error["retryAfterMs"].as_u64();
    wait.filter(|wait| *wait >= 1)
        .unwrap_or_else(|| panic!("no retryAfterMs: {error}"))
}

async fn group(service: &Service, owner: &User) -> String {
    let body = json!({ "type": "group", "participantIds": [], "name": "A group" });
    let host = service.internal().acting_for(&owner.id);
    let made = host.post("/api/conversations", body).await.expect(201);
    made["id"].as_str().expect("an id").to_owned()
}

#[tokio::test]
async fn messages_are_counted_over_rest_and_sockets_together() {
    let service = Service::builder()
        .env("RATE_LIMIT_MESSAGES", "3/60s")
        .env("RATE_LIMIT_API", "5/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = group(&service, &alice).await;
    let message = json!({ "conversationId": conversation, "content": "hello" });
    let mut one = alice.connect().await;
    let mut two = alice.connect().await;
    one.ok("message:send", message.clone()).await;
    two.ok("message:send", message.clone()).await;
    alice.say(&conversation, "hello").await;
    for socket in [&mut one, &mut two] {
        let error = socket.refused("message:send", message.clone()).await;
        assert!(wait_of(&error) <= 20_000, "{error}");
    }
    let path = format!("/api/conversations/{conversation}/messages");
    alice
        .post(&path, json!({ "content": "hello" }))
        .await
        .expect_error(429, "RATE_LIMITED");
    // Other commands and other users are not affected.
    one.ok("ping", json!({})).await;
    let direct = json!({ "receiverId": "alice", "content": "hello" });
    bob.connect().await.ok("message:send", direct).await;
}

#[tokio::test]
async fn commands_over_the_limit_are_refused_until_the_window_frees_up() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "3/6s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mut socket = alice.connect().await;
    socket.ok("ping", json!({})).await;
    socket.ok("ping", json!({})).await;
    // REST and sockets share it.
    alice.get("/api/users/me").await.expect(200);
    let error = socket.refused("ping", json!({})).await;
    assert!(wait_of(&error) <= 2_000, "{error}");
    let message = error["message"].as_str().expect("a sentence");
    assert!(message.contains("at most 3 in 6 s"), "{error}");
    bob.connect().await.ok("ping", json!({})).await;
    let socket = tokio::sync::Mutex::new(socket);
    eventually_within(Duration::from_secs(10), "there is room again", || async {
        let ack = socket.lock().await.send("ping", json!({})).await;
        (ack["success"] == true).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_client_that_ignores_rate_limits_is_closed_with_4429() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "1/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let mut socket = alice.connect().await;
    for _ in 0..=201 {
        socket.post("ping", json!({}));
    }
    assert_eq!(socket.closed().await, 4429);
    // The client may reconnect and receives events.
    alice.connect().await;
}

#[tokio::test]
async fn bad_tokens_of_one_address_are_told_to_back_off() {
    let service = Service::builder()
        .env("RATE_LIMIT_AUTH", "2/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let forged = service.token("alice").secret(&"x".repeat(48)).sign();
    for (token_by, code) in [
        (TokenBy::Header, 4401),
        (TokenBy::FirstFrame, 4401),
        (TokenBy::Query, 4429),
        (TokenBy::FirstFrame, 4429),
    ] {
        let how = Connect {
            token_by,
            token: Some(forged.clone()),
            ..Connect::default()
        };
        let refused = alice.try_connect(how).await.err();
        assert_eq!(refused, Some(ConnectError::Closed(code)), "by {token_by:?}");
    }
    // From the same address a valid token is accepted, and an expired one gets its own error.
    alice.connect().await;
    let expired = Connect {
        token: Some(service.token("alice").expires_in(-600).sign()),
        ..Connect::default()
    };
    let refused = alice.try_connect(expired).await.err();
    assert_eq!(refused, Some(ConnectError::Closed(4401)));
}

#[tokio::test]
async fn a_socket_with_the_internal_secret_is_not_limited() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "1/60s")
        .env("RATE_LIMIT_MESSAGES", "1/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let conversation = group(&service, &alice).await;
    let how = Connect {
        internal_secret: Some(INTERNAL_SECRET.to_owned()),
        ..Connect::default()
    };
    let mut socket = alice.connect_with(how).await;
    for n in 0..20 {
        let message = json!({ "conversationId": conversation, "content": n.to_string() });
        socket.ok("message:send", message).await;
        socket.ok("ping", json!({})).await;
    }
    // No request was counted against her.
    let mut plain = alice.connect().await;
    plain.ok("ping", json!({})).await;
    wait_of(&plain.refused("ping", json!({})).await);
}

/// Switches with a secret. Returns the status and `Retry-After` of the refusal.
async fn refused_secret(node: &Node, secret: &str) -> (u16, Option<u64>) {
    let mut request = node.ws_url().into_client_request().expect("a request");
    let value = secret.parse().expect("a header");
    request.headers_mut().insert("X-Internal-Secret", value);
    let authority = request.uri().authority().expect("an address").to_string();
    let stream = TcpStream::connect(authority).await.expect("a connection");
    match tokio_tungstenite::client_async(request, stream).await {
        Err(Error::Http(response)) => {
            let wait = response.headers().get("Retry-After");
            let wait = wait.and_then(|value| value.to_str().ok()?.parse().ok());
            (response.status().as_u16(), wait)
        }
        other => panic!("was not refused: {other:?}"),
    }
}

#[tokio::test]
async fn a_wrong_secret_opens_no_socket_and_lifts_no_limit() {
    let service = Service::builder()
        .env("RATE_LIMIT_AUTH", "1/60s")
        .start()
        .await;
    assert_eq!(refused_secret(&service, "guess").await, (401, None));
    let (status, wait) = refused_secret(&service, "guess").await;
    assert_eq!(status, 429);
    assert!(
        wait.is_some_and(|wait| (1..=60).contains(&wait)),
        "{wait:?}"
    );
}

#[tokio::test]
async fn reconnects_of_a_user_with_very_many_rooms_wait_for_the_limit() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "6/3s")
        .start()
        .await;
    let (crowd, mate) = (service.user("crowd").await, service.user("mate").await);
    many_groups(&service, &crowd, &mate, 2_000).await;
    // The first connection tells the number of rooms; each of the other five counts as two requests.
    let begun = Instant::now();
    for _ in 0..6 {
        let socket = crowd.connect().await;
        assert_eq!(socket.connected["hasMoreRooms"], true);
    }
    let elapsed = begun.elapsed();
    assert!(elapsed >= Duration::from_millis(1_900), "{elapsed:?}");
}

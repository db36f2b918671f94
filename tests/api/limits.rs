//! Rate limits over REST: refusals and their headers, requests that are exempt, and trusted sources of a client's address.

use std::time::Duration;

use serde_json::json;

use crate::support::{Answer, Client, Service, User, eventually_within, large::near_limit};

/// Size that one request includes, in bytes.
const FREE_BYTES: u64 = 64 * 1024;

/// The three headers as numbers: limit, remaining, reset.
fn standing(answer: &Answer) -> [u64; 3] {
    ["Limit", "Remaining", "Reset"].map(|name| {
        let value = answer.header(&format!("RateLimit-{name}"));
        let number = value.parse();
        number.unwrap_or_else(|_| panic!("RateLimit-{name} is \"{value}\": {answer}"))
    })
}

fn is_uncounted(answer: &Answer) -> bool {
    answer.header("RateLimit-Limit").is_empty()
}

/// Checks a rate limit error, and returns the seconds that it asks to wait.
fn refusal(answer: Answer, limit: u64) -> u64 {
    let [told, remaining, reset] = standing(&answer);
    let wait: u64 = answer.header("Retry-After").parse().expect("a number");
    let body = answer.expect_error(429, "RATE_LIMITED");
    let message = body["message"].as_str().expect("a sentence");
    assert!(message.contains(&format!("at most {limit} in")), "{body}");
    assert_eq!((told, remaining), (limit, 0));
    assert!(wait >= 1 && reset >= wait, "{wait} {reset}");
    wait
}

/// A group that the host creates, so that no request of its owner is counted.
async fn group(service: &Service, owner: &User) -> String {
    let body = json!({ "type": "group", "participantIds": [], "name": "A group" });
    let host = service.internal().acting_for(&owner.id);
    let made = host.post("/api/conversations", body).await.expect(201);
    super::id(&made)
}

async fn me(client: &Client) -> Answer {
    client.get("/api/users/me").await
}

#[tokio::test]
async fn requests_over_the_limit_are_refused_until_the_window_frees_up() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "3/6s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    for remaining in [2, 1, 0] {
        let answer = me(&alice).await;
        let [limit, left, reset] = standing(&answer);
        assert_eq!((answer.status, limit, left), (200, 3, remaining));
        assert!((1..=6).contains(&reset), "{reset}");
    }
    let wait = refusal(me(&alice).await, 3);
    assert!(wait <= 2, "one more is free every 2 s, not after {wait}");
    // Every other operation is refused too, but only for her.
    refusal(alice.get("/api/conversations").await, 3);
    me(&bob).await.expect(200);
    eventually_within(Duration::from_secs(10), "there is room again", || async {
        let answer = me(&alice).await;
        (answer.status == 200).then_some(())
    })
    .await;
}

#[tokio::test]
async fn messages_have_a_limit_of_their_own() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "3/60s")
        .env("RATE_LIMIT_MESSAGES", "2/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = group(&service, &alice).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let sent = alice.post(&path, json!({ "content": "one" })).await;
    assert_eq!(standing(&sent)[..2], [2, 1]);
    sent.expect(201);
    let direct = json!({ "receiverId": bob.id, "content": "two" });
    let sent = alice.post("/api/messages", direct.clone()).await;
    assert_eq!(standing(&sent)[..2], [2, 0]);
    sent.expect(201);
    refusal(alice.post(&path, json!({ "content": "three" })).await, 2);
    refusal(alice.post("/api/messages", direct).await, 2);
    // Other requests do not count against the limit of messages, and a rejected send has no effect.
    let history = alice.get(&path).await;
    assert_eq!(standing(&history)[..2], [3, 2]);
    let history = history.expect(200);
    assert_eq!(super::column(&history["messages"], "content"), ["one"]);
}

#[tokio::test]
async fn the_host_is_never_limited() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "1/60s")
        .env("RATE_LIMIT_MESSAGES", "1/60s")
        .env("RATE_LIMIT_AUTH", "1/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let conversation = group(&service, &alice).await;
    let host = service.internal().acting_for("alice");
    for n in 0..5 {
        let path = format!("/api/conversations/{conversation}/messages");
        let sent = host.post(&path, json!({ "content": n.to_string() })).await;
        assert!(is_uncounted(&sent), "{sent}");
        sent.expect(201);
        me(&host).await.expect(200);
        service.user("alice").await;
    }
    // No request was counted against her.
    assert_eq!(standing(&me(&alice).await)[..2], [1, 0]);
}

#[tokio::test]
async fn health_and_documents_are_never_limited() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "1/60s")
        .start()
        .await;
    let nobody = service.anonymous();
    for _ in 0..5 {
        for path in ["/health", "/health/live", "/api/health", "/api/docs-json"] {
            let answer = nobody.get(path).await;
            assert!(is_uncounted(&answer), "{answer}");
            answer.expect(200);
        }
    }
}

#[tokio::test]
async fn bad_tokens_and_secrets_of_one_address_are_limited_together() {
    let service = Service::builder()
        .env("RATE_LIMIT_AUTH", "3/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let nobody = service.anonymous();
    let forged = service.token("alice").secret(&"x".repeat(48)).sign();
    let forger = nobody.with("Authorization", &format!("Bearer {forged}"));
    let thief = nobody.with("X-Internal-Secret", "guess");
    me(&forger).await.expect_error(401, "UNAUTHORIZED");
    thief
        .get("/api/status")
        .await
        .expect_error(401, "UNAUTHORIZED");
    let third = me(&forger).await;
    assert_eq!(standing(&third)[..2], [3, 0]);
    third.expect_error(401, "UNAUTHORIZED");
    refusal(me(&forger).await, 3);
    refusal(thief.get("/api/status").await, 3);
    refusal(me(&thief).await, 3);
    // A request with valid credentials is still served from the same address.
    me(&alice).await.expect(200);
    service.internal().get("/api/status").await.expect(200);
    // A user with an expired token gets the error for expired tokens.
    let old = service.token("alice").expires_in(-600).sign();
    let late = nobody.with("Authorization", &format!("Bearer {old}"));
    me(&late).await.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn a_token_of_the_host_with_a_wrong_claim_is_no_failed_proof() {
    let service = Service::builder()
        .env("RATE_LIMIT_AUTH", "1/600s")
        .start()
        .await;
    let now = jsonwebtoken::get_current_timestamp();
    let by = |token: String| {
        let bearer = format!("Bearer {token}");
        service.anonymous().with("Authorization", &bearer)
    };
    let of = |name: &str, value| by(service.token("alice").claim(name, value).sign());
    let wrong = [
        of("exp", json!("soon")),
        of("exp", json!(now * 1_000)),
        of("nbf", json!(now + 600)),
        of("iat", json!(now + 600)),
        of("sub", json!("me")),
        of("sub", json!(["alice"])),
        by(service.token("alice").expires_in(-600).sign()),
    ];
    for client in wrong {
        me(&client).await.expect_error(401, "UNAUTHORIZED");
    }
    // The first forged token gets that error; the second one is over the limit.
    let forger = by(service.token("alice").secret(&"x".repeat(48)).sign());
    me(&forger).await.expect_error(401, "UNAUTHORIZED");
    refusal(me(&forger).await, 1);
}

#[tokio::test]
async fn requests_without_a_user_are_counted_by_address() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "2/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let nobody = service.anonymous();
    me(&nobody).await.expect_error(401, "UNAUTHORIZED");
    let last = nobody.get("/api/status").await;
    assert_eq!(standing(&last)[..2], [2, 0]);
    last.expect_error(401, "UNAUTHORIZED");
    refusal(me(&nobody).await, 2);
    assert_eq!(standing(&me(&alice).await)[..2], [2, 1]);
}

#[tokio::test]
async fn a_stranger_cannot_choose_an_address() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "2/60s")
        .env("TRUSTED_PROXIES", "none")
        .start()
        .await;
    for (n, status) in [401, 401, 429, 429].into_iter().enumerate() {
        let spoofer = service
            .anonymous()
            .with("X-Forwarded-For", &format!("203.0.113.{n}"))
            .with("X-Real-IP", &format!("203.0.113.{n}"));
        assert_eq!(me(&spoofer).await.status, status, "attempt {n}");
    }
}

#[tokio::test]
async fn behind_a_trusted_proxy_each_client_is_counted_by_itself() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "2/60s")
        .env("TRUSTED_PROXIES", "127.0.0.1,10.0.0.0/8")
        .start()
        .await;
    let from = |hops: &str| service.anonymous().with("X-Forwarded-For", hops);
    // A forwarding header that the client sends itself does not evade the limit.
    for (n, status) in [401, 401, 429].into_iter().enumerate() {
        let client = from(&format!("198.51.100.{n}, 203.0.113.7, 10.0.0.5"));
        assert_eq!(me(&client).await.status, status, "attempt {n}");
    }
    assert_eq!(me(&from("203.0.113.8")).await.status, 401);
    let other = service.anonymous().with("X-Real-IP", "203.0.113.7");
    assert_eq!(me(&other).await.status, 429);
}

#[tokio::test]
async fn off_means_no_limit_and_no_headers() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for _ in 0..50 {
        let answer = me(&alice).await;
        assert!(is_uncounted(&answer), "{answer}");
        answer.expect(200);
    }
}

#[tokio::test]
async fn a_large_page_counts_as_several_requests_over_rest_and_sockets() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "20/60s")
        .start()
        .await;
    let alice = service.user("alice").await;
    let conversation = group(&service, &alice).await;
    let path = format!("/api/conversations/{conversation}/messages");
    for n in 0..12 {
        let message = near_limit(&format!("Message {n}"));
        let host = service.internal().acting_for(&alice.id);
        host.post_repeating(&path, message).await.expect(201);
    }
    let page = format!("{path}?limit=100");
    let answer = alice.get(&page).await;
    let parts = (answer.text.len() as u64 - 1) / FREE_BYTES;
    assert!((10..=16).contains(&parts), "{parts} parts");
    assert_eq!(standing(&answer)[1], 19, "the page itself is one request");
    // The next request pays for the rest of the page.
    assert_eq!(standing(&me(&alice).await)[1], 18 - parts);
    // The limit has room for no second page, but each user pays for their own pages only, and the host for none.
    alice.get(&page).await.expect(200);
    refusal(me(&alice).await, 20);
    let bob = service.user("bob").await;
    me(&bob).await.expect(200);
    let host = service.internal().acting_for(&alice.id);
    assert!(is_uncounted(&host.get(&page).await));

    // A page over a socket is a quarter as large.
    let carol = service.user("carol").await;
    let conversation = group(&service, &carol).await;
    let path = format!("/api/conversations/{conversation}/messages");
    for n in 0..4 {
        let host = service.internal().acting_for(&carol.id);
        let message = near_limit(&format!("Message {n}"));
        host.post_repeating(&path, message).await.expect(201);
    }
    let mut socket = carol.connect().await;
    let list = json!({ "conversationId": conversation, "limit": 100 });
    let before = standing(&me(&carol).await)[1];
    socket.send("messages:list", list).await;
    let after = standing(&me(&carol).await)[1];
    let paid = before - after;
    assert!(
        (3..=6).contains(&paid),
        "two requests and the parts of the page: {paid}"
    );
}

#[tokio::test]
async fn joining_and_leaving_count_as_several_requests() {
    let service = Service::builder()
        .env("RATE_LIMIT_API", "12/60s")
        .start()
        .await;
    let host = service.internal();
    let (owner, alice) = (service.user("owner").await, service.user("alice").await);
    let body = json!({ "type": "public", "participantIds": [], "name": "Square" });
    let made = host
        .acting_for(&owner.id)
        .post_repeating("/api/conversations", body)
        .await
        .expect(201);
    let path = format!("/api/conversations/{}", super::id(&made));
    let join = alice.post(&format!("{path}/join"), json!({})).await;
    assert_eq!(standing(&join)[1], 11, "{join}");
    let leave = alice.post(&format!("{path}/leave"), json!({})).await;
    assert_eq!(standing(&leave)[1], 6, "{leave}");
    // The third one pays for the second, and leaves too little for a fourth.
    let join = alice.post(&format!("{path}/join"), json!({})).await;
    assert_eq!(standing(&join)[1], 1, "{join}");
    refusal(me(&alice).await, 12);
    let host = host.acting_for(&alice.id);
    let joined = host.post(&format!("{path}/join"), json!({})).await;
    assert!(is_uncounted(&joined), "{joined}");
}

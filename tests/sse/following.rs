//! Events that arrive while a stream is open.

use std::time::Duration;

use serde_json::json;

use crate::support::{EventStream, INTERNAL_SECRET, Service, eventually_within};

#[tokio::test]
async fn events_come_in_order_under_their_names_with_the_cursor_as_the_id() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let bearer = format!("Bearer {}", bob.token);
    let headers = [("Authorization", bearer.as_str())];
    let mut stream = EventStream::open(&service.ws_base(), "", &headers)
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    let connected = stream.next().await.expect("an event");
    assert_eq!(connected.name, "connected", "comes first");
    assert_eq!(connected.data["data"]["userId"], "bob");
    assert_eq!(connected.data["data"]["rooms"], json!([conversation]));
    assert_eq!(
        connected.id.as_deref(),
        connected.data["data"]["cursor"].as_str()
    );
    assert!(stream.retry().is_some_and(|pause| pause >= 1000));

    let mut socket = bob.connect().await;
    for n in 0..20 {
        alice.say(&conversation, &format!("message {n}")).await;
    }
    for n in 0..20 {
        let event = stream.next().await.expect("an event");
        let frame = socket.next("message:new").await;
        assert_eq!(event.name, "message:new");
        assert_eq!(event.data["data"]["content"], format!("message {n}"));
        assert_eq!(event.data["seq"], 2 + n);
        assert_eq!(event.id.as_deref(), event.data["cursor"].as_str());
        for field in ["event", "id", "seq", "data"] {
            assert_eq!(event.data[field], frame[field], "as on a socket");
        }
    }
}

#[tokio::test]
async fn a_new_membership_and_its_end_are_followed_live() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let (mut stream, _) = EventStream::follow(&service, &bob, None).await;
    let conversation = service.group(&alice, &[&bob]).await;
    stream.find("conversation:new").await;
    alice.say(&conversation, "welcome").await;
    stream.find("message:new").await;
    let path = format!("/api/conversations/{conversation}/participants/bob");
    alice.delete(&path).await.expect(204);
    stream.find("conversation:removed").await;
    alice.say(&conversation, "he is gone").await;
    let other = service.group(&alice, &[&bob]).await;
    let next = stream.next().await.expect("an event");
    assert_eq!(
        (next.name.as_str(), &next.data["data"]["id"]),
        ("conversation:new", &json!(other))
    );
}

#[tokio::test]
async fn a_quiet_stream_sends_heartbeats_with_a_fresh_cursor() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let (mut stream, _) = EventStream::follow(&service, &alice, None).await;
    let first = stream.last_id();
    let limit = Duration::from_secs(25);
    stream.read_until(limit, |parser| parser.comments > 0).await;
    let later = stream.last_id();
    assert_ne!(first, later, "the beat carries a new cursor");
    drop(stream);
    alice.say(&conversation, "missed").await;
    let (_stream, missed) = EventStream::follow(&service, &alice, Some(&later)).await;
    let contents: Vec<_> = missed
        .iter()
        .map(|event| event.data["data"]["content"].clone())
        .collect();
    assert_eq!(contents, [json!("missed")]);
}

#[tokio::test]
async fn an_open_stream_makes_a_user_online_unless_the_host_opened_it() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = [
        ("X-Internal-Secret", INTERNAL_SECRET),
        ("X-Acting-User", "bob"),
    ];
    let opened = EventStream::open(&service.ws_base(), "", &host).await;
    let mut followed = opened.unwrap_or_else(|refusal| panic!("{refusal:?}"));
    followed.find("connected").await;
    let (stream, _) = EventStream::follow(&service, &alice, None).await;
    let is = async |user: &str, status: &str| {
        let path = format!("/api/users/{user}/presence");
        let what = format!("{user} is {status}");
        eventually_within(Duration::from_secs(15), &what, || async {
            let presence = bob.get(&path).await.expect(200);
            (presence["status"] == status).then_some(())
        })
        .await;
    };
    is("alice", "online").await;
    // Alice came after him, so bob would be there by now.
    is("bob", "offline").await;
    drop(stream);
    is("alice", "offline").await;
}

//! Receipts over sockets: marks, and the recipients of their events.

use serde_json::{Value, json};

use crate::support::{Service, Socket, User};

async fn put(user: &User, path: &str, body: Option<Value>) -> Value {
    user.request("PUT".parse().expect("a method"), path, body)
        .await
        .expect(200)
}

/// The names of everything that `socket` got before a message to `fence` came.
async fn until_fence(sender: &User, fence: &str, socket: &mut Socket) -> Vec<String> {
    let id = sender.say(fence, "fence").await["id"].clone();
    socket
        .find("the fence", |frame| frame["data"]["id"] == id)
        .await;
    let frames = socket.take_arrived();
    let names = frames.iter().filter_map(|frame| frame["event"].as_str());
    names.map(str::to_owned).collect()
}

#[tokio::test]
async fn reading_is_pushed_to_members_and_the_badge_to_own_devices() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let first = alice.say(&group, "one").await;
    let second = alice.say(&group, "two").await;
    let mut a = alice.connect().await;
    let mut phone = bob.connect().await;
    let mut tablet = bob.connect().await;

    let ack = phone
        .ok("message:read", json!({ "messageId": first["id"] }))
        .await;
    for socket in [&mut a, &mut phone, &mut tablet] {
        let read = socket.next("message:read").await;
        assert!(read.get("seq").is_none(), "it stands in no log: {read}");
        assert_eq!(
            read["data"],
            json!({
                "messageId": first["id"], "conversationId": group, "userId": "bob", "readAt": ack["readAt"],
            })
        );
    }
    for socket in [&mut phone, &mut tablet] {
        let badge = socket.next("conversation:read").await;
        assert_eq!(
            badge["data"],
            json!({
                "conversationId": group, "userId": "bob", "upToMessageId": first["id"], "readSeq": first["seq"],
                "unreadCount": 1, "mentionCount": 0, "readAt": ack["readAt"],
            })
        );
    }
    let count = tablet
        .ok("conversation:read", json!({ "conversationId": group }))
        .await;
    assert_eq!(count["count"], 1);
    assert_eq!(
        a.next("message:read").await["data"]["messageId"],
        second["id"]
    );
    assert_eq!(
        phone.next("conversation:read").await["data"]["unreadCount"],
        0
    );
    // Marking unread is private.
    let path = format!(
        "/api/messages/{}/read",
        second["id"].as_str().expect("an id")
    );
    bob.delete(&path).await.expect(204);
    let badge = phone.next("conversation:read").await;
    assert_eq!(badge["data"]["unreadCount"], 1);
    assert_eq!(badge["data"]["upToMessageId"], first["id"]);
    let names = until_fence(&alice, &group, &mut a).await;
    assert!(
        !names.iter().any(|name| name == "conversation:read"),
        "{names:?}"
    );
}

#[tokio::test]
async fn read_marks_that_change_nothing_are_not_pushed() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let first = alice.say(&group, "one").await;
    let second = alice.say(&group, "two").await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let ack = b
        .ok("message:read", json!({ "messageId": second["id"] }))
        .await;
    a.next("message:read").await;
    for message in [&second, &first] {
        let again = b
            .ok("message:read", json!({ "messageId": message["id"] }))
            .await;
        assert_eq!(again["readAt"], ack["readAt"]);
    }
    // Later events are delivered, so an earlier event that has not arrived by then never will.
    let third = alice.say(&group, "three").await;
    b.ok("message:read", json!({ "messageId": third["id"] }))
        .await;
    let read = a.next("message:read").await;
    assert_eq!(read["data"]["messageId"], third["id"]);
}

#[tokio::test]
async fn delivery_is_pushed_to_the_members() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let message = alice.say(&group, "one").await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let ack = b
        .ok("message:delivered", json!({ "messageId": message["id"] }))
        .await;
    let delivered = a.next("message:delivered").await;
    assert_eq!(
        delivered["data"],
        json!({
            "messageId": message["id"], "conversationId": group, "userId": "bob", "deliveredAt": ack["deliveredAt"],
        })
    );
    let error = a
        .refused(
            "message:read",
            json!({ "messageId": "msg_00000000000000000000000000" }),
        )
        .await;
    assert_eq!(error["code"], "NOT_FOUND");
}

#[tokio::test]
async fn with_receipts_off_only_own_devices_are_notified() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let settings = json!({ "features": { "reads": false } });
    let group = service.group_with(&alice, &[&bob], settings).await;
    let fence = service.group(&alice, &[&bob]).await;
    let message = alice.say(&group, "one").await;
    let other = alice.say(&fence, "one").await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    for event in ["message:delivered", "message:read"] {
        b.ok(event, json!({ "messageId": message["id"] })).await;
    }
    assert_eq!(b.next("conversation:read").await["data"]["unreadCount"], 0);
    // The receipt that is pushed comes after the ones that must not be pushed.
    b.ok("message:read", json!({ "messageId": other["id"] }))
        .await;
    let told = a
        .find("a receipt", |frame| {
            matches!(
                frame["event"].as_str(),
                Some("message:read" | "message:delivered")
            )
        })
        .await;
    assert_eq!(told["data"]["messageId"], other["id"]);
}

#[tokio::test]
async fn in_a_large_conversation_receipts_reach_the_author_and_the_reader_alone() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let crowd: Vec<String> = (0..998).map(|n| format!("m{n}")).collect();
    let users: Vec<Value> = crowd
        .iter()
        .map(|id| json!({ "externalUserId": id, "name": id }))
        .collect();
    let sync = json!({ "users": users });
    service
        .internal()
        .post("/api/users/sync/batch", sync)
        .await
        .expect(200);
    let group = service.group(&alice, &[&bob, &carol]).await;
    let fence = service.group(&alice, &[&bob, &carol]).await;
    let members = format!("/api/conversations/{group}/participants");
    for some in crowd.chunks(200) {
        let body = json!({ "userIds": some });
        alice.post(&members, body).await.expect(201);
    }
    let message = alice.say(&group, "to all").await;
    let other = alice.say(&fence, "to few").await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let mut c = carol.connect().await;
    for message in [&message, &other] {
        let path = format!(
            "/api/messages/{}/read",
            message["id"].as_str().expect("an id")
        );
        put(&bob, &path, None).await;
    }
    for socket in [&mut a, &mut b] {
        let read = socket.next("message:read").await;
        assert_eq!(read["data"]["messageId"], message["id"]);
    }
    // Carol receives the event of the small conversation first, so the large one sent her none.
    let read = c.next("message:read").await;
    assert_eq!(read["data"]["messageId"], other["id"]);
}

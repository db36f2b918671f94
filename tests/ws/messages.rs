//! Messages over sockets: sending, changing, deleting, reading.

use serde_json::{Value, json};

use crate::support::{Service, eventually};

#[tokio::test]
async fn a_message_reaches_both_sides_and_its_sender_gets_the_stored_message() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.direct(&alice, &bob).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;

    let sent = json!({
        "conversationId": conversation,
        "content": "hello",
        "mentions": ["bob"],
        "metadata": { "order": 17, "deep": { "list": [1, null, "x"] } },
        "attachments": [{ "url": "https://files.example/1.png", "name": "1.png", "mimeType": "image/png" }],
        "clientMessageId": "m-1",
    });
    let ack = a.ok("message:send", sent.clone()).await;
    let stored = &ack["message"];
    assert!(
        stored["id"]
            .as_str()
            .is_some_and(|id| id.starts_with("msg_") && id.len() == 30),
        "{stored}"
    );
    assert_eq!(stored["senderId"], "alice");
    assert_eq!(stored["type"], "text");
    assert_eq!(stored["isEdited"], false);
    assert_eq!(stored["isDeleted"], false);
    for field in [
        "conversationId",
        "content",
        "mentions",
        "metadata",
        "clientMessageId",
    ] {
        assert_eq!(stored[field], sent[field], "{field}");
    }
    assert_eq!(
        stored["attachments"][0]["url"],
        sent["attachments"][0]["url"]
    );

    for socket in [&mut a, &mut b] {
        let pushed = socket.next("message:new").await;
        assert_eq!(pushed["data"], *stored, "what is pushed is what was stored");
        assert_eq!(
            pushed["seq"], stored["seq"],
            "the frame bears the number of the entry"
        );
        assert!(
            pushed["id"]
                .as_str()
                .is_some_and(|id| id.starts_with("evt_")),
            "{pushed}"
        );
        assert!(
            pushed["cursor"]
                .as_str()
                .is_some_and(|cursor| !cursor.is_empty()),
            "{pushed}"
        );
    }
    let path = format!("/api/messages/{}", stored["id"].as_str().expect("an id"));
    assert_eq!(bob.get(&path).await.expect(200), *stored);
}

#[tokio::test]
async fn seqs_are_dense_over_all_senders_and_transports() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    for round in 0..10 {
        let body = json!({ "conversationId": conversation, "content": format!("a{round}") });
        let first = a.post("message:send", body);
        let body = json!({ "conversationId": conversation, "content": format!("b{round}") });
        b.ok("message:send", body).await;
        bob.say(&conversation, "over REST").await;
        assert_eq!(a.ack(&first).await["success"], true);
    }
    let mut seen = crate::support::Seen::default();
    for _ in 0..30 {
        seen.note([a.next("message:new").await]);
    }
    seen.assert_complete(&conversation, 2, 31);
    let history = alice.history(&conversation).await;
    let numbers: Vec<u64> = history
        .iter()
        .filter_map(|message| message["seq"].as_u64())
        .collect();
    assert_eq!(numbers, (2..=31).collect::<Vec<u64>>());
}

#[tokio::test]
async fn messages_of_one_socket_keep_the_order_in_which_they_were_sent() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let ids: Vec<String> = (0..200)
        .map(|n| {
            socket.post(
                "message:send",
                json!({ "conversationId": conversation, "content": n.to_string() }),
            )
        })
        .collect();
    for id in &ids {
        assert_eq!(socket.ack(id).await["success"], true);
    }
    for n in 0..200 {
        assert_eq!(
            socket.next("message:new").await["data"]["content"],
            n.to_string()
        );
    }
}

#[tokio::test]
async fn a_message_to_a_receiver_creates_the_direct_conversation() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let ack = a
        .ok(
            "message:send",
            json!({ "receiverId": "bob", "content": "hello" }),
        )
        .await;
    let conversation = ack["message"]["conversationId"]
        .as_str()
        .expect("an id")
        .to_owned();
    let new = b.next("conversation:new").await;
    assert_eq!(new["data"]["id"], conversation.as_str());
    assert_eq!(new["seq"], 1);
    let message = b.next("message:new").await;
    assert_eq!(
        (&message["data"]["content"], &message["seq"]),
        (&json!("hello"), &json!(2))
    );
    // Back, into the same conversation.
    let ack = b
        .ok(
            "message:send",
            json!({ "receiverId": "alice", "content": "hi" }),
        )
        .await;
    assert_eq!(ack["message"]["conversationId"], conversation.as_str());
    assert_eq!(service.direct(&alice, &bob).await, conversation);

    let error = a
        .refused(
            "message:send",
            json!({ "receiverId": "nobody", "content": "x" }),
        )
        .await;
    assert_eq!(error["code"], "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "receiverId");
}

#[tokio::test]
async fn changes_and_deletions_are_pushed_to_everybody() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let body = json!({ "conversationId": conversation, "content": "helo" });
    let id = b.ok("message:send", body).await["message"]["id"].clone();

    let ack = b
        .ok(
            "message:edit",
            json!({ "messageId": id, "content": "hello" }),
        )
        .await;
    assert_eq!(ack["message"]["content"], "hello");
    assert_eq!(ack["message"]["isEdited"], true);
    for socket in [&mut a, &mut b] {
        let updated = socket.next("message:updated").await;
        let data = &updated["data"];
        assert_eq!(data["messageId"], id);
        assert_eq!(data["conversationId"], conversation.as_str());
        assert_eq!(data["content"], "hello");
        assert_eq!(data["isEdited"], true);
        assert!(data["updatedAt"].is_string());
        assert_eq!(updated["seq"], 3);
    }
    // Another's message may be deleted by the owner, but not changed.
    let error = a
        .refused(
            "message:edit",
            json!({ "messageId": id, "content": "mine" }),
        )
        .await;
    assert_eq!(error["code"], "FORBIDDEN");
    a.ok("message:delete", json!({ "messageId": id })).await;
    for socket in [&mut a, &mut b] {
        let deleted = socket.next("message:deleted").await;
        assert_eq!(deleted["data"]["messageId"], id);
        assert_eq!(deleted["data"]["conversationId"], conversation.as_str());
        assert!(deleted["data"]["deletedAt"].is_string());
        assert_eq!(deleted["seq"], 4);
    }
    let history = bob.history(&conversation).await;
    assert_eq!(history[0]["isDeleted"], true);
    assert_ne!(history[0]["content"], "hello", "a tombstone keeps no text");
    let error = b
        .refused(
            "message:edit",
            json!({ "messageId": id, "content": "again" }),
        )
        .await;
    assert_eq!(error["code"], "CONFLICT");
}

#[tokio::test]
async fn a_repeated_client_message_id_is_the_same_message_over_socket_and_rest() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut a = alice.connect().await;
    let mut b = bob.connect().await;
    let path = format!("/api/conversations/{conversation}/messages");
    let rest = json!({ "content": "once", "clientMessageId": "c-1" });
    let body =
        json!({ "conversationId": conversation, "content": "once", "clientMessageId": "c-1" });

    let first = a.ok("message:send", body.clone()).await["message"]["id"].clone();
    assert_eq!(
        a.ok("message:send", body.clone()).await["message"]["id"],
        first
    );
    assert_eq!(
        alice.post(&path, rest.clone()).await.expect(200)["id"],
        first
    );
    // All at once, over both ways.
    let again: Vec<String> = (0..10)
        .map(|_| a.post("message:send", body.clone()))
        .collect();
    assert_eq!(
        alice.post(&path, rest.clone()).await.expect(200)["id"],
        first
    );
    for id in again {
        assert_eq!(a.ack(&id).await["message"]["id"], first);
    }
    // The id is the sender's own.
    let other = bob.post(&path, rest).await.expect(201);
    assert_ne!(other["id"], first);
    // Other content is another message.
    let changed =
        json!({ "conversationId": conversation, "content": "twice", "clientMessageId": "c-1" });
    assert_eq!(a.refused("message:send", changed).await["code"], "CONFLICT");
    assert_eq!(alice.history(&conversation).await.len(), 2);
    assert_eq!(b.next("message:new").await["data"]["id"], first);
    assert_eq!(b.next("message:new").await["data"]["id"], other["id"]);
}

#[tokio::test]
async fn messages_can_be_listed_and_synced_over_the_socket() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let mut ids = Vec::new();
    for n in 0..7 {
        ids.push(alice.say(&conversation, &n.to_string()).await["id"].clone());
    }
    let mut socket = bob.connect().await;
    let texts = |answer: &Value| -> Vec<String> {
        let messages = answer["messages"].as_array().expect("messages");
        messages
            .iter()
            .map(|message| message["content"].as_str().expect("a text").to_owned())
            .collect()
    };

    let all = socket
        .ok("messages:list", json!({ "conversationId": conversation }))
        .await;
    assert_eq!(
        texts(&all),
        ["6", "5", "4", "3", "2", "1", "0"],
        "newest first"
    );
    assert_eq!(all["hasMore"], false);

    let page = socket
        .ok(
            "messages:list",
            json!({ "conversationId": conversation, "limit": 3 }),
        )
        .await;
    assert_eq!(texts(&page), ["6", "5", "4"]);
    assert_eq!(page["hasMore"], true);
    let next = json!({ "conversationId": conversation, "limit": 3, "before": page["nextCursor"] });
    let page = socket.ok("messages:list", next).await;
    assert_eq!(texts(&page), ["3", "2", "1"]);
    let after = json!({ "conversationId": conversation, "after": ids[4] });
    assert_eq!(
        texts(&socket.ok("messages:list", after).await),
        ["5", "6"],
        "with after, oldest first"
    );

    let sync = json!({ "conversationId": conversation, "lastMessageId": ids[2] });
    let synced = socket.ok("messages:sync", sync).await;
    assert_eq!(texts(&synced), ["3", "4", "5", "6"]);
    assert_eq!(synced["hasMore"], false);
    let sync = json!({ "conversationId": conversation, "lastMessageId": ids[6] });
    assert_eq!(texts(&socket.ok("messages:sync", sync).await), [""; 0]);
}

#[tokio::test]
async fn a_sender_reads_their_message_at_once() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    for n in 0..20 {
        let body = json!({ "conversationId": conversation, "content": n.to_string() });
        let id = socket.ok("message:send", body).await["message"]["id"].clone();
        let newest = socket
            .ok(
                "messages:list",
                json!({ "conversationId": conversation, "limit": 1 }),
            )
            .await;
        assert_eq!(newest["messages"][0]["id"], id);
    }
}

#[tokio::test]
async fn many_sockets_of_one_user_all_hear_everything() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.direct(&alice, &bob).await;
    let mut sockets = Vec::new();
    for _ in 0..10 {
        sockets.push(bob.connect().await);
    }
    let id = alice.say(&conversation, "hello").await["id"].clone();
    for socket in &mut sockets {
        assert_eq!(socket.next("message:new").await["data"]["id"], id);
    }
    // One that goes does not take the others with it.
    drop(sockets.pop());
    let id = alice.say(&conversation, "again").await["id"].clone();
    for socket in &mut sockets {
        assert_eq!(socket.next("message:new").await["data"]["id"], id);
    }
    // And the conversation's document says so too.
    let path = format!("/api/conversations/{conversation}");
    eventually("the last message is shown", || async {
        let shown = bob.get(&path).await.expect(200);
        (shown["lastMessage"]["id"] == id || shown["lastMessage"].is_null()).then_some(())
    })
    .await;
}

//! Operations of members on messages, over sockets: reactions as commands, and all events, live and after a resume.

use reqwest::Method;
use serde_json::{Value, json};

use crate::support::{Seen, Service, Socket, User};

struct Group {
    service: Service,
    alice: User,
    bob: User,
    id: String,
}

impl Group {
    async fn new() -> Self {
        let service = Service::start().await;
        let (alice, bob) = (service.user("alice").await, service.user("bob").await);
        let id = service.group(&alice, &[&bob]).await;
        Self {
            service,
            alice,
            bob,
            id,
        }
    }

    async fn message(&self) -> String {
        let sent = self.alice.say(&self.id, "hello").await;
        sent["id"].as_str().expect("an id").to_owned()
    }
}

#[tokio::test]
async fn reactions_are_given_and_taken_back_over_a_socket() {
    let group = Group::new().await;
    let message = group.message().await;
    let mut a = group.alice.connect().await;
    let mut b = group.bob.connect().await;
    let data = json!({ "messageId": message, "emoji": "\u{2764}" });
    let ack = b.ok("reaction:add", data.clone()).await;
    let heart = "\u{2764}\u{fe0f}";
    assert_eq!(
        ack["reactions"],
        json!([{ "emoji": heart, "count": 1, "userIds": ["bob"], "reactedByMe": true }])
    );
    let added = a.next("reaction:added").await;
    let data_of = |frame: &Value| {
        let mut data = frame["data"].clone();
        assert!(data["timestamp"].is_string());
        data.as_object_mut().expect("an object").remove("timestamp");
        data
    };
    let expected = |count: u32| {
        json!({
            "messageId": message, "conversationId": group.id, "emoji": heart, "userId": "bob",
            "totalCount": count,
        })
    };
    assert_eq!(data_of(&added), expected(1));
    assert_eq!(added["seq"], 3);
    b.ok("reaction:add", data.clone()).await;
    let ack = b.ok("reaction:remove", data).await;
    assert_eq!(ack["reactions"], json!([]));
    let removed = a.next("reaction:removed").await;
    assert_eq!(data_of(&removed), expected(0));
    assert_eq!(removed["seq"], 4, "reacting twice was no entry");
}

#[tokio::test]
async fn a_reaction_over_a_socket_is_refused_as_over_rest() {
    let group = Group::new().await;
    let message = group.message().await;
    let mallory = group.service.user("mallory").await;
    let mut b = group.bob.connect().await;
    let mut m = mallory.connect().await;
    for event in ["reaction:add", "reaction:remove"] {
        for (data, field) in [
            (json!({ "messageId": message, "emoji": "a" }), "emoji"),
            (json!({ "messageId": message, "emoji": 7 }), "emoji"),
            (json!({ "messageId": "x", "emoji": "👍" }), "messageId"),
            (json!({ "messageId": message, "emoji": "👍", "x": 1 }), "x"),
        ] {
            let error = b.refused(event, data.clone()).await;
            assert_eq!(error["code"], "VALIDATION_ERROR", "{event} {data}");
            assert_eq!(error["details"][0]["field"], field, "{event} {data}");
        }
        let data = json!({ "messageId": message, "emoji": "👍" });
        assert_eq!(m.refused(event, data).await["code"], "NOT_FOUND");
    }
    let off = json!({ "features": { "reactions": false } });
    let path = format!("/api/conversations/{}", group.id);
    group.alice.patch(&path, off).await.expect(200);
    let data = json!({ "messageId": message, "emoji": "👍" });
    assert_eq!(
        b.refused("reaction:add", data.clone()).await["code"],
        "FORBIDDEN"
    );
    group
        .alice
        .patch(&path, json!({ "features": { "reactions": true } }))
        .await
        .expect(200);
    group
        .alice
        .delete(&format!("/api/messages/{message}"))
        .await
        .expect(204);
    assert_eq!(b.refused("reaction:add", data).await["code"], "CONFLICT");
}

/// Does one of each operation. Returns the events that bob receives, in order.
async fn one_of_everything(group: &Group) -> Vec<&'static str> {
    let message = group.message().await;
    let path = format!("/api/messages/{message}");
    let (alice, bob) = (&group.alice, &group.bob);
    let thumb = json!({ "emoji": "👍" });
    alice
        .post(&format!("{path}/reactions"), thumb)
        .await
        .expect(200);
    alice
        .request(Method::PUT, &format!("{path}/pin"), None)
        .await
        .expect(200);
    alice.delete(&format!("{path}/pin")).await.expect(204);
    let me = format!("/api/conversations/{}/me", group.id);
    alice.patch(&me, json!({ "muted": true })).await.expect(200);
    bob.patch(&me, json!({ "pinned": true })).await.expect(200);
    alice
        .delete(&format!("{path}/reactions/%F0%9F%91%8D"))
        .await
        .expect(200);
    alice.delete(&path).await.expect(204);
    alice
        .post(&format!("{path}/restore"), Value::Null)
        .await
        .expect(200);
    vec![
        "message:new",
        "reaction:added",
        "message:pinned",
        "message:unpinned",
        "seq:skip",
        "participant:updated",
        "reaction:removed",
        "message:deleted",
        "message:restored",
    ]
}

async fn take(socket: &mut Socket, count: usize) -> Vec<Value> {
    let mut frames = Vec::new();
    while frames.len() < count {
        let frame = socket.find("an entry", |frame| frame["seq"].is_u64()).await;
        frames.push(frame);
    }
    frames
}

fn names(frames: &[Value]) -> Vec<&str> {
    frames
        .iter()
        .filter_map(|frame| frame["event"].as_str())
        .collect()
}

fn check(group: &Group, frames: &[Value]) {
    let mut seen = Seen::default();
    seen.note(frames.to_vec());
    seen.assert_complete(&group.id, 2, 10);
    let conversation = json!(group.id);
    for frame in &frames[1..] {
        assert_eq!(frame["data"]["conversationId"], conversation, "{frame}");
    }
    assert_eq!(frames[2]["data"]["userId"], "alice");
    assert!(frames[3]["data"]["timestamp"].is_string());
    assert_eq!(frames[4]["data"], json!({ "conversationId": group.id }));
    assert_eq!(frames[5]["data"]["preferences"]["pinned"], true);
    assert_eq!(frames[5]["data"]["userId"], "bob");
    assert_eq!(frames[6]["data"]["totalCount"], 0);
    assert_eq!(frames[8]["data"]["content"], "hello");
}

#[tokio::test]
async fn every_change_of_a_message_is_pushed_live() {
    let group = Group::new().await;
    let mut socket = group.bob.connect().await;
    let expected = one_of_everything(&group).await;
    let frames = take(&mut socket, expected.len()).await;
    assert_eq!(names(&frames), expected);
    check(&group, &frames);
}

#[tokio::test]
async fn every_change_of_a_message_is_delivered_after_a_resume() {
    let group = Group::new().await;
    let socket = group.bob.connect().await;
    let cursor = socket.cursor();
    socket.vanish();
    let expected = one_of_everything(&group).await;
    // From the node's memory, and by a node that remembers nothing from the log.
    let fresh = Service::builder().database(&group.service).start().await;
    for bob in [group.bob.clone(), group.bob.at(&fresh)] {
        let mut socket = bob.resume(&cursor).await;
        let frames = take(&mut socket, expected.len()).await;
        assert_eq!(names(&frames), expected);
        check(&group, &frames);
    }
}

#[tokio::test]
async fn under_joined_changes_of_an_older_message_carry_only_a_seq() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let carol = service.user("carol").await;
    let settings = json!({ "historyVisibility": "joined" });
    let id = service.group_with(&alice, &[&bob], settings).await;
    let say = async |user: &User, text: &str| {
        user.say(&id, text).await["id"]
            .as_str()
            .expect("an id")
            .to_owned()
    };
    // Bob was a member for the first, not for the second, and rejoins.
    let first = say(&alice, "secret first").await;
    bob.post(&format!("/api/conversations/{id}/leave"), Value::Null)
        .await
        .expect(204);
    let mut witness = alice.connect().await;
    let second = say(&alice, "secret second").await;
    // The node has passed all earlier events: sockets that connect now do not receive them.
    witness
        .find("the second", |frame| frame["data"]["id"] == *second)
        .await;
    let mut live = [bob.connect().await, carol.connect().await];
    let cursors = live.each_ref().map(Socket::cursor);
    let members = format!("/api/conversations/{id}/participants");
    alice
        .post(&members, json!({ "userIds": ["bob", "carol"] }))
        .await
        .expect(201);
    // Each of these is about one message that is there: the new one, the first, the second.
    let third = say(&alice, "for all").await;
    let mut from_start = alice.connect().await;
    for message in [&third, &first, &second] {
        let path = format!("/api/messages/{message}");
        let (edit, thumb) = (
            json!({ "content": "secret edit" }),
            json!({ "emoji": "👍" }),
        );
        alice.patch(&path, edit).await.expect(200);
        let reactions = format!("{path}/reactions");
        alice.post(&reactions, thumb).await.expect(200);
        let taken_back = format!("{reactions}/%F0%9F%91%8D");
        alice.delete(&taken_back).await.expect(200);
        let pin = format!("{path}/pin");
        alice.request(Method::PUT, &pin, None).await.expect(200);
        alice.delete(&pin).await.expect(204);
        alice.delete(&path).await.expect(204);
        let restore = format!("{path}/restore");
        alice.post(&restore, Value::Null).await.expect(200);
    }
    let names = [
        "message:updated",
        "reaction:added",
        "reaction:removed",
        "message:pinned",
        "message:unpinned",
        "message:deleted",
        "message:restored",
    ];
    let (joined, last) = (5, 27);
    let expected = |sees: [bool; 3]| -> Vec<&str> {
        let of_message = sees.map(|sees| names.map(|name| if sees { name } else { "seq:skip" }));
        of_message.into_iter().flatten().collect()
    };
    // An earlier cursor may deliver entries of bob's former membership; he may see them, and this test ignores them.
    let events = |seen: &Seen, from: u64| -> Vec<String> {
        let frames = seen.frames(&id).into_iter();
        frames
            .filter(|frame| frame["seq"].as_u64() >= Some(from))
            .map(|frame| frame["event"].as_str().expect("a name").to_owned())
            .collect()
    };
    let [bob_live, carol_live] = &mut live;
    let mut resumed = [
        bob.resume(&cursors[0]).await,
        carol.resume(&cursors[1]).await,
    ];
    let [bob_back, carol_back] = &mut resumed;
    for (who, socket, sees) in [
        ("bob", bob_live, [true, true, false]),
        ("carol", carol_live, [true, false, false]),
        ("bob, resumed", bob_back, [true, true, false]),
        ("carol, resumed", carol_back, [true, false, false]),
    ] {
        let mut seen = Seen::default();
        seen.follow(socket, &id, last).await;
        let numbers: Vec<u64> = seen.numbers(&id);
        let since: Vec<u64> = numbers.into_iter().filter(|seq| *seq >= joined).collect();
        assert_eq!(since, (joined..=last).collect::<Vec<_>>(), "{who}");
        assert_eq!(events(&seen, joined)[2..], expected(sees), "{who}");
    }
    let mut seen = Seen::default();
    seen.follow(&mut from_start, &id, last).await;
    assert_eq!(events(&seen, 1), expected([true; 3]), "alice");

    // The log over REST agrees.
    let log = format!("/api/conversations/{id}/log?after=6&limit=100");
    let kinds = async |user: &User| -> Vec<String> {
        let entries = user.get(&log).await.expect(200)["entries"].clone();
        let entries = entries.as_array().expect("entries").iter();
        entries
            .map(|entry| entry["type"].as_str().expect("a type").to_owned())
            .collect()
    };
    let is_skipped = |kinds: Vec<String>| -> Vec<bool> {
        kinds.into_iter().map(|kind| kind == "skip").collect()
    };
    for (user, sees) in [(&bob, [true, true, false]), (&carol, [true, false, false])] {
        let skipped: Vec<bool> = sees.into_iter().flat_map(|sees| [!sees; 7]).collect();
        assert_eq!(is_skipped(kinds(user).await), skipped, "{}", user.id);
    }
}

//! `/api/users/me/blocks`: a blocked user cannot write and cannot detect the block.

use mongodb::bson::{DateTime, doc};
use reqwest::Method;
use serde_json::{Value, json};

use super::super::{ask, column, faults, id, read_all};
use crate::support::{Answer, Service, User};

const BLOCKS: &str = "/api/users/me/blocks";

async fn block(user: &User, other: &str) -> Answer {
    user.request(Method::PUT, &format!("{BLOCKS}/{other}"), None)
        .await
}

async fn unblock(user: &User, other: &str) {
    user.delete(&format!("{BLOCKS}/{other}")).await.expect(204);
}

#[tokio::test]
async fn a_user_blocks_a_bounded_number_of_others() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    service.user("carol").await;
    block(&alice, "carol").await.expect(204);
    let blocks = service.sandbox().collection("blocks").await;
    let others = (1..10_000).map(|number| {
        let other = format!("other-{number}");
        doc! {
            "_id": format!("5:alice:{other}"), "userId": "alice", "blockedUserId": other,
            "seq": 1_i64, "at": DateTime::now(), "isActive": true,
        }
    });
    blocks.insert_many(others).await.expect("written");
    block(&alice, &bob.id).await.expect_error(409, "CONFLICT");
    block(&alice, "carol").await.expect(204);
    unblock(&alice, "carol").await;
    block(&alice, &bob.id).await.expect(204);
}

struct Pair {
    service: Service,
    alice: User,
    mallory: User,
}

impl Pair {
    async fn new() -> Self {
        let service = Service::start().await;
        let (alice, mallory) = (service.user("alice").await, service.user("mallory").await);
        Self {
            service,
            alice,
            mallory,
        }
    }

    async fn send(&self, from: &User, to: &User) -> Answer {
        let body = json!({ "receiverId": to.id, "content": "hello" });
        from.post("/api/messages", body).await
    }
}

#[tokio::test]
async fn the_block_list_is_private() {
    let Pair {
        service,
        alice,
        mallory,
    } = Pair::new().await;
    for other in ["bob", "a b", "zoe"] {
        service.user(other).await;
    }
    for path in ["zoe", "mallory", "a%20b", "bob", "bob"] {
        block(&alice, path).await.expect(204);
    }
    for limit in [1, 3, 100] {
        let users = read_all(&alice, BLOCKS, "users", "after", limit).await;
        assert_eq!(
            column(&json!(users), "userId"),
            ["a b", "bob", "mallory", "zoe"]
        );
        assert!(users[0]["createdAt"].is_string());
    }
    unblock(&alice, "bob").await;
    unblock(&alice, "bob").await;
    unblock(&alice, "nobody-at-all").await;
    let users = read_all(&alice, BLOCKS, "users", "after", 2).await;
    assert_eq!(column(&json!(users), "userId"), ["a b", "mallory", "zoe"]);
    let of_mallory = mallory.get(BLOCKS).await.expect(200);
    assert_eq!(of_mallory, json!({ "users": [], "hasMore": false }));
    let log = service.sandbox().log("user:alice").await;
    let kinds: Vec<&str> = log.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        kinds[1..],
        [
            "user.blocked",
            "user.blocked",
            "user.blocked",
            "user.blocked",
            "user.unblocked"
        ],
        "to block again changes nothing"
    );
}

#[tokio::test]
async fn oneself_and_an_unknown_user_cannot_be_blocked() {
    let pair = Pair::new().await;
    let alice = &pair.alice;
    let answer = block(alice, "alice").await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["userId".to_owned()])
    );
    block(alice, "nobody").await.expect_error(404, "NOT_FOUND");
    block(alice, "a%00b").await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_blocked_user_cannot_start_a_conversation_and_sees_an_unknown_user() {
    let pair = Pair::new().await;
    block(&pair.alice, "mallory").await.expect(204);
    let direct = |id: &str| json!({ "type": "direct", "participantIds": [id] });
    let refused = pair
        .mallory
        .post("/api/conversations", direct("alice"))
        .await;
    let unknown = pair
        .mallory
        .post("/api/conversations", direct("ghost"))
        .await;
    assert_eq!((refused.status, &refused.text), (400, &unknown.text));
    let refused = pair.send(&pair.mallory, &pair.alice).await;
    let ghost = pair.service.known_user("ghost");
    let unknown = pair.send(&pair.mallory, &ghost).await;
    assert_eq!((refused.status, &refused.text), (400, &unknown.text));
    // The blocking user's error names the reason; the blocked user's state is unchanged.
    pair.send(&pair.alice, &pair.mallory)
        .await
        .expect_error(403, "FORBIDDEN");
    pair.alice
        .post("/api/conversations", direct("mallory"))
        .await
        .expect_error(403, "FORBIDDEN");
    let list = pair.mallory.get("/api/conversations").await.expect(200);
    assert_eq!(list["conversations"], json!([]));

    unblock(&pair.alice, "mallory").await;
    pair.send(&pair.mallory, &pair.alice).await.expect(201);
    pair.send(&pair.alice, &pair.mallory).await.expect(201);
}

#[tokio::test]
async fn a_block_stops_new_messages_in_an_existing_direct_conversation() {
    let pair = Pair::new().await;
    let (alice, mallory) = (&pair.alice, &pair.mallory);
    let direct = pair.service.direct(alice, mallory).await;
    let path = format!("/api/conversations/{direct}");
    let of_alice = id(&alice.say(&direct, "before").await);
    let of_mallory = id(&mallory.say(&direct, "before too").await);
    block(alice, "mallory").await.expect(204);
    block(alice, "mallory").await.expect(204);
    let seq = alice.get(&path).await.expect(200)["seq"].clone();
    assert_eq!(seq, 4, "one entry says so, however often");

    for (user, own, other, sentence) in [
        (
            mallory,
            &of_mallory,
            &of_alice,
            "You cannot send messages to this user.",
        ),
        (
            alice,
            &of_alice,
            &of_mallory,
            "You block this user; unblock them first.",
        ),
    ] {
        for (method, path, body) in [
            (
                "POST",
                format!("{path}/messages"),
                Some(json!({ "content": "x" })),
            ),
            (
                "POST",
                format!("{path}/messages"),
                Some(json!({ "content": "x", "threadId": other })),
            ),
            (
                "PATCH",
                format!("/api/messages/{own}"),
                Some(json!({ "content": "x" })),
            ),
            (
                "POST",
                format!("/api/messages/{other}/reactions"),
                Some(json!({ "emoji": "👍" })),
            ),
            (
                "DELETE",
                format!("/api/messages/{other}/reactions/:x:"),
                None,
            ),
            ("PUT", format!("/api/messages/{own}/pin"), None),
            ("DELETE", format!("/api/messages/{own}/pin"), None),
            (
                "PATCH",
                path.clone(),
                Some(json!({ "metadata": { "x": 1 } })),
            ),
        ] {
            let answer = ask(user, method, &path, body).await;
            let error = answer.expect_error(403, "FORBIDDEN");
            assert_eq!(error["message"], sentence, "{method} {path}");
        }
        let to = json!({ "conversationIds": [direct] });
        let answer = user.post(&format!("/api/messages/{own}/forward"), to).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["conversationIds[0]".to_owned()])
        );
        // Reading and private settings still work.
        assert_eq!(user.history(&direct).await.len(), 2);
        user.patch(&format!("{path}/me"), json!({ "archived": true }))
            .await
            .expect(200);
    }
    pair.send(mallory, alice)
        .await
        .expect_error(403, "FORBIDDEN");
    let opened = json!({ "type": "direct", "participantIds": ["alice"] });
    mallory.post("/api/conversations", opened).await.expect(200);
    mallory
        .delete(&format!("/api/messages/{of_mallory}"))
        .await
        .expect(204);
    let host = pair.service.internal();
    let notice = json!({ "content": "a notice of the host" });
    host.post(&format!("{path}/messages"), notice)
        .await
        .expect(201);

    unblock(alice, "mallory").await;
    mallory.say(&direct, "after").await;
    alice.say(&direct, "after too").await;
}

#[tokio::test]
async fn a_block_applies_only_to_direct_conversations() {
    let pair = Pair::new().await;
    let group = pair.service.group(&pair.alice, &[&pair.mallory]).await;
    let own = pair.service.group(&pair.mallory, &[&pair.alice]).await;
    block(&pair.alice, "mallory").await.expect(204);
    let message = id(&pair.mallory.say(&group, "to all").await);
    pair.alice
        .post(
            &format!("/api/messages/{message}/reactions"),
            json!({ "emoji": "👍" }),
        )
        .await
        .expect(200);
    pair.mallory.say(&own, "hello all").await;
}

#[tokio::test]
async fn a_mutual_block_ends_only_after_both_unblock() {
    let pair = Pair::new().await;
    let direct = pair.service.direct(&pair.alice, &pair.mallory).await;
    block(&pair.alice, "mallory").await.expect(204);
    block(&pair.mallory, "alice").await.expect(204);
    let messages = format!("/api/conversations/{direct}/messages");
    let body = json!({ "content": "x" });
    unblock(&pair.alice, "mallory").await;
    for user in [&pair.alice, &pair.mallory] {
        user.post(&messages, body.clone())
            .await
            .expect_error(403, "FORBIDDEN");
    }
    unblock(&pair.mallory, "alice").await;
    pair.alice.say(&direct, "peace").await;
}

#[tokio::test]
async fn a_block_during_creation_applies_to_the_conversation() {
    let pair = Pair::new().await;
    for round in 0..10 {
        let mallory = pair.service.user(&format!("mallory{round}")).await;
        let (blocked, _) = tokio::join!(
            block(&pair.alice, &mallory.id),
            pair.send(&mallory, &pair.alice),
        );
        blocked.expect(204);
        let after = pair.send(&mallory, &pair.alice).await;
        assert!(matches!(after.status, 400 | 403), "round {round}: {after}");
    }
}

#[tokio::test]
async fn no_log_reveals_a_block() {
    let pair = Pair::new().await;
    let direct = pair.service.direct(&pair.alice, &pair.mallory).await;
    let cursor = pair.mallory.connect().await.cursor();
    let mut socket = pair.mallory.connect().await;
    block(&pair.alice, "mallory").await.expect(204);
    unblock(&pair.alice, "mallory").await;
    pair.alice.say(&direct, "hello").await;
    let last = socket.next("message:new").await;
    assert_eq!(last["seq"], 4);
    let skip = |frame: &Value| {
        assert_eq!(frame["event"], "seq:skip");
        assert_eq!(frame["data"], json!({ "conversationId": direct }));
    };
    let frames = socket.drain().await;
    assert_eq!(frames.len(), 2, "{frames:?}");
    frames.iter().for_each(skip);
    let mut resumed = pair.mallory.resume(&cursor).await;
    let mut frames = resumed.drain().await;
    assert_eq!(frames.pop().expect("the message")["event"], "message:new");
    assert_eq!(frames.len(), 2, "{frames:?}");
    frames.iter().for_each(skip);
    for user in [&pair.alice, &pair.mallory] {
        let path = format!("/api/conversations/{direct}/log");
        let log = user.get(&path).await.expect(200);
        assert_eq!(
            column(&log["entries"], "type"),
            ["conversation.created", "skip", "skip", "message.created"]
        );
    }
}

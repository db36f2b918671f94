//! Messages with `ttlSeconds` are removed everywhere at their time.

use chat_sdk::Timestamp;
use mongodb::bson::doc;
use serde_json::{Value, json};

use super::super::{id, text};
use super::Group;
use crate::support::{eventually, eventually_within};

const SECRET: &str = "the secret text";
const EDITED: &str = "the edited secret";

/// Everything that the database still holds of a conversation, as text.
async fn stored(group: &Group) -> String {
    use futures_util::TryStreamExt;
    let log = group.service.sandbox().collection("log").await;
    let found: Vec<mongodb::bson::Document> = log
        .find(doc! { "conversationId": &group.id })
        .await
        .expect("the log can be read")
        .try_collect()
        .await
        .expect("the log can be read");
    format!("{found:?}")
}

#[tokio::test]
async fn an_expired_message_is_removed_everywhere() {
    let group = Group::of_two().await;
    let before = id(&group.alice.say(&group.id, "before").await);
    let mut socket = group.bob.connect().await;
    let cursor = socket.cursor();
    let body = json!({
        "content": SECRET, "ttlSeconds": 2, "metadata": { "secret": "of the host" }, "mentions": ["bob"],
        "attachments": [{ "url": "https://shop.example/secret.png" }], "clientMessageId": "c",
    });
    let message = group
        .alice
        .post(&group.messages, body.clone())
        .await
        .expect(201);
    let path = format!("/api/messages/{}", id(&message));
    let end: Timestamp = text(&message, "expiresAt").parse().expect("a time");
    group
        .alice
        .patch(
            &path,
            json!({ "content": EDITED, "metadata": { "secret": 2 } }),
        )
        .await
        .expect(200);
    group
        .alice
        .post(
            &group.messages,
            json!({ "content": "reply", "replyTo": id(&message) }),
        )
        .await
        .expect(201);
    assert_eq!(group.bob.history(&group.id).await.len(), 3);

    let ended = socket
        .find("it is said to be over", |frame| {
            frame["event"] == "message:deleted"
        })
        .await;
    let late = Timestamp::now().as_millis() - end.as_millis();
    assert!((0..1000).contains(&late), "{late} ms late");
    assert_eq!(ended["data"]["messageId"], message["id"]);
    assert_eq!(ended["data"]["isExpired"], true);
    let log_path = format!("/api/conversations/{}/log", group.id);
    eventually("nothing of it is stored", || async {
        let text = stored(&group).await;
        (!text.contains("secret")).then_some(())
    })
    .await;

    for user in [&group.alice, &group.bob] {
        user.get(&path).await.expect_error(404, "NOT_FOUND");
        user.get(&format!("{path}/history")).await.expect(404);
        let history = user.history(&group.id).await;
        assert_eq!(
            super::super::column(&json!(history), "content"),
            ["before", "reply"]
        );
        let log = user.get(&log_path).await.expect(200);
        assert!(!log.to_string().contains("secret"), "{log}");
        let kinds = super::super::column(&log["entries"], "type");
        assert_eq!(
            kinds.last().map(String::as_str),
            Some("message.deleted"),
            "no number is missing"
        );
        let listed = user.get("/api/conversations").await.expect(200);
        assert_eq!(
            listed["conversations"][0]["lastMessage"]["content"],
            "reply"
        );
    }
    group
        .alice
        .patch(&path, json!({ "content": "back" }))
        .await
        .expect(404);
    group.alice.delete(&path).await.expect(404);
    let synced = socket
        .ok(
            "messages:sync",
            json!({ "conversationId": group.id, "lastMessageId": before }),
        )
        .await;
    assert_eq!(
        super::super::column(&synced["messages"], "content"),
        ["reply"]
    );
    let listed = socket
        .ok("messages:list", json!({ "conversationId": group.id }))
        .await;
    assert!(!listed.to_string().contains("secret"));

    // A client that was offline receives every seq, but no text of the expired message.
    let mut resumed = group.bob.resume(&cursor).await;
    let frames = resumed.take_arrived();
    assert!(!json!(frames).to_string().contains("secret"), "{frames:?}");
    assert!(
        frames
            .iter()
            .any(|frame| frame["data"]["isExpired"] == true),
        "{frames:?}"
    );
    // Its clientMessageId stays taken.
    let again = group.alice.post(&group.messages, body).await.expect(200);
    assert_eq!(
        (&again["id"], &again["content"]),
        (&message["id"], &json!(""))
    );
}

#[tokio::test]
async fn a_deleted_message_expires_too_and_cannot_be_restored() {
    let group = Group::of_two().await;
    let body = json!({ "content": SECRET, "ttlSeconds": 1 });
    let message = group.bob.post(&group.messages, body).await.expect(201);
    group
        .bob
        .delete(&format!("/api/messages/{}", id(&message)))
        .await
        .expect(204);
    eventually("it leaves no tombstone", || async {
        group
            .alice
            .history(&group.id)
            .await
            .is_empty()
            .then_some(())
    })
    .await;
    eventually("nothing of it is stored", || async {
        (!stored(&group).await.contains("secret")).then_some(())
    })
    .await;
    let log = group.service.sandbox().log(&group.id).await;
    let kinds: Vec<&str> = log.iter().map(|(_, kind)| kind.as_str()).collect();
    assert_eq!(
        kinds,
        [
            "conversation.created",
            "message.created",
            "message.deleted",
            "message.deleted"
        ]
    );
}

#[tokio::test]
async fn the_lists_last_message_is_never_an_expired_one() {
    let group = Group::of_two().await;
    group.alice.say(&group.id, "stays").await;
    let body = json!({ "content": "goes", "ttlSeconds": 1 });
    group.alice.post(&group.messages, body).await.expect(201);
    let last = async || {
        let listed = group.bob.get("/api/conversations").await.expect(200);
        listed["conversations"][0]["lastMessage"]["content"].clone()
    };
    assert_eq!(last().await, "goes");
    eventually("the one before is shown", || async {
        (last().await == "stays").then_some(())
    })
    .await;
}

#[tokio::test]
async fn many_messages_that_expire_together_all_end_in_time() {
    let group = Group::of_two().await;
    let sends = (0..500).map(|n| {
        let body = json!({ "content": format!("m{n}"), "ttlSeconds": 3 });
        group.alice.post(&group.messages, body)
    });
    let sent: Vec<Value> = futures_util::future::join_all(sends)
        .await
        .into_iter()
        .map(|answer| answer.expect(201))
        .collect();
    eventually_within(
        std::time::Duration::from_secs(15),
        "all are over",
        || async {
            let log = group.service.sandbox().log(&group.id).await;
            let over = log
                .iter()
                .filter(|(_, kind)| kind == "message.deleted")
                .count();
            (over >= sent.len()).then_some(())
        },
    )
    .await;
    let log = group.service.sandbox().log(&group.id).await;
    assert_eq!(log.len(), 1 + 2 * sent.len(), "each once");
}

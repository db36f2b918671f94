//! `POST /api/messages/{id}/restore`.

use serde_json::{Value, json};

use super::super::{column, id};
use super::Group;
use crate::support::{Answer, User};

async fn restore(user: &User, message: &str) -> Answer {
    user.post(&format!("/api/messages/{message}/restore"), Value::Null)
        .await
}

#[tokio::test]
async fn a_restored_message_is_back_with_all_that_it_had() {
    let group = Group::of_two().await;
    let body = json!({
        "content": "first", "metadata": { "v": 1 }, "mentions": ["alice"], "clientMessageId": "c1",
        "attachments": [{ "url": "https://shop.example/label.png" }],
    });
    let of = id(&group.bob.post(&group.messages, body).await.expect(201));
    let path = format!("/api/messages/{of}");
    let edit = json!({ "content": "second", "metadata": { "v": 2 } });
    group.bob.patch(&path, edit).await.expect(200);
    let thumb = json!({ "emoji": "👍" });
    group
        .alice
        .post(&format!("{path}/reactions"), thumb)
        .await
        .expect(200);
    let before = group.alice.get(&path).await.expect(200);

    for round in 0..2 {
        group.bob.delete(&path).await.expect(204);
        assert_eq!(group.alice.get(&path).await.expect(200)["content"], "");
        let restored = restore(&group.alice, &of).await.expect(200);
        for (name, value) in before.as_object().expect("a message") {
            if name != "updatedAt" {
                assert_eq!(restored[name], *value, "{name}, round {round}");
            }
        }
        assert!(restored["updatedAt"].as_str() > before["updatedAt"].as_str());
        assert_eq!(
            group.bob.history(&group.id).await,
            [group.bob.get(&path).await.expect(200)]
        );
    }
    let history = group.bob.get(&format!("{path}/history")).await.expect(200);
    assert_eq!(column(&history["versions"], "content"), ["first", "second"]);

    // It can be edited again, and fields that the edit leaves out stay.
    let edited = group
        .bob
        .patch(&path, json!({ "content": "third" }))
        .await
        .expect(200);
    assert_eq!(
        (
            &edited["content"],
            &edited["metadata"],
            &edited["isDeleted"]
        ),
        (&json!("third"), &json!({ "v": 2 }), &json!(false))
    );
    let again = group
        .bob
        .post(
            &group.messages,
            json!({ "content": "other", "clientMessageId": "c1" }),
        )
        .await;
    again.expect_error(409, "CONFLICT");
}

#[tokio::test]
async fn only_an_admin_restores_and_what_is_not_deleted_stays_as_it_is() {
    let group = Group::of_two().await;
    let of = id(&group.bob.say(&group.id, "mine").await);
    let before = group
        .alice
        .get(&format!("/api/messages/{of}"))
        .await
        .expect(200);
    assert_eq!(restore(&group.alice, &of).await.expect(200), before);
    group
        .bob
        .delete(&format!("/api/messages/{of}"))
        .await
        .expect(204);
    restore(&group.bob, &of)
        .await
        .expect_error(403, "FORBIDDEN");
    let role = format!("/api/conversations/{}/participants/bob", group.id);
    group
        .alice
        .patch(&role, json!({ "role": "admin" }))
        .await
        .expect(200);
    restore(&group.bob, &of).await.expect(200);
}

#[tokio::test]
async fn concurrent_restore_and_deletion_end_in_one_of_the_two() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "text").await);
    let path = format!("/api/messages/{of}");
    let tries = (0..30).map(|n| {
        let (group, path, of) = (&group, &path, &of);
        async move {
            match n % 2 {
                0 => drop(group.alice.delete(path).await.expect(204)),
                _ => drop(restore(&group.alice, of).await.expect(200)),
            }
        }
    });
    futures_util::future::join_all(tries).await;
    let shown = group.bob.get(&path).await.expect(200);
    let text = if shown["isDeleted"] == true {
        ""
    } else {
        "text"
    };
    assert_eq!(shown["content"], text);
    let log = group.service.sandbox().log(&group.id).await;
    let kinds: Vec<&str> = log[2..].iter().map(|(_, kind)| kind.as_str()).collect();
    for pair in kinds.windows(2) {
        assert_ne!(
            pair[0], pair[1],
            "no change that changes nothing: {kinds:?}"
        );
    }
}

#[tokio::test]
async fn a_message_deleted_again_has_no_text_in_the_log() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "secret").await);
    let path = format!("/api/messages/{of}");
    group.alice.delete(&path).await.expect(204);
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    restore(&group.alice, &of).await.expect(200);

    let log = format!("/api/conversations/{}/log", group.id);
    let of_alice = group.alice.get(&log).await.expect(200);
    let kinds = column(&of_alice["entries"], "type");
    assert_eq!(kinds.last().map(String::as_str), Some("message.restored"));
    assert_eq!(of_alice["entries"][4]["data"]["content"], "secret");
    let of_bob = group.bob.get(&log).await.expect(200).to_string();
    assert!(
        !of_bob.contains("secret"),
        "it was deleted when bob left: {of_bob}"
    );

    group.alice.delete(&path).await.expect(204);
    let of_alice = group.alice.get(&log).await.expect(200).to_string();
    assert!(!of_alice.contains("secret"), "{of_alice}");
}

#[tokio::test]
async fn messages_of_a_direct_conversation_cannot_be_restored() {
    let group = Group::of_two().await;
    let direct = group.service.direct(&group.alice, &group.bob).await;
    let of = id(&group.bob.say(&direct, "said too much").await);
    let path = format!("/api/messages/{of}");
    group.bob.delete(&path).await.expect(204);
    for user in [&group.alice, &group.bob] {
        let refused = restore(user, &of).await.expect_error(403, "FORBIDDEN");
        assert!(
            refused["message"]
                .as_str()
                .is_some_and(|text| text.contains("direct"))
        );
    }
    assert_eq!(group.alice.get(&path).await.expect(200)["content"], "");
}

//! `POST /api/messages/{id}/forward`.

use std::time::Duration;

use serde_json::{Value, json};

use super::super::{faults, id};
use super::Group;
use crate::support::eventually_within;

fn path(message: &str) -> String {
    format!("/api/messages/{message}/forward")
}

#[tokio::test]
async fn a_forwarded_message_names_the_first_one_however_often_it_is_forwarded() {
    let group = Group::of_two().await;
    let body = json!({
        "content": "news", "metadata": { "a": 1 }, "mentions": ["bob"],
        "attachments": [{ "url": "https://shop.example/news.png" }],
    });
    let first = group.alice.post(&group.messages, body).await.expect(201);
    let one = group.service.group(&group.bob, &[]).await;
    let two = group.service.group(&group.bob, &[]).await;
    let to = json!({ "conversationIds": [one, two] });
    let answer = group.bob.post(&path(&id(&first)), to).await.expect(201);
    let origin = json!({ "messageId": first["id"], "senderId": "alice" });
    for (message, conversation) in answer["messages"]
        .as_array()
        .expect("messages")
        .iter()
        .zip([&one, &two])
    {
        assert_eq!(message["conversationId"], json!(conversation));
        assert_eq!(message["senderId"], "bob");
        assert_eq!(message["forwardedFrom"], origin);
        for kept in ["content", "attachments", "metadata", "type"] {
            assert_eq!(message[kept], first[kept], "{kept}");
        }
        assert_eq!(
            message["mentions"],
            json!([]),
            "who was mentioned may not be here"
        );
        assert_eq!(
            group.bob.history(conversation).await,
            std::slice::from_ref(message)
        );
    }
    let again = id(&answer["messages"][0]);
    let to = json!({ "conversationIds": [group.id] });
    let answer = group.bob.post(&path(&again), to).await.expect(201);
    assert_eq!(answer["messages"][0]["forwardedFrom"], origin);
}

#[tokio::test]
async fn when_one_conversation_is_wrong_nothing_is_sent() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "news").await);
    let own = group.service.group(&group.bob, &[]).await;
    let foreign = group.service.group(&group.alice, &[]).await;
    let ghost = "cnv_00000000000000000000000000";
    let left = group.service.group(&group.alice, &[&group.bob]).await;
    let leave = format!("/api/conversations/{left}/leave");
    group.bob.post(&leave, Value::Null).await.expect(204);
    let to = json!({ "conversationIds": [own, foreign, ghost, left] });
    let answer = group.bob.post(&path(&of), to).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (
            400,
            [1, 2, 3].map(|n| format!("conversationIds[{n}]")).to_vec()
        )
    );
    for body in [
        json!({ "conversationIds": [] }),
        json!({ "conversationIds": [own, own] }),
        json!({ "conversationIds": vec![own.as_str(); 21] }),
        json!({}),
    ] {
        let answer = group.bob.post(&path(&of), body).await;
        assert_eq!(answer.status, 400, "{answer}");
        assert!(
            faults(&answer)
                .iter()
                .all(|field| field == "conversationIds")
        );
    }
    assert!(group.bob.history(&own).await.is_empty());
}

#[tokio::test]
async fn a_repeated_forward_sends_nothing_twice() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "news").await);
    let own = group.service.group(&group.bob, &[]).await;
    let to = json!({ "conversationIds": [own], "clientMessageId": "f1" });
    let first = group.bob.post(&path(&of), to.clone()).await.expect(201);
    assert_eq!(group.bob.post(&path(&of), to).await.expect(201), first);
    assert_eq!(group.bob.history(&own).await.len(), 1);
}

#[tokio::test]
async fn what_the_caller_does_not_see_or_was_deleted_is_not_forwarded() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "news").await);
    let carol = group.service.user("carol").await;
    let own = group.service.group(&carol, &[&group.bob]).await;
    let to = json!({ "conversationIds": [own] });
    carol
        .post(&path(&of), to.clone())
        .await
        .expect_error(404, "NOT_FOUND");
    group
        .alice
        .delete(&format!("/api/messages/{of}"))
        .await
        .expect(204);
    group
        .bob
        .post(&path(&of), to)
        .await
        .expect_error(409, "CONFLICT");
    assert!(carol.history(&own).await.is_empty());
}

#[tokio::test]
async fn what_has_an_end_ends_with_all_its_copies() {
    let group = Group::of_two().await;
    let body = json!({ "content": "for your eyes only", "ttlSeconds": 4 });
    let first = group.alice.post(&group.messages, body).await.expect(201);
    let other = group.service.group(&group.bob, &[]).await;
    let to = json!({ "conversationIds": [other], "clientMessageId": "f" });
    let answer = group.bob.post(&path(&id(&first)), to.clone()).await;
    let copy = answer.expect(201)["messages"][0].clone();
    assert_eq!(copy["expiresAt"], first["expiresAt"]);
    // Later it is still the same request.
    let again = group.bob.post(&path(&id(&first)), to).await.expect(201);
    assert_eq!(again["messages"][0]["id"], copy["id"]);
    // A copy of the copy has no more time either.
    let to = json!({ "conversationIds": [group.id] });
    let answer = group.bob.post(&path(&id(&copy)), to).await.expect(201);
    assert_eq!(answer["messages"][0]["expiresAt"], first["expiresAt"]);
    eventually_within(Duration::from_secs(10), "all are gone", || async {
        let left = [&group.id, &other].map(|conversation| group.bob.history(conversation));
        let left = futures_util::future::join_all(left).await.concat();
        left.is_empty().then_some(())
    })
    .await;
}

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
    assert_eq!(group.bob.post(&path(&of), to).await.expect(200), first);
    assert_eq!(group.bob.history(&own).await.len(), 1);
    // With one more conversation the request sends a message: it is no mere repetition.
    let other = group.service.group(&group.bob, &[]).await;
    let to = json!({ "conversationIds": [own, other], "clientMessageId": "f1" });
    let more = group.bob.post(&path(&of), to.clone()).await.expect(201);
    assert_eq!(more["messages"][0], first["messages"][0]);
    assert_eq!(group.bob.post(&path(&of), to).await.expect(200), more);
    assert_eq!(group.bob.history(&own).await.len(), 1);
}

#[tokio::test]
async fn invisible_and_deleted_messages_cannot_be_forwarded() {
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
async fn forwarded_copies_expire_with_their_source() {
    let group = Group::of_two().await;
    let body = json!({ "content": "for your eyes only", "ttlSeconds": 4 });
    let first = group.alice.post(&group.messages, body).await.expect(201);
    let other = group.service.group(&group.bob, &[]).await;
    let to = json!({ "conversationIds": [other], "clientMessageId": "f" });
    let answer = group.bob.post(&path(&id(&first)), to.clone()).await;
    let copy = answer.expect(201)["messages"][0].clone();
    assert_eq!(copy["expiresAt"], first["expiresAt"]);
    // Later it is still the same request.
    let again = group.bob.post(&path(&id(&first)), to).await.expect(200);
    assert_eq!(again["messages"][0]["id"], copy["id"]);
    // A copy of the copy keeps the same expiry.
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

#[tokio::test]
async fn a_repeated_forward_does_not_depend_on_its_source() {
    let group = Group::of_two().await;
    let sends = [
        json!({ "content": "to edit" }),
        json!({ "content": "to delete" }),
        json!({ "content": "to expire", "ttlSeconds": 2 }),
        json!({ "content": "to lose" }),
    ];
    let own = group.service.group(&group.bob, &[]).await;
    let other = group.service.group(&group.bob, &[&group.alice]).await;
    let mut forwards = Vec::new();
    for (index, body) in sends.into_iter().enumerate() {
        let of = id(&group.alice.post(&group.messages, body).await.expect(201));
        let to = json!({ "conversationIds": [own, other], "clientMessageId": format!("f{index}") });
        let first = group.bob.post(&path(&of), to.clone()).await.expect(201);
        forwards.push((of, to, first));
    }
    let source = |index: usize| format!("/api/messages/{}", forwards[index].0);
    group
        .alice
        .patch(&source(0), json!({ "content": "edited" }))
        .await
        .expect(200);
    group.alice.delete(&source(1)).await.expect(204);
    eventually_within(Duration::from_secs(10), "it is over", || async {
        let answer = group.alice.get(&source(2)).await;
        (answer.status == 404).then_some(())
    })
    .await;
    // A caller who can no longer write to a target still gets the first outcome on a repetition.
    let leave = format!("/api/conversations/{}/leave", group.id);
    group.bob.post(&leave, Value::Null).await.expect(204);
    for (index, (of, to, first)) in forwards.iter().enumerate() {
        let again = group.bob.post(&path(of), to.clone()).await.expect(200);
        for (again, first) in [0, 1].map(|n| (&again["messages"][n], &first["messages"][n])) {
            assert_eq!(again["id"], first["id"], "{index}");
            // A copy ends with its source.
            if index != 2 {
                assert_eq!(again, first, "{index}");
            } else {
                assert_eq!(again["content"], "", "{again}");
            }
        }
    }
    assert_eq!(group.bob.history(&own).await.len(), 3);
}

#[tokio::test]
async fn a_forward_under_a_taken_id_sends_nothing_anywhere() {
    let group = Group::of_two().await;
    let of = id(&group.alice.say(&group.id, "news").await);
    let one = group.service.group(&group.bob, &[]).await;
    let two = group.service.group(&group.bob, &[]).await;
    let taken = json!({ "content": "mine", "clientMessageId": "f" });
    group
        .bob
        .post(&format!("/api/conversations/{two}/messages"), taken)
        .await
        .expect(201);
    let to = json!({ "conversationIds": [one, two], "clientMessageId": "f" });
    group
        .bob
        .post(&path(&of), to)
        .await
        .expect_error(409, "CONFLICT");
    assert!(group.bob.history(&one).await.is_empty());
    // A partial forward is continued: targets that are done keep their first outcome.
    let to = json!({ "conversationIds": [one], "clientMessageId": "g" });
    let first = group.bob.post(&path(&of), to).await.expect(201);
    let to = json!({ "conversationIds": [one, two], "clientMessageId": "g" });
    let both = group.bob.post(&path(&of), to).await.expect(201);
    assert_eq!(both["messages"][0], first["messages"][0]);
    assert_eq!(group.bob.history(&one).await.len(), 1);
    assert_eq!(group.bob.history(&two).await.len(), 2);
}

//! Special messages: system messages of the host, silent ones, expiring ones, and group mentions.

use serde_json::json;

use super::super::{faults, id};
use super::Group;

#[tokio::test]
async fn the_host_writes_as_system_without_an_acting_user() {
    let group = Group::of_two().await;
    let host = group.service.internal();
    let mut socket = group.bob.connect().await;
    let body = json!({ "content": "The parcel was delivered.", "type": "system" });
    let sent = host.post(&group.messages, body).await.expect(201);
    assert_eq!(
        (&sent["senderId"], &sent["type"]),
        (&json!("system"), &json!("system"))
    );
    assert_eq!(socket.next("message:new").await["data"], sent);
    assert_eq!(
        group.alice.history(&group.id).await,
        std::slice::from_ref(&sent)
    );
    let plain = host
        .post(&group.messages, json!({ "content": "plain" }))
        .await
        .expect(201);
    assert_eq!(
        (&plain["senderId"], &plain["type"]),
        (&json!("system"), &json!("text"))
    );

    // No other caller can send that type, not even the host with an acting user.
    let body = json!({ "content": "x", "type": "system" });
    for client in [(*group.alice).clone(), host.acting_for("alice")] {
        let answer = client.post(&group.messages, body.clone()).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["type".to_owned()])
        );
    }
    host.post(
        "/api/conversations/cnv_00000000000000000000000000/messages",
        json!({ "content": "x" }),
    )
    .await
    .expect_error(404, "NOT_FOUND");
    let path = format!("/api/messages/{}", id(&sent));
    group
        .alice
        .patch(&path, json!({ "content": "mine now" }))
        .await
        .expect_error(403, "FORBIDDEN");
    group.bob.delete(&path).await.expect_error(403, "FORBIDDEN");
    group.alice.delete(&path).await.expect(204);
}

#[tokio::test]
async fn the_hosts_own_client_message_id_makes_its_sends_repeatable() {
    let group = Group::of_two().await;
    let host = group.service.internal();
    let body = json!({ "content": "once", "type": "system", "clientMessageId": "order-1042" });
    let first = host.post(&group.messages, body.clone()).await.expect(201);
    assert_eq!(host.post(&group.messages, body).await.expect(200), first);
    let other = json!({ "content": "other", "clientMessageId": "order-1042" });
    host.post(&group.messages, other.clone())
        .await
        .expect_error(409, "CONFLICT");
    // A user's are the user's.
    group.alice.post(&group.messages, other).await.expect(201);
    assert_eq!(group.bob.history(&group.id).await.len(), 2);
}

#[tokio::test]
async fn silent_and_expiry_are_stored_and_pushed() {
    let group = Group::of_two().await;
    let mut socket = group.bob.connect().await;
    let body =
        json!({ "content": "psst", "silent": true, "ttlSeconds": 3600, "clientMessageId": "s1" });
    let sent = group
        .alice
        .post(&group.messages, body.clone())
        .await
        .expect(201);
    assert_eq!(sent["silent"], true);
    assert!(sent["expiresAt"].as_str() > sent["createdAt"].as_str());
    assert_eq!(socket.next("message:new").await["data"], sent);
    assert_eq!(
        group.bob.history(&group.id).await,
        std::slice::from_ref(&sent)
    );
    let repeated = group.alice.post(&group.messages, body).await.expect(200);
    assert_eq!(repeated, sent);
    let plain = group.alice.say(&group.id, "hello").await;
    assert!(plain.get("silent").is_none());
    assert!(plain.get("expiresAt").is_none());
    for ttl in [
        json!(0),
        json!(-1),
        json!(31_622_401),
        json!(1.5),
        json!("60"),
    ] {
        let answer = group
            .alice
            .post(
                &group.messages,
                json!({ "content": "x", "ttlSeconds": ttl }),
            )
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["ttlSeconds".to_owned()]),
            "{ttl}"
        );
    }
}

#[tokio::test]
async fn an_expired_message_answers_like_a_missing_one() {
    let group = Group::of_two().await;
    let body = json!({ "content": "gone soon", "ttlSeconds": 1 });
    let sent = group.alice.post(&group.messages, body).await.expect(201);
    let path = format!("/api/messages/{}", id(&sent));
    crate::support::eventually("the message is gone", || async {
        (group.bob.get(&path).await.status == 404).then_some(())
    })
    .await;
    assert!(group.bob.history(&group.id).await.is_empty());
    for (method, tail, body) in [
        ("GET", "/reactions", None),
        ("POST", "/reactions", Some(json!({ "emoji": "👍" }))),
        ("PUT", "/pin", None),
        ("GET", "/replies", None),
        ("POST", "/restore", None),
        ("PATCH", "", Some(json!({ "content": "x" }))),
    ] {
        let path = format!("{path}{tail}");
        super::super::ask(&group.alice, method, &path, body)
            .await
            .expect_error(404, "NOT_FOUND");
    }
    // The result does not depend on whether the timer has run.
    for field in ["replyTo", "threadId"] {
        let body = json!({ "content": "x", field: sent["id"] });
        let answer = group.bob.post(&group.messages, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
}

#[tokio::test]
async fn all_here_and_unknown_users_may_be_mentioned_nobody_twice() {
    let group = Group::of_two().await;
    let mentions = json!(["@all", "@here", "bob", "a user whom nobody knows"]);
    let body = json!({ "content": "hear ye", "mentions": mentions });
    let sent = group.alice.post(&group.messages, body).await.expect(201);
    assert_eq!(sent["mentions"], mentions);
    for twice in ["bob", "@all", "@here"] {
        let body = json!({ "content": "x", "mentions": [twice, twice] });
        let answer = group.alice.post(&group.messages, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["mentions".to_owned()]),
            "{twice}"
        );
    }
}

//! Mutes, bans and frozen conversations.

use chat_sdk::Timestamp;
use serde_json::{Value, json};

use super::{builder, code, expect_refused, id, path, restrict, try_say};
use crate::support::{Connect, ConnectError, Service, eventually};

#[tokio::test]
async fn a_mute_survives_leaving_joining_and_a_restart_and_ends_by_itself() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let body = json!({ "type": "public", "participantIds": ["bob"], "name": "Lobby" });
    let conversation = id(&alice.post("/api/conversations", body).await.expect(201));
    let sent = id(&bob.say(&conversation, "before").await);
    let mute = json!({
        "kind": "mute", "userId": "bob", "conversationId": conversation, "durationSeconds": 600, "reason": "Calm down.",
    });
    let made = restrict(&service, mute).await;
    let error = expect_refused(&bob, &conversation, "x", "MUTED").await;
    let reason = error["message"].as_str().expect("a reason");
    assert!(
        reason.ends_with("Calm down.")
            && reason.contains(made["expiresAt"].as_str().expect("an end")),
        "{error}"
    );
    let change = json!({ "content": "changed" });
    let answer = bob.patch(&format!("/api/messages/{sent}"), change).await;
    assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "MUTED");
    let rejoin = async || {
        bob.post(
            &format!("/api/conversations/{conversation}/leave"),
            Value::Null,
        )
        .await
        .expect(204);
        bob.post(
            &format!("/api/conversations/{conversation}/join"),
            Value::Null,
        )
        .await
        .expect(200);
    };
    rejoin().await;
    expect_refused(&bob, &conversation, "x", "MUTED").await;
    let other = service.group(&bob, &[]).await;
    bob.say(&other, "elsewhere").await;

    let place = std::sync::Arc::clone(service.sandbox());
    service.stop();
    let service: Service = builder().place_of(&place).start().await;
    let there = bob.at(&service);
    expect_refused(&there, &conversation, "x", "MUTED").await;
    // A mute ends early, and the old end changes nothing.
    let one = path(&format!("restrictions/{}", id(&made)));
    service.internal().delete(&one).await.expect(204);
    there.say(&conversation, "free").await;
    // Two seconds pass by themselves; the next mute works again.
    let short = json!({ "kind": "mute", "userId": "bob", "durationSeconds": 2 });
    restrict(&service, short.clone()).await;
    expect_refused(&there, &other, "x", "MUTED").await;
    eventually("the mute ends", || async {
        (try_say(&there, &other, "free again").await.status == 201).then_some(())
    })
    .await;
    there
        .post(
            &format!("/api/conversations/{conversation}/leave"),
            Value::Null,
        )
        .await
        .expect(204);
    there
        .post(
            &format!("/api/conversations/{conversation}/join"),
            Value::Null,
        )
        .await
        .expect(200);
    there.say(&conversation, "free").await;
    restrict(&service, short).await;
    expect_refused(&there, &conversation, "x", "MUTED").await;
}

#[tokio::test]
async fn a_ban_removes_the_member_and_holds_before_joining_too() {
    let service = builder().start().await;
    let (alice, bob, carol) = (
        service.user("alice").await,
        service.user("bob").await,
        service.user("carol").await,
    );
    let body = json!({ "type": "public", "participantIds": ["bob"], "name": "Lobby" });
    let conversation = id(&alice.post("/api/conversations", body).await.expect(201));
    for user in ["bob", "carol"] {
        restrict(
            &service,
            json!({ "kind": "ban", "userId": user, "conversationId": conversation }),
        )
        .await;
    }
    for user in [&bob, &carol] {
        try_say(user, &conversation, "x")
            .await
            .expect_error(404, "NOT_FOUND");
        let join = format!("/api/conversations/{conversation}/join");
        let answer = user.post(&join, Value::Null).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "BANNED");
        let members = format!("/api/conversations/{conversation}/participants");
        let answer = alice.post(&members, json!({ "userIds": [user.id] })).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "BANNED");
    }
    let page = service
        .internal()
        .get(&path("restrictions?userId=bob"))
        .await
        .expect(200);
    let ban = id(&page["restrictions"][0]);
    service
        .internal()
        .delete(&path(&format!("restrictions/{ban}")))
        .await
        .expect(204);
    bob.post(
        &format!("/api/conversations/{conversation}/join"),
        Value::Null,
    )
    .await
    .expect(200);
    bob.say(&conversation, "back").await;
}

#[tokio::test]
async fn a_user_who_is_banned_everywhere_cannot_connect_or_write() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let message = id(&alice.say(&conversation, "hi").await);
    let mut socket = bob.connect().await;
    restrict(&service, json!({ "kind": "ban", "userId": "bob" })).await;
    assert_eq!(socket.closed().await, 4401);
    let acting = service.internal().acting_for("bob");
    let messages = format!("/api/conversations/{conversation}/messages");
    let reactions = format!("/api/messages/{message}/reactions");
    for (path, body) in [
        (messages.as_str(), json!({ "content": "x" })),
        (reactions.as_str(), json!({ "emoji": "👍" })),
        (
            "/api/conversations",
            json!({ "type": "group", "participantIds": [] }),
        ),
    ] {
        let answer = acting.post(path, body).await;
        assert_eq!(
            code(&answer.expect_error(403, "FORBIDDEN")),
            "BANNED",
            "{path}"
        );
    }
    // A token that was issued after the ban is valid, and the hook refuses its connection.
    let issued_at = Timestamp::now().as_millis() / 1000 + 2;
    let token = service.token("bob").claim("iat", json!(issued_at)).sign();
    let options = Connect {
        token: Some(token),
        ..Connect::default()
    };
    let error = bob.try_connect(options).await.err();
    assert_eq!(error, Some(ConnectError::Closed(4403)));
    let page = service
        .internal()
        .get(&path("restrictions"))
        .await
        .expect(200);
    let ban = id(&page["restrictions"][0]);
    service
        .internal()
        .delete(&path(&format!("restrictions/{ban}")))
        .await
        .expect(204);
    acting
        .post(&messages, json!({ "content": "back" }))
        .await
        .expect(201);
}

#[tokio::test]
async fn a_frozen_conversation_is_open_to_owners_and_admins_only() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let sent = id(&bob.say(&conversation, "before").await);
    let made = restrict(
        &service,
        json!({ "kind": "freeze", "conversationId": conversation }),
    )
    .await;
    expect_refused(&bob, &conversation, "x", "FROZEN").await;
    let mut socket = bob.connect().await;
    for (command, data) in [
        (
            "message:send",
            json!({ "conversationId": conversation, "content": "x" }),
        ),
        ("message:edit", json!({ "messageId": sent, "content": "x" })),
        ("reaction:add", json!({ "messageId": sent, "emoji": "👍" })),
    ] {
        assert_eq!(
            code(&socket.refused(command, data).await),
            "FROZEN",
            "{command}"
        );
    }
    alice.say(&conversation, "by the owner").await;
    service
        .internal()
        .delete(&path(&format!("restrictions/{}", id(&made))))
        .await
        .expect(204);
    bob.say(&conversation, "after").await;
}

#[tokio::test]
async fn fields_of_restrictions_are_checked_and_lists_are_pages() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let host = service.internal();
    let missing = "cnv_00000000000000000000000000";
    for (field, body) in [
        ("userId", json!({ "kind": "mute" })),
        ("userId", json!({ "kind": "mute", "userId": "nobody" })),
        (
            "userId",
            json!({ "kind": "freeze", "userId": "bob", "conversationId": conversation }),
        ),
        ("conversationId", json!({ "kind": "freeze" })),
        (
            "conversationId",
            json!({ "kind": "freeze", "conversationId": missing }),
        ),
        (
            "intervalSeconds",
            json!({ "kind": "slowMode", "conversationId": conversation }),
        ),
        (
            "intervalSeconds",
            json!({ "kind": "mute", "userId": "bob", "intervalSeconds": 5 }),
        ),
        (
            "intervalSeconds",
            json!({ "kind": "slowMode", "conversationId": conversation, "intervalSeconds": 21_601 }),
        ),
        (
            "durationSeconds",
            json!({ "kind": "mute", "userId": "bob", "durationSeconds": 0 }),
        ),
        (
            "reason",
            json!({ "kind": "mute", "userId": "bob", "reason": "" }),
        ),
    ] {
        let error = host
            .post(&path("restrictions"), body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    let mute = json!({ "kind": "mute", "userId": "bob" });
    let first = host
        .post(&path("restrictions"), mute.clone())
        .await
        .expect(201);
    let again = host.post(&path("restrictions"), mute).await.expect(200);
    assert_eq!(again["id"], first["id"]);
    restrict(
        &service,
        json!({ "kind": "freeze", "conversationId": conversation }),
    )
    .await;
    restrict(
        &service,
        json!({ "kind": "mute", "userId": "alice", "conversationId": conversation }),
    )
    .await;
    let mut seen = Vec::new();
    let mut next = String::new();
    loop {
        let page = host
            .get(&path(&format!("restrictions?limit=1&after={next}")))
            .await
            .expect(200);
        seen.push(id(&page["restrictions"][0]));
        match page["nextCursor"].as_str() {
            Some(cursor) => next = cursor.to_owned(),
            None => break,
        }
    }
    seen.dedup();
    assert_eq!(seen.len(), 3);
    let of = async |query: &str| {
        let page = host
            .get(&path(&format!("restrictions?{query}")))
            .await
            .expect(200);
        page["restrictions"].as_array().expect("a list").len()
    };
    assert_eq!(of("userId=bob").await, 1);
    assert_eq!(of(&format!("conversationId={conversation}")).await, 2);
    let error = host
        .get(&path("restrictions?after=x"))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "after");
}

#[tokio::test]
async fn the_restrictions_of_a_deleted_user_end() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    service
        .sandbox()
        .wait_for_durable("moderation-events")
        .await;
    restrict(&service, json!({ "kind": "mute", "userId": alice.id })).await;
    service
        .internal()
        .delete("/api/users/alice")
        .await
        .expect(204);
    eventually("nothing is left", || async {
        let page = service
            .internal()
            .get(&path("restrictions"))
            .await
            .expect(200);
        page["restrictions"].as_array()?.is_empty().then_some(())
    })
    .await;
}

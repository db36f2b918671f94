//! `POST /api/users/{id}/disconnect`: sessions end on all nodes, and older tokens are refused.

use serde_json::Value;

use crate::support::{Connect, ConnectError, EventStream, Node, Service, User, eventually};

/// A token of `user` that says when it was issued, `seconds` from now.
pub fn issued(node: &Node, user: &str, seconds: i64) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    node.token(user).claim("iat", (now + seconds).into()).sign()
}

/// `user` with another token.
pub fn with_token(user: &User, token: &str) -> crate::support::Client {
    user.with("Authorization", &format!("Bearer {token}"))
}

async fn disconnect(node: &Node, user: &str) {
    let path = format!("/api/users/{user}/disconnect");
    node.internal().post(&path, Value::Null).await.expect(204);
}

#[tokio::test]
async fn sockets_and_streams_end_on_every_node_and_older_tokens_are_refused_there() {
    let first = Service::start().await;
    let second = Service::builder().database(&first).start().await;
    let alice = first.user("alice").await;
    let bob = first.user("bob").await;
    let old = issued(&first, "alice", -10);
    let how = || Connect {
        token: Some(old.clone()),
        ..Connect::default()
    };
    let mut here = alice.connect_with(how()).await;
    let mut there = alice.at(&second).connect_with(how()).await;
    let query = format!("?token={old}");
    let mut stream = EventStream::open(&second.ws_base(), &query, &[])
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    stream.find("connected").await;
    let mut other = bob.connect().await;

    disconnect(&first, "alice").await;
    assert_eq!(here.closed().await, 4401);
    assert_eq!(there.closed().await, 4401);
    assert_eq!(
        stream.find("error").await.data["data"]["code"],
        "UNAUTHORIZED"
    );
    assert_eq!(stream.next().await, None);
    other.ok("ping", serde_json::json!({})).await;

    for node in [&first, &second] {
        let alice = alice.at(node);
        let me = with_token(&alice, &old).get("/api/users/me").await;
        me.expect_error(401, "UNAUTHORIZED");
        assert_eq!(
            alice.try_connect(how()).await.err(),
            Some(ConnectError::Closed(4401))
        );
        // A token without an issue time cannot prove that it is newer.
        alice.get("/api/users/me").await.expect(401);
        let new = issued(node, "alice", 2);
        with_token(&alice, &new)
            .get("/api/users/me")
            .await
            .expect(200);
        let how = Connect {
            token: Some(new),
            ..Connect::default()
        };
        alice.connect_with(how).await;
    }
}

#[tokio::test]
async fn processes_without_sockets_refuse_older_tokens_too() {
    let first = Service::builder().roles("api").spawn().await;
    let second = Service::builder()
        .roles("api")
        .database(&first)
        .spawn()
        .await;
    let alice = first.user("alice").await;
    let old = issued(&first, "alice", -10);
    let there = with_token(&alice.at(&second), &old);
    // Known there, so that nothing but the stream can tell it of the change.
    there.get("/api/users/me").await.expect(200);
    disconnect(&first, "alice").await;
    eventually("the other process has heard of it", || async {
        let answer = there.get("/api/users/me").await;
        (answer.status == 401).then_some(())
    })
    .await;
    let new = issued(&second, "alice", 2);
    with_token(&alice.at(&second), &new)
        .get("/api/users/me")
        .await
        .expect(200);
}

#[tokio::test]
async fn a_node_that_starts_later_refuses_older_tokens_and_keeps_newer_sockets() {
    let first = Service::start().await;
    let alice = first.user("alice").await;
    let old = issued(&first, "alice", -10);
    disconnect(&first, "alice").await;
    let second = Service::builder().database(&first).start().await;
    let there = alice.at(&second);
    with_token(&there, &old)
        .get("/api/users/me")
        .await
        .expect(401);
    let how = Connect {
        token: Some(issued(&second, "alice", 2)),
        ..Connect::default()
    };
    let mut socket = there.connect_with(how).await;
    // The stream delivers the old disconnection to the new node too: it must end no session.
    let bob = second.user("bob").await;
    let conversation = second.group(&bob, &[&alice]).await;
    eventually("the node follows the stream", || async {
        bob.say(&conversation, "hello").await;
        Some(())
    })
    .await;
    socket.next("message:new").await;
    socket.ok("ping", serde_json::json!({})).await;
}

#[tokio::test]
async fn an_unknown_user_cannot_be_disconnected() {
    let service = Service::start().await;
    let path = "/api/users/ghost/disconnect";
    let answer = service.internal().post(path, Value::Null).await;
    answer.expect_error(404, "NOT_FOUND");
}

/// Asks for something that names alice in another's request, each in its own way.
async fn name_alice(node: &Node, way: &str) {
    let bob = node.user("bob").await;
    let answer = match way {
        "participantIds" => {
            let body = serde_json::json!({ "type": "group", "participantIds": ["alice"] });
            bob.post("/api/conversations", body).await
        }
        "receiverId" => {
            let body = serde_json::json!({ "receiverId": "alice", "content": "hello" });
            bob.post("/api/messages", body).await
        }
        "userIds" => {
            let group = node.group(&bob, &[]).await;
            let path = format!("/api/conversations/{group}/participants");
            let body = serde_json::json!({ "userIds": ["alice"] });
            bob.post(&path, body).await
        }
        "X-Acting-User" => {
            let acting = node.internal().acting_for("alice");
            acting.get("/api/users/me").await
        }
        _ => {
            let path = "/api/users/me/blocks/alice";
            bob.request(reqwest::Method::PUT, path, None).await
        }
    };
    assert!(answer.status < 300, "{way}: {answer}");
}

#[tokio::test]
async fn a_request_that_names_the_user_after_a_restart_revives_no_token() {
    let first = Service::start().await;
    let alice = first.user("alice").await;
    let old = issued(&first, "alice", -10);
    disconnect(&first, "alice").await;
    let place = std::sync::Arc::clone(first.sandbox());
    first.stop();
    for way in [
        "participantIds",
        "userIds",
        "receiverId",
        "X-Acting-User",
        "blocks",
    ] {
        // A new process that has loaded nothing about alice yet.
        let service = Service::builder().place_of(&place).start().await;
        name_alice(&service, way).await;
        let here = alice.at(&service);
        let answer = with_token(&here, &old).get("/api/users/me").await;
        assert_eq!(answer.status, 401, "named by {way}: {answer}");
        let how = Connect {
            token: Some(old.clone()),
            ..Connect::default()
        };
        let refused = here.try_connect(how).await.err();
        assert_eq!(refused, Some(ConnectError::Closed(4401)), "named by {way}");
        let new = issued(&service, "alice", 2);
        with_token(&here, &new)
            .get("/api/users/me")
            .await
            .expect(200);
        service.stop();
    }
}

#[tokio::test]
async fn a_deleted_users_token_is_revived_by_no_request_that_names_the_user() {
    let first = Service::start().await;
    let alice = first.user("alice").await;
    let old = issued(&first, "alice", -10);
    let host = first.internal();
    host.delete("/api/users/alice").await.expect(204);
    super::delete::report(&first, "alice").await;
    let anew = serde_json::json!({ "externalUserId": "alice", "name": "Another Alice" });
    host.post("/api/users/sync", anew).await.expect(201);
    let place = std::sync::Arc::clone(first.sandbox());
    first.stop();
    let service = Service::builder().place_of(&place).start().await;
    name_alice(&service, "participantIds").await;
    let answer = with_token(&alice.at(&service), &old)
        .get("/api/users/me")
        .await;
    answer.expect_error(401, "UNAUTHORIZED");
}

/// A token of `user` that names a session.
fn of_session(node: &Node, user: &str, session: &str) -> String {
    let now = i64::try_from(jsonwebtoken::get_current_timestamp()).expect("a time");
    let token = node.token(user).claim("iat", (now - 10).into());
    token.claim("sid", session.into()).sign()
}

#[tokio::test]
async fn one_session_ends_on_every_node_and_others_go_on() {
    let first = Service::start().await;
    let second = Service::builder().database(&first).start().await;
    let alice = first.user("alice").await;
    let (phone, desk) = (
        of_session(&first, "alice", "phone"),
        of_session(&first, "alice", "desk"),
    );
    let with = |token: &str| Connect {
        token: Some(token.to_owned()),
        ..Connect::default()
    };
    let mut on_phone = alice.at(&second).connect_with(with(&phone)).await;
    let mut on_desk = alice.at(&second).connect_with(with(&desk)).await;
    let mut plain = alice.connect().await;
    let query = format!("?token={phone}");
    let mut stream = EventStream::open(&second.ws_base(), &query, &[])
        .await
        .unwrap_or_else(|refusal| panic!("{refusal:?}"));
    stream.find("connected").await;

    let path = "/api/users/alice/disconnect?sessionId=phone";
    for _ in 0..2 {
        first.internal().post(path, Value::Null).await.expect(204);
    }
    assert_eq!(on_phone.closed().await, 4401);
    assert_eq!(
        stream.find("error").await.data["data"]["code"],
        "UNAUTHORIZED"
    );
    for socket in [&mut on_desk, &mut plain] {
        socket.ok("ping", serde_json::json!({})).await;
    }
    for node in [&first, &second] {
        let alice = alice.at(node);
        let me = with_token(&alice, &phone).get("/api/users/me").await;
        me.expect_error(401, "UNAUTHORIZED");
        assert_eq!(
            alice.try_connect(with(&phone)).await.err(),
            Some(ConnectError::Closed(4401))
        );
        with_token(&alice, &desk)
            .get("/api/users/me")
            .await
            .expect(200);
    }
    let events = first.sandbox().events("user.disconnected").await;
    assert_eq!(events.len(), 1, "a repetition has no event: {events:?}");
    assert_eq!(events[0]["data"]["sessionId"], "phone");
    // A node that starts later reads it from the database.
    let third = Service::builder().database(&first).start().await;
    let me = with_token(&alice.at(&third), &phone)
        .get("/api/users/me")
        .await;
    me.expect_error(401, "UNAUTHORIZED");
}

#[tokio::test]
async fn more_ended_sessions_than_are_kept_end_all_sessions() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let (first, other) = (
        of_session(&service, "alice", "s0"),
        of_session(&service, "alice", "other"),
    );
    let end = async |n: usize| {
        let path = format!("/api/users/alice/disconnect?sessionId=s{n}");
        let answer = service.internal().post(&path, Value::Null).await;
        answer.expect(204);
    };
    for n in 0..64 {
        end(n).await;
    }
    let me = with_token(&alice, &other).get("/api/users/me").await;
    me.expect(200);
    end(64).await;
    for token in [&first, &other] {
        eventually("it is refused", || async {
            let me = with_token(&alice, token).get("/api/users/me").await;
            (me.status == 401).then_some(())
        })
        .await;
    }
    let path = "/api/users/alice/disconnect?sessionId=";
    for bad in ["a%20b", "%C3%A9", &"x".repeat(129)] {
        let answer = service
            .internal()
            .post(&format!("{path}{bad}"), Value::Null)
            .await;
        let error = answer.expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], "sessionId");
    }
}

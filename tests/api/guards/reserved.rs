//! Reserved words are not valid user ids, in any place that takes an id.

use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use serde_json::{Value, json};

use super::super::{faults, wire};
use crate::support::{Connect, ConnectError, EventStream, Service, in_an_hour};

/// Words with a special meaning in a path, a mention or a message's sender.
const RESERVED: [&str; 8] = ["me", "search", "sync", "system", "all", "here", ".", ".."];
/// Mentions of many, which a message may name and no user is called.
const MENTIONS: [&str; 2] = ["@all", "@here"];

#[tokio::test]
async fn the_host_cannot_sync_a_reserved_word() {
    let service = Service::start().await;
    let host = service.internal();
    for word in RESERVED.into_iter().chain(MENTIONS) {
        let item = json!({ "externalUserId": word, "name": "X" });
        let answer = host.post("/api/users/sync", item.clone()).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["externalUserId".to_owned()]),
            "{word}"
        );
        let batch = host.post("/api/users/sync/batch", json!({ "users": [item] }));
        let results = batch.await.expect(200);
        assert_eq!(results["results"][0]["status"], "failed", "{word}");
    }
}

#[tokio::test]
async fn a_token_for_a_reserved_word_is_refused() {
    let service = Service::builder()
        .env("RATE_LIMIT_AUTH", "off")
        .start()
        .await;
    for word in RESERVED.into_iter().chain(MENTIONS) {
        let token = service.token(word).sign();
        let bearer = service
            .anonymous()
            .with("Authorization", &format!("Bearer {token}"));
        let answer = bearer.get("/api/users/me").await;
        answer.expect_error(401, "UNAUTHORIZED");
        let user = service.known_user(word);
        let refused = user.try_connect(Connect::default()).await.err();
        assert_eq!(refused, Some(ConnectError::Closed(4401)), "{word}");
        let stream = EventStream::open(&service.ws_base(), &format!("?token={token}"), &[]).await;
        assert_eq!(stream.err().map(|(status, _)| status), Some(401), "{word}");
    }
}

#[tokio::test]
async fn the_host_cannot_act_for_a_reserved_word() {
    let service = Service::start().await;
    for word in RESERVED {
        let acting = service.internal().acting_for(word);
        let answer = acting.get("/api/conversations").await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["X-Acting-User".to_owned()]),
            "{word}"
        );
        let secret = ("X-Internal-Secret", crate::support::INTERNAL_SECRET);
        let headers = [secret, ("X-Acting-User", word)];
        let stream = EventStream::open(&service.ws_base(), "", &headers).await;
        assert_eq!(stream.err().map(|(status, _)| status), Some(400), "{word}");
    }
}

#[tokio::test]
async fn no_body_and_no_path_names_a_reserved_word() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let conversation = format!("/api/conversations/{group}");
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    let missing = wire::send(&service, "GET", "/api/users/ghost", &headers, b"").await;
    for word in RESERVED {
        let bodies = [
            (
                "/api/conversations".to_owned(),
                json!({ "type": "group", "participantIds": [word] }),
                "participantIds[0]",
            ),
            (
                format!("{conversation}/participants"),
                json!({ "userIds": [word] }),
                "userIds[0]",
            ),
            (
                "/api/messages".to_owned(),
                json!({ "receiverId": word, "content": "hello" }),
                "receiverId",
            ),
            (
                format!("{conversation}/messages"),
                json!({ "content": "hello", "mentions": [word] }),
                "mentions[0]",
            ),
            (
                "/api/scheduled".to_owned(),
                json!({ "receiverId": word, "content": "hello", "sendAt": in_an_hour() }),
                "receiverId",
            ),
            (
                "/api/presence/batch".to_owned(),
                json!({ "userIds": [word] }),
                "userIds[0]",
            ),
        ];
        for (path, body, field) in bodies {
            let answer = alice.post(&path, body).await;
            assert_eq!(
                (answer.status, faults(&answer)),
                (400, vec![field.to_owned()]),
                "{word}"
            );
        }
        let encoded = match word {
            "." => "%2E".to_owned(),
            ".." => "%2E%2E".to_owned(),
            word => utf8_percent_encode(word, NON_ALPHANUMERIC).to_string(),
        };
        for (method, path) in [
            ("GET", format!("/api/users/{encoded}/presence")),
            ("PUT", format!("/api/users/me/blocks/{encoded}")),
        ] {
            let answer = wire::send(&service, method, &path, &headers, b"").await;
            assert!(matches!(answer.status, 404 | 405), "{method} {path}");
        }
        // The other words are paths of their own.
        if ["system", "all", "here"].contains(&word) {
            let path = format!("/api/users/{encoded}");
            let answer = wire::send(&service, "GET", &path, &headers, b"").await;
            assert_eq!(answer.json(), missing.json(), "{word}");
        }
    }
    for mention in MENTIONS {
        let body = json!({ "content": "hello", "mentions": [mention] });
        let sent = alice.post(&format!("{conversation}/messages"), body).await;
        assert_eq!(sent.expect(201)["mentions"], json!([mention]));
    }
}

#[tokio::test]
async fn no_socket_command_names_a_reserved_word() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    for word in RESERVED {
        let commands = [
            (
                "message:send",
                json!({ "receiverId": word, "content": "hello" }),
                "receiverId",
            ),
            (
                "message:send",
                json!({ "conversationId": group, "content": "hello", "mentions": [word] }),
                "mentions[0]",
            ),
            (
                "message:schedule",
                json!({ "receiverId": word, "content": "hello", "sendAt": in_an_hour() }),
                "receiverId",
            ),
            (
                "presence:subscribe",
                json!({ "userIds": [word] }),
                "userIds[0]",
            ),
        ];
        for (event, data, field) in commands {
            let refused = socket.refused(event, data).await;
            assert_eq!(refused["details"][0]["field"], field, "{word}: {refused}");
        }
    }
}

#[tokio::test]
async fn no_user_can_change_the_hosts_messages() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}/messages");
    let body = json!({ "content": "Order 4711 is on its way." });
    let sent = service.internal().post(&path, body).await.expect(201);
    assert_eq!(sent["senderId"], "system");
    let message = format!("/api/messages/{}", sent["id"].as_str().expect("an id"));
    // A member whose id was stored before the word was reserved.
    let participants = service.sandbox().collection("participants").await;
    let renamed = participants
        .update_one(
            mongodb::bson::doc! { "userId": "bob" },
            mongodb::bson::doc! { "$set": { "userId": "system" } },
        )
        .await
        .expect("MongoDB answers");
    assert_eq!(renamed.modified_count, 1);
    let system = service.known_user("system");
    let edit = json!({ "content": "Pay here instead." });
    system.patch(&message, edit.clone()).await.expect(401);
    system.delete(&message).await.expect(401);
    let acting = service.internal().acting_for("system");
    acting.patch(&message, edit.clone()).await.expect(400);
    alice
        .patch(&message, edit)
        .await
        .expect_error(403, "FORBIDDEN");
    let kept: Value = alice.get(&message).await.expect(200);
    assert_eq!(kept["content"], "Order 4711 is on its way.");
}

//! Commands of hosts: the operations of REST over NATS.

use std::time::Duration;

use async_nats::{HeaderMap, Message};
use chat_sdk::Timestamp;
use serde_json::{Value, json};

use super::{Host, service_on};
use crate::support::{
    Nats, Service, eventually,
    large::{hostile, size_in},
};

/// The answer to a command.
struct Answered {
    status: u16,
    json: Value,
    headers: HeaderMap,
}

impl Answered {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", |value| value.as_str())
    }
}

impl Host {
    /// Waits until the service listens to `shop`: it does a moment after it is ready.
    async fn is_answered(&self) {
        eventually("commands are answered", || {
            let client = self.client.clone();
            async move {
                client
                    .request("chat.api.shop.nothing", "".into())
                    .await
                    .ok()
            }
        })
        .await;
    }

    async fn command(&self, name: &str, acting: Option<&str>, payload: &str) -> Answered {
        let mut headers = HeaderMap::new();
        if let Some(user) = acting {
            headers.insert("X-Acting-User", user);
        }
        headers.insert("X-Request-Id", "of-the-host");
        let subject = format!("chat.api.{}.{name}", self.name);
        let payload = payload.to_owned().into();
        let answer = self.client.request_with_headers(subject, headers, payload);
        read(answer.await.expect("an answer"))
    }
}

fn read(answer: Message) -> Answered {
    let headers = answer.headers.clone().unwrap_or_default();
    let status = headers.get("Chat-Status").expect("a status").as_str();
    Answered {
        status: status.parse().expect("a number"),
        json: serde_json::from_slice(&answer.payload).unwrap_or_default(),
        headers,
    }
}

async fn scenario() -> (Nats, Service, Host) {
    let nats = Nats::with_hosts(&["shop", "game"]).await;
    let service = service_on(&nats).await;
    let shop = Host::connect(&nats, "shop").await;
    shop.is_answered().await;
    (nats, service, shop)
}

#[tokio::test]
async fn a_backend_works_with_commands_alone() {
    let (_nats, service, shop) = scenario().await;
    for user in ["alice", "bob"] {
        let synced = shop
            .command(
                "users.sync",
                None,
                &json!({ "externalUserId": user, "name": user }).to_string(),
            )
            .await;
        assert_eq!(
            (synced.status, &synced.json["externalUserId"]),
            (201, &json!(user))
        );
    }
    let batch =
        json!({ "users": [{ "externalUserId": "carol", "name": "Carol" }, { "name": "" }] });
    let batch = shop
        .command("users.syncBatch", None, &batch.to_string())
        .await;
    assert_eq!(batch.status, 200);
    assert_eq!(batch.json["results"][0]["status"], "created");
    assert_eq!(batch.json["results"][1]["status"], "failed");
    let made = shop
        .command(
            "conversations.create",
            Some("alice"),
            r#"{"type":"group","participantIds":["bob"],"name":"Order 4711"}"#,
        )
        .await;
    assert_eq!(made.status, 201, "{}", made.json);
    let conversation = made.json["id"].as_str().expect("an id").to_owned();
    let payload = json!({ "conversationId": conversation, "userIds": ["carol"] }).to_string();
    let added = shop.command("participants.add", None, &payload).await;
    assert_eq!(added.status, 201, "{}", added.json);
    let payload =
        json!({ "conversationId": conversation, "content": "hello", "clientMessageId": "k1" });
    let sent = shop
        .command("messages.send", Some("bob"), &payload.to_string())
        .await;
    assert_eq!((sent.status, &sent.json["senderId"]), (201, &json!("bob")));
    assert_eq!(sent.header("X-Request-Id"), "of-the-host");
    let again = shop
        .command("messages.send", Some("bob"), &payload.to_string())
        .await;
    assert_eq!((again.status, &again.json["id"]), (200, &sent.json["id"]));
    // The same key over REST is the same message.
    let by_rest = service
        .internal()
        .acting_for("bob")
        .post(
            &format!("/api/conversations/{conversation}/messages"),
            json!({ "content": "hello", "clientMessageId": "k1" }),
        )
        .await;
    assert_eq!(by_rest.expect(200)["id"], sent.json["id"]);
    let id = sent.json["id"].as_str().expect("an id");
    let edit = json!({ "messageId": id, "content": "hello again" }).to_string();
    let edited = shop.command("messages.edit", Some("bob"), &edit).await;
    assert_eq!(
        (edited.status, &edited.json["isEdited"]),
        (200, &json!(true))
    );
    let direct = shop
        .command(
            "messages.sendDirect",
            Some("alice"),
            r#"{"receiverId":"carol","content":"hi"}"#,
        )
        .await;
    assert_eq!(direct.status, 201, "{}", direct.json);
    let schedule = json!({
        "conversationId": conversation, "content": "later", "sendAt": "2120-01-01T00:00:00.000Z",
    });
    let too_far = shop
        .command("messages.schedule", Some("bob"), &schedule.to_string())
        .await;
    assert_eq!(
        (too_far.status, &too_far.json["details"][0]["field"]),
        (400, &json!("sendAt"))
    );
    let in_an_hour = Timestamp::from_millis(Timestamp::now().as_millis() + 3_600_000);
    let schedule = json!({ "receiverId": "alice", "content": "later", "sendAt": in_an_hour });
    let waiting = shop
        .command("messages.schedule", Some("bob"), &schedule.to_string())
        .await;
    assert_eq!(
        (waiting.status, &waiting.json["senderId"]),
        (201, &json!("bob"))
    );
    let update = json!({ "scheduledId": waiting.json["id"], "content": "sooner" }).to_string();
    let updated = shop.command("scheduled.change", Some("bob"), &update).await;
    assert_eq!(
        (updated.status, &updated.json["content"]),
        (200, &json!("sooner"))
    );
    let cancel = json!({ "scheduledId": waiting.json["id"] }).to_string();
    let cancelled = shop.command("scheduled.cancel", Some("bob"), &cancel).await;
    assert_eq!(cancelled.status, 204, "{}", cancelled.json);
    let delete = json!({ "messageId": id }).to_string();
    let deleted = shop.command("messages.delete", Some("bob"), &delete).await;
    assert_eq!((deleted.status, deleted.json), (204, Value::Null));
    let remove = json!({ "conversationId": conversation, "userId": "carol" }).to_string();
    let removed = shop.command("participants.remove", None, &remove).await;
    assert_eq!(removed.status, 204, "{}", removed.json);
    let system = json!({ "conversationId": conversation, "content": "closed" }).to_string();
    let system = shop.command("messages.send", None, &system).await;
    assert_eq!(
        (system.status, &system.json["senderId"]),
        (201, &json!("system"))
    );
    let gone = shop
        .command("users.delete", None, r#"{"userId":"carol"}"#)
        .await;
    assert_eq!(gone.status, 204, "{}", gone.json);
}

#[tokio::test]
async fn command_errors_equal_those_of_rest() {
    let (_nats, service, shop) = scenario().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    service.user("mallory").await;
    let path = format!("/api/conversations/{conversation}/messages");
    for (acting, payload, body) in [
        (Some("alice"), json!({ "content": "" }), None),
        (
            Some("alice"),
            json!({ "content": 7, "colour": "red" }),
            None,
        ),
        (
            Some("alice"),
            json!({ "content": "x".repeat(16_385) }),
            None,
        ),
        (Some("mallory"), json!({ "content": "hi" }), None),
        (Some("ghost"), json!({ "content": "hi" }), None),
        (
            Some("alice"),
            json!({ "content": "hi", "sendAt": "x" }),
            None,
        ),
        (
            Some("alice"),
            Value::Null,
            Some(r#"{"content":"a","content":"b"}"#),
        ),
    ] {
        let text = body.map_or_else(|| payload.to_string(), str::to_owned);
        let by_rest = {
            let mut client = service.internal();
            if let Some(user) = acting {
                client = client.acting_for(user);
            }
            client
                .send(
                    reqwest::Method::POST,
                    &path,
                    "application/json",
                    Some(text.clone()),
                )
                .await
        };
        let with_id = text.replacen('{', &format!(r#"{{"conversationId":"{conversation}","#), 1);
        let by_nats = shop.command("messages.send", acting, &with_id).await;
        assert_eq!(by_nats.status, by_rest.status, "{text}");
        assert_eq!(by_nats.json, by_rest.json, "{text}");
        assert_eq!(
            by_nats.header("Nats-Service-Error-Code"),
            by_rest.status.to_string()
        );
        assert!(!by_nats.header("Nats-Service-Error").is_empty());
    }
}

#[tokio::test]
async fn invalid_commands_are_answered_with_a_reason() {
    let (_nats, service, shop) = scenario().await;
    service.user("alice").await;
    for (name, payload, status, code, field) in [
        ("nothing", "{}", 404, "NOT_FOUND", ""),
        ("messages", "{}", 404, "NOT_FOUND", ""),
        ("messages.send.more", "{}", 404, "NOT_FOUND", ""),
        ("messages.send", "", 400, "VALIDATION_ERROR", "body"),
        ("messages.send", "[]", 400, "VALIDATION_ERROR", "body"),
        ("messages.send", "{", 400, "VALIDATION_ERROR", "body"),
        (
            "messages.send",
            r#"{"content":"hi"}"#,
            400,
            "VALIDATION_ERROR",
            "conversationId",
        ),
        (
            "messages.send",
            r#"{"conversationId":7,"content":"hi"}"#,
            400,
            "VALIDATION_ERROR",
            "conversationId",
        ),
        (
            "messages.send",
            r#"{"conversationId":"../../admin/webhooks","content":"hi"}"#,
            404,
            "NOT_FOUND",
            "",
        ),
        (
            "messages.delete",
            r#"{"messageId":"msg_00000000000000000000000000","force":true}"#,
            400,
            "VALIDATION_ERROR",
            "force",
        ),
        (
            "conversations.create",
            r#"{"type":"group","participantIds":["ghost"]}"#,
            400,
            "VALIDATION_ERROR",
            "participantIds[0]",
        ),
    ] {
        let answered = shop.command(name, Some("alice"), payload).await;
        assert_eq!(
            (answered.status, &answered.json["code"]),
            (status, &json!(code)),
            "{name} {payload}: {}",
            answered.json
        );
        if !field.is_empty() {
            assert_eq!(answered.json["details"][0]["field"], field, "{payload}");
        }
    }
}

#[tokio::test]
async fn only_hosts_that_the_configuration_names_are_heard() {
    let nats = Nats::with_hosts(&["shop", "game"]).await;
    let service = Service::builder()
        .nats(&nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "shop")
        .start()
        .await;
    let shop = Host::connect(&nats, "shop").await;
    let game = Host::connect(&nats, "game").await;
    shop.is_answered().await;
    let payload = r#"{"externalUserId":"mallory","name":"Mallory"}"#;
    let refused = game
        .client
        .request("chat.api.game.users.sync", payload.into());
    assert!(refused.await.is_err(), "nobody listens");
    service
        .internal()
        .get("/api/users/mallory")
        .await
        .expect(404);
}

#[tokio::test]
async fn the_tools_of_micro_services_find_it_and_see_what_it_does() {
    let (_nats, service, shop) = scenario().await;
    shop.command("messages.send", None, "{}").await;
    shop.command(
        "users.sync",
        None,
        r#"{"externalUserId":"alice","name":"Alice"}"#,
    )
    .await;
    let ops = service.sandbox().nats().await;
    let ask = async |subject: String| -> Value {
        let answer = ops.request(subject, "".into()).await.expect("an answer");
        serde_json::from_slice(&answer.payload).expect("JSON")
    };
    let ping = ask("$SRV.PING".to_owned()).await;
    assert_eq!(ping["type"], "io.nats.micro.v1.ping_response");
    assert_eq!(ping["name"], "chat");
    let id = ping["id"].as_str().expect("an id");
    let info = ask(format!("$SRV.INFO.chat.{id}")).await;
    assert_eq!(info["type"], "io.nats.micro.v1.info_response");
    let subjects: Vec<&str> = info["endpoints"]
        .as_array()
        .expect("a list")
        .iter()
        .filter_map(|one| one["subject"].as_str())
        .collect();
    assert!(
        subjects.contains(&"chat.api.shop.messages.send"),
        "{subjects:?}"
    );
    let stats = ask("$SRV.STATS.chat".to_owned()).await;
    assert_eq!(stats["type"], "io.nats.micro.v1.stats_response");
    let of = |subject: &str| {
        let all = stats["endpoints"].as_array().expect("a list");
        let found = all.iter().find(|one| one["subject"] == subject);
        found.expect("an endpoint").clone()
    };
    let sends = of("chat.api.shop.messages.send");
    assert_eq!(
        (&sends["num_requests"], &sends["num_errors"]),
        (&json!(1), &json!(1))
    );
    assert!(
        sends["last_error"]
            .as_str()
            .is_some_and(|text| text.starts_with("400:"))
    );
    let syncs = of("chat.api.shop.users.sync");
    assert_eq!(
        (&syncs["num_requests"], &syncs["num_errors"]),
        (&json!(1), &json!(0))
    );
    assert!(
        syncs["processing_time"]
            .as_u64()
            .is_some_and(|time| time > 0)
    );
}

#[tokio::test]
async fn a_host_that_repeats_what_was_not_answered_loses_nothing_when_a_service_stops() {
    let (nats, service, shop) = scenario().await;
    let second = service_at(&nats, &service).await;
    service.user("alice").await;
    let mut waiting = Vec::new();
    for n in 0..100 {
        let shop = shop.clone();
        waiting.push(tokio::spawn(async move {
            let payload = json!({ "externalUserId": format!("u{n}"), "name": "U" }).to_string();
            let ask = || shop.command("users.sync", None, &payload);
            match tokio::time::timeout(Duration::from_secs(3), ask()).await {
                Ok(answered) => answered.status,
                // It went to the one that stopped, in the moment of its going.
                Err(_) => ask().await.status,
            }
        }));
        if n == 50 {
            second.begin_stop();
        }
        tokio::time::sleep(Duration::from_millis(2)).await;
    }
    for one in waiting {
        let status = one.await.expect("it ends");
        assert!(matches!(status, 200 | 201), "{status}");
    }
    for n in 0..100 {
        let path = format!("/api/users/u{n}");
        service.internal().get(&path).await.expect(200);
    }
}

async fn service_at(nats: &Nats, other: &Service) -> Service {
    Service::builder()
        .database(other)
        .nats(nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "shop,game")
        .start()
        .await
}

#[tokio::test]
async fn commands_follow_the_same_access_rules() {
    let (_nats, service, shop) = scenario().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let field = |answered: &Answered| answered.json["details"][0]["field"].clone();
    for word in ["system", "all", "here", ".", "..", "me", "search", "sync"] {
        let payload = r#"{"type":"group","participantIds":[]}"#;
        let acting = shop
            .command("conversations.create", Some(word), payload)
            .await;
        assert_eq!(
            (acting.status, field(&acting)),
            (400, json!("X-Acting-User")),
            "{word}"
        );
        let payload = json!({ "receiverId": word, "content": "hello" }).to_string();
        let sent = shop
            .command("messages.sendDirect", Some("alice"), &payload)
            .await;
        assert_eq!(
            (sent.status, field(&sent)),
            (400, json!("receiverId")),
            "{word}"
        );
        let payload = json!({ "externalUserId": word, "name": "X" }).to_string();
        let synced = shop.command("users.sync", None, &payload).await;
        assert_eq!(
            (synced.status, field(&synced)),
            (400, json!("externalUserId"))
        );
    }
    // A user who blocks the acting user is not added; without an acting user the host adds anyone.
    let path = "/api/users/me/blocks/alice";
    bob.request(reqwest::Method::PUT, path, None)
        .await
        .expect(204);
    let group = service.group(&alice, &[]).await;
    let payload = json!({ "conversationId": group, "userIds": ["bob"] }).to_string();
    let refused = shop
        .command("participants.add", Some("alice"), &payload)
        .await;
    assert_eq!(
        (refused.status, field(&refused)),
        (400, json!("userIds[0]"))
    );
    let added = shop.command("participants.add", None, &payload).await;
    assert_eq!(added.status, 201, "{}", added.json);
    bob.delete(path).await.expect(204);
    // Neither member of a direct conversation can set the retention for the other.
    let direct = service.direct(&alice, &bob).await;
    let payload = json!({ "conversationId": direct, "retentionSeconds": 60 }).to_string();
    let refused = shop
        .command("conversations.change", Some("alice"), &payload)
        .await;
    assert_eq!(refused.status, 403, "{}", refused.json);
    let changed = shop.command("conversations.change", None, &payload).await;
    assert_eq!(
        (changed.status, &changed.json["retentionSeconds"]),
        (200, &json!(60))
    );
}

#[tokio::test]
async fn a_command_whose_event_would_be_too_large_is_refused_and_stores_nothing() {
    let (_nats, service, shop) = scenario().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let id = service.group(&alice, &[&bob]).await;
    let before = service.sandbox().log(&id).await;
    let mut body = hostile();
    body["conversationId"] = json!(id);
    for acting in [Some("alice"), None] {
        let answer = shop
            .command("messages.send", acting, &body.to_string())
            .await;
        assert_eq!(answer.status, 413, "{}", answer.json);
        assert_eq!(answer.json["code"], "PAYLOAD_TOO_LARGE");
        size_in(&answer.json["message"]);
    }
    assert_eq!(service.sandbox().log(&id).await, before);
}

#[tokio::test]
async fn an_answer_that_is_larger_than_a_message_comes_without_its_body() {
    let (_nats, service, shop) = scenario().await;
    let alice = service.user("alice").await;
    let id = service.group(&alice, &[]).await;
    let users: Vec<Value> = (0..60)
        .map(|n| {
            let link = format!("https://files.example/{}", "😀".repeat(2_000));
            json!({ "externalUserId": format!("u{n}"), "name": "n", "avatarUrl": link })
        })
        .collect();
    let batch = service
        .internal()
        .post("/api/users/sync/batch", json!({ "users": users }))
        .await
        .expect(200);
    assert_eq!(batch["results"][59]["status"], "created");
    let ids: Vec<String> = (0..60).map(|n| format!("u{n}")).collect();
    let payload = json!({ "conversationId": id, "userIds": ids });
    let added = shop
        .command("participants.add", None, &payload.to_string())
        .await;
    assert_eq!((added.status, &added.json), (201, &json!({})));
    let bytes: usize = added
        .header("Chat-Body-Omitted")
        .parse()
        .expect("the size of the body");
    assert!(bytes > 60 * 8_000, "{bytes}");
    let path = format!("/api/conversations/{id}");
    let conversation = alice.get(&path).await.expect(200);
    assert_eq!(conversation["participantCount"], 61);
}

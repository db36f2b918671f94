//! Verdicts about messages: pass, change, refuse; their order and filters.

use serde_json::json;

use super::sample::{asked, service};
use crate::support::eventually;

#[tokio::test]
async fn hooks_pass_change_and_refuse_messages_over_rest_and_sockets() {
    let service = service(r#"{ name = "words" }"#).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let mut bobs = bob.connect().await;
    let path = format!("/api/conversations/{conversation}/messages");

    alice.say(&conversation, "plain").await;
    let frame = bobs.next("message:new").await;
    assert_eq!(frame["data"]["content"], "plain");

    let body = json!({
        "content": "change this", "mentions": ["bob"], "metadata": { "order": 7 }, "ttlSeconds": 600,
        "attachments": [{ "url": "https://shop.example/a.png", "name": "a.png", "size": 5 }],
        "clientMessageId": "c-1",
    });
    let changed = alice.post(&path, body).await.expect(201);
    assert_eq!(changed["content"], "changed this");
    assert_eq!(changed["mentions"], json!(["bob"]));
    assert_eq!(changed["metadata"], json!({ "order": 7 }));
    assert_eq!(changed["attachments"][0]["size"], 5);
    assert!(changed["expiresAt"].is_string());
    assert_eq!(changed["clientMessageId"], "c-1");
    let frame = bobs.next("message:new").await;
    assert_eq!(frame["data"]["content"], "changed this");

    let refused = alice.post(&path, json!({ "content": "refuse this" })).await;
    let error = refused.expect_error(403, "FORBIDDEN");
    assert_eq!(error["message"], "The hook words does not like it.");
    assert_eq!(
        error["details"],
        json!([{ "field": "hook", "message": "BAD_WORD" }])
    );
    let mut alices = alice.connect().await;
    let data = json!({ "conversationId": conversation, "content": "refuse that" });
    let error = alices.refused("message:send", data).await;
    assert_eq!(error["code"], "FORBIDDEN");
    assert_eq!(error["message"], "The hook words does not like it.");
    assert_eq!(error["details"][0]["message"], "BAD_WORD");
    let history = alice.history(&conversation).await;
    let texts: Vec<&str> = history
        .iter()
        .filter_map(|one| one["content"].as_str())
        .collect();
    assert_eq!(texts, ["plain", "changed this"]);
}

#[tokio::test]
async fn hooks_are_asked_in_order_and_the_first_refusal_ends_the_chain() {
    let service = service(
        r#"{ name = "third", order = 3, prefix = "3:" },
           { name = "first", order = 1, prefix = "1:" },
           { name = "second", order = 2, prefix = "2:" }"#,
    )
    .await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/messages");
    let error = alice
        .post(&path, json!({ "content": "1:change 2:refuse" }))
        .await;
    let error = error.expect_error(403, "FORBIDDEN");
    assert_eq!(error["message"], "The hook second does not like it.");
    assert_eq!(
        asked(&service).await,
        [
            "first message.before_send 1:change 2:refuse",
            "second message.before_send 1:changed 2:refuse",
        ]
    );
    alice.say(&conversation, "fine").await;
    assert_eq!(asked(&service).await.len(), 5, "all three were asked");
}

#[tokio::test]
async fn a_filter_limits_a_hook_to_types_and_roles_and_bots_are_exempt() {
    let service = service(
        r#"{ name = "groups", types = ["group"] },
           { name = "members", roles = ["member"], prefix = "m:" },
           { name = "bots", bots = ["helper"], prefix = "b:" }"#,
    )
    .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let helper = service.user("helper").await;
    let group = service.group(&alice, &[&bob, &helper]).await;
    let direct = service.direct(&alice, &bob).await;
    let send = async |user: &crate::support::User, conversation: &str, text: &str| {
        let path = format!("/api/conversations/{conversation}/messages");
        user.post(&path, json!({ "content": text })).await.status
    };
    assert_eq!(send(&alice, &group, "refuse").await, 403);
    assert_eq!(send(&alice, &direct, "refuse").await, 201);
    assert_eq!(
        send(&alice, &group, "m:x m:refuse").await,
        403,
        "by the first hook"
    );
    assert_eq!(
        send(&alice, &direct, "m:refuse").await,
        403,
        "all are members in a direct one"
    );
    assert_eq!(send(&bob, &direct, "b:refuse").await, 403);
    let own = asked(&service).await.len();
    assert_eq!(send(&helper, &group, "b:fine").await, 201);
    let asked = asked(&service).await;
    let new = &asked[own..];
    assert!(new.iter().all(|line| !line.starts_with("bots")), "{new:?}");
    // The owner of the group is no plain member.
    assert_eq!(send(&alice, &group, "fine").await, 201);
}

#[tokio::test]
async fn a_shadow_hook_decides_nothing_and_delays_nothing() {
    let service = service(r#"{ name = "shadow", shadow = true, timeout_ms = 5000 }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    for text in ["refuse", "hold", "change", "panic"] {
        let sent = alice.say(&conversation, text).await;
        assert_eq!(sent["content"], text);
        assert_eq!(sent["isHeld"], json!(null));
    }
    // It would be stuck for an hour.
    alice.say(&conversation, "stuck").await;
    eventually("the shadow's verdicts are counted", || async {
        let metrics = service.anonymous().get("/metrics").await.text;
        let counted = ["refuse", "hold", "change", "fault"].iter().all(|outcome| {
            metrics.lines().any(|line| {
                line.starts_with("chat_hook_calls_total")
                    && line.contains(&format!("outcome=\"{outcome}\""))
                    && line.contains("shadow=\"true\"")
            })
        });
        counted.then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_hook_that_writes_with_its_bot_is_not_asked_about_that_message() {
    let service = service(r#"{ name = "words", timeout_ms = 5000, closed = true }"#).await;
    let host = service.internal();
    let bot = host
        .post("/api/admin/hooked/bot", json!(null))
        .await
        .expect(200);
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let path = format!("/api/conversations/{conversation}/participants");
    host.post(&path, json!({ "userIds": [bot] }))
        .await
        .expect(201);
    alice.say(&conversation, "echo").await;
    let history = alice.history(&conversation).await;
    let senders: Vec<&str> = history
        .iter()
        .filter_map(|one| one["senderId"].as_str())
        .collect();
    assert_eq!(senders, ["bot:hooked:helper", "alice"]);
    assert_eq!(asked(&service).await, ["words message.before_send echo"]);
}

#[tokio::test]
async fn messages_keep_the_order_of_their_sender_although_hooks_decide_at_once() {
    let service = service(r#"{ name = "words" }"#).await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let mut socket = alice.connect().await;
    let mut ids = Vec::new();
    for n in 0..20 {
        // Every third decision takes longer; one of them is a refusal.
        let content = match n {
            6 => "slow refuse".to_owned(),
            n if n % 3 == 0 => format!("slow {n}"),
            n => format!("{n}"),
        };
        let data = json!({ "conversationId": conversation, "content": content, "clientMessageId": format!("c-{n}") });
        ids.push(socket.post("message:send", data));
    }
    for id in ids {
        socket.ack(&id).await;
    }
    let history = alice.history(&conversation).await;
    let order: Vec<&str> = history
        .iter()
        .filter_map(|one| one["clientMessageId"].as_str())
        .collect();
    let expected: Vec<String> = (0..20)
        .filter(|n| *n != 6)
        .map(|n| format!("c-{n}"))
        .collect();
    assert_eq!(order, expected);
}

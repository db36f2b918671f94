//! Rules for texts, on every way into the service.

use std::time::Duration;

use async_nats::{ConnectOptions, HeaderMap};
use chat_sdk::Timestamp;
use reqwest::Method;
use serde_json::{Value, json};

use super::{
    builder, code, eventually_refused, expect_refused, id, path, refuse_words, set_rule, try_say,
};
use crate::support::{Nats, User, eventually, eventually_within};

/// Texts that break the rules of [`set_all`], each with a clean one.
const TEXTS: [&str; 3] = [
    "a banned word",
    "call 555-1234",
    "see https://bad.example/x",
];

/// Sets a rule of each kind.
async fn set_all(node: &crate::support::Node, action: &str) {
    for (name, kind, entry) in [
        ("words", "words", "banned"),
        ("patterns", "patterns", r"\b\d{3}-\d{4}\b"),
        ("links", "links", "bad.example"),
    ] {
        let body = json!({ "kind": kind, "entries": [entry], "action": action });
        set_rule(node, name, body).await.expect(201);
    }
}

async fn edit(user: &User, message: &str, text: &str) -> crate::support::Answer {
    let path = format!("/api/messages/{message}");
    user.patch(&path, json!({ "content": text })).await
}

#[tokio::test]
async fn a_violation_is_refused_on_every_way_and_members_keep_the_old_text() {
    let service = builder().start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let other = service.group(&bob, &[]).await;
    let sent = id(&bob.say(&conversation, "clean").await);
    // They are older than the rules, so they may be forwarded as far as the core is concerned.
    let mut bad = Vec::new();
    for text in TEXTS {
        bad.push(id(&bob.say(&conversation, text).await));
    }
    let mut socket = bob.connect().await;
    let at = Timestamp::from_millis(Timestamp::now().as_millis() + 5000);
    let body = json!({ "conversationId": other, "content": TEXTS[0], "sendAt": at });
    let scheduled = bob.post("/api/scheduled", body).await.expect(201);
    set_all(&service, "refuse").await;

    for (text, old) in TEXTS.iter().zip(&bad) {
        expect_refused(&bob, &conversation, text, "RULE").await;
        let data = json!({ "conversationId": conversation, "content": text });
        assert_eq!(code(&socket.refused("message:send", data).await), "RULE");
        let data = json!({ "conversationId": conversation, "content": text, "threadId": sent });
        assert_eq!(code(&socket.refused("message:send", data).await), "RULE");
        let answer = edit(&bob, &sent, text).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "RULE");
        let data = json!({ "messageId": sent, "content": text });
        assert_eq!(code(&socket.refused("message:edit", data).await), "RULE");
        let acting = service.internal().acting_for("bob");
        let messages = format!("/api/conversations/{conversation}/messages");
        let answer = acting.post(&messages, json!({ "content": text })).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "RULE");
        let forward = format!("/api/messages/{old}/forward");
        let answer = bob
            .post(&forward, json!({ "conversationIds": [other] }))
            .await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "RULE");
        let group = json!({ "type": "group", "participantIds": [], "name": text });
        let answer = bob.post("/api/conversations", group).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "RULE");
    }
    let shown = alice
        .get(&format!("/api/messages/{sent}"))
        .await
        .expect(200);
    assert_eq!(
        (&shown["content"], &shown["isEdited"]),
        (&json!("clean"), &json!(false))
    );

    let path = format!("/api/scheduled/{}", id(&scheduled));
    let limit = Duration::from_secs(20);
    let failed = eventually_within(limit, "the scheduled message fails", || async {
        let found = bob.get(&path).await;
        (found.status == 200 && found.json["status"] == "failed").then_some(found.json)
    })
    .await;
    assert_eq!(failed["failure"]["code"], "FORBIDDEN", "{failed}");
    assert!(bob.history(&other).await.is_empty());
}

#[tokio::test]
async fn a_rule_that_holds_holds_sends_and_refuses_edits_and_names() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let sent = id(&alice.say(&conversation, "clean").await);
    set_all(&service, "hold").await;
    let mut socket = alice.connect().await;
    for text in TEXTS {
        let held = try_say(&alice, &conversation, text).await.expect(201);
        assert_eq!(held["isHeld"], true, "{held}");
        let data = json!({ "conversationId": conversation, "content": text });
        let ack = socket.ok("message:send", data).await;
        assert_eq!(ack["message"]["isHeld"], true, "{ack}");
        let answer = edit(&alice, &sent, text).await;
        assert_eq!(code(&answer.expect_error(403, "FORBIDDEN")), "RULE");
    }
    let held = service.internal().get("/api/held").await.expect(200);
    assert_eq!(held["held"].as_array().map(Vec::len), Some(6), "{held}");
    let reason = held["held"][0]["reason"].as_str().expect("a reason");
    assert_eq!(reason, "The message matches the rule words.");
    assert_eq!(alice.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn commands_over_nats_are_refused_as_over_rest() {
    let nats = Nats::with_hosts(&["shop"]).await;
    let service = builder()
        .nats(&nats)
        .env("NATS_SUBJECT_PREFIX", "chat")
        .env("NATS_COMMAND_HOSTS", "shop")
        .start()
        .await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let sent = id(&alice.say(&conversation, "clean").await);
    refuse_words(&service, &["banned"]).await;
    let password = nats.host_password().to_owned();
    let options = ConnectOptions::with_user_and_password("shop".to_owned(), password);
    let client = options.connect(nats.address()).await.expect("a login");
    for (command, data) in [
        (
            "messages.send",
            json!({ "conversationId": conversation, "content": "ban**ned**" }),
        ),
        (
            "messages.edit",
            json!({ "messageId": sent, "content": "ban**ned**" }),
        ),
        (
            "conversations.create",
            json!({ "type": "group", "participantIds": [], "name": "ban**ned**" }),
        ),
    ] {
        let error: Value = eventually(command, || async {
            let mut headers = HeaderMap::new();
            headers.insert("X-Acting-User", "alice");
            let subject = format!("chat.api.shop.{command}");
            let payload = data.to_string().into();
            // Nobody answers until the service has subscribed.
            let answer = client.request_with_headers(subject, headers, payload);
            serde_json::from_slice(&answer.await.ok()?.payload).ok()
        })
        .await;
        assert_eq!(code(&error), "RULE", "{command}");
    }
    assert_eq!(alice.history(&conversation).await.len(), 1);
}

#[tokio::test]
async fn spelling_tricks_hide_no_word_and_texts_are_stored_unchanged() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    refuse_words(&service, &["banned"]).await;
    let mut unseen: Vec<char> = vec!['\u{ad}', '\u{34f}', '\u{feff}', '\u{fe0f}', '\u{301}'];
    unseen.extend('\u{200b}'..='\u{200f}');
    unseen.extend('\u{2060}'..='\u{2064}');
    unseen.extend(['\u{202a}', '\u{202e}', '\u{2066}', '\u{2069}', '\u{e0101}']);
    let mut texts: Vec<String> = unseen
        .iter()
        .map(|c| format!("so ba{c}nn{c}ed here"))
        .collect();
    texts.extend(
        [
            "ban**ned**",
            "||ban||ned",
            "BANNED",
            "b\u{430}nned",
            "ｂａｎｎｅｄ",
        ]
        .map(str::to_owned),
    );
    for text in &texts {
        expect_refused(&alice, &conversation, text, "RULE").await;
    }
    for text in ["👨‍👩‍👧‍👦 ❤️", "می‌خواهم بروم", "e\u{301}tude ban"]
    {
        let sent = alice.say(&conversation, text).await;
        assert_eq!(sent["content"], text);
    }
}

#[tokio::test]
async fn a_list_with_one_invalid_entry_is_rejected_whole_and_the_old_one_stays_active() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let rule =
        |entries: &[String]| json!({ "kind": "patterns", "entries": entries, "action": "refuse" });
    set_rule(&service, "list", rule(&["old".to_owned()]))
        .await
        .expect(201);
    let mut entries: Vec<String> = (0..1000).map(|n| format!("word{n}x")).collect();
    entries[417] = "(".to_owned();
    let error = set_rule(&service, "list", rule(&entries))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "entries[417]", "{error}");
    assert_eq!(error["details"].as_array().map(Vec::len), Some(1));
    expect_refused(&alice, &conversation, "old", "RULE").await;
    alice.say(&conversation, "word3x").await;
    entries[417] = "fine".to_owned();
    set_rule(&service, "list", rule(&entries)).await.expect(200);
    expect_refused(&alice, &conversation, "word3x", "RULE").await;
    alice.say(&conversation, "old").await;
}

#[tokio::test]
async fn every_field_of_a_rule_is_checked_and_named() {
    let service = builder().start().await;
    let words = |entries: Value| json!({ "kind": "words", "entries": entries, "action": "refuse" });
    for (field, body) in [
        ("entries", words(json!([]))),
        ("entries[1]", words(json!(["a", ""]))),
        ("entries[0]", words(json!(["x".repeat(201)]))),
        ("entries[0]", words(json!(["\u{200b}"]))),
        (
            "entries[0]",
            json!({ "kind": "links", "entries": ["https://a.example"], "action": "refuse" }),
        ),
        (
            "entries[0]",
            json!({ "kind": "patterns", "entries": [".*"], "action": "refuse" }),
        ),
        (
            "entries[0]",
            json!({ "kind": "patterns", "entries": [r"(\w{500}){500}"], "action": "refuse" }),
        ),
        (
            "mode",
            json!({ "kind": "words", "entries": ["a"], "action": "refuse", "mode": "allow" }),
        ),
        (
            "reason",
            json!({ "kind": "words", "entries": ["a"], "action": "refuse", "reason": "x".repeat(201) }),
        ),
        (
            "action",
            json!({ "kind": "words", "entries": ["a"], "action": "laugh" }),
        ),
        (
            "kind",
            json!({ "kind": "songs", "entries": ["a"], "action": "refuse" }),
        ),
    ] {
        let error = set_rule(&service, "bad", body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        let named = error["details"][0]["field"].as_str().expect("a field");
        assert!(
            named == field || field == "entries" && named.starts_with("entries"),
            "{error}"
        );
    }
    let body = words(json!(["a"]));
    let error = set_rule(&service, "No%20name", body)
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "name");
    let many: Vec<String> = (0..2001).map(|n| format!("w{n}")).collect();
    set_rule(&service, "bad", words(json!(many)))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    let host = service.internal();
    host.get(&path("rules/bad"))
        .await
        .expect_error(404, "NOT_FOUND");
    host.delete(&path("rules/bad"))
        .await
        .expect_error(404, "NOT_FOUND");
    let error = host
        .get(&path("rules?after=%24"))
        .await
        .expect_error(400, "VALIDATION_ERROR");
    assert_eq!(error["details"][0]["field"], "after");
}

#[tokio::test]
async fn rules_apply_in_their_conversations_only_and_links_may_be_limited_to_allowed_domains() {
    let service = builder().start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let (one, other) = (
        service.group(&alice, &[]).await,
        service.group(&alice, &[]).await,
    );
    let direct = service.direct(&alice, &bob).await;
    let body = json!({ "kind": "words", "entries": ["secret"], "action": "refuse", "conversationIds": [one], "reason": "Not in here." });
    set_rule(&service, "one", body).await.expect(201);
    let body = json!({
        "kind": "links", "mode": "allow", "entries": ["shop.example"], "action": "refuse", "conversationTypes": ["group"],
    });
    set_rule(&service, "shop", body).await.expect(201);
    let error = expect_refused(&alice, &one, "a secret", "RULE").await;
    assert_eq!(error["message"], "Not in here.");
    alice.say(&other, "a secret").await;
    for room in [&one, &other] {
        expect_refused(&alice, room, "https://evil.example", "RULE").await;
        alice.say(room, "https://cdn.shop.example/a").await;
    }
    alice
        .say(&direct, "https://evil.example and a secret")
        .await;

    let host = service.internal();
    let page = host.get(&path("rules?limit=1")).await.expect(200);
    assert_eq!(
        (&page["rules"][0]["name"], &page["hasMore"]),
        (&json!("one"), &json!(true))
    );
    assert_eq!(page["rules"][0]["entries"], json!(null));
    let next = page["nextCursor"].as_str().expect("a cursor");
    let page = host
        .get(&path(&format!("rules?after={next}")))
        .await
        .expect(200);
    assert_eq!(
        (&page["rules"][0]["name"], &page["hasMore"]),
        (&json!("shop"), &json!(false))
    );
    let rule = host.get(&path("rules/one")).await.expect(200);
    assert_eq!(
        (&rule["entries"], &rule["entryCount"]),
        (&json!(["secret"]), &json!(1))
    );
    host.delete(&path("rules/one")).await.expect(204);
    alice.say(&one, "a secret").await;
}

#[tokio::test]
async fn a_change_of_a_rule_reaches_every_process() {
    let one = builder().start().await;
    let other = builder().database(&one).start().await;
    let alice = one.user("alice").await;
    let conversation = one.group(&alice, &[]).await;
    let there = alice.at(&other);
    there.say(&conversation, "first and second").await;
    refuse_words(&one, &["first"]).await;
    eventually_refused(&there, &conversation, "first").await;
    refuse_words(&one, &["second"]).await;
    eventually_refused(&there, &conversation, "second").await;
    there.say(&conversation, "first").await;
    one.internal()
        .request(Method::DELETE, &path("rules/words"), None)
        .await
        .expect(204);
    eventually("the rule is gone", || async {
        (try_say(&there, &conversation, "second").await.status == 201).then_some(())
    })
    .await;
}

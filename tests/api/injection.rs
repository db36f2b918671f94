//! Input that a database, a broker or a parser could execute is rejected as invalid or treated as plain text.

use serde_json::{Value, json};

use super::{column, faults, wire};
use crate::support::Service;

/// Values that MongoDB would understand as query operators, and other non-text values in place of a text.
fn orders() -> Vec<Value> {
    vec![
        json!({ "$ne": null }),
        json!({ "$gt": "" }),
        json!({ "$where": "sleep(5000)" }),
        json!({ "$regex": "^(a+)+$" }),
        json!({ "$in": ["alice", "bob"] }),
        json!([]),
        json!(["alice"]),
        json!([{ "$ne": null }]),
        json!({ "$oid": "507f1f77bcf86cd799439011" }),
        json!(true),
        json!(0),
        json!(1.5),
    ]
}

/// Every body with every field, so that each can be spoiled in turn.
fn bodies(conversation: &str, message: &str) -> Vec<(&'static str, String, Value)> {
    let send = json!({
        "content": "hello", "type": "text", "replyTo": message, "threadId": message, "clientMessageId": "c1",
        "mentions": ["bob"], "attachments": [{ "url": "https://a.example/b", "mimeType": "image/png", "name": "b", "size": 1, "thumbnailUrl": "https://a.example/c" }],
        "metadata": {},
    });
    let mut direct = send.clone();
    direct["receiverId"] = json!("bob");
    vec![
        (
            "POST",
            "/api/conversations".to_owned(),
            json!({ "type": "group", "participantIds": ["bob"], "name": "n", "avatarUrl": "https://a.example/b", "metadata": {}, "historyVisibility": "full" }),
        ),
        (
            "PATCH",
            format!("/api/conversations/{conversation}"),
            json!({ "name": "n", "avatarUrl": "https://a.example/b", "metadata": {}, "historyVisibility": "full" }),
        ),
        (
            "POST",
            format!("/api/conversations/{conversation}/participants"),
            json!({ "userIds": ["bob"], "role": "member" }),
        ),
        (
            "PATCH",
            format!("/api/conversations/{conversation}/participants/bob"),
            json!({ "role": "admin" }),
        ),
        (
            "POST",
            format!("/api/conversations/{conversation}/messages"),
            send,
        ),
        ("POST", "/api/messages".to_owned(), direct),
        (
            "PATCH",
            format!("/api/messages/{message}"),
            json!({ "content": "changed", "metadata": {} }),
        ),
        (
            "POST",
            format!("/api/messages/{message}/reactions"),
            json!({ "emoji": "👍" }),
        ),
        (
            "POST",
            format!("/api/messages/{message}/forward"),
            json!({ "conversationIds": [conversation], "clientMessageId": "c2" }),
        ),
        (
            "PATCH",
            format!("/api/conversations/{conversation}/me"),
            json!({ "mutedUntil": "2099-01-01T00:00:00.000Z", "notificationLevel": "all" }),
        ),
        (
            "PATCH",
            "/api/users/me".to_owned(),
            json!({ "name": "n", "avatarUrl": "https://a.example/b", "metadata": {} }),
        ),
    ]
}

/// The body with `order` in the place of one field, for each field; with that field's name.
fn spoiled(body: &Value, order: &Value) -> Vec<(String, Value)> {
    let fields: Vec<String> = body
        .as_object()
        .expect("an object")
        .keys()
        .cloned()
        .collect();
    let mut spoiled = Vec::new();
    for field in fields {
        let mut copy = body.clone();
        copy[&field] = order.clone();
        // Free JSON of the host takes any object, and a list of ids takes a list of ids.
        let is_fine = field == "metadata" && order.is_object()
            || body[&field].is_array() && order.is_array() && order[0].as_object().is_none();
        if !is_fine {
            spoiled.push((field.clone(), copy));
        }
        if let Some(first) = body[&field].as_array().and_then(|items| items.first()) {
            let mut copy = body.clone();
            copy[&field][0] = order.clone();
            spoiled.push((field.clone(), copy));
            for inner in first.as_object().into_iter().flat_map(|item| item.keys()) {
                // A size is a whole number, so 0 is one.
                if !(inner == "size" && order.is_u64()) {
                    let mut copy = body.clone();
                    copy[&field][0][inner] = order.clone();
                    spoiled.push((field.clone(), copy));
                }
            }
        }
    }
    spoiled
}

#[tokio::test]
async fn an_operator_in_any_field_of_any_body_is_a_wrong_value() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let message = super::id(&alice.say(&conversation, "before").await);
    let mut tried = 0;
    for (method, path, body) in bodies(&conversation, &message) {
        for order in orders() {
            for (field, body) in spoiled(&body, &order) {
                let answer = super::ask(&alice, method, &path, Some(body.clone())).await;
                assert_eq!(answer.status, 400, "{method} {path} took {body}");
                let found = faults(&answer);
                assert!(
                    found.iter().all(|fault| fault.starts_with(&field)),
                    "{field}: {found:?} for {body}"
                );
                tried += 1;
            }
        }
    }
    assert!(tried > 300, "{tried} bodies only");
    let host = service.internal();
    let user = json!({ "externalUserId": "carol", "name": "Carol", "avatarUrl": "https://a.example/b", "email": "c@a.example", "roles": ["buyer"], "metadata": {} });
    for order in orders() {
        for (field, body) in spoiled(&user, &order) {
            let answer = host.post("/api/users/sync", body.clone()).await;
            assert_eq!(answer.status, 400, "{body}");
            assert!(faults(&answer)[0].starts_with(&field), "{body}");
        }
    }
    // The request had no effect.
    let messages = alice
        .get(&format!("/api/conversations/{conversation}/messages"))
        .await
        .expect(200);
    assert_eq!(column(&messages["messages"], "content"), ["before"]);
    alice.get("/api/users/carol").await.expect(404);
}

#[tokio::test]
async fn an_operator_in_a_query_is_text() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [("authorization", bearer.as_str())];
    for query in [
        "q[$ne]=x",
        "q[$regex]=.*",
        "q[]=a",
        "limit[$gt]=1&q=zzz",
        "q=%7B%22$ne%22:null%7D",
        "q=.*",
        "q=%5E",
        "q=%24where",
        "q=*",
        "q=a%7Cb",
        "q=%5Cw",
    ] {
        let answer = wire::send(
            &service,
            "GET",
            &format!("/api/users/search?{query}"),
            &headers,
            b"",
        )
        .await;
        match answer.status {
            400 => {}
            200 => assert_eq!(answer.json()["users"], json!([]), "{query} found somebody"),
            status => panic!("{query} answered {status}"),
        }
    }
    for query in ["q=.*", "q=%24ne", "q[$ne]=x"] {
        let answer = wire::send(
            &service,
            "GET",
            &format!("/api/conversations/public?{query}"),
            &headers,
            b"",
        )
        .await;
        assert_eq!(answer.json()["conversations"], json!([]), "{query}");
    }
}

#[tokio::test]
async fn the_nul_character_is_refused_everywhere() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let messages = format!("/api/conversations/{conversation}/messages");
    for (body, field) in [
        (json!({ "content": "a\0b" }), "content"),
        (
            json!({ "content": "x", "clientMessageId": "a\0b" }),
            "clientMessageId",
        ),
        (
            json!({ "content": "x", "metadata": { "k": "a\0b" } }),
            "metadata.k",
        ),
        (
            json!({ "content": "x", "metadata": { "deep": [{ "k": "\0" }] } }),
            "metadata.deep[0].k",
        ),
        (
            json!({ "content": "x", "attachments": [{ "url": "https://a.example/\0" }] }),
            "attachments[0].url",
        ),
        (
            json!({ "content": "x", "mentions": ["b\0b"] }),
            "mentions[0]",
        ),
    ] {
        let answer = alice.post(&messages, body).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
    let answer = alice
        .post(
            &messages,
            json!({ "content": "x", "metadata": { "a\0b": 1 } }),
        )
        .await;
    assert_eq!(answer.status, 400);
    for path in [
        "/api/users/a%00b",
        "/api/conversations/public?q=%00",
        "/api/users/search?q=a%00",
    ] {
        let status = alice.get(path).await.status;
        assert!(status == 400 || status == 404, "{path} answered {status}");
    }
}

#[tokio::test]
async fn a_field_given_twice_is_refused() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    for (body, field) in [
        (
            r#"{"type":"group","participantIds":[],"type":"public"}"#,
            "type",
        ),
        (
            r#"{"type":"group","participantIds":[],"metadata":{"a":{"b":1,"b":2}}}"#,
            "metadata.a.b",
        ),
        (
            r#"{"type":"group","participantIds":[],"\u0074ype":"public"}"#,
            "type",
        ),
    ] {
        let answer = wire::send(
            &service,
            "POST",
            "/api/conversations",
            &headers,
            body.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.faults()),
            (400, vec![field.to_owned()]),
            "{body}"
        );
    }
}

#[tokio::test]
async fn deeply_nested_json_is_refused_quickly() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let arrays = "[".repeat(500_000);
    let objects = "{\"a\":".repeat(100_000);
    let closed = format!(
        "{{\"type\":\"group\",\"participantIds\":[],\"metadata\":{{\"a\":{}{}}}}}",
        "[".repeat(100),
        "]".repeat(100)
    );
    for body in [arrays, objects, closed] {
        let started = std::time::Instant::now();
        let answer = wire::send(
            &service,
            "POST",
            "/api/conversations",
            &headers,
            body.as_bytes(),
        )
        .await;
        assert_eq!(
            (answer.status, answer.faults()),
            (400, vec!["body".to_owned()])
        );
        assert!(
            started.elapsed().as_secs() < 2,
            "it took {:?}",
            started.elapsed()
        );
    }
    service.anonymous().get("/api/health").await.expect(200);
}

#[tokio::test]
async fn numbers_that_no_field_can_hold_are_refused() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let bearer = format!("Bearer {}", alice.token);
    let headers = [
        ("content-type", "application/json"),
        ("authorization", bearer.as_str()),
    ];
    let path = format!("/api/conversations/{conversation}/messages");
    for size in [
        "-1",
        "1.5",
        "1e400",
        "99999999999999999999",
        "9223372036854775808",
    ] {
        let body = format!(
            r#"{{"content":"x","attachments":[{{"url":"https://a.example/b","size":{size}}}]}}"#
        );
        let answer = wire::send(&service, "POST", &path, &headers, body.as_bytes()).await;
        assert_eq!(answer.status, 400, "{size}");
    }
    for after in [
        "-1",
        "1.5",
        "x",
        "9223372036854775808",
        "99999999999999999999",
    ] {
        let answer = alice
            .get(&format!(
                "/api/conversations/{conversation}/log?after={after}"
            ))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["after".to_owned()]),
            "{after}"
        );
    }
    // The greatest number that is one.
    alice
        .get(&format!(
            "/api/conversations/{conversation}/log?after=9223372036854775807"
        ))
        .await
        .expect(200);
}

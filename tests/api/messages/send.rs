//! `POST /api/conversations/{id}/messages`.

use serde_json::{Value, json};

use super::super::{faults, id, wire};
use super::Group;

#[tokio::test]
async fn a_sent_message_is_returned_unchanged() {
    let group = Group::of_two().await;
    let first = id(&group.alice.say(&group.id, "first").await);
    let sent = json!({
        "content": "Grüße 👩‍👩‍👧 \u{202e}abc \"quoted\" \\ \n\t end",
        "type": "custom",
        "attachments": [
            { "url": "https://shop.example/a.png", "mimeType": "image/png", "name": "ä.png", "size": 9_007_199_254_740_993i64, "thumbnailUrl": "https://shop.example/t.png" },
            { "url": "data:," },
        ],
        "replyTo": first,
        "threadId": first,
        "mentions": ["bob", "alice"],
        "metadata": { "orderId": 4711 },
        "clientMessageId": "c-1",
    });
    let message = group
        .alice
        .post(&group.messages, sent.clone())
        .await
        .expect(201);
    for (field, value) in sent.as_object().expect("an object") {
        assert_eq!(&message[field], value, "{field}");
    }
    assert_eq!(message["conversationId"], json!(group.id));
    assert_eq!(message["senderId"], "alice");
    assert_eq!(message["seq"], 3);
    assert_eq!(
        (&message["isEdited"], &message["isDeleted"]),
        (&json!(false), &json!(false))
    );
    assert_eq!(
        (&message["reactions"], &message["replyCount"]),
        (&json!([]), &json!(0))
    );
    assert_eq!(message["createdAt"], message["updatedAt"]);
    let path = format!("/api/messages/{}", id(&message));
    for user in [&group.alice, &group.bob] {
        assert_eq!(user.get(&path).await.expect(200), message);
        assert_eq!(user.history(&group.id).await[1], message);
    }
}

#[tokio::test]
async fn omitted_fields_have_defaults() {
    let group = Group::of_two().await;
    let message = group.alice.say(&group.id, "hello").await;
    assert_eq!(message["type"], "text");
    for empty in ["attachments", "mentions", "reactions"] {
        assert_eq!(message[empty], json!([]), "{empty}");
    }
    for absent in ["replyTo", "threadId", "metadata", "clientMessageId"] {
        assert!(message.get(absent).is_none(), "{absent} in {message}");
    }
    let nulls = json!({ "content": "hello", "type": null, "attachments": null, "replyTo": null, "mentions": null, "metadata": null, "clientMessageId": null });
    let message = group.alice.post(&group.messages, nulls).await.expect(201);
    assert_eq!(
        (&message["type"], &message["mentions"]),
        (&json!("text"), &json!([]))
    );
}

#[tokio::test]
async fn times_are_iso_8601_in_utc_with_milliseconds() {
    let group = Group::of_two().await;
    let message = group.alice.say(&group.id, "hello").await;
    let at = super::super::text(&message, "createdAt");
    let shape: String = at
        .chars()
        .map(|c| if c.is_ascii_digit() { '0' } else { c })
        .collect();
    assert_eq!(shape, "0000-00-00T00:00:00.000Z");
}

#[tokio::test]
async fn metadata_is_kept_to_the_last_digit() {
    let group = Group::of_two().await;
    let bearer = format!("Bearer {}", group.alice.token);
    let headers = [
        ("authorization", bearer.as_str()),
        ("content-type", "application/json"),
    ];
    for metadata in [
        r#"{"max":18446744073709551615,"min":-9223372036854775808,"past":9007199254740993}"#,
        r#"{"float":0.1,"exact":31.245270191439438,"more":121.48791951161945,"tiny":5e-324,"whole":1.0,"minus":-0.0}"#,
        r#"{"$where":"x","$set":{"a.b":1},"a.b":{"$gt":""},"":"","_id":1,"__proto__":{"x":1},"constructor":null}"#,
        r#"{"😀":"\u0001\u001f","名前":["a",[],{},[[]],null,true,false]}"#,
        r#"{"b":1,"a":2}"#,
        "{}",
    ] {
        let body = format!(r#"{{"content":"x","metadata":{metadata}}}"#);
        let sent = wire::send(
            &group.service,
            "POST",
            &group.messages,
            &headers,
            body.as_bytes(),
        )
        .await;
        assert_eq!(sent.status, 201, "{metadata}");
        let path = format!("/api/messages/{}", id(&sent.json()));
        let read = wire::send(&group.service, "GET", &path, &headers, b"").await;
        assert_eq!(
            read.json()["metadata"],
            serde_json::from_str::<Value>(metadata).expect("JSON"),
            "{metadata}"
        );
        let text = String::from_utf8_lossy(&read.body);
        for digits in [
            "18446744073709551615",
            "-9223372036854775808",
            "9007199254740993",
            "31.245270191439438",
            "121.48791951161945",
            "5e-324",
            "1.0",
        ] {
            assert_eq!(
                metadata.contains(digits),
                text.contains(digits),
                "{digits} in {text}"
            );
        }
        let sent = String::from_utf8_lossy(&sent.body).into_owned();
        assert_eq!(
            sent, text,
            "the answer to the send is the message as it is stored"
        );
    }
}

#[tokio::test]
async fn a_text_is_measured_in_bytes() {
    let group = Group::of_two().await;
    let send = async |content: String| {
        group
            .alice
            .post(&group.messages, json!({ "content": content }))
            .await
    };
    for fits in [
        "x".repeat(16_384),
        "é".repeat(8_192),
        "😀".repeat(4_096),
        "\"".repeat(16_384),
        "\u{1}".repeat(16_384),
    ] {
        let sent = send(fits.clone()).await.expect(201);
        assert_eq!(
            group
                .bob
                .get(&format!("/api/messages/{}", id(&sent)))
                .await
                .expect(200)["content"],
            json!(fits)
        );
    }
    for too_long in [
        "x".repeat(16_385),
        "é".repeat(8_193),
        format!("{}x", "😀".repeat(4_096)),
    ] {
        let answer = send(too_long).await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["content".to_owned()])
        );
    }
}

#[tokio::test]
async fn the_limit_of_a_text_can_be_configured() {
    let service = crate::support::Service::builder()
        .env("MAX_MESSAGE_BYTES", "10")
        .start()
        .await;
    let alice = service.user("alice").await;
    let group = service.group(&alice, &[]).await;
    alice.say(&group, "0123456789").await;
    let answer = alice
        .post(
            &format!("/api/conversations/{group}/messages"),
            json!({ "content": "0123456789x" }),
        )
        .await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["content".to_owned()])
    );
    assert!(
        answer.json["message"]
            .as_str()
            .is_some_and(|text| text.contains("10")),
        "the limit is named: {answer}"
    );
}

#[tokio::test]
async fn an_empty_text_needs_something_beside_it() {
    let group = Group::of_two().await;
    let attachment = json!([{ "url": "https://shop.example/a.png" }]);
    for (body, status) in [
        (json!({}), 400),
        (json!({ "content": "" }), 400),
        (json!({ "content": " \n\t\u{a0} " }), 400),
        (json!({ "content": null }), 400),
        (json!({ "metadata": { "x": 1 } }), 400),
        (json!({ "attachments": [] }), 400),
        (json!({ "attachments": attachment }), 201),
        (json!({ "content": "", "attachments": attachment }), 201),
        (json!({ "type": "custom", "metadata": { "x": 1 } }), 201),
    ] {
        let answer = group.alice.post(&group.messages, body.clone()).await;
        assert_eq!(answer.status, status, "{body}: {answer}");
        if status == 400 {
            assert_eq!(faults(&answer), ["content"], "{body}");
        }
    }
}

#[tokio::test]
async fn every_other_limit_is_enforced() {
    let group = Group::of_two().await;
    let metadata_of = |bytes: usize| json!({ "x": "y".repeat(bytes - r#"{"x":""}"#.len()) });
    let attachment = json!({ "url": "https://shop.example/a.png" });
    let mentions = |count: usize| {
        (0..count)
            .map(|n| json!(format!("u{n}")))
            .collect::<Vec<Value>>()
    };
    for (field, value) in [
        ("metadata", metadata_of(16 * 1024 + 1)),
        ("attachments", json!(vec![attachment.clone(); 21])),
        ("attachments[0].url", json!([{ "url": "x".repeat(2049) }])),
        (
            "attachments[0].url",
            json!([{ "url": " Java\tscript:alert(1)" }]),
        ),
        (
            "attachments[0].thumbnailUrl",
            json!([{ "url": "x", "thumbnailUrl": "vbscript:x" }]),
        ),
        (
            "attachments[0].name",
            json!([{ "url": "x", "name": "n".repeat(256) }]),
        ),
        ("mentions", json!(mentions(101))),
        ("mentions", json!(["bob", "bob"])),
        ("mentions[0]", json!(["x".repeat(129)])),
        ("clientMessageId", json!("x".repeat(129))),
        ("clientMessageId", json!("a\nb")),
        ("type", json!("system")),
        ("replyTo", json!(group.id)),
    ] {
        let name = field.split('[').next().unwrap_or_default();
        let answer = group
            .alice
            .post(&group.messages, json!({ "content": "x", name: value }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{answer}"
        );
    }
    for (field, value) in [
        ("metadata", metadata_of(16 * 1024)),
        ("attachments", json!(vec![attachment; 20])),
        ("mentions", json!(mentions(100))),
        ("clientMessageId", json!("名".repeat(128))),
    ] {
        group
            .alice
            .post(&group.messages, json!({ "content": "x", field: value }))
            .await
            .expect(201);
    }
    assert_eq!(group.alice.history(&group.id).await.len(), 4);
}

#[tokio::test]
async fn a_message_larger_than_an_event_may_be_is_refused_before_it_is_written() {
    let group = Group::of_two().await;
    let url = format!("https://shop.example/{}", "x".repeat(2000));
    let attachments: Vec<Value> = (0..20)
        .map(|_| json!({ "url": url, "thumbnailUrl": url, "name": "\u{1}".repeat(255), "mimeType": "\u{1}".repeat(255) }))
        .collect();
    let body = json!({
        "content": "\u{1}".repeat(16_384),
        "attachments": attachments,
        "metadata": { "x": "y".repeat(16_000) },
    });
    let answer = group.alice.post(&group.messages, body).await;
    assert_eq!(answer.status, 400, "{answer}");
    group.alice.say(&group.id, "the conversation goes on").await;
}

#[tokio::test]
async fn concurrent_sends_get_dense_seqs() {
    let group = Group::of_two().await;
    let sends = (0..100).map(|n| match n % 2 {
        0 => group.alice.say(&group.id, "a"),
        _ => group.bob.say(&group.id, "b"),
    });
    let sent = futures_util::future::join_all(sends).await;
    let mut numbers: Vec<u64> = sent
        .iter()
        .map(|message| message["seq"].as_u64().expect("a number"))
        .collect();
    numbers.sort_unstable();
    assert_eq!(numbers, (2..=101).collect::<Vec<u64>>());
    let history = group.bob.history(&group.id).await;
    let in_history: Vec<u64> = history
        .iter()
        .map(|message| message["seq"].as_u64().expect("a number"))
        .collect();
    assert_eq!(in_history, numbers);
}

#[tokio::test]
async fn a_user_cannot_send_as_another_user() {
    let group = Group::of_two().await;
    for field in [
        "senderId",
        "seq",
        "createdAt",
        "id",
        "conversationId",
        "isDeleted",
        "reactions",
        "actorId",
        "receiverId",
    ] {
        let answer = group
            .alice
            .post(&group.messages, json!({ "content": "x", field: "bob" }))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()])
        );
    }
    assert!(group.bob.history(&group.id).await.is_empty());
}

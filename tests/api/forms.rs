//! The same request written in several ways: numbers, absent bodies, absent parameters and fields.

use reqwest::Method;
use serde_json::{Value, json};

use super::{faults, id};
use crate::support::Service;

#[tokio::test]
async fn an_integral_number_is_a_whole_number_however_it_is_written() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}/messages");
    for number in ["60", "60.0", "6e1"] {
        let body = format!(
            r#"{{"content":"x","ttlSeconds":{number},"attachments":[{{"url":"data:,","size":{number}}}]}}"#
        );
        let sent = alice
            .send(Method::POST, &path, "application/json", Some(body))
            .await
            .expect(201);
        assert_eq!(sent["attachments"][0]["size"], json!(60), "{number}");
    }
    let mut socket = alice.connect().await;
    let body = json!({ "conversationId": group, "content": "x", "ttlSeconds": 6e1, "attachments": [{ "url": "data:,", "size": 60.0 }] });
    let sent = socket.ok("message:send", body).await;
    assert_eq!(sent["message"]["attachments"][0]["size"], json!(60));
    let largest = json!({ "content": "x", "attachments": [{ "url": "data:,", "size": i64::MAX }] });
    let sent = alice.post(&path, largest).await.expect(201);
    assert_eq!(sent["attachments"][0]["size"], json!(i64::MAX));
    for (number, field) in [
        ("1.5", "ttlSeconds"),
        ("1e300", "ttlSeconds"),
        ("9223372036854775808", "ttlSeconds"),
        ("18446744073709551616", "ttlSeconds"),
        ("-1", "ttlSeconds"),
    ] {
        let body = format!(r#"{{"content":"x","ttlSeconds":{number}}}"#);
        let answer = alice
            .send(Method::POST, &path, "application/json", Some(body))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{number}"
        );
    }
    for size in ["9223372036854775808", "9223372036854775808.0", "1e19"] {
        let body = format!(r#"{{"content":"x","attachments":[{{"url":"data:,","size":{size}}}]}}"#);
        let answer = alice
            .send(Method::POST, &path, "application/json", Some(body))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec!["attachments[0].size".to_owned()]),
            "{size}"
        );
    }
}

#[tokio::test]
async fn an_optional_body_may_be_absent_empty_or_null() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}/read");
    for (kind, body) in [
        ("application/json", None),
        ("application/json", Some("")),
        ("application/json", Some("  ")),
        ("application/json", Some("null")),
        ("application/json", Some("{}")),
        ("application/json", Some(r#"{"upToMessageId":null}"#)),
        ("text/plain", Some("")),
    ] {
        alice.say(&group, "one").await;
        let answer = bob
            .send(Method::PUT, &path, kind, body.map(str::to_owned))
            .await
            .expect(200);
        assert_eq!(answer["count"], 1, "{kind} {body:?}");
    }
    for (kind, body, status) in [
        ("application/json", "[]", 400),
        ("application/json", "nul", 400),
        ("text/plain", "{}", 415),
    ] {
        let answer = bob
            .send(Method::PUT, &path, kind, Some(body.to_owned()))
            .await;
        assert_eq!(answer.status, status, "{kind} {body}");
    }
}

#[tokio::test]
async fn an_empty_parameter_counts_as_absent() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let message = id(&alice.say(&group, "one").await);
    let host = service.internal();
    for (client, path) in [
        (
            &*alice,
            format!("/api/conversations/{group}/messages?limit=&before=&after=&around="),
        ),
        (&*alice, "/api/conversations?archived=&before=".to_owned()),
        (&*alice, "/api/conversations/public?q=".to_owned()),
        (
            &*alice,
            format!("/api/conversations/{group}/log?after=&limit="),
        ),
        (
            &*alice,
            format!("/api/messages/{message}/reactions?emoji=&limit="),
        ),
        (
            &host,
            "/api/admin/webhooks/dead-letters?endpointId=&type=&since=&limit=&before=".to_owned(),
        ),
        (&host, "/api/admin/webhooks?limit=&before=".to_owned()),
    ] {
        let answer = client.get(&path).await;
        assert_eq!(answer.status, 200, "{path}: {answer}");
    }
    for (query, field) in [
        ("log?after=-1", "after"),
        ("log?after=1.5", "after"),
        ("log?after=9223372036854775808", "after"),
        ("log?after=99999999999999999999999", "after"),
        ("log?limit=1e3", "limit"),
        ("log?limit=ten", "limit"),
        ("log?limit=1&limit=2", "limit"),
        ("log?after=a%00b", "after"),
        ("messages?limit=0", "limit"),
    ] {
        let answer = alice
            .get(&format!("/api/conversations/{group}/{query}"))
            .await;
        assert_eq!(
            (answer.status, faults(&answer)),
            (400, vec![field.to_owned()]),
            "{query}"
        );
    }
    let all = alice
        .get(&format!("/api/conversations/{group}/log?after=1e0"))
        .await;
    let first = &all.expect(200)["entries"][0];
    assert_eq!(first["seq"], 2);
    let missing = alice.get("/api/users/search?q=").await;
    assert_eq!(
        (missing.status, faults(&missing)),
        (400, vec!["q".to_owned()])
    );
}

#[tokio::test]
async fn null_counts_as_absent_in_a_create_request() {
    let service = Service::start().await;
    let (alice, _bob) = (service.user("alice").await, service.user("bob").await);
    let body = json!({
        "type": "group", "participantIds": ["bob"], "name": null, "avatarUrl": null, "metadata": null,
        "historyVisibility": null, "features": { "typing": false, "reads": null }, "retentionSeconds": null,
    });
    let group = alice.post("/api/conversations", body).await.expect(201);
    assert_eq!(
        group["features"],
        json!({ "typing": false, "reads": true, "reactions": true, "threads": true })
    );
    let body = json!({
        "content": "x", "type": null, "attachments": null, "replyTo": null, "threadId": null, "mentions": null,
        "metadata": null, "clientMessageId": null, "silent": null, "ttlSeconds": null,
    });
    let path = format!("/api/conversations/{}/messages", id(&group));
    let sent = alice.post(&path, body.clone()).await.expect(201);
    assert_eq!(
        (&sent["type"], sent.get("metadata")),
        (&json!("text"), None::<&Value>)
    );
    let mut socket = alice.connect().await;
    let mut command = body;
    command["conversationId"] = group["id"].clone();
    // The document asks clients to leave absent fields out; the service takes `null` as absent all the same.
    let ack = socket.send_unchecked("message:send", command).await;
    assert_eq!(ack["success"], true);
    let missing = json!({ "type": null, "participantIds": ["bob"] });
    let answer = alice.post("/api/conversations", missing).await;
    assert_eq!(
        (answer.status, faults(&answer)),
        (400, vec!["type".to_owned()])
    );
}

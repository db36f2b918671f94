//! Authority by id: a file is readable only for its owner, and for those who can read a message that carries it.

use serde_json::{Value, json};

use super::{attach, attached, download, folder, id, links, service, upload, wait_for_worker};
use crate::support::{Answer, User, eventually};

const MISSING: &str = "/api/attachments/att_00000000000000000000000000";

fn refusal(answer: Answer) -> Value {
    let mut error = answer.expect_error(403, "FORBIDDEN");
    for field in ["requestId", "timestamp"] {
        error.as_object_mut().expect("an object").remove(field);
    }
    error
}

async fn is_hidden(user: &User, file: &str) {
    let facts = user.get(&format!("/api/attachments/{file}")).await;
    let facts = facts.expect_error(404, "NOT_FOUND");
    let missing = user.get(MISSING).await.expect_error(404, "NOT_FOUND");
    assert_eq!(facts["message"], missing["message"]);
    let link = user.get(&format!("/api/attachments/{file}/link")).await;
    link.expect_error(404, "NOT_FOUND");
    let deleted = user.delete(&format!("/api/attachments/{file}")).await;
    deleted.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_message_cannot_carry_another_users_file() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    wait_for_worker(&service).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let (carol, dave) = (service.user("carol").await, service.user("dave").await);
    let secret = upload(&service, &alice, "secret.txt", b"secret").await;
    let url = secret["url"].as_str().expect("a URL");
    let room = service.group(&bob, &[&carol]).await;
    let unknown = refusal(attach(&bob, &room, MISSING).await);
    assert_eq!(unknown["details"][0]["message"], "UNKNOWN_ATTACHMENT");
    // Never attached.
    assert_eq!(refusal(attach(&bob, &room, url).await), unknown);
    is_hidden(&bob, id(&secret)).await;
    // Attached elsewhere.
    let private = service.group(&alice, &[&dave]).await;
    let message = attached(&alice, &private, &secret).await;
    links(&dave, id(&secret)).await;
    assert_eq!(refusal(attach(&bob, &room, url).await), unknown);
    is_hidden(&bob, id(&secret)).await;
    // The hint of a message that the caller cannot read opens nothing.
    let message = message["id"].as_str().expect("an id");
    let hinted = bob.get(&format!("{url}/link?messageId={message}")).await;
    hinted.expect_error(404, "NOT_FOUND");
    // A path that leads on from a file, or to no file, is unknown too.
    for url in [format!("{url}/content"), "/api/attachments/x".to_owned()] {
        assert_eq!(refusal(attach(&bob, &room, &url).await), unknown);
    }
    // A socket asks the same hook.
    let mut socket = bob.connect().await;
    let body = json!({ "conversationId": room, "content": "x", "attachments": [{ "url": url }] });
    let refused = socket.refused("message:send", body).await;
    assert!(
        refused.to_string().contains("UNKNOWN_ATTACHMENT"),
        "{refused}"
    );
    // An edit changes no attachment.
    let said = bob.say(&room, "mine").await;
    let path = format!("/api/messages/{}", said["id"].as_str().expect("an id"));
    let edit = json!({ "content": "mine", "attachments": [{ "url": url }] });
    let edited = bob.patch(&path, edit).await;
    assert!(!edited.text.contains(id(&secret)), "{edited}");
    is_hidden(&carol, id(&secret)).await;
    // A file in the metadata of a message is no attachment.
    let path = format!("/api/conversations/{room}/messages");
    let body = json!({ "content": "x", "metadata": { "url": url } });
    let message = bob.post(&path, body).await.expect(201);
    let message = message["id"].as_str().expect("an id");
    let hinted = carol.get(&format!("{url}/link?messageId={message}")).await;
    hinted.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn members_read_a_file_as_long_as_they_read_its_message() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    wait_for_worker(&service).await;
    let (alice, bob, eve) = (
        service.user("alice").await,
        service.user("bob").await,
        service.user("eve").await,
    );
    let room = service.group(&alice, &[&bob]).await;
    let file = upload(&service, &alice, "a.txt", b"text").await;
    is_hidden(&bob, id(&file)).await;
    let message = attached(&alice, &room, &file).await;
    // The facts of the file replace those that a sender could invent.
    assert_eq!(message["attachments"][0]["mimeType"], "text/plain");
    assert_eq!(message["attachments"][0]["size"], 4);
    assert_eq!(message["attachments"][0]["name"], "a.txt");
    // A client that names the message need not wait for the worker.
    let hint = message["id"].as_str().expect("an id");
    let path = format!("/api/attachments/{}/link", id(&file));
    bob.get(&format!("{path}?messageId={hint}"))
        .await
        .expect(200);
    eventually("the worker knows the message", || async {
        (bob.get(&path).await.status == 200).then_some(())
    })
    .await;
    is_hidden(&eve, id(&file)).await;
    alice
        .delete(&format!("/api/attachments/{}", id(&file)))
        .await
        .expect_error(409, "CONFLICT");
    // A deleted message carries nothing, also for its sender.
    alice
        .delete(&format!("/api/messages/{hint}"))
        .await
        .expect(204);
    bob.get(&format!("{path}?messageId={hint}"))
        .await
        .expect_error(404, "NOT_FOUND");
    bob.get(&path).await.expect_error(404, "NOT_FOUND");
    alice.get(&path).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_removed_member_reads_what_was_sent_before_and_nothing_later() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let room = service.group(&alice, &[&bob]).await;
    let before = upload(&service, &alice, "before.txt", b"before").await;
    attached(&alice, &room, &before).await;
    let path = format!("/api/conversations/{room}/participants/bob");
    alice.delete(&path).await.expect(204);
    let after = upload(&service, &alice, "after.txt", b"after").await;
    let message = attached(&alice, &room, &after).await;
    let hint = message["id"].as_str().expect("an id");
    let link = format!("/api/attachments/{}/link?messageId={hint}", id(&after));
    bob.get(&link).await.expect_error(404, "NOT_FOUND");
    let other = service.group(&bob, &[&alice]).await;
    attach(&bob, &other, after["url"].as_str().expect("a URL"))
        .await
        .expect_error(403, "FORBIDDEN");
}

#[tokio::test]
async fn who_reads_a_message_may_forward_its_file() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    wait_for_worker(&service).await;
    let (alice, bob, carol) = (
        service.user("alice").await,
        service.user("bob").await,
        service.user("carol").await,
    );
    let room = service.group(&alice, &[&bob]).await;
    let other = service.group(&bob, &[&carol]).await;
    let file = upload(&service, &alice, "a.txt", b"text").await;
    let message = attached(&alice, &room, &file).await;
    let path = format!(
        "/api/messages/{}/forward",
        message["id"].as_str().expect("an id")
    );
    let body = json!({ "conversationIds": [other] });
    bob.post(&path, body).await.expect(201);
    let path = format!("/api/attachments/{}/link", id(&file));
    let links = eventually("carol reads the copy", || async {
        let answer = carol.get(&path).await;
        (answer.status == 200).then_some(answer.json)
    })
    .await;
    let response = download(&service, links["url"].as_str().expect("a link"), &[]).await;
    assert_eq!(response.text().await.expect("text"), "text");
}

#[tokio::test]
async fn a_scheduled_message_is_checked_when_it_is_due() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let secret = upload(&service, &alice, "secret.txt", b"secret").await;
    let room = service.group(&bob, &[&alice]).await;
    let at = chat_sdk::Timestamp::from_millis(chat_sdk::Timestamp::now().as_millis() + 2000);
    let body = json!({
        "conversationId": room, "content": "x", "sendAt": at.to_string(),
        "attachments": [{ "url": secret["url"] }],
    });
    let scheduled = bob.post("/api/scheduled", body).await.expect(201);
    let path = format!(
        "/api/scheduled/{}",
        scheduled["id"].as_str().expect("an id")
    );
    eventually("it fails", || async {
        let now = bob.get(&path).await.json;
        (now["status"] == "failed").then_some(())
    })
    .await;
    assert!(bob.history(&room).await.is_empty(), "nothing was sent");
}

//! Drafts of messages.

use serde_json::json;

use super::super::column;
use crate::support::Service;

#[tokio::test]
async fn a_draft_is_shown_to_its_writer_alone_until_it_is_cleared() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let path = format!("/api/conversations/{group}");
    let mine = format!("{path}/me");
    let mut tablet = bob.connect().await;
    let mut other = alice.connect().await;

    for text in ["$readSeq", "half a sentence"] {
        bob.patch(&mine, json!({ "draft": text })).await.expect(200);
        assert_eq!(bob.get(&path).await.expect(200)["draft"], text);
        let told = tablet.next("draft:updated").await;
        assert_eq!(
            told["data"],
            json!({ "conversationId": group, "draft": text })
        );
    }
    let listed = bob.get("/api/conversations").await.expect(200);
    assert_eq!(
        column(&listed["conversations"], "draft"),
        ["half a sentence"]
    );
    assert!(alice.get(&path).await.expect(200).get("draft").is_none());
    bob.patch(&mine, json!({ "draft": "  " })).await.expect(200);
    assert!(bob.get(&path).await.expect(200).get("draft").is_none());
    let told = tablet.next("draft:updated").await;
    assert_eq!(told["data"], json!({ "conversationId": group }));
    bob.patch(&mine, json!({ "draft": null })).await.expect(200);

    // The next frame that alice receives comes after all of it.
    bob.post(&format!("{path}/messages"), json!({ "content": "hello" }))
        .await
        .expect(201);
    other.next("message:new").await;
    let heard = other.take_arrived();
    assert!(
        heard.iter().all(|frame| frame["event"] != "draft:updated"),
        "{heard:?}"
    );
}

#[tokio::test]
async fn a_draft_is_no_longer_than_a_message_and_only_members_have_one() {
    let service = Service::builder()
        .env("MAX_MESSAGE_BYTES", "100")
        .start()
        .await;
    let (alice, mallory) = (service.user("alice").await, service.user("mallory").await);
    let group = service.group(&alice, &[]).await;
    let mine = format!("/api/conversations/{group}/me");
    let refused = alice
        .patch(&mine, json!({ "draft": "x".repeat(101) }))
        .await
        .expect(400);
    assert_eq!(refused["details"][0]["field"], "draft");
    mallory
        .patch(&mine, json!({ "draft": "hello" }))
        .await
        .expect(404);
}

//! Reading threads.

use serde_json::{Value, json};

use super::{counts, id, mention, pair, put, read, send};
use crate::support::{Service, User};

async fn replies(user: &User, root: &Value) -> (u64, u64) {
    let path = format!("/api/messages/{}/replies/unread-count", id(root));
    pair(&user.get(&path).await.expect(200))
}

#[tokio::test]
async fn a_thread_has_a_watermark_of_its_own() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let group = service.group(&alice, &[&bob]).await;
    let root = bob.say(&group, "root").await;
    let other = alice.say(&group, "no reply").await;
    assert_eq!(replies(&bob, &root).await, (0, 0));
    for mentions in [&[][..], &["bob"]] {
        let mut body = mention(mentions);
        body["threadId"] = json!(id(&root));
        send(&alice, &group, body).await;
    }
    let own = json!({ "content": "own", "threadId": id(&root) });
    send(&bob, &group, own).await;
    assert_eq!(replies(&bob, &root).await, (2, 1));
    assert_eq!(replies(&alice, &root).await, (1, 0));
    let path = format!("/api/messages/{}/replies/read", id(&root));
    assert!(put(&bob, &path).await.expect(200)["readAt"].is_string());
    assert_eq!(replies(&bob, &root).await, (0, 0));
    assert_eq!(
        counts(&bob, &group).await,
        (3, 1),
        "the conversation is as it was"
    );
    let reply = json!({ "content": "one more", "threadId": id(&root) });
    let reply = send(&alice, &group, reply).await;
    assert_eq!(replies(&bob, &root).await, (1, 0));
    // Reading a conversation includes the replies in its threads.
    read(&bob, &other).await;
    assert_eq!(replies(&bob, &root).await, (1, 0));
    read(&bob, &reply).await;
    assert_eq!(replies(&bob, &root).await, (0, 0));
}

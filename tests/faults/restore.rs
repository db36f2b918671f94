//! A database that is restored from a backup: the log continues from an earlier position and assigns seqs again.

use std::{sync::Arc, time::Duration};

use futures_util::TryStreamExt;
use mongodb::bson::{Document, doc};
use serde_json::json;

use crate::support::{Receiver, Sandbox, Service, eventually_within, mortal};

/// Everything that a database holds.
async fn back_up(place: &Sandbox) -> Vec<(String, Vec<Document>)> {
    let any = place.collection("log").await;
    let database = any.client().database(&place.database);
    let names = database.list_collection_names().await.expect("has names");
    let mut backup = Vec::new();
    for name in names
        .into_iter()
        .filter(|name| !name.starts_with("system."))
    {
        let found = place.collection(&name).await.find(doc! {}).await;
        let documents: Vec<Document> = found
            .expect("can be read")
            .try_collect()
            .await
            .expect("can be read");
        backup.push((name, documents));
    }
    backup
}

/// Restores exactly what [`back_up`] saved.
async fn restore(place: &Sandbox, backup: Vec<(String, Vec<Document>)>) {
    let any = place.collection("log").await;
    any.client()
        .database(&place.database)
        .drop()
        .await
        .expect("can be dropped");
    for (name, documents) in backup {
        if !documents.is_empty() {
            let collection = place.collection(&name).await;
            collection
                .insert_many(documents)
                .await
                .expect("can be written");
        }
    }
}

#[tokio::test]
async fn after_a_restore_old_cursors_are_reset_and_numbers_given_out_again_reach_everybody() {
    let service = Service::start().await;
    let receiver = Receiver::start().await;
    let hook = json!({ "url": receiver.url(), "events": ["message.created"] });
    service
        .internal()
        .post("/api/admin/webhooks", hook)
        .await
        .expect(201);
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let conversation = service.group(&alice, &[&bob]).await;
    let place = Arc::clone(service.sandbox());
    let first = alice.say(&conversation, "kept").await;
    receiver.wait_taken("kept").await;
    let limit = Duration::from_secs(20);
    let durables = place.collection("durables").await;
    eventually_within(limit, "the durable has a mark", || async {
        let found = durables
            .find_one(doc! { "marks.0": { "$exists": true } })
            .await;
        found.ok()?.map(drop)
    })
    .await;
    let backup = back_up(&place).await;
    let mut socket = bob.connect().await;
    let lost = alice.say(&conversation, "lost").await;
    socket.next("message:new").await;
    receiver.wait_taken("lost").await;
    let cursor = socket.cursor();
    service.stop();
    restore(&place, backup).await;
    let settings = place.settings();
    let done = mortal(env!("CARGO_BIN_EXE_chat-service"))
        .args(["migrate", "--restored"])
        .env_clear()
        .envs(settings)
        .output()
        .expect("the binary starts");
    let said = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{said}");

    let service = Service::builder().place_of(&place).start().await;
    let (alice, bob) = (service.known_user("alice"), service.known_user("bob"));
    let mut stale = bob.resume(&cursor).await;
    let reset = stale.next("sync:reset").await;
    assert!(reset["data"]["reason"].is_string(), "{reset}");
    assert_eq!(bob.history(&conversation).await.len(), 1);
    let again = alice.say(&conversation, "instead").await;
    assert_eq!(
        again["seq"], lost["seq"],
        "the number is given out once more"
    );
    assert_ne!(again["seq"], first["seq"]);
    let pushed = stale.next("message:new").await;
    assert_eq!(pushed["data"]["content"], "instead");
    let other = bob.connect().await;
    let mut resumed = bob.resume(&other.cursor()).await;
    alice.say(&conversation, "and on").await;
    assert_eq!(
        resumed.next("message:new").await["data"]["content"],
        "and on"
    );
    receiver.wait_taken("instead").await;
    receiver.wait_taken("and on").await;
}

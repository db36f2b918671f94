//! Clean-up: what nobody needs is removed, also after faults of the store, and nothing else.

use super::{
    PIECE, REMOVAL_TIMEOUT, attached, begin, bytes_of, folder, id, noise, pieces, service, stored,
    upload, upload_path, wait_for_worker,
};
use crate::support::{eventually, eventually_within};

const SOON: &str = "unfinished_seconds = 6\nunattached_seconds = 3\ndeleted_seconds = 0";

#[tokio::test]
async fn unfinished_uploads_and_files_without_a_message_are_removed() {
    let folder = folder();
    let service = service(&folder, SOON).start().await;
    let alice = service.user("alice").await;
    let unfinished = begin(&alice, "a.bin", 2 * PIECE).await;
    pieces(&service, &alice, &unfinished, &noise(PIECE, 1), 0, PIECE).await;
    let file = upload(&service, &alice, "b.txt", b"text").await;
    assert_eq!(stored(folder.path()).len(), 2);
    eventually_within(REMOVAL_TIMEOUT, "both are removed", || async {
        stored(folder.path()).is_empty().then_some(())
    })
    .await;
    alice
        .get(&upload_path(&unfinished))
        .await
        .expect_error(404, "NOT_FOUND");
    let path = format!("/api/attachments/{}", id(&file));
    alice.get(&path).await.expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn a_file_lives_as_long_as_one_message_carries_it() {
    let folder = folder();
    let service = service(&folder, "deleted_seconds = 0").start().await;
    wait_for_worker(&service).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let one = service.group(&alice, &[&bob]).await;
    let two = service.group(&alice, &[&bob]).await;
    let file = upload(&service, &alice, "a.bin", &noise(2 * PIECE, 1)).await;
    let other = upload(&service, &alice, "b.txt", b"kept").await;
    attached(&alice, &one, &other).await;
    let first = attached(&alice, &one, &file).await;
    let second = attached(&alice, &two, &file).await;
    let path = format!("/api/attachments/{}/link", id(&file));
    eventually("the worker knows both", || async {
        let text = service.sandbox().text("attachments_references").await;
        [&first, &second]
            .iter()
            .all(|message| text.contains(message["id"].as_str().expect("an id")))
            .then_some(())
    })
    .await;
    let path_of = |message: &serde_json::Value| {
        format!("/api/messages/{}", message["id"].as_str().expect("an id"))
    };
    alice.delete(&path_of(&first)).await.expect(204);
    eventually(
        "the first reference is forgotten or the file is confirmed",
        || async { (bob.get(&path).await.status == 200).then_some(()) },
    )
    .await;
    alice.delete(&path_of(&second)).await.expect(204);
    eventually_within(REMOVAL_TIMEOUT, "its objects are removed", || async {
        (stored(folder.path()).len() == 1).then_some(())
    })
    .await;
    let (_, kept) = bytes_of(&service, &alice, &other).await;
    assert_eq!(kept, b"kept");
}

#[tokio::test]
async fn a_restored_message_keeps_its_file_within_the_time() {
    let folder = folder();
    let service = service(&folder, "deleted_seconds = 3600").start().await;
    wait_for_worker(&service).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let room = service.group(&alice, &[&bob]).await;
    let file = upload(&service, &alice, "a.txt", b"text").await;
    let message = attached(&alice, &room, &file).await;
    let path = format!("/api/messages/{}", message["id"].as_str().expect("an id"));
    alice.delete(&path).await.expect(204);
    let link = format!("/api/attachments/{}/link", id(&file));
    bob.get(&link).await.expect_error(404, "NOT_FOUND");
    alice
        .request(reqwest::Method::POST, &format!("{path}/restore"), None)
        .await
        .expect(200);
    eventually("bob reads it again", || async {
        (bob.get(&link).await.status == 200).then_some(())
    })
    .await;
    assert_eq!(stored(folder.path()).len(), 1);
}

#[tokio::test]
async fn deleted_conversations_and_erased_users_leave_no_object() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    wait_for_worker(&service).await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let host = service.internal();
    let room = service.group(&alice, &[&bob]).await;
    let file = upload(&service, &alice, "a.txt", b"in a conversation").await;
    let message = attached(&alice, &room, &file).await;
    eventually("the worker knows it", || async {
        let text = service.sandbox().text("attachments_references").await;
        text.contains(message["id"].as_str().expect("an id"))
            .then_some(())
    })
    .await;
    alice
        .delete(&format!("/api/conversations/{room}"))
        .await
        .expect(204);
    eventually_within(
        REMOVAL_TIMEOUT,
        "the file of the conversation is removed",
        || async { stored(folder.path()).is_empty().then_some(()) },
    )
    .await;

    let room = service.group(&bob, &[&alice]).await;
    let sent = upload(&service, &alice, "b.txt", b"in a message").await;
    upload(&service, &alice, "c.txt", b"never attached").await;
    let message = attached(&alice, &room, &sent).await;
    eventually("the worker knows it", || async {
        let text = service.sandbox().text("attachments_references").await;
        text.contains(message["id"].as_str().expect("an id"))
            .then_some(())
    })
    .await;
    host.delete("/api/users/alice?messages=erase")
        .await
        .expect(204);
    eventually_within(
        REMOVAL_TIMEOUT,
        "the files of the user are removed",
        || async { stored(folder.path()).is_empty().then_some(()) },
    )
    .await;
}

#[tokio::test]
async fn a_removal_is_repeated_until_the_store_is_back() {
    let place = folder();
    let path = place.path().join("files");
    let service = service(&place, SOON)
        .env("ATTACHMENTS_DIR", &path.display().to_string())
        .start()
        .await;
    let alice = service.user("alice").await;
    upload(&service, &alice, "a.txt", b"text").await;
    // The folder of the file becomes something that cannot be listed or removed.
    let away = place.path().join("away");
    std::fs::rename(&path, &away).expect("moved");
    std::fs::write(&path, b"no folder").expect("written");
    let metrics = service.internal();
    eventually_within(REMOVAL_TIMEOUT, "the backlog is reported", || async {
        let text = metrics.get("/api/metrics").await.text;
        let line = text
            .lines()
            .find(|line| line.starts_with("chat_attachments_backlog"));
        line.is_some().then_some(())
    })
    .await;
    let documents = || async { service.sandbox().text("attachments_files").await };
    eventually_within(REMOVAL_TIMEOUT, "the file is due", || async {
        documents().await.contains("removing").then_some(())
    })
    .await;
    std::fs::remove_file(&path).expect("removed");
    std::fs::rename(&away, &path).expect("moved");
    eventually_within(REMOVAL_TIMEOUT, "it is removed after all", || async {
        stored(&path).is_empty().then_some(())
    })
    .await;
}

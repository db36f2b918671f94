//! Files in an S3-compatible store.

use std::{
    process::{Child, Command, Stdio},
    time::Duration,
};

use super::{PIECE, attached, bytes_of, folder, id, noise, pieces, service, upload};
use crate::support::{eventually_within, free_port, http_client};

/// A store that ends with the test.
struct Store(Child);

impl Drop for Store {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

#[tokio::test]
#[ignore = "needs moto_server, of the Python package moto[server], in PATH"]
async fn a_bucket_holds_files_and_nothing_after_their_removal() {
    let port = free_port();
    let url = format!("http://127.0.0.1:{port}");
    let mut command = Command::new("moto_server");
    command.args(["-H", "127.0.0.1", "-p", &port.to_string()]);
    let server = command.stdout(Stdio::null()).stderr(Stdio::null()).spawn();
    let _server = Store(server.expect("moto_server starts"));
    let client = http_client();
    eventually_within(Duration::from_secs(60), "the bucket exists", || async {
        let made = client.put(format!("{url}/files")).send().await.ok()?;
        made.status().is_success().then_some(())
    })
    .await;
    let folder = folder();
    let service = service(&folder, "deleted_seconds = 0\nunattached_seconds = 8")
        .env("ATTACHMENTS_S3_BUCKET", "files")
        .env("ATTACHMENTS_S3_ENDPOINT", &url)
        .env("ATTACHMENTS_S3_ACCESS_KEY_ID", "id")
        .env("ATTACHMENTS_S3_SECRET_ACCESS_KEY", "a-secret-of-the-store")
        .start()
        .await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let room = service.group(&alice, &[&bob]).await;
    let list = |query: &'static str| {
        let request = client.get(format!("{url}/files{query}"));
        async move {
            request
                .send()
                .await
                .expect("an answer")
                .text()
                .await
                .expect("a list")
        }
    };
    let bytes = noise(12 * PIECE + 1, 3);
    let file = upload(&service, &alice, "data.bin", &bytes).await;
    attached(&alice, &room, &file).await;
    let (_, received) = bytes_of(&service, &alice, &file).await;
    assert!(received == bytes);
    assert_eq!(list("?list-type=2").await.matches("<Key>").count(), 13);
    // An upload that nobody ends.
    let unfinished = super::begin(&alice, "b.bin", 2 * PIECE).await;
    pieces(&service, &alice, &unfinished, &bytes[..PIECE], 0, PIECE).await;
    alice
        .delete(&super::upload_path(&unfinished))
        .await
        .expect(204);
    // A file that no message carries.
    let lonely = upload(&service, &alice, "c.txt", b"text").await;
    eventually_within(Duration::from_secs(40), "both are removed", || async {
        (list("?list-type=2").await.matches("<Key>").count() == 13).then_some(())
    })
    .await;
    let path = format!("/api/attachments/{}", id(&lonely));
    alice.get(&path).await.expect_error(404, "NOT_FOUND");
    assert!(
        !list("?uploads").await.contains("<UploadId>"),
        "no upload in parts is open"
    );
}

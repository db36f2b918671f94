//! Uploads: pieces, breaks, wrong offsets, and limits.

use serde_json::json;
use sha2::{Digest, Sha256};
use tokio::io::{AsyncReadExt, AsyncWriteExt};

use super::{
    PIECE, begin, bytes_of, complete, folder, noise, piece, pieces, service, stored, try_upload,
    upload, upload_path,
};
use crate::support::eventually;

fn sha256(bytes: &[u8]) -> String {
    let digest = Sha256::digest(bytes);
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

#[tokio::test]
async fn pieces_of_any_size_make_the_same_file() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(3 * PIECE + 1, 7);
    for size in [1 << 16, 500_000, PIECE] {
        let id = begin(&alice, "data.bin", bytes.len()).await;
        pieces(&service, &alice, &id, &bytes, 0, size).await;
        let (status, file) = complete(&service, &alice, &id).await;
        assert_eq!(status, 201, "{file}");
        assert_eq!(file["sha256"], sha256(&bytes));
        assert_eq!(file["size"], bytes.len());
        assert_eq!(file["mimeType"], "application/octet-stream");
        let (_, received) = bytes_of(&service, &alice, &file).await;
        assert!(received == bytes, "every byte arrives");
    }
}

#[tokio::test]
async fn an_upload_continues_after_a_break_on_another_node() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let other = super::service(&folder, "").database(&service).start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE + 99, 1);
    let id = begin(&alice, "data.bin", bytes.len()).await;
    pieces(&service, &alice, &id, &bytes[..PIECE], 0, PIECE).await;

    // The connection breaks in the middle of a piece.
    let address = service.api_url().trim_start_matches("http://").to_owned();
    let mut connection = tokio::net::TcpStream::connect(&address)
        .await
        .expect("a connection");
    let head = format!(
        "PUT {}?offset={PIECE} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {PIECE}\r\n\r\n",
        upload_path(&id),
        alice.token
    );
    connection.write_all(head.as_bytes()).await.expect("sent");
    connection
        .write_all(&bytes[PIECE..PIECE + 70_000])
        .await
        .expect("sent");
    drop(connection);

    let alice = alice.at(&other);
    let upload = alice.get(&upload_path(&id)).await.expect(200);
    assert_eq!(upload["offset"], PIECE, "only whole pieces count");
    pieces(&other, &alice, &id, &bytes, PIECE, PIECE).await;
    let (status, file) = complete(&other, &alice, &id).await;
    assert_eq!(status, 201, "{file}");
    assert_eq!(file["sha256"], sha256(&bytes));
}

#[tokio::test]
async fn a_silent_connection_does_not_keep_the_upload_from_others() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(PIECE, 2);
    let id = begin(&alice, "data.bin", bytes.len()).await;
    let address = service.api_url().trim_start_matches("http://").to_owned();
    let mut silent = tokio::net::TcpStream::connect(&address)
        .await
        .expect("a connection");
    let head = format!(
        "PUT {}?offset=0 HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {}\r\nContent-Type: application/octet-stream\r\nContent-Length: {PIECE}\r\n\r\n",
        upload_path(&id),
        alice.token
    );
    silent.write_all(head.as_bytes()).await.expect("sent");
    silent.write_all(&bytes[..100]).await.expect("sent");
    pieces(&service, &alice, &id, &bytes, 0, PIECE).await;
    // The silent one ends its piece at last: it is refused, and changes nothing.
    silent.write_all(&bytes[100..]).await.expect("sent");
    let mut answer = vec![0; 64];
    silent.read_exact(&mut answer).await.expect("an answer");
    assert!(
        answer.starts_with(b"HTTP/1.1 409"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let (status, file) = complete(&service, &alice, &id).await;
    assert_eq!((status, &file["sha256"]), (201, &json!(sha256(&bytes))));
    eventually("the superfluous piece is gone", || async {
        (stored(folder.path()).len() == 1).then_some(())
    })
    .await;
}

#[tokio::test]
async fn a_wrong_offset_is_answered_with_the_right_one() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE, 3);
    let id = begin(&alice, "data.bin", bytes.len()).await;
    pieces(&service, &alice, &id, &bytes[..PIECE], 0, PIECE).await;
    for offset in [0, 1, PIECE - 1, PIECE + 1] {
        let (status, error) = piece(&service, &alice, &id, offset, &bytes[PIECE..]).await;
        assert_eq!(
            (status, &error["code"]),
            (409, &json!("CONFLICT")),
            "{error}"
        );
        let detail = json!([{ "field": "offset", "message": format!("must be {PIECE}") }]);
        assert_eq!(error["details"], detail);
    }
    let (status, error) = complete(&service, &alice, &id).await;
    assert_eq!(status, 409, "{error}");
    assert_eq!(error["details"][0]["message"], format!("must be {PIECE}"));
    let (status, _) = piece(&service, &alice, &id, PIECE, &bytes[PIECE..]).await;
    assert_eq!(status, 200);
}

#[tokio::test]
async fn of_two_tabs_with_the_same_piece_one_is_told_where_to_continue() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE, 4);
    let id = begin(&alice, "data.bin", bytes.len()).await;
    for offset in [0, PIECE] {
        let part = &bytes[offset..offset + PIECE];
        let send = || piece(&service, &alice, &id, offset, part);
        let (one, two, three) = tokio::join!(send(), send(), send());
        let mut statuses = [one.0, two.0, three.0];
        statuses.sort_unstable();
        assert_eq!(statuses, [200, 409, 409]);
    }
    let (status, file) = complete(&service, &alice, &id).await;
    assert_eq!((status, &file["sha256"]), (201, &json!(sha256(&bytes))));
}

#[tokio::test]
async fn a_repeated_completion_returns_the_same_file() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(PIECE, 5);
    let id = begin(&alice, "data.bin", bytes.len()).await;
    pieces(&service, &alice, &id, &bytes, 0, PIECE).await;
    let many = (0..20).map(|_| complete(&service, &alice, &id));
    let answers = futures_util::future::join_all(many).await;
    let files: Vec<_> = answers
        .iter()
        .filter(|(status, _)| *status == 201)
        .collect();
    assert!(!files.is_empty());
    assert!(
        answers
            .iter()
            .all(|(status, _)| matches!(status, 201 | 409)),
        "{answers:?}"
    );
    assert!(files.iter().all(|(_, file)| *file == files[0].1));
    let (status, again) = complete(&service, &alice, &id).await;
    assert_eq!((status, &again), (201, &files[0].1));
}

#[tokio::test]
async fn pieces_outside_the_limits_are_refused() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let alice = service.user("alice").await;
    let bytes = noise(2 * PIECE + 10, 6);
    let id = begin(&alice, "data.bin", 2 * PIECE).await;
    let (status, error) = piece(&service, &alice, &id, 0, &bytes[..=PIECE]).await;
    assert_eq!(
        (status, &error["code"]),
        (413, &json!("PAYLOAD_TOO_LARGE")),
        "{error}"
    );
    let (status, error) = piece(&service, &alice, &id, 0, &bytes[..100]).await;
    assert_eq!(status, 400, "{error}");
    let (status, error) = piece(&service, &alice, &id, 0, &[]).await;
    assert_eq!(status, 400, "{error}");
    pieces(&service, &alice, &id, &bytes[..2 * PIECE - 10], 0, PIECE).await;
    let (status, error) = piece(&service, &alice, &id, 2 * PIECE - 10, &bytes[..11]).await;
    assert_eq!(status, 400, "more than was declared: {error}");
    let (status, _) = piece(&service, &alice, &id, 2 * PIECE - 10, &bytes[..10]).await;
    assert_eq!(status, 200, "the last piece may be small");
}

#[tokio::test]
async fn sizes_types_and_names_are_checked_before_a_byte_is_sent() {
    let folder = folder();
    let service = service(&folder, "")
        .env("ATTACHMENTS_MAX_BYTES", "1000")
        .env("ATTACHMENTS_TYPES", "image/*,text/plain")
        .start()
        .await;
    let alice = service.user("alice").await;
    let path = "/api/attachments/uploads";
    let body = json!({ "name": "a.txt", "size": 1001 });
    let refused = alice.post(path, body).await;
    refused.expect_error(413, "PAYLOAD_TOO_LARGE");
    for (field, body) in [
        ("size", json!({ "name": "a.txt", "size": 0 })),
        ("name", json!({ "name": "", "size": 1 })),
        ("name", json!({ "name": "a\r\nb", "size": 1 })),
        ("name", json!({ "name": "x".repeat(256), "size": 1 })),
        (
            "mimeType",
            json!({ "name": "a.pdf", "size": 1, "mimeType": "application/pdf" }),
        ),
    ] {
        let error = alice
            .post(path, body)
            .await
            .expect_error(400, "VALIDATION_ERROR");
        assert_eq!(error["details"][0]["field"], field, "{error}");
    }
    // The content decides, whatever the name says.
    let (status, error) = try_upload(&service, &alice, "a.txt", b"%PDF-1.7 text").await;
    assert_eq!(status, 400, "{error}");
    let file = upload(&service, &alice, "a.pdf", b"only text").await;
    assert_eq!(file["mimeType"], "text/plain");
}

#[tokio::test]
async fn another_users_upload_is_like_a_missing_one() {
    let folder = folder();
    let service = service(&folder, "").start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let id = begin(&alice, "data.bin", 10).await;
    let missing = "att_00000000000000000000000000";
    for id in [id.as_str(), missing, "nonsense"] {
        let path = upload_path(id);
        bob.get(&path).await.expect_error(404, "NOT_FOUND");
        bob.delete(&path).await.expect_error(404, "NOT_FOUND");
        assert_eq!(piece(&service, &bob, id, 0, b"0123456789").await.0, 404);
        assert_eq!(complete(&service, &bob, id).await.0, 404);
    }
    let upload = alice.get(&upload_path(&id)).await.expect(200);
    assert_eq!(upload["offset"], 0);
    alice.delete(&upload_path(&id)).await.expect(204);
    alice
        .get(&upload_path(&id))
        .await
        .expect_error(404, "NOT_FOUND");
}

#[tokio::test]
async fn the_quota_counts_all_files_of_a_user_and_is_given_back() {
    let folder = folder();
    let service = service(&folder, "")
        .env("ATTACHMENTS_QUOTA_BYTES", "1000")
        .start()
        .await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let path = "/api/attachments/uploads";
    let body = |size: u32| json!({ "name": "a.bin", "size": size });
    let many = (0..10).map(|_| alice.post(path, body(300)));
    let answers = futures_util::future::join_all(many).await;
    let accepted = answers.iter().filter(|answer| answer.status == 201).count();
    assert_eq!(accepted, 3, "never more than the quota, also at once");
    bob.post(path, body(1000)).await.expect(201);
    alice
        .post(path, body(101))
        .await
        .expect_error(413, "PAYLOAD_TOO_LARGE");
    let one = answers
        .iter()
        .find(|answer| answer.status == 201)
        .expect("an upload");
    let id = one.json["id"].as_str().expect("an id");
    alice.delete(&upload_path(id)).await.expect(204);
    eventually("the room is given back", || async {
        (alice.post(path, body(300)).await.status == 201).then_some(())
    })
    .await;
}

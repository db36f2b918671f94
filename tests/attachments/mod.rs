//! The plugin `attachments` from outside: uploads that break, files that lie, readers who may not, and what is left in the folder.

mod access;
mod cleanup;
mod content;
mod downloads;
mod pictures;
mod s3;
mod settings;
mod uploads;

use std::{path::Path, time::Duration};

use reqwest::{Method, Response, header::HeaderMap};
use serde_json::{Value, json};
use tempfile::TempDir;

use crate::support::{
    Builder, LINK_SECRET, Node, Service, User, eventually, eventually_within, http_client,
};

/// Size of most pieces in bytes.
const PIECE: usize = 1 << 20;

/// Maximum time for a removal on a busy machine.
const REMOVAL_TIMEOUT: Duration = Duration::from_secs(40);

/// A service with the plugin, its files in `folder`, and `table` in its table.
fn service(folder: &TempDir, table: &str) -> Builder {
    Service::builder()
        .toml(&format!("[plugins.attachments]\n{table}\n"))
        .env("PLUGINS", "webhooks,attachments")
        .env("ATTACHMENTS_LINK_SECRET", LINK_SECRET)
        .env("ATTACHMENTS_DIR", &folder.path().display().to_string())
}

/// A new folder.
fn folder() -> TempDir {
    tempfile::tempdir().expect("a folder")
}

/// All bytes of all objects in a folder.
fn stored(folder: &Path) -> Vec<Vec<u8>> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten() {
        let path = entry.expect("an entry").path();
        if path.is_dir() {
            found.extend(stored(&path));
        } else {
            // It may be removed meanwhile.
            found.extend(std::fs::read(path));
        }
    }
    found
}

/// Returns true if `part` occurs in `bytes`.
fn contains(bytes: &[u8], part: &[u8]) -> bool {
    bytes.windows(part.len()).any(|window| window == part)
}

/// Bytes of no known type that repeat nowhere.
fn noise(length: usize, seed: u64) -> Vec<u8> {
    let mut state = seed.wrapping_mul(2).wrapping_add(1);
    let next = || {
        state = state
            .wrapping_mul(6_364_136_223_846_793_005)
            .wrapping_add(1);
        (state >> 33) as u8
    };
    let mut bytes = vec![0, 1, 2, 3];
    bytes.extend(std::iter::repeat_with(next).take(length.saturating_sub(4)));
    bytes.truncate(length);
    bytes
}

/// A request of a user with bytes.
async fn send(node: &Node, user: &User, method: Method, path: &str, body: Vec<u8>) -> (u16, Value) {
    let url = format!("{}{path}", node.api_url());
    let request = http_client()
        .request(method, url)
        .bearer_auth(&user.token)
        .header("content-type", "application/octet-stream")
        .body(body);
    let response = request.send().await.expect("an answer");
    let status = response.status().as_u16();
    (status, response.json().await.unwrap_or_default())
}

/// Creates an upload and returns its id.
async fn begin(user: &User, name: &str, size: usize) -> String {
    let body = json!({ "name": name, "size": size });
    let upload = user
        .post("/api/attachments/uploads", body)
        .await
        .expect(201);
    upload["id"].as_str().expect("an id").to_owned()
}

fn upload_path(id: &str) -> String {
    format!("/api/attachments/uploads/{id}")
}

/// Sends one piece.
async fn piece(node: &Node, user: &User, id: &str, offset: usize, bytes: &[u8]) -> (u16, Value) {
    let path = format!("{}?offset={offset}", upload_path(id));
    send(node, user, Method::PUT, &path, bytes.to_vec()).await
}

/// Sends all pieces from `offset` on.
async fn pieces(node: &Node, user: &User, id: &str, bytes: &[u8], offset: usize, size: usize) {
    let mut offset = offset;
    while offset < bytes.len() {
        let end = bytes.len().min(offset + size);
        let (status, upload) = piece(node, user, id, offset, &bytes[offset..end]).await;
        assert_eq!(status, 200, "{upload}");
        assert_eq!(upload["offset"], end);
        offset = end;
    }
}

/// Completes an upload; the status and the body.
async fn complete(node: &Node, user: &User, id: &str) -> (u16, Value) {
    let path = format!("{}/complete", upload_path(id));
    send(node, user, Method::POST, &path, Vec::new()).await
}

/// Uploads a file and returns the answer to its completion.
async fn try_upload(node: &Node, user: &User, name: &str, bytes: &[u8]) -> (u16, Value) {
    let id = begin(user, name, bytes.len()).await;
    pieces(node, user, &id, bytes, 0, PIECE).await;
    complete(node, user, &id).await
}

/// Waits until the plugin hears of messages.
async fn wait_for_worker(service: &Service) {
    let host = service.internal();
    eventually_within(REMOVAL_TIMEOUT, "the plugin runs", || async {
        let status = host.get("/api/status").await.json;
        let plugins = status["plugins"].as_array()?.clone();
        let own = plugins
            .into_iter()
            .find(|one| one["name"] == "attachments")?;
        (own["state"] == "running").then_some(())
    })
    .await;
    // The durable begins at the end of the stream, so messages before it are not known.
    let place = service.sandbox();
    let stream = place.stream();
    eventually("the durable exists", || async {
        let jetstream = place.jetstream().await;
        let stream = jetstream.get_stream(&stream).await.ok()?;
        use futures_util::TryStreamExt;
        let names: Vec<String> = stream.consumer_names().try_collect().await.ok()?;
        names
            .iter()
            .any(|name| name.contains("attachments"))
            .then_some(())
    })
    .await;
}

/// Uploads a file and returns its facts.
async fn upload(node: &Node, user: &User, name: &str, bytes: &[u8]) -> Value {
    let (status, file) = try_upload(node, user, name, bytes).await;
    assert_eq!(status, 201, "{file}");
    file
}

/// The id of a file.
fn id(file: &Value) -> &str {
    file["id"].as_str().expect("an id")
}

/// Sends a message with a file to a conversation.
async fn attach(user: &User, conversation: &str, url: &str) -> crate::support::Answer {
    let path = format!("/api/conversations/{conversation}/messages");
    let body = json!({ "content": "look", "attachments": [{ "url": url }] });
    user.post(&path, body).await
}

/// Sends a message with a file and returns the message.
async fn attached(user: &User, conversation: &str, file: &Value) -> Value {
    let url = file["url"].as_str().expect("a URL");
    attach(user, conversation, url).await.expect(201)
}

/// The links to a file for a user who reads it: without the id of a message, the file of a new message is known a moment later.
async fn links(user: &User, file: &str) -> Value {
    let path = format!("/api/attachments/{file}/link");
    let found = eventually("the user reads the file", || async {
        Some(user.get(&path).await).filter(|answer| answer.status != 404)
    });
    found.await.expect(200)
}

/// A download without a token.
async fn download(node: &Node, link: &str, headers: &[(&str, &str)]) -> Response {
    let mut request = http_client().get(format!("{}{link}", node.api_url()));
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    request.send().await.expect("an answer")
}

/// The bytes of a file for a user who reads it, with the headers.
async fn bytes_of(node: &Node, user: &User, file: &Value) -> (HeaderMap, Vec<u8>) {
    let links = links(user, id(file)).await;
    let response = download(node, links["url"].as_str().expect("a link"), &[]).await;
    assert_eq!(response.status(), 200);
    let headers = response.headers().clone();
    (headers, response.bytes().await.expect("all bytes").to_vec())
}

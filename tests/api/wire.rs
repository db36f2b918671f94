//! Requests as raw bytes, for input that no well-behaved client sends.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::contract;
use crate::support::Node;

/// Maximum time to wait for an answer.
const PATIENCE: Duration = Duration::from_secs(10);

/// An answer as it came.
#[derive(Debug)]
pub struct Raw {
    /// Its status.
    pub status: u16,
    /// Its headers, names in lower case.
    pub headers: Vec<(String, String)>,
    /// Its body.
    pub body: Vec<u8>,
}

impl Raw {
    /// The header of that name.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers
            .iter()
            .find(|(known, _)| known == name)
            .map(|(_, value)| value.as_str())
    }

    /// The body as JSON; null when it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }

    /// The contract's code of an error.
    pub fn code(&self) -> String {
        self.json()["code"].as_str().unwrap_or_default().to_owned()
    }

    /// The fields that it finds fault with.
    pub fn faults(&self) -> Vec<String> {
        match self.json()["details"].is_array() {
            true => super::column(&self.json()["details"], "field"),
            false => Vec::new(),
        }
    }
}

/// Sends a request with exactly these headers (beside `Host`, `Connection` and `Content-Length`) and this body.
pub async fn send(
    service: &Node,
    method: &str,
    path: &str,
    headers: &[(&str, &str)],
    body: &[u8],
) -> Raw {
    let mut request = head(method, path, headers);
    if !body.is_empty() || method != "GET" {
        request.push_str(&format!("content-length: {}\r\n", body.len()));
    }
    request.push_str("\r\n");
    let answer = exchange(service, &[request.as_bytes(), body]).await;
    let content_type = answer.header("content-type").map(str::to_owned);
    contract::check(
        method,
        path,
        answer.status,
        content_type.as_deref(),
        &answer.body,
    );
    answer
}

/// The beginning of a request, up to where more headers may follow.
pub fn head(method: &str, path: &str, headers: &[(&str, &str)]) -> String {
    let mut head = format!("{method} {path} HTTP/1.1\r\nhost: chat.test\r\nconnection: close\r\n");
    for (name, value) in headers {
        head.push_str(&format!("{name}: {value}\r\n"));
    }
    head
}

/// Writes the pieces and reads the answer. A server that refuses early may close the connection before everything is written.
pub async fn exchange(service: &Node, pieces: &[&[u8]]) -> Raw {
    let talk = async {
        let stream = TcpStream::connect(service.api_url().trim_start_matches("http://"))
            .await
            .expect("the service listens");
        let (mut from, mut to) = stream.into_split();
        let pieces: Vec<Vec<u8>> = pieces.iter().map(|piece| piece.to_vec()).collect();
        let writing = tokio::spawn(async move {
            for piece in pieces {
                if to.write_all(&piece).await.is_err() {
                    break;
                }
            }
            to
        });
        let mut bytes = Vec::new();
        let mut buffer = [0; 16 * 1024];
        while let Ok(count @ 1..) = from.read(&mut buffer).await {
            bytes.extend_from_slice(&buffer[..count]);
        }
        writing.abort();
        bytes
    };
    let bytes = tokio::time::timeout(PATIENCE, talk)
        .await
        .expect("an answer within 10 s");
    parse(&bytes)
}

/// The answer that these bytes are.
pub fn parse(bytes: &[u8]) -> Raw {
    let text = String::from_utf8_lossy(bytes);
    let end = bytes
        .windows(4)
        .position(|window| window == b"\r\n\r\n")
        .unwrap_or_else(|| panic!("no answer, but {text:?}"));
    let head = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let mut lines = head.split("\r\n");
    let status = lines
        .next()
        .and_then(|line| line.split(' ').nth(1))
        .and_then(|code| code.parse().ok());
    let headers: Vec<(String, String)> = lines
        .filter_map(|line| line.split_once(':'))
        .map(|(name, value)| (name.to_ascii_lowercase(), value.trim().to_owned()))
        .collect();
    let is_chunked = headers
        .iter()
        .any(|(name, value)| name == "transfer-encoding" && value == "chunked");
    let body = &bytes[end + 4..];
    Raw {
        status: status.unwrap_or_else(|| panic!("no status in {text:?}")),
        headers,
        body: if is_chunked {
            unchunk(body)
        } else {
            body.to_vec()
        },
    }
}

fn unchunk(mut rest: &[u8]) -> Vec<u8> {
    let mut body = Vec::new();
    while let Some(end) = rest.windows(2).position(|window| window == b"\r\n") {
        let size = std::str::from_utf8(&rest[..end]).ok();
        let size = size
            .and_then(|size| usize::from_str_radix(size.trim(), 16).ok())
            .unwrap_or_default();
        if size == 0 || rest.len() < end + 2 + size {
            break;
        }
        body.extend_from_slice(&rest[end + 2..end + 2 + size]);
        rest = &rest[(end + 4 + size).min(rest.len())..];
    }
    body
}

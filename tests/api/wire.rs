//! Requests as raw bytes, for input that no well-behaved client sends.

use std::time::Duration;

use serde_json::Value;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use super::contract;
use crate::support::{Node, Service};

/// Maximum time to wait for an answer.
const TIMEOUT: Duration = Duration::from_secs(10);

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
        if self.json()["details"].is_array() {
            super::column(&self.json()["details"], "field")
        } else {
            Vec::new()
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

/// Requests that are answered without their bodies: nobody has authenticated them.
fn unread(length: usize) -> String {
    let length = length.to_string();
    let head = head("POST", "/api/messages", &[("content-length", &length)]);
    format!("{head}\r\n").replace("connection: close\r\n", "")
}

#[tokio::test]
async fn response_to_a_body_that_is_not_read_says_that_the_connection_closes() {
    let service = Service::start().await;
    let cases: [(&str, String, Vec<u8>); 4] = [
        ("large", unread(1 << 20), vec![b' '; 1 << 20]),
        (
            "large, of which only a part arrives",
            unread(1 << 20),
            vec![b' '; 100],
        ),
        ("small, which does not arrive", unread(100), vec![b' '; 50]),
        (
            "small, which waits for a 100",
            unread(100).replace("\r\n\r\n", "\r\nexpect: 100-continue\r\n\r\n"),
            Vec::new(),
        ),
    ];
    for (what, head, body) in cases {
        let answer = exchange(&service, &[head.as_bytes(), &body]).await;
        assert_eq!(answer.code(), "UNAUTHORIZED", "{what}: {answer:?}");
        assert_eq!(answer.header("connection"), Some("close"), "{what}");
    }
}

#[tokio::test]
async fn connection_carries_more_requests_after_a_small_body_that_is_not_read() {
    let service = Service::start().await;
    let mut stream = TcpStream::connect(service.api_url().trim_start_matches("http://"))
        .await
        .expect("the service listens");
    for n in 0..20 {
        // The body arrives in a packet of its own.
        let (head, body) = (unread(2000), vec![b' '; 2000]);
        stream.write_all(head.as_bytes()).await.expect("a head");
        tokio::task::yield_now().await;
        stream.write_all(&body).await.expect("a body");
        let mut bytes = Vec::new();
        let reading = async {
            while !bytes.ends_with(b"}") {
                let read = stream.read_buf(&mut bytes).await.expect("an answer");
                assert_ne!(read, 0, "request {n}: the connection was closed");
            }
        };
        let answered = tokio::time::timeout(TIMEOUT, reading).await;
        answered.expect("an answer within 10 s");
        let answer = parse(&bytes);
        assert_eq!(answer.code(), "UNAUTHORIZED", "{answer:?}");
        assert_eq!(answer.header("connection"), None);
    }
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
    let bytes = tokio::time::timeout(TIMEOUT, talk)
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

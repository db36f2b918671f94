//! Information that nginx passes to a node about a client: address, scheme, request id.

use std::{net::SocketAddr, sync::Arc};

use parking_lot::Mutex;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
};

use super::start;
use crate::{
    api::wire,
    support::{Front, Sandbox, eventually},
};

/// Something that answers every request with 200 and remembers its head.
struct Recorder {
    address: SocketAddr,
    heads: Arc<Mutex<Vec<String>>>,
}

impl Recorder {
    async fn start() -> Self {
        let listener = TcpListener::bind(("127.0.0.1", 0)).await.expect("a port");
        let address = listener.local_addr().expect("an address");
        let heads = Arc::new(Mutex::new(Vec::new()));
        let known = Arc::clone(&heads);
        tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                tokio::spawn(record(stream, Arc::clone(&known)));
            }
        });
        Self { address, heads }
    }

    /// Every value of the header `name` in the last request to `path`.
    #[track_caller]
    fn said(&self, path: &str, name: &str) -> Vec<String> {
        let heads = self.heads.lock();
        let wanted = format!(" {path} ");
        let head = heads.iter().rev().find(|head| head.contains(&wanted));
        let head = head.unwrap_or_else(|| panic!("no request to {path}: {heads:?}"));
        let lines = head.lines().filter_map(|line| line.split_once(": "));
        lines
            .filter(|(known, _)| known.eq_ignore_ascii_case(name))
            .map(|(_, value)| value.to_owned())
            .collect()
    }
}

async fn record(mut stream: TcpStream, heads: Arc<Mutex<Vec<String>>>) {
    let mut bytes = Vec::new();
    let mut buffer = [0; 4096];
    while !bytes.windows(4).any(|window| window == b"\r\n\r\n") {
        match stream.read(&mut buffer).await {
            Ok(count @ 1..) => bytes.extend_from_slice(&buffer[..count]),
            _ => return,
        }
    }
    heads
        .lock()
        .push(String::from_utf8_lossy(&bytes).into_owned());
    let _ = stream
        .write_all(b"HTTP/1.1 200 OK\r\ncontent-length: 2\r\nconnection: close\r\n\r\n{}")
        .await;
}

async fn recorded() -> (Recorder, Front) {
    let recorder = Recorder::start().await;
    let address = [recorder.address];
    let front = Front::start(Sandbox::new(), &address, &address).await;
    (recorder, front)
}

#[tokio::test]
async fn a_node_receives_the_real_client_address_and_not_a_claimed_one() {
    let (recorder, front) = recorded().await;
    let claims = [
        ("x-forwarded-for", "203.0.113.9"),
        ("x-real-ip", "203.0.113.9"),
        ("forwarded", "for=203.0.113.9"),
        ("x-forwarded-proto", "https"),
    ];
    for path in ["/health/one", "/ws", "/socket.io/", "/auth/relay"] {
        for headers in [&[][..], &claims[..]] {
            wire::send(&front, "GET", path, headers, b"").await;
            let said = |name| recorder.said(path, name);
            assert_eq!(said("x-forwarded-for"), ["127.0.0.1"], "{path}");
            assert_eq!(said("x-real-ip"), ["127.0.0.1"], "{path}");
            assert_eq!(said("x-forwarded-proto"), ["http"], "{path}");
            assert_eq!(said("forwarded"), [""; 0], "{path}");
            assert_eq!(said("host"), ["chat.test"], "{path}");
        }
    }
}

#[tokio::test]
async fn an_upgrade_is_forwarded_only_for_upgrade_requests() {
    let (recorder, front) = recorded().await;
    let switch = [("upgrade", "websocket")];
    wire::send(&front, "GET", "/ws", &switch, b"").await;
    assert_eq!(recorder.said("/ws", "upgrade"), ["websocket"]);
    assert_eq!(recorder.said("/ws", "connection"), ["upgrade"]);
    wire::send(&front, "GET", "/health/two", &[], b"").await;
    assert_eq!(recorder.said("/health/two", "upgrade"), [""; 0]);
    assert_eq!(recorder.said("/health/two", "connection"), [""; 0]);
}

#[tokio::test]
async fn a_request_has_one_id_for_client_node_and_log() {
    let (recorder, front) = recorded().await;
    let long = "x".repeat(65);
    for (given, is_kept) in [
        (Some("order-4711.a_b"), true),
        (Some("a b"), false),
        (Some("<script>"), false),
        (Some(long.as_str()), false),
        (None, false),
    ] {
        let header = given.map(|given| ("x-request-id", given));
        let headers: Vec<_> = header.into_iter().collect();
        let answer = wire::send(&front, "GET", "/health/three", &headers, b"").await;
        let id = answer.header("x-request-id").expect("an id").to_owned();
        assert_eq!(given == Some(id.as_str()), is_kept, "{given:?}: {id}");
        assert_eq!(
            recorder.said("/health/three", "x-request-id"),
            std::slice::from_ref(&id)
        );
        eventually("the request is in the log under that id", || async {
            let lines = front.access_log();
            let is_there = lines.iter().any(|line| line["request_id"] == *id);
            is_there.then_some(())
        })
        .await;
    }
}

#[tokio::test]
async fn an_answer_of_the_service_has_the_request_id_once() {
    let (_service, front) = start().await;
    let headers = [("x-request-id", "mine-1")];
    for path in ["/api/health", "/api/nothing", "/metrics", "/health"] {
        let answer = wire::send(&front, "GET", path, &headers, b"").await;
        for name in [
            "x-request-id",
            "x-content-type-options",
            "referrer-policy",
            "x-frame-options",
        ] {
            let all = answer.headers.iter().filter(|(known, _)| known == name);
            assert_eq!(all.count(), 1, "{name} of {path}");
        }
        assert_eq!(answer.header("x-request-id"), Some("mine-1"), "{path}");
    }
}

//! From an HTTP request to a socket: tokens, origins, and requests that are not WebSocket requests.

use serde_json::json;
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};

use crate::support::{Connect, ConnectError, Node, Service, TokenBy};

#[tokio::test]
async fn a_token_is_taken_in_all_four_ways() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    for token_by in [
        TokenBy::Header,
        TokenBy::Protocol,
        TokenBy::Query,
        TokenBy::FirstFrame,
    ] {
        let mut socket = alice
            .connect_with(Connect {
                token_by,
                ..Connect::default()
            })
            .await;
        assert_eq!(socket.connected["userId"], "alice", "by {token_by:?}");
        assert_eq!(
            socket.subprotocol.as_deref(),
            Some("chat.v1"),
            "by {token_by:?}"
        );
        assert_eq!(socket.ok("ping", json!({})).await["pong"], true);
    }
}

#[tokio::test]
async fn the_subprotocol_is_answered_only_when_it_was_offered() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let extra = format!(
        "Authorization: Bearer {}\r\nSec-WebSocket-Protocol: graphql-ws\r\n",
        alice.token
    );
    let answer = raw(&service, &switch_request("/ws", &extra)).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    assert!(
        !answer.to_lowercase().contains("sec-websocket-protocol"),
        "{answer}"
    );
}

#[tokio::test]
async fn the_accept_key_is_that_of_the_standard() {
    let service = Service::start().await;
    let answer = raw(&service, &switch_request("/", "")).await;
    assert!(answer.starts_with("HTTP/1.1 101"), "{answer}");
    // The example of RFC 6455, section 1.3.
    assert!(answer.contains("s3pPLMBiTxaQ9kYGzzhZRbK+xOo="), "{answer}");
}

#[tokio::test]
async fn connected_has_the_user_the_socket_and_the_cursor() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let one = service.group(&alice, &[&bob]).await;
    let two = service.group(&alice, &[]).await;
    let socket = alice.connect().await;
    let connected = &socket.connected;
    assert_eq!(connected["userId"], "alice");
    assert!(
        connected["socketId"]
            .as_str()
            .is_some_and(|id| !id.is_empty()),
        "{connected}"
    );
    assert_eq!(connected["resumed"], false);
    assert!(
        connected["cursor"]
            .as_str()
            .is_some_and(|cursor| !cursor.is_empty()),
        "{connected}"
    );
    let timestamp = connected["timestamp"].as_str().expect("a timestamp");
    assert!(
        timestamp.len() == 24 && timestamp.ends_with('Z'),
        "{timestamp}"
    );
    let mut rooms: Vec<&str> = connected["rooms"]
        .as_array()
        .expect("rooms")
        .iter()
        .filter_map(|room| room.as_str())
        .collect();
    rooms.sort_unstable();
    let mut expected = [one.as_str(), two.as_str()];
    expected.sort_unstable();
    assert_eq!(rooms, expected);
    let other = alice.connect().await;
    assert_ne!(other.connected["socketId"], connected["socketId"]);
}

#[tokio::test]
async fn a_wrong_expired_or_foreign_token_is_closed_with_4401() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let tokens = [
        ("garbage", "garbage".to_owned()),
        ("expired", service.token("alice").expires_in(-60).sign()),
        (
            "of another host",
            service
                .token("alice")
                .secret("another secret of 32 characters!")
                .sign(),
        ),
        (
            "not valid yet",
            service
                .token("alice")
                .claim("nbf", json!(4_000_000_000_u64))
                .sign(),
        ),
        ("of nobody", service.token("").sign()),
        ("of a reserved word", service.token("me").sign()),
    ];
    for (what, token) in tokens {
        for token_by in [TokenBy::Header, TokenBy::FirstFrame] {
            let refused = alice
                .try_connect(Connect {
                    token_by,
                    token: Some(token.clone()),
                    ..Connect::default()
                })
                .await;
            assert_eq!(
                refused.err(),
                Some(ConnectError::Closed(4401)),
                "a token {what} by {token_by:?}"
            );
        }
    }
}

#[tokio::test]
async fn an_unknown_user_is_created_by_their_first_token() {
    let service = Service::start().await;
    let stranger = service.known_user("stranger");
    let socket = stranger.connect().await;
    assert_eq!(socket.connected["userId"], "stranger");
    stranger.get("/api/users/me").await.expect(200);
}

#[tokio::test]
async fn a_client_that_does_not_authenticate_within_ten_seconds_is_closed_with_4401() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let refused = alice
        .try_connect(Connect {
            token_by: TokenBy::Nothing,
            ..Connect::default()
        })
        .await;
    assert_eq!(refused.err(), Some(ConnectError::Closed(4401)));
}

#[tokio::test]
async fn the_first_frame_without_a_token_must_be_authenticate() {
    let service = Service::start().await;
    let nothing = Connect {
        token_by: TokenBy::Nothing,
        ..Connect::default()
    };
    let mut socket = crate::support::Socket::open(service.ws_url(), &nothing)
        .await
        .expect("switches");
    socket.post("ping", json!({}));
    assert_eq!(socket.closed().await, 4401);
}

#[tokio::test]
async fn only_listed_origins_may_connect() {
    let service = Service::builder()
        .env("ALLOWED_ORIGINS", "https://shop.example")
        .start()
        .await;
    let alice = service.user("alice").await;
    let from = |origin: &str| {
        let how = Connect {
            origin: Some(origin.to_owned()),
            ..Connect::default()
        };
        alice.try_connect(how)
    };
    assert!(from("https://shop.example").await.is_ok());
    for evil in [
        "https://evil.example",
        "null",
        "https://shop.example.evil.example",
        "https://evil-shop.example",
        "http://shop.example",
        "https://shop.example:8443",
    ] {
        match from(evil).await {
            Err(ConnectError::Status(403, body)) => assert_eq!(body["code"], "FORBIDDEN", "{evil}"),
            other => panic!("{evil} was not refused with 403: {:?}", other.err()),
        }
    }
    // Not a browser.
    assert!(alice.try_connect(Connect::default()).await.is_ok());
}

#[tokio::test]
async fn a_request_that_is_not_websocket_gets_a_standard_error() {
    let service = Service::start().await;
    let head = |line: &str, headers: &str| {
        format!("{line} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n")
    };
    let switch = "Connection: Upgrade\r\nUpgrade: websocket\r\n";
    let key = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n";
    for (what, request, status) in [
        ("plain GET", head("GET /ws", ""), 426),
        (
            "wrong method",
            head("POST /ws", "Content-Length: 0\r\n"),
            405,
        ),
        ("unknown path", head("GET /nothing", ""), 404),
        (
            "wrong version",
            format!("GET /ws HTTP/1.1\r\nHost: x\r\n{switch}{key}Sec-WebSocket-Version: 8\r\n\r\n"),
            426,
        ),
        (
            "no version",
            format!("GET /ws HTTP/1.1\r\nHost: x\r\n{switch}{key}\r\n"),
            426,
        ),
        (
            "no key",
            format!("GET /ws HTTP/1.1\r\nHost: x\r\n{switch}Sec-WebSocket-Version: 13\r\n\r\n"),
            400,
        ),
        (
            "a key that is no base64",
            format!(
                "GET /ws HTTP/1.1\r\nHost: x\r\n{switch}Sec-WebSocket-Key: !!!!!!!!!!!!!!!!!!!!!!!!\r\nSec-WebSocket-Version: 13\r\n\r\n"
            ),
            400,
        ),
    ] {
        let answer = raw(&service, &request).await;
        assert!(
            answer.starts_with(&format!("HTTP/1.1 {status}")),
            "{what}: {answer}"
        );
        let body = answer.split("\r\n\r\n").nth(1).unwrap_or_default();
        let body: serde_json::Value = serde_json::from_str(body).unwrap_or_default();
        assert_eq!(body["statusCode"], status, "{what}: {answer}");
        assert!(
            body["code"].is_string() && body["message"].is_string(),
            "{what}: {answer}"
        );
        if what.contains("version") {
            assert!(
                answer.to_lowercase().contains("sec-websocket-version: 13"),
                "{what}: {answer}"
            );
        }
    }
}

#[tokio::test]
async fn the_port_of_sockets_answers_health_and_metrics() {
    let service = Service::builder().roles("ws").start().await;
    for path in ["/health", "/health/live", "/health/ready", "/metrics"] {
        let answer = raw(
            &service,
            &format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"),
        )
        .await;
        assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
    }
}

#[tokio::test]
async fn half_a_request_does_not_stay_open() {
    let service = Service::start().await;
    let mut stream = dial(&service).await;
    stream
        .write_all(b"GET /ws HTTP/1.1\r\nHost: x\r\n")
        .await
        .expect("is written");
    let mut rest = Vec::new();
    let ended = tokio::time::timeout(
        std::time::Duration::from_secs(12),
        stream.read_to_end(&mut rest),
    )
    .await;
    assert!(
        ended.is_ok(),
        "the connection is still open after 12 seconds"
    );
}

fn switch_request(path: &str, extra: &str) -> String {
    format!(
        "GET {path} HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n{extra}\r\n"
    )
}

async fn dial(node: &Node) -> TcpStream {
    let url = url::Url::parse(node.ws_url()).expect("an address");
    TcpStream::connect(("127.0.0.1", url.port().expect("a port")))
        .await
        .expect("a connection")
}

/// Sends a text and returns everything that arrives until the end, or the head of an upgrade.
async fn raw(node: &Node, request: &str) -> String {
    let mut stream = dial(node).await;
    stream
        .write_all(request.as_bytes())
        .await
        .expect("is written");
    let mut answer = String::new();
    let mut buffer = [0; 4096];
    loop {
        let read =
            tokio::time::timeout(std::time::Duration::from_secs(5), stream.read(&mut buffer)).await;
        let count = read.expect("an answer within 5 seconds").unwrap_or(0);
        answer.push_str(&String::from_utf8_lossy(&buffer[..count]));
        let length = answer
            .lines()
            .find_map(|line| {
                line.to_lowercase()
                    .strip_prefix("content-length: ")
                    .map(str::to_owned)
            })
            .and_then(|length| length.parse::<usize>().ok());
        let body = answer.split_once("\r\n\r\n").map(|(_, body)| body.len());
        let is_whole = match (body, length) {
            (Some(body), Some(length)) => body >= length,
            (Some(_), None) => answer.starts_with("HTTP/1.1 101"),
            (None, _) => false,
        };
        if count == 0 || is_whole {
            return answer;
        }
    }
}

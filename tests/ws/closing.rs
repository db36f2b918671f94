//! The end of connections: the cases 1-7 and 9 of the Autobahn test suite that do not need an echo, from both sides, directly and through nginx.

use reqwest::Method;
use serde_json::json;

use crate::support::{
    Connect, Front, Node, RawSocket, Service, TokenBy,
    raw_socket::{End, closing, frame, op},
};

/// The largest frame that the service takes.
const MAX_FRAME: usize = 192 * 1024;

/// A connected socket of alice: `connected` came.
async fn connected(node: &Node) -> RawSocket {
    let how = Connect {
        token: Some(node.token("alice").sign()),
        ..Connect::default()
    };
    let mut socket = RawSocket::open(node.ws_url(), &how).await;
    socket.find(op::TEXT, "\"connected\"").await;
    socket
}

/// The end of the connection after a connected client writes these bytes.
async fn end_after(node: &Node, bytes: &[u8]) -> End {
    let mut socket = connected(node).await;
    socket.bytes(bytes).await;
    socket.end().await
}

/// A command `ping` of exactly `size` bytes.
fn ping(size: usize) -> Vec<u8> {
    let text = |padding: &str| json!({ "id": "large", "event": "ping", "x": padding }).to_string();
    let padding = size - text("").len();
    text(&"x".repeat(padding)).into_bytes()
}

#[tokio::test]
async fn a_valid_close_is_answered_with_its_code_and_the_connection_ends_in_order() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    let codes = (1000..=1003)
        .chain(1007..=1013)
        .chain([3000, 3999, 4000, 4401, 4999]);
    for code in codes {
        for reason in ["", "bye", &"r".repeat(123)] {
            let close = frame(op::CLOSE, true, &closing(code, reason.as_bytes()));
            let end = end_after(&service, &close).await;
            end.expect(code);
            assert_eq!(end.reason, reason, "{code}");
        }
        let close = frame(op::CLOSE, true, &closing(code, b"bye"));
        end_after(&front, &close).await.expect(code);
    }
    for node in [&*service, &*front] {
        let end = end_after(node, &frame(op::CLOSE, true, b"")).await;
        assert_eq!(
            end.code,
            Some(None),
            "an empty one is answered with an empty one"
        );
        assert!(end.is_orderly);
    }
}

#[tokio::test]
async fn an_invalid_close_is_answered_with_1002_or_1007() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    let codes = [
        0, 1, 999, 1004, 1005, 1006, 1014, 1015, 1016, 1100, 2000, 2999, 5000, 65_535,
    ];
    for code in codes {
        let close = frame(op::CLOSE, true, &closing(code, b""));
        end_after(&service, &close).await.expect(1002);
        end_after(&front, &close).await.expect(1002);
    }
    for (what, payload, code) in [
        ("one byte", vec![3], 1002),
        ("124 bytes of reason", closing(1000, &[b'r'; 124]), 1002),
        (
            "no UTF-8",
            closing(1000, b"\xce\xba\xe1\xbd\xb9\xed\xa0\x80edited"),
            1007,
        ),
        ("half a character", closing(1000, b"\xf0\x9f\x92"), 1007),
    ] {
        let close = frame(op::CLOSE, true, &payload);
        for node in [&*service, &*front] {
            let end = end_after(node, &close).await;
            assert_eq!(end.code, Some(Some(code)), "{what}");
            assert!(end.is_orderly, "{what}");
        }
    }
}

#[tokio::test]
async fn nothing_is_done_after_a_close() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let conversation = service.group(&alice, &[]).await;
    let say = json!({
        "id": "1", "event": "message:send",
        "data": { "conversationId": conversation, "content": "too late" },
    });
    let say = say.to_string().into_bytes();
    let close = frame(op::CLOSE, true, &closing(1000, b""));
    let (head, tail) = say.split_at(20);
    for (what, bytes) in [
        ("a second close", [close.clone(), close.clone()].concat()),
        (
            "a ping",
            [close.clone(), frame(op::PING, true, b"x")].concat(),
        ),
        (
            "a text",
            [close.clone(), frame(op::TEXT, true, &say)].concat(),
        ),
        (
            "the second half of a message",
            [
                frame(op::TEXT, false, head),
                close.clone(),
                frame(op::CONTINUE, true, tail),
            ]
            .concat(),
        ),
        (
            "256 KiB and a ping",
            [
                close.clone(),
                frame(op::TEXT, true, &vec![b'x'; 256 * 1024]),
                frame(op::PING, true, b"x"),
            ]
            .concat(),
        ),
        ("no WebSocket at all", [close, vec![0xff; 64]].concat()),
    ] {
        let end = end_after(&service, &bytes).await;
        assert_eq!(end.code, Some(Some(1000)), "{what}");
        assert!(end.is_orderly, "{what}");
    }
    assert_eq!(alice.history(&conversation).await, [json!(null); 0]);
}

#[tokio::test]
async fn protocol_errors_close_with_1002_and_invalid_utf8_with_1007() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    let with_bits = |bits: u8| {
        let mut bytes = frame(op::TEXT, true, b"{}");
        bytes[0] |= bits;
        bytes
    };
    let mut unmasked = vec![0x81, 2];
    unmasked.extend(b"{}");
    let halves = |opcode: u8| [frame(opcode, false, b"a"), frame(op::TEXT, true, b"b")].concat();
    let cases = [
        (
            "a ping of 126 bytes",
            frame(op::PING, true, &[b'x'; 126]),
            1002,
        ),
        (
            "a pong of 126 bytes",
            frame(op::PONG, true, &[b'x'; 126]),
            1002,
        ),
        ("RSV1", with_bits(0x40), 1002),
        ("RSV2", with_bits(0x20), 1002),
        ("RSV3", with_bits(0x10), 1002),
        ("opcode 3", frame(3, true, b""), 1002),
        ("opcode 7", frame(7, true, b"x"), 1002),
        ("opcode 11", frame(11, true, b""), 1002),
        ("opcode 15", frame(15, true, b"x"), 1002),
        ("half a ping", frame(op::PING, false, b"x"), 1002),
        (
            "half a close",
            frame(op::CLOSE, false, &closing(1000, b"")),
            1002,
        ),
        (
            "an end without a beginning",
            frame(op::CONTINUE, true, b"x"),
            1002,
        ),
        ("a text within a text", halves(op::TEXT), 1002),
        ("a text within a binary", halves(op::BINARY), 1002),
        ("a frame without a mask", unmasked, 1002),
        (
            "a text that is no UTF-8",
            frame(op::TEXT, true, b"\xed\xa0\x80"),
            1007,
        ),
        (
            "fragments that are no UTF-8",
            [
                frame(op::TEXT, false, b"\xce"),
                frame(op::CONTINUE, true, b"x"),
            ]
            .concat(),
            1007,
        ),
    ];
    for (what, bytes, code) in cases {
        for node in [&*service, &*front] {
            let end = end_after(node, &bytes).await;
            assert_eq!(end.code, Some(Some(code)), "{what}");
            assert!(end.is_orderly, "{what}");
        }
    }
}

#[tokio::test]
async fn large_messages_arrive_whole_or_fragmented_and_however_they_are_cut() {
    let service = Service::start().await;
    let mut socket = connected(&service).await;
    for size in [4 * 1024, 64 * 1024, 128 * 1024, MAX_FRAME] {
        let message = ping(size);
        for pieces in [message.len(), 64 * 1024, 4 * 1024, 300] {
            let mut fragments = message.chunks(pieces).peekable();
            let mut opcode = op::TEXT;
            let mut bytes = Vec::new();
            while let Some(fragment) = fragments.next() {
                bytes.extend(frame(opcode, fragments.peek().is_none(), fragment));
                opcode = op::CONTINUE;
            }
            socket.bytes(&bytes).await;
            socket.find(op::TEXT, "\"large\"").await;
        }
        // The same in one frame that arrives in pieces.
        for piece in frame(op::TEXT, true, &message).chunks(997) {
            socket.bytes(piece).await;
        }
        socket.find(op::TEXT, "\"large\"").await;
    }
    // A ping between two fragments is answered at once.
    let message = ping(1024);
    let (head, tail) = message.split_at(500);
    let first = [
        frame(op::TEXT, false, head),
        frame(op::PING, true, b"between"),
    ];
    socket.bytes(&first.concat()).await;
    socket.find(op::PONG, "between").await;
    socket.bytes(&frame(op::CONTINUE, true, tail)).await;
    socket.find(op::TEXT, "\"large\"").await;
    socket.send(op::CLOSE, &closing(1000, b"")).await;
    socket.end().await.expect(1000);
}

#[tokio::test]
async fn a_message_over_the_limit_is_closed_with_1009_in_order() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    let whole = frame(op::TEXT, true, &ping(MAX_FRAME + 1));
    let half = vec![b'x'; MAX_FRAME / 2 + 1];
    let fragments = [
        frame(op::TEXT, false, &half),
        frame(op::CONTINUE, true, &half),
    ];
    // Much more than the kernel buffers, so that it is still being written when it is refused.
    let endless = frame(op::TEXT, true, &vec![b'x'; 2 * 1024 * 1024]);
    for bytes in [whole, fragments.concat(), endless] {
        end_after(&service, &bytes).await.expect(1009);
        end_after(&front, &bytes).await.expect(1009);
    }
}

#[tokio::test]
async fn a_client_that_ends_without_a_close_frame_gets_an_orderly_end() {
    let service = Service::start().await;
    let mut socket = connected(&service).await;
    socket.finish().await;
    let end = socket.end().await;
    assert_eq!((end.code, end.is_orderly), (None, true));
}

/// The end of a connection that the service closes, for a client that answers the close frame or just ends.
async fn end_from_the_service(mut socket: RawSocket, answers: bool) -> End {
    loop {
        let frame = socket.next().await.expect("no reset").expect("no end");
        if frame.opcode == op::CLOSE {
            let code = frame
                .payload
                .first_chunk()
                .map(|code| u16::from_be_bytes(*code));
            if answers {
                socket.send(op::CLOSE, &frame.payload).await;
            } else {
                socket.finish().await;
            }
            let rest = socket.end().await;
            assert_eq!(rest.code, None, "one close frame");
            return End {
                code: Some(code),
                reason: String::from_utf8(frame.payload[2..].to_vec()).expect("UTF-8"),
                ..rest
            };
        }
    }
}

#[tokio::test]
async fn every_close_by_the_service_arrives_with_code_and_reason() {
    let service = Service::builder()
        .env("MAX_SOCKETS_PER_USER", "1")
        .start()
        .await;
    let front = Front::before(&[&service], &[&service]).await;
    let open = async |node: &Node, subject: &str, token: String| {
        node.user(subject).await;
        let how = Connect {
            token: Some(token),
            ..Connect::default()
        };
        RawSocket::open(node.ws_url(), &how).await
    };
    for (round, node) in [&*service, &*front].into_iter().enumerate() {
        for answers in [true, false] {
            let name = |what: &str| format!("{what}-{round}-{answers}");
            let forged = node.token("eve").secret(&"x".repeat(48)).sign();
            let socket = open(node, "eve", forged).await;
            let end = end_from_the_service(socket, answers).await;
            end.expect(4401);
            assert!(!end.reason.is_empty());

            let first = name("first");
            let mut socket = open(node, &first, node.token(&first).sign()).await;
            socket.find(op::TEXT, "\"connected\"").await;
            let second = open(node, &first, node.token(&first).sign()).await;
            end_from_the_service(second, answers).await.expect(4429);
            socket.send(op::BINARY, b"x").await;
            let end = end_from_the_service(socket, answers).await;
            end.expect(4400);
            assert!(!end.reason.is_empty());

            let gone = name("gone");
            let mut socket = open(node, &gone, node.token(&gone).sign()).await;
            socket.find(op::TEXT, "\"connected\"").await;
            let path = format!("/api/users/{gone}/disconnect");
            let host = node.internal();
            host.request(Method::POST, &path, None).await.expect(204);
            end_from_the_service(socket, answers).await.expect(4401);
        }
    }
    let mut sockets = Vec::new();
    for (name, node) in [("direct", &*service), ("fronted", &*front)] {
        let mut socket = open(node, name, node.token(name).sign()).await;
        socket.find(op::TEXT, "\"connected\"").await;
        sockets.push(socket);
        let how = Connect {
            token_by: TokenBy::Nothing,
            ..Connect::default()
        };
        sockets.push(RawSocket::open(node.ws_url(), &how).await);
    }
    service.begin_stop();
    for socket in sockets {
        end_from_the_service(socket, true).await.expect(1012);
    }
}

#[tokio::test]
async fn a_slow_reader_gets_4408_when_it_reads_again() {
    let service = Service::start().await;
    let alice = service.user("alice").await;
    let bob = service.user("bob").await;
    let conversation = service.group(&alice, &[&bob]).await;
    let how = Connect {
        token: Some(bob.token.clone()),
        ..Connect::default()
    };
    let mut slow = RawSocket::open(service.ws_url(), &how).await;
    slow.find(op::TEXT, "\"connected\"").await;
    let mut fast = alice.connect().await;
    // More than the kernel buffers for a client and the service queues beyond that.
    let content = "x".repeat(16_000);
    let mut is_ended = false;
    for number in 0..1_000 {
        let body = json!({ "conversationId": conversation, "content": content });
        fast.ok("message:send", body).await;
        if number % 20 == 19 {
            let metrics = service.internal().get("/api/metrics").await;
            is_ended = metrics.text.contains("\nchat_ws_slow_readers_total ");
        }
        if is_ended {
            break;
        }
    }
    assert!(is_ended, "the queue is full");
    end_from_the_service(slow, true).await.expect(4408);
}

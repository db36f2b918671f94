//! A slow client receives whole frames in order, both from the flusher and from the socket's own task.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpSocket;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Message, protocol::Role},
};

use super::*;
use crate::domain::known_users::TokenIssue;
use crate::ws::{
    hub::Hub,
    push::Outgoing,
    resume::{CatchUp, InitialFrames},
    socket::{WakeTarget, flush::Flushers},
};

const PUSHES: usize = 900;

/// Returns both ends of a connection with small kernel buffers.
async fn connect() -> (TcpStream, TcpStream) {
    let socket = || TcpSocket::new_v4().expect("a socket");
    let (server, client) = (socket(), socket());
    server.set_send_buffer_size(4096).expect("a small buffer");
    client.set_recv_buffer_size(4096).expect("a small buffer");
    let any = "127.0.0.1:0".parse().expect("an address");
    server.bind(any).expect("a port");
    let listener = server.listen(1).expect("listens");
    let address = listener.local_addr().expect("an address");
    let (client, server) = tokio::join!(client.connect(address), listener.accept());
    (
        client.expect("a connection"),
        server.expect("a connection").0,
    )
}

#[tokio::test]
async fn slow_client_receives_whole_frames_in_order() {
    // The driver connects on first use, and nothing uses it.
    let store = crate::store::Store::connect("mongodb://127.0.0.1:1", "none").await;
    let hub = Hub::new(
        Arc::new(store.expect("an address")),
        Seal::new(b"secret", "epoch"),
    );
    let (client, server) = connect().await;
    let wire = SocketStream::new(server);
    let writer = Arc::clone(wire.writer());
    let mut ws = WebSocketStream::from_raw_socket(wire, Role::Server, None).await;
    let (flushers, runs) = Flushers::new(&hub.seal);
    for run in runs {
        tokio::spawn(run);
    }
    let exit = WakeTarget::Flusher(Arc::clone(&writer), flushers.queue(1).clone());
    let socket = Socket::new(
        1,
        "bob".parse().expect("a user id"),
        TokenIssue::default(),
        exit,
    );
    let feed = InitialFrames::new(&socket, CatchUp::default(), None).into_feed();
    writer.begin(feed);
    socket.flush(&hub.seal, &mut WriteBuffer::default());

    let padding = "x".repeat(500);
    for number in 0..PUSHES {
        let text = format!("push {number} {padding}");
        socket.push(Outgoing::Live(Arc::new(text.into())));
        if number % 100 == 99 {
            // An answer is written between the pushes, without waiting.
            let answer = Message::Text(format!("answer {number}").into());
            ws.send(answer).await.expect("takes it at once");
            tokio::task::yield_now().await;
        }
    }
    tokio::time::timeout(Duration::from_secs(5), async {
        while !writer.is_held_up() {
            tokio::task::yield_now().await;
        }
    })
    .await
    .expect("the kernel has no room for all of it");
    assert_eq!(socket.ending(), None, "it is slow, and within the bound");

    let own_task = tokio::spawn({
        let (socket, writer, seal) = (
            Arc::clone(&socket),
            Arc::clone(&writer),
            Arc::clone(&hub.seal),
        );
        async move {
            loop {
                writer.emptied().await.expect("the client is there");
                socket.flush(&seal, &mut WriteBuffer::default());
                if !writer.is_held_up() {
                    socket.alerted().await;
                }
            }
        }
    });
    let mut client = WebSocketStream::from_raw_socket(client, Role::Client, None).await;
    let (mut pushes, mut answers) = (0, 0);
    while pushes < PUSHES || answers < PUSHES / 100 {
        let next = tokio::time::timeout(Duration::from_secs(10), client.next());
        let text = match next.await.expect("goes on") {
            Some(Ok(Message::Text(text))) => text,
            other => panic!("no frame: {other:?}"),
        };
        if text.starts_with("answer ") {
            answers += 1;
            assert_eq!(text.as_str(), format!("answer {}", answers * 100 - 1));
        } else {
            assert_eq!(text.as_str(), format!("push {pushes} {padding}"));
            pushes += 1;
        }
    }
    assert!(socket.is_empty() && !writer.is_held_up());
    own_task.abort();
}

#[tokio::test]
async fn write_to_a_closed_connection_reports_it() {
    let (client, server) = connect().await;
    let mut wire = SocketStream::new(server);
    drop(client);
    let noticed = async {
        use tokio::io::AsyncWriteExt;
        while wire.write_all(b"words").await.is_ok() {
            tokio::task::yield_now().await;
        }
    };
    tokio::time::timeout(Duration::from_secs(5), noticed)
        .await
        .expect("notices");
    assert!(wire.writer().is_held_up());
    assert!(wire.writer().emptied().await.is_err());
}

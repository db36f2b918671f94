//! A client that vanished silently: the kernel keeps its connection open, and no ping is answered.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
    time::Instant,
};

use crate::support::{Service, eventually_within};

/// Two pings of 25 seconds and one to notice it, with room for a slow machine.
const LIMIT: Duration = Duration::from_secs(110);

/// A frame of the server, which is not masked: its kind and its payload.
async fn frame(socket: &mut TcpStream) -> Option<(u8, Vec<u8>)> {
    let head = socket.read_u16().await.ok()?;
    let length = match head & 0x7f {
        126 => usize::from(socket.read_u16().await.ok()?),
        127 => usize::try_from(socket.read_u64().await.ok()?).ok()?,
        length => usize::from(length),
    };
    let mut held = vec![0; length];
    socket.read_exact(&mut held).await.ok()?;
    Some((head.to_be_bytes()[0] & 0x0f, held))
}

#[tokio::test]
async fn a_client_that_answers_no_ping_is_closed_and_one_that_does_stays() {
    let service = Service::start().await;
    let (alice, bob) = (service.user("alice").await, service.user("bob").await);
    let mut lively = bob.connect().await;
    let address = service.ws_base().replace("http://", "");
    let token = service.token("alice").sign();
    let mut silent = TcpStream::connect(&address).await.expect("connects");
    let hello = format!(
        "GET /ws?token={token} HTTP/1.1\r\nHost: {address}\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\
         Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    );
    silent.write_all(hello.as_bytes()).await.expect("writes");
    let mut answer = Vec::new();
    while !answer.ends_with(b"\r\n\r\n") {
        answer.push(silent.read_u8().await.expect("an answer"));
    }
    assert!(
        answer.starts_with(b"HTTP/1.1 101"),
        "{}",
        String::from_utf8_lossy(&answer)
    );
    let began = Instant::now();
    let presence = "/api/users/alice/presence";
    eventually_within(Duration::from_secs(10), "she is online", || async {
        (alice.get(presence).await.expect(200)["status"] == "online").then_some(())
    })
    .await;
    // The client reads but sends nothing, like a proxy whose client is gone.
    let (pings, code) = tokio::time::timeout(LIMIT, async {
        let mut pings = 0;
        loop {
            match frame(&mut silent).await {
                Some((9, _)) => pings += 1,
                Some((8, held)) => {
                    return (pings, u16::from_be_bytes([held[0], held[1]]));
                }
                Some(_) => {}
                None => panic!("the connection broke after {pings} pings"),
            }
        }
    })
    .await
    .expect("it is closed in time");
    assert_eq!(code, 1001, "which tells a client to connect again");
    assert!((1..=3).contains(&pings), "{pings} pings");
    assert!(
        began.elapsed() >= Duration::from_secs(40),
        "it had time to answer"
    );
    assert!(lively.is_alive().await, "who answers stays");
    eventually_within(Duration::from_secs(15), "she is offline", || async {
        (alice.get(presence).await.expect(200)["status"] == "offline").then_some(())
    })
    .await;
}

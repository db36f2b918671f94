//! The end of a connection: the closing handshake of RFC 6455, then the end of TCP in an order that loses nothing.
//!
//! Whoever began it, and for whatever reason: the close frame goes out behind all that was written, then this end stops writing, and what the client still
//! sends is read until it ends too. If a socket is dropped with unread bytes, the kernel resets the connection, and the reset may overtake the close frame.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use metrics::counter;
use rand::random;
use serde_json::json;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        Error as WsError, Message as WsMessage, Utf8Bytes,
        error::{CapacityError, ProtocolError},
    },
};

use super::{close::CloseReason, frame, outlet::SocketStream};

/// How long the closing handshake may take.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// How long it may take for a client that reads too slowly: it must first take what was written before the close frame.
const SLOW_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the client may take to end its half of the connection after that.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// The spread of the pause that clients are asked to make before they come back to a restarted node.
pub const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// Ends the connection: for `reason`, or if there is none because the client closed it or went.
pub async fn close(mut ws: WebSocketStream<SocketStream>, reason: Option<CloseReason>) {
    if let Some(reason) = reason {
        counter!("chat_ws_closes_total", "code" => reason.code().to_string()).increment(1);
    }
    let patience = match reason {
        Some(CloseReason::TooSlow) => SLOW_HANDSHAKE_TIMEOUT,
        _ => HANDSHAKE_TIMEOUT,
    };
    let _ = tokio::time::timeout(patience, shake_hands(&mut ws, reason)).await;
    let mut wire = ws.into_inner();
    wire.end_writing();
    let _ = tokio::time::timeout(DRAIN_TIMEOUT, wire.drain()).await;
}

async fn shake_hands(ws: &mut WebSocketStream<SocketStream>, reason: Option<CloseReason>) {
    if reason == Some(CloseReason::Restarting) {
        let _ = ws.send(WsMessage::Text(reconnect_event())).await;
    }
    if let Some(reason) = reason {
        let _ = ws.close(Some(reason.frame())).await;
    }
    // If the client closed, this writes the answer that tungstenite has ready.
    let _ = ws.flush().await;
    if ws.get_ref().outlet().emptied().await.is_ok() && reason.is_some() {
        // What the client sent before its close frame is not carried out. After an error of the stream nothing more can be read as frames, and this
        // ends at once.
        while let Some(Ok(_)) = ws.next().await {}
    }
}

fn reconnect_event() -> Utf8Bytes {
    let pause = RETURN_WITHIN.mul_f64(random()).as_millis() as u64;
    frame::event(
        "reconnect",
        &json!({ "reason": "restart", "retryAfterMs": pause }),
    )
}

/// Why a socket is closed after an error of its stream; `None` if there is nobody to tell.
pub fn reason_of(error: &WsError) -> Option<CloseReason> {
    match error {
        WsError::Capacity(CapacityError::MessageTooLong { .. }) => Some(CloseReason::TooLarge),
        WsError::Utf8(_) => Some(CloseReason::NotUtf8),
        WsError::Protocol(ProtocolError::ResetWithoutClosingHandshake) => None,
        WsError::Protocol(_) => Some(CloseReason::Malformed),
        WsError::WriteBufferFull(_) => Some(CloseReason::TooSlow),
        _ => None,
    }
}

//! Closing of a connection: the closing handshake of RFC 6455, then the shutdown of TCP in an order that loses no data.
//!
//! The order is the same for both sides and all reasons: the close frame is sent behind everything written before, then this side stops writing, and
//! everything the client still sends is read until it closes too. If a socket is dropped with unread bytes, the kernel resets the connection, and the reset
//! may overtake the close frame.

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

use super::writer::SocketStream;
use crate::ws::{close::CloseReason, commands::frame};

/// Time limit of the closing handshake.
const HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(3);
/// Time limit for a slow client, which must first take everything written before the close frame.
const SLOW_HANDSHAKE_TIMEOUT: Duration = Duration::from_secs(10);
/// Pause after which a client counts as having seen the close frame and stopped sending.
const QUIET: Duration = Duration::from_millis(200);
/// Time limit for the client to close its half of the connection after the handshake.
const DRAIN_TIMEOUT: Duration = Duration::from_secs(1);
/// Spread of the random pause before clients reconnect to a restarted node.
pub const RETURN_WITHIN: Duration = Duration::from_secs(5);

/// Closes the connection for `reason`; without one, the client has closed it or is gone.
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
    if matches!(
        reason,
        Some(CloseReason::TooLarge | CloseReason::Malformed | CloseReason::NotUtf8)
    ) {
        // The client may be in the middle of a message, and its close frame cannot be told from the rest of it. A proxy between resets the client's
        // connection if this end closes while more comes.
        let quiet = wire.drain_until_quiet(QUIET);
        let _ = tokio::time::timeout(HANDSHAKE_TIMEOUT, quiet).await;
    }
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
    // If the client has closed, this writes the answer that tungstenite has queued.
    let _ = ws.flush().await;
    if ws.get_ref().writer().emptied().await.is_ok() && reason.is_some() {
        // Commands that the client sent before its close frame are not run. After a stream error nothing more can be read as frames, and the loop ends
        // at once.
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

/// Returns the reason for closing after a stream error; `None` if the client is gone.
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

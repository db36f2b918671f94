//! Reasons for closing a socket. The close code tells the client how to go on:
//!
//! | code | the client |
//! |---|---|
//! | 1001, 1012 | reconnects after a short random pause |
//! | 4401 | gets a new token and authenticates again |
//! | 4403 | stops: it is not allowed to connect |
//! | 4408 | reconnects and resumes: it read too slowly |
//! | 4429 | waits, then reconnects with a growing pause |
//! | 1002, 1007, 1009, 4400 | stops: it sent no valid WebSocket, no UTF-8, too large a message, or no frame of `chat.v1` |

use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

/// Reason for closing a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The node is stopping or restarting (1012).
    Restarting,
    /// The client sent nothing for two ping periods (1001).
    Silent,
    /// There is no valid token, or the token has expired (4401).
    Unauthenticated,
    /// The host or this deployment does not admit this client (4403).
    Forbidden,
    /// The client reads more slowly than events arrive (4408).
    TooSlow,
    /// Too many sockets, bad tokens from one address, or rate-limited commands in a row (4429).
    TooMany,
    /// The client's bytes violate RFC 6455 (1002).
    Malformed,
    /// A text message is not valid UTF-8 (1007).
    NotUtf8,
    /// A WebSocket message is not a frame of `chat.v1` (4400).
    Protocol,
    /// A message exceeds the size limit (1009).
    TooLarge,
}

impl CloseReason {
    /// Returns the close code.
    pub const fn code(self) -> u16 {
        match self {
            Self::Silent => 1001,
            Self::Malformed => 1002,
            Self::NotUtf8 => 1007,
            Self::TooLarge => 1009,
            Self::Restarting => 1012,
            Self::Protocol => 4400,
            Self::Unauthenticated => 4401,
            Self::Forbidden => 4403,
            Self::TooSlow => 4408,
            Self::TooMany => 4429,
        }
    }

    /// Returns the reason text that accompanies the code.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Silent => "no data received from this client; reconnect",
            Self::Malformed => "the data violates the WebSocket protocol (RFC 6455)",
            Self::NotUtf8 => "text messages must be valid UTF-8",
            Self::TooLarge => "the message is too large",
            Self::Restarting => "this node is restarting; reconnect",
            Self::Protocol => "the message is not a frame of chat.v1",
            Self::Unauthenticated => "authenticate with a valid token",
            Self::Forbidden => "this client may not connect to this deployment",
            Self::TooSlow => "this client reads too slowly; reconnect and resume",
            Self::TooMany => {
                "too many connections, rejected tokens or rate-limited commands; wait before reconnecting"
            }
        }
    }

    /// Returns the close frame.
    pub fn frame(self) -> CloseFrame {
        CloseFrame {
            code: CloseCode::from(self.code()),
            reason: self.text().into(),
        }
    }
}

//! Why a socket is closed. The number tells the client what it owes:
//!
//! | code | the client |
//! |---|---|
//! | 1001, 1012 | connects again, after a short random pause |
//! | 4401 | gets a new token and authenticates again |
//! | 4403 | stops: it may not be here |
//! | 4408 | connects again and resumes: it read too slowly |
//! | 4429 | waits, then connects again with a growing pause |
//! | 1002, 1007, 1009, 4400 | stops: what it sends is no WebSocket, no UTF-8, too large, or no frame of `chat.v1` |

use tokio_tungstenite::tungstenite::protocol::{CloseFrame, frame::coding::CloseCode};

/// A reason to close a socket.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CloseReason {
    /// The node ends or is restarted (1012).
    Restarting,
    /// Nothing was heard of the client for two ping periods (1001).
    Silent,
    /// No valid token, or it ended (4401).
    Unauthenticated,
    /// The host or this deployment does not want this client (4403).
    Forbidden,
    /// The client reads slower than events come (4408).
    TooSlow,
    /// Too many sockets, bad tokens from one address, or commands that went on being refused (4429).
    TooMany,
    /// What came breaks RFC 6455 (1002).
    Malformed,
    /// A text that is not UTF-8 (1007).
    NotUtf8,
    /// A message of WebSocket that is no frame of `chat.v1` (4400).
    Protocol,
    /// A message over the size limit (1009).
    TooLarge,
}

impl CloseReason {
    /// The close code.
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

    /// The sentence beside the code.
    pub const fn text(self) -> &'static str {
        match self {
            Self::Silent => "nothing was heard from you; connect again",
            Self::Malformed => "this breaks the WebSocket protocol (RFC 6455)",
            Self::NotUtf8 => "texts must be UTF-8",
            Self::TooLarge => "the message is too large",
            Self::Restarting => "this node restarts; connect again",
            Self::Protocol => "this is not a frame of chat.v1",
            Self::Unauthenticated => "authenticate with a valid token",
            Self::Forbidden => "you may not connect here",
            Self::TooSlow => "you read too slowly; connect again and resume",
            Self::TooMany => {
                "too many connections, failed proofs or refused commands; wait before you connect again"
            }
        }
    }

    /// The close frame.
    pub fn frame(self) -> CloseFrame {
        CloseFrame {
            code: CloseCode::from(self.code()),
            reason: self.text().into(),
        }
    }
}

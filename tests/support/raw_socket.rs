//! A WebSocket client on raw bytes, for input that no library sends and for the exact end of a connection.

use std::time::Duration;

use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::TcpStream,
};
use tokio_tungstenite::tungstenite::http::Request;

use super::socket::{Connect, request};

/// Maximum time to wait for anything that must arrive.
const LIMIT: Duration = Duration::from_secs(10);

/// Opcodes of RFC 6455.
pub mod op {
    pub const CONTINUE: u8 = 0;
    pub const TEXT: u8 = 1;
    pub const BINARY: u8 = 2;
    pub const CLOSE: u8 = 8;
    pub const PING: u8 = 9;
    pub const PONG: u8 = 10;
}

/// A frame from the service.
#[derive(Debug, Clone, PartialEq)]
pub struct RawFrame {
    /// Its opcode.
    pub opcode: u8,
    /// The bytes of the frame's payload.
    pub payload: Vec<u8>,
}

/// The end of a connection.
#[derive(Debug, Clone, PartialEq)]
pub struct End {
    /// The code of the close frame: `None` if there was no close frame, `Some(None)` if it was empty.
    pub code: Option<Option<u16>>,
    /// The reason of the close frame.
    pub reason: String,
    /// True if the service ended the connection in order (FIN), not by a reset.
    pub is_orderly: bool,
}

impl End {
    /// The expected end of a connection that closes in order with a close frame of `code`.
    #[track_caller]
    pub fn expect(&self, code: u16) {
        assert_eq!(self.code, Some(Some(code)), "{self:?}");
        assert!(self.is_orderly, "{self:?}");
    }
}

/// A connection after the switch.
pub struct RawSocket {
    stream: TcpStream,
    arrived: Vec<u8>,
}

/// A frame as a client writes it: masked.
pub fn frame(opcode: u8, is_final: bool, payload: &[u8]) -> Vec<u8> {
    let mask = [0x37, 0xfa, 0x21, 0x3d];
    let mut bytes = vec![u8::from(is_final) << 7 | opcode];
    match payload.len() {
        length @ ..=125 => bytes.push(0x80 | length as u8),
        length @ ..=0xffff => {
            bytes.push(0x80 | 126);
            bytes.extend((length as u16).to_be_bytes());
        }
        length => {
            bytes.push(0x80 | 127);
            bytes.extend((length as u64).to_be_bytes());
        }
    }
    bytes.extend(mask);
    let masked = payload.iter().enumerate();
    bytes.extend(masked.map(|(index, byte)| byte ^ mask[index % 4]));
    bytes
}

/// The payload of a close frame.
pub fn closing(code: u16, reason: &[u8]) -> Vec<u8> {
    [&code.to_be_bytes(), reason].concat()
}

impl RawSocket {
    /// Upgrades a connection to `url`. Frames that arrive stay unread.
    pub async fn open(url: &str, how: &Connect) -> Self {
        let request: Request<()> = request(url, how);
        let authority = request.uri().authority().expect("an address").to_string();
        let mut stream = TcpStream::connect(authority).await.expect("it listens");
        stream.set_nodelay(true).expect("an option");
        let path = request.uri().path_and_query().expect("a path");
        let mut head = format!("GET {path} HTTP/1.1\r\n");
        for (name, value) in request.headers() {
            let value = value.to_str().expect("a header");
            head.push_str(&format!("{name}: {value}\r\n"));
        }
        head.push_str("\r\n");
        stream.write_all(head.as_bytes()).await.expect("written");
        let mut socket = Self {
            stream,
            arrived: Vec::new(),
        };
        let switched = async {
            loop {
                let end = socket.arrived.windows(4).position(|at| at == b"\r\n\r\n");
                if let Some(end) = end {
                    let head: Vec<u8> = socket.arrived.drain(..end + 4).collect();
                    return String::from_utf8_lossy(&head).into_owned();
                }
                assert!(socket.read().await.expect("no reset"), "an answer");
            }
        };
        let head = tokio::time::timeout(LIMIT, switched).await.expect("soon");
        assert!(head.starts_with("HTTP/1.1 101 "), "{head}");
        socket
    }

    /// Writes bytes as they are. Errors are ignored, because the service may have ended the connection.
    pub async fn bytes(&mut self, bytes: &[u8]) {
        let _ = self.stream.write_all(bytes).await;
    }

    /// Writes a whole message in one frame.
    pub async fn send(&mut self, opcode: u8, payload: &[u8]) {
        self.bytes(&frame(opcode, true, payload)).await;
    }

    /// Ends this half of the connection.
    pub async fn finish(&mut self) {
        let _ = self.stream.shutdown().await;
    }

    /// Reads the available bytes. Returns false at the end.
    async fn read(&mut self) -> std::io::Result<bool> {
        let mut buffer = [0; 16 * 1024];
        let count = self.stream.read(&mut buffer).await?;
        self.arrived.extend_from_slice(&buffer[..count]);
        Ok(count > 0)
    }

    fn parsed(&mut self) -> Option<RawFrame> {
        let &[first, second, ..] = &self.arrived[..] else {
            return None;
        };
        assert_eq!(first & 0xf0, 0x80, "one whole frame without extensions");
        let (extra, at) = match second {
            126 => (2, 4),
            127 => (8, 10),
            _ => (0, 2),
        };
        let length = match extra {
            0 => usize::from(second),
            _ => {
                let bytes = self.arrived.get(2..2 + extra)?;
                bytes
                    .iter()
                    .fold(0, |sum, byte| sum << 8 | usize::from(*byte))
            }
        };
        if self.arrived.len() < at + length {
            return None;
        }
        let payload = self.arrived.drain(..at + length).skip(at).collect();
        Some(RawFrame {
            opcode: first & 0xf,
            payload,
        })
    }

    /// The next frame; `None` when the connection ended without one. The error says that it was reset.
    pub async fn next(&mut self) -> std::io::Result<Option<RawFrame>> {
        let next = async {
            loop {
                if let Some(frame) = self.parsed() {
                    return Ok(Some(frame));
                }
                if !self.read().await? {
                    assert!(self.arrived.is_empty(), "half a frame at the end");
                    return Ok(None);
                }
            }
        };
        tokio::time::timeout(LIMIT, next)
            .await
            .expect("a frame or the end within 10 s")
    }

    /// The next frame with that opcode and a text in it. Others that come before are given up.
    pub async fn find(&mut self, opcode: u8, text: &str) -> RawFrame {
        loop {
            let frame = self.next().await.expect("no reset").expect("no end");
            let is_it = frame.opcode == opcode;
            if is_it && String::from_utf8_lossy(&frame.payload).contains(text) {
                return frame;
            }
        }
    }

    /// Reads to the end of the connection. After the close frame nothing may come.
    pub async fn end(&mut self) -> End {
        let mut end = End {
            code: None,
            reason: String::new(),
            is_orderly: false,
        };
        loop {
            match self.next().await {
                Ok(Some(frame)) => {
                    assert_eq!(end.code, None, "{frame:?} after the close frame");
                    if frame.opcode == op::CLOSE {
                        let code = frame
                            .payload
                            .first_chunk()
                            .map(|code| u16::from_be_bytes(*code));
                        end.code = Some(code);
                        let reason = frame.payload.get(2..).unwrap_or_default();
                        end.reason = std::str::from_utf8(reason).expect("UTF-8").to_owned();
                    }
                }
                Ok(None) => {
                    end.is_orderly = true;
                    return end;
                }
                Err(_) => return end,
            }
        }
    }
}

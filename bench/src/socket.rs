//! One connected user: writes the sends it is given, and records answers and deliveries.
//!
//! The journal is judged and counted after the run.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, anyhow};
use futures_util::{SinkExt, StreamExt};
use tokio::net::TcpStream;
use tokio::sync::{OwnedSemaphorePermit, mpsc, oneshot};
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::tungstenite::http::HeaderValue;
use tokio_tungstenite::tungstenite::protocol::WebSocketConfig;
use tokio_tungstenite::tungstenite::{Error, Message};
use tokio_tungstenite::{WebSocketStream, client_async_with_config};

use super::check::{Content, Seen};
use super::client::RATE_HINT;
use super::frame::{Event, parse};
use super::run::Run;

/// A connected socket.
pub(super) type Stream = WebSocketStream<TcpStream>;

/// Parameters of a socket.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    /// WebSocket address (`ws://`).
    pub url: String,
    /// The user's token.
    pub token: String,
    /// Internal secret, which exempts the socket from rate limits; `None` if the limits apply.
    pub internal_secret: Option<String>,
    /// The only conversation of this user, if there is one.
    pub conversation: Option<String>,
}

/// Commands to a socket.
#[derive(Debug)]
pub(super) enum Command {
    /// Send message `number`, whose latency counts from `intended_us`.
    Send {
        /// Number of the send in the run.
        number: u32,
        /// Time at which the send was due, in microseconds since the epoch of the run.
        intended_us: u64,
    },
    /// Close and return the journal.
    Close,
}

/// Result in an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Success, with the seq of the message if the answer names it.
    Stored(Option<u64>),
    /// ErrorBody with this code.
    Refused(String),
}

/// A send that was written to the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Number of the send in the run.
    pub number: u32,
    /// Time at which it was due, in microseconds since the epoch of the run.
    pub intended_us: u64,
    /// Time at which it was written.
    pub written_us: u64,
}

/// An answer to a send.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Number of the send in the run.
    pub number: u32,
    /// Time of arrival, in microseconds since the epoch of the run.
    pub at_us: u64,
    /// Result of the send.
    pub reply: Reply,
}

/// Journal of a socket.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Sends in the order of writing.
    pub sent: Vec<Sent>,
    /// Answers in the order of arrival.
    pub answers: Vec<Answer>,
    /// Frames with a seq, in the order of arrival.
    pub seen: Vec<Seen>,
    /// Codes of `error` events.
    pub errors: BTreeMap<String, u64>,
    /// Number of frames that are not JSON objects of the protocol.
    pub unreadable: u64,
    /// Reason for which the socket closed by itself.
    pub closed: Option<String>,
}

/// Opens the socket of a dial.
///
/// # Errors
/// If the service refuses the socket or does not respond.
pub(super) async fn connect(dial: &Dial) -> anyhow::Result<Stream> {
    let mut request = dial.url.as_str().into_client_request()?;
    let headers = request.headers_mut();
    let bearer = format!("Bearer {}", dial.token);
    headers.insert("Authorization", HeaderValue::from_str(&bearer)?);
    if let Some(secret) = &dial.internal_secret {
        headers.insert("X-Internal-Secret", HeaderValue::from_str(secret)?);
    }
    headers.insert(
        "Sec-WebSocket-Protocol",
        HeaderValue::from_static("chat.v1"),
    );
    let uri = request.uri();
    let host = uri.host().context("the WebSocket address has no host")?;
    let tcp = TcpStream::connect((host, uri.port_u16().unwrap_or(80)))
        .await
        .with_context(|| format!("connect to {}", dial.url))?;
    tcp.set_nodelay(true)?;
    let config = WebSocketConfig::default()
        .read_buffer_size(8 << 10)
        .write_buffer_size(8 << 10);
    match client_async_with_config(request, tcp, Some(config)).await {
        Ok((stream, _)) => Ok(stream),
        Err(Error::Http(response)) if response.status().as_u16() == 429 => {
            Err(anyhow!("the handshake was refused with 429; {RATE_HINT}"))
        }
        Err(error) => {
            Err(anyhow::Error::new(error).context(format!("handshake with {}", dial.url)))
        }
    }
}

/// Reports to the opener that the socket is connected, or the error, and frees its slot among the connecting sockets.
pub(super) type Ready = (
    oneshot::Sender<anyhow::Result<()>>,
    Option<OwnedSemaphorePermit>,
);

/// Connects a user and serves the socket until it is told to close.
pub(super) async fn serve(
    dial: Dial,
    run: Arc<Run>,
    mut inbox: mpsc::UnboundedReceiver<Command>,
    ready: Ready,
) -> Journal {
    let mut stream = match connect(&dial).await {
        Ok(stream) => stream,
        Err(error) => {
            let reason = error.to_string();
            // The opener may have given up; then nobody needs the result.
            let _ = ready.0.send(Err(error));
            return Journal {
                closed: Some(reason),
                ..Journal::default()
            };
        }
    };
    let conversation = serde_json::json!(dial.conversation).to_string();
    let mut user = User {
        own: dial.conversation,
        conversation_json: conversation,
        journal: Journal::default(),
        unanswered: 0,
        ready: Some(ready),
        run,
    };
    loop {
        tokio::select! {
            frame = stream.next() => {
                if let Err(reason) = user.take(frame) {
                    user.lost(reason);
                    break;
                }
            }
            command = inbox.recv() => match command {
                Some(Command::Send { number, intended_us }) => {
                    if let Err(error) = user.send(&mut stream, &mut inbox, number, intended_us).await {
                        user.lost(error.to_string());
                        break;
                    }
                }
                Some(Command::Close) | None => {
                    // The close handshake is optional; the journal is complete.
                    let _ = tokio::time::timeout(Duration::from_secs(1), stream.close(None)).await;
                    return user.journal;
                }
            },
        }
    }
    drop(stream);
    while let Some(Command::Send { .. }) = inbox.recv().await {
        user.run.settled(false);
    }
    user.journal
}

struct User {
    own: Option<String>,
    conversation_json: String,
    journal: Journal,
    unanswered: u64,
    ready: Option<Ready>,
    run: Arc<Run>,
}

impl User {
    fn take(&mut self, frame: Option<Result<Message, Error>>) -> Result<(), String> {
        let text = match frame {
            Some(Ok(Message::Text(text))) => text,
            Some(Ok(Message::Close(Some(close)))) => {
                return Err(format!("{} {}", u16::from(close.code), close.reason));
            }
            Some(Ok(Message::Close(None))) | None => return Err("closed without a code".to_owned()),
            Some(Ok(_)) => return Ok(()),
            Some(Err(error)) => return Err(error.to_string()),
        };
        let at_us = self.run.now_us();
        match parse(&text, &self.run, self.own.as_deref()) {
            Event::Numbered(seq, content) => {
                self.journal.seen.push(Seen {
                    seq,
                    content,
                    at_us,
                });
                if matches!(content, Content::Message(_)) {
                    self.run.delivered.fetch_add(1, Relaxed);
                }
            }
            Event::Answer(number, reply) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                let success = matches!(reply, Reply::Stored(_));
                self.journal.answers.push(Answer {
                    number,
                    at_us,
                    reply,
                });
                self.run.settled(success);
            }
            Event::Connected => {
                if let Some((ready, _permit)) = self.ready.take() {
                    // The opener may have given up; then nobody needs the result.
                    let _ = ready.send(Ok(()));
                }
            }
            Event::Error(code) => *self.journal.errors.entry(code).or_default() += 1,
            Event::Unreadable => self.journal.unreadable += 1,
            Event::Other => {}
        }
        Ok(())
    }

    /// Writes this send and the queued ones, then flushes once.
    async fn send(
        &mut self,
        stream: &mut Stream,
        inbox: &mut mpsc::UnboundedReceiver<Command>,
        mut number: u32,
        mut intended_us: u64,
    ) -> Result<(), Error> {
        loop {
            let content = self.run.content(number);
            let frame = format!(
                r#"{{"id":"{number}","event":"message:send","data":{{"conversationId":{},"content":"{content}","clientMessageId":"{}-{number}"}}}}"#,
                self.conversation_json,
                self.run.tag()
            );
            self.journal.sent.push(Sent {
                number,
                intended_us,
                written_us: self.run.now_us(),
            });
            self.unanswered += 1;
            stream.feed(Message::text(frame)).await?;
            match inbox.try_recv() {
                Ok(Command::Send {
                    number: next,
                    intended_us: at,
                }) => (number, intended_us) = (next, at),
                // Close comes only after the last answer or the end of waiting, so stopping here loses nothing.
                Ok(Command::Close) => {
                    inbox.close();
                    break;
                }
                Err(_) => break,
            }
        }
        stream.flush().await
    }

    /// Records that the socket is closed, and all sends without an answer.
    fn lost(&mut self, reason: String) {
        if let Some((ready, _permit)) = self.ready.take() {
            // The opener may have given up; then nobody needs the result.
            let _ = ready.send(Err(anyhow!("closed before `connected`: {reason}")));
        }
        self.journal.closed = Some(reason);
        for _ in 0..std::mem::take(&mut self.unanswered) {
            self.run.settled(false);
        }
    }
}

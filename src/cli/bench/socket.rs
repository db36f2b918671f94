//! One connected user: writes the sends it is ordered to, notes answers and deliveries, and nothing more.
//!
//! What it notes is judged and counted after the run.

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
use super::frame::{Heard, hear};
use super::run::Run;

/// A connected socket.
pub(super) type Stream = WebSocketStream<TcpStream>;

/// How a socket is opened, and what it is.
#[derive(Debug, Clone)]
pub(super) struct Dial {
    /// `ws://` address.
    pub url: String,
    /// The user's token.
    pub token: String,
    /// What lifts the rate limits, where they are to be lifted.
    pub internal_secret: Option<String>,
    /// The only conversation of this user, if there is one.
    pub conversation: Option<String>,
}

/// What a socket can be told.
#[derive(Debug)]
pub(super) enum Order {
    /// Send message `number`, whose latency counts from `intended_us`.
    Send {
        /// Number of the send in the run.
        number: u32,
        /// Microseconds since the epoch of the run.
        intended_us: u64,
    },
    /// Close and hand the journal over.
    Close,
}

/// How an answer turned out.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Reply {
    /// Success, with the message's number where it is told.
    Stored(Option<u64>),
    /// Refused with this code.
    Refused(String),
}

/// A send that was written to the socket.
#[derive(Debug, Clone, Copy)]
pub(super) struct Sent {
    /// Number of the send in the run.
    pub number: u32,
    /// When it should have been written.
    pub intended_us: u64,
    /// When it was.
    pub written_us: u64,
}

/// An answer to a send.
#[derive(Debug, Clone)]
pub(super) struct Answer {
    /// Number of the send in the run.
    pub number: u32,
    /// When it arrived.
    pub at_us: u64,
    /// How it turned out.
    pub reply: Reply,
}

/// All that a socket noted.
#[derive(Debug, Default)]
pub(super) struct Journal {
    /// Sends in order of writing.
    pub sent: Vec<Sent>,
    /// Answers in order of arrival.
    pub answers: Vec<Answer>,
    /// Everything with a number, in order of arrival.
    pub seen: Vec<Seen>,
    /// Codes of `error` events.
    pub errors: BTreeMap<String, u64>,
    /// Frames that are no JSON object of the protocol.
    pub unreadable: u64,
    /// Why the socket closed by itself.
    pub closed: Option<String>,
}

/// Opens the socket of a dial.
///
/// # Errors
/// When it is refused, or nobody answers.
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

/// Tells the opener that the socket is connected (or why not), and frees its place among those that connect.
pub(super) type Ready = (
    oneshot::Sender<anyhow::Result<()>>,
    Option<OwnedSemaphorePermit>,
);

/// Connects a user and serves the socket until told to close.
pub(super) async fn serve(
    dial: Dial,
    run: Arc<Run>,
    mut inbox: mpsc::UnboundedReceiver<Order>,
    ready: Ready,
) -> Journal {
    let mut stream = match connect(&dial).await {
        Ok(stream) => stream,
        Err(error) => {
            let reason = error.to_string();
            // The opener may have given up; then nobody needs to know.
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
            order = inbox.recv() => match order {
                Some(Order::Send { number, intended_us }) => {
                    if let Err(error) = user.send(&mut stream, &mut inbox, number, intended_us).await {
                        user.lost(error.to_string());
                        break;
                    }
                }
                Some(Order::Close) | None => {
                    // Closing is a courtesy; what counts has been noted.
                    let _ = tokio::time::timeout(Duration::from_secs(1), stream.close(None)).await;
                    return user.journal;
                }
            },
        }
    }
    drop(stream);
    while let Some(Order::Send { .. }) = inbox.recv().await {
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
        match hear(&text, &self.run, self.own.as_deref()) {
            Heard::Numbered(seq, content) => {
                self.journal.seen.push(Seen {
                    seq,
                    content,
                    at_us,
                });
                if matches!(content, Content::Message(_)) {
                    self.run.delivered.fetch_add(1, Relaxed);
                }
            }
            Heard::Answer(number, reply) => {
                self.unanswered = self.unanswered.saturating_sub(1);
                let success = matches!(reply, Reply::Stored(_));
                self.journal.answers.push(Answer {
                    number,
                    at_us,
                    reply,
                });
                self.run.settled(success);
            }
            Heard::Connected => {
                if let Some((ready, _permit)) = self.ready.take() {
                    // The opener may have given up; then nobody needs to know.
                    let _ = ready.send(Ok(()));
                }
            }
            Heard::Error(code) => *self.journal.errors.entry(code).or_default() += 1,
            Heard::Unreadable => self.journal.unreadable += 1,
            Heard::NoPlugin => {}
        }
        Ok(())
    }

    /// Writes this send and those that wait behind it, then flushes once.
    async fn send(
        &mut self,
        stream: &mut Stream,
        inbox: &mut mpsc::UnboundedReceiver<Order>,
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
                Ok(Order::Send {
                    number: next,
                    intended_us: at,
                }) => (number, intended_us) = (next, at),
                // Close comes only after the last answer or the end of waiting: nothing is lost by ending here.
                Ok(Order::Close) => {
                    inbox.close();
                    break;
                }
                Err(_) => break,
            }
        }
        stream.flush().await
    }

    /// Takes note that the socket is gone, with everything that had no answer yet.
    fn lost(&mut self, reason: String) {
        if let Some((ready, _permit)) = self.ready.take() {
            // The opener may have given up; then nobody needs to know.
            let _ = ready.send(Err(anyhow!("closed before `connected`: {reason}")));
        }
        self.journal.closed = Some(reason);
        for _ in 0..std::mem::take(&mut self.unanswered) {
            self.run.settled(false);
        }
    }
}

//! Clients of the run, each with a socket: they perform the operations they are given, and receive the events of the others' operations.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::Ordering::Relaxed;
use std::time::Duration;

use anyhow::{Context, anyhow, bail};
use futures_util::{SinkExt, StreamExt, TryStreamExt, stream};
use serde::Deserialize;
use tokio::sync::mpsc;
use tokio::task::JoinHandle;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Error, Message as Frame};

use super::phase::{Message, Phase};
use crate::client::MAX_CONCURRENT;
use crate::socket::{Dial, Stream, connect};

/// Time limit for a socket to become ready.
const READY_LIMIT: Duration = Duration::from_secs(30);

/// Commands to a client.
#[derive(Debug)]
pub(super) enum Command {
    /// Perform an operation.
    Perform {
        /// Number of its phase.
        phase: Arc<Phase>,
        /// Number of the operation in the phase.
        number: u32,
        /// Frame to write.
        frame: String,
        /// Time at which it was due, on the phase's clock.
        due_us: u64,
    },
    /// Close the socket.
    Close,
}

/// Connected clients.
pub(super) struct Clients {
    /// Command channels of the clients, in the order of the dials.
    pub commands: Vec<mpsc::UnboundedSender<Command>>,
    tasks: Vec<JoinHandle<anyhow::Result<()>>>,
}

impl Clients {
    /// Connects all clients.
    ///
    /// # Errors
    /// If a client does not connect.
    pub async fn open(dials: Vec<Dial>) -> anyhow::Result<Self> {
        let streams: Vec<Stream> = stream::iter(dials)
            .map(ready)
            .buffered(MAX_CONCURRENT)
            .try_collect()
            .await?;
        let (mut commands, mut tasks) = (Vec::new(), Vec::new());
        for stream in streams {
            let (command, inbox) = mpsc::unbounded_channel();
            commands.push(command);
            tasks.push(tokio::spawn(serve(stream, inbox)));
        }
        Ok(Self { commands, tasks })
    }

    /// Disconnects all clients.
    ///
    /// # Errors
    /// If the service closed a socket before.
    pub async fn close(self) -> anyhow::Result<()> {
        for command in &self.commands {
            // A client that is gone already reports so below.
            let _ = command.send(Command::Close);
        }
        for task in self.tasks {
            task.await.context("a socket's task failed")??;
        }
        Ok(())
    }

    /// Fails if the service closed a socket: the measurements of the remaining ones would be meaningless.
    pub async fn check(&mut self) -> anyhow::Result<()> {
        match self.tasks.iter().position(JoinHandle::is_finished) {
            Some(gone) => {
                let task = self.tasks.swap_remove(gone);
                task.await.context("a socket's task failed")?
            }
            None => Ok(()),
        }
    }
}

/// Connects, and waits until the service confirms that the socket receives all events.
async fn ready(dial: Dial) -> anyhow::Result<Stream> {
    let connected = async {
        let mut stream = connect(&dial).await?;
        loop {
            let frame = stream.next().await;
            let text = text_of(frame)?;
            if text.is_some_and(|text| parse(&text).is_some_and(|event| event.event == "connected"))
            {
                return Ok(stream);
            }
        }
    };
    timeout(READY_LIMIT, connected)
        .await
        .unwrap_or_else(|_| bail!("no `connected` within {READY_LIMIT:?}"))
}

/// The fields of a pushed event that are needed here. None of them contains an escape.
#[derive(Deserialize)]
struct Event<'a> {
    event: &'a str,
    id: Option<&'a str>,
}

#[derive(Deserialize)]
struct Ack {
    data: AckData,
}

#[derive(Deserialize)]
struct AckData {
    success: bool,
    message: Option<AckMessage>,
    error: Option<AckError>,
}

#[derive(Deserialize)]
struct AckMessage {
    id: String,
    seq: u64,
}

#[derive(Deserialize)]
struct AckError {
    code: String,
}

fn parse(text: &str) -> Option<Event<'_>> {
    serde_json::from_str(text).ok()
}

/// Returns the text of the next text frame.
///
/// # Errors
/// If the socket is closed.
fn text_of(
    frame: Option<Result<Frame, Error>>,
) -> anyhow::Result<Option<tokio_tungstenite::tungstenite::Utf8Bytes>> {
    match frame {
        Some(Ok(Frame::Text(text))) => Ok(Some(text)),
        Some(Ok(Frame::Close(close))) => {
            let why = close.map(|close| format!("{} {}", u16::from(close.code), close.reason));
            bail!(
                "the service closed a socket: {}",
                why.unwrap_or_else(|| "without a code".to_owned())
            )
        }
        Some(Ok(_)) => Ok(None),
        Some(Err(error)) => Err(anyhow::Error::new(error).context("a socket failed")),
        None => Err(anyhow!("a socket ended")),
    }
}

/// State of a client.
struct Work {
    phase: Arc<Phase>,
    /// Acts without an answer, with the time at which each was due.
    under_way: HashMap<u32, u64>,
}

impl Work {
    fn take(&mut self, text: &str) -> anyhow::Result<()> {
        let event = parse(text).context("a frame that is not of the protocol")?;
        if event.event != "ack" {
            if self.phase.operation.is_reported_by(event.event) {
                self.phase.events.fetch_add(1, Relaxed);
            }
            return Ok(());
        }
        let number = event.id.and_then(|id| id.parse::<u32>().ok());
        let Some((number, due_us)) =
            number.and_then(|number| Some((number, self.under_way.remove(&number)?)))
        else {
            bail!("an answer to an unknown request");
        };
        let Ack { data } = serde_json::from_str(text).context("an answer of unexpected form")?;
        if data.success {
            let message = data.message.map(|message| Message {
                seq: message.seq,
                id: message.id,
            });
            self.phase.succeeded(number, due_us, message);
        } else {
            let code = data.error.map(|error| error.code);
            self.phase.refused(code.as_deref().unwrap_or("(no code)"));
        }
        Ok(())
    }
}

/// Serves a socket until it is events to close.
async fn serve(
    mut stream: Stream,
    mut inbox: mpsc::UnboundedReceiver<Command>,
) -> anyhow::Result<()> {
    let mut work: Option<Work> = None;
    loop {
        tokio::select! {
            frame = stream.next() => {
                if let (Some(text), Some(work)) = (text_of(frame)?, &mut work) {
                    work.take(&text)?;
                }
            }
            command = inbox.recv() => match command {
                Some(Command::Perform { phase, number, frame, due_us }) => {
                    // Phases follow one another: all operations of the previous one are answered.
                    let current = match work.take() {
                        Some(current) if Arc::ptr_eq(&current.phase, &phase) => current,
                        _ => Work { phase, under_way: HashMap::new() },
                    };
                    work.insert(current).under_way.insert(number, due_us);
                    stream.send(Frame::text(frame)).await?;
                }
                Some(Command::Close) | None => {
                    // The close handshake is optional; the journal is complete.
                    let _ = timeout(Duration::from_secs(1), stream.close(None)).await;
                    return Ok(());
                }
            },
        }
    }
}

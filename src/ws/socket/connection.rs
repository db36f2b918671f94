//! One socket: a task that reads frames, runs commands and writes answers. Pushes are written by [`super::flush`], unless the client is slow.

use std::{panic::AssertUnwindSafe, sync::Arc, time::Duration};

use chat_sdk::{
    ConversationId, Timestamp,
    commands::{
        on_sockets,
        sockets::{
            Authenticate, JoinRoom, LeaveRoom, PingActivity, RefreshToken, StartTyping,
            SubscribePresence, UnsubscribePresence,
        },
    },
};
use futures_util::{FutureExt, SinkExt, StreamExt, future::BoxFuture, stream::FuturesUnordered};
use metrics::counter;
use tokio::time::Instant;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{Error as WsError, Message as WsMessage, Utf8Bytes},
};

use super::{
    Socket, WakeTarget,
    closing::{self, reason_of},
    writer::{SocketStream, WriteBuffer},
};
use crate::{
    domain::{presence::Activity, users},
    http::limits::RateLimited,
    model::DomainError,
    ws::{
        Node, Peer,
        close::CloseReason,
        commands::{
            self,
            frame::{self, ClientFrame, FrameError},
        },
        delivery::DeliveryState,
        hub::JoinOutcome,
        presence,
        resume::{self, InitialFrames},
        session::{self, Denied, Session, authenticate},
        typing::{self, Signal},
    },
};

/// Time limit for a client without a token to send one.
const AUTHENTICATE_WITHIN: Duration = Duration::from_secs(10);
/// Time between pings of the server. Proxies drop connections that are silent for a minute.
const PING_PERIOD: Duration = Duration::from_secs(25);
/// Number of silent ping periods after which a client counts as gone.
const SILENT_PERIODS: u32 = 2;
/// Time limit of a write, after which the client counts as too slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// Maximum number of commands in flight per socket; at the limit no more frames are read.
const MAX_COMMANDS: usize = 64;
/// Maximum number of list pages in flight per socket; at the limit no more commands are read.
const MAX_PAGES: usize = 4;
/// Number of rate-limited commands in a row after which the socket is closed.
const MAX_REFUSALS: u32 = 200;
/// Number of invalid frames after which the socket is closed.
const MAX_FAULTS: u32 = 10;

/// Authentication state of a socket when it opens.
pub enum Opening {
    /// The request carried a valid token.
    Session(Session),
    /// The request carried no token: the first frame must bring one.
    Anonymous,
    /// The request was refused, for example for an invalid token.
    Refused(Denied),
}

/// Serves a socket until it ends.
pub async fn run(
    node: Arc<Node>,
    mut ws: WebSocketStream<SocketStream>,
    (peer, opening): (Peer, Opening),
    resume: Option<String>,
) {
    let serving = async {
        match Box::pin(open(&node, &mut ws, (peer, opening), resume)).await {
            Ok((session, resume, first_ack)) => {
                serve(&node, &mut ws, (peer, session), resume, first_ack).await
            }
            Err(reason) => reason,
        }
    };
    // After a panic the client is still told to reconnect.
    let reason = AssertUnwindSafe(serving)
        .catch_unwind()
        .await
        .unwrap_or(Some(CloseReason::Restarting));
    // Nothing may be written behind the close frame.
    ws.get_ref().writer().end();
    Box::pin(closing::close(ws, reason)).await;
}

/// Waits for a session: the one of the request, or that of the first frame.
async fn open(
    node: &Node,
    ws: &mut WebSocketStream<SocketStream>,
    (peer, opening): (Peer, Opening),
    resume: Option<String>,
) -> Result<(Session, Option<String>, Option<String>), Option<CloseReason>> {
    match opening {
        Opening::Session(session) => return Ok((session, resume, None)),
        Opening::Refused(denied) => return Err(deny(ws, denied).await),
        Opening::Anonymous => {}
    }
    let first = async {
        loop {
            match ws.next().await {
                Some(Ok(WsMessage::Text(text))) => return Ok(text),
                Some(Ok(WsMessage::Ping(_) | WsMessage::Pong(_))) => {}
                Some(Ok(WsMessage::Close(_))) | None => return Err(None),
                Some(Ok(_)) => return Err(Some(CloseReason::Protocol)),
                Some(Err(error)) => return Err(reason_of(&error)),
            }
        }
    };
    let text = tokio::select! {
        () = node.stop.cancelled() => return Err(Some(CloseReason::Restarting)),
        text = tokio::time::timeout(AUTHENTICATE_WITHIN, first) => {
            text.map_err(|_| Some(CloseReason::Unauthenticated))??
        }
    };
    let frame = ClientFrame::parse(&text).ok_or(Some(CloseReason::Protocol))?;
    if frame.event != "authenticate" {
        return Err(Some(CloseReason::Unauthenticated));
    }
    let Authenticate {
        token,
        resume: resume_from,
    } = commands::parse_checked::<Authenticate>(frame.data_json())
        .map_err(|_| Some(CloseReason::Protocol))?
        .body;
    match session::begin(node, peer, &token).await {
        Ok(session) => Ok((session, resume_from.or(resume), Some(frame.id_json()))),
        Err(denied) => Err(deny(ws, denied).await),
    }
}

/// Sends the error of a hook that refused the connection. Returns the reason for closing it.
async fn deny(ws: &mut WebSocketStream<SocketStream>, denied: Denied) -> Option<CloseReason> {
    if let Some(error) = &denied.error {
        let text = frame::error_event(error);
        let _ = tokio::time::timeout(WRITE_TIMEOUT, ws.send(WsMessage::Text(text))).await;
    }
    Some(denied.reason)
}

/// A registration in the hub that lasts as long as this value, also if the task panics.
struct Registered<'a> {
    node: &'a Node,
    socket: &'a Arc<Socket>,
}

impl Drop for Registered<'_> {
    fn drop(&mut self) {
        let Self { node, socket } = self;
        node.hub.unregister(socket);
        node.watchers.forget(socket);
        node.typing.forget(socket);
        node.ctx.presence.disconnect(&socket.user);
    }
}

async fn serve(
    node: &Arc<Node>,
    ws: &mut WebSocketStream<SocketStream>,
    (peer, session): (Peer, Session),
    resume: Option<String>,
    first_ack: Option<String>,
) -> Option<CloseReason> {
    let id = node.hub.next_socket_id();
    let writer = Arc::clone(ws.get_ref().writer());
    let exit = WakeTarget::Flusher(writer, node.flushers.queue(id).clone());
    let socket = Socket::new(id, session.user.clone(), session.token.clone(), exit);
    // This watermark covers everything that was delivered before the socket was registered.
    let watermark = node.hub.watermark();
    if !node.hub.register(&socket, node.max_sockets_per_user) {
        return Some(CloseReason::TooMany);
    }
    if !users::is_admitted(&node.ctx, &session.user, &session.token) {
        // The token was revoked after the check and before the hub knew of the socket.
        node.hub.unregister(&socket);
        return Some(CloseReason::Unauthenticated);
    }
    let activity = node.ctx.presence.connect(&session.user);
    let _registered = Registered {
        node,
        socket: &socket,
    };
    if !peer.is_host {
        node.pace(&socket.user).await;
    }
    let caught_up = resume::catch_up(node, &socket, watermark, resume.as_deref());
    match Box::pin(caught_up).await {
        Ok(caught_up) => {
            let greeting = InitialFrames::new(&socket, caught_up, resume);
            let connection = Connection {
                node,
                ws,
                peer,
                socket: Arc::clone(&socket),
                activity,
                expires_at: session.expires_at,
                commands: FuturesUnordered::new(),
                pages: 0,
                last_heard: Instant::now(),
                faults: 0,
                refusals: 0,
            };
            connection.run(greeting, first_ack).await
        }
        Err(_) => Some(CloseReason::Restarting),
    }
}

struct Connection<'a> {
    node: &'a Arc<Node>,
    ws: &'a mut WebSocketStream<SocketStream>,
    peer: Peer,
    socket: Arc<Socket>,
    activity: Arc<Activity>,
    expires_at: Instant,
    commands: FuturesUnordered<BoxFuture<'static, Done>>,
    /// Number of commands in flight that read a list page.
    pages: usize,
    last_heard: Instant,
    faults: u32,
    /// Number of rate-limited commands since the last one that was admitted.
    refusals: u32,
}

/// Result of a finished command.
enum Done {
    Answer(Utf8Bytes),
    /// A page of a list.
    Page(Utf8Bytes),
    Refreshed {
        id: String,
        session: Option<Session>,
    },
}

impl Connection<'_> {
    async fn run(
        mut self,
        greeting: Box<InitialFrames>,
        first_ack: Option<String>,
    ) -> Option<CloseReason> {
        match Box::pin(self.greet(greeting, first_ack)).await {
            Ok(feed) => self.ws.get_ref().writer().begin(feed),
            Err(reason) => return reason,
        }
        if let Err(reason) = Box::pin(self.push()).await {
            return reason;
        }
        let mut next_ping = Instant::now() + PING_PERIOD.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        // One timer for both, reset only when it fires or the token is refreshed: a timer per turn of the loop would cost more than the turn itself.
        let mut timer = std::pin::pin!(tokio::time::sleep_until(next_ping.min(self.expires_at)));
        loop {
            let outcome = tokio::select! {
                biased;
                () = self.socket.alerted() => match self.socket.ending() {
                    Some(reason) => return Some(reason),
                    None => Ok(()),
                },
                Some(done) = self.commands.next(), if !self.commands.is_empty() => {
                    self.on_done(done).await
                }
                message = self.ws.next(), if self.may_read() => {
                    self.on_message(message).await
                }
                () = timer.as_mut() => {
                    let now = Instant::now();
                    if now >= self.expires_at {
                        return Some(CloseReason::Unauthenticated);
                    }
                    if now >= next_ping {
                        next_ping = now + PING_PERIOD;
                    }
                    timer.as_mut().reset(next_ping.min(self.expires_at));
                    if self.last_heard.elapsed() > PING_PERIOD * SILENT_PERIODS {
                        return Some(CloseReason::Silent);
                    }
                    self.feed(WsMessage::Ping(Default::default())).await
                }
            };
            let flushed = match outcome {
                Ok(()) => self.flush().await,
                Err(reason) => Err(reason),
            };
            if let Err(reason) = flushed {
                return reason;
            }
        }
    }

    /// Sends missed entries, then `connected`. Reads no more from the store than the client takes.
    async fn greet(
        &mut self,
        mut greeting: Box<InitialFrames>,
        first_ack: Option<String>,
    ) -> Result<DeliveryState, Option<CloseReason>> {
        if let Some(id) = first_ack {
            self.feed(WsMessage::Text(frame::ack(&id, ""))).await?;
        }
        loop {
            let frames = tokio::select! {
                biased;
                reason = self.socket.ended() => return Err(Some(reason)),
                frames = greeting.next(self.node) => frames,
            };
            let Some(frames) = frames.map_err(|_| Some(CloseReason::Restarting))? else {
                break;
            };
            for text in frames {
                self.feed(WsMessage::Text(text)).await?;
            }
        }
        self.flush().await?;
        Ok(greeting.into_feed())
    }

    /// True if the limits of commands and pages in flight allow reading another frame.
    fn may_read(&self) -> bool {
        self.commands.len() < MAX_COMMANDS && self.pages < MAX_PAGES
    }

    async fn on_message(
        &mut self,
        message: Option<Result<WsMessage, WsError>>,
    ) -> Result<(), Option<CloseReason>> {
        let message = match message {
            None => return Err(None),
            Some(Err(error)) => return Err(reason_of(&error)),
            Some(Ok(message)) => message,
        };
        self.last_heard = Instant::now();
        match message {
            WsMessage::Text(text) => {
                self.node
                    .ctx
                    .presence
                    .touch(&self.socket.user, &self.activity);
                self.on_text(text).await
            }
            // Tungstenite has queued the answer; the flush sends it.
            WsMessage::Ping(_) | WsMessage::Pong(_) => Ok(()),
            WsMessage::Close(_) => Err(None),
            WsMessage::Binary(_) | WsMessage::Frame(_) => Err(Some(CloseReason::Protocol)),
        }
    }

    async fn on_text(&mut self, text: Utf8Bytes) -> Result<(), Option<CloseReason>> {
        let Some(frame) = ClientFrame::parse(&text) else {
            self.faults += 1;
            if self.faults > MAX_FAULTS {
                return Err(Some(CloseReason::Protocol));
            }
            let error = FrameError::new(
                "VALIDATION_ERROR",
                "A frame is a JSON object with id, event and data.",
            );
            return self.feed(WsMessage::Text(frame::error_event(&error))).await;
        };
        counter!("chat_ws_commands_total").increment(1);
        let id = frame.id_json();
        if let Err(refused) = self.count(frame.event) {
            self.refusals += 1;
            if self.refusals > MAX_REFUSALS {
                return Err(Some(CloseReason::TooMany));
            }
            return self
                .feed(WsMessage::Text(frame::refusal(&id, &refused.into())))
                .await;
        }
        self.refusals = 0;
        let command = self.command(id, &frame, &text);
        self.start(command).await
    }

    /// Returns the command of `frame`, which is parsed from `text`.
    fn command(
        &mut self,
        id: String,
        frame: &ClientFrame<'_>,
        text: &Utf8Bytes,
    ) -> BoxFuture<'static, Done> {
        let node = Arc::clone(self.node);
        let socket = Arc::clone(&self.socket);
        match frame.event {
            event if on_sockets(event).is_none() => {
                async move { answer(&id, Err(commands::unknown())) }.boxed()
            }
            "room:join" => {
                let room = commands::conversation_of::<JoinRoom>(frame.data_json());
                async move { answer(&id, join_room(&node, &socket, room).await) }.boxed()
            }
            "room:leave" => {
                let left = commands::conversation_of::<LeaveRoom>(frame.data_json())
                    .map(|conversation| node.hub.leave(&socket, &conversation))
                    .map(|()| String::new())
                    .map_err(FrameError::from);
                async move { answer(&id, left) }.boxed()
            }
            "presence:subscribe" => {
                let users = commands::parse_checked::<SubscribePresence>(frame.data_json());
                let users = users.map(|payload| payload.body.user_ids);
                async move { answer(&id, presence::subscribe(&node, &socket, users).await) }.boxed()
            }
            "presence:unsubscribe" => {
                let users = commands::parse_checked::<UnsubscribePresence>(frame.data_json());
                let users = users.map(|payload| payload.body.user_ids);
                let done = presence::unsubscribe(&node, &socket, users);
                async move { answer(&id, done) }.boxed()
            }
            "typing:start" | "typing:stop" | "recording:start" | "recording:stop" => {
                let signal = Signal::of(frame.event);
                // All four have the same payload.
                let room = commands::conversation_of::<StartTyping>(frame.data_json());
                async move { answer(&id, typing::signal(&node, &socket, signal, room).await) }
                    .boxed()
            }
            // Any frame of a client counts as activity; this command does nothing else.
            "activity:ping" => {
                let done = commands::parse::<PingActivity>(frame.data_json());
                let done = done.map(|_| String::new()).map_err(FrameError::from);
                async move { answer(&id, done) }.boxed()
            }
            "token:refresh" | "authenticate" => self.refresh(id, frame),
            "messages:list" | "messages:sync" => {
                self.pages += 1;
                let (event, data) = (frame.event.to_owned(), frame.data_json().to_owned());
                // A separate task: while this socket waits for its client, its read must not hold its place among the reads of other sockets.
                let page = tokio::spawn(async move {
                    let user = &socket.user;
                    commands::run(&node, user, &event, &data).await
                });
                async move {
                    let page = page.await.unwrap_or_else(|_| Err(commands::failed()));
                    Done::Page(answer_text(&id, page))
                }
                .boxed()
            }
            _ => {
                let text = text.clone();
                async move {
                    let result = match ClientFrame::parse(&text) {
                        Some(frame) => {
                            commands::run(&node, &socket.user, frame.event, frame.data_json()).await
                        }
                        None => Err(commands::unknown()),
                    };
                    answer(&id, result)
                }
                .boxed()
            }
        }
    }

    /// Returns the command that replaces the token. A socket with a token takes `authenticate` as a refresh.
    fn refresh(&self, id: String, frame: &ClientFrame<'_>) -> BoxFuture<'static, Done> {
        let (node, peer, data) = (Arc::clone(self.node), self.peer, frame.data_json());
        let token = match frame.event {
            "authenticate" => {
                commands::parse_checked::<Authenticate>(data).map(|payload| payload.body.token)
            }
            _ => commands::parse_checked::<RefreshToken>(data).map(|payload| payload.body.token),
        };
        async move {
            match token {
                Err(error) => answer(&id, Err(error.into())),
                Ok(token) => Done::Refreshed {
                    id,
                    session: authenticate(&node, peer, &token).await.ok(),
                },
            }
        }
        .boxed()
    }

    /// Counts a command against the limits, unless the client is the host itself.
    fn count(&self, event: &str) -> Result<(), RateLimited> {
        if self.peer.is_host {
            return Ok(());
        }
        commands::count(&self.node.callers.limits, &self.socket.user, event).map(drop)
    }

    /// Starts a command concurrently.
    ///
    /// It is polled once at once, so that the commands of a socket enter the log in the order received.
    async fn start(
        &mut self,
        mut command: BoxFuture<'static, Done>,
    ) -> Result<(), Option<CloseReason>> {
        match futures_util::poll!(&mut command) {
            std::task::Poll::Ready(done) => self.on_done(done).await,
            std::task::Poll::Pending => {
                self.commands.push(command);
                Ok(())
            }
        }
    }

    async fn on_done(&mut self, done: Done) -> Result<(), Option<CloseReason>> {
        let text = match done {
            Done::Answer(text) => text,
            Done::Page(text) => {
                self.pages -= 1;
                if !self.peer.is_host {
                    let limits = &self.node.callers.limits;
                    limits.charge(&self.socket.user, text.len());
                }
                text
            }
            Done::Refreshed { id, session } => match session {
                Some(session) if session.user == self.socket.user => {
                    self.expires_at = session.expires_at;
                    self.socket.renew(session.token);
                    let left = session.expires_at - Instant::now();
                    let at = Timestamp::now().as_millis()
                        + i64::try_from((left - self.node.callers.leeway.min(left)).as_millis())
                            .unwrap_or(0);
                    let at = Timestamp::from_millis(at / 1000 * 1000);
                    frame::ack(&id, &format!(r#""expiresAt":"{at}""#))
                }
                _ => frame::refusal(
                    &id,
                    &FrameError::new(
                        "UNAUTHORIZED",
                        "The token is invalid, or belongs to another user than this socket.",
                    ),
                ),
            },
        };
        self.feed(WsMessage::Text(text)).await
    }

    async fn feed(&mut self, message: WsMessage) -> Result<(), Option<CloseReason>> {
        let fed = self.ws.feed(message).await;
        fed.map_err(|error| reason_of(&error))?;
        self.wait_writable().await
    }

    async fn flush(&mut self) -> Result<(), Option<CloseReason>> {
        let flushed = self.ws.flush().await;
        flushed.map_err(|error| reason_of(&error))?;
        self.wait_writable().await
    }

    /// Waits while the client does not take what was written, so that no more of its frames are read.
    async fn wait_writable(&mut self) -> Result<(), Option<CloseReason>> {
        if self.ws.get_ref().writer().is_held_up() {
            // Boxed: nearly always the kernel takes the bytes at once, and an idle socket needs no timer for this.
            Box::pin(self.push()).await
        } else {
            Ok(())
        }
    }

    /// Writes the buffered bytes and the queue until the client has taken everything.
    ///
    /// Does not wait beyond the write timeout for a client that does not read, nor beyond the socket's end.
    async fn push(&mut self) -> Result<(), Option<CloseReason>> {
        let writer = self.ws.get_ref().writer();
        let mut scratch = WriteBuffer::default();
        loop {
            tokio::select! {
                biased;
                emptied = writer.emptied() => emptied.map_err(|_| None)?,
                reason = self.socket.ended() => return Err(Some(reason)),
                () = tokio::time::sleep(WRITE_TIMEOUT) => return Err(Some(CloseReason::TooSlow)),
            }
            self.socket.flush(&self.node.hub.seal, &mut scratch);
            if !writer.is_held_up() {
                return Ok(());
            }
        }
    }
}

fn answer(id: &str, result: frame::Answer) -> Done {
    Done::Answer(answer_text(id, result))
}

fn answer_text(id: &str, result: frame::Answer) -> Utf8Bytes {
    match result {
        Ok(fields) => frame::ack(id, &fields),
        Err(error) => frame::refusal(id, &error),
    }
}

/// Joins a socket to a conversation again that it left with `room:leave`.
async fn join_room(
    node: &Node,
    socket: &Arc<Socket>,
    room: crate::model::Result<ConversationId>,
) -> frame::Answer {
    let conversation = room?;
    let membership = node
        .ctx
        .store
        .find_membership(&conversation, &socket.user)
        .await?;
    let joined = membership.active()?.joined_seq();
    match node.hub.join(socket, &conversation, joined) {
        JoinOutcome::Live(_) | JoinOutcome::AlreadyJoined | JoinOutcome::NeedsCheck => {}
        JoinOutcome::PositionUnknown => drop(resume::begin(node, socket, &[&conversation]).await?),
        JoinOutcome::NotMember => return Err(DomainError::no_conversation().into()),
    }
    Ok(String::new())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn size_of_future<F: Future>(
        _: impl FnOnce(Arc<Node>, WebSocketStream<SocketStream>, (Peer, Opening), Option<String>) -> F,
    ) -> usize {
        size_of::<F>()
    }

    #[test]
    fn the_task_of_an_idle_socket_is_small() {
        let size = size_of_future(run);
        assert!(size <= 3 * 1024, "{size} bytes");
    }
}

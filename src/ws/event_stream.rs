//! Server-Sent Events: what a socket is pushed, for clients that only read. Same hub, same queue and bounds, same cursors; another envelope.
//!
//! `GET /api/events` is answered on this role's port, and on the `api` role's where a process has both.

use std::{
    net::IpAddr,
    pin::Pin,
    sync::Arc,
    task::{Context, Poll},
    time::Duration,
};

use bytes::Bytes;
use chat_sdk::{Timestamp, UserId};
use http_body_util::BodyExt;
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode,
    body::{Body, Frame, Incoming},
    header::{self, HeaderName, HeaderValue},
};
use metrics::{counter, gauge};
use serde::Deserialize;
use serde_json::json;
use tokio::{sync::mpsc, time::Instant};

use super::{
    Node, catch_up,
    close::CloseReason,
    connection::{self, NoSession, RETURN_WITHIN, Session},
    feed::{Feed, Greeting},
    frame::{self, FrameError},
    handshake::{Answer, bearer, identify, parameter, refusal, too_many},
    socket::{Outgoing, Socket},
};
use crate::{
    auth::AuthError,
    domain::{DomainError, users},
    edge::{cors, request_id},
    listener::HangUp,
};

/// Where the stream is.
pub const PATH: &str = "/api/events";
/// How often something is written, at the least: proxies drop what is silent for a minute.
const HEARTBEAT: Duration = Duration::from_secs(15);
/// How long a write may take before the client counts as too slow.
const WRITE_TIMEOUT: Duration = Duration::from_secs(10);
/// How long the last words may take.
const FAREWELL_TIMEOUT: Duration = Duration::from_secs(1);
/// How many events are written together.
const WRITE_BATCH: usize = 64;
/// The least pause that browsers are asked to make before they connect again; up to [`RETURN_WITHIN`] is added by chance.
const RETURN_AFTER: Duration = Duration::from_secs(1);
/// How long a stream that the host opened in a user's name stays; its secret has no end of its own.
const ACTING_FOR: Duration = Duration::from_secs(24 * 3600);
/// How long a refused client should wait, in seconds.
const RETRY_AFTER: HeaderValue = HeaderValue::from_static("2");
/// With what a browser resumes by itself.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// The parameter that says the same, for a page that was loaded anew.
const LAST_EVENT_ID_PARAMETER: &str = "lastEventId";

/// Answers a request for the stream from the client at that address, whatever it is.
pub async fn answer(node: Arc<Node>, request: Request<Incoming>, client: IpAddr) -> Answer {
    let origins = node.origins.clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let id = request_id::of(request.headers());
    let mut answer = match cors::preflight(&origins, request.method(), request.headers()) {
        Some(headers) => {
            let mut answer = empty(StatusCode::NO_CONTENT);
            answer.headers_mut().extend(headers);
            answer
        }
        None => open(node, request, client).await.unwrap_or_else(|refused| {
            counter!("chat_event_streams_refused_total").increment(1);
            *refused
        }),
    };
    let headers = answer.headers_mut();
    cors::permit(&origins, origin.as_ref(), headers);
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers
        .entry(header::CACHE_CONTROL)
        .or_insert(HeaderValue::from_static("no-store"));
    if let Ok(id) = HeaderValue::try_from(id) {
        headers.insert(request_id::HEADER, id);
    }
    answer
}

fn empty(status: StatusCode) -> Answer {
    let body = http_body_util::Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer
}

/// Opens the stream: by then the client is known, registered and caught up, so that a refusal has a status of its own.
async fn open(
    node: Arc<Node>,
    request: Request<Incoming>,
    client: IpAddr,
) -> Result<Answer, Box<Answer>> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        let (status, code) = (StatusCode::METHOD_NOT_ALLOWED, "METHOD_NOT_ALLOWED");
        let mut answer = refusal(status, code, "This path takes GET, HEAD only.");
        let allow = HeaderValue::from_static("GET, HEAD");
        answer.headers_mut().insert(header::ALLOW, allow);
        return Err(Box::new(answer));
    }
    let headers = request.headers();
    if let Some(origin) = headers.get(header::ORIGIN)
        && !origin.to_str().is_ok_and(|text| node.origins.allows(text))
    {
        let message = "Pages of this origin may not connect.";
        return Err(Box::new(refusal(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            message,
        )));
    }
    let session = session_of(&node, &request, client).await?;
    let mut answer = empty(StatusCode::OK);
    let answer_headers = answer.headers_mut();
    answer_headers.insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/event-stream"),
    );
    answer_headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    // For nginx and those that took this over from it, where nobody switched buffering off.
    answer_headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    if request.method() == Method::HEAD {
        return Ok(answer);
    }
    let resume = headers
        .get(LAST_EVENT_ID)
        .and_then(|id| id.to_str().ok())
        .filter(|id| !id.is_empty())
        .map(str::to_owned)
        .or_else(|| parameter(request.uri(), LAST_EVENT_ID_PARAMETER));
    let hang_up = request.extensions().get::<HangUp>().cloned();

    let is_host = headers.contains_key("x-internal-secret");
    let (socket, queue) = Socket::new(
        node.hub.next_socket_id(),
        session.user.clone(),
        session.issued_at,
    );
    // What was delivered before the socket was registered is covered by this watermark.
    let watermark = node.hub.watermark();
    if !node.hub.register(&socket, node.max_sockets_per_user) {
        let message = "You have too many sockets and event streams open; close one.";
        return Err(Box::new(later(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            message,
        )));
    }
    let registered = Registered {
        node,
        socket,
        hang_up,
    };
    let (node, socket) = (&registered.node, &registered.socket);
    if !is_host && !users::is_admitted(&node.ctx, &session.user, session.issued_at) {
        // Revoked after the token was looked at and before the hub knew of the stream.
        return Err(Box::new(unauthorized(AuthError::Revoked)));
    }
    let caught_up = catch_up::catch_up(node, socket, resume.as_deref())
        .await
        .map_err(|error| Box::new(of_domain(error)))?;
    let (feed, greeting) = Feed::begin(&node.hub, socket, watermark, caught_up, resume.as_deref());
    let (chunks, written) = mpsc::channel(1);
    let stream = Stream {
        registered,
        feed,
        chunks,
        expires_at: session.expires_at,
    };
    tokio::spawn(Box::pin(stream.run(queue, greeting)));
    *answer.body_mut() = Chunks(written).boxed();
    Ok(answer)
}

/// Who is calling: a user by token, or the host in a user's name. Counted as over REST.
async fn session_of(
    node: &Node,
    request: &Request<Incoming>,
    client: IpAddr,
) -> Result<Session, Box<Answer>> {
    let headers = request.headers();
    let peer = identify(node, headers, client).map_err(|refused| Box::new(challenged(*refused)))?;
    if peer.is_host {
        return acting(node, headers).await;
    }
    let Some(token) = bearer(headers).or_else(|| parameter(request.uri(), "token")) else {
        let counted = node.limits.api_from(client);
        return Err(Box::new(match counted {
            Ok(_) => unauthorized(AuthError::Missing),
            Err(refused) => too_many(refused),
        }));
    };
    let session = connection::identify(node, peer, &token).await;
    let session = session.map_err(|error| {
        Box::new(match error {
            NoSession::Refused(error) => unauthorized(error),
            NoSession::TooMany(refused) => too_many(refused),
            NoSession::Away => of_domain(DomainError::store_unavailable()),
        })
    })?;
    match node.limits.api(&session.user) {
        Ok(_) => Ok(session),
        Err(refused) => Err(Box::new(too_many(refused))),
    }
}

async fn acting(node: &Node, headers: &HeaderMap) -> Result<Session, Box<Answer>> {
    const FIELD: &str = "X-Acting-User";
    let fault = |problem: String| Box::new(of_domain(DomainError::invalid(FIELD, problem)));
    let given = headers
        .get("x-acting-user")
        .ok_or_else(|| fault("is required here: name the user for whom you act".to_owned()))?;
    let text = percent_encoding::percent_decode(given.as_bytes())
        .decode_utf8()
        .map_err(|_| fault("must be UTF-8, percent-encoded".to_owned()))?;
    let user: UserId = text.parse().map_err(|error| fault(format!("{error}")))?;
    users::check_known(&node.ctx, FIELD, std::slice::from_ref(&user))
        .await
        .map_err(|error| Box::new(of_domain(error)))?;
    Ok(Session {
        user,
        expires_at: Instant::now() + ACTING_FOR,
        issued_at: Some(Timestamp::now().as_millis() / 1000),
    })
}

fn unauthorized(error: AuthError) -> Answer {
    let text = error.to_string();
    let mut message = text[..1].to_uppercase() + &text[1..];
    message.push('.');
    if error.is_unavailable() {
        return later(StatusCode::SERVICE_UNAVAILABLE, "UNAVAILABLE", &message);
    }
    challenged(refusal(StatusCode::UNAUTHORIZED, "UNAUTHORIZED", &message))
}

/// Says beside a 401 what to prove oneself with.
fn challenged(mut answer: Answer) -> Answer {
    if answer.status() == StatusCode::UNAUTHORIZED {
        let challenge = HeaderValue::from_static("Bearer");
        let headers = answer.headers_mut();
        headers.insert(header::WWW_AUTHENTICATE, challenge);
    }
    answer
}

fn later(status: StatusCode, code: &str, message: &str) -> Answer {
    let mut answer = refusal(status, code, message);
    answer
        .headers_mut()
        .insert(header::RETRY_AFTER, RETRY_AFTER);
    answer
}

fn of_domain(error: DomainError) -> Answer {
    let error = FrameError::from(error);
    match error.code {
        "VALIDATION_ERROR" => {
            let mut answer = refusal(StatusCode::BAD_REQUEST, error.code, &error.message);
            let body = json!({
                "statusCode": 400,
                "error": "Bad Request",
                "code": error.code,
                "message": error.message,
                "details": error.details,
            });
            let body = http_body_util::Full::new(Bytes::from(body.to_string()));
            *answer.body_mut() = body.map_err(|never| match never {}).boxed();
            answer
        }
        "UNAVAILABLE" => later(StatusCode::SERVICE_UNAVAILABLE, error.code, &error.message),
        code => refusal(StatusCode::INTERNAL_SERVER_ERROR, code, &error.message),
    }
}

/// A socket that is in the hub as long as this lives.
struct Registered {
    node: Arc<Node>,
    socket: Arc<Socket>,
    hang_up: Option<HangUp>,
}

impl Drop for Registered {
    fn drop(&mut self) {
        self.node.hub.unregister(&self.socket);
    }
}

/// An open stream.
struct Stream {
    registered: Registered,
    feed: Feed,
    chunks: mpsc::Sender<Bytes>,
    expires_at: Instant,
}

impl Stream {
    async fn run(mut self, queue: mpsc::Receiver<Outgoing>, greeting: Box<Greeting>) {
        gauge!("chat_event_streams").increment(1.0);
        let reason = match self.greet(greeting).await {
            Ok(()) => self.follow(queue).await,
            Err(reason) => reason,
        };
        gauge!("chat_event_streams").decrement(1.0);
        if let Some(reason) = reason {
            self.part(reason).await;
        }
    }

    /// Gives what was missed, then says that the stream is connected.
    async fn greet(&self, greeting: Box<Greeting>) -> Result<(), Option<CloseReason>> {
        self.write(format!("retry: {}\n\n", return_pause().as_millis()))
            .await?;
        let mut chunk = String::new();
        for text in greeting {
            encode(&text, &mut chunk);
            if chunk.len() >= 16 * 1024 {
                self.write(std::mem::take(&mut chunk)).await?;
            }
        }
        self.write(chunk).await
    }

    /// Writes what comes, until the stream ends. Answers why, unless the client went.
    async fn follow(&mut self, mut queue: mpsc::Receiver<Outgoing>) -> Option<CloseReason> {
        let node = Arc::clone(&self.registered.node);
        let socket = Arc::clone(&self.registered.socket);
        let mut batch: Vec<Outgoing> = Vec::new();
        let mut next_beat = Instant::now() + HEARTBEAT.mul_f64(0.5 + rand::random::<f64>() / 2.0);
        let mut timer = std::pin::pin!(tokio::time::sleep_until(next_beat.min(self.expires_at)));
        loop {
            let mut chunk = String::new();
            tokio::select! {
                biased;
                () = socket.ended.notified() => return socket.ending(),
                () = self.chunks.closed() => return None,
                count = queue.recv_many(&mut batch, WRITE_BATCH) => {
                    if count == 0 {
                        return None;
                    }
                    for outgoing in batch.drain(..) {
                        if let Some(text) = self.feed.frame(&node.hub, &socket, outgoing) {
                            encode(&text, &mut chunk);
                        }
                    }
                }
                () = timer.as_mut() => {
                    let now = Instant::now();
                    if now >= self.expires_at {
                        return Some(CloseReason::Unauthenticated);
                    }
                    next_beat = now + HEARTBEAT;
                    timer.as_mut().reset(next_beat.min(self.expires_at));
                    chunk.push_str(":\n");
                    // Asked before the queue is looked at: what was delivered before this marker is in the queue, or was given.
                    let watermark = node.hub.watermark();
                    if queue.is_empty() {
                        // An id without an event moves the browser's resume point and is no event to the page.
                        chunk.push_str("id: ");
                        chunk.push_str(&self.feed.rest(&node.hub, watermark));
                        chunk.push('\n');
                    }
                    chunk.push('\n');
                }
            }
            if let Err(reason) = self.write(chunk).await {
                return reason;
            }
        }
    }

    /// Hands a chunk to the connection. Waits neither for a client that does not read nor past the stream's end.
    async fn write(&self, chunk: String) -> Result<(), Option<CloseReason>> {
        if chunk.is_empty() {
            return Ok(());
        }
        let socket = &self.registered.socket;
        tokio::select! {
            biased;
            sent = self.chunks.send(chunk.into()) => sent.map_err(|_| None),
            () = socket.ended.notified() => Err(socket.ending()),
            () = tokio::time::sleep(WRITE_TIMEOUT) => Err(Some(CloseReason::TooSlow)),
        }
    }

    /// Says why the stream ends, as far as the client still listens.
    async fn part(self, reason: CloseReason) {
        counter!("chat_event_streams_ended_total", "code" => reason.code().to_string())
            .increment(1);
        let Self {
            registered, chunks, ..
        } = self;
        let pause = return_pause();
        let mut farewell = String::new();
        let text = match reason {
            CloseReason::Unauthenticated | CloseReason::Forbidden => {
                let (code, message) = match reason {
                    CloseReason::Forbidden => ("FORBIDDEN", "You may not connect here."),
                    _ => (
                        "UNAUTHORIZED",
                        "The token does not count any more; connect with a new one.",
                    ),
                };
                let timestamp = Timestamp::now();
                let data = json!({ "code": code, "message": message, "timestamp": timestamp });
                frame::event("error", &data)
            }
            _ => {
                farewell = format!("retry: {}\n", pause.as_millis());
                let reason = match reason {
                    CloseReason::TooSlow => "slow",
                    _ => "restart",
                };
                let retry_after = pause.as_millis() as u64;
                let data = json!({ "reason": reason, "retryAfterMs": retry_after });
                frame::event("reconnect", &data)
            }
        };
        encode(&text, &mut farewell);
        let hang_up = registered.hang_up.clone();
        // The user's place is free from now on, whether the client takes the last words or not.
        drop(registered);
        let taken =
            async { chunks.send(farewell.into()).await.is_ok() && chunks.reserve().await.is_ok() };
        let is_taken = tokio::time::timeout(FAREWELL_TIMEOUT, taken).await == Ok(true);
        if (!is_taken || reason == CloseReason::TooSlow)
            && let Some(HangUp(connection)) = hang_up
        {
            connection.cancel();
        }
    }
}

fn return_pause() -> Duration {
    RETURN_AFTER + RETURN_WITHIN.mul_f64(rand::random())
}

/// The parts of a socket's frame that an event stream has fields for.
#[derive(Deserialize)]
struct FrameParts<'a> {
    event: &'a str,
    #[serde(borrow)]
    cursor: Option<&'a str>,
    #[serde(borrow, default)]
    data: Option<&'a serde_json::value::RawValue>,
}

#[derive(Deserialize)]
struct Connected<'a> {
    #[serde(borrow)]
    cursor: Option<&'a str>,
}

/// Writes a socket's frame as an event: its name, its cursor as the id, and the frame itself as the data.
fn encode(text: &str, out: &mut String) {
    let Ok(parts) = serde_json::from_str::<FrameParts<'_>>(text) else {
        return;
    };
    let cursor = parts.cursor.or_else(|| {
        let data = parts.data.filter(|_| parts.event == "connected")?;
        serde_json::from_str::<Connected<'_>>(data.get())
            .ok()?
            .cursor
    });
    out.push_str("event: ");
    out.push_str(parts.event);
    if let Some(cursor) = cursor.filter(|cursor| !cursor.is_empty()) {
        out.push_str("\nid: ");
        out.push_str(cursor);
    }
    // A line's end inside a frame is white space of JSON; here it would end the field.
    for line in text.split(['\n', '\r']) {
        out.push_str("\ndata: ");
        out.push_str(line);
    }
    out.push_str("\n\n");
}

/// The body of the answer: whatever the stream writes.
struct Chunks(mpsc::Receiver<Bytes>);

impl Body for Chunks {
    type Data = Bytes;
    type Error = std::io::Error;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, std::io::Error>>> {
        let chunk = self.0.poll_recv(context);
        chunk.map(|chunk| chunk.map(|bytes| Ok(Frame::data(bytes))))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn encoded(text: &str) -> String {
        let mut out = String::new();
        encode(text, &mut out);
        out
    }

    #[test]
    fn a_frame_is_an_event_with_its_cursor_as_the_id() {
        let text = r#"{"event":"message:new","id":"evt_1","seq":4,"data":{"content":"a"},"cursor":"Abc_-"}"#;
        assert_eq!(
            encoded(text),
            format!("event: message:new\nid: Abc_-\ndata: {text}\n\n")
        );
    }

    #[test]
    fn what_has_no_cursor_has_no_id() {
        let text = r#"{"event":"user:typing","data":{"cursor":"no"}}"#;
        assert_eq!(
            encoded(text),
            format!("event: user:typing\ndata: {text}\n\n")
        );
        let text = r#"{"event":"connected","data":{"cursor":"yes"}}"#;
        assert!(encoded(text).contains("\nid: yes\n"));
    }

    #[test]
    fn a_frame_over_several_lines_stays_one_event() {
        let text = "{\"event\":\"x\",\"data\":{\"a\":\r\n1}}";
        let event = encoded(text);
        let data: Vec<&str> = event
            .lines()
            .filter_map(|line| line.strip_prefix("data: "))
            .collect();
        let frame: serde_json::Value =
            serde_json::from_str(&data.join("\n")).expect("is JSON again");
        assert_eq!(frame["data"]["a"], 1);
        assert_eq!(event.matches("\n\n").count(), 1);
    }

    #[test]
    fn pauses_are_spread() {
        let pauses: std::collections::BTreeSet<Duration> =
            (0..20).map(|_| return_pause()).collect();
        assert!(pauses.len() > 1);
        assert!(pauses.iter().all(|pause| *pause >= RETURN_AFTER));
    }
}

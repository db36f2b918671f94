//! Server-Sent Events: the pushes of a socket for clients that only read. Same hub, queue, limits and cursors; another encoding.
//!
//! `GET /api/events` is served on this role's port. On the `api` role's port it is an operation, which opens the stream here if a process has both roles.
//!
//! Modules: `caller` authenticates the request; `stream` writes an open stream until it ends; `event`
//! encodes a socket's frame.

mod caller;
mod event;
mod stream;

use std::sync::Arc;

use futures_util::future::BoxFuture;
use http_body_util::BodyExt;
use hyper::{
    Method, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use metrics::counter;
use tokio::sync::{Notify, mpsc};

use super::{
    Node,
    resume::{self, InitialFrames},
    session::parameter,
    socket::{Socket, WakeTarget},
};
use crate::{
    auth::AuthError,
    domain::{hooks, users},
    http::{ApiError, Client, Code, EventStreams, Request, Response, respond},
};
use caller::StreamCaller;
use stream::{Chunks, Registered, Stream};

/// Path of the stream.
pub const PATH: &str = "/api/events";
/// Header with the cursor that a browser sends when it reconnects by itself.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Query parameter with the same cursor, for a page that was reloaded.
const LAST_EVENT_ID_PARAMETER: &str = "lastEventId";

/// Answers a request for the stream.
///
/// # Errors
/// Returns the reason for which no stream is opened.
pub async fn answer(node: Arc<Node>, request: Request) -> Result<Response, ApiError> {
    Client::of(request.extensions())?.matched(PATH);
    open(node, request).await.inspect_err(|_| {
        counter!("chat_event_streams_refused_total").increment(1);
    })
}

impl EventStreams for Node {
    fn open(self: Arc<Self>, request: Request) -> BoxFuture<'static, Result<Response, ApiError>> {
        Box::pin(answer(self, request))
    }
}

/// Opens the stream.
///
/// The client is authenticated, registered and caught up first, so that a refusal has its own status.
async fn open(node: Arc<Node>, request: Request) -> Result<Response, ApiError> {
    if !matches!(*request.method(), Method::GET | Method::HEAD) {
        return Err(ApiError::method_not_allowed("GET, HEAD"));
    }
    let headers = request.headers();
    node.check_origin(headers)?;
    let client = Client::of(request.extensions())?;
    let StreamCaller { session, is_host } = StreamCaller::of(&node, &request, client).await?;
    if !is_host {
        hooks::before_connect(&node.ctx, &session.user).await?;
    }
    let mut answer = respond(StatusCode::OK, "text/event-stream", "");
    let answer_headers = answer.headers_mut();
    answer_headers.insert(
        header::CACHE_CONTROL,
        HeaderValue::from_static("no-store, no-transform"),
    );
    // Switches buffering off in nginx, and in proxies that have adopted its header.
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
    let hang_up = client.hang_up.clone();
    let socket = Socket::new(
        node.hub.next_socket_id(),
        session.user.clone(),
        session.token.clone(),
        WakeTarget::Task(Notify::new()),
    );
    // This watermark covers everything that was delivered before the socket was registered.
    let watermark = node.hub.watermark();
    if !node.hub.register(&socket, node.max_sockets_per_user) {
        let message = "You have too many sockets and event streams open; close one.";
        return Err(ApiError::new(Code::RateLimited, message));
    }
    let mut registered = Registered {
        node,
        socket,
        hang_up,
        is_presence: false,
    };
    // A host that follows events for a user does not make that user online.
    if !is_host {
        if !users::is_admitted(&registered.node.ctx, &session.user, &session.token) {
            // The token was revoked after the check and before the hub knew of the stream.
            return Err(AuthError::Revoked.into());
        }
        registered.be_there();
    }
    let connections = registered.node.connections.clone();
    let (node, socket) = (&registered.node, &registered.socket);
    if !is_host {
        node.pace(&socket.user).await;
    }
    let caught_up = resume::catch_up(node, socket, watermark, resume.as_deref()).await?;
    let greeting = InitialFrames::new(socket, caught_up, resume);
    let (chunks, written) = mpsc::channel(1);
    let stream = Stream {
        registered,
        chunks,
        expires_at: session.expires_at,
    };
    connections.spawn(Box::pin(stream.run(greeting)));
    *answer.body_mut() = Chunks(written).boxed();
    Ok(answer)
}

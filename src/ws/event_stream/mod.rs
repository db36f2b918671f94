//! Server-Sent Events: the pushes of a socket for clients that only read. Same hub, queue, limits and cursors; another encoding.
//!
//! `GET /api/events` is served on this role's port, and on the `api` role's if a process has both roles.
//!
//! Modules: `caller` authenticates the request; `refused` builds all answers that are no stream; `stream` writes an open stream until it ends; `event`
//! encodes a socket's frame.

mod caller;
mod event;
mod refused;
mod stream;

use std::{net::IpAddr, sync::Arc};

use http_body_util::BodyExt;
use hyper::{
    Method, Request, Response, StatusCode,
    header::{self, HeaderName, HeaderValue},
};
use metrics::counter;
use tokio::sync::{Notify, mpsc};

use super::{
    Node, catch_up,
    feed::InitialFrames,
    handshake::{Answer, parameter, refusal},
    socket::{Socket, WakeTarget},
};
use crate::{
    auth::AuthError,
    domain::users,
    edge::{self, cors, request_id},
    listener::{HangUp, TimedBody},
};
use caller::session_of;
use refused::{later, of_domain, unauthorized};
use stream::{Chunks, Registered, Stream};

/// Path of the stream.
pub const PATH: &str = "/api/events";
/// Header with the cursor that a browser sends when it reconnects by itself.
const LAST_EVENT_ID: HeaderName = HeaderName::from_static("last-event-id");
/// Query parameter with the same cursor, for a page that was reloaded.
const LAST_EVENT_ID_PARAMETER: &str = "lastEventId";

/// Answers a request for the stream from the client at address `client`, including refusals.
pub async fn answer(node: Arc<Node>, request: Request<TimedBody>, client: IpAddr) -> Answer {
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
    edge::finish(answer.headers_mut(), &origins, origin.as_ref(), id);
    answer
}

fn empty(status: StatusCode) -> Answer {
    let body = http_body_util::Empty::new().map_err(|never| match never {});
    let mut answer = Response::new(body.boxed());
    *answer.status_mut() = status;
    answer
}

/// Opens the stream.
///
/// The client is authenticated, registered and caught up first, so that a refusal has its own status.
async fn open(
    node: Arc<Node>,
    request: Request<TimedBody>,
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
    let hang_up = request.extensions().get::<HangUp>().cloned();

    let is_host = headers.contains_key("x-internal-secret");
    let socket = Socket::new(
        node.hub.next_socket_id(),
        session.user.clone(),
        session.issued_at,
        WakeTarget::Task(Notify::new()),
    );
    // This watermark covers everything that was delivered before the socket was registered.
    let watermark = node.hub.watermark();
    if !node.hub.register(&socket, node.max_sockets_per_user) {
        let message = "You have too many sockets and event streams open; close one.";
        return Err(Box::new(later(
            StatusCode::TOO_MANY_REQUESTS,
            "RATE_LIMITED",
            message,
        )));
    }
    let mut registered = Registered {
        node,
        socket,
        hang_up,
        is_presence: false,
    };
    // A host that follows events for a user does not make that user online.
    if !is_host {
        if !users::is_admitted(&registered.node.ctx, &session.user, session.issued_at) {
            // The token was revoked after the check and before the hub knew of the stream.
            return Err(Box::new(unauthorized(AuthError::Revoked)));
        }
        registered.be_there();
    }
    let connections = registered.node.connections.clone();
    let (node, socket) = (&registered.node, &registered.socket);
    let caught_up = catch_up::catch_up(node, socket, watermark, resume.as_deref())
        .await
        .map_err(|error| Box::new(of_domain(error)))?;
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

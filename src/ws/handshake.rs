//! The handshake from an HTTP request to a socket. The same port serves health checks and metrics.
//!
//! hyper reads the request, so that a token can be checked before the upgrade and an incomplete request times out; tungstenite takes over after it.

use std::sync::Arc;

use base64::{Engine, prelude::BASE64_STANDARD};
use hyper::{
    HeaderMap, Method, StatusCode, Version,
    header::{self, HeaderValue},
    upgrade,
};
use hyper_util::rt::TokioIo;
use metrics::counter;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    Node, Peer,
    session::{self, parameter},
    socket::{
        connection::{self, Opening},
        writer::SocketStream,
    },
    sse,
};
use crate::http::{
    ApiError, Client, Code, Request, Response, body, caller::bearer, listener::ClientStream,
};

/// Subprotocol that this node speaks.
const SUBPROTOCOL: &str = "chat.v1";
/// Prefix of a subprotocol that carries a token.
const BEARER_PREFIX: &str = "bearer.";
/// Read buffer of a socket, in bytes. Tungstenite's default would cost 128 KiB per socket.
const READ_BUFFER: usize = 1024;
/// Size up to which small frames are combined into one write, in bytes.
const WRITE_BUFFER: usize = 8 * 1024;
/// Maximum size of a client's frame, in bytes: a message with everything it may carry.
const MAX_FRAME: usize = 192 * 1024;

/// Answers a request to the node's port.
///
/// # Errors
/// Returns the reason for which a request gets neither a socket nor a stream, nor the health of the process.
pub async fn answer(node: Arc<Node>, request: Request) -> Result<Response, ApiError> {
    match request.uri().path() {
        sse::PATH => sse::answer(node, request).await,
        "/ws" | "/" => {
            let client = Client::of(request.extensions())?;
            client.matched("/ws");
            let peer = check(&node, &request, client).inspect_err(|_| {
                counter!("chat_ws_handshakes_refused_total").increment(1);
            })?;
            Ok(switch(node, peer, request))
        }
        _ => {
            let otherwise =
                "There is nothing here; sockets connect at /ws, and events come at /api/events.";
            node.health.answer(&request, otherwise).await
        }
    }
}

/// Checks the request for a socket. The peer is the host if it sends the internal secret.
fn check(node: &Node, request: &Request, client: &Client) -> Result<Peer, ApiError> {
    if request.method() != Method::GET {
        return Err(ApiError::method_not_allowed("GET"));
    }
    let headers = request.headers();
    let upgrade_required = |message: &'static str| {
        ApiError::new(Code::ValidationError, message).with_status(StatusCode::UPGRADE_REQUIRED)
    };
    let is_upgrade = has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && request.version() == Version::HTTP_11;
    if !is_upgrade {
        let error = upgrade_required("This address takes WebSocket connections only.");
        return Err(error.with_header(header::UPGRADE, "websocket"));
    }
    let is_version = headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13");
    if !is_version {
        let error = upgrade_required("Sec-WebSocket-Version must be 13.");
        return Err(error.with_header(header::SEC_WEBSOCKET_VERSION, "13"));
    }
    let has_key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .is_some_and(|key| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    if !has_key {
        return Err(ApiError::new(
            Code::ValidationError,
            "Sec-WebSocket-Key must be 16 bytes in base64.",
        ));
    }
    node.check_origin(headers)?;
    Ok(Peer {
        address: client.address,
        is_host: node.callers.is_host(headers, client)?,
    })
}

fn switch(node: Arc<Node>, peer: Peer, mut request: Request) -> Response {
    let upgrade = upgrade::on(&mut request);
    let headers = request.headers();
    let accept = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .map(|key| derive_accept_key(key.as_bytes()))
        .unwrap_or_default();
    let protocols: Vec<String> = headers
        .get_all(header::SEC_WEBSOCKET_PROTOCOL)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .map(|protocol| protocol.trim().to_owned())
        .collect();
    let parameter = |name: &str| parameter(request.uri(), name);
    let token = bearer(headers)
        .map(str::to_owned)
        .or_else(|| {
            protocols
                .iter()
                .find_map(|protocol| protocol.strip_prefix(BEARER_PREFIX))
                .map(str::to_owned)
        })
        .or_else(|| parameter("token"));
    let resume = parameter("resume");
    let mut response = Response::new(body(""));
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let answer_headers = response.headers_mut();
    answer_headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    answer_headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    if let Ok(accept) = HeaderValue::from_str(&accept) {
        answer_headers.insert(header::SEC_WEBSOCKET_ACCEPT, accept);
    }
    if protocols.iter().any(|protocol| protocol == SUBPROTOCOL) {
        answer_headers.insert(
            header::SEC_WEBSOCKET_PROTOCOL,
            HeaderValue::from_static(SUBPROTOCOL),
        );
    }
    let connections = node.connections.clone();
    connections.spawn(serve(node, peer, upgrade, token, resume));
    response
}

/// Takes the socket over from hyper and serves it.
///
/// A bad token is reported by a close code, because a page cannot see the status of a refused upgrade.
async fn serve(
    node: Arc<Node>,
    peer: Peer,
    upgrade: upgrade::OnUpgrade,
    token: Option<String>,
    resume: Option<String>,
) {
    let Ok(upgraded) = upgrade.await else {
        return;
    };
    let Ok(parts) = upgraded.downcast::<TokioIo<ClientStream>>() else {
        return;
    };
    let config = WebSocketConfig::default()
        .read_buffer_size(READ_BUFFER)
        .write_buffer_size(WRITE_BUFFER)
        .max_message_size(Some(MAX_FRAME))
        .max_frame_size(Some(MAX_FRAME));
    let ws = WebSocketStream::from_partially_read(
        SocketStream::new(parts.io.into_inner().into_inner()),
        parts.read_buf.to_vec(),
        Role::Server,
        Some(config),
    )
    .await;
    let opening = match token {
        None => Opening::Anonymous,
        // Boxed, here and below: state that is needed once must not stay part of every idle socket.
        Some(token) => match Box::pin(session::begin(&node, peer, &token)).await {
            Ok(session) => Opening::Session(session),
            Err(denied) => Opening::Refused(denied),
        },
    };
    // Boxed: the task of an idle socket must be no larger than its idle state.
    Box::pin(connection::run(node, ws, (peer, opening), resume)).await;
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

//! The handshake from an HTTP request to a socket. The same port serves health checks and metrics.
//!
//! hyper reads the request, so that a token can be checked before the upgrade and an incomplete request times out; tungstenite takes over after it.

use std::{net::IpAddr, sync::Arc};

use base64::{Engine, prelude::BASE64_STANDARD};
use bytes::Bytes;
use http_body_util::{BodyExt, Full, combinators::BoxBody};
use hyper::{
    HeaderMap, Method, Request, Response, StatusCode, Uri, Version,
    header::{self, HeaderValue},
    upgrade,
};
use hyper_util::rt::TokioIo;
use metrics::counter;
use serde_json::json;
use tokio_tungstenite::{
    WebSocketStream,
    tungstenite::{
        handshake::derive_accept_key,
        protocol::{Role, WebSocketConfig},
    },
};

use super::{
    Node, Peer,
    connection::{self, Opening},
    event_stream,
    outlet::SocketStream,
    session,
};
use crate::{
    auth::internal_secret_matches,
    edge::{self, cors, request_id},
    limits::RateLimited,
    listener::{ClientStream, TimedBody},
};

/// Subprotocol that this node speaks.
const SUBPROTOCOL: &str = "chat.v1";
/// Header in which the host's own clients send the internal secret.
const SECRET_HEADER: &str = "x-internal-secret";
/// Prefix of a subprotocol that carries a token.
const BEARER_PREFIX: &str = "bearer.";
/// Read buffer of a socket, in bytes. Tungstenite's default would cost 128 KiB per socket.
const READ_BUFFER: usize = 1024;
/// Size up to which small frames are combined into one write, in bytes.
const WRITE_BUFFER: usize = 8 * 1024;
/// Maximum size of a client's frame, in bytes: a message with everything it may carry.
const MAX_FRAME: usize = 192 * 1024;

/// HTTP response of the port.
pub type Answer = Response<BoxBody<Bytes, std::io::Error>>;

/// Answers a request to the node's port from the client at address `client`.
pub async fn answer(node: Arc<Node>, request: Request<TimedBody>, client: IpAddr) -> Answer {
    if request.uri().path() == event_stream::PATH {
        return event_stream::answer(node, request, client).await;
    }
    let origins = node.origins.clone();
    let origin = request.headers().get(header::ORIGIN).cloned();
    let id = request_id::of(request.headers());
    let mut answer = match cors::preflight(&origins, request.method(), request.headers()) {
        Some(headers) => {
            let mut answer = Response::new(body(Bytes::new()));
            *answer.status_mut() = StatusCode::NO_CONTENT;
            answer.headers_mut().extend(headers);
            answer
        }
        None => route(node, request, client).await,
    };
    if answer.status() != StatusCode::SWITCHING_PROTOCOLS {
        edge::finish(answer.headers_mut(), &origins, origin.as_ref(), id);
    }
    answer
}

async fn route(node: Arc<Node>, mut request: Request<TimedBody>, client: IpAddr) -> Answer {
    let path = request.uri().path().to_owned();
    if request.method() != Method::GET {
        return refusal(
            StatusCode::METHOD_NOT_ALLOWED,
            "METHOD_NOT_ALLOWED",
            "Only GET is answered here.",
        );
    }
    match path.as_str() {
        "/ws" | "/" => {
            let checked =
                check(&node, &request).and_then(|()| identify(&node, request.headers(), client));
            let peer = match checked {
                Ok(peer) => peer,
                Err(refused) => {
                    counter!("chat_ws_handshakes_refused_total").increment(1);
                    return *refused;
                }
            };
            let upgrade = upgrade::on(&mut request);
            switch(node, peer, request, upgrade)
        }
        "/health" | "/health/ready" | "/health/live" | "/metrics" => {
            match node.limits.health(client) {
                Ok(_) => observed(&node, &path).await,
                Err(refused) => too_many(refused),
            }
        }
        _ => refusal(
            StatusCode::NOT_FOUND,
            "NOT_FOUND",
            "There is nothing here; sockets connect at /ws, and events come at /api/events.",
        ),
    }
}

/// Answers a request for a health or metrics path; see [`route`].
async fn observed(node: &Node, path: &str) -> Answer {
    match path {
        "/metrics" => text(
            StatusCode::OK,
            "text/plain; version=0.0.4",
            node.probe.render_metrics().await,
        ),
        "/health/live" => health(true),
        _ => health(node.probe.is_ready().await),
    }
}

fn check(node: &Node, request: &Request<TimedBody>) -> Result<(), Box<Answer>> {
    let headers = request.headers();
    let is_upgrade = has_token(headers, header::CONNECTION, "upgrade")
        && has_token(headers, header::UPGRADE, "websocket")
        && request.version() == Version::HTTP_11;
    if !is_upgrade {
        let mut answer = refusal(
            StatusCode::UPGRADE_REQUIRED,
            "VALIDATION_ERROR",
            "This address takes WebSocket connections only.",
        );
        answer
            .headers_mut()
            .insert(header::UPGRADE, HeaderValue::from_static("websocket"));
        return Err(Box::new(answer));
    }
    let is_version = headers
        .get(header::SEC_WEBSOCKET_VERSION)
        .is_some_and(|version| version == "13");
    if !is_version {
        let mut answer = refusal(
            StatusCode::UPGRADE_REQUIRED,
            "VALIDATION_ERROR",
            "Sec-WebSocket-Version must be 13.",
        );
        answer.headers_mut().insert(
            header::SEC_WEBSOCKET_VERSION,
            HeaderValue::from_static("13"),
        );
        return Err(Box::new(answer));
    }
    let has_key = headers
        .get(header::SEC_WEBSOCKET_KEY)
        .is_some_and(|key| BASE64_STANDARD.decode(key).is_ok_and(|key| key.len() == 16));
    if !has_key {
        return Err(Box::new(refusal(
            StatusCode::BAD_REQUEST,
            "VALIDATION_ERROR",
            "Sec-WebSocket-Key must be 16 bytes in base64.",
        )));
    }
    let is_origin_allowed = match headers.get(header::ORIGIN) {
        // Without `Origin` the client is not a browser: no foreign page can connect on behalf of a user.
        None => true,
        Some(origin) => origin
            .to_str()
            .is_ok_and(|origin| node.origins.allows(origin)),
    };
    if !is_origin_allowed {
        return Err(Box::new(refusal(
            StatusCode::FORBIDDEN,
            "FORBIDDEN",
            "Pages of this origin may not connect.",
        )));
    }
    Ok(())
}

/// Returns the peer; it is the host if it sends the internal secret.
///
/// A wrong secret is refused, as over REST.
pub fn identify(node: &Node, headers: &HeaderMap, address: IpAddr) -> Result<Peer, Box<Answer>> {
    let Some(given) = headers.get(SECRET_HEADER) else {
        return Ok(Peer {
            address,
            is_host: false,
        });
    };
    if internal_secret_matches(node.internal_secret.expose(), given.as_bytes()) {
        return Ok(Peer {
            address,
            is_host: true,
        });
    }
    Err(Box::new(match node.limits.failed_proof(address) {
        Ok(_) => refusal(
            StatusCode::UNAUTHORIZED,
            "UNAUTHORIZED",
            "X-Internal-Secret is not the internal secret of this service.",
        ),
        Err(refused) => too_many(refused),
    }))
}

/// Returns the answer to a rate-limited caller.
pub fn too_many(refused: RateLimited) -> Answer {
    let mut answer = refusal(
        StatusCode::TOO_MANY_REQUESTS,
        "RATE_LIMITED",
        &refused.to_string(),
    );
    let seconds = HeaderValue::from(refused.retry_after_seconds());
    answer.headers_mut().insert(header::RETRY_AFTER, seconds);
    answer
}

fn switch(
    node: Arc<Node>,
    peer: Peer,
    request: Request<TimedBody>,
    upgrade: upgrade::OnUpgrade,
) -> Answer {
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
        .or_else(|| {
            protocols
                .iter()
                .find_map(|protocol| protocol.strip_prefix(BEARER_PREFIX))
                .map(str::to_owned)
        })
        .or_else(|| parameter("token"));
    let resume = parameter("resume");
    let mut response = Response::new(body(Bytes::new()));
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
        Some(token) => match Box::pin(session::authenticate(&node, peer, &token)).await {
            Ok(session) => Opening::Session(session),
            Err(reason) => Opening::Refused(reason),
        },
    };
    // Boxed: the task of an idle socket must be no larger than its idle state.
    Box::pin(connection::run(node, ws, (peer, opening), resume)).await;
}

/// Returns a parameter of the query, unless it is empty.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

/// Returns the token of the `Authorization` header.
pub fn bearer(headers: &HeaderMap) -> Option<String> {
    let value = headers.get(header::AUTHORIZATION)?.to_str().ok()?;
    let (scheme, token) = value.split_once(' ')?;
    scheme
        .eq_ignore_ascii_case("bearer")
        .then(|| token.trim().to_owned())
}

fn has_token(headers: &HeaderMap, name: header::HeaderName, token: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(token))
}

fn health(is_ready: bool) -> Answer {
    let (status, word) = if is_ready {
        (StatusCode::OK, "up")
    } else {
        (StatusCode::SERVICE_UNAVAILABLE, "down")
    };
    text(
        status,
        "application/json",
        json!({ "status": word }).to_string(),
    )
}

/// Returns an error answer in the common error format.
pub fn refusal(status: StatusCode, code: &str, message: &str) -> Answer {
    let body = json!({
        "statusCode": status.as_u16(),
        "error": status.canonical_reason().unwrap_or_default(),
        "code": code,
        "message": message,
    });
    text(status, "application/json", body.to_string())
}

fn body(bytes: Bytes) -> BoxBody<Bytes, std::io::Error> {
    Full::new(bytes).map_err(|never| match never {}).boxed()
}

fn text(status: StatusCode, content_type: &'static str, body: String) -> Answer {
    let mut answer = Response::new(self::body(body.into()));
    *answer.status_mut() = status;
    answer
        .headers_mut()
        .insert(header::CONTENT_TYPE, HeaderValue::from_static(content_type));
    answer
}

//! Authentication of a socket's token.

use hyper::Uri;

use super::{Node, Peer, close::CloseReason, commands::frame::FrameError};
pub use crate::http::caller::Session;
use crate::{
    domain::hooks,
    http::{Client, Code},
    model::DomainError,
};

/// Reason for which a connection gets no session.
#[derive(Debug)]
pub struct Denied {
    /// Reason for closing the socket.
    pub reason: CloseReason,
    /// Error that is sent before, if a hook refused the connection.
    pub error: Option<FrameError>,
}

/// Opens a session for a new connection: verifies its token, then asks the hooks of `user.before_connect`.
///
/// # Errors
/// The reason for closing the socket, if there is no session.
pub async fn begin(node: &Node, peer: Peer, token: &str) -> Result<Session, Denied> {
    let session = authenticate(node, peer, token).await;
    let session = session.map_err(|reason| Denied {
        reason,
        error: None,
    })?;
    match hooks::before_connect(&node.ctx, &session.user).await {
        Ok(()) => Ok(session),
        Err(error @ DomainError::Refused { .. }) => Err(Denied {
            reason: CloseReason::Forbidden,
            error: Some(error.into()),
        }),
        Err(_) => Err(Denied {
            reason: CloseReason::Restarting,
            error: None,
        }),
    }
}

/// Verifies a token of `peer` and makes sure that its user exists.
///
/// # Errors
/// The reason for closing the socket, if there is no session.
pub async fn authenticate(node: &Node, peer: Peer, token: &str) -> Result<Session, CloseReason> {
    let client = Client::at(peer.address);
    let counted = (!peer.is_host).then_some(&client);
    let session = node.callers.session(token, counted).await;
    session.map_err(|error| match error.code() {
        Code::Unauthorized => CloseReason::Unauthenticated,
        Code::RateLimited => CloseReason::TooMany,
        _ => CloseReason::Restarting,
    })
}

/// Returns a parameter of the query, unless it is empty.
pub fn parameter(uri: &Uri, name: &str) -> Option<String> {
    url::form_urlencoded::parse(uri.query()?.as_bytes())
        .find(|(key, value)| key == name && !value.is_empty())
        .map(|(_, value)| value.into_owned())
}

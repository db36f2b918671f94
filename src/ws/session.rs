//! Authentication of a token, for sockets and event streams.

use std::time::Duration;

use chat_sdk::{Timestamp, UserId};
use tokio::time::Instant;

use super::{Node, Peer, close::CloseReason};
use crate::{
    auth::{AuthError, Claims},
    domain::{
        entry::Profile,
        users::{self, Admission},
    },
    limits::RateLimited,
};

/// A user with a valid token.
pub struct Session {
    /// Id of the user.
    pub user: UserId,
    /// Time at which the token expires, including the leeway.
    pub expires_at: Instant,
    /// Time at which the token was issued, in seconds since 1970.
    pub issued_at: Option<i64>,
}

/// Reason why a token gives no session.
pub enum NoSession {
    /// The token was rejected.
    Unauthorized(AuthError),
    /// Too many rejected tokens came from the client's address.
    TooMany(RateLimited),
    /// The store did not answer.
    Away,
}

/// Verifies a token of `peer` and makes sure that its user exists.
///
/// # Errors
/// The reason for closing the socket, if there is no session.
pub async fn authenticate(node: &Node, peer: Peer, token: &str) -> Result<Session, CloseReason> {
    let identified = identify(node, peer, token).await;
    identified.map_err(|refusal| match refusal {
        NoSession::Unauthorized(error) if !error.is_unavailable() => CloseReason::Unauthenticated,
        NoSession::Unauthorized(_) | NoSession::Away => CloseReason::Restarting,
        NoSession::TooMany(_) => CloseReason::TooMany,
    })
}

/// Verifies a token of `peer` and makes sure that its user exists.
///
/// # Errors
/// [`NoSession`] if the token is rejected, too many were rejected, or the store does not answer.
pub async fn identify(node: &Node, peer: Peer, token: &str) -> Result<Session, NoSession> {
    let refused = |error| refusal_of(node, peer, error);
    let claims = node.verifier.verify(token).await.map_err(refused)?;
    let expires_at = expiry(&claims, node.leeway);
    let issued_at = claims.issued_at;
    let user = claims.subject;
    let profile = users::fitting(Profile {
        name: claims.name,
        avatar_url: claims.avatar_url,
        roles: claims.roles,
        ..Profile::default()
    });
    match users::admit(&node.ctx, &user, issued_at, profile).await {
        Ok(Admission::Admitted) => Ok(Session {
            user,
            expires_at,
            issued_at,
        }),
        Ok(Admission::Revoked) => Err(refused(AuthError::Revoked)),
        Err(_) => Err(NoSession::Away),
    }
}

/// Returns the refusal of a token; counts it if it may be forged.
///
/// Any other bad token is no attempt at impersonation: its client must learn what is wrong with it, whatever other clients behind its address do.
fn refusal_of(node: &Node, peer: Peer, error: AuthError) -> NoSession {
    let counted = match error.is_forgery() && !peer.is_host {
        true => node.limits.failed_proof(peer.address),
        false => Ok(None),
    };
    match counted {
        Ok(_) => NoSession::Unauthorized(error),
        Err(refused) => NoSession::TooMany(refused),
    }
}

fn expiry(claims: &Claims, leeway: Duration) -> Instant {
    let now = Timestamp::now().as_millis() / 1000;
    let left = claims
        .expires_at
        .saturating_sub(now)
        .clamp(0, 10 * 365 * 86_400);
    Instant::now() + Duration::from_secs(left.unsigned_abs()) + leeway
}

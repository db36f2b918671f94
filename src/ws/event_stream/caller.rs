//! Authentication of an event stream's caller: a user by token, or the host on behalf of a user.

use std::{net::IpAddr, time::Duration};

use chat_sdk::{Timestamp, UserId};
use hyper::{HeaderMap, Request};
use tokio::time::Instant;

use super::{
    super::{
        Node,
        handshake::{Answer, bearer, identify, parameter, too_many},
        session::{self, NoSession, Session},
    },
    refused::{challenged, of_domain, unauthorized},
};
use crate::{
    auth::AuthError,
    domain::{DomainError, users},
    listener::TimedBody,
};

/// Maximum lifetime of a stream that the host opened for a user; its secret does not expire.
const ACTING_FOR: Duration = Duration::from_secs(24 * 3600);

/// Returns the caller's session: a user by token, or the host for a user. Rate limits as over REST.
pub(super) async fn session_of(
    node: &Node,
    request: &Request<TimedBody>,
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
    let session = session::identify(node, peer, &token).await;
    let session = session.map_err(|error| {
        Box::new(match error {
            NoSession::Unauthorized(error) => unauthorized(error),
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

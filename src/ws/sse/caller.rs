//! Authentication of an event stream's caller: a user by token, or the host on behalf of a user.

use std::time::Duration;

use chat_sdk::Timestamp;
use tokio::time::Instant;

use crate::{
    domain::known_users::TokenIssue,
    http::{
        ApiError, Client, Request,
        caller::{self, Counted, Session},
    },
    ws::{Node, session::parameter},
};

/// Maximum lifetime of a stream that the host opened for a user; its secret does not expire.
const ACTING_FOR: Duration = Duration::from_secs(24 * 3600);

/// Caller of an event stream.
pub(super) struct StreamCaller {
    /// Session of the user.
    pub(super) session: Session,
    /// True if the host asks for the user.
    pub(super) is_host: bool,
}

impl StreamCaller {
    /// Authenticates the caller of a request, with the rate limits of REST.
    pub(super) async fn of(
        node: &Node,
        request: &Request,
        client: &Client,
    ) -> Result<Self, ApiError> {
        let (callers, headers) = (&node.callers, request.headers());
        let is_host = callers.is_host(headers, client)?;
        let session = if is_host {
            let user = callers.acting_user(headers).await?;
            Session {
                user: user.ok_or_else(caller::no_acting_user)?,
                expires_at: Instant::now() + ACTING_FOR,
                token: TokenIssue {
                    at: Some(Timestamp::now().as_millis() / 1000),
                    session_id: None,
                },
            }
        } else {
            let in_query = parameter(request.uri(), "token");
            let token = caller::bearer(headers).or(in_query.as_deref());
            callers.user(token, client, Counted::Request).await?
        };
        Ok(Self { session, is_host })
    }
}

//! State of a node that all its sockets share.

use std::{net::IpAddr, sync::Arc};

use chat_sdk::UserId;
use hyper::{HeaderMap, header};
use tokio_util::{sync::CancellationToken, task::TaskTracker};

use super::{Flushers, Hub, Typing, Watchers, resume::Pacing};
use crate::{
    config::Origins,
    domain::Context,
    http::{ApiError, caller::Callers, health::HealthChecks},
};

/// State that all sockets of this node share.
pub struct Node {
    /// Context of the domain's operations.
    pub ctx: Context,
    /// Authentication and rate limits of callers.
    pub callers: Arc<Callers>,
    /// Origins of web pages that may connect.
    pub origins: Origins,
    /// Maximum number of sockets of one user on this node (`MAX_SOCKETS_PER_USER`).
    pub max_sockets_per_user: usize,
    /// Pace of the connections of users with very many rooms.
    pub pacing: Pacing,
    /// Tasks that write pushes.
    pub flushers: Flushers,
    /// Subscriptions of sockets, and delivery to them.
    pub hub: Arc<Hub>,
    /// Subscriptions to users' presence.
    pub watchers: Arc<Watchers>,
    /// Typing and recording indicators.
    pub typing: Arc<Typing>,
    /// Health and metrics of the process.
    pub health: HealthChecks,
    /// Open connections. The process waits for them when it stops, so that each gets its close frame.
    pub connections: TaskTracker,
    /// Cancelled when the process stops.
    pub stop: CancellationToken,
}

impl Node {
    /// Waits before the rooms of a registered connection of `user` are read, if the user has very many; not longer than until the process stops.
    pub(super) async fn pace(&self, user: &UserId) {
        let wait = self.pacing.wait(&self.callers.limits, user);
        // A stopped wait needs no other outcome: the connection ends soon.
        let _ = self.stop.run_until_cancelled(wait).await;
    }

    /// Fails if a page of a foreign origin asks.
    ///
    /// Without `Origin` the client is not a browser: no foreign page can connect on behalf of a user.
    ///
    /// # Errors
    /// [`ApiError::foreign_origin`].
    pub(super) fn check_origin(&self, headers: &HeaderMap) -> Result<(), ApiError> {
        match headers.get(header::ORIGIN).map(|origin| origin.to_str()) {
            None => Ok(()),
            Some(Ok(origin)) if self.origins.allows(origin) => Ok(()),
            Some(_) => Err(ApiError::foreign_origin()),
        }
    }
}

/// The other end of a socket, as known from its request.
#[derive(Debug, Clone, Copy)]
pub struct Peer {
    /// Address of the client.
    pub address: IpAddr,
    /// True if the client sent the internal secret; then it is not rate-limited.
    pub is_host: bool,
}

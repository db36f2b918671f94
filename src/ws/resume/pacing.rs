//! Pace of the connections of users with very many conversations.
//!
//! A connection costs time for every room of its user, 20,000 rooms about 80 ms of CPU here and in the database. So such a connection counts as several
//! requests of the user and waits until the rate limit accepts them: a user who reconnects all the time would otherwise slow all others down.

use std::{collections::HashMap, time::Duration};

use chat_sdk::UserId;
use parking_lot::Mutex;
use tokio::time::{sleep, timeout};

use crate::http::limits::RateLimits;

/// Number of rooms that count as one request: their CPU time at a connection is that of a request, about 1 ms.
const ROOMS_PER_REQUEST: usize = 250;
/// Maximum wait, shorter than clients wait for `connected`: a low limit must not lock a user out.
const MAX_WAIT: Duration = Duration::from_secs(10);

/// Requests that the next connection of each user with very many rooms counts as.
#[derive(Debug, Default)]
pub struct Pacing {
    requests: Mutex<HashMap<UserId, usize>>,
}

impl Pacing {
    /// Records the number of rooms of `user`, which a connection learns when it reads them.
    pub(super) fn record(&self, user: &UserId, rooms: usize) {
        let requests = rooms / ROOMS_PER_REQUEST;
        let mut known = self.requests.lock();
        if requests > 0 {
            known.insert(user.clone(), requests);
        } else if !known.is_empty() {
            known.remove(user);
        }
    }

    /// Counts a connection of `user`, and waits for the requests that the limit does not accept yet.
    pub(in crate::ws) async fn wait(&self, limits: &RateLimits, user: &UserId) {
        let requests = self.requests.lock().get(user).copied();
        let counting = async {
            for _ in 0..requests.unwrap_or(0) {
                while let Err(limited) = limits.api(user) {
                    sleep(limited.retry_after).await;
                }
            }
        };
        // After the maximum wait the connection is served.
        let _ = timeout(MAX_WAIT, counting).await;
    }
}

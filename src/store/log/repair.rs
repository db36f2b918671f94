//! Repairs for readers: brings documents up to date with the log if their writer cannot.

use std::sync::{Arc, Weak};

use chat_sdk::ConversationId;
use futures_util::{FutureExt, StreamExt, future::BoxFuture, stream};
use metrics::counter;
use tokio::sync::Semaphore;

use super::{apply, mongo::MongoBackend};
use crate::{model::entry::Owner, store::read_barrier::Repair};

/// Number of conversations of one read that are repaired concurrently.
const REPAIRED_AT_ONCE: usize = 8;
/// Maximum number of concurrent repairs of all readers of this process.
const MAX_REPAIRS: usize = 16;

/// Repairs through a log.
pub struct Repairs {
    /// Weak, because the log uses the store, whose read barrier has this.
    backend: Weak<MongoBackend>,
    permits: Semaphore,
}

impl Repairs {
    /// Returns the repairs through `backend`.
    pub fn new(backend: &Arc<MongoBackend>) -> Self {
        Self {
            backend: Arc::downgrade(backend),
            permits: Semaphore::new(MAX_REPAIRS),
        }
    }

    async fn repair_one(&self, backend: &MongoBackend, conversation: ConversationId) -> bool {
        let Ok(_permit) = self.permits.acquire().await else {
            return false;
        };
        // Many readers may find the same conversation behind at the same moment; one repair is enough.
        match backend
            .find_behind(std::slice::from_ref(&conversation))
            .await
        {
            Ok(behind) if behind.is_empty() => return true,
            Ok(_) => {}
            Err(_) => return false,
        }
        apply::bring_up_to_date(backend, &Owner::from(conversation))
            .await
            .is_ok()
    }
}

impl Repair for Repairs {
    fn repair<'a>(&'a self, conversations: &'a [ConversationId]) -> BoxFuture<'a, bool> {
        async move {
            let Some(backend) = self.backend.upgrade() else {
                return true;
            };
            counter!("chat_read_checks_total").increment(1);
            let Ok(behind) = backend.find_behind(conversations).await else {
                return false;
            };
            let repairs =
                stream::iter(behind).map(|conversation| self.repair_one(&backend, conversation));
            repairs
                .buffer_unordered(REPAIRED_AT_ONCE)
                .all(|is_done| async move { is_done })
                .await
        }
        .boxed()
    }
}

//! Read barrier: waits until documents include everything that was acknowledged.
//!
//! A message is acknowledged when it is committed; its change of the conversation's document is written a moment later, for many messages at once. A
//! read of that document waits here first. Normally the conversation's writer confirms that nothing is missing, which costs no read. If the writer
//! cannot, because it is dead, frozen or disconnected, the reader compares document and log itself, and applies what is missing.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use chat_sdk::ConversationId;
use futures_util::{StreamExt, stream};
use metrics::counter;
use tokio::sync::Semaphore;

use super::log::{apply, mongo::MongoBackend};
use crate::domain::{command::Writers, entry::Owner};

/// Time to wait for a writer: slightly longer than it takes to apply by itself.
const PATIENCE: Duration = Duration::from_millis(350);
/// Maximum time that a reader may repair documents. The read that follows must still answer in time.
const REPAIR_PATIENCE: Duration = Duration::from_millis(1000);
/// Number of conversations of one read that are repaired concurrently.
const REPAIRED_AT_ONCE: usize = 8;
/// Maximum number of concurrent repairs of all readers of this process.
const MAX_REPAIRS: usize = 16;

/// Access to the writers and the log, once set.
///
/// A program without writers has nothing to wait for. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct ReadBarrier(Arc<OnceLock<Parts>>);

// Weak, because both use the store.
struct Parts {
    writers: Weak<dyn Writers>,
    backend: Weak<MongoBackend>,
    repairs: Semaphore,
}

impl ReadBarrier {
    /// Sets the `writers` to ask and the `backend` for repairs. Only the first call has an effect.
    pub fn by(&self, writers: &Arc<dyn Writers>, backend: &Arc<MongoBackend>) {
        let _ = self.0.set(Parts {
            writers: Arc::downgrade(writers),
            backend: Arc::downgrade(backend),
            repairs: Semaphore::new(MAX_REPAIRS),
        });
    }

    /// Waits until the documents of `conversations` include everything that was acknowledged before.
    pub async fn wait(&self, conversations: &[ConversationId]) {
        let Some(parts) = self.0.get().filter(|_| !conversations.is_empty()) else {
            return;
        };
        let Some(writers) = parts.writers.upgrade() else {
            return;
        };
        let confirmed = tokio::time::timeout(PATIENCE, writers.settle(conversations));
        let unconfirmed = confirmed.await;
        let unconfirmed = match &unconfirmed {
            Ok(unconfirmed) => unconfirmed,
            Err(_) => conversations,
        };
        if unconfirmed.is_empty() {
            return;
        }
        let repaired = tokio::time::timeout(REPAIR_PATIENCE, parts.repair(unconfirmed)).await;
        if !matches!(repaired, Ok(true)) {
            // If the read failed here, one broken conversation would break every list that contains it.
            counter!("chat_stale_reads_total").increment(1);
            tracing::warn!("documents were read that may lack acknowledged messages");
        }
    }
}

impl Parts {
    /// Compares the documents of `conversations` with the log and applies what they lack.
    ///
    /// Returns true if all of it succeeded.
    async fn repair(&self, conversations: &[ConversationId]) -> bool {
        let Some(backend) = self.backend.upgrade() else {
            return true;
        };
        counter!("chat_read_checks_total").increment(1);
        let Ok(behind) = backend.find_behind(conversations).await else {
            return false;
        };
        let backend = &*backend;
        let repairs = stream::iter(behind).map(|conversation| async move {
            let Ok(_permit) = self.repairs.acquire().await else {
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
        });
        repairs
            .buffer_unordered(REPAIRED_AT_ONCE)
            .all(|is_done| async move { is_done })
            .await
    }
}

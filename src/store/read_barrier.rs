//! Read barrier: waits until documents include everything that was acknowledged.
//!
//! A message is acknowledged when it is committed; its change of the conversation's document is written a moment later, for many messages at once. A
//! read of that document waits here first. Normally the conversation's writer confirms that nothing is missing, which costs no read. If the writer
//! cannot, because it is dead, frozen or disconnected, the reader compares document and log itself, and applies what is missing.
//!
//! Both paths are needed. Comparing always costs 55 ms per page for a user with 1,000 conversations (75 instead of 20 ms, measured in the first 30 s of
//! a process, when it compares). Without the comparison, lists would lack what a killed writer acknowledged.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use chat_sdk::ConversationId;
use futures_util::future::BoxFuture;
use metrics::counter;

use crate::model::writers::Writers;

/// Time to wait for a writer: slightly longer than it takes to apply by itself.
const TIMEOUT: Duration = Duration::from_millis(350);
/// Maximum time that a reader may repair documents. The read that follows must still answer in time.
const REPAIR_TIMEOUT: Duration = Duration::from_millis(1000);

/// Brings documents up to date with the log if no writer confirms that they are.
pub trait Repair: Send + Sync {
    /// Compares the documents of `conversations` with the log and applies what they lack.
    ///
    /// Returns true if all of it succeeded.
    fn repair<'a>(&'a self, conversations: &'a [ConversationId]) -> BoxFuture<'a, bool>;
}

/// Access to the writers and the log, once set.
///
/// A program without writers has nothing to wait for. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct ReadBarrier(Arc<OnceLock<Parts>>);

struct Parts {
    /// Weak, because they use the store.
    writers: Weak<dyn Writers>,
    repairs: Box<dyn Repair>,
}

impl ReadBarrier {
    /// Sets the `writers` to ask, and the `repairs` without them. Only the first call has an effect.
    pub fn set(&self, writers: &Arc<dyn Writers>, repairs: Box<dyn Repair>) {
        let _ = self.0.set(Parts {
            writers: Arc::downgrade(writers),
            repairs,
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
        let confirmed = tokio::time::timeout(TIMEOUT, writers.apply_now(conversations));
        let unconfirmed = confirmed.await;
        let unconfirmed = match &unconfirmed {
            Ok(unconfirmed) => unconfirmed,
            Err(_) => conversations,
        };
        if unconfirmed.is_empty() {
            return;
        }
        let repaired =
            tokio::time::timeout(REPAIR_TIMEOUT, parts.repairs.repair(unconfirmed)).await;
        if !matches!(repaired, Ok(true)) {
            // If the read failed here, one broken conversation would break every list that contains it.
            counter!("chat_stale_reads_total").increment(1);
            tracing::warn!("documents were read that may lack acknowledged messages");
        }
    }
}

//! Documents that say what was answered.
//!
//! A message is answered when it is committed; that something happened is written to its conversation's document a moment later, for many messages at once.
//! Whoever reads that from there waits here first. Who the writers are, this room does not know.

use std::{
    sync::{Arc, OnceLock, Weak},
    time::Duration,
};

use chat_sdk::ConversationId;

use crate::domain::command::Writers;

/// How long is waited at most: longer than documents take by themselves, and short enough for the read that follows to fail in time.
const PATIENCE: Duration = Duration::from_millis(300);

/// A way to the writers, once there is one. A program without writers has nothing to wait for. Cloning it is cheap.
#[derive(Clone, Default)]
pub struct Settled {
    // Weak, because writers work with the store.
    writers: Arc<OnceLock<Weak<dyn Writers>>>,
}

impl Settled {
    /// From now on `writers` are asked. Only the first call counts.
    pub fn by(&self, writers: &Arc<dyn Writers>) {
        let _ = self.writers.set(Arc::downgrade(writers));
    }

    /// Waits until the documents of `conversations` say everything that was answered before.
    pub async fn wait(&self, conversations: &[ConversationId]) {
        let writers = self.writers.get().and_then(Weak::upgrade);
        if let Some(writers) = writers.filter(|_| !conversations.is_empty()) {
            let settled = tokio::time::timeout(PATIENCE, writers.settle(conversations));
            if settled.await.is_err() {
                tracing::debug!("documents are read that may be behind");
            }
        }
    }
}

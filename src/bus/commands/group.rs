//! Parts that the files of the routing share: groups of items in one message, and replies that wait until an entry is applied.

use std::{sync::Arc, time::Duration};

use bytes::Bytes;
use serde::{Deserialize, Serialize};
use tokio::sync::oneshot;

use crate::model::{
    Result, bounds,
    command::Outcome,
    entry::Owner,
    writers::{Reply, Writers},
};

/// Maximum delay of a reply until its entry is applied.
///
/// The entry is committed, so the reply is sent in any case.
const APPLY_TIMEOUT: Duration = Duration::from_millis(200);

/// Outcomes of the first commands of a group, in order; as many as fit into one message.
#[derive(Deserialize)]
pub(super) struct Results(pub(super) Vec<Result<Outcome>>);

/// A JSON array of at most [`bounds::NATS_GROUP`] bytes.
#[derive(Default)]
pub(super) struct List(Vec<u8>);

impl List {
    /// Adds `item` unless the array would become too large; returns true if it was added.
    pub(super) fn push(&mut self, item: &impl Serialize) -> bool {
        let before = self.0.len();
        self.0.push(if before == 0 { b'[' } else { b',' });
        let is_written = serde_json::to_writer(&mut self.0, item).is_ok();
        // The closing bracket needs one byte too.
        if is_written && self.0.len() < bounds::NATS_GROUP {
            return true;
        }
        self.0.truncate(before);
        false
    }

    pub(super) fn finish(mut self) -> Bytes {
        if self.0.is_empty() {
            self.0.push(b'[');
        }
        self.0.push(b']');
        self.0.into()
    }
}

/// Delays a reply until the entry is applied to the documents of its conversation.
///
/// Used if this process writes although readers ask another one, or none at all: because it is cut off, or the writer of the shard did not answer. Readers cannot
/// ask it to apply what it has acknowledged.
pub(super) fn after_apply(local: &Arc<dyn Writers>, owner: &Owner, reply: Reply) -> Reply {
    let Owner::Conversation(conversation) = owner else {
        // Entries of users are acknowledged after they are applied anyway.
        return reply;
    };
    let (local, conversation) = (Arc::clone(local), conversation.clone());
    let (sender, outcome) = oneshot::channel::<Result<Outcome>>();
    tokio::spawn(async move {
        let Ok(outcome) = outcome.await else {
            return;
        };
        if outcome.is_ok() {
            let applied = local.apply_now(std::slice::from_ref(&conversation));
            let _ = tokio::time::timeout(APPLY_TIMEOUT, applied).await;
        }
        let _ = reply.send(outcome);
    });
    sender
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn list_takes_items_that_fit_and_is_json() {
        let mut list = List::default();
        let item = "x".repeat(100 * 1024);
        let taken = (0..5).filter(|_| list.push(&item)).count();
        assert_eq!(taken, 2);
        assert!(list.push(&"small"), "a smaller item may still fit");
        let bytes = list.finish();
        assert!(bytes.len() <= bounds::NATS_GROUP);
        let items: Vec<String> = serde_json::from_slice(&bytes).expect("JSON");
        assert_eq!(items, [&item, &item, "small"]);
        let nothing: Vec<u8> = serde_json::from_slice(&List::default().finish()).expect("JSON");
        assert!(nothing.is_empty());
    }
}

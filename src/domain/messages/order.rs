//! Order of sends while hooks decide: messages of one user to one conversation are appended in the order in which their requests began.
//!
//! Each send takes a turn at its beginning, and waits for the earlier ones before it appends. Hooks are still asked about all of them at once.

use std::{collections::HashMap, sync::Arc, time::Duration};

use chat_sdk::{ConversationId, UserId};
use parking_lot::Mutex;
use tokio::sync::oneshot;

type Key = (ConversationId, UserId);
type Waiting = HashMap<Key, (u64, oneshot::Receiver<()>)>;

/// Turns of the sends of this process. Holds one entry per user and conversation with a send in flight.
#[derive(Debug, Clone, Default)]
pub struct SendOrder(Arc<Mutex<(u64, Waiting)>>);

/// Turn of one send. The next one follows when it is dropped, and the earlier ones are over.
pub(super) struct Turn {
    order: SendOrder,
    key: Key,
    id: u64,
    previous: Option<oneshot::Receiver<()>>,
    done: Option<oneshot::Sender<()>>,
}

impl SendOrder {
    /// Takes the next turn of `user` in `conversation`.
    pub(super) fn enter(&self, conversation: &ConversationId, user: &UserId) -> Turn {
        let key = (conversation.clone(), user.clone());
        let (done, next) = oneshot::channel();
        let mut state = self.0.lock();
        state.0 += 1;
        let id = state.0;
        let previous = state.1.insert(key.clone(), (id, next));
        Turn {
            order: self.clone(),
            key,
            id,
            previous: previous.map(|(_, previous)| previous),
            done: Some(done),
        }
    }
}

impl Turn {
    /// Waits until all earlier sends have submitted their messages or failed, at most `limit`.
    pub(super) async fn wait(&mut self, limit: Duration) {
        if let Some(previous) = &mut self.previous {
            // A dropped sender ends the wait too.
            let _ = tokio::time::timeout(limit, previous).await;
            self.previous = None;
        }
    }
}

impl Drop for Turn {
    fn drop(&mut self) {
        let (order, key, id) = (self.order.clone(), self.key.clone(), self.id);
        let (previous, done) = (self.previous.take(), self.done.take());
        let end = move || {
            let mut state = order.0.lock();
            if state.1.get(&key).is_some_and(|(last, _)| *last == id) {
                state.1.remove(&key);
            }
            drop(done);
        };
        match previous {
            None => end(),
            // A send that ends before its turn: the next one waits for the earlier ones all the same.
            Some(previous) => {
                tokio::spawn(async move {
                    let _ = previous.await;
                    end();
                });
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const LIMIT: Duration = Duration::from_secs(5);

    #[tokio::test]
    async fn turns_follow_one_another_also_over_one_that_ended_early() {
        let order = SendOrder::default();
        let conversation = ConversationId::generate();
        let alice: UserId = "alice".parse().expect("an id");
        let first = order.enter(&conversation, &alice);
        let second = order.enter(&conversation, &alice);
        let mut third = order.enter(&conversation, &alice);
        drop(second);
        let waiting = tokio::spawn(async move {
            third.wait(LIMIT).await;
            third
        });
        tokio::task::yield_now().await;
        assert!(!waiting.is_finished(), "the first one is not over");
        let mut other = order.enter(&ConversationId::generate(), &alice);
        other.wait(LIMIT).await;
        drop((first, other));
        drop(waiting.await.expect("its turn comes"));
        assert!(order.0.lock().1.is_empty(), "nothing is kept");
    }
}

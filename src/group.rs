//! Group commit: items that arrive while a group is in progress form the next group. It needs no timer and adds no wait when idle.

use std::{future::Future, panic::AssertUnwindSafe};

use futures_util::FutureExt;
use tokio::sync::{mpsc, oneshot};

/// Maximum number of items in a group.
const MAX_ITEMS: usize = 512;

/// Task that processes items in groups, one group at a time.
pub struct Group<I, O> {
    inbox: mpsc::UnboundedSender<(I, oneshot::Sender<O>)>,
}

impl<I, O> Group<I, O>
where
    I: Send + 'static,
    O: Send + 'static,
{
    /// Starts the task, which ends with the handle. `run` returns an outcome per item, in order.
    pub fn start<R, F>(run: R) -> Self
    where
        R: Fn(Vec<I>) -> F + Send + 'static,
        F: Future<Output = Vec<O>> + Send,
    {
        let (inbox, mut arrivals) = mpsc::unbounded_channel::<(I, oneshot::Sender<O>)>();
        tokio::spawn(async move {
            let mut batch = Vec::new();
            while arrivals.recv_many(&mut batch, MAX_ITEMS).await > 0 {
                let (items, callers): (Vec<I>, Vec<_>) = batch.drain(..).unzip();
                // If a group panics, its callers get no answer, which they treat as an unknown outcome. The next group is not affected.
                let outcomes = AssertUnwindSafe(run(items))
                    .catch_unwind()
                    .await
                    .unwrap_or_default();
                for (caller, outcome) in callers.into_iter().zip(outcomes) {
                    // The caller may have stopped waiting.
                    let _ = caller.send(outcome);
                }
            }
        });
        Self { inbox }
    }

    /// Submits `item` and waits for its outcome; `None` if the task has ended. Every
    /// caller waits for its own outcome, so the number of callers bounds the inbox.
    pub async fn ask(&self, item: I) -> Option<O> {
        let (caller, outcome) = oneshot::channel();
        self.inbox.send((item, caller)).ok()?;
        outcome.await.ok()
    }

    /// Submits `item` without waiting.
    pub fn tell(&self, item: I) {
        let (caller, _) = oneshot::channel();
        let _ = self.inbox.send((item, caller));
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use futures_util::future::join_all;
    use tokio::sync::{Mutex, Semaphore};

    use super::*;

    #[tokio::test]
    async fn a_panic_affects_only_the_callers_of_its_group() {
        let group = Group::start(|items: Vec<u32>| async move {
            assert!(items.iter().all(|item| *item > 0), "as the test wants it");
            items
        });
        assert_eq!(group.ask(0).await, None);
        assert_eq!(group.ask(7).await, Some(7));
    }

    #[tokio::test]
    async fn items_that_arrive_during_a_group_form_the_next_one() {
        let gate = Arc::new(Semaphore::new(0));
        let sizes = Arc::new(Mutex::new(Vec::new()));
        let group = Group::start({
            let (gate, sizes) = (Arc::clone(&gate), Arc::clone(&sizes));
            move |items: Vec<u32>| {
                let (gate, sizes) = (Arc::clone(&gate), Arc::clone(&sizes));
                async move {
                    gate.acquire().await.expect("open").forget();
                    sizes.lock().await.push(items.len());
                    items.into_iter().map(|item| item * 2).collect()
                }
            }
        });
        let first = group.ask(1);
        tokio::pin!(first);
        assert!(
            futures_util::poll!(&mut first).is_pending(),
            "waits at the gate"
        );
        gate.add_permits(1);
        assert_eq!(first.await, Some(2));
        let others = join_all((10..20).map(|item| group.ask(item)));
        tokio::pin!(others);
        assert!(futures_util::poll!(&mut others).is_pending());
        gate.add_permits(1);
        let answers: Vec<u32> = others.await.into_iter().flatten().collect();
        assert_eq!(answers, (10..20).map(|item| item * 2).collect::<Vec<_>>());
        assert_eq!(*sizes.lock().await, [1, 10]);
    }
}

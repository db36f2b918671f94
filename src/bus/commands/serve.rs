//! Receives the commands that other processes send to this one.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::{StreamExt, future::join_all};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::group::List;
use crate::{
    bus::Bus,
    model::{DomainError, command::Request, writers::Writers},
};

/// Pause between two attempts to subscribe.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Serves the commands that are sent to the process `me`, until `stop`.
///
/// After that senders see at once that nobody subscribes, and append themselves.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    let subject = bus.subjects.commands(&me);
    listen(&bus, subject, &stop, |message| take(&bus, &*local, message)).await;
}

/// Passes every message on `subject` to `take`, until `stop`.
pub(super) async fn listen(
    bus: &Bus,
    subject: String,
    stop: &CancellationToken,
    take: impl Fn(Message),
) {
    let listen = async {
        loop {
            match bus.client.subscribe(subject.clone()).await {
                Ok(mut messages) => {
                    while let Some(message) = messages.next().await {
                        take(message);
                    }
                }
                Err(_) => tokio::time::sleep(RETRY_PAUSE).await,
            }
        }
    };
    stop.run_until_cancelled(listen).await;
}

/// Submits the commands at once and answers when all outcomes are known.
///
/// So the writer sees them in the order in which they were sent.
fn take(bus: &Bus, local: &dyn Writers, message: Message) {
    let Some(reply_to) = message.reply else {
        return;
    };
    let Ok(requests) = serde_json::from_slice::<Vec<Request>>(&message.payload) else {
        // Without an answer the sending process appends itself: versions differ during an upgrade.
        tracing::warn!("could not read the commands of another process");
        return;
    };
    let outcomes: Vec<_> = requests
        .into_iter()
        .map(|request| {
            let (reply, outcome) = oneshot::channel();
            local.submit(request, reply);
            outcome
        })
        .collect();
    let client = bus.client.clone();
    tokio::spawn(async move {
        let mut results = List::default();
        for outcome in join_all(outcomes).await {
            let outcome = outcome.unwrap_or_else(|_| Err(DomainError::store_unavailable()));
            // An outcome can be far larger than its command, because it carries the entry. The sending process repeats the commands without an outcome.
            if !results.push(&outcome) {
                break;
            }
        }
        let _ = client.publish(reply_to, results.finish()).await;
    });
}

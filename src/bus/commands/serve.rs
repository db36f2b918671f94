//! Takes in the commands that other processes hand to this one.

use std::{sync::Arc, time::Duration};

use async_nats::Message;
use futures_util::{StreamExt, future::join_all};
use tokio::sync::oneshot;
use tokio_util::sync::CancellationToken;

use super::List;
use crate::{
    bus::Bus,
    domain::{
        DomainError,
        command::{Request, Writers},
    },
};

/// The pause before listening is tried again.
const RETRY_PAUSE: Duration = Duration::from_millis(200);

/// Takes the commands that are handed to the process `me`, until `stop`. Then askers hear at once that nobody listens, and append themselves.
pub async fn serve(bus: Bus, local: Arc<dyn Writers>, me: Arc<str>, stop: CancellationToken) {
    let subject = bus.subjects.commands(&me);
    listen(&bus, subject, &stop, |message| take(&bus, &*local, message)).await;
}

/// Gives every message that comes on `subject` to `take`, until `stop`.
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

/// Submits at once, so that the order on the wire is the order of the writer, and answers when all is known.
fn take(bus: &Bus, local: &dyn Writers, message: Message) {
    let Some(reply_to) = message.reply else {
        return;
    };
    let Ok(requests) = serde_json::from_slice::<Vec<Request>>(&message.payload) else {
        // Without an answer the asking process appends itself: versions differ for the time of an upgrade.
        tracing::warn!("commands of another process cannot be read");
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
            // An outcome can be far larger than its command, because it carries the entry. The asking process asks again for those that are missing.
            if !results.push(&outcome) {
                break;
            }
        }
        let _ = client.publish(reply_to, results.finish()).await;
    });
}

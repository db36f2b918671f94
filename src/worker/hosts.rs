//! Keeps the durables of hosts where they belong. A host's own backend takes the events, so nobody else would notice that the broker lost data, and nobody
//! would remember how far the host is.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::consumers::Consumers;

/// How often every durable is looked at.
const PERIOD: Duration = Duration::from_secs(2);
/// How long one process does it before another may.
const LEASE: Duration = Duration::from_secs(10);
/// The lease's name.
const LEASE_NAME: &str = "hosts";

/// Keeps them until `end`, in whichever process holds the lease.
pub async fn run(consumers: Consumers, holder: String, end: CancellationToken) {
    let mut is_well = true;
    while end
        .run_until_cancelled(tokio::time::sleep(PERIOD))
        .await
        .is_some()
    {
        let store = &consumers.store;
        // Most deployments have none, and one that has none needs nobody to keep it.
        if matches!(store.all_consumers().await, Ok(all) if all.is_empty()) {
            continue;
        }
        if !matches!(store.take_lease(LEASE_NAME, &holder, LEASE).await, Ok(true)) {
            continue;
        }
        let Some(kept) = end.run_until_cancelled(consumers.keep_all()).await else {
            break;
        };
        match kept {
            Ok(()) => is_well = true,
            // Once, not every two seconds.
            Err(error) if is_well => {
                is_well = false;
                tracing::warn!(%error, "the durables of hosts cannot be kept; trying again");
            }
            Err(_) => {}
        }
    }
    // What is not given back ends by itself.
    let _ = consumers.store.drop_lease(LEASE_NAME, &holder).await;
}

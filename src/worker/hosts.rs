//! Keeps the durables of hosts in place.
//!
//! A host's own backend reads the events, so no other part of the service would notice that the broker lost data, or remember the host's position.

use std::time::Duration;

use tokio_util::sync::CancellationToken;

use crate::domain::consumers::Consumers;

/// Time between two checks of every durable.
const PERIOD: Duration = Duration::from_secs(2);
/// Duration of the lease, after which another process may take over.
const LEASE: Duration = Duration::from_secs(10);
/// Name of the lease.
const LEASE_NAME: &str = "hosts";

/// Keeps the durables until `end`, in whichever process holds the lease.
pub async fn run(consumers: Consumers, holder: String, end: CancellationToken) {
    let mut is_well = true;
    while end
        .run_until_cancelled(tokio::time::sleep(PERIOD))
        .await
        .is_some()
    {
        let store = &consumers.store;
        // Most deployments have no host durables; without any, no process needs the lease.
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
            // Logged once, not every two seconds.
            Err(error) if is_well => {
                is_well = false;
                tracing::warn!(%error, "the durables of hosts could not be checked; trying again");
            }
            Err(_) => {}
        }
    }
    // A lease that is not released expires by itself.
    let _ = consumers.store.drop_lease(LEASE_NAME, &holder).await;
}

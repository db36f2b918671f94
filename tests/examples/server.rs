//! `examples/server`: webhook receivers and the sync of users.

use super::run_node;
use crate::support::Service;

#[tokio::test]
async fn the_hosts_backend_verifies_webhooks_once_and_syncs_users() {
    let service = Service::builder()
        .env("WEBHOOK_ALLOW_PRIVATE", "true")
        .start()
        .await;
    run_node("examples/server", &["test/run.mjs"], Some(&service)).await;
}

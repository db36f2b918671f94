//! `examples/client/browser`: the JavaScript client, and Swagger UI, in Chromium.

use super::run_node;
use crate::support::{Front, Service};

#[tokio::test]
async fn the_client_and_swagger_ui_work_in_a_browser() {
    let service = Service::start().await;
    let front = Front::before(&[&service], &[&service]).await;
    run_node(
        "examples/client/browser",
        &["--test", "test.mjs"],
        Some(&front),
    )
    .await;
}
